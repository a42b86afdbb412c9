"""Verdicts: what a person said of a mask. Rows are only added; a verdict is given when its commit is acknowledged.

A browser makes the id of each verdict and sends it until it is acknowledged: sending again changes nothing. Who undoes a
verdict adds one with decision `withdrawn` that names it in `replaces`; who changes their mind, one that replaces it.
"""

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

import duckdb

from curation import ids
from curation.errors import InputError
from curation.lake import Lake, insert
from curation.schemas import TABLES
from curation.settings import REVIEW

DECISIONS = next(c.values for c in TABLES["verdicts"].columns if c.name == "decision")
#: Longer notes are cut off by nobody: they are refused, so that nothing is lost unseen.
MOST_NOTE_CHARS = 4_000
#: Verdicts of these purposes on one mask by one person are one opinion: the later replaces the earlier.
_OPINION = {"review": "opinion", "double_review": "opinion"}


@dataclass(frozen=True)
class Verdict:
    """One judgement as a browser sends it. What the mask, sample and purpose are stands in the task.

    `verdict_id` is a UUID that the browser made. Without `task_id` the verdict is of image mode: `mask_id` says
    which mask, and it counts in no sample. `given_at` (by the reviewer's clock) is now where it is missing.
    """

    verdict_id: str
    rater: str
    decision: str
    task_id: str | None = None
    mask_id: int | None = None
    rating: int | None = None
    reasons: Sequence[str] = ()
    note: str | None = None
    replaces: str | None = None
    took_s: float = 0.0
    given_at: datetime | None = None


@dataclass(frozen=True)
class Given:
    """`acknowledged`: ids that are committed, now or before. `refused`: the others, each with the reason in words."""

    acknowledged: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)


def give(lake: Lake, verdicts: Sequence[Verdict], now: datetime | None = None) -> Given:
    """Write verdicts in one commit, in their order; what is there already is acknowledged again.

    A verdict that cannot be used is refused with the reason, and the others are written. A verdict after the end of
    its lease counts. Of two verdicts of one person on one mask of a sample the later replaces the earlier, whether
    it says so or not. No verdicts give an empty answer without a commit.
    """
    if not verdicts:
        return Given()
    now = now or datetime.now(timezone.utc)
    return lake.commit(
        lambda con: give_within(con, verdicts, now), f"{len(verdicts)} verdicts of {verdicts[0].rater}"
    )


def give_within(con: duckdb.DuckDBPyConnection, verdicts: Sequence[Verdict], now: datetime) -> Given:
    """`give` inside an open transaction, for work that belongs to the same commit."""
    book = _Book(con, verdicts, now)
    given = Given()
    for verdict in verdicts:
        try:
            book.write(verdict)
            given.acknowledged.add(verdict.verdict_id)
        except InputError as error:
            given.refused[str(verdict.verdict_id)] = str(error)
    insert(con, {"verdicts": TABLES["verdicts"].table(book.rows)})
    return given


class _Book:
    """What is known of the tasks and verdicts at hand, and the rows to add."""

    def __init__(self, con: duckdb.DuckDBPyConnection, verdicts: Sequence[Verdict], now: datetime) -> None:
        self.now = now
        self.rows: list[dict] = []
        named = [v.verdict_id for v in verdicts] + [v.replaces for v in verdicts if v.replaces]
        tasks = _rows(
            con,
            "SELECT task_id, sample, mask_id, run_id, image_id, rater, purpose FROM tasks "
            "WHERE task_id IN (SELECT unnest($ids::VARCHAR[]))",
            {"ids": [v.task_id for v in verdicts if v.task_id]},
        )
        self.tasks = {row["task_id"]: row for row in tasks}
        self.masks = self._masks(
            con, [v.mask_id for v in verdicts if not v.task_id and v.mask_id is not None]
        )
        mask_ids = {row["mask_id"] for row in tasks} | set(self.masks)
        there = _rows(
            con,
            """
            SELECT verdict_id, task_id, rater, sample, mask_id, purpose, decision, replaces, given_at
            FROM verdicts
            WHERE mask_id IN (SELECT unnest($mask_ids::BIGINT[]))
                OR verdict_id IN (SELECT unnest($ids::VARCHAR[]))
            ORDER BY given_at, verdict_id
            """,
            {"mask_ids": sorted(mask_ids), "ids": named},
        )
        self.verdicts = {row["verdict_id"]: row for row in there}
        self.replaced_by = {row["replaces"]: row["verdict_id"] for row in there if row["replaces"]}

    @staticmethod
    def _masks(con: duckdb.DuckDBPyConnection, mask_ids: list[int]) -> dict[int, dict]:
        if not mask_ids:
            return {}
        found = _rows(
            con,
            """
            SELECT mask_id, run_id, image_id FROM masks
            WHERE run_id IN (SELECT unnest($run_ids::INTEGER[])) AND mask_id IN (SELECT unnest($ids::BIGINT[]))
            """,
            {"ids": mask_ids, "run_ids": sorted({ids.unpack_mask_id(mask_id)[0] for mask_id in mask_ids})},
        )
        return {row["mask_id"]: row for row in found}

    def write(self, verdict: Verdict) -> None:
        """Add the row of a verdict, unless it is there. Raises InputError where it cannot be used."""
        _check(verdict)
        there = self.verdicts.get(verdict.verdict_id)
        if there is not None:
            if there["rater"] != verdict.rater:
                raise InputError(f"verdict {verdict.verdict_id} is of another rater: make a new id")
            return
        about = self._about(verdict)
        row = {
            **about,
            "verdict_id": verdict.verdict_id,
            "task_id": verdict.task_id,
            "rater": verdict.rater,
            "decision": verdict.decision,
            "rating": verdict.rating,
            "reasons": list(dict.fromkeys(verdict.reasons)),
            "note": verdict.note or None,
            "replaces": self._replaces(verdict, about),
            "took_s": verdict.took_s,
            "given_at": verdict.given_at or self.now,
            "committed_at": self.now,
        }
        self.rows.append(row)
        self.verdicts[verdict.verdict_id] = row
        if row["replaces"]:
            self.replaced_by[row["replaces"]] = verdict.verdict_id

    def _about(self, verdict: Verdict) -> dict:
        """Mask, sample and purpose: the task's, or image mode's."""
        if verdict.task_id is None:
            mask = self.masks.get(verdict.mask_id)
            if mask is None:
                raise InputError(f"verdict without a task on mask {verdict.mask_id}: there is no such mask")
            return {**mask, "sample": None, "purpose": "image"}
        task = self.tasks.get(verdict.task_id)
        if task is None:
            raise InputError(f"task {verdict.task_id!r} is not known: ask for tasks and judge these")
        if task["rater"] != verdict.rater:
            raise InputError(f"task {verdict.task_id} was given to another rater than {verdict.rater!r}")
        if verdict.mask_id is not None and verdict.mask_id != task["mask_id"]:
            raise InputError(
                f"task {verdict.task_id} is of mask {task['mask_id']}, the verdict of mask {verdict.mask_id}"
            )
        return {name: task[name] for name in ("mask_id", "run_id", "image_id", "sample", "purpose")}

    def _replaces(self, verdict: Verdict, about: dict) -> str | None:
        """The verdict that this one replaces: the one it names, else the rater's current one on the same mask."""
        if verdict.replaces is None:
            if verdict.decision == "withdrawn":
                raise InputError("a verdict that withdraws must name in `replaces` what it withdraws")
            return self._current(verdict.rater, about)
        old = self.verdicts.get(verdict.replaces)
        if old is None or old["rater"] != verdict.rater:
            raise InputError(
                f"`replaces` names {verdict.replaces!r}, which is no verdict of {verdict.rater!r}"
            )
        if old["mask_id"] != about["mask_id"] or _kind(old) != _kind(about):
            raise InputError(f"`replaces` names {verdict.replaces}, a verdict on another mask or task")
        if verdict.replaces in self.replaced_by:
            raise InputError(
                f"verdict {verdict.replaces} was replaced by {self.replaced_by[verdict.replaces]}: name that one"
            )
        if old["decision"] == "withdrawn":
            raise InputError(
                f"verdict {verdict.replaces} took another back: leave `replaces` out to judge anew"
            )
        return verdict.replaces

    def _current(self, rater: str, about: dict) -> str | None:
        for verdict_id, row in reversed(self.verdicts.items()):
            is_same = (
                row["rater"] == rater and row["mask_id"] == about["mask_id"] and _kind(row) == _kind(about)
            )
            if is_same and row["decision"] != "withdrawn" and verdict_id not in self.replaced_by:
                return verdict_id
        return None


def _kind(row: dict) -> tuple[str | None, str]:
    return row["sample"], _OPINION.get(row["purpose"], row["purpose"])


def _check(verdict: Verdict) -> None:
    """Raise InputError for what no verdict may hold."""
    try:
        uuid.UUID(verdict.verdict_id)
    except (ValueError, AttributeError, TypeError):
        raise InputError(f"verdict_id {verdict.verdict_id!r} is no UUID") from None
    if not verdict.rater.strip():
        raise InputError(f"verdict {verdict.verdict_id}: the rater has no name")
    if verdict.decision not in DECISIONS:
        raise InputError(f"decision {verdict.decision!r}; allowed: {', '.join(DECISIONS)}")
    unknown = [reason for reason in verdict.reasons if reason not in REVIEW.reasons]
    if unknown:
        raise InputError(f"reason {unknown[0]!r}; allowed: {', '.join(REVIEW.reasons)}")
    if verdict.rating is not None and (type(verdict.rating) is not int or not 1 <= verdict.rating <= 10):
        raise InputError(f"rating {verdict.rating!r}; allowed: whole numbers, 1 to 10")
    if verdict.mask_id is not None and not 0 <= verdict.mask_id < 2**63:
        raise InputError(f"mask {verdict.mask_id}: there is no such mask")
    if not (math.isfinite(verdict.took_s) and verdict.took_s >= 0):
        raise InputError(f"took_s {verdict.took_s}; it must be 0 s or more")
    for name in ("rater", "note"):
        _check_text(name, getattr(verdict, name) or "")
    if verdict.given_at is not None and verdict.given_at.tzinfo is None:
        raise InputError(f"given_at {verdict.given_at} has no time zone")


def _check_text(name: str, text: str) -> None:
    """Raise InputError for text that a catalog cannot hold: too long, half a character, or with a zero in it."""
    if len(text) > MOST_NOTE_CHARS:
        raise InputError(f"{name} of {len(text)} characters; at most {MOST_NOTE_CHARS}: shorten it")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{name} holds half a character (a lone surrogate): type it anew") from None
    if "\0" in text:
        raise InputError(f"{name} holds a zero character: type it anew")


def _rows(con: duckdb.DuckDBPyConnection, sql: str, params: dict) -> list[dict]:
    return con.execute(sql, params).to_arrow_table().to_pylist()
