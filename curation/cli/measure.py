"""measure: numbers from masks."""

from typing import Annotated

import typer

from curation.cli.options import Workspace, open_lake
from curation.cli.output import console, end
from curation.cli.progress import shard_progress
from curation.measures import work

Run = Annotated[int | None, typer.Option("--run", help="Number of the run; all runs without it.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes that compute.")]


def register(app: typer.Typer) -> None:
    app.command()(measure)


def measure(workspace: Workspace, run: Run = None, workers: Workers = 1) -> None:
    """Compute shape, overlaps and coverage of every mask that lacks them. Run again, it resumes."""
    with open_lake(workspace) as lake:
        n_problems = 0
        for run_id in work.measurable_runs(lake) if run is None else [run]:
            todo = work.measure_shards(lake, run_id)
            with shard_progress(todo, f"measure run {run_id}") as advance:
                summary = work.measure(lake, todo, workers, advance)
            told = f"{summary.n_masks} masks of {summary.n_images} images measured"
            console.print(f"run {run_id}: {told if todo else 'nothing new to measure'}")
            n_problems += summary.n_problems
    end(n_problems, "masks")
