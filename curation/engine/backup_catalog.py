"""The catalog of a lake as files of a backup: an SQLite file, or the tables of PostgreSQL as Parquet with their declarations."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from curation import catalogs
from curation.connections import connect
from curation.errors import InputError, LakeError
from curation.events import without_secrets
from curation.storage import quote

SQLITE_FILE, DECLARATIONS = "catalog.sqlite", "tables.json"
#: SQLite's own copying, in a process of its own: a second SQLite in this one would drop DuckDB's locks on the file.
_COPY_SQLITE = """
import sqlite3, sys
source, target = (sqlite3.connect(path, timeout=60) for path in sys.argv[1:])
source.backup(target)
target.execute("PRAGMA journal_mode = DELETE")
target.close()
"""
_COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS kind, a.attnotnull
    FROM pg_attribute AS a
    INNER JOIN pg_class AS c ON c.oid = a.attrelid
    INNER JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
        AND starts_with(c.relname, 'ducklake_')
    ORDER BY c.relname, a.attnum
"""
_KEYS = """
    SELECT c.relname, pg_get_constraintdef(k.oid) AS definition
    FROM pg_constraint AS k
    INNER JOIN pg_class AS c ON c.oid = k.conrelid
    INNER JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND k.contype IN ('p', 'u') AND starts_with(c.relname, 'ducklake_')
    ORDER BY c.relname
"""
#: Every file that any version reads; relative paths start at the folder of their table.
_FILES = """
    SELECT CASE WHEN files.path_is_relative THEN $base || schemas.path || tables.path ELSE '' END || files.path
    FROM (
        SELECT table_id, path, path_is_relative FROM ducklake_data_file
        UNION ALL
        SELECT table_id, path, path_is_relative FROM ducklake_delete_file
    ) AS files
    INNER JOIN (SELECT table_id, any_value(schema_id) AS schema_id, any_value(path) AS path FROM ducklake_table GROUP BY 1)
        AS tables USING (table_id)
    INNER JOIN (SELECT schema_id, any_value(path) AS path FROM ducklake_schema GROUP BY 1) AS schemas USING (schema_id)
    GROUP BY 1 ORDER BY 1
"""


@dataclass(frozen=True)
class Catalog:
    """What a copied catalog says: its newest version, where its data lie, and every file of any version."""

    version: int
    data_path: str
    data_files: tuple[str, ...]


def copy_out(catalog: str, folder: Path) -> None:
    """Copy a catalog into `folder` as it stands at one moment. Hold the writers' lock."""
    if catalog.startswith("sqlite:"):
        _copy_sqlite(Path(catalog.removeprefix("sqlite:")), folder / SQLITE_FILE)
    else:
        _copy_postgres(catalog, folder)


def read(folder: Path) -> Catalog:
    """What the copy in `folder` says."""
    with _opened(folder) as con:
        version = con.execute("SELECT max(snapshot_id) FROM ducklake_snapshot").fetchone()[0]
        (base,) = con.execute("SELECT value FROM ducklake_metadata WHERE key = 'data_path'").fetchone()
        paths = con.execute(_FILES, {"base": base}).fetchall()
    return Catalog(version, base, tuple(path for (path,) in paths))


def check_kind(folder: Path, catalog: str) -> None:
    """Raises InputError where the backup's catalog is of another kind than the one that it shall become."""
    was_sqlite = not (folder / DECLARATIONS).exists()
    if was_sqlite != catalog.startswith("sqlite:"):
        kinds = ("a PostgreSQL catalog", "SQLite") if was_sqlite else ("SQLite", "a PostgreSQL catalog")
        raise InputError(
            f"--catalog {without_secrets(catalog)}: this backup is of a lake with {kinds[1]}, and cannot become {kinds[0]}: "
            + (
                "leave --catalog out"
                if was_sqlite
                else "give --catalog postgres://USER@HOST/DATABASE, an empty one"
            )
        )


def put_back(folder: Path, catalog: str, root: Path, old_data: str, new_data: str) -> None:
    """Make the catalog anew, below `root` or in PostgreSQL, with its data at `new_data`."""
    if catalog.startswith("sqlite:"):
        path = root / catalog.removeprefix("sqlite:")
        if path.exists():
            raise InputError(f"{path} is there already: choose another --catalog")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / SQLITE_FILE, path)
        # Readers of the lake open it for reading only, and could not turn to WAL mode themselves.
        attach = f"ATTACH {quote(str(path))} AS catalog (TYPE sqlite, JOURNAL_MODE 'WAL'); USE catalog"
        with connect("sqlite_scanner") as con:
            con.execute(attach)
            catalogs.rewrite_paths(con, old_data, new_data)
        return
    with connect("postgres_scanner") as con:
        con.execute(f"ATTACH {quote(catalog)} AS catalog (TYPE postgres); USE catalog")
        _fill_postgres(con, folder, without_secrets(catalog))
        catalogs.rewrite_paths(con, old_data, new_data)


def _copy_sqlite(source: Path, target: Path) -> None:
    command = [sys.executable, "-c", _COPY_SQLITE, str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise LakeError(
            f"{source}: the catalog cannot be copied ({why}); check space and rights, then start again"
        )


def _copy_postgres(url: str, folder: Path) -> None:
    """All tables inside one transaction, which PostgreSQL gives one view of the catalog."""
    with connect("postgres_scanner") as con:
        con.execute(f"ATTACH {quote(url)} AS catalog (TYPE postgres, READ_ONLY)")
        con.execute("BEGIN")
        tables: dict[str, dict] = {}
        for table, column, kind, is_needed in _asked(con, _COLUMNS):
            declared = tables.setdefault(table, {"columns": [], "keys": []})
            declared["columns"].append([column, kind, is_needed])
        for table, definition in _asked(con, _KEYS):
            tables[table]["keys"].append(definition)
        for table in tables:
            con.execute(f'COPY (FROM catalog.public."{table}") TO {quote(str(folder / f"{table}.parquet"))}')
        con.execute("ROLLBACK")
    (folder / DECLARATIONS).write_text(json.dumps(tables, indent=1) + "\n")


def _asked(con: duckdb.DuckDBPyConnection, sql: str) -> list[tuple]:
    return con.execute(f"FROM postgres_query('catalog', {quote(sql)})").fetchall()


def _fill_postgres(con: duckdb.DuckDBPyConnection, folder: Path, told: str) -> None:
    tables = json.loads((folder / DECLARATIONS).read_text())
    if _asked(con, "SELECT relname FROM pg_class WHERE relname = 'ducklake_metadata'"):
        raise InputError(f"--catalog {told} holds a lake already: give an empty database")
    con.execute("BEGIN")
    for table, declared in tables.items():
        columns = [
            f'"{name}" {kind}{" NOT NULL" if is_needed else ""}'
            for name, kind, is_needed in declared["columns"]
        ]
        statement = f'CREATE TABLE public."{table}" ({", ".join([*columns, *declared["keys"]])})'
        con.execute(f"CALL postgres_execute('catalog', {quote(statement)})")
    con.execute("CALL pg_clear_cache()")
    for table in tables:
        path = quote(str(folder / f"{table}.parquet"))
        con.execute(f'INSERT INTO catalog.public."{table}" FROM read_parquet({path})')
    con.execute("COMMIT")


@contextmanager
def _opened(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that shows the copied tables by their names."""
    if (folder / DECLARATIONS).exists():
        with connect() as con:
            for table in json.loads((folder / DECLARATIONS).read_text()):
                con.execute(
                    f'CREATE VIEW "{table}" AS FROM read_parquet({quote(str(folder / f"{table}.parquet"))})'
                )
            yield con
        return
    with connect("sqlite_scanner") as con:
        con.execute(
            f"ATTACH {quote(str(folder / SQLITE_FILE))} AS catalog (TYPE sqlite, READ_ONLY); USE catalog"
        )
        yield con
