"""measure: numbers from masks."""

from collections.abc import Callable
from functools import partial
from typing import Annotated

import numpy as np
import typer

from curation.cli.options import Address, EngineChoice, EngineName, Workers, Workspace, open_lake
from curation.cli.output import console, end
from curation.cli.progress import shard_progress
from curation.formats.images import read_image
from curation.measures import work
from curation.measures.corrections import measure_corrections
from curation.shards import Done, Engine, Shard, Summary

Run = Annotated[int | None, typer.Option("--run", help="Number of the run; all runs without it.")]
Do = Callable[[list[Shard], int | None, Callable[[Done], None], Engine], Summary]


def register(app: typer.Typer) -> None:
    app.command()(measure)


def measure(
    workspace: Workspace,
    run: Run = None,
    workers: Workers = None,
    engine: EngineChoice = EngineName.local,
    address: Address = None,
    appearance: Annotated[
        bool,
        typer.Option("--appearance", help="Also contrast and edges along the boundary, from the pictures."),
    ] = False,
) -> None:
    """Compute shape, overlaps, nesting and coverage of every mask that lacks them. Run again, it resumes.

    What was measured before a measure was added is measured anew.
    """
    crew = (workers, Engine(engine.value, address))
    with open_lake(workspace) as lake:
        n_problems = 0
        for run_id in work.measurable_runs(lake) if run is None else [run]:
            todo = work.measure_shards(lake, run_id)
            n_problems += _done(partial(work.measure, lake), todo, *crew, f"run {run_id}: measure")
            if appearance:
                look = partial(work.measure_appearance, lake, _pixels)
                todo = work.appearance_shards(lake, run_id)
                n_problems += _done(look, todo, *crew, f"run {run_id}: appearance")
        n_corrections = measure_corrections(lake, run)
        if n_corrections:
            console.print(f"corrections: {n_corrections} masks measured")
    end(n_problems, "masks or pictures")


def _done(do: Do, todo: list[Shard], workers: int | None, engine: Engine, about: str) -> int:
    """Do the shards, say what was done, and return the number of problems."""
    with shard_progress(todo, about) as advance:
        summary = do(todo, workers, advance, engine)
    told = f"{summary.n_masks} masks of {summary.n_images} images measured"
    console.print(f"{about}: {told if todo else 'nothing new to measure'}")
    return summary.n_problems


def _pixels(uri: str) -> np.ndarray:
    return read_image(uri).pixels
