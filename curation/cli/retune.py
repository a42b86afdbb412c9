"""retune: other thresholds for a finished generation, without a GPU."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer

from curation.cli.options import Format, Out, OutputFormat, Workspace, open_lake
from curation.cli.output import console, messages, print_table
from curation.cli.progress import progress
from curation.errors import InputError
from curation.generation import replay, retune, retune_work
from curation.generation.presets import GenerationSettings
from curation.lake import Lake
from curation.measures.work import gold_runs
from curation.sampling import retuning

#: Settings by the names that they have on the command line.
NAMES = {
    "predicted_iou": "predicted_iou_threshold",
    "stability": "stability_threshold",
    "nms": "box_nms_threshold",
    "crop_nms": "crop_nms_threshold",
    "min_area": "min_area_px",
    "max_area_share": "max_area_share",
    "min_region": "min_region_px",
}
WHOLE_NUMBERS = {"min_area", "min_region"}
#: More settings than this at once are a slip of the pen.
MAX_SETTINGS = 2_000


def register(app: typer.Typer) -> None:
    app.command("retune")(retune_run)


def retune_run(
    workspace: Workspace,
    run: Annotated[
        int | None, typer.Option("--run", help="Number of the generation; else the newest run with a ledger.")
    ] = None,
    predicted_iou: Annotated[float | None, typer.Option(help="Keep above this.")] = None,
    stability: Annotated[float | None, typer.Option(help="Keep from this on.")] = None,
    nms: Annotated[float | None, typer.Option(help="Box IoU above which the worse of two goes.")] = None,
    crop_nms: Annotated[float | None, typer.Option(help="The same across crops.")] = None,
    min_area: Annotated[int | None, typer.Option(help="Smallest area kept, px.")] = None,
    max_area_share: Annotated[
        float | None, typer.Option(help="Largest share of the image kept, 0..1.")
    ] = None,
    min_region: Annotated[
        int | None, typer.Option(help="Fill holes and drop islands below this, px.")
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FROM:TO:STEP or NAME=a,b,c, with a name of the options above; repeatable."),
    ] = None,
    gold: Annotated[
        int | None, typer.Option(help="Gold run to judge by; without it the only one there is.")
    ] = None,
    sample: Annotated[
        str | None,
        typer.Option(help="Sample whose verdicts to go by; without it the newest of the run that has any."),
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the curve: .png, .svg or .html.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Write what is kept as a new run.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes that write with --apply.")] = 1,
    output_format: OutputFormat = Format.table,
    out: Out = None,
) -> None:
    """Replay the filters over the ledger of every candidate: what other thresholds would have kept."""
    given = {
        "predicted_iou": predicted_iou,
        "stability": stability,
        "nms": nms,
        "crop_nms": crop_nms,
        "min_area": min_area,
        "max_area_share": max_area_share,
        "min_region": min_region,
    }
    changes = {NAMES[name]: value for name, value in given.items() if value is not None}
    sweeps = dict(_sweep(text) for text in sweep or [])
    if apply and sweeps:
        raise InputError(
            "--apply writes one setting; give it with --predicted-iou and the like, without --sweep"
        )
    if not changes and not sweeps:
        raise InputError(
            "give another threshold, such as --predicted-iou 0.9, or --sweep predicted_iou=0.8:0.95:0.01"
        )
    with open_lake(workspace, read_only=not apply) as lake:
        source = replay.source_run(lake, replay.newest_run(lake) if run is None else run)
        tried = list(_settings(replace(source.settings, **changes), sweeps))
        sample = sample or retuning.newest_sample(lake, source.run_id)
        verdicts = retuning.verdicts(lake, source.run_id, sample) if sample else {}
        plan = retune.prepare(lake, source, [source.settings, *tried], _gold_run(lake, gold), verdicts)
        with progress(source.n_images, about=f"replay run {source.run_id}") as bar:
            outcomes = plan.outcomes(lake, bar.advance)
        curve = plan.curve(lake, outcomes)
        _show(curve, sample, output_format, out)
        if picture:
            _draw(curve, list(sweeps), picture)
        if apply:
            _apply(lake, source, tried[0], workers)


def _settings(base: GenerationSettings, sweeps: dict[str, list[float]]) -> Iterator[GenerationSettings]:
    n = math.prod(map(len, sweeps.values()))
    if n > MAX_SETTINGS:
        raise InputError(f"--sweep: {n:,} settings came; at most {MAX_SETTINGS:,}: take larger steps")
    for values in itertools.product(*sweeps.values()):
        yield replace(base, **dict(zip(sweeps, values, strict=True)))


def _sweep(text: str) -> tuple[str, list[float]]:
    """(setting, values) of NAME=FROM:TO:STEP, both ends included, or NAME=a,b,c."""
    name, equals, values = text.partition("=")
    if not equals or name not in NAMES:
        raise InputError(
            f"--sweep {text}: write NAME=FROM:TO:STEP or NAME=a,b,c with a NAME of {', '.join(NAMES)}"
        )
    try:
        numbers = _spaced(values) if ":" in values else [float(value) for value in values.split(",")]
    except ValueError as error:
        raise InputError(f"--sweep {text}: {error}; write {name}=0.7:0.95:0.05 or {name}=0.7,0.8") from error
    return NAMES[name], [int(number) for number in numbers] if name in WHOLE_NUMBERS else numbers


def _spaced(text: str) -> list[float]:
    start, stop, step = (float(part) for part in text.split(":"))
    if step <= 0 or stop < start:
        raise ValueError("FROM must not be above TO, and STEP must be above 0")
    n = int((stop - start) / step + 1e-9) + 1
    if n > MAX_SETTINGS:
        raise ValueError(f"that is {n:,} values; at most {MAX_SETTINGS:,}")
    return [round(start + k * step, 10) for k in range(n)]


def _gold_run(lake: Lake, gold: int | None) -> int | None:
    found = gold_runs(lake)
    if gold is None and len(found) > 1:
        raise InputError(f"there are gold runs {', '.join(map(str, found))}: choose one with --gold")
    return found[0] if gold is None and found else gold


def _show(curve: pa.Table, sample: str | None, output_format: Format, out: Path | None) -> None:
    if output_format is Format.table and out is None:
        console.print("[bold]Retuned[/bold] — one row: a setting; the first row is the run's own")
        console.print(retune.DESIGN, style="dim")
        console.print(f"Verdicts: {f'sample {sample}' if sample else 'none'}", style="dim", markup=False)
        # Settings that nobody touched are no news.
        untouched = [name for name in replay.RETUNABLE if len(set(curve[name].to_pylist())) == 1]
        curve = curve.drop_columns(untouched)
    print_table(curve, output_format, out)


def _draw(curve: pa.Table, swept: list[str], picture: Path) -> None:
    from curation.report import curves  # only here: charts are an extra

    if not swept:
        raise InputError(
            "--picture draws a curve; give it something to run along, such as --sweep stability=0.8:0.98:0.02"
        )
    curves.draw(curve, swept, picture)
    messages.print(f"{picture}: {curve.num_rows - 1} settings")


def _apply(lake: Lake, source: replay.SourceRun, settings: GenerationSettings, workers: int) -> None:
    with progress(source.n_images, about=f"retune run {source.run_id}") as bar:
        run_id, summary = retune_work.apply(
            lake, source, settings, lambda done: bar.advance(done.shard.stop - done.shard.first), workers
        )
    if not summary.n_shards:
        messages.print(f"run {run_id}: these settings are applied already; nothing to do")
        return
    messages.print(
        f"run {run_id}: {summary.n_masks} masks of {summary.n_images} images, retuned from run {source.run_id}"
    )
    messages.print(
        "Next: curation measure, curation gold match, curation query stage_comparison", style="dim"
    )
