"""Options that many commands share."""

import getpass
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from curation.errors import InputError
from curation.lake import Lake
from curation.shards import Engine

Workspace = Annotated[
    Path, typer.Option("--workspace", "-w", envvar="CURATION_WORKSPACE", help="Folder of the workspace.")
]
At = Annotated[
    str | None, typer.Option("--at", help="Show the lake as it was: a tag or a version (`snapshots`).")
]


class EngineName(str, Enum):
    """Where shards are computed."""

    local = "local"
    ray = "ray"


EngineChoice = Annotated[
    EngineName, typer.Option("--engine", help="Processes of this machine, or a Ray cluster.")
]
Address = Annotated[
    str | None,
    typer.Option(help="Ray cluster: HOST:PORT, ray://… or auto; without it RAY_ADDRESS, or a new one here."),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Processes that compute: one without it, on Ray one a CPU of the cluster."),
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


@contextmanager
def scratch_folder(lake: Lake, engine: Engine) -> Iterator[Path]:
    """A folder for the plan of some work, where all its workers see it; gone afterwards."""
    near = lake.root if engine.is_ray else None
    with tempfile.TemporaryDirectory(prefix="curation-", dir=near) as scratch:
        yield Path(scratch)


def assignments(option: str, texts: list[str] | None) -> dict[str, str]:
    """NAME=VALUE texts of a repeatable option. Raises InputError for one without a sign of equality."""
    for text in texts or []:
        if "=" not in text:
            raise InputError(f"{option} {text!r}: write NAME=VALUE")
    return dict(text.split("=", 1) for text in texts or [])


def who() -> str:
    """Who types: the login name, or the number of a user that has none, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on
        return str(os.getuid())
