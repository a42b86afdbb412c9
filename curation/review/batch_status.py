"""How far re-annotation batches are: masks, people, speed, agreement of two people, conflicts, and whether they are late."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np
import pyarrow as pa

from curation.lake import Lake
from curation.review import agreement, batches
from curation.review.batches import Batch, Place
from curation.review.intervals import Interval, of_totals

BATCHES = pa.schema(
    [
        ("batch", pa.string()),
        ("state", pa.string()),
        ("n_masks", pa.int64()),
        ("n_images", pa.int64()),
        ("n_done", pa.int64()),
        ("n_open", pa.int64()),
        ("n_corrected", pa.int64()),
        ("n_accepted", pa.int64()),
        ("n_rejected", pa.int64()),
        ("n_conflicts", pa.int64()),
        ("n_answers_wanted", pa.int64()),
        ("n_answers", pa.int64()),
        ("s_per_mask", pa.float64()),
        ("s_per_mask_low", pa.float64()),
        ("s_per_mask_high", pa.float64()),
        ("iou_of_two", pa.float64()),
        ("iou_of_two_low", pa.float64()),
        ("iou_of_two_high", pa.float64()),
        ("n_of_two", pa.int64()),
        ("n_of_two_images", pa.int64()),
        ("cluster", pa.int32()),
        ("purpose", pa.string()),
        ("opened_at", pa.timestamp("us", "UTC")),
        ("due_at", pa.timestamp("us", "UTC")),
        ("late_h", pa.float64()),
        ("design", pa.string()),
    ]
)
ANNOTATORS = pa.schema(
    [
        ("annotator", pa.string()),
        ("n_share", pa.int64()),
        ("n_answers", pa.int64()),
        ("n_open", pa.int64()),
        ("n_corrected", pa.int64()),
        ("n_accepted", pa.int64()),
        ("n_rejected", pa.int64()),
        ("s_per_mask", pa.float64()),
        ("s_per_mask_low", pa.float64()),
        ("s_per_mask_high", pa.float64()),
        ("n_timed", pa.int64()),
        ("n_images", pa.int64()),
        ("last_at", pa.timestamp("us", "UTC")),
        ("design", pa.string()),
    ]
)
DESIGN = "masks of the batch that were answered with a time (files that were merged have none); cluster bootstrap, image as cluster"
#: Decision -> what it is called here.
_CALLED = {"fix": "n_corrected", "accept": "n_accepted", "reject": "n_rejected"}

_ANSWERS = """
    SELECT mask_id, image_id, rater, decision, took_s, given_at
    FROM current_verdicts
    WHERE sample = $name AND purpose = 'correct' AND decision <> 'skip'
"""
_OPEN = """
    SELECT rater, count(*) AS n
    FROM tasks
    ANTI JOIN current_verdicts USING (task_id)
    WHERE sample = $name AND purpose = 'correct' AND lease_until > $now
    GROUP BY rater
"""


@dataclass(frozen=True)
class _State:
    """What is known of one batch."""

    batch: Batch
    places: Sequence[Place]
    answers: Sequence[dict]
    open: Counter[str]
    gone: set[int]

    @classmethod
    def read(cls, lake: Lake, name: str, now: datetime) -> "_State":
        held = lake.query(_OPEN, {"name": name, "now": now}).to_pylist()
        return cls(
            batches.get(lake, name),
            batches.places(lake.con, name),
            lake.query(_ANSWERS, {"name": name}).to_pylist(),
            Counter({row["rater"]: row["n"] for row in held}),
            batches.corrected_elsewhere(lake.con, name),
        )

    @property
    def n_done(self) -> int:
        """Masks that as many people have answered as are wanted, or that were corrected outside of the batch."""
        people = defaultdict(set)
        for row in self.answers:
            people[row["mask_id"]].add(row["rater"])
        return sum(p.mask_id in self.gone or len(people[p.mask_id]) >= p.n_people for p in self.places)


def status(lake: Lake, name: str | None = None, now: datetime | None = None) -> pa.Table:
    """A row a batch (BATCHES), the oldest first. `state` is done, open or late. Raises InputError for no such batch.

    Masks that two people answered count once for each of their decisions. `n_conflicts`: masks that were corrected
    outside of the batch since it was opened. `iou_of_two`: mean IoU of what two people drew from the same mask.
    """
    now = now or datetime.now(timezone.utc)
    listed = lake.query("SELECT batch FROM batches ORDER BY opened_at, batch")["batch"].to_pylist()
    names = listed if name is None else [batches.get(lake, name).batch]
    rows = [_batch_row(lake, _State.read(lake, one, now), now) for one in names]
    return pa.Table.from_pylist(rows, schema=BATCHES)


def annotators(lake: Lake, name: str, now: datetime | None = None) -> pa.Table:
    """A row an annotator of a batch (ANNOTATORS): whoever has a share of it, an answer, or a lease."""
    now = now or datetime.now(timezone.utc)
    state = _State.read(lake, name, now)
    owners = batches.shares(state.places, state.batch.annotators)
    share = Counter(owner for of_mask in owners.values() for owner in of_mask)
    named = {*state.batch.annotators, *state.open, *(row["rater"] for row in state.answers)}
    rows = []
    for who in sorted(named):
        answers = [row for row in state.answers if row["rater"] == who]
        rows.append(
            {
                "annotator": who,
                "n_share": share[who] if owners else None,
                "n_answers": len(answers),
                "n_open": state.open[who],
                **_decisions(answers),
                **_speed(answers),
                "n_timed": sum(row["took_s"] > 0 for row in answers),
                "n_images": len({row["image_id"] for row in answers}),
                "last_at": max((row["given_at"] for row in answers), default=None),
                "design": DESIGN,
            }
        )
    return pa.Table.from_pylist(rows, schema=ANNOTATORS)


def _batch_row(lake: Lake, state: _State, now: datetime) -> dict:
    batch = state.batch
    is_done = state.n_done == len(state.places)
    is_late = not is_done and batch.due_at is not None and now > batch.due_at
    return {
        "batch": batch.batch,
        "state": "done" if is_done else "late" if is_late else "open",
        "n_masks": len(state.places),
        "n_images": len({place.image_id for place in state.places}),
        "n_done": state.n_done,
        "n_open": sum(state.open.values()),
        **_decisions(state.answers),
        "n_conflicts": len(state.gone),
        "n_answers_wanted": sum(place.n_people for place in state.places),
        "n_answers": len(state.answers),
        **_speed(state.answers),
        **_of_two(lake, batch.batch),
        "cluster": batch.cluster,
        "purpose": batch.purpose,
        "opened_at": batch.opened_at,
        "due_at": batch.due_at,
        "late_h": (now - batch.due_at).total_seconds() / 3600 if is_late else None,
        "design": DESIGN,
    }


def _decisions(answers: Iterable[dict]) -> dict[str, int]:
    counts = Counter(row["decision"] for row in answers)
    return {called: counts[decision] for decision, called in _CALLED.items()}


def _speed(answers: Iterable[dict]) -> dict[str, float | None]:
    """Mean seconds a mask and its bounds; None where no answer has a time."""
    sums: dict[int, list[float]] = {}
    for row in answers:
        if row["took_s"] > 0:
            of_image = sums.setdefault(row["image_id"], [0.0, 0])
            of_image[0] += row["took_s"]
            of_image[1] += 1
    found = Interval(None, None, None, 0)
    if sums:
        found = of_totals(np.array(list(sums.values())), lambda s: s[:, 0] / s[:, 1], (0, np.inf))
    return {"s_per_mask": found.estimate, "s_per_mask_low": found.low, "s_per_mask_high": found.high}


def _of_two(lake: Lake, name: str) -> dict[str, float | int | None]:
    """IoU of the corrections that two people made of the same mask."""
    rows = agreement.agreement(lake, name).to_pylist()
    row = next((row for row in rows if row["figure"] == "iou" and row["rater"] is None), {})
    return {
        "iou_of_two": row.get("estimate"),
        "iou_of_two_low": row.get("low"),
        "iou_of_two_high": row.get("high"),
        "n_of_two": row.get("n_masks", 0),
        "n_of_two_images": row.get("n_images", 0),
    }
