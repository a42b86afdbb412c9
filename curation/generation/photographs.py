"""Real photographs to try things on: those that lie inside the wheels of scikit-image and scikit-learn."""

import importlib.util
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from curation.errors import InputError, MissingExtraError

#: File in the package -> name that the photograph gets. scikit-image loads its other pictures from the network.
PHOTOGRAPHS = {
    ("skimage", "data/astronaut.png"): "astronaut.png",
    ("skimage", "data/chelsea.png"): "cat.png",
    ("sklearn", "datasets/images/china.jpg"): "china.jpg",
    ("skimage", "data/coffee.png"): "coffee.png",
    ("skimage", "data/coins.png"): "coins.png",
    ("sklearn", "datasets/images/flower.jpg"): "flower.jpg",
    ("skimage", "data/motorcycle_left.png"): "motorcycle.png",
    ("skimage", "data/rocket.jpg"): "rocket.jpg",
}


def write_photographs(out: Path, on_done: Callable[[str], None] | None = None) -> int:
    """Copy the photographs to the folder `out`, byte for byte, and return how many were not there yet.

    Raises MissingExtraError without scikit-image, InputError when its wheel holds other files.
    """
    out.mkdir(parents=True, exist_ok=True)
    n_written = 0
    for (package, path), name in PHOTOGRAPHS.items():
        if not (out / name).exists():
            _copy(_packed(package, path), out / name)
            n_written += 1
        if on_done is not None:
            on_done(name)
    return n_written


def _packed(package: str, path: str) -> Path:
    """The file inside an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingExtraError("writing photographs", "generate", "scikit-image")
    file = Path(spec.origin).parent / path
    if not file.is_file():
        raise InputError(
            f"{file} is not there: this version of {package} is packed differently; install another"
        )
    return file


def _copy(source: Path, target: Path) -> None:
    """Write the whole file or nothing."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(source.read_bytes())
    os.chmod(temporary, 0o644)
    os.replace(temporary, target)
