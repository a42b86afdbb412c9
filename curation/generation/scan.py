"""From a mask's logits to counts, box and runs in one pass over the pixels.

The field of a mask is an array (h, w) over its crop: float32 logits, or uint8 levels that a device made of them.
"""

from typing import NamedTuple

import numpy as np
from numba import njit


class Scan(NamedTuple):
    """What one pass saw. The box is in the crop's frame with inclusive maxima, all 0 for an empty mask."""

    n_low: int  # pixels above the mask threshold - offset
    area_px: int  # pixels above the mask threshold
    n_high: int  # pixels above the mask threshold + offset
    x_min: int
    y_min: int
    x_max: int
    y_max: int
    n_changes: int  # places where the mask begins or ends down a column


class Workspace:
    """Memory that scans of one crop's size share: it is written for every mask, and allocated once."""

    def __init__(self, height: int, width: int) -> None:
        # A row beyond the last takes the ends of masks that touch the lower edge; 8 | stride for 64-bit reads.
        self.changed = np.zeros((height + 1, (width + 7) // 8 * 8), np.uint8)
        self.above = np.zeros(width, np.uint8)
        self.columns = np.zeros(width, np.uint8)
        self.height, self.width = height, width

    def scan(self, field: np.ndarray, low: float, middle: float, high: float) -> Scan:
        """Compare a field (h, w) with the three cuts; `middle` is the mask threshold."""
        kind = field.dtype.type
        return Scan(
            *_scan(field, kind(low), kind(middle), kind(high), self.changed, self.above, self.columns)
        )

    def runs(self, scan: Scan, x: int, y: int, height: int, width: int) -> np.ndarray:
        """COCO run lengths (uint32) of the mask scanned last, in an image (height, width) whose crop lies at x, y."""
        words = self.changed.view(np.uint64)
        return _runs(words, self.changed, self.width, scan.n_changes, x, y, height, width)


@njit(cache=True, nogil=True)
def _scan(field, low, middle, high, changed, above, columns):
    height, width = field.shape
    n_low, area, n_high, n_changes = 0, 0, 0, 0
    y_min, y_max = -1, -1
    above[:] = 0
    columns[:] = 0
    for y in range(height):
        row, out = field[y], changed[y]
        row_low, row_area, row_high, row_changes = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
        for x in range(width):
            value = row[x]
            is_mask = np.uint8(value > middle)
            is_change = is_mask ^ above[x]
            out[x] = is_change
            above[x] = is_mask
            columns[x] |= is_mask
            row_low += np.int32(value > low)
            row_area += np.int32(is_mask)
            row_high += np.int32(value > high)
            row_changes += np.int32(is_change)
        n_low += row_low
        area += row_area
        n_high += row_high
        n_changes += row_changes
        if row_area:
            y_min = y if y_min < 0 else y_min
            y_max = y
    for x in range(width):
        changed[height, x] = above[x]
        n_changes += above[x]
    if area == 0:
        return n_low, area, n_high, 0, 0, 0, 0, n_changes
    x_min, x_max = 0, width - 1
    while not columns[x_min]:
        x_min += 1
    while not columns[x_max]:
        x_max -= 1
    return n_low, area, n_high, x_min, y_min, x_max, y_max, n_changes


@njit(cache=True, nogil=True)
def _runs(words, changed, crop_width, n_changes, x0, y0, height, width):
    # Changes come row by row; a counting sort brings them into column order.
    xs, ys = np.empty(n_changes, np.int64), np.empty(n_changes, np.int64)
    begin = np.zeros(crop_width + 1, np.int64)
    n = 0
    for y in range(words.shape[0]):
        for word in range(words.shape[1]):
            if words[y, word]:
                for x in range(8 * word, 8 * word + 8):
                    if changed[y, x]:
                        xs[n], ys[n] = x, y
                        begin[x + 1] += 1
                        n += 1
    for x in range(crop_width):
        begin[x + 1] += begin[x]
    places = np.empty(n_changes, np.int64)
    for k in range(n_changes):
        places[begin[xs[k]]] = (x0 + xs[k]) * height + y0 + ys[k]
        begin[xs[k]] += 1

    counts = np.empty(n_changes + 1, np.uint32)
    n, last = 0, 0
    k = 0
    while k < n_changes:
        if k + 1 < n_changes and places[k] == places[k + 1]:
            k += 2  # ends at a column's foot and begins at the next one's head: one run
            continue
        counts[n] = places[k] - last
        last = places[k]
        n += 1
        k += 1
    if last < height * width:
        counts[n] = height * width - last
        n += 1
    return counts[:n].copy()
