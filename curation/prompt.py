"""SQL that anybody may type: one SELECT over the lake, without files, network or writing, within limits.

Two walls stand one behind the other. The statement is parsed, and only tables of the lake and a few table functions
may stand in it; then DuckDB itself runs with the file system closed but for the lake's data, its settings locked.
"""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from curation.errors import QueryError
from curation.lake import Lake
from curation.settings import PROMPT, PromptSettings
from curation.storage import quote

#: Table functions that read neither files nor other databases.
TABLE_FUNCTIONS = frozenset(
    {"generate_series", "range", "repeat_row", "unnest", "snapshots", "duckdb_columns", "duckdb_functions"}
)


@dataclass(frozen=True)
class Answer:
    """At most `PROMPT.rows` rows; `is_cut` says that there were more."""

    rows: pa.Table
    is_cut: bool
    took_s: float


def ask(root: Path | str, sql: str, at: str | int | None = None, limits: PromptSettings = PROMPT) -> Answer:
    """The answer to one SELECT on a workspace, as it is or was (`at`).

    Raises QueryError where it is no SELECT, reads what is no table of the lake, or takes longer than
    `limits.seconds`; LakeError where `root` is no workspace.
    """
    with Lake.open(root, at=at, read_only=True) as lake:
        check(lake.con, sql)
        _close_doors(lake, limits)
        started = time.monotonic()
        with _interrupt_after(lake.con, limits.seconds) as late:
            try:
                reader = lake.con.execute(sql).to_arrow_reader(limits.rows + 1)
                rows = _first_rows(reader, limits.rows + 1)
            except duckdb.Error as error:
                if late.is_set():
                    raise QueryError(
                        f"stopped after {limits.seconds:g} s, the longest that a question may take here: ask for "
                        "less, or use `curation sql`"
                    ) from error
                raise QueryError(str(error)) from error
    return Answer(rows.slice(0, limits.rows), rows.num_rows > limits.rows, time.monotonic() - started)


def check(con: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raises QueryError unless `sql` is one SELECT over tables and views that `con` sees in its lake."""
    parsed = json.loads(con.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()[0])
    if parsed["error"]:
        message = parsed["error_message"].replace("Only SELECT statements can be serialized to json!", "")
        raise QueryError(
            message or "this is no SELECT; only SELECT, FROM, SHOW, DESCRIBE and SUMMARIZE may run here"
        )
    if len(parsed["statements"]) != 1:
        raise QueryError(f"{len(parsed['statements'])} statements; ask one at a time")
    nodes = list(_nodes(parsed["statements"][0]))
    known = {name for (name,) in con.execute("SELECT table_name FROM duckdb_columns() GROUP BY 1").fetchall()}
    known |= {entry["key"] for node in nodes for entry in node.get("cte_map", {}).get("map", ())}
    for node in nodes:
        if node.get("type") == "BASE_TABLE":
            _check_table(node, known)
        if node.get("type") == "TABLE_FUNCTION":
            name = node["function"]["function_name"].lower()
            if name not in TABLE_FUNCTIONS:
                raise QueryError(
                    f"{name}() may not stand after FROM here; allowed: {', '.join(sorted(TABLE_FUNCTIONS))}"
                )


def _check_table(node: dict, known: set[str]) -> None:
    name, catalog = node["table_name"], node["catalog_name"] or node["schema_name"]
    if catalog not in ("", "lake", "main", "temp", "information_schema"):
        raise QueryError(f"{catalog}.{name}: only the lake may be read here")
    if name.lower() not in {other.lower() for other in known} and catalog != "information_schema":
        raise QueryError(f"{name!r} is no table of the lake; `SHOW TABLES` lists them")


def _nodes(tree: object) -> Iterator[dict]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _close_doors(lake: Lake, limits: PromptSettings) -> None:
    for statement in (
        f"SET memory_limit = {quote(limits.memory)}",
        f"SET allowed_directories = [{quote(lake.storage.base)}]",
        "SET enable_external_access = false",
        "SET lock_configuration = true",
    ):
        lake.con.execute(statement)


def _first_rows(reader: pa.RecordBatchReader, n: int) -> pa.Table:
    batches, found = [], 0
    for batch in reader:
        batches.append(batch)
        found += batch.num_rows
        if found >= n:
            break
    return pa.Table.from_batches(batches, reader.schema)


class _interrupt_after:
    """Interrupts a connection after some seconds; the event tells that it did."""

    def __init__(self, con: duckdb.DuckDBPyConnection, seconds: float) -> None:
        self._late = threading.Event()

        def interrupt() -> None:
            self._late.set()
            con.interrupt()

        self._timer = threading.Timer(seconds, interrupt)

    def __enter__(self) -> threading.Event:
        self._timer.start()
        return self._late

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
