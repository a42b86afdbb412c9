"""Which devices a run may use, and which one each of its processes takes."""

import contextlib
import fcntl
from pathlib import Path

from curation.errors import InputError, MissingExtraError

_held: list[object] = []  # open lock files: closing one would give its slot back


def available(device: str, backend: str) -> list[str]:
    """The devices that `--device` means: `auto` is every GPU, else MPS, else the CPU.

    onnxruntime finds its own device, and takes a number only where one is named. Raises InputError and
    MissingExtraError.
    """
    if backend == "onnx":
        return [device]
    try:
        import torch

        from curation.generation.segmenters.sam import choose_device
    except ModuleNotFoundError as error:
        raise MissingExtraError("a torch checkpoint", "sam", error.name) from error
    if device in ("auto", "cuda") and torch.cuda.is_available():
        return [f"cuda:{k}" for k in range(torch.cuda.device_count())]
    return [choose_device(device)]


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
