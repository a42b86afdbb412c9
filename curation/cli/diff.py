"""diff: what changed in the lake between two versions of it."""

from typing import Annotated

import typer

from curation.cli.options import Format, Out, OutputFormat, Workspace
from curation.cli.output import print_table


def register(app: typer.Typer) -> None:
    app.command()(diff)


def diff(
    before: Annotated[str, typer.Argument(help="Tag or version.")],
    after: Annotated[str, typer.Argument(help="Tag, version, or `now`.")],
    workspace: Workspace,
    output_format: OutputFormat = Format.table,
    out: Out = None,
) -> None:
    """Masks added, superseded and withdrawn between two versions, by run, with their quality before and after."""
    from curation.review import differences

    print_table(differences.between(workspace, before, after), output_format, out)
