"""check: may this dataset be released?"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer

from curation.cli.options import At, Format, Out, OutputFormat, Workspace, open_lake
from curation.cli.output import messages, print_table
from curation.engine import checks
from curation.engine.checks import Check, Verdict
from curation.engine.figures import FIGURES
from curation.errors import InputError
from curation.whole_files import write_whole

COLUMNS = ("check", "subject", "estimate", "low", "high", "n_images", "verdict", "reason")


def register(app: typer.Typer) -> None:
    app.command(epilog=f"Figures: {', '.join(FIGURES)}.")(check)


def check(
    workspace: Workspace,
    max_bad_upper: Annotated[
        float | None, typer.Option(help="Largest upper bound of the share of bad masks; --max bad_share=….")
    ] = None,
    most: Annotated[
        list[str] | None,
        typer.Option("--max", help="FIGURE=LIMIT or FIGURE@IOU=LIMIT: holds its upper bound; repeatable."),
    ] = None,
    least: Annotated[
        list[str] | None, typer.Option("--min", help="The same for its lower bound; repeatable.")
    ] = None,
    min_images: Annotated[int, typer.Option(min=2, help="Fewer images judge nothing.")] = 2,
    file: Annotated[
        Path | None,
        typer.Option(
            "--checks", help="TOML file with [[check]] tables; what it says comes before these options."
        ),
    ] = None,
    run: Annotated[int | None, typer.Option("--run", help="Only this run; else all current ones.")] = None,
    gold: Annotated[int | None, typer.Option("--gold", help="Only this gold run; else all.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML here.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write JSON here.")] = None,
    at: At = None,
    output_format: OutputFormat = Format.table,
    out: Out = None,
) -> None:
    """Judge bounds of quality figures. Ends with 1 where one fails or cannot be judged: a gate for CI."""
    limits = [("largest", text) for text in most or []] + [("least", text) for text in least or []]
    if max_bad_upper is not None:
        limits.insert(0, ("largest", f"bad_share={max_bad_upper}"))
    given = {"min_images": min_images, "run": run, "gold": gold}
    asked = checks.read(file, {k: v for k, v in given.items() if v is not None}) if file else []
    asked += [_check(side, text, min_images, run, gold) for side, text in limits]
    with open_lake(workspace, at, read_only=True) as lake:
        verdicts = checks.judge(lake, asked)
    rows = pa.Table.from_pylist([asdict(verdict) for verdict in verdicts]).select(COLUMNS)
    print_table(rows, output_format, out)
    if junit:
        write_whole(junit, checks.to_junit(verdicts).encode())
    if json:
        write_whole(json, checks.to_json(verdicts).encode())
    _end(verdicts)


def _check(side: str, text: str, min_images: int, run: int | None, gold: int | None) -> Check:
    name, _, limit = text.partition("=")
    figure, _, iou = name.partition("@")
    try:
        return Check(
            figure, iou=float(iou) if iou else None, min_images=min_images, run_id=run, gold_run_id=gold,
            **{side: float(limit)},
        )  # fmt: skip
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{text!r}: write FIGURE=LIMIT or FIGURE@IOU=LIMIT, such as recall@0.75=0.9"
        ) from error


def _end(verdicts: list[Verdict]) -> None:
    n_passed = sum(verdict.verdict == checks.PASSED for verdict in verdicts)
    messages.print(f"{n_passed} of {len(verdicts)} checks passed; intervals are 95 %, image as cluster")
    if n_passed < len(verdicts):
        raise typer.Exit(1)
