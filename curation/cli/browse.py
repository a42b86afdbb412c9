"""browse sync, launch, list: masks in the FiftyOne App."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curation.cli.options import At, Format, Out, OutputFormat, Workspace, open_lake
from curation.cli.output import console, messages, print_table
from curation.cli.progress import progress
from curation.errors import InputError

if TYPE_CHECKING:
    from curation.browse.sync import Problem, Summary

Dataset = Annotated[
    str | None, typer.Option(help="Name of the FiftyOne dataset (default: curation-<name of the workspace>).")
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="See masks in the FiftyOne App.")
    group.command()(sync)
    group.command()(launch)
    group.command("list")(list_datasets)
    app.add_typer(group, name="browse")


def sync(
    workspace: Workspace,
    run: Annotated[int | None, typer.Option(help="Only this run.")] = None,
    where: Annotated[
        str | None,
        typer.Option(help="SQL condition over masks, mask_features and gold, such as 'gold_iou < 0.5'."),
    ] = None,
    report: Annotated[
        str | None, typer.Option(help="The masks or images that this report names (mask_id or image_id).")
    ] = None,
    dataset: Dataset = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove masks of the dataset that are not chosen now.")
    ] = False,
    at: At = None,
) -> None:
    """Write the chosen masks into a FiftyOne dataset; again, only what is new or changed."""
    from curation.browse.selection import Choice
    from curation.browse.sync import plan, write

    choice = Choice(run, where, report)
    with open_lake(workspace, at, read_only=True) as lake:
        todo = plan(lake, choice, dataset)
        n_masks = todo.difference.n_new + todo.difference.n_changed
        with progress(n_masks, unit="masks", about="browse sync") as bar:
            summary = write(lake, todo, prune, bar.advance, _tell_problem)
    _tell(summary)
    if summary.n_problems:
        messages.print(f"{summary.n_problems} problem(s): what they name is not in FiftyOne", style="yellow")
        raise typer.Exit(1)


def launch(
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", envvar="CURATION_WORKSPACE", help="Workspace to show.")
    ] = None,
    dataset: Dataset = None,
    port: Annotated[int, typer.Option(help="Port of the App.")] = 5151,
    opens_browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the App in a browser here.")
    ] = True,
) -> None:
    """Open the FiftyOne App and serve it until Ctrl-C."""
    from curation.browse.app import serve
    from curation.browse.dataset import default_name

    if dataset is None and workspace is None:
        raise InputError("nothing to show: give --workspace or --dataset (`curation browse list` names them)")
    serve(dataset or default_name(workspace.resolve()), port, opens_browser, _tell_url)


def list_datasets(output_format: OutputFormat = Format.table, out: Out = None) -> None:
    """List the FiftyOne datasets that show a workspace."""
    from curation.browse.dataset import listing

    print_table(listing(), output_format, out)


def _tell_problem(problem: "Problem") -> None:
    messages.print(f"{problem.source}: {problem.reason}", style="yellow", markup=False, highlight=False)


def _tell(summary: "Summary") -> None:
    console.print(
        f"{summary.dataset}: {summary.n_chosen:,} masks chosen, {summary.n_masks_written:,} written on "
        f"{summary.n_images_written:,} images ({summary.n_new:,} new, {summary.n_changed:,} changed), "
        f"{summary.n_removed:,} removed, in {summary.took_s:.1f} s",
        highlight=False,
        soft_wrap=True,
    )
    if not summary.n_chosen:
        console.print("No mask meets the condition; look with `curation sql` or choose otherwise.")
    if summary.n_stale:
        console.print(
            f"{summary.n_stale:,} masks from earlier syncs were not chosen now and stay; --prune removes them."
        )
    console.print(f"Next: curation browse launch --dataset {summary.dataset}", soft_wrap=True)


def _tell_url(url: str) -> None:
    console.print(f"The App serves at {url}\nStop it with Ctrl-C.", highlight=False, soft_wrap=True)
