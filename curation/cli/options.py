"""Options that many commands share."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from curation.lake import Lake

Workspace = Annotated[
    Path, typer.Option("--workspace", "-w", envvar="CURATION_WORKSPACE", help="Folder of the workspace.")
]
At = Annotated[
    str | None, typer.Option("--at", help="Show the lake as it was: a tag or a version (`snapshots`).")
]


class Format(str, Enum):
    """How rows are printed."""

    table = "table"
    csv = "csv"
    json = "json"
    markdown = "markdown"
    parquet = "parquet"


OutputFormat = Annotated[Format, typer.Option("--format", "-f", help="How rows are written.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file instead of the terminal.")]


def open_lake(workspace: Path, at: str | None = None, read_only: bool = False) -> Lake:
    """Open the workspace of a command. Raises LakeError with what to do."""
    return Lake.open(workspace, at=at, read_only=read_only)
