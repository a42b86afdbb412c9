"""Content hashes of the lake's tables: equal where the rows are, however Parquet files and commits hold them."""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from curation.lake import Lake
from curation.schemas import TABLES, Column
from curation.settings import RELEASE
from curation.storage import quote

#: Bytes of a row's hash, and rows hashed at once.
ROW_BYTES, BATCH_ROWS = 32, 100_000


@dataclass(frozen=True)
class TableHash:
    """The content of a table: `sha256` (hex) is over `columns`, so that a column added later changes nothing."""

    table: str
    columns: tuple[str, ...]
    n_rows: int
    sha256: str


@contextmanager
def bounded_memory(lake: Lake) -> Iterator[None]:
    """Let DuckDB sort with RELEASE.memory and spill the rest into a folder of its own; once a connection."""
    with tempfile.TemporaryDirectory(prefix="curation-") as scratch:
        lake.con.execute(f"SET memory_limit = {quote(RELEASE.memory)}; SET temp_directory = {quote(scratch)}")
        yield


def of_table(lake: Lake, table: str, columns: Sequence[str] | None = None) -> TableHash:
    """Hash the rows of a table as `lake` shows it, over `columns` (all of its contract without them).

    Each row is written as a JSON list of texts and hashed with SHA-256; the table's hash is SHA-256 over its name, its
    columns and the rows' hashes in their own order. So the order of rows does not count, but how often each stands
    there does. Raises duckdb.Error where a file of the
    table is missing or cannot be read.
    """
    schema = TABLES[table]
    by_name = {column.name: column for column in schema.columns}
    chosen = tuple(by_name) if columns is None else tuple(columns)
    texts = ", ".join(_text(by_name[name]) for name in chosen)
    digest = hashlib.sha256("\n".join((table, *chosen, "")).encode())
    if lake.con.execute(f'SELECT 1 FROM "{table}" LIMIT 1').fetchone() is None:
        # DuckLake asks its catalog about each column of an empty table: ten times as slow as to find it empty.
        return TableHash(table, chosen, 0, digest.hexdigest())
    rows = lake.con.execute(
        f'SELECT unhex(sha256(to_json([{texts}])::VARCHAR)) AS row_hash FROM "{table}" ORDER BY row_hash'
    )
    n_rows = 0
    for batch in rows.to_arrow_reader(BATCH_ROWS):
        hashes = batch.column(0)
        first = ROW_BYTES * hashes.offset
        digest.update(hashes.buffers()[2][first : first + ROW_BYTES * len(hashes)])
        n_rows += len(hashes)
    return TableHash(table, chosen, n_rows, digest.hexdigest())


def _text(column: Column) -> str:
    """SQL of one text for a value, null for null: the same for equal values and different for others."""
    name = f'"{column.name}"'
    if column.type == "string":
        return name
    if column.type == "binary":
        return f"hex({name})"
    if column.type.startswith("list"):
        return f"to_json({name})::VARCHAR"
    if column.type.startswith("timestamp"):
        return f"epoch_us({name})::VARCHAR"  # a text would follow the time zone of the connection
    return f"{name}::VARCHAR"
