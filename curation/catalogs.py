"""A lake's catalog as the plain SQL tables that it is: what DuckLake itself does not change in it."""

from pathlib import Path

import duckdb

from curation import locks
from curation.storage import quote

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
    con.execute("BEGIN")
    for table in FILE_TABLES:
        con.execute(
            f"UPDATE {table} SET path = $new || substr(path, len($old) + 1) "
            "WHERE NOT path_is_relative::BOOLEAN AND starts_with(path, $old)",
            {"new": new, "old": old},
        )
    con.execute("UPDATE ducklake_metadata SET value = ? WHERE key = 'data_path'", [new])
    con.execute("COMMIT")


def _data_path(con: duckdb.DuckDBPyConnection) -> str | None:
    """The data path that the catalog names; None for one that DuckLake has not filled yet."""
    sql = "SELECT value FROM ducklake_metadata WHERE key = 'data_path'"
    found = locks.retry_while_locked(lambda: con.execute(sql).fetchone())
    return found[0] if found else None
