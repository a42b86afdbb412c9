"""Tables as people read them: what a column means on its head, ids whole, and the rows to take home."""

import io
import re
from collections.abc import Mapping
from itertools import count

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import streamlit as st

from curation.cli.output import flat
from curation.queries import Query

#: Rows that a browser lays out at once without a scroll bar of its own.
MOST_SHOWN = 16
ROW_PX = 35
#: What Markdown, or Streamlit in it, takes for more than a letter.
MARKDOWN = re.compile(r"[\\`*_{}\[\]<>()#+!|~$:]")
#: Beyond it a browser's numbers round; ids go as text.
BROWSER_INTEGER = 2**53


def show(
    rows: pa.Table,
    about: Mapping[str, str],
    key: str | None = None,
    alt: str | None = None,
    config: Mapping[str, object] | None = None,
) -> None:
    """The rows, with `about` (column -> meaning) as help on the heads. An empty table shows its heads.

    `config` (column -> st.column_config) says how a column looks where that is not plain.
    """
    config = {
        **{field.name: _column(field, about.get(field.name)) for field in rows.schema},
        **(config or {}),
    }
    height = ROW_PX * (min(rows.num_rows, MOST_SHOWN) + 1) + 3
    st.dataframe(
        readable(rows), hide_index=True, column_config=config, height=height, key=key, alt=alt, placeholder=""
    )


def about(query: Query) -> dict[str, str]:
    """Column -> what the report says of it."""
    return {column.name: column.about for column in query.columns}


def literal(text: str) -> str:
    """Words as they stand, for what reads Markdown."""
    return MARKDOWN.sub(r"\\\g<0>", text)


def number(about_: str, n_decimals: int = 0) -> object:
    """A column of numbers with so many decimals."""
    return st.column_config.NumberColumn(help=about_, format=f"%.{n_decimals}f")


def downloads(rows: pa.Table, name: str) -> None:
    """Buttons that write all rows as CSV or Parquet, when they are pressed."""
    with st.container(horizontal=True, width="content"):
        for label, ending, mime, write in (
            ("CSV", "csv", "text/csv", as_csv),
            ("Parquet", "parquet", "application/vnd.apache.parquet", as_parquet),
        ):
            st.download_button(
                label,
                lambda write=write: write(rows),
                f"{name}.{ending}",
                mime,
                icon=":material/download:",
                on_click="ignore",
                key=f"{name}.{ending}",
                help=f"All {rows.num_rows:,} rows as {label}",
            )


def readable(rows: pa.Table) -> pa.Table:
    """The rows as a browser can show them: long ids as text, bytes by their number."""
    for index, field in enumerate(rows.schema):
        if _is_long_id(field, rows.column(index)):
            rows = rows.set_column(index, field.name, rows.column(index).cast(pa.string()))
        elif pa.types.is_binary(field.type):
            texts = [None if v is None else f"{len(v):,} bytes" for v in rows.column(index).to_pylist()]
            rows = rows.set_column(index, field.name, pa.array(texts, pa.string()))
    return rows


def distinct(rows: pa.Table) -> pa.Table:
    """The rows with names that differ: of equal ones, as a join gives them, the later get a number."""
    names: list[str] = []
    for name in rows.column_names:
        number = next(n for n in count(1) if (name if n == 1 else f"{name}_{n}") not in names)
        names.append(name if number == 1 else f"{name}_{number}")
    return rows.rename_columns(names)


def as_csv(rows: pa.Table) -> bytes:
    file = io.BytesIO()
    pacsv.write_csv(flat(rows), file)
    return file.getvalue()


def as_parquet(rows: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(rows, file)
    return file.getvalue()


def _is_long_id(field: pa.Field, column: pa.ChunkedArray) -> bool:
    if not pa.types.is_int64(field.type) or column.null_count == len(column):
        return False
    bounds = pc.min_max(column)
    return bounds["min"].as_py() < -BROWSER_INTEGER or bounds["max"].as_py() > BROWSER_INTEGER


def _column(field: pa.Field, about_: str | None) -> object:
    if pa.types.is_timestamp(field.type):
        help_ = f"{about_} (UTC)" if about_ else "UTC"
        return st.column_config.DatetimeColumn(help=help_, format="YYYY-MM-DD HH:mm:ss", timezone="UTC")
    return st.column_config.Column(help=about_)
