"""measure, gold match: numbers from masks, and masks against gold."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from curation.cli.options import Workspace, open_lake
from curation.cli.output import console, end
from curation.cli.progress import progress
from curation.errors import LakeError
from curation.lake import Lake
from curation.measures import work
from curation.shards import Done, Shard, Summary

Run = Annotated[int | None, typer.Option("--run", help="Number of the run; all runs without it.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes that compute.")]


def register(app: typer.Typer) -> None:
    app.command()(measure)
    gold = typer.Typer(no_args_is_help=True, help="Trusted masks.")
    gold.command()(match)
    app.add_typer(gold, name="gold")


def measure(workspace: Workspace, run: Run = None, workers: Workers = 1) -> None:
    """Compute shape, overlaps and coverage of every mask that lacks them. Run again, it resumes."""
    with open_lake(workspace) as lake:
        n_problems = 0
        for run_id in work.measurable_runs(lake) if run is None else [run]:
            todo = work.measure_shards(lake, run_id)
            with _progress(todo, f"measure run {run_id}") as advance:
                summary = work.measure(lake, todo, workers, advance)
            told = f"{summary.n_masks} masks of {summary.n_images} images measured"
            console.print(f"run {run_id}: {told if todo else 'nothing new to measure'}")
            n_problems += summary.n_problems
    end(n_problems, "masks")


def match(
    workspace: Workspace,
    run: Run = None,
    gold: Annotated[
        int | None, typer.Option("--gold", help="Number of the gold run; all without it.")
    ] = None,
    workers: Workers = 1,
) -> None:
    """Match masks one-to-one with gold of the same images. Run again, it resumes."""
    with open_lake(workspace) as lake:
        n_problems = 0
        for run_id, gold_run_id in _pairs(lake, run, gold):
            todo = work.match_shards(lake, run_id, gold_run_id)
            with _progress(todo, f"match run {run_id} with gold run {gold_run_id}") as advance:
                summary = work.match(lake, gold_run_id, todo, workers, advance)
            console.print(f"run {run_id}, gold run {gold_run_id}: {_told(summary)}")
            n_problems += summary.n_problems
    end(n_problems, "masks")


def _pairs(lake: Lake, run: int | None, gold: int | None) -> list[tuple[int, int]]:
    runs = work.measurable_runs(lake) if run is None else [run]
    golds = work.gold_runs(lake) if gold is None else [gold]
    if not golds:
        raise LakeError(
            f"{lake.root} holds no gold: import some with `curation import sa1b PATHS… --as-gold --annotator NAME`"
        )
    return [(run_id, gold_run_id) for run_id in runs for gold_run_id in golds]


def _told(summary: Summary) -> str:
    if not summary.n_shards:
        return "nothing new to match"
    if not summary.n_images:
        return "they share no image; gold must come with the same image files"
    return f"{summary.n_masks} masks matched on the {summary.n_images} images that have gold"


@contextmanager
def _progress(todo: list[Shard], about: str) -> Iterator[Callable[[Done], None]]:
    with progress(sum(shard.stop - shard.first for shard in todo), about=about) as bar:
        yield lambda done: bar.advance(done.shard.stop - done.shard.first)
