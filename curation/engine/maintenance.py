"""Upkeep of a lake: fewer and larger files, less in the catalog, and nothing kept that nothing can show any more.

Five steps, each DuckLake's own function: rows of small commits go from the catalog into files, versions that nobody
names and that are old are forgotten, small files are merged, and what no version shows any more is deleted: files that
were merged or forgotten, and files that no commit ever took (of killed workers).

Safe beside writers: each step is a commit of its own under the writers' lock, and merging commits after each file. No
file is deleted that was written or given up within the grace period, for a worker may be about to commit the one, and
a reader may still read the other. Before anything is deleted, every named version is counted again.

DuckLake's rewriting of files with deleted rows is left out: with rows flushed afterwards, it makes older versions show
rows twice (duckdb/ducklake, issue 1406).
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import duckdb
import pyarrow.fs as pafs

from curation.catalogs import CATALOG
from curation.errors import LakeError
from curation.lake import Lake
from curation.schemas import TABLES
from curation.settings import LAKE, MAINTENANCE
from curation.storage import quote, s3_filesystem

#: Live files with the folder of their table, their partition, and whether rows of them were deleted.
_FILES = f"""
    SELECT
        files.data_file_id,
        tables.table_name,
        files.path,
        files.path_is_relative,
        $base || schemas.path || tables.path AS folder,
        files.file_size_bytes,
        (
            SELECT string_agg(partition_value, '/' ORDER BY partition_key_index)
            FROM {CATALOG}.ducklake_file_partition_value AS of_file
            WHERE of_file.data_file_id = files.data_file_id
        ) AS partition
    FROM {CATALOG}.ducklake_data_file AS files
    INNER JOIN {CATALOG}.ducklake_table AS tables
        ON tables.table_id = files.table_id AND tables.end_snapshot IS NULL
    INNER JOIN {CATALOG}.ducklake_schema AS schemas USING (schema_id)
    WHERE files.end_snapshot IS NULL
        AND files.data_file_id NOT IN (
            SELECT data_file_id FROM {CATALOG}.ducklake_delete_file WHERE end_snapshot IS NULL
        )
"""
#: Files that merging may join with a neighbour: small ones of one partition. Deletions that still lie in the catalog are
#: not looked at; files with deleted rows are left alone once these are flushed.
_MERGEABLE = f"""
    SELECT table_name, count(*) AS n, sum(file_size_bytes) AS n_bytes
    FROM ({_FILES})
    WHERE file_size_bytes < {MAINTENANCE.merged_file_bytes}
    GROUP BY table_name, partition
    HAVING count(*) > 1
"""
#: Tables with files outside of their folder: on S3 DuckLake cannot name the folder of what it merges from them.
_STRAYING = (
    f"SELECT DISTINCT table_name FROM ({_FILES}) WHERE NOT path_is_relative AND NOT starts_with(path, folder)"
)
#: Files that no version in $kept shows.
_UNSHOWN = f"""
    SELECT coalesce(sum(file_size_bytes), 0)
    FROM {CATALOG}.ducklake_data_file AS files
    WHERE end_snapshot IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM unnest($kept::BIGINT[]) AS of_kept(version)
        WHERE version >= files.begin_snapshot AND version < files.end_snapshot
    )
"""


#: The steps, in their order.
ABOUT = {
    "flush": "rows go from the catalog into files",
    "expire": "old versions that nothing names",
    "merge": "small files are joined",
    "delete": "files that no version shows",
    "orphans": "files that no commit took",
}


@dataclass(frozen=True)
class Keep:
    """What maintenance leaves alone: versions younger than `versions_for`, files touched within `grace`."""

    versions_for: timedelta = timedelta(days=MAINTENANCE.keep_days)
    grace: timedelta = timedelta(hours=MAINTENANCE.grace_hours)


@dataclass(frozen=True)
class Step:
    """What one step did, or would do. `n_bytes` is what it reads (merge) or frees; None where that is not known."""

    step: str
    n: int
    unit: str
    n_bytes: int | None

    @property
    def about(self) -> str:
        return ABOUT[self.step]


def plan(lake: Lake, keep: Keep) -> list[Step]:
    """What `apply` would do now; nothing is changed.

    Bytes of `delete` are of files that are due already; those of `expire` follow a grace period later.
    """
    expired = _expirable(lake, keep, held_versions(lake))
    old = _paths(lake, "ducklake_cleanup_old_files", keep.grace, dry_run=True)
    orphans = _orphans(lake, keep)
    return [
        Step("flush", _n_inlined(lake), "rows", None),
        Step("expire", len(expired), "versions", _unshown_bytes(lake, expired)),
        Step("merge", *_mergeable(lake)),
        Step("delete", len(old), "files", sum(_sizes(lake, old).values())),
        Step("orphans", len(orphans), "files", sum(_sizes(lake, orphans).values())),
    ]


def apply(lake: Lake, keep: Keep, on_step: Callable[[Step], None] = lambda step: None) -> list[Step]:
    """Do all steps and return what each did. Killed at any moment and called again, it goes on from there.

    Raises LakeError where a named version shows other rows than before: then nothing has been deleted.
    """
    steps: list[Step] = []

    def tell(step: Step) -> None:
        steps.append(step)
        on_step(step)

    held = {**held_versions(lake), lake.version(): "the newest version"}
    before = counts(lake, held)
    tell(_flush(lake))
    tell(_expire(lake, keep, held))
    tell(_merge(lake))
    _require_same(lake, before, held)
    tell(_delete(lake, keep))
    tell(_delete_orphans(lake, keep))
    return steps


def held_versions(lake: Lake) -> dict[int, str]:
    """Versions that something names: a tag, or any row with a `snapshot_id`; with what names it."""
    holders = {
        name: schema
        for name, schema in TABLES.items()
        if any(column.name == "snapshot_id" for column in schema.columns)
    }
    parts = [
        f'SELECT DISTINCT snapshot_id, {quote(f"{name} ")} || "{schema.key[0]}" AS holder FROM "{name}"'
        for name, schema in holders.items()
    ]
    # A search of failures keeps the version that it looked at in its JSON.
    parts.append("SELECT DISTINCT (search ->> '$.snapshot')::BIGINT, 'clusters ' || search_id FROM clusters")
    rows = lake.con.execute(
        f"SELECT snapshot_id, min(holder) FROM ({' UNION ALL '.join(parts)}) WHERE snapshot_id IS NOT NULL GROUP BY ALL"
    ).fetchall()
    present = {
        version for (version,) in lake.con.execute("SELECT snapshot_id FROM lake.snapshots()").fetchall()
    }
    return {version: holder for version, holder in rows if version in present}


def _expirable(lake: Lake, keep: Keep, held: Mapping[int, str]) -> list[int]:
    rows = lake.con.execute(
        "SELECT snapshot_id FROM lake.snapshots() WHERE snapshot_time < ? ORDER BY snapshot_id",
        [datetime.now(timezone.utc) - keep.versions_for],
    ).fetchall()
    newest = lake.version()
    return [version for (version,) in rows if version not in held and version != newest]


def _unshown_bytes(lake: Lake, expired: list[int]) -> int:
    """Bytes of files that no version shows once these are forgotten."""
    rows = lake.con.execute("SELECT snapshot_id FROM lake.snapshots()").fetchall()
    kept = sorted({version for (version,) in rows} - set(expired))
    return int(lake.con.execute(_UNSHOWN, {"kept": kept}).fetchone()[0])


def _n_inlined(lake: Lake) -> int:
    """Rows of small commits that lie in the catalog."""
    names = lake.con.execute(
        f"SELECT DISTINCT table_name FROM {CATALOG}.ducklake_inlined_data_tables"
    ).fetchall()
    counts = [f'SELECT count(*) AS n FROM {CATALOG}."{name}"' for (name,) in names]
    if not counts:
        return 0
    return int(lake.con.execute(f"SELECT sum(n) FROM ({' UNION ALL '.join(counts)})").fetchone()[0])


def _mergeable(lake: Lake) -> tuple[int, str, int]:
    """Number, unit and bytes of the small files that are joined."""
    rows = lake.con.execute(_MERGEABLE, {"base": lake.storage.base}).fetchall()
    unmergeable = _unmergeable(lake)
    found = [(n, n_bytes) for table, n, n_bytes in rows if table not in unmergeable]
    return sum(n for n, _ in found), "files", int(sum(n_bytes for _, n_bytes in found))


def _unmergeable(lake: Lake) -> set[str]:
    """Tables of a bucket that an older curation wrote beside DuckLake's folders: their files stay as they are."""
    if not lake.storage.is_s3:
        return set()
    return {table for (table,) in lake.con.execute(_STRAYING, {"base": lake.storage.base}).fetchall()}


def _flush(lake: Lake) -> Step:
    _set_options(lake)
    rows = lake.commit(
        lambda con: con.execute("CALL ducklake_flush_inlined_data('lake')").fetchall(),
        "small commits moved to files",
    )
    return Step("flush", sum(n for *_, n in rows), "rows", None)


def _set_options(lake: Lake) -> None:
    """Let DuckLake write files as our workers do; the catalog keeps it."""
    wanted = {
        "parquet_compression": "zstd",
        "parquet_compression_level": str(LAKE.compression_level),
        "parquet_row_group_size": str(LAKE.row_group_rows),
        "target_file_size": str(MAINTENANCE.merged_file_bytes),
    }
    rows = lake.con.execute("SELECT option_name, value FROM ducklake_options('lake') WHERE scope = 'GLOBAL'")
    present = dict(rows.fetchall())
    changes = {name: value for name, value in wanted.items() if present.get(name) != value}
    if changes:
        lake.commit(
            # A size has to come with its unit, though it is told in bytes.
            lambda con: [
                con.execute("CALL lake.set_option(?, ?)", [name, value.replace("000000", "MB")])
                for name, value in changes.items()
            ],
            "how files are written",
        )


def _expire(lake: Lake, keep: Keep, held: Mapping[int, str]) -> Step:
    """Forget versions, those in `held` never. What else is named is read in the same commit: no tag can come between."""

    def work(con: duckdb.DuckDBPyConnection) -> tuple[int, int]:
        versions = _expirable(lake, keep, {**held, **held_versions(lake)})
        n_bytes = _unshown_bytes(lake, versions)
        for first in range(0, len(versions), MAINTENANCE.versions_at_once):
            some = versions[first : first + MAINTENANCE.versions_at_once]
            con.execute(f"CALL ducklake_expire_snapshots('lake', versions => {some})")
        return len(versions), n_bytes

    n, n_bytes = lake.commit(work, "old versions forgotten")
    return Step("expire", n, "versions", n_bytes)


def _merge(lake: Lake) -> Step:
    """Join small files, one new file a commit, so that writers wait for no more than that."""
    n_files = 0
    _, _, n_bytes = _mergeable(lake)
    tables = {table for table, *_ in lake.con.execute(_MERGEABLE, {"base": lake.storage.base}).fetchall()}
    for table in sorted(tables - _unmergeable(lake)):
        while True:
            rows = lake.commit(
                lambda con, table=table: con.execute(
                    "CALL ducklake_merge_adjacent_files('lake', ?, max_compacted_files => 1)", [table]
                ).fetchall(),
                f"small files of {table} joined",
            )
            if not rows:
                break
            n_files += sum(row[2] for row in rows)
    return Step("merge", n_files, "files", n_bytes)


def _delete(lake: Lake, keep: Keep) -> Step:
    """Delete what was merged or forgotten a grace period ago."""
    paths = _paths(lake, "ducklake_cleanup_old_files", keep.grace, dry_run=True)
    n_bytes = sum(_sizes(lake, paths).values())
    taken = set(paths) & _catalog_paths(lake)
    if taken:
        raise LakeError(
            f"{sorted(taken)[0]}: due to be deleted, but the catalog shows it; nothing was deleted"
        )
    lake.commit(
        lambda con: _paths(lake, "ducklake_cleanup_old_files", keep.grace, dry_run=False), "old files deleted"
    )
    return Step("delete", len(paths), "files", n_bytes)


def _delete_orphans(lake: Lake, keep: Keep) -> Step:
    paths = _orphans(lake, keep)
    n_bytes = sum(_sizes(lake, paths).values())
    taken = set(paths) & _catalog_paths(lake)
    if taken:
        raise LakeError(
            f"{sorted(taken)[0]}: DuckLake calls it an orphan, but the catalog has it; nothing was deleted"
        )
    lake.commit(
        lambda con: _paths(lake, "ducklake_delete_orphaned_files", keep.grace, dry_run=False),
        "orphans deleted",
    )
    for path in _unfinished(lake, keep):
        Path(path).unlink(missing_ok=True)
    return Step("orphans", len(paths), "files", n_bytes)


def _orphans(lake: Lake, keep: Keep) -> list[str]:
    return [
        *_paths(lake, "ducklake_delete_orphaned_files", keep.grace, dry_run=True),
        *_unfinished(lake, keep),
    ]


def _unfinished(lake: Lake, keep: Keep) -> Iterator[str]:
    """Files of a folder that a killed worker had not finished; an upload to S3 is there whole or not at all."""
    if lake.storage.is_s3:
        return
    latest = (datetime.now(timezone.utc) - keep.grace).timestamp()
    for path in Path(lake.storage.base).rglob("*.parquet.*.tmp"):
        if path.stat().st_mtime < latest:
            yield str(path)


def _paths(lake: Lake, function: str, grace: timedelta, dry_run: bool) -> list[str]:
    """Paths that one of DuckLake's deleting functions deletes, or would delete."""
    latest = datetime.now(timezone.utc) - grace
    rows = lake.con.execute(
        f"CALL {function}('lake', dry_run => {dry_run}, older_than => {quote(latest.isoformat())}::TIMESTAMPTZ)"
    )
    return [path for (path,) in rows.fetchall()]


def _catalog_paths(lake: Lake) -> set[str]:
    """Whole paths of every file that any version shows."""
    rows = lake.con.execute(
        f"""
        SELECT CASE WHEN files.path_is_relative THEN $base || schemas.path || tables.path ELSE '' END || files.path
        FROM (
            SELECT table_id, path, path_is_relative FROM {CATALOG}.ducklake_data_file
            UNION ALL
            SELECT table_id, path, path_is_relative FROM {CATALOG}.ducklake_delete_file
        ) AS files
        INNER JOIN {CATALOG}.ducklake_table AS tables USING (table_id)
        INNER JOIN {CATALOG}.ducklake_schema AS schemas USING (schema_id)
        """,
        {"base": lake.storage.base},
    )
    return {path for (path,) in rows.fetchall()}


def _sizes(lake: Lake, paths: list[str]) -> dict[str, int]:
    """Bytes of each file; a file that is gone has none."""
    if not lake.storage.is_s3:
        return {path: os.path.getsize(path) if os.path.exists(path) else 0 for path in paths}
    if not paths:
        return {}
    found: list[pafs.FileInfo] = s3_filesystem().get_file_info([path.removeprefix("s3://") for path in paths])
    return {path: info.size or 0 for path, info in zip(paths, found, strict=True)}


def counts(lake: Lake, versions: Iterable[int]) -> dict[tuple[int, str], int]:
    """Rows of every table that ever had any, at every version that had the table."""
    tables = lake.con.execute(
        f"""
        SELECT of_version.version, tables.table_name
        FROM {CATALOG}.ducklake_table AS tables
        INNER JOIN {CATALOG}.ducklake_table_stats AS stats USING (table_id)
        INNER JOIN unnest($versions::BIGINT[]) AS of_version(version)
            ON of_version.version >= tables.begin_snapshot
            AND of_version.version < coalesce(tables.end_snapshot, of_version.version + 1)
        WHERE stats.record_count > 0
        ORDER BY ALL
        """,
        {"versions": sorted(versions)},
    ).fetchall()
    return {key: _count(lake, *key) for key in tables}


def _count(lake: Lake, version: int, table: str) -> int:
    sql = f'SELECT count(*) FROM lake."{table}" AT (VERSION => {version})'
    return lake.con.execute(sql).fetchone()[0]


def _require_same(lake: Lake, before: Mapping[tuple[int, str], int], held: Mapping[int, str]) -> None:
    for (version, table), n_rows in before.items():
        n_now = _count(lake, version, table)
        if n_now != n_rows:
            raise LakeError(
                f"version {version} ({held[version]}), table {table}: {n_rows:,} rows before maintenance, {n_now:,} after; "
                "no file was deleted. Restore the catalog from its backup and report this"
            )
