"""scenes, photographs: pictures to try things on."""

from pathlib import Path
from typing import Annotated

import typer

from curation.cli.output import messages
from curation.cli.progress import progress
from curation.errors import InputError
from curation.generation.photographs import PHOTOGRAPHS, write_photographs
from curation.generation.scenes import DEFAULT_SIZE, write_scenes


def register(app: typer.Typer) -> None:
    app.command()(scenes)
    app.command()(photographs)


def scenes(
    out: Annotated[Path, typer.Argument(help="Folder for sa_<n>.jpg and sa_<n>.json.")],
    n: Annotated[int, typer.Option("--n", "-n", min=0, help="How many scenes the folder shall hold.")] = 50,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed draws the same scenes.")] = 1,
    size: Annotated[
        str, typer.Option("--size", help="WIDTHxHEIGHT in pixels.")
    ] = f"{DEFAULT_SIZE[0]}x{DEFAULT_SIZE[1]}",
) -> None:
    """Render scenes with exact masks of every object and part, as SA-1B files."""
    width_height = _size(size)
    with progress(n, unit="scenes", about="scenes") as bar:
        n_written = write_scenes(out, n, seed, width_height, on_done=lambda name: bar.advance(1, name))
    there = f", {n - n_written} were there" if n_written < n else ""
    messages.print(f"{out}: {n_written} scenes written{there}")
    messages.print(f"Next: curation gold import sa1b {out} --annotator scenes --from-scratch", style="dim")


def photographs(
    out: Annotated[Path, typer.Argument(help="Folder for the photographs.")],
    n: Annotated[
        int, typer.Option("--n", "-n", min=0, max=len(PHOTOGRAPHS), help="How many of them, at most all.")
    ] = len(PHOTOGRAPHS),
) -> None:
    """Write out the photographs that scikit-image and scikit-learn carry."""
    with progress(n, unit="photographs", about="photographs") as bar:
        n_written = write_photographs(out, n, on_done=lambda name: bar.advance(1, name))
    there = f", {n - n_written} were there" if n_written < n else ""
    messages.print(f"{out}: {n_written} photographs written{there}")


def _size(text: str) -> tuple[int, int]:
    width, times, height = text.lower().partition("x")
    if not (times and width.isdecimal() and height.isdecimal()):
        raise InputError(f"--size {text!r}: write WIDTHxHEIGHT in pixels, such as 640x480")
    return int(width), int(height)
