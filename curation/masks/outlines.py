"""The outlines of masks as closed lattice paths, followed on segments, and how smooth they are."""

from __future__ import annotations

import numpy as np
from numba import njit

from curation.masks.runs import Runs
from curation.masks.segments import Segments, split

#: Rulers, in pixel edges, that outlines are measured with. Jags between the two make the long one's length shorter;
#: four edges see a stair of two pixels, and 16 pass over the stairs of 4 to 9 px that a network's 256 x 256 masks
#: leave on a picture of 1,000 to 2,300 px.
_SHORT_RULER_PX, _LONG_RULER_PX = 4, 16
#: Each point is the mean of so many in a row, without which a slanted straight line's pixel stairs would count.
_MEAN_PX = 4
#: Shorter outlines cannot tell a jag from their form: four long rulers, a square of 16 px.
_LEAST_PX = 4 * _LONG_RULER_PX
#: Points that the longest ruler looks at beyond the end of a path.
_BEYOND = _LONG_RULER_PX + _MEAN_PX
#: Of the squares of all lengths that a ruler can have: looked up in a third of the time that a root takes.
_ROOTS = np.sqrt(np.arange((_LONG_RULER_PX * _MEAN_PX) ** 2 + 1))


def smoothness(runs: Runs | Segments) -> np.ndarray:
    """Length of the outlines measured with a long ruler over that with a short one, float64 (N,) in 0..1, best 1.

    Richardson's divider method (Mandelbrot 1967, Science 156): a ruler of s is laid from every point of the outline
    to the point s edges on, and the length is the mean over all starts. Each length is divided by what the ruler
    loses on a circle, so that circles of any size have 1; straight lines have at least 0.985 at any angle, and each
    corner costs as much as a jag of its size: a square of 24 px has 0.95, one of 100 px 0.98. Outlines of holes and
    of all pieces count by their length; those too short to tell are left out, NaN where that leaves none.
    """
    segments = split(runs)
    return _smoothness(segments.firsts, segments.ends, segments.offsets, segments.stride)


@njit(cache=True, nogil=True)
def _smoothness(firsts, ends, offsets, stride):
    result = np.full(len(offsets) - 1, np.nan)
    most = 0
    for mask in range(len(result)):
        most = max(most, offsets[mask + 1] - offsets[mask])
    columns, rows = np.empty(2 * most, np.int32), np.empty(2 * most, np.int32)
    lefts, rights = np.empty(2 * most, np.int32), np.empty(2 * most, np.int32)
    is_done = np.empty(2 * most, np.bool_)
    xs, ys = np.empty(1024, np.int32), np.empty(1024, np.int32)
    for mask in range(len(result)):
        n_edges = 2 * (offsets[mask + 1] - offsets[mask])
        _edges(firsts[offsets[mask] : offsets[mask + 1]], ends[offsets[mask] :], stride, columns, rows)
        _link(columns[:n_edges], rows, lefts, rights)
        is_done[:n_edges] = False
        short, long = 0.0, 0.0
        for edge in range(n_edges):
            if is_done[edge]:
                continue
            n = _follow(edge, columns, rows, lefts, rights, is_done, xs, ys)
            if n < _LEAST_PX:
                continue
            if n + _BEYOND > len(xs):
                xs, ys = np.empty(2 * n + _BEYOND, np.int32), np.empty(2 * n + _BEYOND, np.int32)
                _follow(edge, columns, rows, lefts, rights, is_done, xs, ys)
            xs[n : n + _BEYOND], ys[n : n + _BEYOND] = xs[:_BEYOND], ys[:_BEYOND]
            of_short, of_long = _lengths(xs, ys, n)
            short += of_short
            long += of_long
        if short > 0:
            result[mask] = min(long / short, 1.0)
    return result


@njit(cache=True, nogil=True)
def _edges(firsts, ends, stride, columns, rows):
    """Column and row of the horizontal edges: 2 k is the upper one of segment k, 2 k + 1 the lower one."""
    x, column = 0, 0
    for k in range(len(firsts)):
        if firsts[k] >= column + stride:
            x = firsts[k] // stride
            column = x * stride
        columns[2 * k], columns[2 * k + 1] = x, x
        rows[2 * k], rows[2 * k + 1] = firsts[k] - column, ends[k] - column


@njit(cache=True, nogil=True)
def _link(columns, rows, lefts, rights):
    """The horizontal edges that follow each one's left and right end.

    Where two columns meet, their edges' ends in order of rows are joined in pairs by vertical edges, which lie where
    one of the two columns is mask and the other is not.
    """
    n_edges = len(columns)
    a_start, a_stop, b_start = (
        0,
        0,
        0,
    )  # edges [a_start, a_stop) left of a line, those from b_start on right of it
    while a_start < a_stop or b_start < n_edges:
        x = columns[a_start] + 1 if a_start < a_stop else columns[b_start]
        b_stop = b_start
        while b_stop < n_edges and columns[b_stop] == x:
            b_stop += 1
        a, b = a_start, b_start
        waiting = -1
        while a < a_stop or b < b_stop:
            is_left = b >= b_stop or (a < a_stop and rows[a] <= rows[b])
            edge = a if is_left else b
            a, b = a + is_left, b + (not is_left)
            if waiting < 0:
                waiting = edge
                continue
            for one, other in ((waiting, edge), (edge, waiting)):
                if one < a_stop:
                    rights[one] = other
                else:
                    lefts[one] = other
            waiting = -1
        a_start, a_stop, b_start = b_start, b_stop, b_stop


@njit(cache=True, nogil=True)
def _follow(edge, columns, rows, lefts, rights, is_done, xs, ys):
    """Write the lattice points of the closed path through a horizontal edge, as many as fit; returns how many it has."""
    n = 0
    at, to_right = edge, True
    while True:
        is_done[at] = True
        x, y = columns[at] + (not to_right), rows[at]
        if n < len(xs):
            xs[n], ys[n] = x, y
        n += 1
        x = columns[at] + to_right
        following = rights[at] if to_right else lefts[at]
        step = 1 if rows[following] > y else -1
        while y != rows[following]:
            if n < len(xs):
                xs[n], ys[n] = x, y
            n += 1
            y += step
        if columns[following] == columns[at]:  # back along the other side of the mask or the gap
            to_right = not to_right
        at = following
        if at == edge:
            return n


@njit(cache=True, nogil=True)
def _lengths(xs, ys, n):
    """Lengths of a closed path by the short and the long ruler, over what each loses on a circle of as many points.

    `xs` and `ys` hold the path's n points, and its first _BEYOND ones once more; they become sums of _MEAN_PX points.
    """
    for i in range(n + _LONG_RULER_PX):
        xs[i] = xs[i] + xs[i + 1] + xs[i + 2] + xs[i + 3]
        ys[i] = ys[i] + ys[i + 1] + ys[i + 2] + ys[i + 3]
    short, long = 0.0, 0.0
    for i in range(n):
        dx, dy = xs[i + _SHORT_RULER_PX] - xs[i], ys[i + _SHORT_RULER_PX] - ys[i]
        short += _ROOTS[dx * dx + dy * dy]
        dx, dy = xs[i + _LONG_RULER_PX] - xs[i], ys[i + _LONG_RULER_PX] - ys[i]
        long += _ROOTS[dx * dx + dy * dy]
    return short / _on_circle(_SHORT_RULER_PX, n), long / _on_circle(_LONG_RULER_PX, n)


@njit(cache=True, nogil=True)
def _on_circle(ruler, n):
    """_MEAN_PX times what a ruler of so many steps measures of a circle of n points, over the circle's length."""
    return ruler * _MEAN_PX * np.sin(np.pi * ruler / n) / (np.pi * ruler / n)
