"""Where a sample stands at one moment, as one rater's next tasks depend on it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median

import duckdb

from curation.settings import REVIEW

#: A rater's speed is the median over so many of the last verdicts: one pause must not make a slow rater.
RECENT = 50

# Each look into the lake costs some 10 ms, whatever it finds: one a table, and all questions are asked of the answers.
_TASKS = """
    SELECT task_id, sample, mask_id, rater, purpose, lease_until
    FROM tasks
    WHERE sample = $sample OR rater = $rater
"""
_VERDICTS = """
    SELECT verdict_id, task_id, mask_id, rater, purpose, decision, replaces, took_s, given_at, committed_at
    FROM verdicts
    WHERE sample = $sample
"""
_JUDGED = """
    SELECT mask_id, rater, purpose, decision, took_s, committed_at
    FROM verdicts_here
    ANTI JOIN (SELECT replaces FROM verdicts_here) AS later ON later.replaces = verdicts_here.verdict_id
    WHERE decision <> 'withdrawn' AND purpose <> 'image'
    ORDER BY given_at, verdict_id
"""
_OPEN = """
    SELECT mask_id, rater, purpose
    FROM tasks_here
    ANTI JOIN (
        SELECT given.task_id
        FROM verdicts_here AS given
        ANTI JOIN (SELECT replaces FROM verdicts_here) AS later ON later.replaces = given.verdict_id
        WHERE given.decision <> 'withdrawn'
    ) AS done USING (task_id)
    WHERE sample = $sample AND lease_until > $now
"""
_MINE = "SELECT sample, mask_id, purpose FROM tasks_here WHERE rater = $rater"
_ADJUDICATE = """
    SELECT mask_id FROM settled_verdicts
    WHERE sample = $sample AND needs_adjudication AND NOT list_contains(raters, $rater)
"""
_CORRECT = """
    SELECT mask_id FROM settled_verdicts
    WHERE sample = $sample AND decision = 'fix'
        AND mask_id NOT IN (SELECT supersedes FROM current_drawn_masks WHERE supersedes IS NOT NULL)
"""


@dataclass
class State:
    """`held`: purposes under which each mask is leased or judged as a first or second opinion, skips left out.

    `seen`: masks that the rater has judged, skipped or holds. `own`: masks that the rater has judged, in the order of
    judging, all purposes, with the purpose and the decision. `handed`: masks that were ever leased to the rater, in this sample, by purpose.
    `known`: masks of any sample that the rater has seen. `mending`: who holds each mask to redraw it, or has answered that,
    skips left out. `leased`: masks that anyone holds, by purpose. `active`: raters who hold tasks or judged within the last
    lease. `n_open`: tasks that the rater holds, `n_mending` of them to redraw. `median_s`: seconds a
    verdict, None before the first. `speed_share`: the rater's part of what all active raters do, 0..1.
    """

    sample: str
    rater: str
    now: datetime
    held: dict[int, list[str]] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    own: list[tuple[int, str, str]] = field(default_factory=list)
    handed: dict[str, set[int]] = field(default_factory=dict)
    known: set[int] = field(default_factory=set)
    mending: dict[int, set[str]] = field(default_factory=dict)
    leased: dict[str, set[int]] = field(default_factory=dict)
    active: set[str] = field(default_factory=set)
    n_open: int = 0
    n_mending: int = 0
    median_s: float | None = None
    speed_share: float = 1.0

    @classmethod
    def read(cls, con: duckdb.DuckDBPyConnection, sample: str, rater: str, now: datetime) -> "State":
        """The state of the sample for a rater, as the open transaction of `con` sees it."""
        state = cls(sample, rater, now)
        here = {
            "tasks_here": con.execute(_TASKS, {"sample": sample, "rater": rater}).to_arrow_table(),
            "verdicts_here": con.execute(_VERDICTS, {"sample": sample}).to_arrow_table(),
        }
        for name, table in here.items():
            con.register(name, table)
        state._add_open(con.execute(_OPEN, {"sample": sample, "now": now}).fetchall())
        state._add_judged(con.execute(_JUDGED).fetchall())
        for of_sample, mask_id, purpose in con.execute(_MINE, {"rater": rater}).fetchall():
            state.known.add(mask_id)
            if of_sample == sample:
                state.handed.setdefault(purpose, set()).add(mask_id)
        for name in here:
            con.unregister(name)
        return state

    def waiting(self, con: duckdb.DuckDBPyConnection, purpose: str) -> set[int]:
        """Masks that wait for an adjudicator or for redrawing, that nobody holds, and that this rater may take.

        An adjudicator is never one of those who disagree.
        """
        if purpose == "adjudicate":
            rows = con.execute(_ADJUDICATE, {"sample": self.sample, "rater": self.rater}).fetchall()
        else:
            rows = con.execute(_CORRECT, {"sample": self.sample}).fetchall()
        return {mask_id for (mask_id,) in rows} - self.leased.get(purpose, set())

    def _add_open(self, rows: Iterable[tuple[int, str, str]]) -> None:
        for mask_id, rater, purpose in rows:
            self.active.add(rater)
            self.leased.setdefault(purpose, set()).add(mask_id)
            self._hold(mask_id, rater, purpose)
            self.n_open += rater == self.rater
            self.n_mending += rater == self.rater and purpose == "correct"

    def _add_judged(self, rows: Iterable[tuple]) -> None:
        took: dict[str, list[float]] = {}
        recent = self.now - timedelta(seconds=REVIEW.lease_s)
        for mask_id, rater, purpose, decision, took_s, committed_at in rows:
            took.setdefault(rater, []).append(took_s)
            if committed_at > recent:
                self.active.add(rater)
            if rater == self.rater:
                self.own.append((mask_id, purpose, decision))
                self.seen.add(mask_id)
            if decision != "skip":
                self._hold(mask_id, rater, purpose)
        self._weigh({rater: median(seconds[-RECENT:]) for rater, seconds in took.items()})

    def _hold(self, mask_id: int, rater: str, purpose: str) -> None:
        if rater == self.rater:
            self.seen.add(mask_id)
        if purpose == "correct":
            self.mending.setdefault(mask_id, set()).add(rater)
        if purpose in ("review", "double_review"):
            self.held.setdefault(mask_id, []).append(purpose)

    def _weigh(self, medians: dict[str, float]) -> None:
        self.median_s = medians.get(self.rater)
        others = self.active - {self.rater}
        typical = median(medians.values()) if medians else 1.0
        speeds = {r: 1 / max(medians.get(r, typical), 0.1) for r in (*others, self.rater)}
        self.speed_share = speeds[self.rater] / sum(speeds.values())
