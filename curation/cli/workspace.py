"""workspace: the places where a workspace lies."""

from pathlib import Path
from typing import Annotated

import typer

from curation.cli.options import Workspace, open_lake
from curation.cli.output import console, messages
from curation.engine import moving


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Where a workspace lies.")
    group.command()(move)
    app.add_typer(group, name="workspace")


def move(
    to: Annotated[Path, typer.Argument(help="Folder of the new workspace.")],
    workspace: Workspace,
    catalog: Annotated[
        str | None, typer.Option(help="sqlite:PATH (default) or postgres://USER@HOST/DATABASE, empty.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Folder (default: data) or s3://BUCKET/PREFIX")] = None,
) -> None:
    """Copy a workspace elsewhere, such as to PostgreSQL and S3 for a team, or back. Run again, it resumes.

    The whole history moves: every version, tag and id stays as it is. The copy is checked before it is a workspace; the
    old one stays as it is, to be deleted by you. Commits that come to it after the move are not moved.
    """
    with open_lake(workspace) as lake:
        moved = moving.move(
            lake, moving.Target(to, catalog, data), lambda step: messages.print(f"move: {step}", style="dim")
        )
    console.print(
        f"{moved.root}: {moved.n_rows:,} rows, {moved.n_versions:,} versions, {moved.n_tags:,} tags, {moved.n_files:,} files "
        f"({moved.n_bytes / 1e6:,.1f} MB; {moved.n_copied:,} copied now), equal to {workspace}",
        soft_wrap=True,
    )
    console.print(f"Next: let everybody open {moved.root}, then delete {workspace}", soft_wrap=True)
