"""Areas, boxes and shape of masks, from their runs alone."""

from __future__ import annotations

import numpy as np
from numba import njit

from curation.masks.runs import Runs
from curation.masks.segments import Components, Segments, connect, join, split


def areas(runs: Runs) -> np.ndarray:
    """Pixels of each mask, int64 (N,)."""
    return _areas(runs.counts, runs.offsets)


def boxes(runs: Runs) -> np.ndarray:
    """Tight boxes [x, y, w, h] in pixels, int32 (N, 4); all zeros for an empty mask."""
    return _boxes(runs.counts, runs.offsets, runs.height)


def shape(runs: Runs | Segments) -> dict[str, np.ndarray]:
    """Shape measures of each mask, arrays (N,), all 0 for an empty mask; time and memory follow the runs.

    `n_components`: 8-connected pieces; `largest_component_px`: pixels of the largest; `n_holes`, `holes_px`:
    4-connected background regions that do not reach the image's border, and their pixels; `perimeter_px`: pixel
    edges between mask and not mask, the image's border counting as not mask (all int64); `hull_area_px`: area of
    the convex hull of the pixels' squares (float64), so that a rectangle's equals its own.
    """
    segments = split(runs)
    pieces = connect(segments, 8)
    n_segments = np.diff(segments.offsets)
    outline = _outline(segments.firsts, segments.ends, segments.offsets, segments.stride)
    # Loops in the graph of touching segments: with an 8-connected mask each one encloses a 4-connected hole.
    n_components = np.diff(pieces.offsets)
    n_holes = pieces.n_links - n_segments + n_components
    area_px = _sums(pieces.sizes_px, pieces.offsets)
    return {
        "n_components": n_components,
        "largest_component_px": _largest(pieces.sizes_px, pieces.offsets),
        "n_holes": n_holes,
        "holes_px": _holes_px(segments, n_holes, outline),
        "perimeter_px": 2 * (n_segments + area_px - pieces.shared_px),
        "hull_area_px": _hull_areas(*outline[:3]),
    }


def holes(runs: Runs) -> Runs:
    """The holes of each mask as a mask, by the definition of `shape`."""
    segments = split(runs)
    pieces = connect(segments, 8)
    outline = _outline(segments.firsts, segments.ends, segments.offsets, segments.stride)
    n_holes = pieces.n_links - np.diff(segments.offsets) + np.diff(pieces.offsets)
    gaps, regions, is_open = _gap_regions(segments, n_holes, outline)
    return join(gaps, ~is_open[regions.labels], runs.height, runs.width)


def largest_pieces(runs: Runs) -> Runs:
    """The largest 8-connected piece of each mask, the leftmost of equals; an empty mask stays empty."""
    segments = split(runs)
    pieces = connect(segments, 8)
    largest = _largest_of(pieces.sizes_px, pieces.offsets)
    is_largest = pieces.labels == np.repeat(largest, np.diff(segments.offsets))
    return join(segments, is_largest, runs.height, runs.width)


def _holes_px(segments: Segments, n_holes: np.ndarray, outline: tuple[np.ndarray, ...]) -> np.ndarray:
    """Pixels of all holes, int64 (N,)."""
    if not n_holes.any():
        return np.zeros(len(n_holes), np.int64)
    _, regions, is_open = _gap_regions(segments, n_holes, outline)
    return _sums(np.where(is_open, 0, regions.sizes_px), regions.offsets)


def _sums(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Sum of each mask's values, int64 (N,)."""
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(values)])
    return np.diff(before[offsets])


def _gap_regions(
    segments: Segments, n_holes: np.ndarray, outline: tuple[np.ndarray, ...]
) -> tuple[Segments, Components, np.ndarray]:
    """Gaps between two segments of one column, their regions, and which of those are no holes."""
    gaps = Segments(
        segments.stride,
        *_gaps(segments.firsts, segments.ends, segments.offsets, segments.stride, n_holes),
    )
    regions = connect(gaps, 4)
    is_open = _open_regions(
        gaps.firsts, gaps.ends, gaps.offsets, gaps.stride, regions.labels, len(regions.sizes_px), *outline
    )
    return gaps, regions, is_open


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
        for k in range(first, stop - 1, 2):
            y += np.int64(counts[k])
            if y >= height:
                n_columns = 1 if y < 2 * height else y // height  # a division is slow
                x, y = x + n_columns, y - n_columns * height
            if x0 < 0:
                x0 = x
            end = y + np.int64(counts[k + 1])  # in rows of column x, one past the run's last pixel
            y0, y1 = min(y0, y), max(y1, end)
            y = end
            if end > height:
                n_columns = 1 if end <= 2 * height else (end - 1) // height
                x, y = x + n_columns, end - n_columns * height
                y0, y1 = 0, height
            x1 = x + 1
        result[mask, 0], result[mask, 1] = x0, y0
        result[mask, 2], result[mask, 3] = x1 - x0, y1 - y0
    return result


@njit(cache=True, nogil=True)
def _largest(sizes_px, offsets):
    """Pixels of the largest component of each mask."""
    result = np.zeros(len(offsets) - 1, np.int64)
    for mask in range(len(result)):
        for size_px in sizes_px[offsets[mask] : offsets[mask + 1]]:
            result[mask] = max(result[mask], size_px)
    return result


@njit(cache=True, nogil=True)
def _largest_of(sizes_px, offsets):
    """Number of the largest component of each mask, the first of equals; -1 without one."""
    result = np.full(len(offsets) - 1, -1, np.int64)
    for mask in range(len(result)):
        for number in range(offsets[mask], offsets[mask + 1]):
            if result[mask] < 0 or sizes_px[number] > sizes_px[result[mask]]:
                result[mask] = number
    return result


@njit(cache=True, nogil=True)
def _outline(firsts, ends, offsets, stride):
    """Per column of each mask's box its first row and one past its last: (tops, bottoms, offsets, lefts).

    `lefts` is the box's first column. A column without mask holds top = height, bottom = 0.
    """
    height = stride - 1
    column_offsets = np.zeros(len(offsets), np.int64)
    lefts = np.zeros(len(offsets) - 1, np.int64)
    for mask in range(len(offsets) - 1):
        start, stop = offsets[mask], offsets[mask + 1]
        column_offsets[mask + 1] = column_offsets[mask]
        if start < stop:
            lefts[mask] = firsts[start] // stride
            column_offsets[mask + 1] += firsts[stop - 1] // stride - lefts[mask] + 1
    tops = np.full(column_offsets[-1], height, np.int32)
    bottoms = np.zeros(column_offsets[-1], np.int32)
    for mask in range(len(offsets) - 1):
        place, column = column_offsets[mask], lefts[mask] * stride
        for k in range(offsets[mask], offsets[mask + 1]):
            while firsts[k] >= column + stride:
                column += stride
                place += 1
            tops[place] = min(tops[place], firsts[k] - column)
            bottoms[place] = ends[k] - column
    return tops, bottoms, column_offsets, lefts


@njit(cache=True, nogil=True)
def _hull_areas(tops, bottoms, offsets):
    """Area under the upper hull less that under the lower one, over the corners of the columns' extremes."""
    result = np.zeros(len(offsets) - 1)
    longest = 0
    for mask in range(len(result)):
        longest = max(longest, offsets[mask + 1] - offsets[mask])
    hull_x = np.empty(longest + 1, np.int64)
    hull_y = np.empty(longest + 1, np.int64)
    for mask in range(len(result)):
        start, n_columns = offsets[mask], offsets[mask + 1] - offsets[mask]
        twice = 0
        for side in (-1, 1):
            n = 0
            for x in range(n_columns + 1 if n_columns else 0):
                # the edge between columns x - 1 and x; rows grow downwards
                left, right = start + max(x - 1, 0), start + min(x, n_columns - 1)
                if side < 0:
                    y = min(np.int64(tops[left]), np.int64(tops[right]))
                else:
                    y = max(np.int64(bottoms[left]), np.int64(bottoms[right]))
                if bottoms[left] == 0 and bottoms[right] == 0:
                    continue
                while n > 1:
                    before_x, before_y = hull_x[n - 1] - hull_x[n - 2], hull_y[n - 1] - hull_y[n - 2]
                    turn = before_x * (y - hull_y[n - 2]) - before_y * (x - hull_x[n - 2])
                    if side * turn < 0:
                        break
                    n -= 1
                hull_x[n], hull_y[n] = x, y
                n += 1
            for k in range(1, n):
                twice += side * (hull_x[k] - hull_x[k - 1]) * (hull_y[k] + hull_y[k - 1])
        result[mask] = twice / 2
    return result


@njit(cache=True, nogil=True)
def _gaps(firsts, ends, offsets, stride, n_holes):
    """Background between two segments of one column, for the masks that have holes."""
    gap_firsts = np.empty(len(firsts), np.int64)
    gap_ends = np.empty(len(firsts), np.int64)
    gap_offsets = np.zeros(len(offsets), np.int64)
    n = 0
    for mask in range(len(offsets) - 1):
        next_column = 0
        for k in range(offsets[mask] + 1, offsets[mask + 1] if n_holes[mask] else 0):
            if ends[k - 1] > next_column:
                next_column = (ends[k - 1] // stride + 1) * stride
            if firsts[k] < next_column:
                gap_firsts[n], gap_ends[n] = ends[k - 1], firsts[k]
                n += 1
        gap_offsets[mask + 1] = n
    return gap_firsts[:n], gap_ends[:n], gap_offsets


@njit(cache=True, nogil=True)
def _open_regions(firsts, ends, offsets, stride, labels, n_regions, tops, bottoms, column_offsets, lefts):
    """Which regions of gaps lie beside the open background of a neighbouring column, bool (n_regions,).

    Background above a column's first or below its last segment reaches the image's border, and so does all beyond
    the box.
    """
    is_open = np.zeros(n_regions, np.bool_)
    for mask in range(len(offsets) - 1):
        start, n_columns = column_offsets[mask], column_offsets[mask + 1] - column_offsets[mask]
        for k in range(offsets[mask], offsets[mask + 1]):
            x = firsts[k] // stride
            top, bottom = firsts[k] - x * stride, ends[k] - x * stride
            for beside in (x - lefts[mask] - 1, x - lefts[mask] + 1):
                is_outside = beside < 0 or beside >= n_columns
                if is_outside or top < tops[start + beside] or bottom > bottoms[start + beside]:
                    is_open[labels[k]] = True
    return is_open
