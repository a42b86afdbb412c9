"""Masks measured a second on two cores against one: the way of `curation measure --workers 2`, and `--workers 1`.

    python -m benchmarks.cores [--images 1300] [--masks 100] [--rounds 2]

A lake holds one run of images of 1500 x 2250 px, as in SA-1B, with the blobs of `benchmarks.masks`; the images repeat
a few that were drawn. All measures (features, overlaps, nesting, coverage) are computed by
`curation.measures.work.measure`: read from Parquet, checked, measured, written, committed shard by shard. With one
worker that happens in this process, which is bound to one core; with two workers in two processes of their own, while
this one commits, all three bound to two cores.

The time is wall clock, so the machine must be quiet; of several rounds the best counts. It runs between two commits, an
even number of shards apart and with all workers busy: starting two processes takes seconds once and is no part of the
rate, which SA-1B's 110,000 shards keep up for hours. The rows must be the same. Ends with 1 below the floor of issue 6.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow as pa

from benchmarks.claims import Claim, tell
from curation import ids, masks, runs, shards
from curation.lake import Lake
from curation.measures import MEASURES, schedule, work
from curation.schemas import TABLES

FLOOR = 1.9
HEIGHT_PX, WIDTH_PX = 1500, 2250
#: Images that are drawn; the others repeat them.
N_DRAWN = 4
#: Shards before the clock starts and after it stops, so that both workers are there in between.
N_BEFORE, N_AFTER = 2, 2
CORES = sorted(os.sched_getaffinity(0))


def fill(lake: Lake, n_images: int, n_masks: int) -> int:
    """One run of `n_images` with `n_masks` each; its number."""
    from benchmarks.masks import blobs  # here: each worker imports this module, and needs no OpenCV or torch

    run_id = runs.start(lake, runs.RunSpec("import", "benchmark", {}, "0" * 64, n_images)).run_id
    drawn = [masks.encode(blobs(HEIGHT_PX, WIDTH_PX, n_masks, seed)) for seed in range(N_DRAWN)]
    columns = [_columns(runs_of_image) for runs_of_image in drawn]
    images, rows = [], []
    for number in range(n_images):
        uri = f"/pictures/{number}.jpg"
        image = {"run_id": run_id, "image_id": ids.image_id(uri)}
        place = {"image_number": number, "uri": uri, "file_name": uri}
        images.append({**image, **place, "width_px": WIDTH_PX, "height_px": HEIGHT_PX})
        rows.append(_rows(image, ids.mask_id(run_id, number, 0), columns[number % N_DRAWN]))
    lake.append({"images": TABLES["images"].table(images), "masks": pa.concat_tables(rows)}, "fill")
    return run_id


def _columns(of: masks.Runs) -> dict[str, pa.Array]:
    """Columns of `masks` that do not name the image."""
    size = {"width_px": WIDTH_PX, "height_px": HEIGHT_PX}
    same = {**size, "stage": "fully_automatic", "cycle": 0, "is_crowd": False}
    return {
        **{name: pa.repeat(value, len(of)) for name, value in same.items()},
        "mask_index": pa.array(np.arange(len(of))),
        "area_px": pa.array(masks.areas(of)),
        "bbox_xywh": pa.array(masks.boxes(of).tolist()),
        "rle_counts": pa.array(masks.to_strings(of)),
    }


def _rows(image: dict[str, int], first_id: int, columns: dict[str, pa.Array]) -> pa.Table:
    n_masks = len(columns["mask_index"])
    of_image = {name: pa.repeat(value, n_masks) for name, value in image.items()}
    columns = {**columns, **of_image, "mask_id": pa.array(first_id + np.arange(n_masks))}
    schema = TABLES["masks"].arrow
    arrays = [
        columns[field.name].cast(field.type) if field.name in columns else pa.nulls(n_masks, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def shard_seconds(folder: Path, options: argparse.Namespace, workers: int) -> tuple[float, dict[str, list]]:
    """Wall seconds a shard while all workers are busy, and what was measured: rows and a sum of each table."""
    with Lake.create(folder) as lake:
        run_id = fill(lake, options.images, options.masks)
        todo = list(shards.plan(run_id, schedule.MEASURE.work, options.images, schedule.IMAGES_PER_SHARD))
        committed_at = []
        os.sched_setaffinity(0, CORES[:workers])
        try:
            work.measure(lake, todo, workers, on_done=lambda _: committed_at.append(perf_counter()))
        finally:
            os.sched_setaffinity(0, CORES)
        counted = committed_at[N_BEFORE : len(committed_at) - N_AFTER]
        counted = counted[: len(counted) - (len(counted) + 1) % 2]
        measured = {
            name: lake.query(f'SELECT count(*) AS n, sum(hash(t)) AS hash FROM "{name}" AS t').to_pylist()
            for name in MEASURES
        }
    return (counted[-1] - counted[0]) / (len(counted) - 1), measured


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1300)
    parser.add_argument("--masks", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    best = {1: float("inf"), 2: float("inf")}
    seen = []
    for _ in range(options.rounds):
        for workers in best:
            with tempfile.TemporaryDirectory() as folder:
                took_s, measured = shard_seconds(Path(folder) / "lake", options, workers)
            best[workers] = min(best[workers], took_s)
            seen.append(measured)
    assert all(measured == seen[0] for measured in seen), "one and two workers measure differently"
    for workers, took_s in best.items():
        print(f"{workers} core(s): {schedule.IMAGES_PER_SHARD * options.masks / took_s:,.0f} masks/s")
    raise SystemExit(not tell(Claim("masks measured on two cores", "one core", best[2], best[1], FLOOR)))


if __name__ == "__main__":
    main()
