"""report: the page that says how good a dataset is."""

from pathlib import Path
from typing import Annotated

import typer

from curation.cli.options import At, Workspace, open_lake
from curation.cli.output import messages


def register(app: typer.Typer) -> None:
    app.command()(report)


def report(
    workspace: Workspace,
    out: Annotated[Path, typer.Option("--out", "-o", help="HTML file to write.")] = Path("report.html"),
    run: Annotated[
        int | None, typer.Option("--run", help="Number of the run; else the newest that has masks.")
    ] = None,
    gold: Annotated[
        int | None, typer.Option("--gold", help="Number of the gold run; else the one with most images.")
    ] = None,
    n_worst: Annotated[
        int, typer.Option("--n-worst", min=0, max=200, help="Pictures of the worst masks; 0 leaves them out.")
    ] = 12,
    charts: Annotated[
        Path | None, typer.Option("--charts", help="Folder for each chart as PNG and SVG too.")
    ] = None,
    at: At = None,
) -> None:
    """Write the quality report of a run: one HTML file that works from disk, on a phone and on paper."""
    from curation.report.page import write_report
    from curation.report.page.facts import Request

    request = Request(run, gold, n_worst, at)
    with open_lake(workspace, at, read_only=True) as lake:
        written = write_report(lake, out, request, charts, lambda title: messages.print(f"· {title}"))
    messages.print(f"{written.path}: {written.n_charts} charts, {written.n_bytes / 1e6:.1f} MB", markup=False)
    for problem in written.unreadable:
        messages.print(problem, style="yellow", markup=False)
    if written.unreadable:
        n = len(written.unreadable)
        messages.print(f"{n} picture{'' if n == 1 else 's'} could not be drawn", style="yellow")
        raise typer.Exit(1)
