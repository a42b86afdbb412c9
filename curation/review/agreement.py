"""How far raters agree: kappa of two, alpha of all, IoU of their corrections, and one held out against the rest.

- **Cohen's kappa** (Educational and Psychological Measurement 20, 1960): (observed − by chance) / (1 − by chance).
- **Krippendorff's alpha** (Computing Krippendorff's Alpha-Reliability, 2011): 1 − observed / expected disagreement over
  any number of raters and any gaps; nominal for decisions, ordinal and interval for ratings.
- **Corrections**: IoU and boundary IoU of what two people drew from the same mask.
- **Human ceiling** (SAM 3, arXiv 2511.16719): each rater's decisions against the majority of the others, on masks that two
  or more others judged; what a verifier can reach at best.

All intervals are of the cluster bootstrap, image by image (`review.intervals`). Only first and second opinions count;
hidden repeats, gold checks, skips and adjudication do not.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby

import numpy as np
import pyarrow as pa

from curation import masks
from curation.lake import Lake
from curation.review.intervals import Interval, of_mean, of_share, of_totals
from curation.settings import GOLD

DECISIONS = ("accept", "fix", "reject", "unsure")
RATINGS = tuple(range(1, 11))
#: Fewer others than this have no majority.
LEAST_OTHERS = 2
DESIGN = "masks that several people judged blind; cluster bootstrap, image as cluster"

ROWS = pa.schema(
    [
        ("figure", pa.string()),
        ("of", pa.string()),
        ("rater", pa.string()),
        ("other", pa.string()),
        ("estimate", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("n_masks", pa.int64()),
        ("n_images", pa.int64()),
        ("design", pa.string()),
    ]
)

_OPINIONS = """
    SELECT sample, mask_id, image_id, rater, decision, rating
    FROM current_verdicts
    WHERE
        purpose IN ('review', 'double_review')
        AND decision <> 'skip'
        AND sample IS NOT NULL
        AND ($sample IS NULL OR sample = $sample)
    -- One opinion of a person on a mask, however many samples hold it.
    QUALIFY row_number() OVER (PARTITION BY mask_id, rater ORDER BY committed_at DESC, verdict_id DESC) = 1
    ORDER BY image_id, mask_id, rater
"""
_CORRECTIONS = """
    SELECT drawn.shown_mask_id, drawn.image_id, drawn.rater, masks.width_px, masks.height_px, masks.rle_counts
    FROM current_drawn_masks AS drawn
    INNER JOIN masks ON masks.run_id = drawn.run_id AND masks.mask_id = drawn.mask_id
    WHERE drawn.shown_mask_id IS NOT NULL AND ($sample IS NULL OR drawn.sample = $sample)
    QUALIFY
        row_number() OVER (PARTITION BY drawn.shown_mask_id, drawn.rater ORDER BY drawn.drawn_at DESC, drawn.mask_id DESC) = 1
    ORDER BY drawn.image_id, drawn.shown_mask_id, drawn.rater
"""


@dataclass(frozen=True)
class Opinion:
    """What one rater says of one mask."""

    mask_id: int
    image_id: int
    rater: str
    decision: str
    rating: int | None


def agreement(lake: Lake, sample: str | None = None) -> pa.Table:
    """Every figure of agreement as rows of ROWS: all raters together (`rater` null), each pair, each held out.

    `of` says of what: decision, accept (or not), rating_ordinal, rating_interval or correction. A figure that is not defined
    (nobody judged what another did, or all in one category) has a null estimate. No verdicts give no rows.
    """
    rows = lake.query(_OPINIONS, {"sample": sample}).drop_columns("sample").to_pylist()
    opinions = [Opinion(**row) for row in rows]
    found = [*_of_all(opinions), *_of_pairs(opinions), *_held_out(opinions), *_of_corrections(lake, sample)]
    return pa.Table.from_pylist([{**row, "design": DESIGN} for row in found], schema=ROWS)


# -- figures of tables ------------------------------------------------------------------------------


def kappa(tables: np.ndarray) -> np.ndarray:
    """Cohen's kappa of tables (..., K, K) of counts, one rater's categories by the other's; NaN where chance alone agrees."""
    n = tables.sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = np.trace(tables, axis1=-2, axis2=-1) / n
        expected = (tables.sum(axis=-1) * tables.sum(axis=-2)).sum(axis=-1) / n**2
        return np.where(expected < 1, (observed - expected) / (1 - expected), np.nan)


def alpha(coincidences: np.ndarray, level: str = "nominal") -> np.ndarray:
    """Krippendorff's alpha of coincidence matrices (..., K, K); NaN where all values are of one category.

    `level`: nominal, ordinal or interval; categories stand in their order, one apart.
    """
    of_value = coincidences.sum(axis=-1)
    n = of_value.sum(axis=-1)
    distances = _distances(of_value, level)
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = (coincidences * distances).sum(axis=(-2, -1)) / n
        pairs = of_value[..., :, None] * of_value[..., None, :]
        expected = (pairs * distances).sum(axis=(-2, -1)) / (n * (n - 1))
        return np.where(expected > 0, 1 - observed / expected, np.nan)


def coincidences(counts: np.ndarray) -> np.ndarray:
    """Coincidence matrices (N, K, K) of units in which each of K values was given `counts` (N, K) times.

    A unit with fewer than two values has no pairs.
    """
    counts = counts.astype(np.float64)
    n_values = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(counts.shape[1])
    return np.where(n_values[:, None, None] > 1, pairs / np.maximum(n_values - 1, 1)[:, None, None], 0)


def _distances(of_value: np.ndarray, level: str) -> np.ndarray:
    """Squared distances between categories (..., K, K); `of_value` (..., K): how often each was given."""
    k = of_value.shape[-1]
    if level == "nominal":
        return 1 - np.eye(k)
    # Ordinal: how many values lie between two categories, half of each own; that is the distance of their mid-ranks.
    places = np.arange(k) if level == "interval" else np.cumsum(of_value, axis=-1) - of_value / 2
    return (places[..., :, None] - places[..., None, :]) ** 2


# -- figures of raters ------------------------------------------------------------------------------


def _of_all(opinions: Sequence[Opinion]) -> Iterator[dict]:
    """Alpha of all raters, for decisions, for accepting or not, and for ratings."""
    asked: list[tuple[str, str, Sequence, Callable]] = [
        ("decision", "nominal", DECISIONS, lambda o: o.decision),
        ("accept", "nominal", (True, False), lambda o: o.decision == "accept"),
        ("rating_ordinal", "ordinal", RATINGS, lambda o: o.rating),
        ("rating_interval", "interval", RATINGS, lambda o: o.rating),
    ]
    for of, level, values, answer in asked:
        tables, image_ids = [], []
        for mask in _by_mask(opinions):
            counts = np.array([[sum(answer(o) == value for o in mask) for value in values]])
            if counts.sum() > 1:
                tables.append(coincidences(counts)[0])
                image_ids.append(mask[0].image_id)
        if tables:
            figure = _on_tables(lambda t, level=level: alpha(t, level), len(values))
            found = of_totals(_per_image(image_ids, tables), figure, (-1, 1))
            yield _row("krippendorff_alpha", of, None, None, found, len(tables))


def _of_pairs(opinions: Sequence[Opinion]) -> Iterator[dict]:
    """Kappa, and the share of equal decisions, of every two raters who judged the same masks."""
    shared: dict[tuple[str, str], list[tuple[Opinion, Opinion]]] = {}
    for mask in _by_mask(opinions):
        for a, b in combinations(mask, 2):
            shared.setdefault((a.rater, b.rater), []).append((a, b))
    for (rater, other), pairs in sorted(shared.items()):
        for of, values, answer in (
            ("decision", DECISIONS, lambda o: o.decision),
            ("accept", (True, False), lambda o: o.decision == "accept"),
        ):
            tables = [_table(values.index(answer(a)), values.index(answer(b)), len(values)) for a, b in pairs]
            image_ids = [a.image_id for a, _ in pairs]
            found = of_totals(_per_image(image_ids, tables), _on_tables(kappa, len(values)), (-1, 1))
            yield _row("cohen_kappa", of, rater, other, found, len(pairs))
            equal = [np.array([np.trace(table), 1]) for table in tables]
            yield _row("equal_share", of, rater, other, of_share(_per_image(image_ids, equal)), len(pairs))


def _held_out(opinions: Sequence[Opinion]) -> Iterator[dict]:
    """The human ceiling: each rater against the majority of the others, and all of them together."""
    judged: dict[str, list[tuple[int, bool]]] = {}
    for mask in _by_mask(opinions):
        for one in mask:
            decision = _majority(o.decision for o in mask if o.rater != one.rater)
            if decision is not None and len(mask) > LEAST_OTHERS:
                judged.setdefault(one.rater, []).append((one.image_id, one.decision == decision))
    everyone = [pair for pairs in judged.values() for pair in pairs]
    for rater, pairs in [*([(None, everyone)] if everyone else []), *sorted(judged.items())]:
        totals = _per_image([i for i, _ in pairs], [np.array([right, 1]) for _, right in pairs])
        yield _row("human_ceiling", "decision", rater, None, of_share(totals), len(pairs))


def _of_corrections(lake: Lake, sample: str | None) -> Iterator[dict]:
    """Mean IoU and boundary IoU of what two people made of the same mask: of all pairs, and of each two raters."""
    rows = lake.query(_CORRECTIONS, {"sample": sample}).to_pylist()
    pairs: dict[tuple[str | None, str | None], list[tuple[int, float, float]]] = {}
    for _, drawn in groupby(rows, key=lambda row: row["shown_mask_id"]):
        for a, b in combinations(list(drawn), 2):
            both = masks.parse_strings([a["rle_counts"], b["rle_counts"]], a["height_px"], a["width_px"])
            distance_px = masks.boundary_distance_px(a["height_px"], a["width_px"], GOLD.boundary_ratio)
            edges = masks.boundaries(both, distance_px)
            told = (a["image_id"], _iou_of_two(both), _iou_of_two(edges))
            for key in ((None, None), (a["rater"], b["rater"])):
                pairs.setdefault(key, []).append(told)
    for (rater, other), told in sorted(pairs.items(), key=lambda item: (item[0][0] or "", item[0][1] or "")):
        for place, name in ((1, "iou"), (2, "boundary_iou")):
            totals = _per_image([t[0] for t in told], [np.array([t[place], 1.0]) for t in told])
            found = of_mean(totals, sum(t[place] ** 2 for t in told))
            yield _row(name, "correction", rater, other, found, len(told))


def _by_mask(opinions: Iterable[Opinion]) -> Iterator[list[Opinion]]:
    for _, of_mask in groupby(opinions, key=lambda o: o.mask_id):
        yield list(of_mask)


def _majority(decisions: Iterable[str]) -> str | None:
    """What more of them say than anything else; None without such."""
    given = list(decisions)
    counts = sorted(((given.count(d), d) for d in set(given)), reverse=True)
    if not counts or (len(counts) > 1 and counts[0][0] == counts[1][0]):
        return None
    return counts[0][1]


def _table(row: int, column: int, k: int) -> np.ndarray:
    table = np.zeros((k, k))
    table[row, column] = 1
    return table


def _on_tables(figure: Callable[[np.ndarray], np.ndarray], k: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda sums: figure(sums.reshape(-1, k, k))


def _per_image(image_ids: Sequence[int], values: Sequence[np.ndarray]) -> np.ndarray:
    """Sums over the masks of each image, flat: (n_images, D)."""
    _, places = np.unique(np.array(image_ids), return_inverse=True)
    flat = np.array(values, np.float64).reshape(len(values), -1)
    totals = np.zeros((places.max() + 1, flat.shape[1]))
    np.add.at(totals, places, flat)
    return totals


def _iou_of_two(both: masks.Runs) -> float:
    return float(masks.paired_iou(both[0], both[1])[0])


def _row(figure: str, of: str, rater: str | None, other: str | None, found: Interval, n_masks: int) -> dict:
    return {
        "figure": figure,
        "of": of,
        "rater": rater,
        "other": other,
        "estimate": found.estimate,
        "low": found.low,
        "high": found.high,
        "n_masks": n_masks,
        "n_images": found.n_images,
    }
