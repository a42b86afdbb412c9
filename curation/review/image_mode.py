"""Image mode: who has which image open, and what people said of regions that no mask covers.

Two people who open one image are told of each other, and both may go on: nothing that they do is lost. The next image
is one that nobody else has open.
"""

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import duckdb

from curation.errors import InputError
from curation.lake import Lake, insert
from curation.schemas import TABLES
from curation.settings import REVIEW

NOTHING_MISSING = "nothing_missing"
_OPEN = "run_id = $run_id AND image_id = $image_id AND lease_until > $now"
_OTHERS = f"SELECT DISTINCT rater FROM image_leases WHERE {_OPEN} AND rater <> $rater ORDER BY rater"
_LEAVE = "UPDATE image_leases SET lease_until = $now WHERE rater = $rater AND lease_until > $now"
_STAY = f"UPDATE image_leases SET lease_until = $lease_until WHERE {_OPEN} AND rater = $rater"


@dataclass(frozen=True)
class Answer:
    """What a person said of one region, as a browser sends it: no object of it lacks a mask.

    `answer_id` is a UUID that the browser made. `bbox_xywh` in pixels and `share` of the image, 0..1, say which region.
    """

    answer_id: str
    rater: str
    run_id: int
    image_id: int
    bbox_xywh: Sequence[int]
    share: float


@dataclass(frozen=True)
class OpenImage:
    """An image that somebody has open now."""

    rater: str
    run_id: int
    image_id: int
    leased_at: datetime


@dataclass(frozen=True)
class Told:
    """Who has an image open now; answers that nothing is missing, and the images that they are about."""

    open_by: list[str]
    n_answers: int
    n_images: int


def lease(
    lake: Lake, rater: str, run_id: int, image_id: int, now: datetime | None = None, only_free: bool = False
) -> list[str]:
    """Open an image, and leave the one before; returns who else has it open.

    With `only_free` an image that others have open is not opened. A person has one image open at a time.
    """
    now = now or datetime.now(timezone.utc)

    def work(con: duckdb.DuckDBPyConnection) -> list[str]:
        others = _others(con, rater, run_id, image_id, now)
        if others and only_free:
            return others
        con.execute(_LEAVE, {"rater": rater, "now": now})
        row = {
            "lease_id": str(uuid.uuid4()),
            "run_id": run_id,
            "image_id": image_id,
            "rater": rater,
            "leased_at": now,
            "lease_until": now + timedelta(seconds=REVIEW.lease_s),
        }
        insert(con, {"image_leases": TABLES["image_leases"].table([row])})
        return others

    return lake.commit(work, f"image opened by {rater}")


def leave(lake: Lake, rater: str, now: datetime | None = None) -> None:
    """Close what the rater has open."""
    now = now or datetime.now(timezone.utc)
    lake.commit(lambda con: con.execute(_LEAVE, {"rater": rater, "now": now}), f"images left by {rater}")


def stay(lake: Lake, rater: str, run_id: int, image_id: int, now: datetime | None = None) -> list[str]:
    """Let the rater's lease of an image run anew, as an open page does; returns who else has it open.

    A lease that ended meanwhile is taken anew.
    """
    now = now or datetime.now(timezone.utc)
    asked = {"rater": rater, "run_id": run_id, "image_id": image_id, "now": now}
    mine = lake.query(f"SELECT 1 FROM image_leases WHERE {_OPEN} AND rater = $rater", asked)
    if not mine.num_rows:
        return lease(lake, rater, run_id, image_id, now)
    until = now + timedelta(seconds=REVIEW.lease_s)
    lake.commit(
        lambda con: con.execute(_STAY, {**asked, "lease_until": until}), f"image kept open by {rater}"
    )
    return _others(lake.con, rater, run_id, image_id, now)


def open_images(lake: Lake, now: datetime | None = None) -> list[OpenImage]:
    """What people have open now, those who opened first before others."""
    now = now or datetime.now(timezone.utc)
    rows = lake.query(
        """
        SELECT rater, run_id, image_id, leased_at
        FROM image_leases
        WHERE lease_until > $now
        ORDER BY leased_at, lease_id
        """,
        {"now": now},
    )
    return [OpenImage(**row) for row in rows.to_pylist()]


def told(lake: Lake, now: datetime | None = None) -> Told:
    """Image mode in three numbers."""
    open_by = sorted({one.rater for one in open_images(lake, now)})
    sql = "SELECT count(*) AS n, count(DISTINCT image_id) AS n_images FROM uncovered_answers"
    (row,) = lake.query(sql).to_pylist()
    return Told(open_by, row["n"], row["n_images"])


def answer(lake: Lake, given: Answer, now: datetime | None = None) -> None:
    """Keep an answer; keeping it again changes nothing. Raises InputError where it names no image or no region."""
    now = now or datetime.now(timezone.utc)
    _check(given)
    lake.commit(lambda con: _answer(con, given, now), f"uncovered region answered by {given.rater}")


def _answer(con: duckdb.DuckDBPyConnection, given: Answer, now: datetime) -> None:
    there = con.execute(
        "SELECT rater FROM uncovered_answers WHERE answer_id = ?", [given.answer_id]
    ).fetchone()
    if there is not None:
        if there[0] != given.rater:
            raise InputError(f"answer {given.answer_id} is of another rater: make a new id")
        return
    image = [given.run_id, given.image_id]
    if con.execute("SELECT 1 FROM images WHERE run_id = ? AND image_id = ?", image).fetchone() is None:
        raise InputError(f"run {given.run_id} has no image {given.image_id}")
    row = {
        "answer_id": given.answer_id,
        "run_id": given.run_id,
        "image_id": given.image_id,
        "rater": given.rater,
        "answer": NOTHING_MISSING,
        "bbox_xywh": [int(value) for value in given.bbox_xywh],
        "share": given.share,
        "given_at": now,
    }
    insert(con, {"uncovered_answers": TABLES["uncovered_answers"].table([row])})


def answered(lake: Lake, rater: str, run_id: int, image_id: int) -> list[list[int]]:
    """Boxes of the regions of an image of which this rater said that nothing is missing."""
    rows = lake.query(
        """
        SELECT DISTINCT bbox_xywh
        FROM uncovered_answers
        WHERE rater = $rater AND run_id = $run_id AND image_id = $image_id
        """,
        {"rater": rater, "run_id": run_id, "image_id": image_id},
    )
    return rows["bbox_xywh"].to_pylist()


def _check(given: Answer) -> None:
    try:
        uuid.UUID(given.answer_id)
    except (ValueError, AttributeError, TypeError):
        raise InputError(f"answer_id {given.answer_id!r} is no UUID") from None
    if not given.rater.strip():
        raise InputError("answer: the rater has no name")
    numbers = (*given.bbox_xywh, given.share)
    is_region = len(given.bbox_xywh) == 4 and all(math.isfinite(v) and v >= 0 for v in numbers)
    if not is_region or given.share > 1:
        raise InputError(
            f"region with box {list(given.bbox_xywh)} and share {given.share}: write x, y, width, height in px, and 0 to 1"
        )


def _others(
    con: duckdb.DuckDBPyConnection, rater: str, run_id: int, image_id: int, now: datetime
) -> list[str]:
    asked = {"rater": rater, "run_id": run_id, "image_id": image_id, "now": now}
    return [name for (name,) in con.execute(_OTHERS, asked).fetchall()]
