"""backup, restore: a workspace copied whole while work goes on, and put back with every byte checked."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from curation.cli.options import Workspace, open_lake
from curation.cli.output import messages
from curation.cli.progress import progress
from curation.engine import backup as backups


def register(app: typer.Typer) -> None:
    app.command()(backup)
    app.command()(restore)


def backup(
    workspace: Workspace,
    out: Annotated[Path, typer.Argument(help="Folder to make, outside of the workspace.")],
) -> None:
    """Copy the workspace: catalog with all versions, data files, models and releases. Others may go on writing.

    Pictures are copied only where they lie in the folder of the workspace.
    """
    with open_lake(workspace, read_only=True) as lake:
        told = backups.back_up(lake, out, _step)
    messages.print(
        f"{told.folder}: version {told.version}, {told.n_files:,} files, {told.n_bytes / 1e6:.1f} MB; "
        f"`curation restore {told.folder} FOLDER` makes a workspace of it"
    )


def restore(
    source: Annotated[Path, typer.Argument(help="Folder that `curation backup` made.")],
    to: Annotated[Path, typer.Argument(help="Folder of the new workspace.")],
    catalog: Annotated[
        str | None, typer.Option("--catalog", help="As for `init`; of the kind that was backed up.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="As for `init`: a folder or s3://BUCKET/PREFIX.")
    ] = None,
) -> None:
    """Make a workspace from a backup. Every file and the content of every table are checked against its hashes."""
    told = backups.restore(source, to, catalog, data, _step)
    messages.print(f"{told.folder}: version {told.version} is as it was backed up, {told.n_files:,} files")


@contextmanager
def _step(words: str, n_items: int | None) -> Iterator[Callable[[], None]]:
    """A line for a step; a bar where its items are counted."""
    if n_items is None:
        messages.print(f"· {words}")
        yield lambda: None
        return
    with progress(n_items, unit="items", about=words) as bar:
        yield bar.advance
