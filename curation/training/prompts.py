"""Prompts as a person or a grid would give them, drawn from the masks that shall come out."""

from dataclasses import dataclass

import numpy as np

from curation.generation.embeddings import cell_areas
from curation.masks import Runs, boxes

#: Noise of a box's sides: 10 % of its length, 20 px of the network's square at most (SAM, appendix A, "Prompts").
BOX_NOISE, BOX_NOISE_PX = 0.1, 20.0
OBJECT, NOT_OBJECT, BOX_START, BOX_END = 1, 0, 2, 3


@dataclass(frozen=True)
class Frame:
    """How an image lies in the network's square, and in the decoder's low-resolution logits."""

    x_scale: float  # px of the square a px of the image
    y_scale: float
    rows: float  # cells of the logits that the image covers; the rest is padding
    columns: float

    @property
    def low_size(self) -> tuple[int, int]:
        return int(np.ceil(self.rows)), int(np.ceil(self.columns))


def cover(runs: Runs, frame: Frame) -> np.ndarray:
    """Float32 (N, rows, columns): the share of every cell of the logits that each mask covers, 0..1."""
    per_px = (frame.columns / runs.width, frame.rows / runs.height)
    return np.minimum(cell_areas(runs, (0, 0, runs.width, runs.height), per_px, frame.low_size), 1)


def points(runs: Runs, frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """A pixel of each mask at random, float32 (N, 1, 2) in the square. No mask may be empty."""
    found = np.empty((len(runs), 2))
    for index in range(len(runs)):
        counts = runs.counts[runs.offsets[index] : runs.offsets[index + 1]].astype(np.int64)
        ends, lengths = counts.cumsum()[1::2], counts[1::2]
        number = rng.integers(lengths.sum())
        run = np.searchsorted(lengths.cumsum(), number, side="right")
        place = ends[run] - (lengths[: run + 1].sum() - number)
        found[index] = divmod(place, runs.height)  # runs go down the columns
    return ((found + 0.5) * (frame.x_scale, frame.y_scale)).astype(np.float32)[:, None]


def noisy_boxes(runs: Runs, frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """Two corners around each mask, float32 (N, 2, 2) in the square, with each side off by a random length."""
    x, y, width, height = boxes(runs).astype(np.float64).T
    scale = np.array([frame.x_scale, frame.y_scale])
    corners = np.stack([np.stack([x, y], 1), np.stack([x + width, y + height], 1)], axis=1) * scale
    sides = np.stack([width, height], axis=1)[:, None] * scale
    spread = np.minimum(BOX_NOISE * sides, BOX_NOISE_PX)
    moved = corners + np.clip(rng.normal(0, 1, corners.shape), -2, 2) * spread
    end = np.array([runs.width, runs.height]) * scale
    return np.clip(moved, 0, end).astype(np.float32)


def corrections(
    shown: np.ndarray, covered: np.ndarray, frame: Frame, size: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A cell of each error region at random: points float32 (N, 1, 2) in the square, labels int64 (N, 1).

    `shown` and `covered` are bool (N, rows, columns), `size` the image's (height, width) in px. A missed cell asks
    for more, one too many for less; where there is no error the point confirms the mask (SAM, appendix A).
    """
    found, labels = np.empty((len(shown), 2)), np.ones((len(shown), 1), np.int64)
    for index, (mine, theirs) in enumerate(zip(shown, covered, strict=True)):
        region = mine != theirs
        cells = np.argwhere(region if region.any() else theirs)
        row, column = cells[rng.integers(len(cells))]
        labels[index] = OBJECT if theirs[row, column] else NOT_OBJECT
        found[index] = (column + 0.5) / frame.columns, (row + 0.5) / frame.rows
    end = np.array([size[1] * frame.x_scale, size[0] * frame.y_scale])
    return np.minimum(found * end, end).astype(np.float32)[:, None], labels
