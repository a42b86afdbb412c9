"""A lake's catalog as the plain SQL tables that it is: what DuckLake itself does not change in it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import duckdb

from curation import locks
from curation.storage import quote

#: Where DuckLake attaches the catalog of the lake that is attached as `lake`.
CATALOG = "__ducklake_metadata_lake"
#: Tables that name files; by whole paths where a worker wrote them.
FILE_TABLES = ("ducklake_data_file", "ducklake_delete_file")


def follow_move(con: duckdb.DuckDBPyConnection, catalog: Path, data: str) -> None:
    """Let a workspace that was moved or copied find its files in `data`: DuckLake keeps absolute paths.

    A catalog that is not there yet is left to DuckLake.
    """
    if not catalog.is_file():
        return
    # Through DuckDB: a second SQLite library in one process would drop the first one's file locks.
    con.execute(f"ATTACH {quote(str(catalog))} AS catalog (TYPE sqlite); USE catalog")
    if _data_path(con) not in (None, data):
        with locks.writers_lock(catalog.parent, f"sqlite:{catalog}"):
            old = _data_path(con)  # another process may have done it meanwhile
            if old != data:
                rewrite_paths(con, old, data)
    con.execute("USE memory; DETACH catalog")


def rewrite_paths(con: duckdb.DuckDBPyConnection, old: str, new: str) -> None:
    """Let files that are named by whole paths below `old` be found below `new`, in the catalog that `con` uses."""
    with transaction(con):
        for table in FILE_TABLES:
            con.execute(
                f"UPDATE {table} SET path = $new || substr(path, len($old) + 1) "
                "WHERE NOT path_is_relative::BOOLEAN AND starts_with(path, $old)",
                {"new": new, "old": old},
            )
        con.execute("UPDATE ducklake_metadata SET value = ? WHERE key = 'data_path'", [new])


def columns(con: duckdb.DuckDBPyConnection, version: int | None) -> dict[str, set[str]]:
    """Names of the columns of every table that the lake of `con` had at a version; None is the newest.

    DuckDB's own list of columns binds every view, which takes several times as long.
    """
    rows = con.execute(
        f"""
        SELECT tables.table_name, columns.column_name
        FROM {CATALOG}.ducklake_table AS tables
        INNER JOIN {CATALOG}.ducklake_column AS columns USING (table_id)
        WHERE columns.parent_column IS NULL AND {_stands("tables")} AND {_stands("columns")}
        """,
        {"version": version},
    ).fetchall()
    found: dict[str, set[str]] = {}
    for table_name, column_name in rows:
        found.setdefault(table_name, set()).add(column_name)
    return found


def give_statistics(con: duckdb.DuckDBPyConnection) -> None:
    """Give tables of the lake of `con` that have none the statistics of an empty table. Hold the writers' lock.

    DuckLake asks the catalog for missing statistics anew, once for every column of every query: one over a table that
    was never written to takes five times as long (duckdb/ducklake, issue 1313). With the first rows they become what
    DuckLake itself would have written.
    """
    new = f"table_id NOT IN (SELECT table_id FROM {CATALOG}.ducklake_table_stats)"
    statements = (
        f"""
        INSERT INTO {CATALOG}.ducklake_table_column_stats (table_id, column_id, contains_null)
        SELECT table_id, column_id, false FROM {CATALOG}.ducklake_column AS columns
        WHERE end_snapshot IS NULL AND {new} AND NOT EXISTS (
            FROM {CATALOG}.ducklake_column AS inside
            WHERE inside.table_id = columns.table_id AND inside.parent_column = columns.column_id
        )
        """,
        f"""
        INSERT INTO {CATALOG}.ducklake_table_stats (table_id, record_count, next_row_id, file_size_bytes)
        SELECT table_id, 0, 0, 0 FROM {CATALOG}.ducklake_table WHERE end_snapshot IS NULL AND {new}
        """,
    )

    def give() -> None:
        with transaction(con):
            for statement in statements:
                con.execute(statement)

    locks.retry_while_locked(give)


@contextlib.contextmanager
def transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit what is done inside, or nothing of it where anything fails."""
    con.execute("BEGIN")
    try:
        yield
        con.execute("COMMIT")
    except BaseException:
        # A COMMIT that failed has already ended the transaction.
        with contextlib.suppress(duckdb.TransactionException):
            con.execute("ROLLBACK")
        raise


def _stands(table: str) -> str:
    """SQL: whether a row of the catalog stands at $version, or at the newest where that is null."""
    return (
        f"({table}.end_snapshot IS NULL OR {table}.end_snapshot > $version) "
        f"AND ($version IS NULL OR {table}.begin_snapshot <= $version)"
    )


def _data_path(con: duckdb.DuckDBPyConnection) -> str | None:
    """The data path that the catalog names; None for one that DuckLake has not filled yet."""
    sql = "SELECT value FROM ducklake_metadata WHERE key = 'data_path'"
    found = locks.retry_while_locked(lambda: con.execute(sql).fetchone())
    return found[0] if found else None
