"""generate: masks from images."""

from typing import Annotated

import typer

from curation import runs
from curation.cli.models import download_progress
from curation.cli.options import Address, EngineChoice, EngineName, Workspace, open_lake, scratch_folder
from curation.cli.output import end, messages
from curation.cli.progress import progress
from curation.errors import InputError
from curation.generation.models import MODELS_FOLDER, PRECISIONS
from curation.generation.presets import PRESETS
from curation.generation.request import DEFAULT_MODEL, STAGES, Generation, Request
from curation.lake import Lake
from curation.shards import Engine

PresetName = Annotated[
    str | None, typer.Option(help=f"{', '.join(PRESETS)}. The default goes with the model.")
]
Changes = Annotated[
    list[str] | None, typer.Option("--set", help="key=value: change a setting of the preset; repeatable.")
]
KeepRle = Annotated[
    str | None, typer.Option(help="above=X: keep the RLE of every candidate with a predicted IoU above X.")
]
ShardSize = Annotated[
    int | None,
    typer.Option(min=1, help="Images a commit, 1 to 500 by their number. Another size is another run."),
]


def register(app: typer.Typer) -> None:
    app.command()(generate)


def generate(
    images: Annotated[str, typer.Argument(help="Folder, glob, list (.txt, .parquet), .tar or s3:// prefix.")],
    workspace: Workspace,
    model: Annotated[
        str,
        typer.Option(help="A name of `models list`, a trained model, a .pth checkpoint, or a folder of one."),
    ] = DEFAULT_MODEL,
    preset: PresetName = None,
    changes: Changes = None,
    stage: Annotated[str, typer.Option(help=", ".join(STAGES))] = "fully_automatic",
    cycle: Annotated[int, typer.Option(min=0, help="Cycle inside the stage.")] = 0,
    keep_rle: KeepRle = None,
    device: Annotated[str, typer.Option(help="auto, cpu, mps, cuda or cuda:<n>.")] = "auto",
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes. The default is one a GPU; on Ray without GPUs one a CPU."),
    ] = None,
    shard_size: ShardSize = None,
    engine: EngineChoice = EngineName.local,
    address: Address = None,
    precision: Annotated[
        str, typer.Option(help="float32, or bfloat16: faster where the processor has it, not identical.")
    ] = PRECISIONS[0],
) -> None:
    """Generate masks with a SAM, and a ledger of every candidate. Run again, it resumes."""
    request = Request(
        images,
        model,
        preset,
        tuple(changes or ()),
        stage,
        cycle,
        _keep_rle_above(keep_rle),
        device,
        workers,
        shard_size,
        workspace / MODELS_FOLDER,
        Engine(engine.value, address),
        precision,
    )
    with open_lake(workspace) as lake, scratch_folder(lake, request.engine) as scratch:
        with download_progress(model) as on_progress:
            generation = Generation.prepare(request, scratch, on_progress, messages.print)
        _run(lake, generation)


def _run(lake: Lake, generation: Generation) -> None:
    run = runs.start(lake, generation.spec)
    todo = generation.todo(lake, run.run_id)
    n_todo = sum(shard.stop - shard.first for shard in todo)
    n_images = generation.plan.n_items
    resumed = f", {n_images - n_todo} done before" if run.is_resumed else ""
    messages.print(
        f"run {run.run_id}: {n_images} images{resumed}, {generation.model.name}, {generation.request.preset}"
    )
    with progress(n_todo, about=f"generate run {run.run_id}") as bar:
        generation.run(
            lake,
            run.run_id,
            todo,
            lambda done: bar.advance(done.shard.stop - done.shard.first, f"{done.n_masks} masks"),
        )
    _tell(lake, run.run_id)


def _tell(lake: Lake, run_id: int) -> None:
    sums = lake.query(
        """
        SELECT
            coalesce(sum(n_images), 0)::BIGINT AS n_images,
            coalesce(sum(n_masks), 0)::BIGINT AS n_masks,
            coalesce(sum(n_problems), 0)::BIGINT AS n_problems
        FROM shards
        WHERE run_id = $1 AND work = 'generate'
        """,
        [run_id],
    ).to_pylist()[0]
    messages.print(f"run {run_id}: {sums['n_masks']} masks of {sums['n_images']} images")
    messages.print(
        "Next: curation measure, then curation query filter_funnel (what each filter dropped), "
        "curation sheet (a picture), curation browse sync",
        style="dim",
    )
    end(sums["n_problems"], "images")


def _keep_rle_above(text: str | None) -> float | None:
    if text is None:
        return None
    word, _, value = text.partition("=")
    try:
        if word != "above":
            raise ValueError(word)
        return float(value)
    except ValueError as error:
        raise InputError(
            f"--keep-rle {text}: write above=X with a predicted IoU, such as above=0.6"
        ) from error
