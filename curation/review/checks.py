"""Hidden checks of a rater: masks whose right answer gold knows, and masks that the rater has judged before.

They come at set shares of what a rater sees. Which masks they follow is a hash of seed, rater and mask, so over many
masks the shares are met, and nothing about order or speed can shift them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from curation.lake import Lake
from curation.review.plan import Drawn, Plan, fraction
from curation.review.state import State
from curation.settings import REVIEW

#: Gold masks kept for checks, of each kind: with 5 % of the tasks, enough for 20,000 masks a rater.
MOST_GOLD = 1_000
#: What is due and could not be given yet (nothing was judged long enough ago) is made up for slowly, never in a row.
CATCH_UP_SHARE = 0.25


@dataclass(frozen=True)
class Hidden:
    """A mask with a known answer. `is_near`: its image holds masks of the sample."""

    mask: Drawn
    is_good: bool
    is_near: bool


_POOLS: dict[tuple, tuple[Hidden, ...]] = {}


def gold_pool(lake: Lake, plan: Plan) -> tuple[Hidden, ...]:
    """Masks of the sample's runs, outside the sample, of which gold says clearly whether they are good.

    The highest IoU with any gold mask decides: `gold_check_good_iou` or more is good, under `gold_check_bad_iou` is bad, and
    what lies between is no check. Empty where there is no gold. Read once a process, and again when gold came.
    """
    n_matches = lake.query("SELECT count(*) FROM gold_matches")[0][0].as_py()
    key = (str(lake.root), plan.sample, len(plan.masks), n_matches)
    if key not in _POOLS:
        _POOLS[key] = tuple(_read_pool(lake, plan)) if n_matches else ()
    return _POOLS[key]


def mix(
    batch: Sequence[tuple[Drawn, str]], n: int, plan: Plan, state: State, pool: Iterable[Hidden]
) -> list[tuple[Drawn, str]]:
    """Up to `n` tasks: the batch in its order, with hidden checks that are due behind masks of it."""
    if not batch:
        return []
    is_small = batch[0][0].is_small
    hidden = {
        "gold_check": _gold_checks(plan, state, pool, is_small),
        "repeat": _repeats(plan, state, is_small),
    }
    opinions = state.handed.get("review", set()) | state.handed.get("double_review", set())
    due = {
        kind: sum(plan.is_marked(kind, state.rater, mask_id) for mask_id in opinions)
        - len(state.handed.get(kind, ()))
        for kind in hidden
    }
    mixed: list[tuple[Drawn, str]] = []
    for mask, purpose in batch:
        group = [(mask, purpose)]
        for kind, waiting in hidden.items():
            is_marked = plan.is_marked(kind, state.rater, mask.mask_id)
            due[kind] += is_marked and mask.mask_id not in opinions
            catches_up = fraction("catch up", kind, state.rater, mask.mask_id) < CATCH_UP_SHARE
            if due[kind] > 0 and (is_marked or catches_up) and (check := next(waiting, None)):
                group.append((check, kind))
                due[kind] -= 1
        if mixed and len(mixed) + len(group) > n:
            break  # a mask and its checks stay together, however many tasks are asked for at once
        mixed += group
        if len(mixed) >= n:
            break
    return mixed[:n]


def _gold_checks(plan: Plan, state: State, pool: Iterable[Hidden], is_small: bool) -> Iterator[Drawn]:
    """Checks that this rater has not seen, from images outside the sample first, good and bad in turn by hash."""
    fresh = [h for h in pool if h.mask.mask_id not in state.known and h.mask.is_small == is_small]
    fresh.sort(key=lambda h: (h.is_near, fraction("gold", plan.seed, state.rater, h.mask.mask_id)))
    kinds = {is_good: [h.mask for h in fresh if h.is_good == is_good] for is_good in (True, False)}
    while any(kinds.values()):
        n_left = len(kinds[True]) + len(kinds[False])
        is_good = fraction("gold kind", plan.seed, state.rater, n_left) < 0.5
        yield (kinds[is_good] or kinds[not is_good]).pop(0)


def _repeats(plan: Plan, state: State, is_small: bool) -> Iterator[Drawn]:
    """Masks that this rater judged at least `repeat_after` verdicts ago and was not asked about again."""
    drawn = {m.mask_id: m for m in plan.masks}
    long_ago = state.own[: max(0, len(state.own) - REVIEW.repeat_after)]
    again = state.handed.get("repeat", set())
    ids = [
        mask_id
        for mask_id, purpose, decision in long_ago
        if purpose in ("review", "double_review") and decision != "skip" and mask_id not in again
    ]
    ids.sort(key=lambda mask_id: fraction("again", plan.seed, state.rater, mask_id))
    return iter([drawn[i] for i in ids if i in drawn and drawn[i].is_small == is_small])


def _read_pool(lake: Lake, plan: Plan) -> Iterator[Hidden]:
    rows = lake.query(
        """
        WITH drawn AS (SELECT run_id, image_id, mask_id FROM samples WHERE sample = $sample),

        known AS (
            SELECT run_id, image_id, mask_id, max(gold_iou) AS gold_iou
            FROM gold_comparisons
            WHERE mask_id IS NOT NULL AND run_id IN (SELECT run_id FROM drawn)
            GROUP BY run_id, image_id, mask_id
            HAVING bool_and(is_compared)
        )

        SELECT
            known.*,
            gold_iou >= $good AS is_good,
            image_id IN (SELECT image_id FROM drawn) AS is_near,
            masks.area_px < $small_px AS is_small
        FROM known
        INNER JOIN masks USING (run_id, image_id, mask_id)
        WHERE (gold_iou >= $good OR gold_iou < $bad) AND mask_id NOT IN (SELECT mask_id FROM drawn)
        QUALIFY row_number() OVER (PARTITION BY is_good, is_small ORDER BY is_near, md5(mask_id || $sample)) <= $most
        ORDER BY mask_id
        """,
        {
            "sample": plan.sample,
            "good": REVIEW.gold_check_good_iou,
            "bad": REVIEW.gold_check_bad_iou,
            "small_px": REVIEW.small_px,
            "most": MOST_GOLD,
        },
    ).to_pylist()
    for row in rows:
        mask = Drawn(row["mask_id"], row["run_id"], row["image_id"], -1, row["is_small"])
        yield Hidden(mask, row["is_good"], row["is_near"])
