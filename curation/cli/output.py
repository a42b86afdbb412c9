"""Printing rows and the end of a command."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import typer
from rich.console import Console

from curation.cli.options import Format
from curation.cli.tables import cell, fitted, is_number
from curation.errors import InputError

console = Console()
#: Messages about the work go to stderr, so that rows on stdout can be piped.
messages = Console(stderr=True)


def print_table(rows: pa.Table, output_format: Format = Format.table, out: Path | None = None) -> None:
    """Write rows to `out`, or to the terminal. Parquet needs a file. No rows print the header alone."""
    if output_format is Format.parquet:
        if out is None:
            raise InputError("--format parquet writes binary data: name a file with --out FILE")
        pq.write_table(rows, out)
    elif output_format is Format.table and out is None:
        for part in fitted(rows, console.width):
            console.print(part)
        messages.print(f"{rows.num_rows} row{'' if rows.num_rows == 1 else 's'}", style="dim")
        return
    elif out is None:
        _write(rows, output_format, sys.stdout.buffer)
        sys.stdout.flush()
    else:
        with out.open("wb") as file:
            _write(rows, output_format, file)
    if out is not None:
        messages.print(f"{rows.num_rows} rows written to {out}")


def _write(rows: pa.Table, output_format: Format, file: BinaryIO) -> None:
    if output_format is Format.csv:
        pacsv.write_csv(flat(rows), file)
    elif output_format is Format.json:
        file.writelines(f"{line}\n".encode() for line in _json_lines(rows))
    else:
        file.writelines(f"{line}\n".encode() for line in _markdown(rows))


def end(n_problems: int, what: str = "inputs") -> None:
    """End the command: with 1 and the count when some inputs could not be used."""
    if n_problems:
        messages.print(
            f"{n_problems} {what} could not be used; nothing else was lost. See `curation query problems`.",
            style="yellow",
        )
        raise typer.Exit(1)


def _markdown(rows: pa.Table) -> Iterable[str]:
    yield f"| {' | '.join(rows.column_names)} |"
    yield f"| {' | '.join('---:' if is_number(f.type) else '---' for f in rows.schema)} |"
    for row in rows.to_pylist():
        yield "| " + " | ".join(cell(value).replace("|", "\\|") for value in row.values()) + " |"


def _json_lines(rows: pa.Table) -> Iterable[str]:
    def plain(value: object) -> object:
        return value.hex() if isinstance(value, bytes) else str(value)

    for row in rows.to_pylist():
        yield json.dumps(row, default=plain)


def flat(rows: pa.Table) -> pa.Table:
    """CSV has no lists: they are written as JSON text."""
    for index, field in enumerate(rows.schema):
        if pa.types.is_nested(field.type):
            texts = [
                None if v is None else json.dumps(v, default=str) for v in rows.column(index).to_pylist()
            ]
            rows = rows.set_column(index, field.name, pa.array(texts, pa.string()))
    return rows
