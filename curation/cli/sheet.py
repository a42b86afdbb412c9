"""sheet: a picture of images with their masks."""

from pathlib import Path
from typing import Annotated

import typer

from curation.cli.options import At, Workspace, open_lake
from curation.cli.output import messages
from curation.report.contact_sheet import draw_sheet


def register(app: typer.Typer) -> None:
    app.command()(sheet)


def sheet(
    workspace: Workspace,
    out: Annotated[Path, typer.Argument(help="PNG file to write.")],
    run: Annotated[int | None, typer.Option("--run", help="Number of the run; else the newest.")] = None,
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="How many images, evenly spread.")] = 12,
    where: Annotated[
        str | None, typer.Option("--where", help='SQL condition on masks, such as "gold_iou < 0.5".')
    ] = None,
    at: At = None,
) -> None:
    """Draw a contact sheet: images beside the same images with their masks."""
    with open_lake(workspace, at, read_only=True) as lake:
        drawn = draw_sheet(lake, out, n, run, where)
    messages.print(f"{drawn.path}: {drawn.n_images} images, {drawn.n_masks} masks")
    for problem in drawn.unreadable:
        messages.print(problem, style="yellow", markup=False)
    if drawn.unreadable:
        n = len(drawn.unreadable)
        messages.print(f"{n} picture{'' if n == 1 else 's'} could not be drawn", style="yellow")
        raise typer.Exit(1)
