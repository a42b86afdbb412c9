"""SQL that anybody may type: one SELECT over the lake, without files, network or writing, within limits.

Three walls stand one behind the other. The statement is parsed, and only tables of the lake and a few table functions
may stand in it; then DuckDB itself runs with the file system closed but for the lake's data, its settings locked; and
where many share one machine (`ask_apart`) it runs in a process of its own, which ends where it takes too long or too
much: a single value that grows to many gigabytes heeds neither DuckDB's memory limit nor its interrupt.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from curation.errors import LakeError, QueryError
from curation.lake import Lake
from curation.settings import PROMPT, PromptSettings
from curation.storage import quote

#: Table functions that read neither files nor other databases.
TABLE_FUNCTIONS = frozenset(
    {"generate_series", "range", "repeat_row", "unnest", "snapshots", "duckdb_columns", "duckdb_functions"}
)
#: Functions that tell about this machine, or write.
REFUSED_FUNCTIONS = frozenset({"current_setting", "getenv", "getvariable", "nextval", "write_log"})
#: DuckDB stops by itself first, and says so better.
GRACE_S = 5
_CHILD = "from curation.prompt import answer_apart; answer_apart()"


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
        with time_limit(lake.con, limits.seconds):
            try:
                reader = lake.con.execute(sql).to_arrow_reader(limits.rows + 1)
                rows = _first_rows(reader, limits)
            except duckdb.Error as error:
                raise QueryError(str(error)) from error
    return Answer(rows.slice(0, limits.rows), rows.num_rows > limits.rows, time.monotonic() - started)


def ask_apart(
    root: Path | str, sql: str, at: str | int | None = None, limits: PromptSettings = PROMPT
) -> Answer:
    """`ask` in a process of its own, which costs about a second. Raises what `ask` does.

    QueryError too where the process had to be ended: it took over `limits.process_bytes` of memory, or could not be
    interrupted.
    """
    asked = {"root": str(root), "sql": sql, "at": at, "limits": asdict(limits)}
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # Each arena of glibc's counts as taken, though nothing lies in it.
        env={**os.environ, "MALLOC_ARENA_MAX": "2"},
    )
    try:
        said, _ = child.communicate(json.dumps(asked).encode(), timeout=limits.seconds + 4 * GRACE_S)
    except subprocess.TimeoutExpired:
        raise _too_long(limits.seconds) from None
    finally:
        child.kill()
        child.wait()
    if child.returncode == -signal.SIGALRM:
        raise _too_long(limits.seconds)
    head, _, body = said.partition(b"\n")
    if child.returncode or not head:
        raise QueryError(
            f"stopped: it took more than {limits.process_bytes >> 20:,} MiB of memory: ask for less, or use `curation sql`"
        )
    told = json.loads(head)
    if "error" in told:
        raise (LakeError if told["kind"] == "LakeError" else QueryError)(told["error"])
    return Answer(pa.ipc.open_stream(body).read_all(), told["is_cut"], told["took_s"])


def answer_apart() -> None:
    """What the process of `ask_apart` does: a question comes on stdin, a line of JSON and Arrow rows go to stdout."""
    asked = json.loads(sys.stdin.buffer.read())
    limits = PromptSettings(**asked.pop("limits"))
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (limits.process_bytes, limits.process_bytes))
        signal.alarm(int(limits.seconds) + GRACE_S)
    out = sys.stdout.buffer
    try:
        answer = ask(**asked, limits=limits)
    except (QueryError, LakeError) as error:
        out.write(json.dumps({"error": str(error), "kind": type(error).__name__}).encode() + b"\n")
        return
    out.write(json.dumps({"is_cut": answer.is_cut, "took_s": answer.took_s}).encode() + b"\n")
    with pa.ipc.new_stream(out, answer.rows.schema) as writer:
        writer.write_table(answer.rows)


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
    known = _tables(con) | {name for node in nodes for name in _named_within(con, node)}
    for node in nodes:
        if node.get("type") == "BASE_TABLE":
            _check_table(node, known)
        elif node.get("type") == "TABLE_FUNCTION":
            name = node["function"]["function_name"].lower()
            if name not in TABLE_FUNCTIONS:
                raise QueryError(
                    f"{name}() may not stand after FROM here; allowed: {', '.join(sorted(TABLE_FUNCTIONS))}"
                )
        elif str(node.get("function_name")).lower() in REFUSED_FUNCTIONS:
            raise QueryError(
                f"{node['function_name']}() tells of this machine, or writes: it may not stand here"
            )


def _tables(con: duckdb.DuckDBPyConnection) -> set[str]:
    """Tables and views of the lake, in lower case. DuckDB's own views are none: they tell where the catalog lies, and
    with which password.
    """
    rows = con.execute(
        "SELECT DISTINCT lower(table_name) FROM duckdb_columns() WHERE database_name IN ('lake', 'temp') AND NOT internal"
    )
    return {name for (name,) in rows.fetchall()}


def _named_within(con: duckdb.DuckDBPyConnection, node: dict) -> Iterator[str]:
    """Names that a WITH gives, in lower case. Raises QueryError for one that DuckDB has a view of: elsewhere in the
    statement it would be that view.
    """
    for entry in node.get("cte_map", {}).get("map", ()):
        name = entry["key"].lower()
        if con.execute(
            "SELECT 1 FROM duckdb_views() WHERE internal AND lower(view_name) = ? "
            "AND schema_name <> 'information_schema'",
            [name],
        ).fetchone():
            raise QueryError(f"WITH {name}: that is a view of DuckDB's own; give it another name")
        yield name


def _check_table(node: dict, known: set[str]) -> None:
    name, catalog = node["table_name"], node["catalog_name"] or node["schema_name"]
    if catalog not in ("", "lake", "main", "temp", "information_schema"):
        raise QueryError(f"{catalog}.{name}: only the lake may be read here")
    if name.lower() not in known and catalog != "information_schema":
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
        f"SET max_temp_directory_size = {quote(limits.spill)}",
        "SET python_enable_replacements = false",
        f"SET allowed_directories = [{quote(lake.storage.base)}]",
        "SET enable_external_access = false",
        "SET lock_configuration = true",
    ):
        lake.con.execute(statement)


def _first_rows(reader: pa.RecordBatchReader, limits: PromptSettings) -> pa.Table:
    """A row more than the limit, so that one sees whether there are more. Raises QueryError for very long rows."""
    batches, found, n_bytes = [], 0, 0
    for batch in reader:
        batches.append(batch)
        found += batch.num_rows
        n_bytes += batch.nbytes
        if n_bytes > limits.answer_bytes:
            raise QueryError(
                f"the answer is longer than {limits.answer_bytes >> 20:,} MiB: ask for fewer columns, or use `curation sql`"
            )
        if found > limits.rows:
            break
    return pa.Table.from_batches(batches, reader.schema)


@contextmanager
def time_limit(con: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """Interrupt what runs on a connection after some seconds. Raises QueryError then, which says what to do."""
    is_late, is_done = threading.Event(), threading.Event()

    def watch() -> None:
        if is_done.wait(seconds):
            return
        is_late.set()
        con.interrupt()
        while not is_done.wait(0.1):  # between two statements an interrupt meets nothing
            con.interrupt()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except (duckdb.Error, QueryError) as error:
        if is_late.is_set():
            raise _too_long(seconds) from error
        raise
    finally:
        is_done.set()
        watcher.join()


def _too_long(seconds: float) -> QueryError:
    return QueryError(
        f"stopped after {seconds:g} s, the longest that a question may take here: ask for less, or use `curation sql`"
    )
