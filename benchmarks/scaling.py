"""The catalog of a lake with as many shards as SA-1B has: what a commit and planning a query cost as it grows.

    python benchmarks/scaling.py [--shards 100 1000 11000] [--folder DIR] [--rows WORKSPACE …]

A shard of 1,000 images is committed as `curation generate` does, with files in `images`, `candidates`, `masks` and
`mask_embeddings`. The catalog of so many shards is then filled by repeating what one such commit wrote, in its own tables,
with the bounds of each file's mask ids shifted as they would be: DuckLake sees the catalog it would have. On it, commits
of further real shards are timed, and opening the lake, planning a query for one image and for all, and asking which shards
are done. The time is CPU seconds of this process, so that a busy machine does not count.

`--rows` prints bytes of a row, files, and seconds of an image of the tables and works of a workspace instead: what
SCALING.md multiplies.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from curation import runs, shards
from curation.connections import connect
from curation.ids import image_id, mask_id
from curation.lake import Lake
from curation.runs import RunSpec
from curation.schemas import TABLES
from curation.shards import Result, Shard
from curation.storage import quote

CATALOG = "__ducklake_metadata_lake"
IMAGES_PER_SHARD = 1_000
#: Commits and plans that are timed at each size; the median counts.
N_TIMES = 7
#: One mask an image is enough for the catalog: it keeps bounds of files, not rows.
TABLES_OF_A_SHARD = ("images", "candidates", "masks", "mask_embeddings")


class OneMaskEach:
    """Work with a row in each table for the first image of the shard, and one for the last."""

    def __call__(self, shard: Shard) -> Result:
        numbers = (shard.first, shard.stop - 1)
        rows = {name: [_row(name, shard.run_id, number) for number in numbers] for name in TABLES_OF_A_SHARD}
        return Result(
            {name: TABLES[name].table(rows[name]) for name in rows}, shard.stop - shard.first, 100_000
        )


def _row(table: str, run_id: int, number: int) -> dict:
    uri = f"/pictures/{number}.jpg"
    of_image = {"run_id": run_id, "image_id": image_id(uri)}
    of_mask = {**of_image, "mask_id": mask_id(run_id, number, 0)}
    size = {"width_px": 2250, "height_px": 1500}
    box = {"area_px": 1, "bbox_xywh": [0, 0, 1, 1]}
    if table == "images":
        return {**of_image, **size, "image_number": number, "uri": uri, "file_name": uri}
    if table == "candidates":
        made = {
            "candidate_index": 0,
            "crop_box_xywh": [0, 0, 2250, 1500],
            "crop_layer": 0,
            "point_xy": [1.0, 1.0],
        }
        scores = {"multimask_slot": 0, "predicted_iou": 0.9, "fate": "kept"}
        return {**of_image, **made, **scores, "candidate_id": of_mask["mask_id"]}
    if table == "masks":
        made = {"stage": "fully_automatic", "cycle": 0, "mask_index": 0, "is_crowd": False, "rle_counts": "0"}
        return {**of_mask, **size, **box, **made}
    return {"run_id": run_id, "mask_id": of_mask["mask_id"], "n_dims": 1, "embedding": b"ab"}


def start(root: Path) -> tuple[Lake, int]:
    lake = Lake.create(root)
    spec = RunSpec("import", "synthetic", {}, "0" * 64, 11_000_000, "fully_automatic", 0)
    return lake, runs.start(lake, spec).run_id


def shard_of(run_id: int, number: int) -> Shard:
    first = number * IMAGES_PER_SHARD
    return Shard(run_id, "import", f"{first:010d}", first, first + IMAGES_PER_SHARD)


def fill(root: Path, run_id: int, n_shards: int) -> None:
    """Repeat what the newest commit of a shard wrote to the catalog until it has `n_shards`. No lake may be open."""
    with connect("sqlite_scanner") as con:
        con.execute(f"ATTACH {quote(str(root / 'catalog.sqlite'))} AS c (TYPE sqlite); USE c; BEGIN")
        newest, next_file = con.execute(
            "SELECT snapshot_id, next_file_id FROM ducklake_snapshot ORDER BY snapshot_id DESC LIMIT 1"
        ).fetchone()
        (inlined,) = con.execute(
            """
            SELECT table_name FROM ducklake_inlined_data_tables
            WHERE table_id = (SELECT table_id FROM ducklake_table WHERE table_name = 'shards' AND end_snapshot IS NULL)
            ORDER BY schema_version DESC LIMIT 1
            """
        ).fetchone()
        (n_done,) = con.execute(f'SELECT count(*) FROM "{inlined}"').fetchone()
        step = mask_id(run_id, IMAGES_PER_SHARD, 0) - mask_id(run_id, 0, 0)
        values = {"newest": newest, "next_file": next_file, "n": n_shards - n_done, "step": step}
        (first_file,) = con.execute(
            "SELECT min(data_file_id) FROM ducklake_data_file WHERE begin_snapshot = ?", [newest]
        ).fetchone()
        values["width"] = next_file - first_file
        values["images"] = IMAGES_PER_SHARD
        for sql in _fillings(inlined):
            con.execute(sql, {name: value for name, value in values.items() if f"${name}" in sql})
        con.execute("COMMIT")


def _fillings(inlined: str) -> list[str]:
    """Inserts into each table of the catalog: `k` counts the shards that are added."""
    shift = "CROSS JOIN (SELECT range + 1 AS k FROM range($n))"
    files = "(SELECT data_file_id FROM ducklake_data_file WHERE begin_snapshot = $newest)"
    bounds = [
        f"CASE WHEN column_name IN ('mask_id', 'candidate_id') THEN ({side}::BIGINT + k * $step)::VARCHAR ELSE {side} END AS {side}"
        for side in ("min_value", "max_value")
    ]
    return [
        f"""
        INSERT INTO ducklake_file_column_stats BY NAME
        SELECT * EXCLUDE (k, column_name) REPLACE (data_file_id + k * $width AS data_file_id, {", ".join(bounds)})
        FROM ducklake_file_column_stats
        INNER JOIN (SELECT DISTINCT table_id, column_id, column_name FROM ducklake_column) USING (table_id, column_id)
        {shift} WHERE data_file_id IN {files}
        """,
        f"""
        INSERT INTO ducklake_file_partition_value
        SELECT * EXCLUDE (k) REPLACE (data_file_id + k * $width AS data_file_id)
        FROM ducklake_file_partition_value {shift} WHERE data_file_id IN {files}
        """,
        f"""
        INSERT INTO ducklake_data_file
        SELECT * EXCLUDE (k) REPLACE (
            data_file_id + k * $width AS data_file_id, begin_snapshot + k AS begin_snapshot,
            row_id_start + k * record_count AS row_id_start
        )
        FROM ducklake_data_file {shift} WHERE begin_snapshot = $newest
        """,
        f"""
        INSERT INTO "{inlined}"
        SELECT * EXCLUDE (k) REPLACE (
            row_id + k AS row_id, begin_snapshot + k AS begin_snapshot,
            lpad((shard::BIGINT + k * $images)::VARCHAR, 10, '0') AS shard
        )
        FROM "{inlined}" {shift} WHERE begin_snapshot = $newest
        """,
        f"""
        INSERT INTO ducklake_snapshot_changes
        SELECT * EXCLUDE (k) REPLACE (snapshot_id + k AS snapshot_id)
        FROM ducklake_snapshot_changes {shift} WHERE snapshot_id = $newest
        """,
        """
        UPDATE ducklake_table_stats SET
            next_row_id = next_row_id + $n * (next_row_id // greatest(1, record_count)) * 2,
            record_count = record_count + $n * 2
        WHERE record_count > 0 AND $newest > 0
        """,
        f"""
        INSERT INTO ducklake_snapshot
        SELECT * EXCLUDE (k) REPLACE (
            snapshot_id + k AS snapshot_id, next_file_id + k * $width AS next_file_id
        )
        FROM ducklake_snapshot {shift} WHERE snapshot_id = $newest
        """,
    ]


def timed(work: Callable[[], object]) -> float:
    """Median CPU seconds."""
    seconds = []
    for _ in range(N_TIMES):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return statistics.median(seconds)


def measure(root: Path, run_id: int, n_shards: int) -> dict[str, float]:
    """CPU milliseconds of what a person or a coordinator does on a lake with `n_shards`."""
    started = time.process_time()
    lake = Lake.open(root)
    found = {"open": time.process_time() - started}
    work = OneMaskEach()
    task = shards.ShardTask(work, lake.storage, lake.version())
    todo = iter([task(shard_of(run_id, n_shards + k)) for k in range(N_TIMES)])
    found["commit"] = timed(lambda: shards.commit(lake, next(todo)))
    low, high = mask_id(run_id, 5_000, 0), mask_id(run_id, 5_001, 0)
    one = f"SELECT mask_id, rle_counts FROM masks WHERE run_id = {run_id} AND mask_id >= {low} AND mask_id < {high}"
    found["plan one image"] = timed(lambda: lake.con.execute(f"EXPLAIN {one}").fetchall())
    found["plan all"] = timed(
        lambda: lake.con.execute(
            "EXPLAIN SELECT stage, count(*), avg(area_px) FROM masks GROUP BY ALL"
        ).fetchall()
    )
    found["shards done"] = timed(
        lambda: lake.con.execute("SELECT run_id, work, shard FROM shards").fetchall()
    )
    lake.close()
    return {name: 1_000 * seconds for name, seconds in found.items()}


def simulate(root: Path, sizes: list[int]) -> None:
    lake, run_id = start(root)
    shards.run(lake, OneMaskEach(), [shard_of(run_id, 0), shard_of(run_id, 1)])
    lake.close()
    print(f"{'shards':>8}{'catalog MB':>12}{'rows':>12}  CPU ms, median of {N_TIMES}", flush=True)
    for n_shards in sorted(sizes):
        fill(root, run_id, n_shards)
        n_bytes = sum(path.stat().st_size for path in root.glob("catalog.sqlite*"))
        found = measure(root, run_id, n_shards)
        told = "  ".join(f"{name} {ms:.1f}" for name, ms in found.items())
        print(f"{n_shards:8,}{n_bytes / 1e6:12.1f}{catalog_rows(root):12,}  {told}", flush=True)


def catalog_rows(root: Path) -> int:
    with connect("sqlite_scanner") as con:
        con.execute(f"ATTACH {quote(str(root / 'catalog.sqlite'))} AS c (TYPE sqlite, READ_ONLY)")
        tables = con.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'c'").fetchall()
        return sum(con.execute(f'SELECT count(*) FROM c."{name}"').fetchone()[0] for (name,) in tables)


def print_rows(root: Path) -> None:
    """Bytes a row of each table and seconds an image of each work."""
    with Lake.open(root, read_only=True) as lake:
        files = lake.con.execute(
            f"""
            SELECT table_name, count(*), sum(record_count), sum(file_size_bytes) / sum(record_count)
            FROM {CATALOG}.ducklake_data_file AS files
            INNER JOIN {CATALOG}.ducklake_table AS tables USING (table_id)
            WHERE files.end_snapshot IS NULL AND tables.end_snapshot IS NULL
            GROUP BY table_name ORDER BY table_name
            """
        ).fetchall()
        works = lake.con.execute(
            "SELECT work, sum(n_images), sum(n_masks), sum(took_s) / sum(n_images) FROM shards GROUP BY work ORDER BY work"
        ).fetchall()
    print(f"{root}: table, files, rows, bytes a row; work, images, masks, seconds an image")
    for name, n_files, n_rows, n_bytes in files:
        print(f"  {name:20}{n_files:8,}{int(n_rows):12,}{n_bytes:10.1f}")
    for name, n_images, n_masks, seconds in works:
        print(f"  {name:20}{int(n_images):8,}{int(n_masks):12,}{seconds:10.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", type=int, nargs="+", default=[100, 1_000, 11_000])
    parser.add_argument("--folder", type=Path, help="where the lake lies; temporary unless told")
    parser.add_argument("--rows", type=Path, nargs="+", help="workspaces to tell bytes and seconds of")
    options = parser.parse_args()
    if options.rows:
        for root in options.rows:
            print_rows(root)
        return
    with tempfile.TemporaryDirectory(prefix="curation-benchmark-") as temporary:
        simulate(options.folder or Path(temporary) / "w", options.shards)


if __name__ == "__main__":
    main()
