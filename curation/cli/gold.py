"""gold: trusted masks, and masks against them."""

from typing import Annotated

import typer

from curation.cli import gold_import
from curation.cli.options import Workspace, open_lake
from curation.cli.output import console, end
from curation.cli.progress import shard_progress
from curation.errors import LakeError
from curation.lake import Lake
from curation.measures import work
from curation.shards import Summary

Run = Annotated[int | None, typer.Option("--run", help="Number of the run; all runs without it.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes that compute.")]


def register(app: typer.Typer) -> None:
    gold = typer.Typer(no_args_is_help=True, help="Trusted masks, and masks against them.")
    gold_import.register(gold)
    gold.command()(match)
    app.add_typer(gold, name="gold")


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
            with shard_progress(todo, f"match run {run_id} with gold run {gold_run_id}") as advance:
                summary = work.match(lake, gold_run_id, todo, workers, advance)
            console.print(f"run {run_id}, gold run {gold_run_id}: {_told(summary)}")
            n_problems += summary.n_problems
    end(n_problems, "masks")


def _pairs(lake: Lake, run: int | None, gold: int | None) -> list[tuple[int, int]]:
    runs = work.measurable_runs(lake) if run is None else [run]
    golds = work.gold_runs(lake) if gold is None else [gold]
    if not golds:
        raise LakeError(
            f"{lake.root} holds no gold: import some with `curation gold import FORMAT PATHS… --annotator NAME`"
        )
    return [(run_id, gold_run_id) for run_id in runs for gold_run_id in golds]


def _told(summary: Summary) -> str:
    if not summary.n_shards:
        return "nothing new to match"
    if not summary.n_images:
        return "they share no image; gold must come with the same image files"
    return f"{summary.n_masks} masks matched on the {summary.n_images} images that have gold"
