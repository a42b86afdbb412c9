"""What is said about masks that have gold: each figure a ratio of two totals over images, and the totals from the lake."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from curation.gold.intervals import Estimates, estimates
from curation.lake import Lake
from curation.measures.partners import COCO_THRESHOLDS, MOST_MASKS

IOU_THRESHOLDS = (0.50, 0.75, 0.90)
ERROR_KINDS = ("none", "merge", "split", "partial", "spill", "hole", "fragment", "spurious", "miss")


@dataclass(frozen=True)
class Figure:
    """y / x of the totals of images (columns of `TOTALS_SQL`). `of` says what x counts; a mean has its units' squares."""

    name: str
    y: tuple[str, ...]
    x: tuple[str, ...]
    of: str = "masks"
    iou_threshold: float | None = None
    max_masks: int | None = None
    error_kind: str | None = None
    squares: str | None = None

    @property
    def told(self) -> str:
        """In words, for people."""
        return WORDS[self.name].format(t=self.iou_threshold, k=self.max_masks, kind=self.error_kind)


#: Figure -> its words; {t} is the threshold, {k} the number of masks.
WORDS = {
    "best_iou_over": "IoU over {t:.2f}",
    "mean_best_iou": "mean IoU",
    "mean_boundary_iou": "mean boundary IoU",
    "precision": "precision at {t:.2f}",
    "recall": "recall at {t:.2f}",
    "f1": "F1 at {t:.2f}",
    "average_recall": "AR at {k:,}",
    "error_kind": "{kind}",
}


def _figures() -> tuple[Figure, ...]:
    found = [
        Figure("best_iou_over", (f"n_over_{t:.2f}",), ("n_masks",), iou_threshold=t) for t in IOU_THRESHOLDS
    ]
    found.append(Figure("mean_best_iou", ("sum_iou",), ("n_masks",), squares="sum_iou_squares"))
    found.append(
        Figure("mean_boundary_iou", ("sum_boundary",), ("n_boundary",), squares="sum_boundary_squares")
    )
    for t in IOU_THRESHOLDS:
        right, found_ = f"n_right_{t:.2f}", f"n_found_{t:.2f}"
        found.append(Figure("precision", (right,), ("n_masks",), iou_threshold=t))
        found.append(Figure("recall", (found_,), ("n_gold",), "gold masks", iou_threshold=t))
        found.append(
            Figure("f1", (right, found_), ("n_masks", "n_gold"), "masks and gold masks", iou_threshold=t)
        )
    found += [
        Figure("average_recall", (f"found_by_{k}",), ("n_ranked",), "gold masks", max_masks=k)
        for k in MOST_MASKS
    ]
    for kind in ERROR_KINDS:
        of_gold = kind == "miss"
        of = "gold masks" if of_gold else "masks"
        found.append(
            Figure("error_kind", (f"n_{kind}",), ("n_gold" if of_gold else "n_judged",), of, error_kind=kind)
        )
    return tuple(found)


FIGURES = _figures()


@dataclass(frozen=True)
class Slice:
    """A way to part the masks of a run and its gold: an SQL expression for each side, and the joins they need.

    Without `gold` the gold masks have no such property, and figures that need them are left out.
    """

    mask: str
    gold: str | None
    mask_join: str = ""
    gold_join: str = ""


_MASKS = "INNER JOIN masks ON masks.run_id = matched.run_id AND masks.mask_id = matched.mask_id"
_GOLD = "INNER JOIN gold_masks ON gold_masks.run_id = matched.gold_run_id AND gold_masks.gold_mask_id = matched.gold_mask_id"
_COVERAGE = "LEFT JOIN image_coverage ON image_coverage.run_id = matched.run_id AND image_coverage.image_id = matched.image_id"
_NESTING = "LEFT JOIN mask_nesting ON mask_nesting.run_id = matched.run_id AND mask_nesting.mask_id = matched.mask_id"
_BORDER = "border_band({0}.bbox_xywh, {0}.width_px, {0}.height_px)"

SLICES: Mapping[str, Slice] = MappingProxyType(
    {
        "size": Slice("size_band(masks.area_px)", "size_band(gold_masks.area_px)", _MASKS, _GOLD),
        "border": Slice(_BORDER.format("masks"), _BORDER.format("gold_masks"), _MASKS, _GOLD),
        "crowdedness": Slice(
            "crowdedness_band(image_coverage.crowdedness)",
            "crowdedness_band(image_coverage.crowdedness)",
            _COVERAGE,
            _COVERAGE,
        ),
        "score": Slice("score_band(masks.predicted_iou)", None, _MASKS),
        "level": Slice("level_band(mask_nesting.level)", "level_band(gold_masks.nesting)", _NESTING, _GOLD),
    }
)
#: Keys of a row of totals; slices are taken inside a run and its gold.
KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "run": ("stage", "cycle", "run_id", "gold_run_id"),
        "stage": ("stage",),
        "cycle": ("stage", "cycle"),
        **dict.fromkeys(SLICES, ("stage", "cycle", "run_id", "gold_run_id", "slice")),
    }
)

_OF_MASKS = ",\n".join(
    [
        "count(*) AS n_masks",
        *(f'count(*) FILTER (WHERE gold_iou > {t}) AS "n_over_{t:.2f}"' for t in IOU_THRESHOLDS),
        *(f'count(*) FILTER (WHERE matched_iou >= {t}) AS "n_right_{t:.2f}"' for t in IOU_THRESHOLDS),
        "sum(gold_iou) AS sum_iou",
        "sum(gold_iou * gold_iou) AS sum_iou_squares",
        "sum(boundary) AS sum_boundary",
        "sum(boundary * boundary) AS sum_boundary_squares",
        "count(boundary) AS n_boundary",
        "count(error_kind) AS n_judged",
        *(f"count(*) FILTER (WHERE error_kind = '{kind}') AS n_{kind}" for kind in ERROR_KINDS[:-1]),
    ]
)
_OF_GOLD = ",\n".join(
    [
        "count(*) AS n_gold",
        *(f'count(*) FILTER (WHERE matched_iou >= {t}) AS "n_found_{t:.2f}"' for t in IOU_THRESHOLDS),
        "count(*) FILTER (WHERE mask_id IS NULL) AS n_miss",
        "count(coco_found) AS n_ranked",
        *(
            f"sum(coco_found[{place}]) / {len(COCO_THRESHOLDS)} AS found_by_{k}"
            for place, k in enumerate(MOST_MASKS, start=1)
        ),
    ]
)

#: One row an image and group. A mask that lies in crowd gold (at IoU 0.50 or more, as COCO ignores it) counts nowhere.
TOTALS_SQL = """
WITH matched AS (
    SELECT
        m.*, runs.stage, runs.cycle,
        CASE
            WHEN m.best_gold_mask_id IS NULL THEN 0
            ELSE m.gold_boundary_iou
        END AS boundary
    FROM gold_comparisons AS m
    INNER JOIN runs ON m.run_id = runs.run_id
    WHERE
        CASE WHEN $between THEN runs.kind = 'gold' ELSE runs.kind <> 'gold' END
        AND ($run_id IS NULL OR m.run_id = $run_id)
        AND ($gold_run_id IS NULL OR m.gold_run_id = $gold_run_id)
),

of_masks AS (
    SELECT {keys}, image_id, {of_masks}
    FROM (SELECT matched.*, {mask} AS slice FROM matched {mask_join} WHERE matched.is_compared)
    GROUP BY {keys}, image_id
),

of_gold AS (
    SELECT {keys}, image_id, {of_gold}
    FROM (SELECT matched.*, {gold} AS slice FROM matched {gold_join} WHERE matched.gold_mask_id IS NOT NULL {no_gold})
    GROUP BY {keys}, image_id
),

of_images AS (
    SELECT {keys}, image_id, coalesce(sum(COLUMNS(* EXCLUDE ({keys}, image_id))), 0)::DOUBLE
    FROM (FROM of_masks UNION ALL BY NAME FROM of_gold)
    WHERE {known}
    GROUP BY {keys}, image_id
)

FROM of_images
ORDER BY {keys}, image_id
"""


@dataclass(frozen=True)
class Totals:
    """The totals of one group's images: `columns` by name, float64 (n_images,), and what the group is."""

    keys: Mapping[str, object]
    image_ids: np.ndarray
    columns: Mapping[str, np.ndarray]

    def ratio(self, figure: Figure) -> tuple[np.ndarray, np.ndarray]:
        """y and x of a figure, float64 (n_images,); x is 0 where the group has no gold and the figure needs some."""
        if "n_gold" in figure.x and not self.columns["n_gold"].any():
            return np.zeros(len(self.image_ids)), np.zeros(len(self.image_ids))
        return sum(self.columns[name] for name in figure.y), sum(self.columns[name] for name in figure.x)

    def estimates(self, figures: tuple[Figure, ...]) -> Estimates:
        """The figures with their intervals."""
        ratios = [self.ratio(figure) for figure in figures]
        squares = [np.nan if f.squares is None else self.columns[f.squares].sum() for f in figures]
        y, x = (np.stack(side, axis=1) for side in zip(*ratios, strict=True))
        return estimates(y, x, np.array(squares))


def totals(
    lake: Lake,
    by: str = "run",
    run_id: int | None = None,
    gold_run_id: int | None = None,
    between: bool = False,
) -> list[Totals]:
    """Totals of every group that has matches, in the order of their keys; `by` is one of KEYS.

    `between`: gold runs against each other instead of runs of masks against gold.
    """
    slice_ = SLICES.get(by, Slice("NULL", "NULL"))
    keys = ", ".join(KEYS[by])
    sql = TOTALS_SQL.format(
        keys=keys,
        of_masks=_OF_MASKS,
        of_gold=_OF_GOLD,
        mask=slice_.mask,
        mask_join=slice_.mask_join,
        gold=slice_.gold or "NULL",
        gold_join=slice_.gold_join,
        no_gold="" if slice_.gold else "AND FALSE",
        known="slice IS NOT NULL" if by in SLICES else "TRUE",
    )
    rows = lake.query(sql, {"run_id": run_id, "gold_run_id": gold_run_id, "between": between})
    return _by_group(rows, KEYS[by])


def figures_of(by: str) -> tuple[Figure, ...]:
    """The figures that hold for groups of this kind."""
    has_gold = by not in SLICES or SLICES[by].gold is not None
    return tuple(figure for figure in FIGURES if has_gold or figure.name != "average_recall")


def _by_group(rows: pa.Table, keys: tuple[str, ...]) -> list[Totals]:
    """Rows that are sorted by `keys`, parted where these change."""
    if rows.num_rows == 0:
        return []
    values = rows.select(keys).to_pylist()
    starts = [0, *(k for k in range(1, len(values)) if values[k] != values[k - 1]), len(values)]
    columns = {name: rows[name].to_numpy() for name in rows.column_names if name not in (*keys, "image_id")}
    image_ids = rows["image_id"].to_numpy()
    return [
        Totals(
            _named(values[start]),
            image_ids[start:stop],
            {name: column[start:stop] for name, column in columns.items()},
        )
        for start, stop in pairwise(starts)
    ]


def _named(keys: Mapping[str, object]) -> dict[str, object]:
    """Keys with the name of the slice for its {place, name}."""
    return {name: value["name"] if name == "slice" else value for name, value in keys.items()}
