"""Methods that learn good from bad: gradient boosting, and whatever is installed under the entry point group.

A package adds its own with an entry point of the group `curation.verifiers`, whose name is what `--method` takes:

    [project.entry-points."curation.verifiers"]
    nearest = "mypackage.verifier:Nearest"

It names an object (or a class, which is made without arguments) that keeps to `Method`. Cross-fitting by image, calibration,
held-out scores, storage and the card are done for it. Its `load` decides what its bytes may do: install only what you trust.
"""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from curation.errors import InputError
from curation.verifier.features import Features

GROUP = "curation.verifiers"
GRADIENT_BOOSTING = "gradient_boosting"


class Fitted(Protocol):
    """What a method learned."""

    def score(self, features: Features) -> np.ndarray:
        """How sure it is that each mask is good: float (N,), 0..1, no NaN. It need not be a chance: that is calibrated."""


class Method(Protocol):
    """A way to learn. It may also have `settings`, a mapping that JSON can hold, which is kept with the verifier."""

    def fit(self, features: Features, is_good: np.ndarray, image_id: np.ndarray, seed: int) -> Fitted:
        """Learn from N masks: `is_good` bool (N,), both values there; `image_id` (N,) tells which belong together.

        The same arguments must give the same result: whatever is drawn is drawn from `seed`. NaN is what is not known.
        """

    def dump(self, fitted: Fitted) -> bytes:
        """What it learned as bytes."""

    def load(self, data: bytes) -> Fitted:
        """The same from these bytes; it must score as before, bit by bit."""


@dataclass(frozen=True)
class Installed:
    """A method, with its settings, and the versions of the packages that it brings."""

    name: str
    method: Method
    settings: Mapping[str, Any]
    versions: Mapping[str, str]


def get(name: str) -> Installed:
    """The method of this name. Raises InputError where none is installed, or it does not keep to `Method`."""
    if name == GRADIENT_BOOSTING:
        from curation.verifier.boosting import GradientBoosting, versions

        boosting = GradientBoosting()
        return Installed(name, boosting, boosting.settings, versions())
    found = {entry.name: entry for entry in importlib.metadata.entry_points(group=GROUP)}
    if name not in found:
        raise InputError(
            f"--method {name!r}: there is no such method; there are: {', '.join((GRADIENT_BOOSTING, *sorted(found)))}. "
            f"Others come with a package that has an entry point of the group {GROUP}"
        )
    return _plugged_in(found[name])


def checked(name: str, scores: object, n_masks: int) -> np.ndarray:
    """Scores of a method as float64 (N,). Raises InputError where they are not what `Fitted.score` promises."""
    array = np.asarray(scores, np.float64)
    if array.shape != (n_masks,):
        raise InputError(
            f"method {name!r}: score() gave shape {array.shape}; it must be ({n_masks},), one number a mask"
        )
    if n_masks and not (array.min() >= 0 and array.max() <= 1):
        raise InputError(
            f"method {name!r}: score() gave {array.min():g} to {array.max():g}; scores must lie in 0..1, without NaN"
        )
    return array


def _plugged_in(entry: importlib.metadata.EntryPoint) -> Installed:
    where = f"method {entry.name!r} ({entry.value})"
    try:
        method = entry.load()
        method = method() if isinstance(method, type) else method
    except (ImportError, AttributeError, TypeError) as error:
        raise InputError(f"{where} does not load: {error}") from error
    lacking = [name for name in ("fit", "dump", "load") if not callable(getattr(method, name, None))]
    if lacking:
        raise InputError(f"{where} has no {', '.join(lacking)}; a method has fit, dump and load")
    versions = {entry.dist.name: entry.dist.version} if entry.dist else {}
    return Installed(entry.name, method, dict(getattr(method, "settings", {})), versions)
