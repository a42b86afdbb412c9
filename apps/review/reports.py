"""Rows of reports and of other questions for the views, asked of a lake that nobody waits for.

An answer is kept until the lake has a newer version, which is looked up at most every `FRESH_S` seconds; one that took
long is kept for `PATIENCE` times as long even then, so that reviewers who commit all the time do not keep the machine
busy with reports. Pages that ask the same at once wait for one answer.
"""

import math
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pyarrow as pa
import streamlit as st

from apps.review import data
from curation import prompt, queries
from curation.lake import Lake
from curation.settings import PROMPT

T = TypeVar("T")
FRESH_S = 2.0
#: A question may take this part of a page's time at most: 1 / 10.
PATIENCE = 10
#: Answers kept for all pages together, pictures among them; those not asked for longest go first.
MAX_KEPT = 1_000

#: Read-only connections that wait for the next caller.
_idle: "queue.LifoQueue[Lake]" = queue.LifoQueue()


@dataclass(frozen=True)
class Answer:
    """Rows of one report with what it was asked, and how long that took."""

    query: queries.Query
    rows: pa.Table
    took_s: float


@dataclass
class _Kept:
    """One question's newest answer, of `version` (None before the first); `lock` is held while it is asked."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    version: int | None = None
    answer: Any = None
    took_s: float = 0.0
    asked_s: float = 0.0


_kept: "OrderedDict[tuple, _Kept]" = OrderedDict()
_guard = threading.Lock()


@contextmanager
def lake(at: str | None = None) -> Iterator[Lake]:
    """A lake for reading, now or as it was. One that failed is closed, not handed on."""
    if at is not None:
        with Lake.open(data.root(), at=at, read_only=True) as past:
            yield past
        return
    try:
        borrowed = _idle.get_nowait()
    except queue.Empty:
        borrowed = None
    if borrowed is not None and borrowed.root != data.root():
        borrowed.close()
        borrowed = None
    if borrowed is None:
        borrowed = Lake.open(data.root(), read_only=True)
    try:
        yield borrowed
    except BaseException:
        borrowed.close()
        raise
    _idle.put(borrowed)


def ask(question: Callable[..., T], *given: Any, at: str | None = None, most_age_s: float = math.inf) -> T:
    """What `question(lake, *given)` answers. Its values are shared between pages and must not be changed.

    `most_age_s` is for what changes with the clock too, such as leases that end.
    """
    kept = _place((data.root(), at, question.__module__, question.__qualname__, *given))
    with kept.lock:
        newest = _version(str(data.root()))
        age_s = time.monotonic() - kept.asked_s
        is_old = at is None and (age_s > most_age_s or kept.version != newest)  # the past stays as it was
        if kept.version is None or (is_old and age_s > PATIENCE * kept.took_s):
            with lake(at) as lake_:
                kept.asked_s = time.monotonic()
                kept.answer = question(lake_, *given)
            kept.took_s = time.monotonic() - kept.asked_s
            kept.version = newest
        return kept.answer


def forget() -> None:
    """Ask everything anew: who has just written wants to see it."""
    _version.clear()
    with _guard:
        _kept.clear()


def report(name: str, at: str | None = None, **given: Any) -> Answer:
    """A report with these parameters. Raises QueryError where they do not fit."""
    return ask(run, name, tuple(sorted(given.items())), at=at)


def rows(name: str, **given: Any) -> list[dict]:
    """Rows of a report on the newest version."""
    return report(name, **given).rows.to_pylist()


def run(lake_: Lake, name: str, given: tuple[tuple[str, Any], ...]) -> Answer:
    """A report with its parameters as (name, value). Raises QueryError where it takes longer than a question may."""
    query = known()[name]
    started = time.monotonic()
    with prompt.time_limit(lake_.con, PROMPT.seconds):
        rows = query.run(lake_, **dict(given))
    return Answer(query, rows, time.monotonic() - started)


@st.cache_resource(show_spinner=False)
def known() -> dict[str, queries.Query]:
    """Every report; their files do not change while the app runs."""
    return queries.load()


def snapshots(lake_: Lake) -> list[tuple[str, str]]:
    """Tags as (name, what to call it), newest first."""
    tags = lake_.tags().to_pylist()
    tags.sort(key=lambda tag: tag["snapshot_id"], reverse=True)
    return [(tag["name"], f"{tag['name']} · {tag['tagged_at']:%Y-%m-%d %H:%M} UTC") for tag in tags]


def choose_snapshot(key: str, about: str) -> str | None:
    """A control for the tag whose version is meant; None for the newest version."""
    named = dict(ask(snapshots))
    # With None for the newest Streamlit would take the control for an empty one, and offer to clear it.
    chosen = st.selectbox(
        "Snapshot", ["", *named], format_func=lambda name: named.get(name, "newest"), key=key, help=about
    )
    return chosen or None


def runs(lake_: Lake) -> list[dict]:
    """Every run, newest first: run_id, kind, stage, cycle, model, annotator."""
    return lake_.query(
        "SELECT run_id, kind, stage, cycle, model, annotator FROM runs ORDER BY run_id DESC"
    ).to_pylist()


@st.cache_data(ttl=FRESH_S, show_spinner=False)
def _version(root: str) -> int:
    with lake() as lake_:
        return lake_.version()


def _place(key: tuple) -> _Kept:
    with _guard:
        kept = _kept.setdefault(key, _Kept())
        _kept.move_to_end(key)
        while len(_kept) > MAX_KEPT:
            _kept.popitem(last=False)
        return kept
