"""A label map, one number a pixel, to runs: every number is a mask."""

from __future__ import annotations

import numpy as np

from curation.errors import RleError
from curation.masks.runs import Runs, check_size


def encode_labels(labels: np.ndarray) -> tuple[np.ndarray, Runs]:
    """The numbers that occur in `labels` (H, W), rising, and their pixels as a batch: mask i is labels == numbers[i].

    One pass over the picture, however many masks there are. Raises RleError unless integers (H, W) come.
    """
    if not isinstance(labels, np.ndarray) or labels.ndim != 2 or labels.dtype.kind not in "ui":
        came = f"{labels.dtype} {labels.shape}" if isinstance(labels, np.ndarray) else type(labels).__name__
        raise RleError(f"encode_labels: {came} came; it must be a NumPy array (H, W) of integers")
    height, width = labels.shape
    check_size(height, width, "encode_labels")
    column_major = labels.T.reshape(-1)
    firsts = np.flatnonzero(np.concatenate([[True], column_major[1:] != column_major[:-1]]))
    order = np.argsort(column_major[firsts], kind="stable")
    ends = np.append(firsts[1:], column_major.size)[order]
    numbers, places = np.unique(column_major[firsts][order], return_index=True)
    return numbers, Runs(height, width, *_runs(firsts[order], ends, places, column_major.size))


def _runs(
    firsts: np.ndarray, ends: np.ndarray, places: np.ndarray, n_pixels: int
) -> tuple[np.ndarray, np.ndarray]:
    """(counts, offsets) of masks whose foreground stretches stand mask after mask; `places` is where each begins."""
    befores = np.concatenate([[0], ends[:-1]])
    befores[places] = 0
    lasts = np.append(places[1:], len(firsts)) - 1
    tails = n_pixels - ends[lasts]
    # Two runs a stretch, and one more a mask that does not reach the last pixel.
    n_runs = 2 * np.diff(np.append(places, len(firsts))) + (tails > 0)
    offsets = np.concatenate([[0], np.cumsum(n_runs)])
    mask_of = np.searchsorted(places, np.arange(len(firsts)), "right") - 1
    at = offsets[mask_of] + 2 * (np.arange(len(firsts)) - places[mask_of])
    counts = np.empty(offsets[-1], np.uint32)
    counts[at] = firsts - befores
    counts[at + 1] = ends - firsts
    counts[offsets[1:][tails > 0] - 1] = tails[tails > 0]
    return counts, offsets.astype(np.int64)
