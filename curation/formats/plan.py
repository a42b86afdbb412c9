"""The numbered list of a run's inputs: one Parquet file, sorted outside of memory."""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation import ids
from curation.errors import InputError
from curation.formats.listing import Entry

#: Entries held in memory at once, while listing and in a row group; 11 million images make 1,100 groups.
BATCH_ROWS = 10_000
#: What the sort may hold before it spills to disk: 11 million entries weigh about 1.5 GB.
SORT_MEMORY = "512MB"

_LISTED = pa.schema(
    [
        pa.field("uri", pa.string(), nullable=False),
        pa.field("file_name", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64()),
        pa.field("offset", pa.int64()),
        pa.field("fault", pa.string()),
        pa.field("position", pa.int64(), nullable=False),
    ]
)
_SCHEMA = pa.schema(
    [
        pa.field("number", pa.int64(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("file_name", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64()),
        pa.field("offset", pa.int64()),
        pa.field("fault", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Item:
    """One input. `offset` is its first byte in a tar; `fault` says why it cannot be read, if so."""

    number: int
    uri: str
    file_name: str
    size_bytes: int | None = None
    offset: int | None = None
    fault: str | None = None


@dataclass(frozen=True)
class Plan:
    """Inputs numbered 0..n_items-1 in the order of their URIs (picklable; reads from `path`).

    `sha256` is over every URI and size in that order: what lies elsewhere is another input, as image ids are
    made from URIs. `n_repeated` counts entries left out because a later entry
    had the same URI.
    """

    path: Path
    n_items: int
    sha256: str
    n_repeated: int

    def items(self, first: int, stop: int) -> list[Item]:
        """Inputs first..stop-1; reads only the row groups that hold them."""
        rows = self._rows(first, min(stop, self.n_items))
        return [Item(**row) for row in rows.to_pylist()]

    def find(self, uris: Sequence[str]) -> dict[str, Item]:
        """The inputs with these URIs, by URI, without those that are not in the plan.

        Reads the row groups from the first to the last of them: fast where they lie together.
        """
        if not uris or self.n_items == 0:
            return {}
        uri = pc.field("uri")
        is_asked = (uri >= min(uris)) & (uri <= max(uris)) & uri.isin(uris)
        return {row["uri"]: Item(**row) for row in pq.read_table(self.path, filters=is_asked).to_pylist()}

    def _rows(self, first: int, stop: int) -> pa.Table:
        if first >= stop:
            return _SCHEMA.empty_table()
        with pq.ParquetFile(self.path) as file:
            start, _ = divmod(first, BATCH_ROWS)
            groups = file.read_row_groups(range(start, -(-stop // BATCH_ROWS)))
        return groups.slice(first - start * BATCH_ROWS, stop - first)


def write_plan(entries: Iterable[Entry], out: Path) -> Plan:
    """Sort `entries` by URI, number them and write them to `out` (replaced as a whole).

    Entries with one URI are one input, and the last one counts, as a member that stands twice in a tar does
    when it is unpacked. Memory does not grow with the number of entries. No entries make an empty plan.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".plan-") as folder:
        listed, numbered = Path(folder) / "listed.parquet", Path(folder) / "plan.parquet"
        n_listed = _spool(entries, listed)
        n_items, sha256 = _number(_sorted_batches(listed, Path(folder)), numbered)
        if n_items > 1 << ids.IMAGE_BITS:
            raise InputError(
                f"the plan has {n_items} inputs; one run takes {1 << ids.IMAGE_BITS}: split it into several"
            )
        os.replace(numbered, out)
    return Plan(out, n_items, sha256, n_listed - n_items)


def _spool(entries: Iterable[Entry], path: Path) -> int:
    n_listed = 0
    stream = iter(entries)
    with pq.ParquetWriter(path, _LISTED, compression="zstd", compression_level=1) as writer:
        while batch := list(islice(stream, BATCH_ROWS)):
            columns = [[getattr(entry, name) for entry in batch] for name in _LISTED.names[:-1]]
            columns.append(range(n_listed, n_listed + len(batch)))
            writer.write_batch(
                pa.record_batch(
                    [pa.array(c, t.type) for c, t in zip(columns, _LISTED, strict=True)], schema=_LISTED
                )
            )
            n_listed += len(batch)
    return n_listed


def _sorted_batches(path: Path, folder: Path) -> Iterator[pa.RecordBatch]:
    """Entries by URI, the last listed of each URI first, with `line`, the bytes that the hash is over."""
    settings = {"memory_limit": SORT_MEMORY, "temp_directory": str(folder), "threads": 2}
    with duckdb.connect(config=settings) as con:
        con.execute("SET enable_progress_bar = false")  # it would write into the output of commands
        yield from con.execute(
            """
            SELECT uri, file_name, size_bytes, "offset", fault,
                   concat(uri, chr(10), coalesce(CAST(size_bytes AS VARCHAR), '?'), chr(10)) AS line
            FROM read_parquet($path)
            ORDER BY uri, position DESC
            """,
            {"path": str(path)},
        ).to_arrow_reader(BATCH_ROWS)


def _number(batches: Iterable[pa.RecordBatch], path: Path) -> tuple[int, str]:
    digest = hashlib.sha256()
    n_items = 0
    with pq.ParquetWriter(path, _SCHEMA, compression="zstd", compression_level=1) as writer:
        for rows in _full_groups(_without_repeats(batches)):
            digest.update("".join(rows["line"].to_pylist()).encode())
            numbers = pa.array(range(n_items, n_items + len(rows)), pa.int64())
            rows = rows.drop_columns(["line"]).add_column(0, "number", numbers)
            writer.write_table(rows.select(_SCHEMA.names).cast(_SCHEMA), row_group_size=BATCH_ROWS)
            n_items += len(rows)
    return n_items, digest.hexdigest()


def _without_repeats(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    last_uri: str | None = None
    for batch in batches:
        if batch.num_rows:
            uris = batch["uri"].to_pylist()
            is_new = [uri != before for uri, before in zip(uris, [last_uri, *uris[:-1]], strict=True)]
            last_uri = uris[-1]
            yield pa.Table.from_batches([batch]).filter(pc.cast(pa.array(is_new), pa.bool_()))


def _full_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of BATCH_ROWS rows, the last one shorter, so that a number tells its row group."""
    waiting: pa.Table | None = None
    for table in tables:
        waiting = table if waiting is None else pa.concat_tables([waiting, table])
        while len(waiting) >= BATCH_ROWS:
            yield waiting.slice(0, BATCH_ROWS)
            waiting = waiting.slice(BATCH_ROWS)
    if waiting is not None and len(waiting):
        yield waiting
