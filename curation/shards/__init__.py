"""Shards: plan work over images, run it here, in worker processes or on Ray, commit each shard once, resume.

A worker computes a shard and writes its Parquet files; the coordinator alone touches the catalog, one
transaction a shard over all its tables. A shard whose row is in `shards` is done and is skipped.
"""

import multiprocessing
import multiprocessing.connection
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import islice

import duckdb
import pyarrow as pa

from curation import events
from curation.errors import InputError
from curation.lake import Lake, add_files, insert
from curation.schemas import TABLES
from curation.storage import DataFile, Storage


@dataclass(frozen=True)
class Shard:
    """Images [first, stop) of a run, by their number in the plan. `name` is its key, for any engine."""

    run_id: int
    work: str
    name: str
    first: int
    stop: int


@dataclass(frozen=True)
class Result:
    """What a worker computed: checked tables by name; rows of `problems` are among them."""

    tables: Mapping[str, pa.Table]
    n_images: int
    n_masks: int


@dataclass(frozen=True)
class Done:
    """A shard that is computed and written, ready to commit."""

    shard: Shard
    data_files: tuple[DataFile, ...]
    problems: pa.Table
    n_images: int
    n_masks: int
    took_s: float


@dataclass
class Summary:
    """Totals of one call of `run`; `n_skipped` shards had been committed before."""

    n_shards: int = 0
    n_skipped: int = 0
    n_images: int = 0
    n_masks: int = 0
    n_problems: int = 0
    took_s: float = field(default=0.0)

    def add(self, done: Done) -> None:
        self.n_shards += 1
        self.n_images += done.n_images
        self.n_masks += done.n_masks
        self.n_problems += done.problems.num_rows
        self.took_s += done.took_s


Work = Callable[[Shard], Result]


@dataclass(frozen=True)
class Engine:
    """Where shards are computed: processes of this machine, or a Ray cluster.

    `address` is that of a running cluster (`ray://…`, `HOST:PORT`, `auto`); None takes RAY_ADDRESS, or starts Ray here.
    `wants_gpu` gives each worker a GPU of its own where the cluster has any. Raises InputError for another name.
    """

    name: str = "local"
    address: str | None = None
    wants_gpu: bool = False

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise InputError(f"engine {self.name!r}: allowed are {', '.join(ENGINES)}")
        if self.address is not None and self.name != "ray":
            raise InputError(f"address {self.address!r}: only engine 'ray' has one")

    @property
    def is_ray(self) -> bool:
        return self.name == "ray"


ENGINES = ("local", "ray")
LOCAL = Engine()


def plan(run_id: int, work: str, n_items: int, per_shard: int) -> Iterator[Shard]:
    """Consecutive shards of `per_shard` images; none for an empty run."""
    for first in range(0, n_items, per_shard):
        yield Shard(run_id, work, f"{first:010d}", first, min(first + per_shard, n_items))


def problem(
    shard: Shard,
    source: str,
    error: InputError | str,
    kind: str | None = None,
    record: str = "",
    image_id: int | None = None,
) -> dict:
    """A row of `problems`: `kind` comes from the error where it is not given."""
    return {
        "run_id": shard.run_id,
        "work": shard.work,
        "shard": shard.name,
        "source": source,
        "image_id": image_id,
        "record": record,
        "kind": kind or getattr(error, "kind", InputError.kind),
        "reason": str(error),
    }


def run(
    lake: Lake,
    work: Work,
    shards: Iterable[Shard],
    workers: int | None = None,
    on_done: Callable[[Done], None] | None = None,
    engine: Engine = LOCAL,
) -> Summary:
    """Do every shard that is not done yet, and commit each one when it is finished.

    `workers` None is one process here, and on Ray one a GPU or CPU of the cluster. `work` must be picklable where there
    are more, and the order of commits is then the order of finishing; the data are the same, byte for byte, on any
    engine and with any number of workers. An exception of `work` ends the run after what was finished is committed;
    bad input belongs into `problems` instead.
    """
    summary = Summary()
    finished = _finished(lake)

    def waiting() -> Iterator[Shard]:
        for shard in shards:
            if (shard.run_id, shard.work, shard.name) in finished:
                summary.n_skipped += 1
            else:
                yield shard

    task = ShardTask(work, lake.storage, lake.version())
    for done in _computed(task, waiting(), workers, engine):
        if commit(lake, done):
            summary.add(done)
            _record(done)
        else:
            summary.n_skipped += 1
        if on_done:
            on_done(done)
    return summary


@dataclass(frozen=True)
class ShardTask:
    """Compute one shard and write its files; runs in any process.

    `version` is the lake's when the work was started. It is part of the files' names: rows that were dropped and are
    made anew must not overwrite the file that an older version still shows.
    """

    work: Work
    storage: Storage
    version: int

    def __call__(self, shard: Shard) -> Done:
        started = time.perf_counter()
        result = self.work(shard)
        data_files = tuple(
            self.storage.write(name, table, shard.run_id, self._file_name(shard))
            for name, table in result.tables.items()
            if table.num_rows and name != "problems"
        )
        problems = result.tables.get("problems", TABLES["problems"].table([]))
        took_s = time.perf_counter() - started
        return Done(shard, data_files, problems, result.n_images, result.n_masks, took_s)

    def _file_name(self, shard: Shard) -> str:
        return f"{shard.work.replace(':', '-')}-{shard.name}-v{self.version}"


def commit(lake: Lake, done: Done) -> bool:
    """Add a shard's files, problems and its own row in one transaction; False when it was there already."""

    def work(con: duckdb.DuckDBPyConnection) -> bool:
        shard = done.shard
        key = [shard.run_id, shard.work, shard.name]
        if con.execute("SELECT 1 FROM shards WHERE run_id = ? AND work = ? AND shard = ?", key).fetchone():
            return False
        add_files(con, list(done.data_files))
        insert(con, {"problems": done.problems, "shards": TABLES["shards"].table([_row(done)])})
        return True

    return lake.commit(work, f"{done.shard.work} run {done.shard.run_id} shard {done.shard.name}")


def _computed(
    task: ShardTask, shards: Iterator[Shard], workers: int | None, engine: Engine
) -> Iterator[Done]:
    if engine.is_ray:
        from curation.shards import on_ray  # only here: Ray is an extra

        yield from on_ray.computed(task, shards, workers, engine)
    else:
        yield from _computed_here(task, shards, workers or 1)


def _computed_here(task: ShardTask, shards: Iterator[Shard], workers: int) -> Iterator[Done]:
    if workers <= 1:
        yield from map(task, shards)
        return
    # spawn, not fork: the parent holds DuckDB's and perhaps a network's threads.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_die_with_parent) as pool:
        try:
            # Two waiting shards a worker keep it busy; a full queue would hold a million plans in memory.
            running = {pool.submit(task, shard) for shard in islice(shards, 2 * workers)}
            while running:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
                    running |= {pool.submit(task, shard) for shard in islice(shards, 1)}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _die_with_parent() -> None:
    """End this worker when its coordinator is killed: nobody would ever take its result."""

    def watch() -> None:
        multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _finished(lake: Lake) -> set[tuple[int, str, str]]:
    rows = lake.query("SELECT run_id, work, shard FROM shards").to_pydict()
    return set(zip(*rows.values(), strict=True))


def _record(done: Done) -> None:
    shard = done.shard
    events.record(
        "shard_committed",
        run=shard.run_id,
        work=shard.work,
        shard=shard.name,
        n_images=done.n_images,
        n_masks=done.n_masks,
        n_problems=done.problems.num_rows,
        took_s=done.took_s,
    )


def _row(done: Done) -> dict:
    shard = done.shard
    return {
        "run_id": shard.run_id,
        "work": shard.work,
        "shard": shard.name,
        "first_image": shard.first,
        "stop_image": shard.stop,
        "n_images": done.n_images,
        "n_masks": done.n_masks,
        "n_problems": done.problems.num_rows,
        "took_s": done.took_s,
        "finished_at": datetime.now(timezone.utc),
    }
