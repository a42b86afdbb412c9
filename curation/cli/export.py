"""export: masks of the lake in others' formats."""

from pathlib import Path
from typing import Annotated

import typer

from curation.cli.options import At, Workspace, open_lake
from curation.cli.output import console
from curation.cli.progress import progress
from curation.formats import sa1b_export


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Write masks in the formats of others.")
    group.command("sa1b")(export_sa1b)
    app.add_typer(group, name="export")


def export_sa1b(
    out: Annotated[Path, typer.Argument(help="Folder of the records; made when it is not there.")],
    workspace: Workspace,
    run: Annotated[
        int | None, typer.Option("--run", help="Number of the run; the newest without it.")
    ] = None,
    gold: Annotated[bool, typer.Option("--gold", help="Export gold masks.")] = False,
    at: At = None,
) -> None:
    """Write SA-1B records, one JSON an image: what is not known (scores of drawn masks) is null."""
    with open_lake(workspace, at=at, read_only=True) as lake:
        chosen = sa1b_export.choose_run(lake, run, gold)
        with progress(chosen.n_images, about=f"export run {chosen.run_id}") as bar:
            n_masks = sa1b_export.export(lake, chosen, out, bar.advance)
    console.print(f"{out}: {n_masks} masks of {chosen.n_images} images of run {chosen.run_id}")
