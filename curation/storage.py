"""Where a lake's data files lie: a folder or an S3 prefix. Workers write here without touching the catalog."""

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from curation.errors import LakeError
from curation.schemas import TABLES
from curation.settings import LAKE

#: Columns of strings in which nearly every value is its own.
NO_REPEATS = frozenset({"rle_counts", "source_mask_id", "uri", "file_name"})


@dataclass(frozen=True)
class DataFile:
    """A finished Parquet file of one table."""

    table: str
    path: str
    n_rows: int


@dataclass(frozen=True)
class Storage:
    """`base` is an absolute folder, or an `s3://bucket/prefix` read with the AWS_* variables."""

    base: str

    @property
    def is_s3(self) -> bool:
        return self.base.startswith("s3://")

    def write(self, table_name: str, table: pa.Table, run_id: int, file_name: str) -> DataFile:
        """Write one checked table as `main/<table>/run_id=<n>/<file_name>.parquet`, whole or not at all.

        That is where DuckLake itself writes: it merges files only inside a table's own folder. The same name again
        replaces the orphan of a killed process.
        """
        schema = TABLES[table_name]
        schema.check(table)
        folder = f"{self.base.rstrip('/')}/main/{table_name}/run_id={run_id}"
        path = f"{folder}/{file_name}.parquet"
        table = _sorted(table, schema.sort_by)
        try:
            if self.is_s3:
                self._write_parquet(table, path.removeprefix("s3://"), s3_filesystem())
            else:
                Path(folder).mkdir(parents=True, exist_ok=True)
                unfinished = f"{path}.{uuid.uuid4().hex}.tmp"
                self._write_parquet(table, unfinished, None)
                os.replace(unfinished, path)
        except OSError as error:
            raise LakeError(
                f"{path}: cannot be written ({error}); check space and rights, then start again"
            ) from error
        return DataFile(table_name, path, table.num_rows)

    @staticmethod
    def _write_parquet(table: pa.Table, path: str, filesystem: pafs.FileSystem | None) -> None:
        pq.write_table(
            table,
            path,
            filesystem=filesystem,
            compression="zstd",
            compression_level=LAKE.compression_level,
            row_group_size=LAKE.row_group_rows,
            # Only strings that come again are worth a dictionary: numbers get smaller, and written sooner, without.
            use_dictionary=[
                f.name for f in table.schema if f.type == pa.string() and f.name not in NO_REPEATS
            ],
        )


def _sorted(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """The rows by these columns, ascending; the same table where they lie so already, as they nearly always do."""
    order = pc.sort_indices(table.select(columns), [(name, "ascending") for name in columns])
    return table if np.array_equal(order, np.arange(len(order))) else table.take(order)


def s3_filesystem() -> pafs.S3FileSystem:
    """S3 as the AWS_* variables describe it (AWS_ENDPOINT_URL points to MinIO and the like)."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    return pafs.S3FileSystem(region=os.environ.get("AWS_REGION", "us-east-1"), endpoint_override=endpoint)


def s3_secret_sql() -> str:
    """The DuckDB statement that gives httpfs the same S3 access as `s3_filesystem`."""
    options = {
        "KEY_ID": os.environ.get("AWS_ACCESS_KEY_ID"),
        "SECRET": os.environ.get("AWS_SECRET_ACCESS_KEY"),
        "SESSION_TOKEN": os.environ.get("AWS_SESSION_TOKEN"),
        "REGION": os.environ.get("AWS_REGION", "us-east-1"),
    }
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        scheme, _, host = endpoint.partition("://")
        options |= {"ENDPOINT": host.rstrip("/"), "URL_STYLE": "path"}
        ssl = f", USE_SSL {str(scheme == 'https').lower()}"
    else:
        ssl = ""
    given = ", ".join(f"{name} {quote(value)}" for name, value in options.items() if value)
    return f"CREATE OR REPLACE SECRET s3_of_lake (TYPE s3, {given}{ssl})"


def quote(text: str) -> str:
    """`text` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"
