"""Areas, boxes and shape of masks, from their runs alone."""

from __future__ import annotations

import numpy as np
from numba import njit

from curation.masks.runs import Runs


def areas(runs: Runs) -> np.ndarray:
    """Pixels of each mask, int64 (N,)."""
    return _areas(runs.counts, runs.offsets)


def boxes(runs: Runs) -> np.ndarray:
    """Tight boxes [x, y, w, h] in pixels, int32 (N, 4); all zeros for an empty mask."""
    return _boxes(runs.counts, runs.offsets, runs.height)


@njit(cache=True, nogil=True)
def _areas(counts, offsets):
    result = np.zeros(len(offsets) - 1, np.int64)
    for mask in range(len(result)):
        area = 0
        for k in range(offsets[mask] + 1, offsets[mask + 1], 2):
            area += np.int64(counts[k])
        result[mask] = area
    return result


@njit(cache=True, nogil=True)
def _boxes(counts, offsets, height):
    result = np.zeros((len(offsets) - 1, 4), np.int32)
    for mask in range(len(result)):
        first, stop = offsets[mask], offsets[mask + 1]
        if stop - first < 2:
            continue
        x, y = 0, 0  # where the run starts
        x0, x1, y0, y1 = -1, 0, height, 0
        for k in range(first, stop):
            end = y + np.int64(counts[k])  # in rows of column x, one past the run's last pixel
            last_x, last_y = x, end
            if end > height:
                n_columns = (end - 1) // height
                last_x, last_y = x + n_columns, end - n_columns * height
            if (k - first) & 1:
                if x0 < 0:
                    x0 = x
                x1 = last_x + 1
                if last_x > x:
                    y0, y1 = 0, height
                else:
                    y0, y1 = min(y0, y), max(y1, last_y)
            x, y = last_x, last_y
            if y == height:
                x, y = x + 1, 0
        result[mask, 0], result[mask, 1] = x0, y0
        result[mask, 2], result[mask, 3] = x1 - x0, y1 - y0
    return result
