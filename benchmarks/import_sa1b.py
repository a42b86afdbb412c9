"""SA-1B JSON to Parquet with all checks, against seven other ways to the same two tables, `images` and `masks`.

Peers (`benchmarks.sa1b_peers`): `json` and one dict a row; msgspec (typed Structs, no garbage collection), pyarrow.json, polars,
DuckDB's `read_json`, each into columns; Datumaro, in an environment of its own, into rows of the masks alone. All take area
and tight box from pycocotools, as the lake needs them (SA-1B's own boxes are a pixel short), look whether each picture is
there, and write Parquet with the lake's settings. They check nothing; `curation` checks every value and every run before it
believes them. The files of all but Datumaro, which has other columns, are compared and hold the same values; CPU seconds,
so that neither threads nor a busy machine count.

Records have SA-1B's keys, 100 masks of about 1500 x 2250 px, log-normal sizes, cut out of 256 cells' logits as SAM does it
(0.85 KB of JSON a mask), scores of 16 digits. 50 are drawn and written again under other names; as many masks lie farther
apart than zstd sees, so that copies are not compressed away. Bytes are those of both tables' files, against the JSON's.

Memory: a process imports 256 records, and another four times as many, through shards and commits, one worker; peak RSS of both.

Profile (perf, cProfile; 20,000 masks, 17 MB): zstd 25 % (10 MB of RLE at 230 MB/s, which all sides pay), areas and boxes from the
strings 16 % (2.5 ns a character, half of it decoding), the JSON scan 13 % (1.3 ns a byte), Parquet's other columns 10 %, reading the
files 5 %, page faults and copies of fresh memory 10 %, Python's calls, about 0.2 ms a record, the rest.

    python -m benchmarks.import_sa1b [--n 200]
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq

from benchmarks import sa1b_peers
from benchmarks.claims import Claim, tell
from benchmarks.sa1b_peers import ORIGIN, RUN_ID
from curation import masks
from curation.formats import sa1b, sa1b_import
from curation.formats.mask_import import SHARD_SIZE
from curation.formats.sa1b_import import ImportWork, plan_records
from curation.lake import Lake
from curation.masks import Runs
from curation.shards import Shard
from curation.storage import Storage

#: Images that are drawn, each with so many masks.
N_DRAWN, N_MASKS = 50, 100
#: Least ratios, and the largest share of the JSON's bytes.
FLOOR, COLUMNS_FLOOR, DATUMARO_FLOOR = 2.5, 1.3, 10.0
MOST_WRITTEN_SHARE = 0.36
#: Most that four times the records may take in memory, of what they take.
MOST_GROWTH = 1.2
#: Times that each side runs; the best counts. CPU seconds, so that a busy machine disturbs least.
N_ROUNDS = 7
N_DATUMARO_ROUNDS = 2


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


def with_curation(work: ImportWork, out: Path) -> int:
    """What a worker does with a shard: number of masks written."""
    result = work(Shard(RUN_ID, "import", "0000000000", 0, work.plan.records.n_items))
    for name in ("images", "masks"):
        Storage(str(out)).write(name, result.tables[name], RUN_ID, "import-0000000000")
    return result.n_masks


def check_equal(folder: Path, peer: str) -> None:
    """A peer's files hold the same values."""
    for name in ("images", "masks"):
        (path,) = (folder / "main" / name).glob("**/*.parquet")
        ours, theirs = (pq.ParquetFile(one).read() for one in (path, folder / f"{name}.parquet"))
        assert ours.equals(theirs), f"{name}: {peer} wrote different values"


def peak_bytes(folder: Path, n_records: int) -> int:
    """Peak memory of a process that imports the first so many records of a folder into a new lake."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_import_and_tell, (folder, n_records))


def _import_and_tell(folder: Path, n_records: int) -> int:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        chosen = Path(name) / "chosen"
        chosen.mkdir()
        for path in sorted((folder / "records").iterdir())[:n_records]:
            os.link(path, chosen / path.name)
        with Lake.create(Path(name) / "lake") as lake:
            plan = plan_records([str(chosen)], None, Path(name) / "plan")
            sa1b_import.start(lake, plan, str(chosen), ORIGIN).finish(lake, workers=1)
    kib = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return kib * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=200, help="records")
    n_records = parser.parse_args().n
    with tempfile.TemporaryDirectory(prefix="curation-benchmark-") as name:
        folder = Path(name)
        paths = make_records(folder, max(n_records, 4 * SHARD_SIZE))
        peaks = [peak_bytes(folder, n) for n in (SHARD_SIZE, 4 * SHARD_SIZE)]
        for path in paths[n_records:]:
            path.unlink()
        best, n_masks = timed(paths[:n_records], folder)
        n_json = sum(path.stat().st_size for path in paths[:n_records])
        n_written = sum(path.stat().st_size for path in (folder / "main").glob("**/*.parquet"))
    print(
        f"{n_records} records, {n_masks} masks, {n_json / 1e6:.0f} MB of JSON, CPU time, best of {N_ROUNDS}"
    )
    for name, seconds in best.items():
        print(f"{name:>14}: {seconds:.2f} s, {n_masks / seconds:,.0f} masks/s")
    print(f"{n_written / 1e6:.1f} MB written, {n_written / n_json:.3f} of the JSON's bytes")
    told = " and ".join(f"{peak / 1e6:.0f} MB" for peak in peaks)
    print(f"peak memory of importing {SHARD_SIZE} and {4 * SHARD_SIZE} records: {told}")
    raise SystemExit(not tell(*claims(best, n_written / n_json, peaks)))


def timed(paths: list[Path], folder: Path) -> tuple[dict[str, float], int]:
    """CPU seconds of each side, best of N_ROUNDS, and the masks; every side's result is compared before."""
    work = ImportWork(plan_records([str(paths[0].parent)], None, folder), ORIGIN)
    n_masks = with_curation(work, folder)  # compiles the kernels, warms imports
    sides = {"curation": partial(with_curation, work, folder)}
    for name, read in {"json and rows": sa1b_peers.with_json_and_rows, **sa1b_peers.READERS}.items():
        sides[name] = partial(read, paths, folder)
        sides[name]()
        check_equal(folder, name)
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(N_ROUNDS):
        for name, side in sides.items():
            started = time.process_time()
            side()
            best[name] = min(best[name], time.process_time() - started)
    python = sa1b_peers.datumaro_python()
    if python is None:
        print("Datumaro is not installed in an environment of its own (DATUMARO_PYTHON): left out")
        return best, n_masks
    for _ in range(N_DATUMARO_ROUNDS):
        read_s, all_s, n_found = sa1b_peers.with_datumaro(python, paths[0].parent, folder)
        assert n_found == n_masks, f"Datumaro found {n_found} masks of {n_masks}"
        for name, seconds in (("Datumaro, rows", all_s), ("Datumaro reads", read_s)):
            best[name] = min(best.get(name, seconds), seconds)
    return best, n_masks


def claims(best: dict[str, float], written_share: float, peaks: list[int]) -> list[Claim]:
    work = "SA-1B JSON to Parquet, with all checks"
    readers = sorted(sa1b_peers.READERS, key=best.get)
    found = [Claim(work, "json + rows", best["curation"], best["json and rows"], FLOOR)]
    found.append(
        Claim(work, f"{readers[0]}, best of columns", best["curation"], best[readers[0]], COLUMNS_FLOOR)
    )
    found += [Claim(work, name, best["curation"], best[name]) for name in readers[1:]]
    if "Datumaro, rows" in best:
        found.append(Claim(work, "Datumaro", best["curation"], best["Datumaro, rows"], DATUMARO_FLOOR))
    found.append(
        Claim("the same, bytes written", "the JSON's", written_share, 1, round(1 / MOST_WRITTEN_SHARE, 2))
    )
    found.append(
        Claim("the same, peak memory", "1.2 x that of a quarter", peaks[1], MOST_GROWTH * peaks[0], 1)
    )
    return found


if __name__ == "__main__":
    main()
