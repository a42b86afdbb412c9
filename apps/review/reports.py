"""Rows of reports and of other questions for the views, asked of a lake that nobody waits for.

Every answer is of one version of the lake, and kept until there is a newer one; which version is the newest is asked
at most every `FRESH_S` seconds. So many open pages ask no more of the lake than one.
"""

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa
import streamlit as st

from apps.review import data
from curation import queries
from curation.lake import Lake

T = TypeVar("T")
#: A page that shows a number is at most so old, in seconds.
FRESH_S = 2.0
#: Answers kept for all pages together; the oldest go first.
MAX_KEPT = 256

#: Read-only connections that wait for the next caller.
_idle: "queue.LifoQueue[Lake]" = queue.LifoQueue()


@dataclass(frozen=True)
class Answer:
    """Rows of one report with what it was asked, and how long that took."""

    query: queries.Query
    rows: pa.Table
    took_s: float


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
        borrowed = Lake.open(data.root(), read_only=True)
    try:
        yield borrowed
    except BaseException:
        borrowed.close()
        raise
    _idle.put(borrowed)


@st.cache_data(ttl=FRESH_S, show_spinner=False)
def version() -> int:
    """The newest version of the lake."""
    with lake() as lake_:
        return lake_.version()


def ask(question: Callable[..., T], *given: Any, at: str | None = None) -> T:
    """What `question(lake, *given)` answers, kept for this version of the lake. Its values must not be changed."""
    return _kept(f"{question.__module__}.{question.__qualname__}", given, at, version(), question)


def report(name: str, at: str | None = None, **given: Any) -> Answer:
    """A report with these parameters. Raises QueryError where they do not fit."""
    return ask(_run, name, tuple(sorted(given.items())), at=at)


@st.cache_resource(show_spinner=False)
def known() -> dict[str, queries.Query]:
    """Every report; their files do not change while the app runs."""
    return queries.load()


def rows(name: str, **given: Any) -> list[dict]:
    """Rows of a report on the newest version."""
    return report(name, **given).rows.to_pylist()


def snapshots(lake_: Lake) -> list[tuple[str, str]]:
    """Tags as (name, what to call it), newest first."""
    tags = lake_.tags().to_pylist()
    tags.sort(key=lambda tag: tag["snapshot_id"], reverse=True)
    return [(tag["name"], f"{tag['name']} · {tag['tagged_at']:%Y-%m-%d %H:%M} UTC") for tag in tags]


def runs(lake_: Lake) -> list[dict]:
    """Every run, newest first: run_id, kind, stage, cycle, model, annotator."""
    return lake_.query(
        "SELECT run_id, kind, stage, cycle, model, annotator FROM runs ORDER BY run_id DESC"
    ).to_pylist()


@st.cache_resource(max_entries=MAX_KEPT, show_spinner=False)
def _kept(name: str, given: tuple, at: str | None, version: int, _question: Callable[..., Any]) -> Any:
    with lake(at) as lake_:
        return _question(lake_, *given)


def _run(lake_: Lake, name: str, given: tuple) -> Answer:
    query = known()[name]
    started = time.monotonic()
    return Answer(query, query.run(lake_, **dict(given)), time.monotonic() - started)
