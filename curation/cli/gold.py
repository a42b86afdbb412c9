"""gold: trusted masks, and masks against them."""

from itertools import permutations
from typing import Annotated

import typer

from curation.cli import gold_import, gold_tables
from curation.cli.options import (
    Address,
    At,
    EngineChoice,
    EngineName,
    Format,
    Out,
    OutputFormat,
    Workers,
    Workspace,
    open_lake,
)
from curation.cli.output import console, end, print_table
from curation.cli.progress import shard_progress
from curation.errors import LakeError
from curation.gold import agreement as of_gold
from curation.gold import ceilings as of_people
from curation.gold.figures import KEYS
from curation.lake import Lake
from curation.measures import work
from curation.shards import Engine, Summary

Run = Annotated[int | None, typer.Option("--run", help="Number of the run; all runs without it.")]
Gold = Annotated[int | None, typer.Option("--gold", help="Number of the gold run; all without it.")]


def register(app: typer.Typer) -> None:
    gold = typer.Typer(no_args_is_help=True, help="Trusted masks, and masks against them.")
    gold_import.register(gold)
    gold.command()(match)
    gold.command()(agreement)
    gold.command()(ceilings)
    app.add_typer(gold, name="gold")


def match(
    workspace: Workspace,
    run: Run = None,
    gold: Gold = None,
    between: Annotated[
        bool, typer.Option("--between", help="Gold runs against each other, each way, for `gold ceilings`.")
    ] = False,
    workers: Workers = None,
    engine: EngineChoice = EngineName.local,
    address: Address = None,
) -> None:
    """Match masks one-to-one with gold of the same images. Run again, it resumes."""
    with open_lake(workspace) as lake:
        n_problems = 0
        for run_id, gold_run_id in _pairs(lake, run, gold, between):
            todo = work.match_shards(lake, run_id, gold_run_id)
            with shard_progress(todo, f"match run {run_id} with gold run {gold_run_id}") as advance:
                summary = work.match(lake, gold_run_id, todo, workers, advance, Engine(engine.value, address))
            console.print(f"run {run_id}, gold run {gold_run_id}: {_told(summary)}")
            n_problems += summary.n_problems
    end(n_problems, "masks")


def agreement(
    workspace: Workspace,
    run: Run = None,
    gold: Gold = None,
    by: Annotated[str, typer.Option(help=f"What to part the masks by: {', '.join(KEYS)}.")] = "run",
    at: At = None,
    output_format: OutputFormat = Format.table,
    out: Out = None,
) -> None:
    """How well masks agree with gold: IoU, precision, recall, F1, average recall, error kinds, with intervals."""
    with open_lake(workspace, at, read_only=True) as lake:
        groups = of_gold.agreement(lake, by, run, gold)
    if output_format is not Format.table or out is not None:
        print_table(of_gold.rows(groups), output_format, out)
        return
    for part in gold_tables.of_groups(groups, console.width):
        console.print(part)


def ceilings(
    workspace: Workspace,
    run: Annotated[
        int | None,
        typer.Option("--run", help="Run to show beside the annotators; the newest matched without it."),
    ] = None,
    at: At = None,
    output_format: OutputFormat = Format.table,
    out: Out = None,
) -> None:
    """How well annotators agree with each other, best-of, by chance and leave-one-out, beside the model."""
    with open_lake(workspace, at, read_only=True) as lake:
        found = of_people.ceilings(lake, run)
    if output_format is not Format.table or out is not None:
        print_table(of_people.rows(found), output_format, out)
        return
    for part in gold_tables.of_ceilings(found, console.width):
        console.print(part)


def _pairs(lake: Lake, run: int | None, gold: int | None, between: bool) -> list[tuple[int, int]]:
    golds = work.gold_runs(lake)
    if not golds:
        raise LakeError(
            f"{lake.root} holds no gold: import some with `curation gold import FORMAT PATHS… --annotator NAME`"
        )
    if not between:
        runs = work.measurable_runs(lake) if run is None else [run]
        if not runs:
            raise LakeError(
                f"{lake.root} holds gold but no masks to match with it: `curation generate` or `curation import` brings "
                "some; --between matches annotators with each other"
            )
        return [
            (run_id, gold_run_id) for run_id in runs for gold_run_id in (golds if gold is None else [gold])
        ]
    if len(golds) < 2:
        raise LakeError(f"{lake.root} holds one gold run; --between compares those of several annotators")
    return [pair for pair in permutations(golds, 2) if run in (None, pair[0]) and gold in (None, pair[1])]


def _told(summary: Summary) -> str:
    if not summary.n_shards:
        return "nothing new to match"
    if not summary.n_images:
        return "they share no image; gold must come with the same image files"
    return f"{summary.n_masks} masks matched on the {summary.n_images} images that have gold"
