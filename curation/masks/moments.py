"""Centre and second moments of masks, from their segments."""

from __future__ import annotations

import numpy as np
from numba import njit

from curation.masks.runs import Runs
from curation.masks.segments import Segments, split


def moments(runs: Runs | Segments) -> np.ndarray:
    """(mean x, mean y, var x, var y, cov xy) of each mask's pixels, in px and px², float64 (N, 5).

    Pixels count as points at their indexes, as in scikit-image's regionprops; NaN for an empty mask.
    """
    segments = split(runs)
    return _moments(segments.firsts, segments.ends, segments.offsets, segments.stride)


def axis_lengths(of_moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Major and minor axis of the ellipse with the same second moments, float64 (N,) in px, from `moments`.

    axis_major_length and axis_minor_length of scikit-image's regionprops.
    """
    _, _, var_x, var_y, cov_xy = of_moments.T
    middle, spread = (var_x + var_y) / 2, np.hypot((var_x - var_y) / 2, cov_xy)
    return 4 * np.sqrt(middle + spread), 4 * np.sqrt(np.maximum(middle - spread, 0))


@njit(cache=True, nogil=True)
def _moments(firsts, ends, offsets, stride):
    """Sums are of integers counted from the mask's first segment, so the variances lose next to nothing."""
    result = np.full((len(offsets) - 1, 5), np.nan)
    for mask in range(len(result)):
        start, stop = offsets[mask], offsets[mask + 1]
        if start == stop:
            continue
        left = firsts[start] // stride
        top = firsts[start] - left * stride
        column, x = left * stride + top, 0
        n_px, sum_x, sum_y, sum_xx, sum_yy, sum_xy = 0, 0, 0, 0, 0, 0
        for k in range(start, stop):
            while firsts[k] >= column - top + stride:
                column += stride
                x += 1
            first, last = firsts[k] - column, ends[k] - column - 1
            n = last - first + 1
            twice_y = (first + last) * n
            n_px += n
            sum_x += x * n
            sum_xx += x * x * n
            sum_y += twice_y
            sum_xy += x * twice_y
            sum_yy += (
                n * (first * first + last * last + first * last) + (last - first) * n // 2
            )  # three times
        mean_x, mean_y = sum_x / n_px, sum_y / 2 / n_px
        result[mask, 0], result[mask, 1] = left + mean_x, top + mean_y
        result[mask, 2] = max(sum_xx / n_px - mean_x * mean_x, 0.0)
        result[mask, 3] = max(sum_yy / 3 / n_px - mean_y * mean_y, 0.0)
        result[mask, 4] = sum_xy / 2 / n_px - mean_x * mean_y
    return result
