"""import: masks that others made, into the lake."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from curation.cli.options import Workspace, open_lake
from curation.cli.output import console, end
from curation.cli.progress import progress
from curation.errors import InputError
from curation.formats import sa1b_import
from curation.formats.sa1b_import import GoldOrigin, StageOrigin
from curation.schemas import TABLES

STAGES = next(column.values for column in TABLES["runs"].columns if column.name == "stage")
#: SA-1B as released was made without people.
DEFAULT_STAGE = "fully_automatic"


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Bring masks into the lake.")
    group.command("sa1b")(import_sa1b)
    app.add_typer(group, name="import")


def import_sa1b(
    paths: Annotated[
        list[str], typer.Argument(help="Folders, plain tars, globs, lists, *.json or s3:// prefixes.")
    ],
    workspace: Workspace,
    as_gold: Annotated[bool, typer.Option("--as-gold", help="Trusted masks, for `gold match`.")] = False,
    annotator: Annotated[str | None, typer.Option(help="Who drew the gold.")] = None,
    anchored: Annotated[
        bool | None,
        typer.Option(
            "--anchored/--from-scratch", help="Gold corrected from a prediction, or drawn from scratch."
        ),
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option(help=f"Stage of the data engine: {', '.join(STAGES)}; without it {DEFAULT_STAGE}."),
    ] = None,
    cycle: Annotated[int | None, typer.Option(min=0, help="Cycle inside the stage; 0 without it.")] = None,
    images: Annotated[
        str | None,
        typer.Option(help="Folder, tar or s3:// prefix of the pictures, if not beside the records."),
    ] = None,
    shard_size: Annotated[
        int, typer.Option(min=1, help="Records a commit; part of what makes a run.")
    ] = sa1b_import.SHARD_SIZE,
    workers: Annotated[int, typer.Option(min=1, help="Processes that read.")] = 1,
) -> None:
    """Import SA-1B records (*.json), with or without their pictures. Run again, it resumes."""
    origin = _origin(as_gold, annotator, anchored, stage, cycle)
    with open_lake(workspace) as lake, tempfile.TemporaryDirectory(prefix="curation-") as scratch:
        plan = sa1b_import.plan_records(paths, images, Path(scratch))
        job = sa1b_import.start(lake, plan, ", ".join(paths), origin, images, shard_size)
        run_id = job.run.run_id
        if job.run.is_finished:
            console.print(f"run {run_id}: these records are imported already; nothing to do")
        else:
            with progress(plan.records.n_items, unit="records", about=f"import run {run_id}") as bar:
                summary = job.finish(
                    lake, workers, lambda done: bar.advance(done.shard.stop - done.shard.first)
                )
            before = f"; {summary.n_skipped} shards were there before" if summary.n_skipped else ""
            console.print(f"run {run_id}: {summary.n_masks} masks of {summary.n_images} images{before}")
        if plan.records.n_repeated:
            console.print(f"{plan.records.n_repeated} files were listed twice and read once")
        n_problems = job.n_problems(lake)
    end(n_problems)


def _origin(
    as_gold: bool, annotator: str | None, anchored: bool | None, stage: str | None, cycle: int | None
) -> GoldOrigin | StageOrigin:
    if as_gold:
        if not annotator or anchored is None:
            raise InputError(
                "--as-gold: say who drew it (--annotator NAME) and how (--anchored or --from-scratch)"
            )
        if stage is not None or cycle is not None:
            raise InputError("--as-gold: gold belongs to no stage or cycle; leave --stage and --cycle out")
        return GoldOrigin(annotator, anchored)
    if annotator is not None or anchored is not None:
        raise InputError(
            "--annotator, --anchored and --from-scratch describe gold; add --as-gold or leave them out"
        )
    if stage is not None and stage not in STAGES:
        raise InputError(f"--stage {stage}: allowed are {', '.join(STAGES)}")
    return StageOrigin(stage or DEFAULT_STAGE, cycle or 0)
