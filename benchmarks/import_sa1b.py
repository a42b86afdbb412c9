"""SA-1B JSON to Parquet, against `json` and one dict a row: same files, same columns, same run.

The peer is what one writes first: `json.load`, a list of dicts, `pyarrow.Table.from_pylist`, with area and tight box
by pycocotools, one call an image, as the lake needs them (SA-1B's own boxes are a pixel short). It checks nothing;
`curation` checks every value and every run besides. For comparison, a mere copy of the JSON's values to Parquet,
without areas and boxes, is timed too.

    python benchmarks/import_sa1b.py [--n 200]
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pycocotools import mask as coco_mask

from curation.formats.sa1b_import import ImportWork, StageOrigin, plan_records
from curation.generation.scenes import write_scenes
from curation.shards import Shard
from curation.storage import Storage

#: Scenes that are drawn; copies of their records make up the rest. 1500 px is the short side of SA-1B's pictures.
N_SCENES, SIZE_PX = 4, (1500, 2250)
#: Times that each side runs; the best counts. CPU seconds, so that a busy machine disturbs least.
N_ROUNDS = 7


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


def with_json_and_rows(paths: list[Path], out: Path, is_copy: bool = False) -> int:
    """The peer: number of masks written. A copy takes area and box as they came."""
    rows = []
    for path in paths:
        with path.open() as file:
            document = json.load(file)
        image, annotations = document["image"], document["annotations"]
        if is_copy:
            areas_px = [annotation["area"] for annotation in annotations]
            tight_xywh = [annotation["bbox"] for annotation in annotations]
        else:
            rles = [annotation["segmentation"] for annotation in annotations]
            areas_px = coco_mask.area(rles).tolist()
            tight_xywh = coco_mask.toBbox(rles).astype(int).tolist()
        for index, annotation in enumerate(annotations):
            rows.append(
                {
                    "image_id": image["image_id"],
                    "mask_index": index,
                    "width_px": image["width"],
                    "height_px": image["height"],
                    "area_px": areas_px[index],
                    "bbox_xywh": tight_xywh[index],
                    "source_bbox_xywh": annotation["bbox"],
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


def copy_only(paths: list[Path], out: Path) -> int:
    return with_json_and_rows(paths, out, is_copy=True)


SIDES: dict[str, Callable[[list[Path], Path], int]] = {
    "json and rows": with_json_and_rows,
    "curation": with_curation,
    "mere copy": copy_only,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=200, help="records")
    n_records = parser.parse_args().n
    took_s: dict[str, list[float]] = {name: [] for name in SIDES}
    with tempfile.TemporaryDirectory(prefix="curation-benchmark-") as folder:
        paths = make_records(Path(folder), n_records)
        n_bytes = sum(path.stat().st_size for path in paths)
        for side in SIDES.values():
            side(paths[:1], Path(folder))  # compiles the kernels, warms imports
        for _ in range(N_ROUNDS):
            for name, side in SIDES.items():
                started = time.process_time()
                n_masks = side(paths, Path(folder))
                took_s[name].append(time.process_time() - started)
    best = {name: min(seconds) for name, seconds in took_s.items()}
    print(
        f"{n_records} records, {n_masks} masks, {n_bytes / 1e6:.0f} MB of JSON, CPU time, best of {N_ROUNDS}"
    )
    for name, seconds in best.items():
        print(f"{name:>14}: {seconds:.2f} s, {n_masks / seconds:,.0f} masks/s")
    print(f"curation is {best['json and rows'] / best['curation']:.2f} times as fast as json and rows")
    print(f"curation is {best['mere copy'] / best['curation']:.2f} times as fast as a mere copy")


if __name__ == "__main__":
    main()
