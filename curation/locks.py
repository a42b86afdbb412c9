"""One writer at a time on a lake's catalog, on one machine (file lock) or many (PostgreSQL advisory lock).

DuckLake does not see two inserts of the same shard as a conflict, so "is it there? no: add it" is only
right when no other commit can come between.
"""

import fcntl
import os
import random
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import duckdb

from curation import events
from curation.connections import connect
from curation.errors import LakeBusyError, LakeError
from curation.events import without_secrets
from curation.settings import LAKE

T = TypeVar("T")
#: What SQLite, PostgreSQL and DuckLake say when another transaction was in the way.
TRANSIENT = ("database is locked", "database is busy", "conflict", "deadlock detected", "could not serialize")
#: What libpq says when the server of a PostgreSQL catalog has gone, and SQLite and DuckDB when there is no room.
GONE = (
    "unable to connect",
    "could not connect",
    "connection refused",
    "connection to server",
    "no connection to the server",
    "server closed the connection",
    "terminating connection",
    "the database system is",
)
FULL = ("no space left", "disk is full", "disk i/o error", "file too large")


def retry_while_locked(action: Callable[[], T]) -> T:
    """Call `action` until it does not fail on another transaction; give up after `commit_patience_s`.

    Raises LakeError where the catalog's server has gone, or there is no room; else duckdb.Error as DuckDB says it.
    """
    pauses = Pauses()
    while True:
        try:
            return action()
        except duckdb.Error as error:
            if any(word in str(error).lower() for word in TRANSIENT):
                pauses.sleep(f"other writers ({error})")
                continue
            outage = _outage(error)
            if outage is None:
                raise
            raise outage from error


def _outage(error: duckdb.Error) -> LakeError | None:
    """What a person can mend, where it is that and no fault of the statement."""
    said = str(error).lower()
    first_line = str(error).strip().splitlines()[0]
    if any(word in said for word in GONE):
        return LakeError(
            f"the catalog does not answer ({without_secrets(first_line)}): see that its server runs and can be reached; "
            "what is committed is safe, so start again after that"
        )
    if any(word in said for word in FULL):
        return LakeError(
            f"the catalog or the data cannot be written ({first_line}): make room; what is committed is safe, so start "
            "again after that"
        )
    return None


class Pauses:
    """Back-off with jitter, up to the patience of a commit."""

    def __init__(self) -> None:
        self.deadline = time.monotonic() + LAKE.commit_patience_s
        self.pause_s = LAKE.commit_pause_s

    def sleep(self, holder: str) -> None:
        """Pause, longer each time. Raises LakeBusyError when patience is over, naming the holder."""
        if time.monotonic() > self.deadline:
            raise LakeBusyError(
                f"the catalog was held for {LAKE.commit_patience_s:.0f} s by {holder}: "
                "ask its owner, or stop it; what is committed is safe, so start again after that"
            )
        events.record("catalog_waited_for", holder=holder, pause_s=self.pause_s)
        time.sleep(self.pause_s * random.uniform(0.5, 1.0))  # nosec B311  # jitter
        self.pause_s = min(2 * self.pause_s, LAKE.commit_pause_max_s)


@contextmanager
def writers_lock(root: Path, catalog: str) -> Iterator[None]:
    """Hold the lake's only write lock. The kernel or the server frees it when the holder dies."""
    if catalog.startswith("sqlite:"):
        with _file_lock(Path(catalog.removeprefix("sqlite:") + ".lock")):
            yield
    else:
        with _postgres_lock(catalog, zlib.crc32(b"curation writers")):
            yield


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    pauses = Pauses()
    with path.open("a+") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                file.seek(0)
                pauses.sleep(file.read() or "another process")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


@contextmanager
def _postgres_lock(url: str, key: int) -> Iterator[None]:
    # A connection of its own: the lock belongs to a transaction, and ends with it.
    with connect("postgres_scanner") as con:
        attach = f"ATTACH '{url.replace(chr(39), chr(39) * 2)}' AS catalog (TYPE postgres)"
        retry_while_locked(lambda: con.execute(attach))
        con.execute("BEGIN")
        pauses = Pauses()
        sql = f"SELECT locked FROM postgres_query('catalog', 'SELECT pg_try_advisory_xact_lock({key}) AS locked')"
        while not con.execute(sql).fetchone()[0]:
            pauses.sleep("another writer of this PostgreSQL catalog (see pg_locks, locktype advisory)")
        yield
        con.execute("ROLLBACK")
