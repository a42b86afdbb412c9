"""export: masks of the lake in others' formats."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from curation.cli.options import At, Workspace, open_lake
from curation.cli.output import console
from curation.cli.progress import progress
from curation.formats import coco_export, sa1b_export
from curation.formats.sa1b_export import ExportedRun
from curation.lake import Lake

_Run = Annotated[int | None, typer.Option("--run", help="Number of the run; the newest without it.")]
_Gold = Annotated[bool, typer.Option("--gold", help="Export gold masks.")]
_Where = Annotated[
    str | None,
    typer.Option(
        help='SQL condition on masks, such as "verdict IS DISTINCT FROM \'reject\'" or "area_px > 400".'
    ),
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Write masks in the formats of others.")
    group.command("sa1b")(export_sa1b)
    group.command("coco")(export_coco)
    app.add_typer(group, name="export")


def export_sa1b(
    out: Annotated[Path, typer.Argument(help="Folder of the records; made when it is not there.")],
    workspace: Workspace,
    run: _Run = None,
    gold: _Gold = False,
    where: _Where = None,
    at: At = None,
) -> None:
    """Write SA-1B records, one JSON an image: what is not known (scores of drawn masks) is null."""
    with open_lake(workspace, at=at, read_only=True) as lake:
        _export(lake, sa1b_export.choose_run(lake, run, gold, where), out, sa1b_export.export)


def export_coco(
    out: Annotated[Path, typer.Argument(help="Folder of instances.json; made when it is not there.")],
    workspace: Workspace,
    run: _Run = None,
    gold: _Gold = False,
    where: _Where = None,
    at: At = None,
) -> None:
    """Write one COCO file, instances.json, with masks as compressed RLE; masks without a label have no category."""
    with open_lake(workspace, at=at, read_only=True) as lake:
        _export(lake, sa1b_export.choose_run(lake, run, gold, where), out, coco_export.export)


def _export(lake: Lake, run: ExportedRun, out: Path, write: Callable[..., int]) -> None:
    with progress(run.n_images, about=f"export run {run.run_id}") as bar:
        n_masks = write(lake, run, out, bar.advance)
    console.print(f"{out}: {n_masks:,} masks of {run.n_images:,} images of run {run.run_id}")
