"""The course of a training: steps, looks at the held-out images, and the weights that did best there."""

import hashlib
import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from curation.masks import areas
from curation.training.embeddings import EmbeddingCache
from curation.training.losses import best_of_three, ious, mask_losses
from curation.training.networks import Network, State
from curation.training.prompts import (
    BOX_END,
    BOX_START,
    OBJECT,
    Frame,
    corrections,
    cover,
    noisy_boxes,
    points,
)
from curation.training.request import Request
from curation.training.targets import TargetImage
from curation.whole_files import write_whole

#: Smaller masks cannot be drawn in the decoder's logits: two by two cells.
MIN_CELLS = 4.0
#: Held-out images that are looked at, and prompts on all of them together: a look costs about 20 steps on a CPU.
MAX_LOOKED_AT, LOOK_PROMPTS = 48, 96
#: Steps in which the learning rate rises to its value; Adam knows no gradient yet.
WARM_UP_STEPS = 10
#: Masks whose covers are held at once: 64 take 17 MB.
COVERS_AT_ONCE = 64
#: Largest norm of the gradient of a step.
MAX_NORM = 1.0


@dataclass(frozen=True)
class Lesson:
    """An image with those of its masks that the decoder can draw."""

    image: TargetImage
    frame: Frame

    @classmethod
    def of(cls, image: TargetImage, frame: Frame) -> "Lesson":
        cells = areas(image.runs) * (frame.rows / image.height_px) * (frame.columns / image.width_px)
        large = np.flatnonzero(cells >= MIN_CELLS)
        chosen = {**vars(image), "mask_ids": image.mask_ids[large], "runs": image.runs[large]}
        return cls(TargetImage(**chosen), frame)

    def __len__(self) -> int:
        return len(self.image.runs)


@dataclass(frozen=True)
class Look:
    """The held-out images after so many steps: means over one point prompt a mask.

    `iou` is that of the best of the three masks with the one that was asked for, `ranked_iou` that of the mask that
    the model itself ranks first with the known mask that it shows best, `iou_gap` the mean distance of its
    predicted IoU from that.
    """

    step: int
    iou: float
    ranked_iou: float
    iou_gap: float


@dataclass(frozen=True)
class Answers:
    """What the model answers to one point on each of N masks of an image: float arrays (N,), named as in `Look`."""

    image_id: int
    iou: np.ndarray
    ranked_iou: np.ndarray
    predicted_iou: np.ndarray


@dataclass
class Progress:
    """All that a course needs to go on, besides the weights and the optimiser."""

    step: int = 0
    looks: list[Look] = field(default_factory=list)
    best_step: int = 0
    took_s: float = 0.0

    @property
    def best(self) -> Look | None:
        return next((look for look in self.looks if look.step == self.best_step), None)

    def looks_since_best(self) -> int:
        return sum(look.step > self.best_step for look in self.looks)


class Course:
    """Trains a network's decoder. What happens in a step depends on the seed and the step's number alone."""

    def __init__(
        self,
        network: Network,
        lessons: list[Lesson],
        held_out: list[Lesson],
        cache: EmbeddingCache,
        request: Request,
    ) -> None:
        self.network, self.lessons, self.request = network, lessons, request
        self.held_out = _looked_at(held_out)
        self.n_steps = request.steps(sum(len(lesson) for lesson in lessons))
        self.progress = Progress()
        self._cache = cache
        self._optimiser = torch.optim.Adam(network.decoder.parameters(), lr=request.learning_rate)
        self._best: State = _copy(network.decoder)

    def run(self, checkpoint: Path, on_step: Callable[[int, str], None]) -> None:
        """Train to the end, and put the best weights into the network. `checkpoint` is written at every look."""
        if self.progress.step == 0 and not self.progress.looks:
            self._look()
        started, before_s = perf_counter(), self.progress.took_s
        while self.progress.step < self.n_steps and not self._is_spent():
            loss = self.step(self.progress.step)
            self.progress.step += 1
            is_last = self.progress.step == self.n_steps
            if is_last or self.progress.step % self.request.evaluate_every == 0:
                self._look()
                self.progress.took_s = before_s + perf_counter() - started
                self.save(checkpoint)
            on_step(self.progress.step, self._told(loss))
        self.network.decoder.load_state_dict(self._best)

    def step(self, number: int) -> float:
        """One step of the optimiser; its mean loss a prompt."""
        for group in self._optimiser.param_groups:
            group["lr"] = self.request.learning_rate * self._rate(number)
        self._optimiser.zero_grad(set_to_none=True)
        rng = np.random.default_rng([self.request.seed, number])
        total = 0.0
        chosen = self._lessons_of(number)
        for lesson in chosen:
            loss = self.loss(lesson, rng) / len(chosen)
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(self.network.decoder.parameters(), MAX_NORM)
        self._optimiser.step()
        return total

    def loss(self, lesson: Lesson, rng: np.random.Generator) -> torch.Tensor:
        """Mean loss over prompts on some of an image's masks, all points or all boxes.

        Predicted IoU: of complete masks every slot counts, against the mask that it shows best, which is what filters
        ask of it. Otherwise what a slot shows may be an object that nobody masked, and only the best one counts,
        against the mask that was asked for.
        """
        n = min(self.request.n_prompts, len(lesson))
        chosen = np.sort(rng.choice(len(lesson), n, replace=False))
        features = self._cache.read(lesson.image)
        covers = self._covers(lesson, chosen)
        xy, labels = self._prompts(lesson, chosen, rng)
        if rng.random() < self.request.correction_share:
            with torch.no_grad():
                logits, predicted_iou = self._decode(lesson, features, xy, labels)
            xy, labels = _corrected(lesson, logits, predicted_iou, covers, (xy, labels), rng)
        logits, predicted_iou = self._decode(lesson, features, xy, labels)
        lowest, slots = best_of_three(mask_losses(logits, covers))
        if lesson.image.is_complete:
            return lowest.mean() + (predicted_iou - self._shown(lesson, logits)).square().mean()
        gap = predicted_iou - _own_ious(logits, covers)
        return lowest.mean() + gap.gather(1, slots[:, None]).square().mean()

    def answers(self, lesson: Lesson, n_most: int) -> Answers:
        """One point on each of the image's masks, or of `n_most` of them; the same ones whenever it is asked."""
        rng = np.random.default_rng(_number(lesson.image.image_id))
        chosen = np.sort(rng.permutation(len(lesson))[:n_most])
        features = self._cache.read(lesson.image)
        xy = points(lesson.image.runs[chosen], lesson.frame, rng)
        found = []
        for first in range(0, len(chosen), self.request.n_prompts):
            part = slice(first, first + self.request.n_prompts)
            with torch.no_grad():
                logits, predicted_iou = self._decode(lesson, features, xy[part], _labels(xy[part], OBJECT))
            own = _own_ious(logits, self._covers(lesson, chosen[part]))
            ranked = predicted_iou.argmax(dim=1, keepdim=True)
            shown = self._shown(lesson, logits) if lesson.image.is_complete else own
            columns = (
                own.max(1).values,
                shown.gather(1, ranked)[:, 0],
                predicted_iou.gather(1, ranked)[:, 0],
            )
            found.append(torch.stack(columns).cpu().numpy())
        return Answers(lesson.image.image_id, *np.concatenate(found, axis=1))

    def save(self, path: Path) -> None:
        """Write all that `resume` needs, in one step."""
        buffer = io.BytesIO()
        progress = vars(self.progress) | {"looks": [vars(look) for look in self.progress.looks]}
        state = {
            "progress": progress,
            "decoder": self.network.decoder.state_dict(),
            "best": self._best,
            "optimiser": self._optimiser.state_dict(),
        }
        torch.save(state, buffer)
        write_whole(path, buffer.getvalue())

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint of the same training."""
        state = torch.load(path, map_location=self.network.device, weights_only=True)
        self.network.decoder.load_state_dict(state["decoder"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._best = state["best"]
        looks = [Look(**look) for look in state["progress"].pop("looks")]
        self.progress = Progress(**state["progress"], looks=looks)

    def _look(self) -> None:
        """Look at the held-out images, and keep the weights where they are the best so far."""
        if self.held_out:
            n_most = max(1, LOOK_PROMPTS // len(self.held_out))
            found = [self.answers(lesson, n_most) for lesson in self.held_out]
            iou, ranked_iou, predicted_iou = (
                np.concatenate([getattr(answers, name) for answers in found])
                for name in ("iou", "ranked_iou", "predicted_iou")
            )
            gap = np.abs(predicted_iou - ranked_iou).mean()
            look = Look(self.progress.step, float(iou.mean()), float(ranked_iou.mean()), float(gap))
            self.progress.looks.append(look)
            if self.progress.best is not None and look.iou <= self.progress.best.iou:
                return
        self.progress.best_step = self.progress.step
        self._best = _copy(self.network.decoder)

    def _is_spent(self) -> bool:
        return self.progress.looks_since_best() >= self.request.patience

    def _decode(
        self, lesson: Lesson, features: dict[str, np.ndarray], xy: np.ndarray, labels: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits without the padding, and predicted IoU."""
        logits, predicted_iou = self.network.decode(features, xy, labels)
        rows, columns = lesson.frame.low_size
        return logits[..., :rows, :columns], predicted_iou

    def _prompts(
        self, lesson: Lesson, chosen: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        runs = lesson.image.runs[chosen]
        if rng.random() < self.request.box_share:
            xy = noisy_boxes(runs, lesson.frame, rng)
            return xy, np.tile(np.array([BOX_START, BOX_END], np.int64), (len(xy), 1))
        xy = points(runs, lesson.frame, rng)
        return xy, _labels(xy, OBJECT)

    def _covers(self, lesson: Lesson, chosen: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(cover(lesson.image.runs[chosen], lesson.frame)).to(self.network.device)

    def _shown(self, lesson: Lesson, logits: torch.Tensor) -> torch.Tensor:
        """IoU (B, 3) of every slot with the one of the image's masks that it shows best."""
        parts = np.array_split(np.arange(len(lesson)), math.ceil(len(lesson) / COVERS_AT_ONCE))
        with torch.no_grad():
            found = [ious(logits, self._covers(lesson, part)).max(2).values for part in parts]
        return torch.stack(found).max(0).values

    def _lessons_of(self, number: int) -> list[Lesson]:
        """Each pass over the images takes them in a new order."""
        n, k = len(self.lessons), min(self.request.n_images_a_step, len(self.lessons))
        chosen = []
        for place in range(number * k, number * k + k):
            order = np.random.default_rng([self.request.seed, 1, place // n]).permutation(n)
            chosen.append(self.lessons[order[place % n]])
        return chosen

    def _rate(self, number: int) -> float:
        """Share of the learning rate: it rises to 1, then falls along half a cosine to 0 at the last step."""
        rise = min(1.0, (number + 1) / WARM_UP_STEPS)
        return rise * 0.5 * (1 + math.cos(math.pi * number / self.n_steps))

    def _told(self, loss: float) -> str:
        if not self.progress.looks:
            return f"loss {loss:.3f}"
        now, before = self.progress.looks[-1], self.progress.looks[0]
        return f"loss {loss:.3f}, held-out IoU {now.iou:.3f} (was {before.iou:.3f})"


def _own_ious(logits: torch.Tensor, covers: torch.Tensor) -> torch.Tensor:
    """IoU (B, 3) of every slot with the mask that its prompt asked for, `covers` (B, h, w)."""
    each = torch.arange(len(logits), device=logits.device)
    with torch.no_grad():
        return ious(logits, covers)[each, :, each]


def _corrected(
    lesson: Lesson,
    logits: torch.Tensor,
    predicted_iou: torch.Tensor,
    covers: torch.Tensor,
    prompts: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """The prompts with one more point each, where the mask that the model ranks first is wrong."""
    each = torch.arange(len(logits), device=logits.device)
    shown = (logits[each, predicted_iou.argmax(dim=1)] > 0).cpu().numpy()
    size = (lesson.image.height_px, lesson.image.width_px)
    more, more_labels = corrections(shown, (covers >= 0.5).cpu().numpy(), lesson.frame, size, rng)
    return np.concatenate([prompts[0], more], axis=1), np.concatenate([prompts[1], more_labels], axis=1)


def _looked_at(held_out: list[Lesson]) -> list[Lesson]:
    """As many as a look can afford, chosen by hash, so that they stay the same while images come in."""
    return sorted(held_out, key=lambda lesson: _number(lesson.image.image_id))[:MAX_LOOKED_AT]


def _labels(xy: np.ndarray, label: int) -> np.ndarray:
    return np.full(xy.shape[:2], label, np.int64)


def _number(image_id: int) -> int:
    return int.from_bytes(hashlib.sha256(f"look {image_id}".encode()).digest()[:8], "big")


def _copy(decoder: torch.nn.Module) -> State:
    return {name: value.detach().clone() for name, value in decoder.state_dict().items()}
