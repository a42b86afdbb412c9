"""Agreement with gold on a terminal: one group with all that is known, several side by side."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from curation.gold.agreement import BOOTSTRAP, EXACT, Group
from curation.gold.ceilings import CEILING_FIGURES, N_DRAWS, Ceilings
from curation.gold.figures import Figure
from curation.gold.intervals import Estimates

#: What SAM reported for its automatic masks (arXiv 2304.02643, section 5), without an interval.
SAM = "SAM reported 0.97 over 0.75 and 0.94 over 0.90 IoU for SA-1B, gold corrected from the masks, no interval."
#: Columns of the terminal that the names of the figures, a cell and what parts two of them take.
NAME_WIDTH, GAP = 20, 3
CELL_WIDTH = 17
COLUMNS = ("estimate", "bootstrap", "design-based", "images", "masks", "eff. n", "deff")
NARROW_COLUMNS = ("estimate", "bootstrap", "images", "masks", "deff")
#: Columns of the terminal that the table of one group takes, with masks in the millions.
FULL_WIDTH = 100
#: Figures that stand together, parted from the others by a line.
SECTIONS = {"precision": 1, "recall": 1, "f1": 1, "average_recall": 2, "error_kind": 3}


def of_groups(groups: Sequence[Group], width: int) -> Iterator[Table | Text]:
    """All groups for a terminal of `width` columns, and how the numbers were come by."""
    yield from _alone(groups[0], width) if len(groups) == 1 else _side_by_side(groups, width)
    yield _notes(groups)


def _title(group: Group) -> str:
    """What the group is, in words."""
    keys = group.keys
    parts = []
    if "run_id" in keys:
        parts.append(f"run {keys['run_id']} against gold run {keys['gold_run_id']}")
    if keys.get("stage"):
        parts.append(f"{keys['stage']}" + (f", cycle {keys['cycle']}" if "cycle" in keys else ""))
    if "slice" in keys:
        parts.append(f"{group.by}: {keys['slice']}")
    return "; ".join(parts)


def _alone(group: Group, width: int) -> Iterator[Table | Text]:
    """A table of one group: a line a figure. A narrow terminal gets the bootstrap interval alone."""
    columns = COLUMNS if width >= FULL_WIDTH else NARROW_COLUMNS
    yield Text(_title(group), style="bold")
    found = group.estimates
    lines = {}
    for k, figure in enumerate(group.figures):
        if found.n_images[k]:
            cells = dict(zip(COLUMNS, _cells(found, k), strict=True))
            lines[figure] = [cells[name] for name in columns]
    yield _table(columns, lines)


def _side_by_side(groups: Sequence[Group], width: int) -> Iterator[Table | Text]:
    """Tables of several groups that fit into `width`: a column a group, the bootstrap interval under each estimate."""
    fit = max(1, (width - NAME_WIDTH) // (CELL_WIDTH + GAP))
    for first in range(0, len(groups), fit):
        yield _block(groups[first : first + fit])


def _notes(groups: Sequence[Group]) -> Text:
    """How the numbers were come by."""
    lines = [
        f"Every mask on the images with gold. {_golds(groups)}.",
        f"95 % intervals, image as cluster. Bootstrap: {BOOTSTRAP}. Design-based: linearised ratio, for shares Wilson's "
        "interval at the effective n. The bootstrap holds better for few images and shares near 0 or 1.",
        "eff. n: independent masks that would tell as much; deff: masks / eff. n. AR at k: average recall of the k best masks "
        "of each image over IoU 0.50 to 0.95.",
        SAM,
    ]
    if any(group.estimates.is_exact.any() for group in groups):
        lines.insert(2, f"Both intervals are {EXACT} there.")
    return Text("\n".join(lines), style="dim")


def of_ceilings(found: Ceilings, width: int) -> Iterator[Table | Text]:
    """People beside the model: a column a way to judge; too narrow a terminal gets the intervals on lines of their own."""
    model = "" if found.run_id is None else f", and of run {found.run_id} with them"
    yield Text(f"Agreement of annotators with each other{model}", style="bold")
    judges = {"model": f"run {found.run_id}"}
    heads = [f"{judges.get(one.judged, one.judged)} vs\n{one.against}" for one in found.judgements]
    between = "\n" if NAME_WIDTH + len(heads) * (CELL_WIDTH + GAP) > width else " "
    lines = {
        figure: [_with_interval(one.estimates, k, between) for one in found.judgements]
        for k, figure in enumerate(CEILING_FIGURES)
    }
    yield _table(heads, lines)
    notes = [
        f"{found.design}. 95 % intervals: studentised bootstrap.",
        f"By chance: on each image one pair, the median of {N_DRAWS:,} draws. Best of the others (leave-one-out): each "
        "annotator in turn against whoever of the rest agrees best, image by image. Best pair (oracle): the pair that agrees "
        "best on each image. Both choose figure by figure.",
    ]
    yield Text("\n".join(notes), style="dim")


def _golds(groups: Sequence[Group]) -> str:
    """Whose gold it is, by the number of its run where the groups are parted by it."""
    told = {group.gold: group.keys.get("gold_run_id") for group in groups}
    return "; ".join(
        f"Gold of {gold}" if run is None else f"Gold run {run}: {gold}" for gold, run in told.items()
    )


def _block(groups: Sequence[Group]) -> Table:
    lines = {
        figure: [_with_interval(group.estimates, k) for group in groups]
        for k, figure in enumerate(groups[0].figures)
        if any(group.estimates.n_images[k] for group in groups)
    }
    table = _table([_head(group) for group in groups], lines)
    table.add_section()
    for name, of in (("images", None), ("masks", "masks"), ("gold masks", "gold masks")):
        table.add_row(Text(name, style="dim"), *(_count(group, of) for group in groups))
    return table


def _table(heads: Sequence[str], lines: Mapping[Figure, Sequence[str]]) -> Table:
    """A line a figure, in sections."""
    table = Table(header_style="bold", box=SIMPLE, pad_edge=False)
    table.add_column("figure", no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right")
    before = None
    for figure, cells in lines.items():
        section = SECTIONS.get(figure.name, 0)
        if before is not None and section != before:
            table.add_section()
        table.add_row(_told(figure), *cells)
        before = section
    return table


def _head(group: Group) -> str:
    keys = group.keys
    if "slice" in keys:
        return f"{keys['slice']}\nrun {keys['run_id']}, gold {keys['gold_run_id']}"
    if "run_id" in keys:
        return f"run {keys['run_id']}\ngold {keys['gold_run_id']}"
    return "\n".join(str(value) if name == "stage" else f"{name} {value}" for name, value in keys.items())


def _told(figure: Figure) -> str:
    if figure.name != "error_kind":
        return figure.told
    return "no error" if figure.error_kind == "none" else f"error: {figure.told}"


def _cells(found: Estimates, k: int) -> list[str]:
    return [
        _number(found.estimate[k]),
        _between(found.bootstrap_low[k], found.bootstrap_high[k]),
        _between(found.design_low[k], found.design_high[k]),
        f"{found.n_images[k]:,}",
        f"{found.n_units[k]:,.0f}",
        "" if np.isnan(found.effective_n[k]) else f"{found.effective_n[k]:,.0f}",
        "" if np.isnan(found.design_effect[k]) else f"{found.design_effect[k]:.1f}",
    ]


def _with_interval(found: Estimates, k: int, between: str = " ") -> str:
    if np.isnan(found.estimate[k]):
        return ""
    low, high = found.bootstrap_low[k], found.bootstrap_high[k]
    return f"{found.estimate[k]:.2f}" + ("" if np.isnan(low) else f"{between}[{low:.2f}, {high:.2f}]")


def _count(group: Group, of: str | None) -> Text:
    found = group.estimates
    if of is None:
        return Text(f"{found.n_images.max():,}", style="dim")
    counts = [found.n_units[k] for k, figure in enumerate(group.figures) if figure.of == of]
    return Text(f"{max(counts):,.0f}", style="dim")


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"


def _between(low: float, high: float) -> str:
    return "" if np.isnan(low) else f"[{low:.3f}, {high:.3f}]"
