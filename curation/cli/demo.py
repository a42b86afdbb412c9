"""demo: the whole way in a few minutes, as the very commands that it prints."""

import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from curation import queries
from curation.cli.output import console, messages
from curation.errors import CurationError, InputError
from curation.generation.photographs import PHOTOGRAPHS
from curation.lake import WORKSPACE_FILE, Lake

#: SAM 2's own thresholds let sam2-tiny, whose predicted IoU is shy, find few parts; these let more through, so
#: that there are good and bad masks to tell apart. 12 x 12 points take about 15 s an image on two cores.
MODEL, PRESET = "sam2-tiny", "sam2-default"
THRESHOLDS = {"predicted_iou_threshold": "0.7", "stability_threshold": "0.9"}
#: The sample that waits to be judged in the app: five minutes of work.
SAMPLE, SAMPLE_SIZE = "first-look", 20
REPORTS = (
    "stage_summary",
    "filter_funnel",
    "gold_agreement",
    "calibration",
    "mask_size_distribution",
    "coverage",
    "overlaps",
    "problems",
)


@dataclass(frozen=True)
class Step:
    """`commands` run in order. An optional step that cannot run says what it lacks, and the demo goes on."""

    title: str
    commands: tuple[tuple[str, ...], ...]
    is_optional: bool = False


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    context: typer.Context,
    workspace: Annotated[
        Path, typer.Option("--workspace", "-w", help="Folder of the demo; made when it is not there.")
    ] = Path("demo"),
    n_scenes: Annotated[int, typer.Option(min=1, help="Rendered scenes with exact gold.")] = 10,
    n_photographs: Annotated[
        int, typer.Option(min=0, max=len(PHOTOGRAPHS), help="Real photographs, without gold.")
    ] = len(PHOTOGRAPHS),
    points_per_side: Annotated[int, typer.Option(min=1, help="Grid of points that prompt the model.")] = 12,
) -> None:
    """Generate, measure and browse masks of rendered scenes and real photographs. Run again, it resumes."""
    _check_folder(workspace)
    command_line = context.find_root().command

    def call(words: tuple[str, ...]) -> int | None:
        return command_line.main(list(words), prog_name="curation", standalone_mode=False)

    started = time.monotonic()
    steps = tuple(_steps(workspace, n_scenes, n_photographs, points_per_side))
    n_unclean = sum(_run_step(call, step, f"{i}/{len(steps)}") for i, step in enumerate(steps, start=1))
    _tell_end(workspace, time.monotonic() - started)
    if n_unclean:
        messages.print(f"{n_unclean} commands met problems; they are told above", style="yellow")
        raise typer.Exit(1)


def _check_folder(workspace: Path) -> None:
    """A demo never adds its masks to a workspace that holds something else."""
    if (workspace / WORKSPACE_FILE).exists() and not (workspace / "images" / "scenes").exists():
        raise InputError(f"{workspace} is a workspace that the demo did not make: name another folder")


def _steps(workspace: Path, n_scenes: int, n_photographs: int, points_per_side: int) -> Iterator[Step]:
    here = ("--workspace", str(workspace))
    images, scenes = workspace / "images", str(workspace / "images" / "scenes")
    thresholds = {"points_per_side": str(points_per_side), **THRESHOLDS}
    changes = [word for name, value in thresholds.items() for word in ("--set", f"{name}={value}")]
    # So that any stricter threshold can be applied later, without the model.
    keep = ("--keep-rle", f"above={THRESHOLDS['predicted_iou_threshold']}")
    generate = ("generate", str(images), "--model", MODEL, "--preset", PRESET, *changes, *keep, *here)
    gold = ("gold", "import", "sa1b", scenes, "--annotator", "renderer", "--from-scratch", *here)
    photographs = ("photographs", str(images / "photographs"), "--n", str(n_photographs))
    pictures = (("scenes", scenes, "--n", str(n_scenes)), photographs)
    yield Step("Fetch a small SAM 2 that runs on any machine", (("models", "fetch", MODEL),))
    yield Step("Pictures: scenes whose masks are known exactly, and real photographs", pictures)
    yield Step("A workspace: Parquet tables and a catalog", (("init", str(workspace)),))
    yield Step("Masks, and a ledger of every candidate that became none", (generate,))
    yield Step("The scenes' exact masks, as gold", (gold,))
    yield Step("Measure the masks, match them with gold", (("measure", *here), ("gold", "match", *here)))
    yield Step("A FiftyOne dataset to browse", (("browse", "sync", *here),), is_optional=True)
    reports = tuple(("query", name, *here) for name in REPORTS if name in queries.load())
    yield Step("Reports", reports)
    sweep = ("--sweep", f"predicted_iou={THRESHOLDS['predicted_iou_threshold']}:0.95:0.05")
    retuned = ("retune", *sweep, "--picture", str(workspace / "thresholds.png"), *here)
    yield Step("Other thresholds, from the ledger and without the model", (retuned,), is_optional=True)
    report = ("report", "--out", str(_report(workspace)), *here)
    yield Step("A report for whoever owns the dataset", (report,), is_optional=True)
    if not _has_sample(workspace):
        drawn = ("sample", "draw", SAMPLE, "--design", "srs", "--size", str(SAMPLE_SIZE), *here)
        yield Step("A sample for people to judge", (drawn,), is_optional=True)
    yield Step("A contact sheet", (("sheet", str(_contact_sheet(workspace)), "--n", "12", *here),))


def _has_sample(workspace: Path) -> bool:
    if not (workspace / WORKSPACE_FILE).exists():
        return False
    with Lake.open(workspace, read_only=True) as lake:
        return lake.con.execute("SELECT 1 FROM samples WHERE sample = ?", [SAMPLE]).fetchone() is not None


def _run_step(call: Callable[[tuple[str, ...]], int | None], step: Step, number: str) -> int:
    """Run a step's commands as they are printed; returns how many of them met problems."""
    console.rule(f"[bold]{number}  {step.title}", align="left", style="cyan")
    started, n_unclean = time.monotonic(), 0
    for words in step.commands:
        console.print(
            f"$ curation {shlex.join(words)}", style="cyan", markup=False, highlight=False, soft_wrap=True
        )
        try:
            n_unclean += bool(call(words))
        except CurationError as error:
            if not step.is_optional:
                raise
            messages.print(f"Left out: {error}", style="yellow", markup=False)
            messages.print("Everything else works without it.", style="yellow")
    console.print(f"{time.monotonic() - started:.1f} s\n", style="dim", highlight=False)
    return n_unclean


def _contact_sheet(workspace: Path) -> Path:
    return workspace / "contact_sheet.png"


def _report(workspace: Path) -> Path:
    return workspace / "report.html"


def _tell_end(workspace: Path, took_s: float) -> None:
    console.rule(f"[bold]Done in {took_s / 60:.1f} min", align="left", style="cyan")
    lines = (
        (f"see {_contact_sheet(workspace)}", "images beside their masks"),
        (f"open {_report(workspace)}", "how good the masks are, in words and pictures"),
        (f"export CURATION_WORKSPACE={shlex.quote(str(workspace))}", "for the commands below"),
        ("curation browse launch", "the FiftyOne App at http://localhost:5151"),
        ("curation app", f"judge the sample {SAMPLE} in the browser, at http://127.0.0.1:8501"),
        (f"curation sample estimate {SAMPLE}", "what your verdicts say of all masks"),
        ("curation sheet worst.png --where 'gold_iou < 0.5'", "only masks that miss their gold"),
        ("curation queries", "all reports"),
        ("curation query gold_agreement --format markdown", "one report"),
        ('curation sql "SELECT fate, count(*) FROM candidates GROUP BY ALL"', "any SQL, reading only"),
        ("curation retune --predicted-iou 0.85 --apply", "what that keeps, as a run of its own"),
        ("curation check --max-bad-upper 0.06 --min-images 50", "a gate: ends with 1 where a bound fails"),
        ("curation tag demo", "name this version; `--at demo` shows it for ever"),
        ("curation generate FOLDER --model sam2-tiny", "masks of your own pictures"),
    )
    width = max(len(command) for command, _ in lines)
    for command, about in lines:
        console.print(f"  {command:<{width}}   {about}", markup=False, highlight=False, soft_wrap=True)
