"""What generation asks of a model. Backends: `sam` (torch, segment-anything) and `onnx` (onnxruntime)."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from curation.generation.scan import Scans


@dataclass(frozen=True)
class Embedding:
    """What the encoder made of one crop of `height` x `width` px.

    `valid_rows` and `valid_columns` are the part of the feature grid that the crop covers, in cells; the rest
    is padding. `state` belongs to the backend.
    """

    height: int
    width: int
    features: np.ndarray  # float32 (C, rows, columns)
    valid_rows: float
    valid_columns: float
    state: Any


@dataclass(frozen=True)
class Decoded:
    """Answers to N prompts: `logits` (N, 3, h, w) in low resolution, where the backend keeps them."""

    logits: Any
    predicted_iou: np.ndarray  # float32 (N, 3)


class Segmenter(Protocol):
    """A model that can be prompted with points."""

    device: str
    #: Prompts that are decoded at once: what is fastest on the device.
    points_per_batch: int
    #: Exceptions that mean that a batch did not fit into memory; a smaller one may.
    memory_errors: tuple[type[BaseException], ...]

    def embed(self, pixels: np.ndarray) -> Embedding:
        """Encode a crop, uint8 RGB (height, width, 3)."""

    def decode(self, embedding: Embedding, points_xy: np.ndarray, labels: np.ndarray) -> Decoded:
        """Answer N prompts of P points: float64 (N, P, 2) in the crop's pixels, labels (N, P), 1 object, 0 not."""

    def scans(self, embedding: Embedding, decoded: Decoded, chosen: np.ndarray, offset: float) -> Scans:
        """Chosen candidates (K,) at full size, in order, at the mask threshold - offset, itself, + offset.

        `chosen` counts prompts and slots together: 3 * prompt + slot.
        """

    def release_memory(self) -> None:
        """Give cached device memory back, after a memory error."""
