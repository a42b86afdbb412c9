"""The lake: Parquet files and an SQL catalog (DuckLake), opened in a DuckDB that lives in memory.

A workspace is a folder with `workspace.json` (where catalog and data lie), the catalog (SQLite, or
PostgreSQL elsewhere) and `data/` (or an S3 prefix). No process holds a `.duckdb` file, so readers and
writers work at the same time.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from curation import catalogs, events, locks, settings, views
from curation.connections import connect
from curation.errors import InputError, LakeError
from curation.events import without_secrets
from curation.schemas import SQL_TYPES, TABLES, Column, TableSchema
from curation.storage import DataFile, Storage, quote, s3_secret_sql
from curation.views import VIEWS

T = TypeVar("T")
WORKSPACE_FILE = "workspace.json"
DEFAULT_CATALOG = "sqlite:catalog.sqlite"
#: What a lake's views have as their comment, followed by their version.
_VIEWS_ARE = "curation views "


class Lake:
    """One open workspace. Use `Lake.create` or `Lake.open`; a context manager closes it."""

    def __init__(self, root: Path, catalog: str, data: str, at: str | int | None, read_only: bool) -> None:
        self.root = root
        self.catalog = catalog
        self.storage = Storage(data)
        self.is_read_only = read_only or at is not None
        self._version: int | None = None  # the newest
        self.con = connect(*self._extensions())
        try:
            self._create_macros()
            if self.storage.is_s3:
                self.con.execute(s3_secret_sql())
            if catalog.startswith("sqlite:"):
                catalogs.follow_move(self.con, Path(catalog.removeprefix("sqlite:")), self.storage.base)
            self._attach()
            if at is not None:
                self._version = self._version_of(at)
                self.con.execute("USE memory; DETACH lake")
                self.con.execute(self._attach_statement(self._version))
                self.con.execute("USE lake")
        except BaseException:
            self.con.close()
            raise

    # -- opening -----------------------------------------------------------------------------

    @classmethod
    def create(cls, root: Path | str, catalog: str | None = None, data: str | None = None) -> "Lake":
        """Make a workspace, or open it when it is there already and names the same places.

        `catalog` is `sqlite:PATH` or `postgres://…`; `data` a folder or `s3://bucket/prefix`.
        Relative paths are relative to the workspace. Raises LakeError when `root` holds another lake.
        """
        root = Path(root).expanduser().resolve()
        asked = places(catalog, data)
        config = root / WORKSPACE_FILE
        if config.exists():
            held = json.loads(config.read_text())
            if (catalog or data) and held != asked:
                raise LakeError(
                    f"{root} is a workspace with {held}; {asked} was asked for: choose another folder"
                )
            return cls.open(root)
        root.mkdir(parents=True, exist_ok=True)
        if not asked["data"].startswith("s3://"):
            (root / asked["data"]).mkdir(parents=True, exist_ok=True)
        lake = cls(root, *resolve(root, asked), at=None, read_only=False)
        lake._evolve()
        write_places(root, asked)
        return lake

    @classmethod
    def open(cls, root: Path | str, at: str | int | None = None, read_only: bool = False) -> "Lake":
        """Open a workspace; `at` (a tag or a version) shows the lake as it was then, for reading only.

        Raises LakeError where `root` is no workspace or `at` names nothing.
        """
        root = Path(root).expanduser().resolve()
        config = root / WORKSPACE_FILE
        if not config.is_file():
            raise LakeError(
                f"{root} is no workspace (no {WORKSPACE_FILE}): make one with `curation init {root}`"
            )
        catalog, data = resolve(root, json.loads(config.read_text()))
        _check_is_there(catalog)
        lake = cls(root, catalog, data, at, read_only)
        if not lake.is_read_only:
            lake._evolve()
        elif locks.retry_while_locked(lake._missing_statements):
            lake = lake._brought_up_to_date(at)
        return lake

    def attach_sql(self) -> list[str]:
        """The statements that attach this lake, as `lake`, in any DuckDB of the same version."""
        statements = [f"LOAD {name}" for name in self._extensions()]
        if self.storage.is_s3:
            statements.append(s3_secret_sql())
        return [*statements, self._attach_statement(None), "USE lake"]

    def _extensions(self) -> list[str]:
        scanner = "sqlite_scanner" if self.catalog.startswith("sqlite:") else "postgres_scanner"
        return ["ducklake", scanner, *(["httpfs"] if self.storage.is_s3 else [])]

    def _attach_statement(self, version: int | None) -> str:
        options = [f"DATA_PATH {quote(self.storage.base)}"]
        if version is not None:
            options.append(f"SNAPSHOT_VERSION {version}")
        if self.is_read_only:
            options.append("READ_ONLY")
        # Small commits stay in the catalog, a Parquet file each would slow every reader (`ducklake_flush_inlined_data`).
        options.append(f"DATA_INLINING_ROW_LIMIT {settings.LAKE.inlined_rows}")
        if self.catalog.startswith("sqlite:"):
            # In WAL mode readers and the one writer do not wait for each other.
            options += ["META_JOURNAL_MODE 'WAL'", f"META_BUSY_TIMEOUT {settings.LAKE.sqlite_busy_ms}"]
            kind = ""
        else:
            kind = "postgres:"
        return f"ATTACH {quote(f'ducklake:{kind}{self.catalog}')} AS lake ({', '.join(options)})"

    def _attach(self) -> None:
        try:
            for statement in (self._attach_statement(None), "USE lake"):
                locks.retry_while_locked(lambda sql=statement: self.con.execute(sql))
        except duckdb.Error as error:
            raise LakeError(
                f"{self.root}: the catalog {without_secrets(self.catalog)} does not open: "
                f"{without_secrets(str(error))}"
            ) from error

    def _create_macros(self) -> None:
        """Make the SQL functions that reports share; they live in this connection, not in the lake."""
        for path in sorted((settings.files("queries") / "macros").glob("*.sql")):
            self.con.execute(path.read_text())

    def _brought_up_to_date(self, at: str | int | None) -> "Lake":
        """A lake for reading that an older curation wrote, with what it lacks.

        The past cannot be written to: what it had not yet is empty there, for this connection alone.
        """
        if at is None:
            self.close()
            Lake.open(self.root).close()
            return Lake(self.root, self.catalog, self.storage.base, None, read_only=True)
        present = locks.retry_while_locked(lambda: catalogs.columns(self.con, self._version))
        for schema, columns in _missing_columns(present):
            if columns == list(schema.columns):
                self.con.execute(schema.ddl[0].replace("CREATE TABLE", "CREATE TEMP TABLE", 1))
            else:
                nulls = ", ".join(f'NULL::{SQL_TYPES[c.type]} AS "{c.name}"' for c in columns)
                self.con.execute(
                    f'CREATE TEMP VIEW "{schema.name}" AS SELECT *, {nulls} FROM lake."{schema.name}"'
                )
        for name in self._outdated_views():
            self.con.execute(f"CREATE TEMP VIEW {name} AS {VIEWS[name]}")
        return self

    def _evolve(self) -> None:
        """Add the tables, columns and views that the contracts have and this lake lacks."""
        if locks.retry_while_locked(self._missing_statements):
            self.commit(
                lambda con: [con.execute(s) for s in self._missing_statements()],
                "contracts brought up to date",
            )
            with locks.writers_lock(self.root, self.catalog):
                catalogs.give_statistics(self.con)

    def _missing_statements(self) -> list[str]:
        present = catalogs.columns(self.con, self._version)
        statements = []
        for schema, columns in _missing_columns(present):
            if columns == list(schema.columns):
                statements += schema.ddl
                continue
            statements += [
                f'ALTER TABLE "{schema.name}" ADD COLUMN "{c.name}" {SQL_TYPES[c.type]}' for c in columns
            ]
        for name in self._outdated_views():
            statements.append(f"CREATE OR REPLACE VIEW {name} AS {VIEWS[name]}")
            statements.append(f"COMMENT ON VIEW {name} IS '{_VIEWS_ARE}{views.VERSION}'")
        return statements

    def _outdated_views(self) -> list[str]:
        """Views that this lake lacks, or has from an older curation; a newer one's stay."""
        rows = self.con.execute(
            "SELECT view_name, comment FROM duckdb_views() WHERE database_name = 'lake'"
        ).fetchall()
        versions = {name: int((comment or "").removeprefix(_VIEWS_ARE) or 0) for name, comment in rows}
        return [name for name in VIEWS if versions.get(name, -1) < views.VERSION]

    # -- reading -----------------------------------------------------------------------------

    def query(self, sql: str, params: Mapping[str, Any] | list | None = None) -> pa.Table:
        """Rows of one statement as Arrow. Raises duckdb.Error as DuckDB says it."""
        return locks.retry_while_locked(lambda: self.con.execute(sql, params).to_arrow_table())

    def snapshots(self) -> pa.Table:
        """Every version: snapshot_id, committed_at, message, tags (comma-separated), oldest first."""
        return self.query("""
            SELECT s.snapshot_id, s.snapshot_time AS committed_at, s.commit_message AS message, t.tags
            FROM lake.snapshots() AS s
            LEFT JOIN (SELECT snapshot_id, string_agg(name, ', ' ORDER BY name) AS tags FROM tags GROUP BY ALL) AS t
                USING (snapshot_id)
            ORDER BY s.snapshot_id
        """)

    def tags(self) -> pa.Table:
        return self.query("SELECT name, snapshot_id, note, tagged_at FROM tags ORDER BY name")

    def version(self) -> int:
        """The newest version of the lake, or the one it is opened at."""
        return self.con.execute("SELECT id FROM lake.current_snapshot()").fetchone()[0]

    def _version_of(self, at: str | int) -> int:
        if str(at).isdigit():
            found = self.con.execute(
                "SELECT snapshot_id FROM lake.snapshots() WHERE snapshot_id = ?", [int(at)]
            ).fetchone()
        else:
            found = self.con.execute("SELECT snapshot_id FROM tags WHERE name = ?", [at]).fetchone()
        if found is None:
            raise LakeError(f"{self.root} has no tag or version {at!r}: see `curation snapshots`")
        return found[0]

    # -- writing -----------------------------------------------------------------------------

    def commit(self, work: Callable[[duckdb.DuckDBPyConnection], T], message: str) -> T:
        """Run `work` in one transaction, alone among all writers of this lake, and return its result.

        What `work` reads is what it changes: no other commit can come between. Tried again while the
        catalog is locked. Raises LakeBusyError after `commit_patience_s`, LakeError when opened for
        reading.
        """
        if self.is_read_only:
            raise LakeError(
                f"{self.root} is open for reading only (--at shows the past): open it without --at to write"
            )

        def transact() -> T:
            with catalogs.transaction(self.con):
                result = work(self.con)
                self.con.execute("CALL lake.set_commit_message('curation', ?)", [message])
            return result

        started = time.perf_counter()
        with locks.writers_lock(self.root, self.catalog):
            result = locks.retry_while_locked(transact)
        events.record("committed", message=message, took_s=time.perf_counter() - started)
        return result

    def append(self, tables: Mapping[str, pa.Table], message: str) -> None:
        """Add a few checked rows to several tables in one transaction. Empty tables add nothing."""
        self.commit(lambda con: insert(con, tables), message)

    def tag(self, name: str, note: str | None = None) -> int:
        """Name the newest version and return it. Raises InputError on a bad or taken name."""

        def work(con: duckdb.DuckDBPyConnection) -> int:
            version = con.execute("SELECT id FROM lake.current_snapshot()").fetchone()[0]
            tag_within(con, name, version, note)
            return version

        return self.commit(work, f"tag {name}")

    def close(self) -> None:
        self.con.close()

    def __enter__(self) -> "Lake":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def insert(con: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table]) -> None:
    """Insert checked Arrow rows inside the open transaction of `con`."""
    for name, table in tables.items():
        TABLES[name].check(table)
        if table.num_rows:
            con.register("arrow_rows", table)
            con.execute(f'INSERT INTO "{name}" BY NAME SELECT * FROM arrow_rows')
            con.unregister("arrow_rows")


def tag_within(con: duckdb.DuckDBPyConnection, name: str, version: int, note: str | None = None) -> None:
    """Name a version inside the open transaction of `con`. Raises InputError on a bad or taken name."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", name):
        raise InputError(f"tag {name!r}: start with a letter, then letters, digits, '.', '_' or '-'")
    taken = con.execute("SELECT snapshot_id FROM tags WHERE name = ?", [name]).fetchone()
    if taken:
        raise InputError(f"tag {name!r} already names version {taken[0]}: choose another name")
    row = {"name": name, "snapshot_id": version, "note": note, "tagged_at": datetime.now(timezone.utc)}
    insert(con, {"tags": TABLES["tags"].table([row])})


def add_files(con: duckdb.DuckDBPyConnection, data_files: list[DataFile]) -> None:
    """Make written files part of their tables inside the open transaction of `con`."""
    for data_file in data_files:
        con.execute(
            "CALL ducklake_add_data_files('lake', ?, ?, hive_partitioning => true)",
            [data_file.table, data_file.path],
        )


def _missing_columns(present: Mapping[str, set[str]]) -> list[tuple[TableSchema, list[Column]]]:
    """Tables that lack columns of their contract, with these; all of them where the table is not there."""
    missing = [
        (schema, [c for c in schema.columns if c.name not in present.get(schema.name, ())])
        for schema in TABLES.values()
    ]
    return [(schema, columns) for schema, columns in missing if columns]


def places(catalog: str | None, data: str | None) -> dict[str, str]:
    """What workspace.json says, with the defaults filled in. Raises InputError for what is no catalog."""
    catalog = catalog or DEFAULT_CATALOG
    if not re.match(r"sqlite:.+|postgres(ql)?://", catalog):
        raise InputError(f"--catalog {catalog!r}: use sqlite:PATH or postgres://USER@HOST/DATABASE")
    return {"catalog": catalog, "data": data or "data"}


def write_places(root: Path, places: Mapping[str, str]) -> None:
    """Write workspace.json: from then on `root` is a workspace."""
    (root / WORKSPACE_FILE).write_text(json.dumps(places, indent=2) + "\n")


def resolve(root: Path, places: Mapping[str, str]) -> tuple[str, str]:
    """Catalog and data of a workspace with whole paths; data end in a slash."""
    catalog, data = places["catalog"], places["data"]
    if catalog.startswith("sqlite:"):
        catalog = f"sqlite:{root / catalog.removeprefix('sqlite:')}"
    if not data.startswith("s3://"):
        data = str(root / data)
    return catalog, data.rstrip("/") + "/"


def _check_is_there(catalog: str) -> None:
    path = Path(catalog.removeprefix("sqlite:"))
    if catalog.startswith("sqlite:") and not path.is_file():
        raise LakeError(f"{path}: the catalog is missing; restore it from a backup, data alone is not enough")
