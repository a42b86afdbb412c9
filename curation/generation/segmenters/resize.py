"""Bilinear enlargement of one low-resolution mask, for backends without an own one."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def enlarge(low: np.ndarray, out: np.ndarray) -> None:
    """Write `low`, float32 (h, w), to `out`, float32 (height, width), at half-pixel centres, edges repeated.

    The frame is torch's interpolate(mode="bilinear", align_corners=False). Down the columns first: that pass
    has only w values a row.
    """
    low_height, low_width = low.shape
    height, width = out.shape
    left, right_share = _taps(low_width, width)
    upper, lower_share = _taps(low_height, height)
    row = np.empty(low_width, np.float32)
    for y in range(height):
        above, share = upper[y], lower_share[y]
        below = min(above + 1, low_height - 1)
        for x in range(low_width):
            row[x] = low[above, x] + (low[below, x] - low[above, x]) * share
        for x in range(width):
            start = row[left[x]]
            out[y, x] = start + (row[min(left[x] + 1, low_width - 1)] - start) * right_share[x]


@njit(cache=True, nogil=True)
def _taps(n_from, n_to):
    """For every target position: the source position before it, and the share of the one after."""
    before, share = np.empty(n_to, np.int64), np.empty(n_to, np.float32)
    for k in range(n_to):
        place = max((k + 0.5) * n_from / n_to - 0.5, 0.0)
        before[k] = min(int(place), n_from - 1)
        share[k] = place - before[k]
    return before, share
