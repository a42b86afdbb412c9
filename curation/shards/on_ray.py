"""Shards on a Ray cluster: actors compute and write files, this process commits what comes back.

Every actor holds the work, and so the model that it loads, on one GPU or one CPU of the cluster. Two shards an actor are
out at once, so a slow commit holds the cluster back and nothing piles up. A shard whose actor or node is lost goes to
another one; it may have been written already: then it is written again, the same, and is committed once.

Workers read the workspace's folder, its pictures and the cache of models at the same paths as this machine, and AWS_*
variables from their own environment. The catalog is for this process alone to write to.
"""

import logging
import os
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from curation import events
from curation.errors import CurationError, LakeError, MissingExtraError
from curation.settings import RAY
from curation.shards import Done, Engine, Shard, ShardTask


def computed(task: ShardTask, shards: Iterator[Shard], workers: int | None, engine: Engine) -> Iterator[Done]:
    """Every shard once, in the order of finishing.

    Raises the exception of the work, LakeError where a shard loses its worker again and again or no worker comes, and
    MissingExtraError without Ray.
    """
    with _connected(engine.address) as ray:
        crew = _Crew(ray, task, _resources(ray, engine), workers)
        try:
            yield from crew.computed(shards)
        finally:
            crew.dismiss()


@contextmanager
def _connected(address: str | None) -> Iterator[Any]:
    """Ray, connected; what was connected or started here is left or stopped here."""
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtraError("engine ray", "scale", error.name) from error
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    is_ours = not ray.is_initialized()
    if is_ours:
        try:
            ray.init(
                address=address, configure_logging=False, include_dashboard=False if address is None else None
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise LakeError(f"--address {address}: no Ray cluster answers there ({error})") from error
    try:
        yield ray
    finally:
        if is_ours:
            ray.shutdown()


def _resources(ray: Any, engine: Engine) -> dict[str, float]:
    """What an actor takes of the cluster."""
    if engine.wants_gpu and ray.cluster_resources().get("GPU", 0) >= 1:
        return {"num_gpus": 1, "num_cpus": 0}
    return {"num_cpus": 1}


class _Worker:
    """The actor: one process of the cluster, with the work in it."""

    def __init__(self, task: ShardTask) -> None:
        self.task = task

    def ready(self) -> bool:
        return True

    def compute(self, shard: Shard) -> Done:
        return self.task(shard)


class _Crew:
    """The actors, and which shards are out at which of them."""

    def __init__(self, ray: Any, task: ShardTask, resources: dict[str, float], workers: int | None) -> None:
        self.ray = ray
        self.task = ray.put(task)
        self.actor = ray.remote(**resources, max_restarts=0)(_Worker)
        # By the reference that Ray answers with.
        self.starting: dict[Any, Any] = {}
        self.out: dict[Any, tuple[Any, Shard]] = {}
        self.n_out: Counter = Counter()  # by worker that is there
        self.lost: deque[Shard] = deque()
        self.n_losses: Counter = Counter()  # by name of the shard; "" for workers that did not start
        total = ray.cluster_resources().get("GPU" if "num_gpus" in resources else "CPU", 0)
        for _ in range(workers or max(1, int(total))):
            self._start()

    def computed(self, shards: Iterator[Shard]) -> Iterator[Done]:
        while self._hand_out(shards) or self.out:
            for ref in self._finished():
                if ref in self.starting:
                    self._welcome(ref)
                else:
                    done = self._taken(ref)
                    if done is not None:
                        yield done

    def dismiss(self) -> None:
        for worker in [*self.n_out, *self.starting.values()]:
            self.ray.kill(worker)

    def _start(self) -> None:
        worker = self.actor.remote(self.task)
        self.starting[worker.ready.remote()] = worker

    def _hand_out(self, shards: Iterator[Shard]) -> bool:
        """Fill every worker up; whether a shard is left over that no worker could take."""
        for _ in range(RAY.shards_out):
            for worker in [w for w, n in self.n_out.items() if n < RAY.shards_out]:
                shard = self.lost.popleft() if self.lost else next(shards, None)
                if shard is None:
                    return False
                self.out[worker.compute.remote(shard)] = (worker, shard)
                self.n_out[worker] += 1
        if not self.n_out and not self.lost:  # nobody is there yet; is there anything to do at all?
            self.lost.extend(shard for shard in [next(shards, None)] if shard is not None)
        return bool(self.lost)

    def _finished(self) -> list[Any]:
        # With workers there a shard may take as long as it takes; without any, only so long is waited for one.
        patience_s = None if self.n_out else RAY.worker_patience_s
        refs = [*self.starting, *self.out]
        finished, _ = self.ray.wait(refs, num_returns=1, timeout=patience_s)
        if not finished:
            raise LakeError(
                f"Ray: no worker came within {RAY.worker_patience_s:.0f} s; the cluster has {self.ray.available_resources()} "
                "to spare. Add nodes, or stop other work; what is committed stays"
            )
        return finished

    def _welcome(self, ref: Any) -> None:
        worker = self.starting.pop(ref)
        try:
            self.ray.get(ref)
        except self.ray.exceptions.RayError as error:
            self._count_loss("", error)
            self._start()
        else:
            self.n_out[worker] = 0
            self.n_losses[""] = 0

    def _taken(self, ref: Any) -> Done | None:
        """A finished shard; None where its worker was lost, which is replaced."""
        worker, shard = self.out.pop(ref)
        try:
            done = self.ray.get(ref)
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except self.ray.exceptions.RayError as error:
            self.lost.append(shard)
            self._count_loss(shard.name, error)
            if self.n_out.pop(worker, None) is not None:
                self.ray.kill(worker)  # it may only be out of reach, and would keep its GPU
                self._start()
            return None
        if worker in self.n_out:
            self.n_out[worker] -= 1
        return done

    def _count_loss(self, name: str, error: Exception) -> None:
        self.n_losses[name] += 1
        events.record("worker_lost", logging.WARNING, shard=name, error=type(error).__name__)
        if self.n_losses[name] > RAY.most_losses:
            what = f"shard {name} lost its worker" if name else "a worker failed to start"
            raise CurationError(
                f"Ray: {what} {self.n_losses[name]} times, last: {error}. A worker that is killed for its memory needs "
                "fewer of them a node (--workers); what is committed stays"
            ) from error
