"""import: masks that others made, into the lake."""

from typing import Annotated

import typer

from curation.cli.options import (
    Address,
    EngineChoice,
    EngineName,
    Workers,
    Workspace,
    open_lake,
    scratch_folder,
)
from curation.cli.output import console, end
from curation.cli.progress import progress
from curation.errors import InputError
from curation.formats import coco_import, sa1b_import
from curation.formats.mask_import import SHARD_SIZE, Import, StageOrigin
from curation.lake import Lake
from curation.schemas import TABLES
from curation.shards import LOCAL, Engine

STAGES = next(column.values for column in TABLES["runs"].columns if column.name == "stage")

Paths = Annotated[
    list[str], typer.Argument(help="Folders, plain tars, globs, lists, files or s3:// prefixes.")
]
#: SA-1B as released was made without people.
Stage = Annotated[str, typer.Option(help=f"Stage of the data engine: {', '.join(STAGES)}.")]
DEFAULT_STAGE = "fully_automatic"
Cycle = Annotated[int, typer.Option(min=0, help="Cycle inside the stage.")]
Images = Annotated[
    str | None, typer.Option(help="Folder, tar or s3:// prefix of the pictures, if not beside the records.")
]
ShardSize = Annotated[int, typer.Option(min=1, help="Images a commit; part of what makes a run.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Bring masks into the lake; gold comes by `gold import`.")
    group.command("sa1b")(import_sa1b)
    group.command("coco")(import_coco)
    app.add_typer(group, name="import")


def import_sa1b(
    paths: Paths,
    workspace: Workspace,
    stage: Stage = DEFAULT_STAGE,
    cycle: Cycle = 0,
    images: Images = None,
    shard_size: ShardSize = SHARD_SIZE,
    workers: Workers = None,
    engine: EngineChoice = EngineName.local,
    address: Address = None,
) -> None:
    """Import SA-1B records (*.json), with or without their pictures. Run again, it resumes."""
    origin, where = _origin(stage, cycle), Engine(engine.value, address)
    with open_lake(workspace) as lake, scratch_folder(lake, where) as scratch:
        plan = sa1b_import.plan_records(paths, images, scratch)
        job = sa1b_import.start(lake, plan, ", ".join(paths), origin, images, shard_size)
        n_problems = finish(lake, job, workers, engine=where)
    end(n_problems)


def import_coco(
    paths: Paths,
    workspace: Workspace,
    instances: Annotated[
        str | None,
        typer.Option(help="For results (a bare list): the instances file that lists their images."),
    ] = None,
    stage: Stage = DEFAULT_STAGE,
    cycle: Cycle = 0,
    images: Images = None,
    shard_size: ShardSize = SHARD_SIZE,
    workers: Workers = None,
    engine: EngineChoice = EngineName.local,
    address: Address = None,
) -> None:
    """Import COCO instances or results: polygons and RLE. `score` becomes predicted_iou. Run again, it resumes."""
    origin, where = _origin(stage, cycle), Engine(engine.value, address)
    with open_lake(workspace) as lake, scratch_folder(lake, where) as scratch:
        plan = coco_import.plan_files(paths, images, scratch, instances)
        job = coco_import.start(lake, plan, ", ".join(paths), origin, images, shard_size)
        n_problems = finish(lake, job, workers, engine=where)
    end(n_problems)


def finish(lake: Lake, job: Import, workers: int | None, of: str = "", engine: Engine = LOCAL) -> int:
    """Do what is left of an import and say it; returns the problems of the whole run. `of` tells whose masks it is."""
    run_id, records = job.run.run_id, job.work.plan.records
    if job.run.is_finished:
        console.print(f"run {run_id}{of}: these records are imported already; nothing to do")
    else:
        with progress(records.n_items, unit="records", about=f"import run {run_id}") as bar:
            summary = job.finish(
                lake, workers, lambda done: bar.advance(done.shard.stop - done.shard.first), engine
            )
        before = f"; {summary.n_skipped} shards were there before" if summary.n_skipped else ""
        console.print(f"run {run_id}{of}: {summary.n_masks} masks of {summary.n_images} images{before}")
    if records.n_repeated:
        console.print(f"{records.n_repeated} files were listed twice and read once")
    return job.n_problems(lake)


def _origin(stage: str, cycle: int) -> StageOrigin:
    if stage not in STAGES:
        raise InputError(f"--stage {stage}: allowed are {', '.join(STAGES)}")
    return StageOrigin(stage, cycle)
