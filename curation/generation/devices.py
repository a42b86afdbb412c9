"""Which devices a run may use, and which one each of its processes takes."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from curation.errors import InputError, MissingExtraError

_held: list[object] = []  # open lock files: closing one would give its slot back


def available(device: str, backend: str) -> list[str]:
    """The devices that `--device` means: `auto` is every GPU, else MPS, else the CPU.

    onnxruntime cannot count GPUs: `auto` is its first one there. Raises InputError and MissingExtraError.
    """
    if backend == "onnx":
        with extra_named("an ONNX model", "generate"):
            from curation.generation.segmenters import onnx

        return [onnx.choose_device(device)]
    with extra_named("a torch checkpoint", "sam"):
        from curation.generation.segmenters import sam
    return sam.usable_devices(device)


@contextlib.contextmanager
def extra_named(what: str, extra: str) -> Iterator[None]:
    """Say which extra to install where an import inside fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(what, extra, error.name) from error


def claim(slots: tuple[str, ...], folder: Path) -> str:
    """Take one of the devices for this process until it ends; no two processes take the same slot.

    `slots` names a device for every worker; a device that stands there twice serves two. `folder` holds the locks.
    Raises InputError when every slot is taken.
    """
    for number, device in enumerate(slots):
        file = (folder / f"slot-{number}.lock").open("w")
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _held.append(file)
            return device
        file.close()
    raise InputError(
        f"{len(slots)} processes hold the devices {', '.join(slots)} already; start with more --workers"
    )
