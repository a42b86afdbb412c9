"""How good and how steady each rater is: speed, agreement with gold, with themselves, over time, and in reasons.

Only current verdicts count, and no skips. Whether a hidden gold check was right: the highest IoU of the mask with gold says
what was to be answered (`gold_check_good_iou`, `gold_check_bad_iou`); good masks are to be accepted, bad ones not. All intervals
are of the cluster bootstrap, image as cluster.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.lake import Lake
from curation.review.intervals import Interval, of_share, of_totals
from curation.settings import REVIEW

#: What is told is the change over 100 verdicts: from fewer than half of them it would be made up, not measured.
LEAST_FOR_TREND = 50
DESIGN = "the rater's own verdicts; cluster bootstrap, image as cluster"

ROWS = pa.schema(
    [
        ("rater", pa.string()),
        ("figure", pa.string()),
        ("unit", pa.string()),
        ("estimate", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("n_verdicts", pa.int64()),
        ("n_images", pa.int64()),
        ("design", pa.string()),
    ]
)
CONFUSION = pa.schema(
    [
        ("rater", pa.string()),
        ("reason", pa.string()),
        ("other_reason", pa.string()),
        ("n_masks", pa.int64()),
        ("share", pa.float64()),
    ]
)

_VERDICTS = """
    WITH gold AS (
        SELECT mask_id, max(gold_iou) AS gold_iou FROM gold_comparisons
        WHERE is_compared
        GROUP BY mask_id
    ),

    given AS (
        SELECT * FROM current_verdicts
        WHERE
            decision <> 'skip'
            AND ($sample IS NULL OR sample = $sample)
            AND ($rater IS NULL OR rater = $rater)
    ),

    first_ones AS (
        SELECT sample, mask_id, rater, decision FROM given WHERE purpose IN ('review', 'double_review')
    )

    SELECT
        given.rater,
        given.image_id,
        given.purpose,
        given.decision,
        epoch(given.given_at - lag(given.given_at) OVER (PARTITION BY given.rater ORDER BY given.given_at, given.verdict_id))
            AS gap_s,
        CASE WHEN gold.gold_iou >= $good THEN true WHEN gold.gold_iou < $bad THEN false END AS is_good,
        first_ones.decision AS first_decision
    FROM given
    LEFT JOIN gold ON given.purpose = 'gold_check' AND given.mask_id = gold.mask_id
    LEFT JOIN first_ones
        ON given.purpose = 'repeat'
        AND given.rater = first_ones.rater
        AND given.mask_id = first_ones.mask_id
        AND given.sample = first_ones.sample
    ORDER BY given.rater, given.given_at, given.verdict_id
"""
_REASONS = """
    WITH opinions AS (
        SELECT sample, mask_id, rater, CASE WHEN reasons = [] THEN [NULL] ELSE reasons END AS reasons
        FROM current_verdicts
        WHERE
            purpose IN ('review', 'double_review')
            AND decision IN ('fix', 'reject')
            AND ($sample IS NULL OR sample = $sample)
    ),

    pairs AS (
        SELECT mine.rater, mine.mask_id, unnest(mine.reasons) AS reason, others.reasons AS other_reasons
        FROM opinions AS mine
        INNER JOIN opinions AS others
            ON mine.sample = others.sample AND mine.mask_id = others.mask_id AND mine.rater <> others.rater
    )

    SELECT
        rater,
        reason,
        other_reason,
        count(*) AS n_masks,
        count(*) / sum(count(*)) OVER (PARTITION BY rater, reason) AS share
    FROM (SELECT rater, reason, unnest(other_reasons) AS other_reason FROM pairs WHERE reason IS NOT NULL)
    GROUP BY rater, reason, other_reason
    ORDER BY rater, reason, n_masks DESC, other_reason
"""


@dataclass(frozen=True)
class Series:
    """Verdicts of one rater in the order in which they were given; arrays (N,)."""

    image_ids: np.ndarray
    purposes: np.ndarray
    is_accepted: np.ndarray
    decisions: np.ndarray
    gaps_s: np.ndarray
    is_good: np.ndarray  # of gold checks; None elsewhere
    first_decisions: np.ndarray  # of repeats; None elsewhere

    def __len__(self) -> int:
        return len(self.image_ids)


def quality(lake: Lake, sample: str | None = None, rater: str | None = None) -> pa.Table:
    """Figures of each rater as rows of ROWS; of one sample and one rater where these are given.

    - `verdicts_per_hour`: of active time; gaps over `break_gap_s` are pauses, and verdicts that came at one
      moment, as those of a merged file do, have no time of their own.
    - `gold_agreement`, and of its parts `gold_good_accepted` and `gold_bad_refused`.
    - `repeat_equal`: hidden repeats with the same decision; `repeat_equal_accept`: accepted again, or not again.
    - `accept_share`, and its `accept_drift`: change of the share over 100 verdicts, by least squares; `gold_drift` is that
      of gold agreement, over 100 verdicts of any kind. An interval without 0 says that the rater drifts.

    Figures of which nothing is known are left out; no verdicts give no rows.
    """
    params = {
        "sample": sample,
        "rater": rater,
        "good": REVIEW.gold_check_good_iou,
        "bad": REVIEW.gold_check_bad_iou,
    }
    table = lake.query(_VERDICTS, params)
    found: list[dict] = []
    for name in sorted(set(table["rater"].to_pylist())):
        rows = table.filter(pc.equal(table["rater"], name)).to_pydict()
        found += [{"rater": name, "design": DESIGN, **row} for row in _figures(_series(rows))]
    return pa.Table.from_pylist(found, schema=ROWS)


def reason_confusion(lake: Lake, sample: str | None = None) -> pa.Table:
    """What others named where a rater named a reason, on masks that neither accepted: rows of CONFUSION.

    `other_reason` is null where the other named none; `share` is of the pairs with this reason of this rater.
    """
    return lake.query(_REASONS, {"sample": sample}).cast(CONFUSION)


def _series(rows: dict[str, list]) -> Series:
    decisions = np.array(rows["decision"], object)
    return Series(
        image_ids=np.array(rows["image_id"], np.int64),
        purposes=np.array(rows["purpose"], object),
        is_accepted=decisions == "accept",
        decisions=decisions,
        gaps_s=np.array([np.nan if gap is None else gap for gap in rows["gap_s"]], float),
        is_good=np.array(rows["is_good"], object),
        first_decisions=np.array(rows["first_decision"], object),
    )


def _figures(series: Series) -> Iterator[dict]:
    places = np.arange(len(series))
    yield from _speed(series)
    checked = np.array([good is not None for good in series.is_good], bool)
    is_right = series.is_accepted == np.array([bool(good) for good in series.is_good], bool)
    good = np.array([one is True for one in series.is_good], bool)
    yield from _share("gold_agreement", series, checked, is_right)
    yield from _share("gold_good_accepted", series, checked & good, is_right)
    yield from _share("gold_bad_refused", series, checked & ~good, is_right)
    repeated = np.array([first is not None for first in series.first_decisions], bool)
    yield from _share("repeat_equal", series, repeated, series.decisions == series.first_decisions)
    again = series.is_accepted == (series.first_decisions == "accept")
    yield from _share("repeat_equal_accept", series, repeated, again)
    opinions = np.isin(series.purposes, ("review", "double_review"))
    yield from _share("accept_share", series, opinions, series.is_accepted)
    yield from _trend("accept_drift", series, opinions, series.is_accepted, places)
    yield from _trend("gold_drift", series, checked, is_right, places)


def _speed(series: Series) -> Iterator[dict]:
    """Verdicts an hour, as one over the mean time of a verdict: a sum of times behaves better than its inverse."""
    is_active = (series.gaps_s > 0) & (series.gaps_s <= REVIEW.break_gap_s)
    seconds = series.gaps_s[is_active]
    if not seconds.sum() > 0:
        return
    totals = _totals(series.image_ids[is_active], [seconds, np.ones_like(seconds)])
    found = of_totals(totals, lambda t: t[:, 0] / t[:, 1], (0, np.inf))
    low, high = (3600 / bound if bound else None for bound in (found.high, found.low))
    per_hour = Interval(3600 / found.estimate, low, high, found.n_images)
    yield _row("verdicts_per_hour", "1/h", per_hour, len(seconds))


def _share(name: str, series: Series, chosen: np.ndarray, values: np.ndarray) -> Iterator[dict]:
    if not chosen.any():
        return
    y = values[chosen].astype(float)
    found = of_share(_totals(series.image_ids[chosen], [y, np.ones_like(y)]))
    yield _row(name, "share", found, len(y))


def _trend(
    name: str, series: Series, chosen: np.ndarray, values: np.ndarray, places: np.ndarray
) -> Iterator[dict]:
    """Slope of 0/1 values over the place in the series, per 100 verdicts, by least squares."""
    if chosen.sum() < LEAST_FOR_TREND:
        return
    y, x = values[chosen].astype(float), places[chosen] / 100
    columns = [np.ones_like(x), x, y, x * x, x * y]

    def slope(t: np.ndarray) -> np.ndarray:
        n, sum_x, sum_y, sum_xx, sum_xy = t.T
        return (n * sum_xy - sum_x * sum_y) / (n * sum_xx - sum_x**2)

    found = of_totals(_totals(series.image_ids[chosen], columns), slope)
    yield _row(name, "share per 100 verdicts", found, len(y))


def _totals(image_ids: np.ndarray, columns: Sequence[np.ndarray]) -> np.ndarray:
    """Sums of each column (N,) over each image: (n_images, D)."""
    images, places = np.unique(image_ids, return_inverse=True)
    return np.stack([np.bincount(places, column, len(images)) for column in columns], axis=1)


def _row(name: str, unit: str, found: Interval, n_verdicts: int) -> dict:
    return {
        "figure": name,
        "unit": unit,
        "estimate": found.estimate,
        "low": found.low,
        "high": found.high,
        "n_verdicts": n_verdicts,
        "n_images": found.n_images,
    }
