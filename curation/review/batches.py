"""Re-annotation batches: masks that go back to people, each to be corrected, accepted as it is, or rejected.

A batch is a purposive sample with a row in `batches`. Each of its masks is wanted of one person, some of two, who both
start from the same mask and do not see each other's work. Where annotators are named, each has an equal share, images
kept together; who is done with the own share helps the one who has most left.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb

from curation.errors import InputError
from curation.lake import Lake
from curation.review.state import State

#: Strata of a batch's sample: how many people each mask is wanted of.
ONE, TWO = "one_person", "two_people"
#: Masks of one image that go to one annotator together: the picture is opened and encoded once for them, and an
#: image with a hundred masks still does not fall to one person.
TOGETHER = 10

_WAITING = """
    WITH answered AS (
        SELECT sample, mask_id, count(DISTINCT rater) AS n, bool_or(rater = $rater) AS is_mine
        FROM current_verdicts
        WHERE purpose = 'correct' AND decision <> 'skip'
        GROUP BY sample, mask_id
    )

    SELECT batch, count(*) AS n_masks
    FROM batches
    INNER JOIN samples ON samples.sample = batches.batch
    LEFT JOIN answered ON answered.sample = samples.sample AND answered.mask_id = samples.mask_id
    WHERE
        (len(annotators) = 0 OR list_contains(annotators, $rater))
        AND coalesce(answered.n, 0) < CASE WHEN stratum = $two THEN 2 ELSE 1 END
        AND NOT coalesce(is_mine, FALSE)
        AND NOT EXISTS (
            SELECT 1 FROM current_drawn_masks AS drawn
            WHERE drawn.supersedes = samples.mask_id AND drawn.sample IS DISTINCT FROM batches.batch
        )
    GROUP BY batch, due_at, batches.opened_at
    ORDER BY due_at NULLS LAST, batches.opened_at, batch
"""


@dataclass(frozen=True)
class Batch:
    """A row of `batches`."""

    batch: str
    purpose: str
    cluster: int | None
    search_id: int | None
    annotators: tuple[str, ...]
    double_share: float
    due_at: datetime | None
    n_masks: int
    snapshot_id: int
    opened_by: str | None
    opened_at: datetime

    def check_annotator(self, rater: str) -> None:
        """Raise InputError for somebody whom the batch is not for."""
        if self.annotators and rater not in self.annotators:
            raise InputError(
                f"batch {self.batch} is for {', '.join(self.annotators)}; {rater!r} is none of them"
            )


@dataclass(frozen=True)
class Place:
    """One mask of a batch, in the order of the work, and how many people are to correct it."""

    mask_id: int
    run_id: int
    image_id: int
    n_people: int


def find(con: duckdb.DuckDBPyConnection, name: str) -> Batch | None:
    """The batch of that name; None for a sample that is none."""
    rows = con.execute("SELECT * FROM batches WHERE batch = ?", [name]).to_arrow_table().to_pylist()
    return Batch(**{**rows[0], "annotators": tuple(rows[0]["annotators"])}) if rows else None


def get(lake: Lake, name: str) -> Batch:
    """The batch of that name. Raises InputError with those that there are."""
    found = find(lake.con, name)
    if found is None:
        there = lake.query("SELECT batch FROM batches ORDER BY opened_at, batch")["batch"].to_pylist()
        raise InputError(f"no batch {name!r}; there are: {', '.join(there) or 'none'}")
    return found


def places(con: duckdb.DuckDBPyConnection, name: str) -> list[Place]:
    """The masks of a batch in the order of the work."""
    rows = con.execute(
        "SELECT mask_id, run_id, image_id, stratum FROM samples WHERE sample = ? ORDER BY position", [name]
    ).fetchall()
    return [Place(*row, n_people=2 if stratum == TWO else 1) for *row, stratum in rows]


def corrected_elsewhere(con: duckdb.DuckDBPyConnection, name: str) -> set[int]:
    """Masks of a batch that somebody has corrected outside of it."""
    rows = con.execute(
        """
        SELECT DISTINCT drawn.supersedes
        FROM current_drawn_masks AS drawn
        INNER JOIN samples ON samples.mask_id = drawn.supersedes
        WHERE samples.sample = $name AND drawn.sample IS DISTINCT FROM $name
        """,
        {"name": name},
    ).fetchall()
    return {mask_id for (mask_id,) in rows}


def names(lake: Lake) -> set[str]:
    """All batches."""
    return set(lake.query("SELECT batch FROM batches")["batch"].to_pylist())


def waiting(lake: Lake, rater: str) -> dict[str, int]:
    """Batches with masks that this person may still answer, and how many; the one that is due first stands first."""
    rows = lake.query(_WAITING, {"rater": rater, "two": TWO})
    return dict(zip(rows["batch"].to_pylist(), rows["n_masks"].to_pylist(), strict=True))


# -- who does what ---------------------------------------------------------------------------------


def shares(of: Sequence[Place], annotators: Sequence[str]) -> dict[int, tuple[str, ...]]:
    """The annotators of each mask: up to TOGETHER masks of an image to whoever has least so far, equal loads in the end.

    A mask wanted of two people has two of them. Without annotators nobody owns anything.
    """
    if not annotators:
        return {}
    load: Counter[str] = Counter(dict.fromkeys(annotators, 0))
    owners: dict[int, tuple[str, ...]] = {}
    group: tuple[int | None, int] = (None, 0)
    first = annotators[0]
    for place in of:
        image_id, n = group
        is_new = place.image_id != image_id or n == TOGETHER
        if is_new:
            first = min(annotators, key=lambda name: load[name])
        group = (place.image_id, 1 if is_new else n + 1)
        chosen = [first]
        if place.n_people == 2:
            chosen.append(min((a for a in annotators if a != first), key=lambda name: load[name]))
        load.update(chosen)
        owners[place.mask_id] = tuple(chosen)
    return owners


@dataclass(frozen=True)
class Offer:
    """Masks that somebody may be given now, in this order, and how many of them to hold at once, those held included."""

    mask_ids: Sequence[int]
    n_most: int


def offered(con: duckdb.DuckDBPyConnection, state: State, batch: Batch) -> Offer:
    """What this rater may be given now, in the order of the work: the own share; else, and without shares, what is left.

    None that the rater has answered, skipped or holds, none that as many others as are wanted hold or have answered,
    none that was corrected outside of the batch. Of what is nobody's own, an equal part at once: nobody hoards the
    last ones. Raises InputError for somebody whom the batch is not for.
    """
    batch.check_annotator(state.rater)
    of = places(con, batch.batch)
    gone = corrected_elsewhere(con, batch.batch)
    gone |= {mask_id for mask_id, purpose, _ in state.own if purpose == "correct"}
    free = [
        place
        for place in of
        if place.mask_id not in gone
        and state.rater not in (at_it := state.mending.get(place.mask_id, set()))
        and len(at_it) < place.n_people
    ]
    owners = shares(of, batch.annotators)
    mine = [place.mask_id for place in free if state.rater in owners.get(place.mask_id, ())]
    if mine:
        return Offer(mine, len(mine) + state.n_mending)
    left = _to_help(free, owners, state) if owners else [place.mask_id for place in free]
    n_people = len(batch.annotators) or len(state.active | {state.rater})
    return Offer(left, max(1, math.ceil((len(left) + state.n_mending) / n_people)))


def _to_help(free: Sequence[Place], owners: dict[int, tuple[str, ...]], state: State) -> list[int]:
    """Masks of whoever has most left, from the end of their share, so that both do not meet."""
    left: dict[str, list[int]] = {}
    for place in free:
        for owner in owners[place.mask_id]:
            if owner not in state.mending.get(place.mask_id, ()):
                left.setdefault(owner, []).append(place.mask_id)
    return max(left.values(), key=len)[::-1] if left else []
