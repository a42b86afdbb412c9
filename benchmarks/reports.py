"""Every report on a synthetic lake of millions of masks, against DuckDB's own scan of the same columns.

    python benchmarks/reports.py [--masks 1 10 50] [--memory 4GB] [--threads 2] [--only NAME …] [--folder DIR]

The lake has two runs over the same images, 100 masks an image, with the rows that a measured run has in every table;
the ledger, the pairs of overlapping masks, and what a verifier and a routing say of each mask have about as many rows
as there are masks; at least 500 images have gold. Nobody has judged anything. RLE strings are short dummies:
no report reads them. DuckDB writes the files, with the lake's row groups and compression, and the lake adds them; a
file holds 10,000 images, as after many small shards were merged.

Each report runs in a process of its own with bounded memory, spilling to disk. The scan sums every column that the
report's plan reads, once a table: what reading alone costs. Both find the files in the system's cache. Prints rows of
the largest table, seconds, rows a second, the ratio to the scan, the peak memory of the process (about 0.3 GB of it is
Python and its packages), and what the 1.1 billion masks of SA-1B would take on the straight line through this size and
the one before (through nothing, for the first). Ends with 1 where a report that takes a second or more takes more than
a small multiple of its scan, where one takes more than 1.5 GB, or where all together take more than 1.1 times as much longer
as a lake is larger than the one before. What pandas and polars take for some of them is told by `benchmarks.report_peers`.
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import pyarrow as pa

from benchmarks.claims import Claim, tell
from curation import queries, shards
from curation.ids import IMAGE_BITS, INDEX_BITS
from curation.lake import Lake
from curation.schemas import SQL_TYPES, TABLES
from curation.settings import LAKE
from curation.shards import Done, Shard
from curation.storage import DataFile

MILLION = 1_000_000
SA1B_MASKS = 1_100 * MILLION
MASKS_PER_IMAGE = 100
IMAGES_PER_FILE = 10_000
#: The shards table has one row for so many images, as `curation measure` writes it.
IMAGES_PER_SHARD = 100
#: Candidates that a 32 x 32 grid makes of an image.
CANDIDATES_PER_IMAGE = 3_072
#: One image in so many has gold, at least 500 in all, as SAM's quality study had.
GOLD_EVERY = 100
RUNS = {1: ("semi_automatic", 4), 2: ("fully_automatic", 0)}
GOLD_RUN = 3
#: A report is marked that is slower than so many scans of its columns; below a second, planning is what takes time.
SMALL_MULTIPLE, LEAST_S = 8, 1.0
#: Most memory of a report, and most that the time may grow by, for each time the rows grow (issue 6, section 1).
MOST_PEAK_BYTES, MOST_GROWTH = 1.5e9, 1.1

#: Uniform 0..1 that depends on the row, the run and a salt alone.
MACROS = """
    CREATE OR REPLACE TEMP MACRO noise(n, salt) AS (hash(n * 1_000 + salt) >> 11) / 9_007_199_254_740_992;
    CREATE OR REPLACE TEMP MACRO picture(n) AS (hash(n) >> 1)::BIGINT;
"""

#: What every table of masks starts from: `n` numbers the mask, `image_number` its image.
MASK_ROWS = f"""
    SELECT
        $run_id::INTEGER AS run_id,
        range // {MASKS_PER_IMAGE} AS image_number,
        (range % {MASKS_PER_IMAGE})::INTEGER AS mask_index,
        (($run_id::BIGINT << {IMAGE_BITS}) + image_number << {INDEX_BITS}) + mask_index AS mask_id,
        picture(image_number) AS image_id,
        $run_id + 2 * range AS n,
        exp(5 + 6 * noise($run_id + 2 * range, 1))::BIGINT AS area_px
    FROM range($first * {MASKS_PER_IMAGE}, $stop * {MASKS_PER_IMAGE})
"""

HAS_GOLD = f"image_number % greatest(1, least({GOLD_EVERY}, $n_images // 500)) = 0"

#: Rows of images [$first, $stop) of run $run_id, by table; nullable columns may be left out.
FILES = {
    "images": """
        SELECT
            $run_id AS run_id, picture(range) AS image_id, range AS image_number,
            concat('/pictures/', range, '.jpg') AS uri, concat(range, '.jpg') AS file_name,
            2250 AS width_px, 1500 AS height_px, NULL AS source_image_id
        FROM range($first, $stop)
    """,
    "masks": f"""
        SELECT
            run_id, mask_id, image_id, mask_index, $stage AS stage, $cycle AS cycle,
            2250 AS width_px, 1500 AS height_px, area_px,
            [mask_index, mask_index, 100, 100] AS bbox_xywh,
            1 - 0.3 * noise(n, 2) ^ 2 AS predicted_iou, 1 - 0.2 * noise(n, 3) ^ 2 AS stability_score,
            (mask_index % 3) AS multimask_slot,
            false AS is_crowd, '0' AS rle_counts
        FROM ({MASK_ROWS})
    """,
    "mask_features": f"""
        SELECT
            run_id, mask_id, image_id, area_px, [mask_index, mask_index, 100, 100] AS bbox_xywh,
            area_px / 3_375_000 AS image_share, sqrt(area_px / 3_375_000) AS relative_size,
            (noise(n, 4) < 0.2) AS n_borders_touched, noise(n, 4) < 0.05 AS touches_left,
            noise(n, 4) BETWEEN 0.05 AND 0.10 AS touches_top, noise(n, 4) BETWEEN 0.10 AND 0.15 AS touches_right,
            noise(n, 4) BETWEEN 0.15 AND 0.20 AS touches_bottom, 1 AS n_components,
            area_px AS largest_component_px, 0 AS n_holes, 0 AS holes_px, 400 AS perimeter_px,
            area_px * 1.2 AS hull_area_px, 1 - noise(n, 5) ^ 2 AS solidity, noise(n, 5) ^ 2 AS concavity,
            0.5 AS elongation, [noise(n, 6), noise(n, 7)] AS center_xy, 5 AS gap_left_px,
            5 AS gap_top_px, 5 AS gap_right_px, 5 AS gap_bottom_px,
            0 AS stray_share, 0.9 AS boundary_smoothness
        FROM ({MASK_ROWS})
    """,
    "mask_nesting": f"""
        SELECT
            run_id, mask_id, image_id, floor(4 * noise(n, 8) ^ 2)::INTEGER AS nesting_depth,
            ['whole', 'part', 'subpart', 'subpart'][1 + nesting_depth] AS level,
            (mask_index % 4) AS n_children, (noise(n, 9) < 0.05) AS n_near_duplicates
        FROM ({MASK_ROWS})
    """,
    "overlaps": f"""
        SELECT
            run_id, image_id, mask_id, mask_id + 1 AS other_mask_id, 100 AS intersection_px,
            noise(n, 10) ^ 3 AS iou, noise(n, 11) AS mask_share, noise(n, 12) AS other_share
        FROM ({MASK_ROWS})
        WHERE mask_index < {MASKS_PER_IMAGE - 1}
    """,
    "image_coverage": f"""
        SELECT
            $run_id AS run_id, picture(range) AS image_id, {MASKS_PER_IMAGE} AS n_masks,
            floor(3_375_000 * noise(range, 13)) AS covered_px, noise(range, 13) AS covered_share,
            floor(600_000 * noise(range, 14)) AS largest_uncovered_px,
            [0, 0, 100, 100] AS largest_uncovered_bbox_xywh, 1 + noise(range, 15) AS mean_depth,
            20 * noise(range, 16) AS crowdedness
        FROM range($first, $stop)
    """,
    "candidates": f"""
        SELECT
            $run_id AS run_id, (($run_id::BIGINT << {IMAGE_BITS}) + image_number << {INDEX_BITS}) + candidate_index AS candidate_id,
            picture(image_number) AS image_id, candidate_index AS candidate_index,
            [0, 0, 2250, 1500] AS crop_box_xywh, 0 AS crop_layer,
            (range % 3) AS multimask_slot, luck AS predicted_iou,
            CASE WHEN luck > 0.8 THEN 1 - 0.2 * noise(range, 18) ^ 2 END AS stability_score,
            CASE WHEN luck > 0.8 THEN exp(5 + 6 * noise(range, 1)) END AS area_px,
            CASE WHEN luck > 0.8 THEN [0, 0, 100, 100] END AS bbox_xywh,
            CASE
                WHEN luck <= 0.8 THEN 'predicted_iou'
                WHEN stability_score < 0.9 THEN 'stability'
                WHEN range % 4 > 0 THEN 'duplicate_of'
                ELSE 'kept'
            END AS fate,
            CASE WHEN fate = 'duplicate_of' THEN candidate_id END AS duplicate_of,
            CASE WHEN fate = 'duplicate_of' THEN 'crop' END AS duplicate_pass, NULL AS rle_counts
        FROM (
            SELECT
                range, range // {CANDIDATES_PER_IMAGE} AS image_number, range % {CANDIDATES_PER_IMAGE} AS candidate_index,
                1 - noise($run_id + 2 * range, 17) ^ 2 AS luck
            FROM range($first * {MASKS_PER_IMAGE}, $stop * {MASKS_PER_IMAGE})
        )
    """,
    "gold_matches": f"""
        SELECT
            run_id, {GOLD_RUN} AS gold_run_id, image_id, mask_id, 1 - noise(n, 19) ^ 2 AS gold_iou,
            (({GOLD_RUN}::BIGINT << {IMAGE_BITS}) + image_number << {INDEX_BITS}) + mask_index AS gold_mask_id,
            gold_mask_id AS best_gold_mask_id, gold_iou AS matched_iou,
            gold_iou AS gold_best_iou, gold_iou ^ 2 AS gold_boundary_iou, gold_iou ^ 2 AS matched_boundary_iou,
            mask_index AS score_rank, 0 AS coco_matched, 0 AS coco_ignored,
            [(mask_index < 1)::INTEGER * 9, (mask_index < 10)::INTEGER * 9, 9, 9] AS coco_found,
            ['none', 'none', 'merge', 'split', 'partial', 'spill', 'hole', 'fragment'][1 + (hash(n) % 8)::INTEGER] AS error_kind
        FROM ({MASK_ROWS})
        WHERE {HAS_GOLD}
    """,
    "verifier_scores": f"""
        SELECT run_id, mask_id, image_id, 'benchmark' AS verifier, noise(n, 20) AS score, true AS is_held_out
        FROM ({MASK_ROWS})
    """,
    "routes": f"""
        SELECT
            run_id, mask_id, image_id, 'benchmark' AS routing, noise(n, 20) AS score,
            CASE WHEN score > 0.3 THEN 'accept' WHEN score > 0.05 THEN 'review' ELSE 'reject' END AS route
        FROM ({MASK_ROWS})
    """,
}
#: The same of the gold run, whose masks are as many as those of each other run on the images with gold.
GOLD_FILES = {
    "gold_masks": f"""
        SELECT
            run_id, mask_id AS gold_mask_id, image_id, mask_index, 2250 AS width_px, 1500 AS height_px, area_px,
            [mask_index, mask_index, 100, 100] AS bbox_xywh, false AS is_crowd, 'benchmark' AS annotator,
            false AS is_anchored, ['whole', 'part'][1 + mask_index % 2] AS nesting, '0' AS rle_counts
        FROM ({MASK_ROWS})
        WHERE {HAS_GOLD}
    """,
}


def build(root: Path, n_masks: int, tables: Collection[str] = FILES.keys()) -> Lake:
    """A lake with `n_masks` rows of masks in two runs; of the large tables only those named are filled."""
    files = {table: sql for table, sql in FILES.items() if table in tables}
    lake = Lake.create(root)
    lake.con.execute(MACROS)
    n_images = n_masks // MASKS_PER_IMAGE // len(RUNS)
    lake.append({"runs": TABLES["runs"].table(list(_runs(n_images)))}, "runs")
    lake.append(dict(_chosen()), "verifier and routing")
    for run_id, (stage, cycle) in RUNS.items():
        for first in range(0, n_images, IMAGES_PER_FILE):
            _commit(
                lake,
                "generate",
                files,
                {"run_id": run_id, "stage": stage, "cycle": cycle, "first": first},
                n_images,
            )
        lake.append({"shards": TABLES["shards"].table(list(_shards(run_id, n_images)))}, "shards")
    for first in range(0, n_images, IMAGES_PER_FILE):
        _commit(lake, "gold", GOLD_FILES, {"run_id": GOLD_RUN, "first": first}, n_images)
    return lake


def _commit(
    lake: Lake, work: str, files: Mapping[str, str], values: Mapping[str, object], n_images: int
) -> None:
    """The rows of some images as one shard."""
    first = values["first"]
    stop = min(first + IMAGES_PER_FILE, n_images)
    values = {**values, "stop": stop, "n_images": n_images}
    made = [_write(lake, table, sql, values) for table, sql in files.items()]
    done = Done(
        Shard(values["run_id"], work, f"{first:010d}", first, stop),
        tuple(data_file for data_file in made if data_file.n_rows),
        TABLES["problems"].table([]),
        stop - first,
        (stop - first) * MASKS_PER_IMAGE,
        100.0,
    )
    shards.commit(lake, done)


def _chosen() -> Iterator[tuple[str, pa.Table]]:
    """What the rows of `verifier_scores` and `routes` are of."""
    now = datetime.now(timezone.utc)
    told = {"settings": "{}", "snapshot_id": 1}
    verifier = {
        "verifier": "benchmark",
        "method": "benchmark",
        "columns": ["predicted_iou"],
        "versions": "{}",
    }
    counts = {"n_masks": 1, "n_images": 1, "n_bad": 0, "seed": 0, "fitted_at": now}
    yield "verifiers", TABLES["verifiers"].table([{**told, **verifier, **counts}])
    routing = {"routing": "benchmark", "score": "verifier", "verifier": "benchmark", "method": "benchmark"}
    counts = {"n_calibration_masks": 1, "n_calibration_images": 1, "routed_at": now}
    yield "routings", TABLES["routings"].table([{**told, **routing, **counts}])


def _runs(n_images: int) -> Iterator[dict]:
    now = datetime.now(timezone.utc)
    told = {"source": "synthetic", "settings": "{}", "image_set_sha256": "0" * 64, "versions": "{}"}
    for run_id, (stage, cycle) in RUNS.items():
        made = {"kind": "generate", "stage": stage, "cycle": cycle, "n_images": n_images}
        yield {
            **told,
            **made,
            "run_id": run_id,
            "run_key": str(run_id),
            "started_at": now,
            "finished_at": now,
        }
    gold = {"kind": "gold", "annotator": "benchmark", "is_anchored": False, "n_images": 0}
    yield {**told, **gold, "run_id": GOLD_RUN, "run_key": "gold", "started_at": now, "finished_at": now}


def _shards(run_id: int, n_images: int) -> Iterator[dict]:
    now = datetime.now(timezone.utc)
    for first in range(0, n_images, IMAGES_PER_SHARD):
        yield {
            "run_id": run_id,
            "work": "measure",
            "shard": f"{first:010d}",
            "first_image": first,
            "stop_image": min(first + IMAGES_PER_SHARD, n_images),
            "n_images": IMAGES_PER_SHARD,
            "n_masks": IMAGES_PER_SHARD * MASKS_PER_IMAGE,
            "n_problems": 0,
            "took_s": 10.0,
            "finished_at": now,
        }


def _write(lake: Lake, table: str, sql: str, values: Mapping[str, object]) -> DataFile:
    """Rows of one table as a Parquet file where the lake's storage would put it."""
    path = Path(
        lake.storage.base, table, f"run_id={values['run_id']}", f"generate-{values['first']:010d}.parquet"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {name: value for name, value in values.items() if f"${name}" in sql}
    made = {name for name, *_ in lake.con.execute(f"DESCRIBE {sql}", values).fetchall()}
    columns = ", ".join(
        f"{_quoted(c.name) if c.name in made else 'NULL'}::{SQL_TYPES[c.type]} AS {_quoted(c.name)}"
        for c in TABLES[table].columns
    )
    (n_rows,) = lake.con.execute(
        f"""
        COPY (SELECT {columns} FROM ({sql})) TO '{path}' (
            FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {LAKE.compression_level},
            ROW_GROUP_SIZE {LAKE.row_group_rows}
        )
        """,
        values,
    ).fetchone()
    return DataFile(table, str(path), n_rows)


def _quoted(name: str) -> str:
    return f'"{name}"'


@dataclass(frozen=True)
class Limits:
    """What a report may take of the machine."""

    memory: str
    threads: int


@dataclass(frozen=True)
class Timing:
    """Of one report: `n_rows` of the largest table that it reads."""

    name: str
    n_rows: int
    report_s: float
    scan_s: float
    peak_bytes: int

    @property
    def ratio(self) -> float:
        return self.report_s / self.scan_s

    @property
    def is_slow(self) -> bool:
        return self.report_s >= LEAST_S and self.ratio > SMALL_MULTIPLE


def measure(root: Path, name: str, limits: Limits, spill: Path) -> Timing:
    """Time one report and the scan of its columns; for a fresh process, whose peak memory it tells."""
    with Lake.open(root, read_only=True) as lake:
        lake.con.execute(f"SET memory_limit = '{limits.memory}'; SET threads = {limits.threads}")
        lake.con.execute(f"SET temp_directory = '{spill}'")
        report = queries.get(name)
        columns = report.columns_read(lake)
        _scan(lake, columns)  # files come into the caches of DuckDB and of the system
        report_s = _seconds(lambda: report.run(lake))
        scan_s = _seconds(lambda: _scan(lake, columns))
        n_rows = max((_n_rows(lake, table) for table in columns), default=0)
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Timing(name, n_rows, report_s, scan_s, peak_kib * (1 if sys.platform == "darwin" else 1024))


def _scan(lake: Lake, columns: Mapping[str, set[str]]) -> None:
    for table, names in columns.items():
        kinds = {column.name: column.type for column in TABLES[table].columns}
        sums = [_sum(name, kinds[name]) for name in sorted(names)] or ["count(*)"]
        lake.con.execute(f'SELECT {", ".join(sums)} FROM "{table}"').fetchall()


def _sum(name: str, kind: str) -> str:
    """The cheapest aggregate that must read every value."""
    if kind.startswith("list"):
        return f'max("{name}"[1])'
    if kind == "string":
        return f'max("{name}")'
    return f'max("{name}")' if kind.startswith("timestamp") else f'sum("{name}"::DOUBLE)'


def _n_rows(lake: Lake, table: str) -> int:
    return lake.con.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def run(root: Path, names: list[str], limits: Limits) -> Iterator[Timing]:
    """Timings of the reports, each from a process of its own."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(dir=root) as spill, context.Pool(1, maxtasksperchild=1) as pool:
        for name in names:
            yield pool.apply(measure, (root, name, limits, Path(spill)))


HEADINGS = ("report", "Mrows", "s", "Mrows/s", "scan s", "ratio", "peak GB", "1.1 G masks")


@dataclass(frozen=True)
class Point:
    """A report took `seconds` on a lake of `n_masks`."""

    n_masks: int
    seconds: float


def straight_line_s(point: Point, earlier: Point) -> float:
    """Seconds for SA-1B on the line through two points."""
    slope = (point.seconds - earlier.seconds) / (point.n_masks - earlier.n_masks)
    return point.seconds + max(slope, 0) * (SA1B_MASKS - point.n_masks)


@dataclass(frozen=True)
class Set:
    """What all reports took on a lake of `millions` of masks."""

    millions: float
    seconds: float
    peak_bytes: int


def claims(of_set: Set, earlier: Set | None) -> Iterator[Claim]:
    """That no report takes too much memory, and that the set takes no more time than its rows explain."""
    reports = f"reports, {of_set.millions:g} M masks"
    yield Claim(f"most memory of the {reports}", "1.5 GB", of_set.peak_bytes, MOST_PEAK_BYTES, 1)
    if earlier:
        growth = of_set.millions / earlier.millions
        allowed = MOST_GROWTH * growth
        peer = f"{allowed:g} times the time at {earlier.millions:g} M"
        yield Claim(f"time of the {reports}", peer, of_set.seconds, allowed * earlier.seconds, 1)


def show(timing: Timing, whole_s: float) -> str:
    cells = (
        f"{timing.n_rows / MILLION:9.2f}",
        f"{timing.report_s:9.2f}",
        f"{timing.n_rows / timing.report_s / MILLION:9.2f}",
        f"{timing.scan_s:9.2f}",
        f"{timing.ratio:8.1f}x",
        f"{timing.peak_bytes / 1e9:9.2f}",
        f"{whole_s / 60:9.1f} min",
    )
    return f"{timing.name:26}{''.join(cells)}{' *' if timing.is_slow else ''}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--masks", type=float, nargs="+", default=[1], help="millions of masks")
    parser.add_argument("--memory", default="4GB", help="DuckDB's memory limit")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", help="names of reports; all unless told")
    parser.add_argument(
        "--folder", type=Path, help="where the lakes lie; kept and used again, temporary unless told"
    )
    options = parser.parse_args()
    limits = Limits(options.memory, options.threads)
    n_slow, points, earlier_set, told = 0, {}, None, []
    with tempfile.TemporaryDirectory(prefix="curation-benchmark-") as temporary:
        for millions in sorted(set(options.masks)):
            root = (options.folder or Path(temporary)) / f"{millions:g}"
            if not (root / "workspace.json").exists():
                took_s = _seconds(lambda root=root, n=int(millions * MILLION): build(root, n).close())
                print(f"lake of {millions:g} million masks written in {took_s:.0f} s")
            print(f"{millions:g} million masks; memory limit {limits.memory}, {limits.threads} threads")
            print(
                f"{HEADINGS[0]:26}{''.join(f'{heading:>9}' for heading in HEADINGS[1:-1])}{HEADINGS[-1]:>13}"
            )
            timings = []
            for timing in run(root, options.only or list(queries.load()), limits):
                timings.append(timing)
                point = Point(int(millions * MILLION), timing.report_s)
                earlier = points.get(timing.name, Point(0, 0.0))
                print(show(timing, straight_line_s(point, earlier)), flush=True)
                points[timing.name] = point
                n_slow += timing.is_slow
            of_set = Set(millions, sum(t.report_s for t in timings), max(t.peak_bytes for t in timings))
            told += claims(of_set, earlier_set)
            earlier_set = of_set
    if n_slow:
        print(f"* more than {SMALL_MULTIPLE} times its scan")
    are_kept = tell(*told)
    raise SystemExit(1 if n_slow or not are_kept else 0)


if __name__ == "__main__":
    main()
