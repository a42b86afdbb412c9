"""Rows on a terminal: as a table where it is wide enough, turned on its side where it is not."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import pyarrow as pa
from rich.table import Table
from rich.text import Text

#: Columns of the terminal between two cells, borders included.
GAP = 3
#: A cell is folded rather than let it grow beyond this.
WIDEST_CELL = 36
#: Long texts of a column become notes while there are no more of them than a person keeps in mind.
MOST_NOTES = 4


def fitted(rows: pa.Table, width: int) -> list[Table | Text]:
    """The rows for a terminal `width` columns wide; an estimate and its interval share a cell.

    Too wide a table first loses the columns that hold one value in all rows: they are told once, above it.
    Then long texts that recur become numbered notes. Still too wide, it is turned: a line a column, as many
    rows side by side as fit.
    """
    rows = _with_intervals(rows)
    if _natural_width(rows) <= width:
        return [upright(rows)]
    if rows.num_rows == 0:
        return [Text(f"No rows. Columns: {', '.join(rows.column_names)}", style="dim")]
    said, rows = _same_everywhere(rows)
    notes, rows = _noted(rows)
    said += notes
    if rows.num_columns and _natural_width(rows) <= width:
        return [*said, upright(rows)]
    return [*said, *_turned(rows, width)]


def upright(rows: pa.Table) -> Table:
    """A row a line, numbers to the right."""
    table = Table(header_style="bold")
    for field in rows.schema:
        table.add_column(field.name, justify="right" if is_number(field.type) else "left", overflow="fold")
    for row in rows.to_pylist():
        table.add_row(*(Text(cell(value)) for value in row.values()))
    return table


def cell(value: object) -> str:
    """One value for people: four significant decimals of a float, nothing for null."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, bytes):
        return f"{len(value)} B"
    return str(value)


def is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _with_intervals(rows: pa.Table) -> pa.Table:
    """`x`, `x_low` and `x_high` as one column of texts, "x [low, high]"; so `estimate`, `low` and `high`."""
    for name in rows.column_names:
        bounds = ["low", "high"] if name == "estimate" else [f"{name}_low", f"{name}_high"]
        if not set(bounds) <= set(rows.column_names):
            continue
        triples = zip(*(rows[part].to_pylist() for part in (name, *bounds)), strict=True)
        texts = [_interval(*triple) for triple in triples]
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(texts, pa.string()))
        rows = rows.drop_columns(bounds)
    return rows


def _interval(value: object, low: object, high: object) -> str | None:
    if value is None:
        return None
    return cell(value) if low is None and high is None else f"{cell(value)} [{cell(low)}, {cell(high)}]"


def _texts(rows: pa.Table) -> list[list[str]]:
    """Cells, column by column."""
    return [[cell(value) for value in column.to_pylist()] for column in rows.columns]


def _natural_width(rows: pa.Table) -> int:
    """What the upright table takes without folding a cell."""
    columns = zip(rows.column_names, _texts(rows), strict=True)
    return 1 + sum(GAP + max(map(len, [name, *texts])) for name, texts in columns)


def _same_everywhere(rows: pa.Table) -> tuple[list[Text], pa.Table]:
    """A line that tells the columns with one value in all rows, and the rows without them."""
    if rows.num_rows < 2:
        return [], rows
    texts = dict(zip(rows.column_names, _texts(rows), strict=True))
    same = {name: values[0] for name, values in texts.items() if len(set(values)) == 1}
    if not same:
        return [], rows
    told = ", ".join(f"{name} {value or 'null'}" for name, value in same.items())
    return [Text(f"In every row: {told}", style="dim")], rows.drop_columns(list(same))


def _noted(rows: pa.Table) -> tuple[list[Text], pa.Table]:
    """Lines that number the few long texts of a column, and the rows with the numbers in their place."""
    notes = []
    for name, texts in zip(rows.column_names, _texts(rows), strict=True):
        different = list(dict.fromkeys(texts))
        if max(map(len, texts)) <= WIDEST_CELL or len(different) > MOST_NOTES:
            continue
        notes += [
            Text(f"{name} ({i}): {text or 'null'}", style="dim") for i, text in enumerate(different, start=1)
        ]
        numbers = pa.array([f"({different.index(text) + 1})" for text in texts])
        rows = rows.set_column(rows.column_names.index(name), name, numbers)
    return notes, rows


def _turned(rows: pa.Table, width: int) -> Iterator[Table]:
    """Columns as lines, in blocks of as many rows as fit side by side."""
    texts = _texts(rows)
    name_width = max(map(len, rows.column_names))
    widths = [max(1, *(min(len(column[i]), WIDEST_CELL) for column in texts)) for i in range(rows.num_rows)]
    for block in _blocks(widths, width - name_width - GAP - 1):
        table = Table(show_header=False)
        table.add_column(style="bold", no_wrap=True)
        for _ in block:
            table.add_column(overflow="fold", max_width=WIDEST_CELL)
        for name, column in zip(rows.column_names, texts, strict=True):
            table.add_row(name, *(Text(column[i]) for i in block))
        yield table


def _blocks(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Indices of neighbours whose widths together fit into `room`; at least one a block."""
    block: list[int] = []
    taken = 0
    for i, needed in enumerate(widths):
        if block and taken + needed + GAP > room:
            yield block
            block, taken = [], 0
        block.append(i)
        taken += needed + GAP
    yield block
