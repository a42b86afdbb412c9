"""Masks by clicks: an image's embedding is kept, so that each click costs the decoder alone."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from curation.errors import InputError
from curation.generation.segmenters import Embedding, Segmenter
from curation.masks import Runs

#: Embeddings kept: sam2-tiny's take 17 MB each, a ViT's 8 MB.
MAX_EMBEDDINGS = 16


@dataclass(frozen=True)
class Prompted:
    """One mask (`runs` holds one) and what the model itself thinks of it; predicted IoU may leave 0..1."""

    runs: Runs
    predicted_iou: float


@dataclass
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    embedding: Embedding | None = None


class Prompter:
    """Answers clicks on images. Several threads may ask at once; an image is encoded once, by whoever comes first."""

    def __init__(self, segmenter: Segmenter, max_embeddings: int = MAX_EMBEDDINGS) -> None:
        self._segmenter = segmenter
        self._max_embeddings = max_embeddings
        self._entries: OrderedDict[int, _Entry] = OrderedDict()
        self._lock = threading.Lock()

    def prepare(self, image_id: int, read: Callable[[], np.ndarray]) -> None:
        """Encode an image (`read` gives uint8 RGB (H, W, 3)) before the first click asks for it."""
        entry = self._entry(image_id)
        with entry.lock:
            self._embed(entry, read)

    def answer(
        self, image_id: int, read: Callable[[], np.ndarray], points_xy: np.ndarray, labels: np.ndarray
    ) -> Prompted:
        """The mask that the model holds most likely for P clicks: pixels (P, 2), labels (P,) 1 object, 0 not.

        Of the three multimask outputs the one with the highest predicted IoU, as SamPredictor's users choose
        (segment_anything/predictor.py). Raises InputError without a click on the object, or off the image.
        """
        points_xy, labels = np.asarray(points_xy, np.float64), np.asarray(labels, np.int32)
        entry = self._entry(image_id)
        with entry.lock:
            embedding = self._embed(entry, read)
            _check(points_xy, labels, embedding.width, embedding.height)
            decoded = self._segmenter.decode(embedding, points_xy[None], labels[None])
            best = int(decoded.predicted_iou[0].argmax())
            offset = 1.0  # of the outer cuts, which nobody looks at here
            scans = self._segmenter.scans(embedding, decoded, np.array([best]), offset)
            counts = scans.runs(0, 0, 0, embedding.height, embedding.width)
            runs = Runs(embedding.height, embedding.width, counts, np.array([0, len(counts)]))
            return Prompted(runs, float(decoded.predicted_iou[0, best]))

    def _entry(self, image_id: int) -> _Entry:
        """The newest are kept; one that is let go while another thread uses it lives until that one is done."""
        with self._lock:
            entry = self._entries.setdefault(image_id, _Entry())
            self._entries.move_to_end(image_id)
            while len(self._entries) > self._max_embeddings:
                self._entries.popitem(last=False)
            return entry

    def _embed(self, entry: _Entry, read: Callable[[], np.ndarray]) -> Embedding:
        if entry.embedding is None:
            entry.embedding = self._segmenter.embed(read())
        return entry.embedding


def _check(points_xy: np.ndarray, labels: np.ndarray, width: int, height: int) -> None:
    if points_xy.ndim != 2 or points_xy.shape[1:] != (2,) or labels.shape != points_xy.shape[:1]:
        raise InputError(
            f"clicks: points of shape {points_xy.shape} and labels of shape {labels.shape} came; give (P, 2) and (P,)"
        )
    if not np.isin(labels, (0, 1)).all() or not (labels == 1).any():
        raise InputError("clicks: labels are 1 (object) and 0 (not the object), and at least one must be 1")
    inside = (points_xy >= 0) & (points_xy <= (width, height))
    if not inside.all():
        outside = points_xy[~inside.all(axis=1)][0].tolist()
        raise InputError(f"clicks: {outside} lies outside of the image of {width} x {height} px")
