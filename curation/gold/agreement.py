"""How well masks agree with gold, as rows: every figure with both intervals, its images and masks, and its design."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from curation.errors import InputError, LakeError
from curation.gold.figures import KEYS, Figure, Totals, figures_of, totals
from curation.gold.intervals import N_REPLICATES, SEED, Estimates
from curation.lake import Lake

ROWS = pa.schema(
    [
        ("by", pa.string()),
        ("slice", pa.string()),
        ("stage", pa.string()),
        ("cycle", pa.int16()),
        ("run_id", pa.int32()),
        ("gold_run_id", pa.int32()),
        ("figure", pa.string()),
        ("iou_threshold", pa.float64()),
        ("max_masks", pa.int32()),
        ("error_kind", pa.string()),
        ("estimate", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("design_low", pa.float64()),
        ("design_high", pa.float64()),
        ("n_images", pa.int64()),
        ("n_masks", pa.int64()),
        ("counted", pa.string()),
        ("effective_n", pa.float64()),
        ("design_effect", pa.float64()),
        ("interval", pa.string()),
        ("design", pa.string()),
    ]
)
BOOTSTRAP = f"studentised cluster bootstrap, {N_REPLICATES:,} draws of images, seed {SEED}"
EXACT = "Clopper-Pearson: one mask an image, so masks are independent"


@dataclass(frozen=True)
class Group:
    """The masks that one set of figures is about; `keys` are some of stage, cycle, run_id, gold_run_id, slice."""

    by: str
    keys: Mapping[str, object]
    gold: str
    figures: tuple[Figure, ...]
    estimates: Estimates

    @property
    def design(self) -> str:
        """What was counted, whose gold it is, what the interval takes as the unit."""
        return f"every mask on the images with gold; gold of {self.gold}; image as cluster"


def agreement(
    lake: Lake, by: str = "run", run_id: int | None = None, gold_run_id: int | None = None
) -> list[Group]:
    """The figures of every group, `by` one of KEYS, in the order of their keys.

    Raises InputError for another `by`, LakeError where nothing is matched.
    """
    if by not in KEYS:
        raise InputError(f"--by {by}: allowed are {', '.join(KEYS)}")
    found = totals(lake, by, run_id, gold_run_id)
    if not found:
        raise LakeError(_nothing(lake, by, run_id, gold_run_id))
    gold_runs = _gold_runs(lake, gold_run_id)
    figures = figures_of(by)
    return [Group(by, one.keys, _told(gold_runs, one), figures, one.estimates(figures)) for one in found]


def rows(groups: Sequence[Group]) -> pa.Table:
    """The figures that any image tells something about, a row each (ROWS); `counted` says what `n_masks` counts."""
    return pa.Table.from_pylist([row for group in groups for row in _rows(group)], ROWS)


def _rows(group: Group) -> list[dict]:
    found = group.estimates
    return [
        {
            "by": group.by,
            **group.keys,
            "figure": figure.name,
            "iou_threshold": figure.iou_threshold,
            "max_masks": figure.max_masks,
            "error_kind": figure.error_kind,
            "estimate": known(found.estimate[k]),
            "low": known(found.bootstrap_low[k]),
            "high": known(found.bootstrap_high[k]),
            "design_low": known(found.design_low[k]),
            "design_high": known(found.design_high[k]),
            "n_images": int(found.n_images[k]),
            "n_masks": int(found.n_units[k]),
            "counted": figure.of,
            "effective_n": known(found.effective_n[k]),
            "design_effect": known(found.design_effect[k]),
            "interval": EXACT if found.is_exact[k] else BOOTSTRAP,
            "design": group.design,
        }
        for k, figure in enumerate(group.figures)
        if found.n_images[k]
    ]


def known(value: float) -> float | None:
    """None for NaN: a table says null for what is not known."""
    return None if np.isnan(value) else float(value)


@dataclass(frozen=True)
class _Gold:
    """Who drew a gold run, and how."""

    annotator: str
    way: str


def _gold_runs(lake: Lake, gold_run_id: int | None) -> dict[int, _Gold]:
    rows = lake.con.execute(
        """
        SELECT run_id, coalesce(annotator, 'unknown'), is_anchored FROM runs
        WHERE kind = 'gold' AND ($gold_run_id IS NULL OR run_id = $gold_run_id) ORDER BY run_id
        """,
        {"gold_run_id": gold_run_id},
    ).fetchall()
    ways = {True: "corrected from predictions", False: "drawn from scratch", None: "drawn in an unknown way"}
    return {number: _Gold(annotator, ways[is_anchored]) for number, annotator, is_anchored in rows}


def _told(gold_runs: Mapping[int, _Gold], one: Totals) -> str:
    """Whose gold a group has: "ann, eve, drawn from scratch; bob, corrected from predictions"."""
    chosen = gold_runs.values()
    if "gold_run_id" in one.keys:
        chosen = [gold_runs[one.keys["gold_run_id"]]]
    by_way: dict[str, dict[str, None]] = {}
    for gold in chosen:
        by_way.setdefault(gold.way, {})[gold.annotator] = None
    return "; ".join(f"{', '.join(names)}, {way}" for way, names in by_way.items())


def _nothing(lake: Lake, by: str, run_id: int | None, gold_run_id: int | None) -> str:
    asked = "".join(
        f" {name} {number}"
        for name, number in (("run", run_id), ("gold run", gold_run_id))
        if number is not None
    )
    matched = totals(lake, "run", run_id, gold_run_id)
    if matched:
        return f"{lake.root}: no mask{asked} has a known {by}; `curation measure` computes what is missing"
    return (
        f"{lake.root}: no mask{asked} is matched with gold. Import gold (`curation gold import FORMAT PATHS…`) of the same "
        "image files, then `curation gold match`"
    )
