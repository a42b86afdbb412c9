"""Moving a workspace: a local one to PostgreSQL and a bucket, or back, with every version, tag and id as it was.

Data files are copied as they are, and so are the catalog's own tables; only the places in them are written anew. So the
whole history moves: `--at TAG` shows the same, and what samples, batches and releases refer to is still there.

The source stays as it is, but for one commit that moves the rows of small commits from its catalog into files (as
`curation maintain` does), because each kind of catalog keeps such rows in its own way. Work may go on in it while files
are copied; at the end its writers wait while the catalog is copied. What they commit after that is not moved.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.fs as pafs

from curation import lake as lakes
from curation import locks
from curation.catalogs import CATALOG, FILE_TABLES
from curation.connections import connect
from curation.engine import content_hashes, maintenance
from curation.errors import LakeError
from curation.lake import WORKSPACE_FILE, Lake
from curation.schemas import TABLES
from curation.storage import quote, s3_filesystem

#: Table of a catalog that is being moved to; it goes when the move was checked.
_MARK = "curation_moving"
#: Files copied at once.
_N_COPIES = 8
#: What is not copied along with a workspace's folder.
_CATALOG_ENDINGS = ("", "-wal", "-shm", "-journal", ".lock")


@dataclass(frozen=True)
class Target:
    """Where to: the folder of the new workspace; `catalog` and `data` as `Lake.create` takes them."""

    root: Path
    catalog: str | None = None
    data: str | None = None


@dataclass(frozen=True)
class Moved:
    """What was moved and checked. `version` is the newest one; `n_copied` files were not there from an earlier call."""

    root: Path
    version: int
    n_versions: int
    n_tags: int
    n_rows: int
    n_files: int
    n_copied: int
    n_bytes: int


@dataclass(frozen=True)
class _File:
    """A data file of the source, and its path below the target's data."""

    path: str
    place: str
    n_bytes: int


OnStep = Callable[[str], None]


def move(source: Lake, target: Target, on_step: OnStep = lambda step: None) -> Moved:
    """Copy `source` to `target` and prove it: content hashes of the newest version, row counts of every named one.

    Killed at any moment and called again, it goes on: whole files are not copied twice, and the target is a workspace
    only at the end. Raises LakeError where something else lies at the target, or the copy is not equal.
    """
    root = target.root.expanduser().resolve()
    places = _places(source, root, target)
    catalog, data = lakes.resolve(root, places)
    with Lake(root, catalog, data, at=None, read_only=False) as made:
        _mark(made, source)
        n_copied = _copy_files(_files(source), made, on_step)
        on_step("rows of small commits go into files")
        source.commit(
            lambda con: con.execute("CALL ducklake_flush_inlined_data('lake')").fetchall(),
            "small commits moved to files, before the workspace is moved",
        )
        with locks.writers_lock(source.root, source.catalog):
            files = _files(source)
            n_copied += _copy_files(files, made, on_step)
            on_step("catalog")
            _copy_catalog(source, made)
            version = source.version()
    _copy_folder(source, root)
    n_rows = _check(source, version, Lake(root, catalog, data, at=None, read_only=True), on_step)
    lakes.write_places(root, places)
    _unmark(catalog)
    with Lake.open(root, read_only=True) as moved:
        return Moved(
            root,
            version,
            moved.snapshots().num_rows,
            moved.tags().num_rows,
            n_rows,
            len(files),
            n_copied,
            sum(file.n_bytes for file in files),
        )


def _places(source: Lake, root: Path, target: Target) -> dict[str, str]:
    """What workspace.json will say. Raises LakeError where `root` is a workspace or lies in the source."""
    if (root / WORKSPACE_FILE).exists():
        raise LakeError(f"{root} is a workspace already: choose another folder")
    if root == source.root or source.root in root.parents or root in source.root.parents:
        raise LakeError(f"{root} lies in, or around, {source.root}: choose another folder")
    places = lakes.places(target.catalog, target.data)
    root.mkdir(parents=True, exist_ok=True)
    if not places["data"].startswith("s3://"):
        (root / places["data"]).mkdir(parents=True, exist_ok=True)
    if lakes.resolve(root, places)[1] == source.storage.base:
        raise LakeError(f"--data {places['data']}: the source's own data lie there; choose another place")
    _require_ours(source, lakes.resolve(root, places)[0])
    return places


@contextmanager
def _catalogs(**urls: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Catalogs as plain databases, by name."""
    with connect("sqlite_scanner", "postgres_scanner") as con:
        for name, url in urls.items():
            is_file = url.startswith("sqlite:")
            kind = "sqlite" if is_file else "postgres"
            con.execute(
                f"ATTACH {quote(url.removeprefix('sqlite:') if is_file else url)} AS {name} (TYPE {kind})"
            )
        yield con


def _tables(con: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    rows = con.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = ? ORDER BY ALL", [name])
    return [table for (table,) in rows.fetchall()]


def _require_ours(source: Lake, catalog: str) -> None:
    """Raises LakeError where the catalog is another lake's: it holds tables that no unfinished move of `source` made."""
    if catalog.startswith("sqlite:") and not Path(catalog.removeprefix("sqlite:")).exists():
        return
    with _catalogs(target=catalog) as con:
        tables = _tables(con, "target")
        if not any(table.startswith("ducklake_") for table in tables):
            return
        marked = con.execute(f"SELECT source FROM target.{_MARK}").fetchone() if _MARK in tables else None
    if marked != (str(source.root),):
        of = f"a move of {marked[0]}" if marked else "another lake"
        raise LakeError(f"the target's catalog holds {of}: name an empty database or another folder")


def _mark(made: Lake, source: Lake) -> None:
    with _catalogs(target=made.catalog) as con:
        con.execute(f"CREATE TABLE IF NOT EXISTS target.{_MARK} (source VARCHAR)")
        con.execute(f"DELETE FROM target.{_MARK}")
        con.execute(f"INSERT INTO target.{_MARK} VALUES (?)", [str(source.root)])


def _unmark(catalog: str) -> None:
    with _catalogs(target=catalog) as con:
        con.execute(f"DROP TABLE target.{_MARK}")


def _files(source: Lake) -> list[_File]:
    """Every file that any version of the source shows. Raises LakeError for one outside of its data."""
    base = source.storage.base
    rows = source.con.execute(
        f"""
        SELECT
            CASE WHEN files.path_is_relative THEN $base || schemas.path || tables.path ELSE '' END || files.path AS path,
            any_value(files.file_size_bytes)
        FROM (
            {
            " UNION ALL ".join(
                f"SELECT table_id, path, path_is_relative, file_size_bytes FROM {CATALOG}.{table}"
                for table in FILE_TABLES
            )
        }
        ) AS files
        INNER JOIN (SELECT DISTINCT table_id, schema_id, path FROM {CATALOG}.ducklake_table) AS tables
            USING (table_id)
        INNER JOIN (SELECT DISTINCT schema_id, path FROM {CATALOG}.ducklake_schema) AS schemas
            USING (schema_id)
        GROUP BY 1 ORDER BY 1
        """,
        {"base": base},
    ).fetchall()
    strange = next((path for path, _ in rows if not path.startswith(base)), None)
    if strange:
        raise LakeError(
            f"{strange}: this file of the lake lies outside of {base}, and cannot be moved with it"
        )
    return [_File(path, _place(path.removeprefix(base)), n_bytes) for path, n_bytes in rows]


def _place(path: str) -> str:
    """The path below the target's data: files of older curations go into the folder where DuckLake looks."""
    return path if path.startswith("main/") else f"main/{path}"


def _filesystem(lake: Lake) -> pafs.FileSystem:
    return s3_filesystem() if lake.storage.is_s3 else pafs.LocalFileSystem()


def _copy_files(files: list[_File], made: Lake, on_step: OnStep) -> int:
    """Copy what is not there whole, and return how many that were."""
    to, base = _filesystem(made), made.storage.base.removeprefix("s3://")
    present = {
        info.path: info.size
        for info in to.get_file_info(
            pafs.FileSelector(base.rstrip("/"), recursive=True, allow_not_found=True)
        )
    }
    missing = [file for file in files if present.get(base + file.place) != file.n_bytes]
    on_step(
        f"{len(missing):,} of {len(files):,} files to copy, {sum(f.n_bytes for f in missing) / 1e6:,.1f} MB"
    )

    def copy(file: _File) -> None:
        of = s3_filesystem() if file.path.startswith("s3://") else pafs.LocalFileSystem()
        path = base + file.place
        if isinstance(to, pafs.LocalFileSystem):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        with (
            of.open_input_stream(file.path.removeprefix("s3://")) as read,
            to.open_output_stream(path) as write,
        ):
            shutil.copyfileobj(read, write, 1 << 24)

    with ThreadPoolExecutor(_N_COPIES) as pool:
        for _ in pool.map(copy, missing):
            pass
    return len(missing)


def _copy_catalog(source: Lake, made: Lake) -> None:
    """Replace the target's catalog by the source's, in one transaction. The writers' lock is held."""
    with _catalogs(source=source.catalog, target=made.catalog) as con:
        tables = [t for t in _tables(con, "source") if t.startswith("ducklake_")]
        inlined = [t for t in tables if t.startswith("ducklake_inlined_")]
        for table in inlined:
            if (
                table != "ducklake_inlined_data_tables"
                and con.execute(f'SELECT 1 FROM source."{table}" LIMIT 1').fetchone()
            ):
                raise LakeError(
                    f"{source.root}: somebody wrote to it just now; the same command goes on from here"
                )
        con.execute("BEGIN")
        # Files that no version shows were not copied; they are the source's to delete.
        skipped = {*inlined, "ducklake_files_scheduled_for_deletion"}
        for table in tables:
            if table not in skipped:
                con.execute(f'DELETE FROM target."{table}"')
                con.execute(f'INSERT INTO target."{table}" BY NAME SELECT * FROM source."{table}"')
        values = {"old": source.storage.base, "new": made.storage.base}
        for table in FILE_TABLES:
            con.execute(
                f"""
                UPDATE target.{table} SET path = $new
                    || CASE WHEN starts_with(path, $old || 'main/') THEN '' ELSE 'main/' END
                    || substr(path, length($old) + 1)
                WHERE NOT path_is_relative::BOOLEAN AND starts_with(path, $old)
                """,
                values,
            )
        con.execute(
            "UPDATE target.ducklake_metadata SET value = ? WHERE key = 'data_path'", [made.storage.base]
        )
        con.execute("COMMIT")


def _copy_folder(source: Lake, root: Path) -> None:
    """Copy what else lies in the workspace's folder: trained models, releases, settings."""
    left = {source.root / WORKSPACE_FILE}
    if not source.storage.is_s3:
        left.add(Path(source.storage.base))
    if source.catalog.startswith("sqlite:"):
        left |= {Path(source.catalog.removeprefix("sqlite:") + ending) for ending in _CATALOG_ENDINGS}
    for path in source.root.iterdir():
        if path in left or path.name.startswith("curation-"):
            continue
        if path.is_dir():
            shutil.copytree(path, root / path.name, dirs_exist_ok=True)
        else:
            shutil.copy2(path, root / path.name)


def _check(source: Lake, version: int, moved: Lake, on_step: OnStep) -> int:
    """Rows of the newest version, when all is equal. Raises LakeError, naming the first table that is not."""
    with moved, Lake(source.root, source.catalog, source.storage.base, version, read_only=True) as before:
        on_step("check")
        held = {**maintenance.held_versions(before), version: "the newest version"}
        for lake in (before, moved):
            if _history(lake, version) != _history(before, version):
                raise LakeError(
                    f"{moved.root}: its versions are not those of {source.root}; nothing was lost there"
                )
        there = maintenance.counts(moved, held)
        for key, n_rows in maintenance.counts(before, held).items():
            _require_equal(moved.root, key, held, n_rows, there.get(key))
        n_all = 0
        with content_hashes.bounded_memory(before), content_hashes.bounded_memory(moved):
            for table in TABLES:
                one, other = (content_hashes.of_table(lake, table) for lake in (before, moved))
                _require_equal(moved.root, (version, table), held, one, other)
                n_all += one.n_rows
        return n_all


def _history(lake: Lake, version: int) -> list[dict]:
    return [row for row in lake.snapshots().to_pylist() if row["snapshot_id"] <= version]


def _require_equal(
    root: Path, key: tuple[int, str], held: Mapping[int, str], one: object, other: object
) -> None:
    if one != other:
        raise LakeError(
            f"{root}, version {key[0]} ({held[key[0]]}), table {key[1]}: {one} before, {other} after moving; the source is as "
            "it was, and the target is no workspace: delete it and start again"
        )
