"""maintain: the upkeep of a workspace."""

from datetime import timedelta
from typing import Annotated

import pyarrow as pa
import typer

from curation.cli.options import Format, Out, OutputFormat, Workspace, open_lake
from curation.cli.output import messages, print_table
from curation.engine import maintenance
from curation.engine.maintenance import Keep, Step
from curation.settings import MAINTENANCE


def register(app: typer.Typer) -> None:
    app.command()(maintain)


def maintain(
    workspace: Workspace,
    apply: Annotated[
        bool, typer.Option("--apply", help="Do it. Without it, only what would be done is shown.")
    ] = False,
    keep_days: Annotated[
        float,
        typer.Option(
            min=0, help="Versions younger than this stay, in days; those with a name stay for ever."
        ),
    ] = MAINTENANCE.keep_days,
    grace_hours: Annotated[
        float, typer.Option(min=0, help="Files touched within so many hours are not deleted.")
    ] = MAINTENANCE.grace_hours,
    output_format: OutputFormat = Format.table,
    out: Out = None,
) -> None:
    """Merge small files, empty the catalog of rows, forget old unnamed versions, delete what nothing shows.

    Versions with a tag, and those that a sample, batch, cycle, release, verifier or routing refers to, are never
    forgotten. Safe while others write and read. Nothing else may keep files below the workspace's data folder.
    """
    keep = Keep(timedelta(days=keep_days), timedelta(hours=grace_hours))
    with open_lake(workspace) as lake:
        steps = maintenance.apply(lake, keep, _tell) if apply else maintenance.plan(lake, keep)
    print_table(pa.Table.from_pylist([_row(step) for step in steps]), output_format, out)
    if not apply:
        messages.print("Nothing was changed: add --apply to do it", style="dim")
    elif grace_hours:
        messages.print(
            f"Files that were merged or forgotten now are deleted by a call {grace_hours:g} hours from now",
            style="dim",
        )


def _row(step: Step) -> dict[str, object]:
    megabytes = None if step.n_bytes is None else round(step.n_bytes / 1e6, 3)
    return {"step": step.step, "n": step.n, "unit": step.unit, "mb": megabytes, "about": step.about}


def _tell(step: Step) -> None:
    messages.print(f"{step.step}: {step.n:,} {step.unit}", style="dim")
