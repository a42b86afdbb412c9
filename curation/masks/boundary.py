"""Erosion, and the boundary that boundary IoU compares, on runs."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from curation.errors import InputError
from curation.masks.runs import Runs
from curation.masks.segments import Segments, join, split


def boundary_distance_px(height_px: int, width_px: int, ratio: float) -> int:
    """Width of the boundary: `ratio` of the image's diagonal, rounded as Python rounds, at least 1 px.

    As in Cheng et al. 2021 (arXiv 2103.16562) and boundary_utils.py of their boundary-iou-api, with ratio 0.02.
    """
    return max(1, round(ratio * math.sqrt(height_px**2 + width_px**2)))


def erode(runs: Runs, distance_px: int) -> Runs:
    """Pixels whose (2 d + 1)² neighbourhood lies in the mask; what is outside the image does not.

    Equal to d erosions by a 3 × 3 square. Time and memory follow the runs. Raises InputError for d < 1.
    """
    segments = _eroded(split(runs), distance_px)
    return join(segments, np.ones(len(segments.firsts), bool), runs.height, runs.width)


def boundaries(runs: Runs, distance_px: int) -> Runs:
    """Each mask without its erosion: its pixels at most `distance_px` from the outside, the image's border included.

    Masks cut off by the image's border so have a boundary there too, as in boundary-iou-api.
    """
    whole = split(runs)
    inner = _eroded(whole, distance_px)
    rest = _without(whole.firsts, whole.ends, whole.offsets, inner.firsts, inner.ends, inner.offsets)
    segments = Segments(whole.stride, *rest)
    return join(segments, np.ones(len(segments.firsts), bool), runs.height, runs.width)


def _eroded(segments: Segments, distance_px: int) -> Segments:
    if distance_px < 1:
        raise InputError(f"distance_px: {distance_px} came; it must be 1 or more")
    eroded = _erode(segments.firsts, segments.ends, segments.offsets, segments.stride, distance_px)
    return Segments(segments.stride, *eroded)


@njit(cache=True, nogil=True)
def _erode(firsts, ends, offsets, stride, distance):
    """Segments of the eroded masks: shortened by `distance` at both ends, then met over 2 distance + 1 columns.

    Columns are met in blocks of that many: a window is the end of one block and the start of the next (van Herk).
    Shortened segments of a column lie at least 2 distance + 1 apart, and so does whatever is left of several
    columns, which bounds the length of every list here.
    """
    window = 2 * distance + 1
    most = stride // (window + 1) + 2
    suffix_firsts = np.empty((window, most), np.int64)
    suffix_ends = np.empty((window, most), np.int64)
    n_suffix = np.zeros(window, np.int64)
    prefix_firsts, prefix_ends = np.empty(most, np.int64), np.empty(most, np.int64)
    next_firsts, next_ends = np.empty(most, np.int64), np.empty(most, np.int64)
    out_firsts = np.empty(len(firsts) + most, np.int64)
    out_ends = np.empty(len(firsts) + most, np.int64)
    out_offsets = np.zeros(len(offsets), np.int64)
    n = 0
    for mask in range(len(offsets) - 1):
        column_firsts, column_ends, column_offsets, left = _shortened(
            firsts[offsets[mask] : offsets[mask + 1]],
            ends[offsets[mask] : offsets[mask + 1]],
            stride,
            distance,
        )
        n_columns = len(column_offsets) - 1
        for block in range(0, n_columns - window + 1, window):
            last = block + window - 1
            start, stop = column_offsets[last], column_offsets[last + 1]
            n_suffix[window - 1] = stop - start
            suffix_firsts[window - 1, : stop - start] = column_firsts[start:stop]
            suffix_ends[window - 1, : stop - start] = column_ends[start:stop]
            for k in range(window - 2, -1, -1):
                start, stop = column_offsets[block + k], column_offsets[block + k + 1]
                n_suffix[k] = _meet(
                    suffix_firsts[k + 1, : n_suffix[k + 1]],
                    suffix_ends[k + 1, : n_suffix[k + 1]],
                    column_firsts[start:stop],
                    column_ends[start:stop],
                    suffix_firsts[k],
                    suffix_ends[k],
                )
            n_prefix = -1  # of no column: everything
            for k in range(window):
                x = block + k + window - 1  # last column of the window that starts at column k of the block
                if x >= n_columns or n_suffix[window - 1] == 0:
                    break
                if n + most > len(out_firsts):
                    out_firsts = np.concatenate((out_firsts, np.empty(len(out_firsts), np.int64)))
                    out_ends = np.concatenate((out_ends, np.empty(len(out_ends), np.int64)))
                if k == 0:
                    n_met = n_suffix[0]
                    out_firsts[n : n + n_met] = suffix_firsts[0, :n_met]
                    out_ends[n : n + n_met] = suffix_ends[0, :n_met]
                else:
                    start, stop = column_offsets[x], column_offsets[x + 1]
                    if n_prefix < 0:
                        n_prefix = stop - start
                        prefix_firsts[:n_prefix] = column_firsts[start:stop]
                        prefix_ends[:n_prefix] = column_ends[start:stop]
                    else:
                        n_prefix = _meet(
                            prefix_firsts[:n_prefix],
                            prefix_ends[:n_prefix],
                            column_firsts[start:stop],
                            column_ends[start:stop],
                            next_firsts,
                            next_ends,
                        )
                        prefix_firsts, next_firsts = next_firsts, prefix_firsts
                        prefix_ends, next_ends = next_ends, prefix_ends
                    if n_prefix == 0:
                        break
                    n_met = _meet(
                        suffix_firsts[k, : n_suffix[k]],
                        suffix_ends[k, : n_suffix[k]],
                        prefix_firsts[:n_prefix],
                        prefix_ends[:n_prefix],
                        out_firsts[n:],
                        out_ends[n:],
                    )
                column = (left + x - distance) * stride
                out_firsts[n : n + n_met] += column
                out_ends[n : n + n_met] += column
                n += n_met
        out_offsets[mask + 1] = n
    return out_firsts[:n].copy(), out_ends[:n].copy(), out_offsets


@njit(cache=True, nogil=True)
def _shortened(firsts, ends, stride, distance):
    """Rows of one mask's segments shortened at both ends, column by column of its box, and the box's first column."""
    left = firsts[0] // stride if len(firsts) else 0
    n_columns = firsts[-1] // stride - left + 1 if len(firsts) else 0
    column_offsets = np.zeros(n_columns + 1, np.int64)
    if n_columns <= 2 * distance:
        return firsts[:0], ends[:0], column_offsets[:1], left
    short_firsts, short_ends = np.empty(len(firsts), np.int64), np.empty(len(firsts), np.int64)
    n, place, column = 0, 0, left * stride
    for k in range(len(firsts)):
        while firsts[k] >= column + stride:
            column += stride
            place += 1
            column_offsets[place] = n
        if ends[k] - firsts[k] > 2 * distance:
            short_firsts[n], short_ends[n] = firsts[k] - column + distance, ends[k] - column - distance
            n += 1
    column_offsets[n_columns] = n
    return short_firsts[:n], short_ends[:n], column_offsets, left


@njit(cache=True, nogil=True)
def _meet(firsts, ends, other_firsts, other_ends, met_firsts, met_ends):
    """Write the stretches that two sorted lists share, and return how many there are."""
    n, i, j = 0, 0, 0
    while i < len(firsts) and j < len(other_firsts):
        first, end = max(firsts[i], other_firsts[j]), min(ends[i], other_ends[j])
        if first < end:
            met_firsts[n], met_ends[n] = first, end
            n += 1
        if ends[i] < other_ends[j]:
            i += 1
        else:
            j += 1
    return n


@njit(cache=True, nogil=True)
def _without(firsts, ends, offsets, inner_firsts, inner_ends, inner_offsets):
    """Segments less inner segments, each of which lies strictly inside one of them."""
    n_segments = len(firsts) + len(inner_firsts)
    rest_firsts, rest_ends = np.empty(n_segments, np.int64), np.empty(n_segments, np.int64)
    n = 0
    for mask in range(len(offsets) - 1):
        inner, stop = inner_offsets[mask], inner_offsets[mask + 1]
        for k in range(offsets[mask], offsets[mask + 1]):
            first = firsts[k]
            while inner < stop and inner_firsts[inner] < ends[k]:
                rest_firsts[n], rest_ends[n] = first, inner_firsts[inner]
                first = inner_ends[inner]
                n += 1
                inner += 1
            rest_firsts[n], rest_ends[n] = first, ends[k]
            n += 1
    return rest_firsts, rest_ends, offsets + inner_offsets
