"""Samples, plans and estimates on a terminal."""

import json
from collections.abc import Iterator

import numpy as np
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from curation.sampling.estimates import ALL, Part, Sample
from curation.sampling.planner import Acceptance
from curation.sampling.stopping import Enough

FRAME, IMAGES = "95 % of\nthis frame", "of images\nlike these"
COLUMNS = ("share", FRAME, IMAGES, "masks", "images", "eff. n", "deff")
NARROW_COLUMNS = ("share", FRAME, IMAGES, "masks", "deff")
#: Columns of the terminal that the table of one slice takes.
FULL_WIDTH = 105


def of_summary(row: dict) -> Iterator[Text]:
    """How a sample was drawn, a line a fact."""
    yield Text(
        f"{row['sample']}: {row['design']}, {row['n_masks']:,} masks of {row['n_images']:,} images",
        style="bold",
    )
    run = row["frame_run_id"]
    told = {
        "frame": "the newest run of each image" if run is None else f"run {run}",
        "where": row["frame_where"] or "all masks",
        **json.loads(row["options"] or "{}"),
        "seed": row["seed"],
        "version": row["snapshot_id"],
        "drawn": f"{row['drawn_at']:%Y-%m-%d %H:%M} UTC by {row['drawn_by'] or 'unknown'}",
        "judged": f"{row['n_judged']:,} of {row['n_masks']:,}",
    }
    for name, value in told.items():
        yield Text(f"  {name:16} {value}")


def of_acceptance(plan: Acceptance) -> str:
    return (
        f"Judge {plan.n_masks:,} masks and accept the lot when at most {plan.most_bad} are bad. A lot with "
        f"{100 * plan.acceptable:g} % bad is refused {100 * plan.producers_risk:.1f} % of the time, one with {100 * plan.limit:g} % is accepted "
        f"{100 * plan.consumers_risk:.1f} %."
    )


def of_enough(found: Enough, figure: str) -> str:
    if not found.n_units:
        return "no verdict yet"
    return (
        f"{'enough' if found.is_enough else 'not enough yet'}: {figure} {found.share:.3f} [{found.low:.3f}, {found.high:.3f}] "
        f"at all looks with 95 %, {found.n_units:,} units; {found.needed}"
    )


def of_estimates(found: Sample, width: int) -> Iterator[Table | Text]:
    """For a terminal of `width` columns: a table a slice, and how the numbers were come by."""
    for part in found.parts:
        if part.slice != ALL or len(found.parts) > 1:
            yield Text(part.slice, style="bold")
        yield _table(part, COLUMNS if width >= FULL_WIDTH else NARROW_COLUMNS)
        yield Text(_unanswered(part), style="dim")
    yield Text(
        f"Sample {found.name}: {found.design}.\nOf images like these: the interval were the images drawn from many such. "
        "eff. n: independent masks that would tell as much; deff: masks / eff. n.",
        style="dim",
    )


def _table(part: Part, columns: tuple[str, ...]) -> Table:
    """A line a figure that any mask tells something about; reasons that nobody named are left out."""
    found = part.estimates
    has_gain = bool((found.gain != 1).any())
    if np.isnan(found.images_low).all():  # one image, or a score
        columns = tuple(name for name in columns if name != IMAGES)
    table = Table(header_style="bold", box=SIMPLE, pad_edge=False)
    table.add_column("figure", no_wrap=True)
    for name in (*columns, *(("gain",) if has_gain else ())):
        table.add_column(name, justify="right", no_wrap=True)
    for k, figure in enumerate(part.figures):
        if not found.n_masks[k] or (figure.reason and not found.estimate[k]):
            continue
        cells = [
            f"{found.estimate[k]:.3f}",
            _between(found.low[k], found.high[k]),
            _between(found.images_low[k], found.images_high[k]),
            f"{found.n_masks[k]:,}",
            f"{found.n_images[k]:,}",
            "census" if np.isinf(found.effective_n[k]) else f"{found.effective_n[k]:,.0f}",
            "" if np.isnan(found.design_effect[k]) else f"{found.design_effect[k]:.2f}",
        ]
        shown = dict(zip(COLUMNS, cells, strict=True))
        table.add_row(
            figure.name, *(shown[name] for name in columns), *((f"{found.gain[k]:.2f}",) if has_gain else ())
        )
    return table


def _unanswered(part: Part) -> str:
    """Those that have no answer, and what they could make of the share accepted."""
    names = {
        "n_pending": "not judged yet",
        "n_tied": "tied",
        "n_unsure": "unsure",
        "n_skipped": "skipped",
        "n_to_correct": "to correct",
    }
    told = [f"{part.counts[key]:,} {name}" for key, name in names.items() if part.counts[key]]
    text = f"{part.counts['n_drawn']:,} drawn" + (f"; {', '.join(told)}" if told else "; all judged")
    least, most = part.if_unanswered_none[0], part.if_unanswered_all[0]
    if most - least > 0:
        text += f". Were none or all of the tied, unsure and skipped accepted: {least:.3f} to {most:.3f}"
    return text


def _between(low: float, high: float) -> str:
    return "" if np.isnan(low) else f"[{low:.3f}, {high:.3f}]"
