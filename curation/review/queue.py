"""Masks handed to raters as leases: the right one to the right person, blind, none to two by chance.

A task is a lease of one mask to one rater. It is done when a current verdict names it; a lease that ends without one
frees the mask. All that a call reads and writes happens in one commit of the lake, and commits come one after
another, so two raters who ask at once get different masks.

Tasks of purpose `gold_check` and `repeat` are hidden: a rater must not see the purpose of a task.
"""

import math
import uuid
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from itertools import islice

import duckdb

from curation.errors import InputError
from curation.lake import Lake, insert
from curation.review import batches, checks, plan
from curation.review.checks import Hidden
from curation.review.plan import Drawn, Plan
from curation.review.progress import Progress, RaterProgress, progress
from curation.review.state import State
from curation.schemas import TABLES
from curation.settings import REVIEW

__all__ = [
    "ALL",
    "ROUTINE",
    "Progress",
    "RaterProgress",
    "Task",
    "next_tasks",
    "open_tasks",
    "progress",
    "release",
    "renew",
    "wants_second_opinion",
]

#: What every rater is given; hidden checks come with it.
ROUTINE = frozenset({"review", "double_review"})
#: What a curator or adjudicator may be given; decisions between raters come first.
ALL = ROUTINE | {"adjudicate", "correct"}
#: A rater who takes long, or shares the last masks with others, is still given so many.
LEAST_TASKS = 5


@dataclass(frozen=True)
class Task:
    """One mask leased to one rater. `purpose` is not for the rater's eyes."""

    task_id: str
    sample: str
    mask_id: int
    run_id: int
    image_id: int
    purpose: str
    lease_until: datetime
    is_small: bool = False


def next_tasks(
    lake: Lake,
    rater: str,
    sample: str,
    n: int = REVIEW.tasks_at_once,
    now: datetime | None = None,
    purposes: Collection[str] = ROUTINE,
) -> list[Task]:
    """Lease up to `n` more masks of the sample to the rater, in the order in which to show them.

    `purposes` says what this person may be given: ROUTINE, or ALL with decisions between raters (first of all) and
    masks to redraw; of a re-annotation batch every mask is to redraw (`batches`). A rater never gets a mask of the
    sample twice, but for hidden repeats. Fewer than `n` come to somebody who takes long or holds open tasks; masks under `small_px` come after all others, in batches of their own.
    An empty list: judge the open tasks first (`open_tasks`), or nothing is left. Raises InputError for an unknown
    sample or purpose, a rater without a name, or n < 1.
    """
    _check(rater, n, purposes)
    now = now or datetime.now(timezone.utc)
    planned = plan.of(lake, sample)
    pool = checks.gold_pool(lake, planned) if "review" in purposes else ()

    def work(con: duckdb.DuckDBPyConnection) -> list[Task]:
        state = State.read(con, sample, rater, now)
        chosen = _choose(con, state, planned, pool, n, frozenset(purposes))
        lease_until = now + timedelta(seconds=REVIEW.lease_s)
        tasks = [
            Task(str(uuid.uuid4()), sample, m.mask_id, m.run_id, m.image_id, purpose, lease_until, m.is_small)
            for m, purpose in chosen
        ]
        rows = [{**asdict(task), "rater": rater, "leased_at": now} for task in tasks]
        for row in rows:
            del row["is_small"]
        insert(con, {"tasks": TABLES["tasks"].table(rows)})
        return tasks

    return lake.commit(work, f"tasks of {sample} for {rater}")


def open_tasks(lake: Lake, rater: str, sample: str, now: datetime | None = None) -> list[Task]:
    """What the rater holds and has not judged, in the order in which it was handed out: what a new page shows first."""
    now = now or datetime.now(timezone.utc)
    small = {m.mask_id for m in plan.of(lake, sample).masks if m.is_small}
    rows = lake.query(
        """
        SELECT task_id, sample, mask_id, run_id, image_id, purpose, lease_until
        FROM tasks
        ANTI JOIN current_verdicts USING (task_id)
        WHERE sample = $sample AND rater = $rater AND lease_until > $now
        ORDER BY leased_at, task_id
        """,
        {"sample": sample, "rater": rater, "now": now},
    ).to_pylist()
    return [Task(**row, is_small=row["mask_id"] in small) for row in rows]


def wants_second_opinion(lake: Lake, rater: str, sample: str) -> bool:
    """Whether a mask of the sample that somebody else has judged is to be judged by a second person, as this one."""
    rows = lake.query(
        """
        SELECT mask_id
        FROM current_verdicts
        WHERE sample = $sample AND purpose IN ('review', 'double_review') AND decision <> 'skip'
        GROUP BY mask_id
        HAVING count(DISTINCT rater) = 1 AND NOT bool_or(rater = $rater)
        """,
        {"sample": sample, "rater": rater},
    )
    return not plan.of(lake, sample).doubles.isdisjoint(rows["mask_id"].to_pylist())


def renew(lake: Lake, rater: str, sample: str, now: datetime | None = None) -> datetime:
    """Let the rater's open leases run anew from now, as an open page does; returns their new end."""
    now = now or datetime.now(timezone.utc)
    lease_until = now + timedelta(seconds=REVIEW.lease_s)
    _end_leases(lake, rater, sample, now, lease_until, f"leases of {rater} renewed")
    return lease_until


def release(lake: Lake, rater: str, sample: str, now: datetime | None = None) -> None:
    """Give the rater's open leases back at once. Verdicts that still come count."""
    now = now or datetime.now(timezone.utc)
    _end_leases(lake, rater, sample, now, now, f"leases of {rater} given back")


def _end_leases(
    lake: Lake, rater: str, sample: str, now: datetime, lease_until: datetime, message: str
) -> None:
    lake.commit(
        lambda con: con.execute(
            """
            UPDATE tasks SET lease_until = $lease_until
            WHERE sample = $sample AND rater = $rater AND lease_until > $now
                AND task_id NOT IN (SELECT task_id FROM current_verdicts WHERE task_id IS NOT NULL)
            """,
            {"sample": sample, "rater": rater, "now": now, "lease_until": lease_until},
        ),
        message,
    )


def _check(rater: str, n: int, purposes: Collection[str]) -> None:
    if not rater.strip():
        raise InputError("tasks: the rater has no name; give one")
    if n < 1:
        raise InputError(f"tasks: {n} were asked for; at least 1")
    unknown = sorted(set(purposes) - ALL)
    if unknown:
        raise InputError(f"tasks: purpose {unknown[0]!r}; allowed: {', '.join(sorted(ALL))}")


def _choose(
    con: duckdb.DuckDBPyConnection,
    state: State,
    planned: Plan,
    pool: tuple[Hidden, ...],
    n: int,
    purposes: frozenset[str],
) -> list[tuple[Drawn, str]]:
    """Masks and purposes to hand out now."""
    if "correct" in purposes and (batch := batches.find(con, state.sample)):
        return _of_batch(con, state, planned, n, batch)
    chosen: list[tuple[Drawn, str]] = []
    for purpose in ("adjudicate", "correct"):
        if purpose in purposes:
            waiting = state.waiting(con, purpose)
            chosen += [(m, purpose) for m in planned.masks if m.mask_id in waiting]
    if not purposes & ROUTINE:
        return chosen[:n]  # asked for by itself, whatever the rater holds for review
    if chosen:
        return chosen[: max(0, min(n, _cap(state) - state.n_open))]
    # Enough to tell whether the masks run out; a large sample is not walked to its end.
    n_enough = math.ceil(2 * REVIEW.tasks_at_once / state.speed_share)
    free = list(islice(_free(state, planned, purposes), n_enough))
    n_more = min(n, _allowance(state, len(free)) - state.n_open)
    # Small masks are judged apart: a batch holds either kind.
    batch = [(m, purpose) for m, purpose in free if m.is_small == free[0][0].is_small]
    return checks.mix(batch, max(0, n_more), planned, state, pool)


def _of_batch(
    con: duckdb.DuckDBPyConnection, state: State, planned: Plan, n: int, batch: batches.Batch
) -> list[tuple[Drawn, str]]:
    """Masks of a re-annotation batch: every mask is to be redrawn, by its annotators alone."""
    offer = batches.offered(con, state, batch)
    n_more = min(n, min(_cap(state), offer.n_most) - state.n_mending)
    return [(planned.by_id[mask_id], "correct") for mask_id in offer.mask_ids[: max(0, n_more)]]


def _free(state: State, planned: Plan, purposes: frozenset[str]) -> Iterator[tuple[Drawn, str]]:
    """Masks that this rater may judge now, in the rater's order, with the purpose that each would have."""
    for mask in plan.order(planned, state.rater):
        if mask.mask_id in state.seen:
            continue
        held = state.held.get(mask.mask_id, ())
        if len(held) >= (2 if mask.mask_id in planned.doubles else 1):
            continue
        purpose = "double_review" if "review" in held else "review"
        if purpose in purposes:
            yield mask, purpose


def _cap(state: State) -> int:
    """Most tasks a rater may hold: what half a lease suffices for at the rater's speed."""
    if state.median_s is None:
        return REVIEW.tasks_at_once
    in_half_a_lease = REVIEW.lease_s / 2 / max(state.median_s, 0.1)
    return int(min(max(in_half_a_lease, LEAST_TASKS), 2 * REVIEW.tasks_at_once))


def _allowance(state: State, n_free: int) -> int:
    """Most tasks to hold where others are at work too: of the last masks each gets a part by speed."""
    part = math.ceil((n_free + state.n_open) * state.speed_share)
    return max(LEAST_TASKS, min(_cap(state), part))
