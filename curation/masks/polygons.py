"""Polygons to runs, pixel for pixel as pycocotools draws them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numba import njit

from curation.errors import RleError
from curation.masks.regions import union
from curation.masks.runs import MAX_SIDE_PX, Runs, check_size

#: pycocotools draws outlines on a grid five times finer than the pixels (maskApi.c, rleFrPoly).
_SCALE = 5
_MIN_NUMBERS = 6


def rasterise(polygons: Sequence[Sequence[float]], height: int, width: int) -> Runs:
    """N closed polygons [x0, y0, x1, y1, …] in pixels as a batch of N masks; N may be 0.

    The same pixels as pycocotools.mask.frPyObjects: odd-even where an outline crosses itself, cut at the image's
    border. Raises RleError that names the index of a polygon with fewer than three points, half a point, or a
    coordinate that is no finite number or lies more than MAX_SIDE_PX from the image's corner.
    """
    check_size(height, width)
    height, width = int(height), int(width)
    lengths = [_checked_length(index, polygon) for index, polygon in enumerate(polygons)]
    if not lengths:
        return Runs.empty(height, width)
    points = _points(polygons)
    offsets = np.cumsum([0, *lengths])
    is_far = ~(np.abs(points) <= MAX_SIDE_PX)  # NaN is far too
    if is_far.any():
        place = int(is_far.argmax())
        index = int(np.searchsorted(offsets, place, "right")) - 1
        raise RleError(
            f"polygon {index}: coordinate {points[place]} came; it must be a number of pixels from "
            f"{-MAX_SIDE_PX:,} to {MAX_SIDE_PX:,}"
        )
    counts, run_offsets = _rasterise(points, offsets, height, width)
    return Runs(height, width, counts, run_offsets)


def join_polygons(groups: Sequence[Sequence[Sequence[float]]], height: int, width: int) -> Runs:
    """N masks, each the union of its polygons (as pycocotools.mask.merge). Raises RleError, also for a mask of none."""
    for index, group in enumerate(groups):
        if not group:
            raise RleError(f"segmentation of mask {index}: no polygon came; leave the mask out, or draw it")
    drawn = rasterise(list(chain.from_iterable(groups)), height, width)
    n_polygons = [len(group) for group in groups]
    if len(drawn) == len(groups):
        return drawn
    firsts = np.cumsum([0, *n_polygons[:-1]]).tolist()
    return Runs.concat(
        [
            drawn[first] if n == 1 else union(drawn[first : first + n])
            for first, n in zip(firsts, n_polygons, strict=True)
        ]
    )


def _points(polygons: Sequence[Sequence[float]]) -> np.ndarray:
    """All coordinates back to back, float64."""
    form = "it must be a flat list of numbers, [x0, y0, x1, y1, …]"
    try:
        points = np.array(list(chain.from_iterable(polygons)))
    except ValueError as error:  # some of them are lists
        raise RleError(f"polygon: {error}; {form}") from error
    if points.ndim != 1 or points.dtype.kind not in "iuf":
        index = next(k for k, polygon in enumerate(polygons) if not _is_flat(polygon))
        came = ", ".join(sorted({type(number).__name__ for number in polygons[index]}))
        raise RleError(f"polygon {index}: values of type {came} came; {form}")
    return points.astype(np.float64)


def _is_flat(polygon: Sequence[float]) -> bool:
    numbers = np.array(polygon)
    return numbers.ndim == 1 and numbers.dtype.kind in "iuf"


def _checked_length(index: int, polygon: object) -> int:
    if not isinstance(polygon, list | tuple | np.ndarray):
        raise RleError(
            f"polygon {index}: {type(polygon).__name__} came; it must be a flat list of numbers, [x0, y0, x1, y1, …]"
        )
    if len(polygon) < _MIN_NUMBERS or len(polygon) % 2:
        raise RleError(
            f"polygon {index}: {len(polygon)} numbers came; it must be [x0, y0, x1, y1, …] of three points or more"
        )
    return len(polygon)


@njit(cache=True, nogil=True)
def _rasterise(points, offsets, height, width):
    """Runs of all polygons; `points` are x and y in turn, finite and near enough for int64."""
    counts = np.empty(1024, np.uint32)
    run_offsets = np.zeros(len(offsets), np.int64)
    filled = 0
    for polygon in range(len(offsets) - 1):
        corners = points[offsets[polygon] : offsets[polygon + 1]]
        positions = np.sort(_crossings(corners, height, width))
        while filled + len(positions) + 1 > len(counts):
            grown = np.empty(2 * len(counts) + len(positions), np.uint32)
            grown[:filled] = counts[:filled]
            counts = grown
        filled = _append_runs(positions, height * width, counts, filled)
        run_offsets[polygon + 1] = filled
    return counts[:filled].copy(), run_offsets


@njit(cache=True, nogil=True)
def _crossings(corners, height, width):
    """Positions x * height + y, in no order, where the outline passes the middle of a column: the pixel changes there."""
    n_corners = len(corners) // 2
    n_steps = 0
    for j in range(n_corners):
        xs, ys, xe, ye = _edge(corners, n_corners, j)
        n_steps += max(abs(xe - xs), abs(ye - ys)) + 1
    positions = np.empty(n_steps, np.int64)
    n = 0
    last_u, last_v = 0, 0
    for j in range(n_corners):
        xs, ys, xe, ye = _edge(corners, n_corners, j)
        dx, dy = abs(xe - xs), abs(ye - ys)
        is_flat = dx >= dy
        # Each edge is walked from its lower end, so that two masks share a border that they have in common.
        is_turned = xs > xe if is_flat else ys > ye
        if is_turned:
            xs, ys, xe, ye = xe, ye, xs, ys
        n_edge = max(dx, dy)
        slope = 0.0
        if n_edge > 0:
            slope = (ye - ys) / dx if is_flat else (xe - xs) / dy
        for d in range(n_edge + 1):
            t = n_edge - d if is_turned else d
            if is_flat:
                u, v = xs + t, np.int64(ys + slope * t + 0.5)
            else:
                u, v = np.int64(xs + slope * t + 0.5), ys + t
            if (j > 0 or d > 0) and u != last_u:
                x = ((u if u < last_u else u - 1) + 0.5) / _SCALE - 0.5
                if np.floor(x) == x and 0 <= x <= width - 1:
                    y = (min(v, last_v) + 0.5) / _SCALE - 0.5
                    positions[n] = np.int64(x) * height + np.int64(np.ceil(min(max(y, 0.0), float(height))))
                    n += 1
            last_u, last_v = u, v
    return positions[:n]


@njit(cache=True, nogil=True)
def _edge(corners, n_corners, j):
    """Ends (xs, ys, xe, ye) of edge j on the fine grid; the last edge closes the outline."""
    k = j + 1 if j + 1 < n_corners else 0
    return (
        np.int64(_SCALE * corners[2 * j] + 0.5),
        np.int64(_SCALE * corners[2 * j + 1] + 0.5),
        np.int64(_SCALE * corners[2 * k] + 0.5),
        np.int64(_SCALE * corners[2 * k + 1] + 0.5),
    )


@njit(cache=True, nogil=True)
def _append_runs(positions, n_pixels, counts, filled):
    """Append the runs between sorted positions where the pixel changes; two equal positions cancel out."""
    last = 0
    k = 0
    is_first = True
    while k < len(positions) and positions[k] < n_pixels:
        if k + 1 < len(positions) and positions[k] == positions[k + 1]:
            k += 2
            continue
        counts[filled] = positions[k] - last
        filled += 1
        last = positions[k]
        is_first = False
        k += 1
    if last < n_pixels or is_first:
        counts[filled] = n_pixels - last
        filled += 1
    return filled
