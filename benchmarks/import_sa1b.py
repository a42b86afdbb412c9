"""SA-1B JSON to Parquet, against `json` and one dict a row: same files, same columns, same run.

The peer is what one writes first: `json.load`, a list of dicts, `pyarrow.Table.from_pylist`. It checks nothing and
takes area and box as they come; `curation` checks every value and run, and computes area and box from the mask.
Target: at least 2 times as fast.

    python benchmarks/import_sa1b.py [--n 200]
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curation.formats.sa1b_import import ImportWork, StageOrigin, plan_records
from curation.generation.scenes import write_scenes
from curation.shards import Shard
from curation.storage import Storage

#: Scenes that are drawn; copies of their records make up the rest. 1500 px is the short side of SA-1B's pictures.
N_SCENES, SIZE_PX = 4, (1500, 2250)
#: Times that each side runs; the best counts, so that a busy machine disturbs least.
N_ROUNDS = 3


def make_records(folder: Path, n_records: int) -> list[Path]:
    write_scenes(folder / "drawn", N_SCENES, seed=1, size=SIZE_PX)
    drawn = sorted((folder / "drawn").glob("*.json"))
    paths = []
    for number in range(n_records):
        paths.append(folder / "records" / f"sa_{number:06d}.json")
        paths[-1].parent.mkdir(exist_ok=True)
        document = json.loads(drawn[number % N_SCENES].read_bytes())
        document["image"]["file_name"] = f"sa_{number:06d}.jpg"
        paths[-1].write_text(json.dumps(document))
    return paths


def with_json_and_rows(paths: list[Path], out: Path) -> int:
    """The peer: number of masks written."""
    rows = []
    for path in paths:
        with path.open() as file:
            document = json.load(file)
        image = document["image"]
        for index, annotation in enumerate(document["annotations"]):
            rows.append(
                {
                    "image_id": image["image_id"],
                    "mask_index": index,
                    "width_px": image["width"],
                    "height_px": image["height"],
                    "area_px": annotation["area"],
                    "bbox_xywh": annotation["bbox"],
                    "predicted_iou": annotation["predicted_iou"],
                    "stability_score": annotation["stability_score"],
                    "point_xy": annotation["point_coords"][0],
                    "crop_box_xywh": annotation["crop_box"],
                    "source_mask_id": str(annotation["id"]),
                    "rle_counts": annotation["segmentation"]["counts"],
                }
            )
    pq.write_table(
        pa.Table.from_pylist(rows),
        out / "peer.parquet",
        compression="zstd",
        compression_level=1,
        row_group_size=5_000,
        use_dictionary=[name for name in rows[0] if name != "rle_counts"],
    )
    return len(rows)


def with_curation(paths: list[Path], out: Path) -> int:
    """What a worker does with a shard, its plan included: number of masks written."""
    plan = plan_records([str(paths[0].parent)], None, out)
    work = ImportWork(plan, StageOrigin("fully_automatic", 0))
    result = work(Shard(1, "import", "0000000000", 0, len(paths)))
    for name in ("images", "masks"):
        Storage(str(out)).write(name, result.tables[name], 1, "import-0000000000")
    return result.n_masks


def best_s(work: Callable[[list[Path], Path], int], paths: list[Path], out: Path) -> tuple[float, int]:
    started = time.perf_counter()
    n_masks = work(paths, out)
    return time.perf_counter() - started, n_masks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200, help="records")
    n_records = parser.parse_args().n
    folder = Path(tempfile.mkdtemp(prefix="curation-benchmark-"))
    try:
        paths = make_records(folder, n_records)
        n_bytes = sum(path.stat().st_size for path in paths)
        with_curation(paths[:1], folder)  # compiles the kernels
        took: dict[str, list[float]] = {"json and rows": [], "curation": []}
        for _ in range(N_ROUNDS):
            for name, work in (("json and rows", with_json_and_rows), ("curation", with_curation)):
                took_s, n_masks = best_s(work, paths, folder)
                took[name].append(took_s)
        print(f"{n_records} records, {n_masks} masks, {n_bytes / 1e6:.0f} MB of JSON, best of {N_ROUNDS}")
        for name, seconds in took.items():
            print(f"{name:>14}: {min(seconds):.2f} s, {n_masks / min(seconds):,.0f} masks/s")
        print(f"{'ratio':>14}: {min(took['json and rows']) / min(took['curation']):.2f}")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
