"""Exact area coverage of outlines, and a soft blur: the two kernels that a scene is drawn with."""

import math

import numpy as np
from numba import njit

from .outlines import Outline

Window = tuple[slice, slice]


def coverage(outline: Outline, height: int, width: int) -> tuple[np.ndarray, Window] | None:
    """How much of each pixel the outline covers, in 0..1, and the window of the (height, width) frame it fills.

    Pixel (x, y) spans [x, x + 1) by [y, y + 1). Rings that run alike are united, rings that run
    against each other cut holes. None when the outline lies outside the frame.
    """
    low = np.floor(np.min([ring.min(axis=0) for ring in outline], axis=0)).astype(int)
    high = np.ceil(np.max([ring.max(axis=0) for ring in outline], axis=0)).astype(int)
    x0, y0 = max(low[0], 0), max(low[1], 0)
    x1, y1 = min(high[0], width), min(high[1], height)
    if x0 >= x1 or y0 >= y1:
        return None
    cells = np.zeros((y1 - y0, x1 - x0 + 2))
    for ring in outline:
        _add_ring(cells, ring - (x0, y0), x1 - x0)
    covered = np.minimum(np.abs(np.cumsum(cells[:, : x1 - x0], axis=1)), 1.0)
    return covered.astype(np.float32), (slice(y0, y1), slice(x0, x1))


@njit(cache=True, nogil=True)
def _add_ring(cells, ring, width):
    """Add a closed ring's signed cover to `cells`; a running sum along x then gives the covered area.

    An edge that drops by `d` inside one pixel covers everything to its right by `d`, and its own
    pixel by `d` times the part of it that lies right of the edge.
    """
    height = cells.shape[0]
    for i in range(len(ring)):
        xa, ya = ring[i]
        xb, yb = ring[(i + 1) % len(ring)]
        if ya == yb:
            continue
        sign = 1.0
        if ya > yb:
            xa, ya, xb, yb, sign = xb, yb, xa, ya, -1.0
        slope = (xb - xa) / (yb - ya)
        for row in range(max(0, int(np.floor(ya))), min(height, int(np.ceil(yb)))):
            top, bottom = max(ya, row), min(yb, row + 1)
            if bottom <= top:
                continue
            left = min(max(xa + (top - ya) * slope, 0.0), width)
            right = min(max(xa + (bottom - ya) * slope, 0.0), width)
            if left > right:
                left, right = right, left
            drop = sign * (bottom - top)
            for column in range(int(np.floor(left)), int(np.floor(right)) + 1):
                start, stop = max(left, column), min(right, column + 1)
                part = drop if right == left else drop * (stop - start) / (right - left)
                middle = 0.5 * (start + stop) - column
                cells[row, column] += part * (1.0 - middle)
                cells[row, column + 1] += part * middle


def blur(image: np.ndarray, radius_px: float) -> np.ndarray:
    """Soften a float32 (H, W) or (H, W, C) image: three box means, close to a Gaussian of sigma `radius_px`.

    The border repeats its last pixel. A radius under half a pixel returns the image as it is.
    """
    # Three boxes of half width r have variance r (r + 1); solve for the wanted variance.
    half = round(0.5 * (math.sqrt(1.0 + 4.0 * radius_px**2) - 1.0))
    if half < 1:
        return image
    stack = image[..., None] if image.ndim == 2 else image
    for _ in range(3):
        stack = _box(_box(stack, half).transpose(1, 0, 2), half).transpose(1, 0, 2)
    return stack[..., 0] if image.ndim == 2 else stack


def _box(stack: np.ndarray, half: int) -> np.ndarray:
    """Mean over 2·half + 1 rows."""
    padded = np.pad(stack, ((half + 1, half), (0, 0), (0, 0)), mode="edge").astype(np.float64)
    total = np.cumsum(padded, axis=0)
    return ((total[2 * half + 1 :] - total[: -2 * half - 1]) / (2 * half + 1)).astype(np.float32)
