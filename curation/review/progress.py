"""How far a sample is judged, by whom, how fast, and when it will be done."""

from dataclasses import dataclass
from datetime import datetime, timezone

from curation.lake import Lake
from curation.review import plan
from curation.review.rules import Shares
from curation.settings import REVIEW


@dataclass(frozen=True)
class RaterProgress:
    """One rater in one sample. `verdicts_per_hour`: over active time, pauses left out; None before two verdicts."""

    rater: str
    n_verdicts: int
    n_open: int
    verdicts_per_hour: float | None
    last_at: datetime | None


@dataclass(frozen=True)
class Progress:
    """A sample at one moment, in masks.

    `n_verdicts_wanted`: first and second opinions that the plan asks for; `n_verdicts_given`: of these. `left_s`:
    estimated working time until all are given, shared by those who hold tasks or judged within the last lease;
    None while nobody's speed is known, 0 when nothing is left.
    """

    sample: str
    n_drawn: int
    n_judged: int
    n_open: int
    n_double_wanted: int
    n_double_reviewed: int
    n_disagreements: int
    n_adjudicated: int
    n_verdicts_wanted: int
    n_verdicts_given: int
    left_s: float | None
    raters: tuple[RaterProgress, ...]


_UNDER_WAY = """
    SELECT DISTINCT sample
    FROM tasks
    ANTI JOIN current_verdicts USING (task_id)
    WHERE lease_until > $now AND purpose <> 'correct'
    ORDER BY sample
"""
_COUNTS = """
    SELECT
        count(*) AS n_judged,
        count(*) FILTER (WHERE n_raters >= 2) AS n_double_reviewed,
        count(*) FILTER (WHERE needs_adjudication) AS n_disagreements,
        count(*) FILTER (WHERE is_adjudicated) AS n_adjudicated
    FROM settled_verdicts
    WHERE sample = $sample
"""
_GIVEN = """
    SELECT mask_id, count(DISTINCT rater) AS n
    FROM current_verdicts
    WHERE sample = $sample AND purpose IN ('review', 'double_review') AND decision <> 'skip'
    GROUP BY mask_id
"""
_RATERS = """
    WITH judged AS (
        SELECT rater, given_at, epoch(given_at - lag(given_at) OVER (PARTITION BY rater ORDER BY given_at)) AS gap_s
        FROM current_verdicts
        WHERE sample = $sample
    ),

    speeds AS (
        SELECT
            rater,
            count(*) AS n_verdicts,
            max(given_at) AS last_at,
            3600 * count(*) FILTER (WHERE gap_s > 0 AND gap_s <= $break_s)
            / nullif(sum(gap_s) FILTER (WHERE gap_s <= $break_s), 0) AS verdicts_per_hour
        FROM judged
        GROUP BY rater
    ),

    held AS (
        SELECT rater, count(*) AS n_open
        FROM tasks
        ANTI JOIN current_verdicts USING (task_id)
        WHERE sample = $sample AND lease_until > $now
        GROUP BY rater
    )

    SELECT
        rater,
        coalesce(n_verdicts, 0) AS n_verdicts,
        coalesce(n_open, 0) AS n_open,
        verdicts_per_hour,
        last_at
    FROM speeds
    FULL JOIN held USING (rater)
    ORDER BY rater
"""


def under_way(lake: Lake, now: datetime | None = None) -> list[str]:
    """Samples of which somebody holds masks to judge."""
    return lake.query(_UNDER_WAY, {"now": now or datetime.now(timezone.utc)})["sample"].to_pylist()


def progress(lake: Lake, sample: str, now: datetime | None = None) -> Progress:
    """How far the sample is. Raises InputError where there is no such sample."""
    now = now or datetime.now(timezone.utc)
    planned = plan.of(lake, sample)
    counts = lake.query(_COUNTS, {"sample": sample}).to_pylist()[0]
    found = lake.query(_RATERS, {"sample": sample, "now": now, "break_s": REVIEW.break_gap_s}).to_pylist()
    raters = tuple(RaterProgress(**row) for row in found)
    given = dict(zip(*lake.query(_GIVEN, {"sample": sample}).to_pydict().values(), strict=True))
    wanted = {m.mask_id: 1 + (m.mask_id in planned.doubles) for m in planned.masks}
    n_wanted = sum(wanted.values())
    n_given = sum(min(given.get(mask_id, 0), n) for mask_id, n in wanted.items())
    return Progress(
        sample=sample,
        n_drawn=len(wanted),
        n_open=sum(rater.n_open for rater in raters),
        n_double_wanted=n_wanted - len(wanted),
        n_verdicts_wanted=n_wanted,
        n_verdicts_given=n_given,
        left_s=_left_s(n_wanted - n_given, raters, now, planned.shares),
        raters=raters,
        **counts,
    )


def _left_s(n_left: int, raters: tuple[RaterProgress, ...], now: datetime, shares: Shares) -> float | None:
    """Seconds until `n_left` opinions are given by those at work; hidden checks take their share of the time."""
    if n_left == 0:
        return 0.0
    at_work = [
        r
        for r in raters
        if r.n_open or (r.last_at is not None and (now - r.last_at).total_seconds() < REVIEW.lease_s)
    ]
    per_hour = sum(r.verdicts_per_hour or 0 for r in at_work or raters)
    useful_share = 1 - shares.gold_check - shares.repeat
    return 3600 * n_left / (per_hour * useful_share) if per_hour else None
