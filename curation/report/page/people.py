"""Section on what people say of masks that were drawn by chance."""

from itertools import groupby

from curation.report import figures
from curation.report.page.blocks import Block, Figure
from curation.report.page.dots import dot, told
from curation.report.page.facts import Facts
from curation.report.page.words import basis

FIGURES = {
    "accept": "accept as it is",
    "fix": "to mend",
    "reject": "no object, or beyond repair",
    "over_75": "over 0.75 IoU when mended",
    "over_90": "over 0.90 IoU when mended",
}


def verdicts(facts: Facts) -> list[Block]:
    """A chart for each sample of the run that has verdicts, the figures with the images as clusters."""
    rows = [
        row
        for row in facts.rows("quality_estimate")
        if row["figure"] in FIGURES and row["estimate"] is not None
    ]
    return [
        _figure(number, list(of)) for number, (_, of) in enumerate(groupby(rows, lambda row: row["sample"]))
    ]


def _figure(number: int, rows: list[dict]) -> Figure:
    first = rows[0]
    dots = [
        dot(FIGURES[row["figure"]], row["estimate"], row["images_low"], row["images_high"]) for row in rows
    ]
    # What follows there is the unit of the interval for the frame alone, which the chart does not show.
    drawn = first["design"].partition("; unit")[0]
    of = f"masks with `{first['frame_where']}`" if first["frame_where"] else "all masks of the run"
    return Figure(
        f"verdicts_{number}",
        f"Sample {first['sample']}",
        alt=told(f"Sample {first['sample']}", dots),
        note=f"Estimated share of {of}, 95 % intervals, image as cluster. {basis(first)}; {drawn}.",
        draw=lambda width: figures.intervals(dots, width, "share of masks"),
        is_wide=True,
    )
