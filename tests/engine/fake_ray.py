"""Ray's few calls in this process, one at a time, with workers that can be lost: for what a cluster needs minutes for."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


class RayError(Exception):
    pass


class RayTaskError(RayError):
    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class ActorDiedError(RayError):
    pass


class _Method:
    def __init__(self, actor: "_Actor", name: str) -> None:
        self.actor, self.name = actor, name

    def remote(self, *args: Any) -> object:
        ref = object()
        self.actor.ray.waiting[ref] = (self.actor, self.name, args)
        return ref


class _Actor:
    def __init__(self, ray: "FakeRay", made: Any) -> None:
        self.ray, self.made, self.is_alive = ray, made, True
        self.ready, self.compute = _Method(self, "ready"), _Method(self, "compute")


class FakeRay:
    """`lose` is asked before each call of `compute` whether the worker dies of it."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, n_cpus: int, lose: Callable[[Any], bool] = lambda shard: False) -> None:
        self.n_cpus, self.lose = n_cpus, lose
        self.waiting: dict[object, tuple] = {}
        self.actors: list[_Actor] = []
        self.most_out = 0

    def is_initialized(self) -> bool:
        return True

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": self.n_cpus}

    def put(self, value: Any) -> Any:
        return value

    def remote(self, **_: Any) -> Callable[[type], Any]:
        def of_class(made: type) -> Any:
            def start(*args: Any) -> _Actor:
                self.actors.append(_Actor(self, made(*args)))
                return self.actors[-1]

            return SimpleNamespace(remote=start)

        return of_class

    def wait(self, refs: list[object], num_returns: int, timeout: float | None) -> tuple[list, list]:
        self.most_out = max(self.most_out, sum(self.waiting[ref][1] == "compute" for ref in refs))
        return refs[:num_returns], refs[num_returns:]

    def get(self, ref: object) -> Any:
        actor, name, args = self.waiting.pop(ref)
        if name == "compute" and self.lose(*args):
            actor.is_alive = False
        if not actor.is_alive:
            raise ActorDiedError("its node is gone")
        try:
            return getattr(actor.made, name)(*args)
        except Exception as error:
            raise RayTaskError(error) from error

    def kill(self, actor: _Actor) -> None:
        actor.is_alive = False
