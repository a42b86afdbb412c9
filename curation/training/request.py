"""A training as a person asks for it, and what comes out of it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from curation.errors import InputError
from curation.generation.models import MODELS

#: What a model can learn from: masks that people or a routing accepted, masks that people drew or corrected, gold.
MASKS_FROM = ("accepted", "corrected", "gold")
#: Folder of trained models, in the workspace.
MODELS_FOLDER = "models"


@dataclass(frozen=True)
class Request:
    """What `curation train` was asked. Raises InputError for what is not allowed.

    `model` is a name of `models list`, a trained model of the workspace, or a path; `name` is the trained one's.
    Accepted are masks of settled verdicts, and those that `routing` accepts and nobody has turned down. `run_id`
    takes masks and gold on the images of one run alone, `image_ids` on these images, `where` (SQL over masks)
    narrows accepted and corrected masks, `gold_run_ids` gold; None is all there are.
    """

    name: str
    model: str = "sam2-tiny"
    masks_from: tuple[str, ...] = MASKS_FROM
    run_id: int | None = None
    where: str | None = None
    gold_run_ids: tuple[int, ...] | None = None
    routing: str | None = None
    image_ids: tuple[int, ...] | None = None
    #: Share of the images, 0..1, that are never trained on: early stopping and the figures look at these.
    held_out_share: float = 0.2
    #: Optimiser steps at most; early stopping may end it before.
    n_steps: int = 400
    #: Images a step, and prompts an image.
    n_images_a_step: int = 2
    n_prompts: int = 8
    learning_rate: float = 1e-4
    #: Steps between two looks at the held-out images, and such looks without a gain before it stops.
    evaluate_every: int = 50
    patience: int = 4
    seed: int = 0
    device: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", self.name):
            raise InputError(
                f"model {self.name!r}: a name starts with a letter, then letters, digits, '.', '_' or '-'"
            )
        if self.name in MODELS:
            raise InputError(
                f"model {self.name!r} is one of `models list`: give the trained model another name"
            )
        unknown = set(self.masks_from) - set(MASKS_FROM)
        if unknown or not self.masks_from:
            came = ", ".join(sorted(unknown)) or "nothing"
            raise InputError(f"--from {came}: allowed are {', '.join(MASKS_FROM)}")


@dataclass(frozen=True)
class Moment:
    """How far a training is: `done` of `total` images embedded (`embed`) or steps taken (`train`)."""

    phase: str
    done: int
    total: int
    note: str = ""


OnMoment = Callable[[Moment], None]


@dataclass(frozen=True)
class Trained:
    """A trained model, in the columns of `trained_models`: `model` is what `generate --model` takes.

    IoU before and after are means over the prompts of the held-out images; None where no image is held out.
    """

    model: str
    path: Path
    n_train_images: int
    n_train_masks: int
    n_held_out_images: int
    iou_before: float | None
    iou_after: float | None
    n_steps: int
    took_s: float
    is_resumed: bool
