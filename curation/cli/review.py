"""review: how far a sample is judged, and how good and how much of one mind its raters are."""

from datetime import datetime, timezone
from typing import Annotated

import pyarrow as pa
import typer
from rich.text import Text

from curation.cli.options import At, Format, Out, OutputFormat, Workspace, open_lake
from curation.cli.output import console, print_table
from curation.review import agreement as of_raters
from curation.review import raters as of_each
from curation.review.queue import Progress, progress

Sample = Annotated[str, typer.Argument(help="Name of the sample.")]
OfSample = Annotated[str | None, typer.Option("--sample", help="Only this sample; all without it.")]
OfRater = Annotated[str | None, typer.Option("--rater", help="Only this rater; all without it.")]
Reasons = Annotated[
    bool, typer.Option("--reasons", help="Show which reasons others named where a rater named one.")
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="What people say of masks, and how far to trust it.")
    group.command()(status)
    group.command()(raters)
    group.command()(agreement)
    app.add_typer(group, name="review")


def status(
    sample: Sample,
    workspace: Workspace,
    at: At = None,
    output_format: OutputFormat = Format.table,
    out: Out = None,
) -> None:
    """How far a sample is judged, by whom, how fast, and how long it will take.

    Other formats than the table, and files, hold one row a rater.
    """
    with open_lake(workspace, at, read_only=True) as lake:
        found = progress(lake, sample, datetime.now(timezone.utc))
    rows = pa.Table.from_pylist([vars(rater) for rater in found.raters], schema=_RATERS)
    if output_format is Format.table and out is None:
        for line in _told(found):
            console.print(line)
    print_table(rows, output_format, out)


def raters(
    workspace: Workspace,
    sample: OfSample = None,
    rater: OfRater = None,
    reasons: Reasons = False,
    at: At = None,
    output_format: OutputFormat = Format.table,
    out: Out = None,
) -> None:
    """Speed, agreement with hidden gold, consistency and drift of each rater, with intervals."""
    with open_lake(workspace, at, read_only=True) as lake:
        found = of_each.reason_confusion(lake, sample) if reasons else of_each.quality(lake, sample, rater)
    print_table(found, output_format, out)


def agreement(
    workspace: Workspace,
    sample: OfSample = None,
    at: At = None,
    output_format: OutputFormat = Format.table,
    out: Out = None,
) -> None:
    """Kappa, Krippendorff's alpha, IoU of corrections and the human ceiling, with intervals."""
    with open_lake(workspace, at, read_only=True) as lake:
        found = of_raters.agreement(lake, sample)
    print_table(found, output_format, out)


_RATERS = pa.schema(
    [
        ("rater", pa.string()),
        ("n_verdicts", pa.int64()),
        ("n_open", pa.int64()),
        ("verdicts_per_hour", pa.float64()),
        ("last_at", pa.timestamp("us", "UTC")),
    ]
)


def _told(found: Progress) -> list[Text]:
    """The state of the sample in words."""
    left = "not known yet" if found.left_s is None else f"{found.left_s / 3600:.1f} h"
    return [
        Text(f"Sample {found.sample}", style="bold"),
        Text(
            f"{found.n_judged:,} of {found.n_drawn:,} masks judged; {found.n_verdicts_given:,} of "
            f"{found.n_verdicts_wanted:,} first and second opinions given; {found.n_open:,} masks out with raters"
        ),
        Text(
            f"{found.n_double_reviewed:,} of {found.n_double_wanted:,} masks for two have both opinions; "
            f"{found.n_disagreements:,} disagreements wait for a third person, {found.n_adjudicated:,} are settled"
        ),
        Text(f"Working time left for those at work: {left}"),
    ]
