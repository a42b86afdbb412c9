"""Real photographs to try things on: those that lie inside the wheels of scikit-image and scikit-learn."""

import importlib.util
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from curation.errors import InputError, MissingExtraError
from curation.whole_files import write_whole

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


def write_photographs(
    out: Path, n: int = len(PHOTOGRAPHS), on_done: Callable[[str], None] | None = None
) -> int:
    """Copy the first `n` photographs to the folder `out`, byte for byte, and return how many were not there yet.

    Raises MissingExtraError without scikit-image, InputError when its wheel holds other files.
    """
    out.mkdir(parents=True, exist_ok=True)
    n_written = 0
    for (package, path), name in islice(PHOTOGRAPHS.items(), n):
        if not (out / name).exists():
            write_whole(out / name, _packed(package, path).read_bytes())
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
