"""Drawn masks that their maker takes back: what a correction superseded stands again, an added mask is gone.

Rows are only added: the mask and how it was drawn stay where they are, a row of `withdrawn_masks` says that it does not
count, and a verdict takes the `fix` back that went with it.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import duckdb

from curation.errors import InputError
from curation.lake import Lake, insert
from curation.review.drawing import verdict_id_of
from curation.review.verdicts import Verdict, give_within
from curation.schemas import TABLES

_VERDICT_OF_WITHDRAWAL = uuid.UUID("0c6f8a52-8c0e-4d0f-9d0c-3b8a6a9f2e47")
_DRAWN = """
    SELECT drawn.mask_id, drawn.drawn_id, drawn.run_id, drawn.image_id, drawn.rater, drawn.supersedes, withdrawn_at
    FROM drawn_masks AS drawn
    LEFT JOIN withdrawn_masks USING (mask_id)
    WHERE drawn.drawn_id = ?
"""
_LATER = "SELECT rater, mask_id FROM current_drawn_masks WHERE supersedes = ?"
_JUDGES = "SELECT DISTINCT rater FROM current_verdicts WHERE mask_id = ? ORDER BY rater"
_SAMPLES = "SELECT DISTINCT sample FROM samples WHERE mask_id = ? ORDER BY sample"


@dataclass(frozen=True)
class Withdrawn:
    """What was taken back. `restored`: the mask that stands again; None where the mask was a new object."""

    mask_id: int
    restored: int | None


def withdraw(lake: Lake, drawn_id: str, rater: str, now: datetime | None = None) -> Withdrawn:
    """Take a drawn mask back, in one commit with the verdict that went with it.

    What its maker had said of the old mask before counts again. Taking it back twice changes nothing and answers
    the same. Raises InputError where there is no such mask, somebody else drew it, it was corrected or judged since,
    or it was drawn in a sample: then it is what others build on, and is corrected instead.
    """
    now = now or datetime.now(timezone.utc)
    there = _drawn(lake.con, drawn_id, rater)
    if there["withdrawn_at"] is None:
        lake.commit(lambda con: _withdraw(con, drawn_id, rater, now), f"drawn mask taken back by {rater}")
    return Withdrawn(there["mask_id"], there["supersedes"])


def _withdraw(con: duckdb.DuckDBPyConnection, drawn_id: str, rater: str, now: datetime) -> None:
    drawn = _drawn(con, drawn_id, rater)
    if drawn["withdrawn_at"] is not None:
        return
    _check_unused(con, drawn["mask_id"], rater)
    row = {name: drawn[name] for name in ("mask_id", "drawn_id", "run_id", "image_id", "rater")}
    insert(con, {"withdrawn_masks": TABLES["withdrawn_masks"].table([{**row, "withdrawn_at": now}])})
    _take_verdict_back(con, drawn_id, now)


def _drawn(con: duckdb.DuckDBPyConnection, drawn_id: str, rater: str) -> dict:
    found = con.execute(_DRAWN, [drawn_id]).to_arrow_table().to_pylist()
    if not found:
        raise InputError(f"drawn mask {drawn_id!r}: there is none that could be taken back")
    if found[0]["rater"] != rater:
        raise InputError(f"drawn mask {drawn_id} is of another rater: only who drew a mask takes it back")
    return found[0]


def _check_unused(con: duckdb.DuckDBPyConnection, mask_id: int, rater: str) -> None:
    """Raise InputError where something was built on the mask since it was saved."""
    later = con.execute(_LATER, [mask_id]).fetchone()
    if later is not None:
        by = "you" if later[0] == rater else later[0]
        raise InputError(f"corrected since by {by} (mask {later[1]}): it cannot be taken back, mend that one")
    judges = _names(con, _JUDGES, mask_id)
    if judges:
        raise InputError(f"judged since by {', '.join(judges)}: it cannot be taken back, mend it instead")
    samples = _names(con, _SAMPLES, mask_id)
    if samples:
        raise InputError(
            f"drawn in sample {', '.join(samples)} since: it cannot be taken back, mend it instead"
        )


def _names(con: duckdb.DuckDBPyConnection, sql: str, mask_id: int) -> Sequence[str]:
    return [name for (name,) in con.execute(sql, [mask_id]).fetchall()]


def _take_verdict_back(con: duckdb.DuckDBPyConnection, drawn_id: str, now: datetime) -> None:
    """Replace the `fix` of a correction by what its rater had said before, or by nothing, unless they said more since."""
    sql = """
        SELECT given.verdict_id, given.task_id, given.mask_id, given.rater, earlier.decision, earlier.rating,
            earlier.reasons, earlier.note
        FROM current_verdicts AS given
        LEFT JOIN verdicts AS earlier ON earlier.verdict_id = given.replaces AND earlier.decision <> 'withdrawn'
        WHERE given.verdict_id = ?
    """
    for fix in con.execute(sql, [verdict_id_of(drawn_id)]).to_arrow_table().to_pylist():
        verdict = Verdict(
            verdict_id=str(uuid.uuid5(_VERDICT_OF_WITHDRAWAL, drawn_id)),
            rater=fix["rater"],
            decision=fix["decision"] or "withdrawn",
            task_id=fix["task_id"],
            mask_id=fix["mask_id"],
            rating=fix["rating"],
            reasons=fix["reasons"] or (),
            note=fix["note"],
            replaces=fix["verdict_id"],
        )
        refused = give_within(con, [verdict], now).refused
        if refused:
            raise InputError(next(iter(refused.values())))
