"""query, queries: the reports."""

from typing import Annotated

import pyarrow as pa
import typer

from curation import queries as reports
from curation.cli.options import At, Format, Out, OutputFormat, Workspace, assignments, open_lake
from curation.cli.output import console, print_table


def register(app: typer.Typer) -> None:
    app.command()(query)
    app.command()(queries)


def query(
    workspace: Workspace,
    name: Annotated[str, typer.Argument(help="Name of the report; `curation queries` lists them.")],
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="NAME=VALUE; may be repeated.")
    ] = None,
    at: At = None,
    output_format: OutputFormat = Format.table,
    out: Out = None,
) -> None:
    """Run a report."""
    report = reports.get(name)
    with open_lake(workspace, at, read_only=True) as lake:
        rows = report.run(lake, **assignments("--param", param))
    if output_format is Format.table and out is None:
        console.print(f"[bold]{report.title}[/bold] — one row: {report.grain}")
    print_table(rows, output_format, out)


def queries(output_format: OutputFormat = Format.table, out: Out = None) -> None:
    """List the reports."""
    rows = [
        {
            "name": q.name,
            "title": q.title,
            "one row": q.grain,
            "parameters": ", ".join(p.name for p in q.params),
        }
        for q in reports.load().values()
    ]
    print_table(pa.Table.from_pylist(rows), output_format, out)
