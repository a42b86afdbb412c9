"""SA-1B JSON to Parquet, against `json` and one dict a row: same files, same columns, same run.

The peer is what one writes first for the same two tables, `images` and `masks`: `json.load`, one dict a row,
`pyarrow.Table.from_pylist` with the tables' schemas, area and tight box by pycocotools, one call an image, as the lake
needs them (SA-1B's own boxes are a pixel short), the same Parquet settings. It checks nothing; `curation` checks every
value and every run before it believes them. Both get the list of the files and look whether each picture is there.

Records are like SA-1B's: its keys, 100 masks of `benchmarks.masks` on about 1500 x 2250 px (1.3 KB of JSON a mask),
scores of 16 digits. Copies of a few make up the rest. The files that both write are compared, and hold
the same values.

    python benchmarks/import_sa1b.py [--n 200]
"""

import argparse
import json
import os
import tempfile
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pycocotools import mask as coco_mask

from benchmarks.claims import Claim, tell
from curation import ids, masks
from curation.formats import sa1b
from curation.formats.sa1b_import import ImportWork, StageOrigin, plan_records
from curation.masks import Runs
from curation.schemas import TABLES
from curation.shards import Shard
from curation.storage import Storage

#: Images that are drawn, each with so many masks.
N_DRAWN, N_MASKS = 50, 100
RUN_ID = 1
ORIGIN = StageOrigin("fully_automatic", 0)
#: Least ratio (issue 3, section 1).
FLOOR = 2.0
#: Times that each side runs; the best counts. CPU seconds, so that a busy machine disturbs least.
N_ROUNDS = 7


def make_records(folder: Path, n_records: int) -> list[Path]:
    drawn = [record(seed) for seed in range(min(n_records, N_DRAWN))]
    folder = folder / "records"
    folder.mkdir()
    paths = []
    for number in range(n_records):
        document = drawn[number % N_DRAWN]
        document["image"] |= {"image_id": number, "file_name": f"sa_{number:06d}.jpg"}
        paths.append(folder / f"sa_{number:06d}.json")
        paths[-1].write_text(json.dumps(document))
    return paths


def record(seed: int) -> dict:
    """A record with SA-1B's keys and random scores and points."""
    rng = np.random.default_rng(seed)
    height, width = int(rng.integers(1450, 1550)), int(rng.integers(2200, 2300))
    runs = Runs.concat([drawn_mask(rng, height, width) for _ in range(N_MASKS)])
    counts, areas_px, tight_xywh = masks.to_strings(runs), masks.areas(runs), masks.boxes(runs)
    annotations = [
        {
            "segmentation": {"size": [height, width], "counts": counts[k]},
            "bbox": sa1b.short_box(tight_xywh[k].tolist()),
            "area": int(areas_px[k]),
            "predicted_iou": float(rng.uniform(0.88, 1.05)),
            "point_coords": [[float(rng.uniform(0, width)), float(rng.uniform(0, height))]],
            "crop_box": [0.0, 0.0, float(width), float(height)],
            "id": int(rng.integers(1, 10**9)),
            "stability_score": float(rng.uniform(0.95, 1)),
        }
        for k in range(N_MASKS)
    ]
    return {"image": {"width": width, "height": height}, "annotations": annotations}


def drawn_mask(rng: np.random.Generator, height: int, width: int) -> Runs:
    """A blob of random size and place, cut out as SAM cuts: logits of 256 cells an image's width, enlarged bilinearly."""
    cell_px = width / 256
    radius = float(np.clip(np.exp(rng.normal(np.log(70), 0.9)), 4, 600)) / cell_px
    side = int(4 * radius) + 6
    y, x = np.mgrid[:side, :side].astype(np.float32) - (side - 1) / 2
    angles, orders = np.linspace(-np.pi, np.pi, 360), np.arange(2, 12)
    waves = np.cos(np.outer(angles, orders) + rng.uniform(0, 2 * np.pi, len(orders)))
    reach = radius * np.clip(1 + waves @ (rng.normal(0, 0.25, len(orders)) / orders), 0.2, 1.9)
    logits = np.interp(np.arctan2(y, x), angles, reach) - np.hypot(x, y) + rng.normal(0, 0.15, x.shape)
    side_px = round(side * cell_px)
    pixels = cv2.resize(logits.astype(np.float32), (side_px, side_px), interpolation=cv2.INTER_LINEAR) > 0
    pixels = pixels[: height - 1, :width]
    top, left = rng.integers(0, height - pixels.shape[0]), rng.integers(0, width - pixels.shape[1] + 1)
    # Never down to the last row, so that no run goes on in the next column.
    columns = np.pad(pixels.T, ((0, 0), (0, 1)))
    x, y = np.divmod(np.flatnonzero(np.diff(columns.reshape(-1), prepend=False)), columns.shape[1])
    changes = (left + x) * height + top + y
    counts = np.diff(changes, prepend=0, append=height * width).astype(np.uint32)
    return Runs(height, width, counts, np.array([0, len(counts)]))


def with_json_and_rows(paths: list[Path], out: Path) -> int:
    """The peer: number of masks written."""
    mask_rows, image_rows = [], []
    for number, path in enumerate(paths):
        with path.open() as file:
            document = json.load(file)
        image, annotations = document["image"], document["annotations"]
        uri = str(path.parent / image["file_name"])
        of_image = {
            "run_id": RUN_ID,
            "image_id": ids.image_id(uri),
            "width_px": image["width"],
            "height_px": image["height"],
        }
        image_rows.append(
            {
                **of_image,
                "image_number": number,
                "uri": uri,
                "file_name": image["file_name"],
                "size_bytes": os.path.getsize(uri) if os.path.exists(uri) else None,
                "source_image_id": str(image["image_id"]),
            }
        )
        rles = [annotation["segmentation"] for annotation in annotations]
        areas_px = coco_mask.area(rles).tolist()
        tight_xywh = coco_mask.toBbox(rles).astype(int).tolist()
        for index, annotation in enumerate(annotations):
            mask_rows.append(
                {
                    **of_image,
                    "mask_id": ids.mask_id(RUN_ID, number, index),
                    "mask_index": index,
                    "stage": ORIGIN.stage,
                    "cycle": ORIGIN.cycle,
                    "area_px": areas_px[index],
                    "bbox_xywh": tight_xywh[index],
                    "predicted_iou": annotation["predicted_iou"],
                    "stability_score": annotation["stability_score"],
                    "point_xy": annotation["point_coords"][0],
                    "crop_box_xywh": annotation["crop_box"],
                    "is_crowd": False,
                    "source_mask_id": str(annotation["id"]),
                    "source_bbox_xywh": annotation["bbox"],
                    "rle_counts": annotation["segmentation"]["counts"],
                }
            )
    for name, rows in (("images", image_rows), ("masks", mask_rows)):
        pq.write_table(
            pa.Table.from_pylist(rows, TABLES[name].arrow),
            out / f"peer-{name}.parquet",
            compression="zstd",
            compression_level=1,
            row_group_size=5_000,
            use_dictionary=[column for column in TABLES[name].arrow.names if column != "rle_counts"],
        )
    return len(mask_rows)


def with_curation(work: ImportWork, out: Path) -> int:
    """What a worker does with a shard: number of masks written."""
    result = work(Shard(RUN_ID, "import", "0000000000", 0, work.plan.records.n_items))
    for name in ("images", "masks"):
        Storage(str(out)).write(name, result.tables[name], RUN_ID, "import-0000000000")
    return result.n_masks


def check_equal(folder: Path) -> None:
    """Both sides' files hold the same values."""
    for name in ("images", "masks"):
        theirs = pq.read_table(folder / f"peer-{name}.parquet")
        (path,) = (folder / "main" / name).glob("**/*.parquet")
        assert pq.ParquetFile(path).read().equals(theirs), f"{name}: the two sides wrote different values"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=200, help="records")
    n_records = parser.parse_args().n
    with tempfile.TemporaryDirectory(prefix="curation-benchmark-") as name:
        folder = Path(name)
        paths = make_records(folder, n_records)
        n_bytes = sum(path.stat().st_size for path in paths)
        work = ImportWork(plan_records([str(paths[0].parent)], None, folder), ORIGIN)
        sides = {
            "json and rows": partial(with_json_and_rows, paths, folder),
            "curation": partial(with_curation, work, folder),
        }
        for side in sides.values():  # compiles the kernels, warms imports
            side()
        check_equal(folder)
        took_s: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(N_ROUNDS):
            for name, side in sides.items():
                started = time.process_time()
                n_masks = side()
                took_s[name].append(time.process_time() - started)
    best = {name: min(seconds) for name, seconds in took_s.items()}
    print(
        f"{n_records} records, {n_masks} masks, {n_bytes / 1e6:.0f} MB of JSON, CPU time, best of {N_ROUNDS}"
    )
    for name, seconds in best.items():
        print(f"{name:>14}: {seconds:.2f} s, {n_masks / seconds:,.0f} masks/s")
    claim = Claim(
        "SA-1B JSON to Parquet, with all checks",
        "json + rows",
        best["curation"],
        best["json and rows"],
        FLOOR,
    )
    raise SystemExit(not tell(claim))


if __name__ == "__main__":
    main()
