"""A training as a person asks for it, and what comes out of it."""

import math
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from curation.errors import InputError
from curation.generation.models import MODELS

#: What a model can learn from: masks that people or a routing accepted, masks that people drew or corrected, gold.
MASKS_FROM = ("accepted", "corrected", "gold")


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
    #: Steps of the optimiser at most, or passes over the masks instead; early stopping may end it before.
    n_steps: int = 200
    n_epochs: float | None = None
    #: Images a step, and prompts an image: batches of 4 stay in a CPU's cache, several images steady the gradient.
    n_images_a_step: int = 4
    n_prompts: int = 4
    #: Of Adam, at its highest. Three times as much made sam2-tiny worse on scenes in 25 steps.
    learning_rate: float = 1e-4
    #: Share of images prompted by boxes, 0..1; the others by points, which is all that generation gives.
    box_share: float = 0.25
    #: Share of prompts, 0..1, that get a second point where the first answer is wrong, as a person would click.
    correction_share: float = 0.25
    #: Steps between two looks at the held-out images, and looks without a gain after which it stops.
    evaluate_every: int = 25
    patience: int = 4
    seed: int = 0
    device: str = "auto"
    #: Disk for cached embeddings, in GB.
    cache_gb: float = 20.0

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
        for name in ("held_out_share", "box_share", "correction_share"):
            if not 0 <= getattr(self, name) < 1 + (name != "held_out_share"):
                raise InputError(f"{name} is {getattr(self, name)}; it must lie in 0..1")
        for name in (
            "n_steps",
            "n_epochs",
            "n_images_a_step",
            "n_prompts",
            "learning_rate",
            "evaluate_every",
        ):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0")

    def steps(self, n_masks: int) -> int:
        """Steps at most, where so many masks are learned from."""
        if self.n_epochs is None:
            return self.n_steps
        return math.ceil(self.n_epochs * n_masks / (self.n_images_a_step * self.n_prompts))

    @property
    def determining(self) -> dict[str, object]:
        """Settings by name that the trained weights depend on, besides the masks and the base model."""
        told = {"name", "device", "cache_gb"}
        return {name: value for name, value in asdict(self).items() if name not in told}


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

    IoU before and after are means over one point prompt a mask of the held-out images, of the best of three masks
    with the one that was asked for; None where no image is held out.
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
