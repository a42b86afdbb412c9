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

    Columns are met in blocks of that many: a window is the end of one block and the start of the next (van Herk 1992).
    Shortened segments of a column lie at least 2 distance + 1 apart, and so does whatever is left of several
    columns, which bounds the length of every list here.
    """
    window = 2 * distance + 1
    most = stride // (window + 1) + 2
    suffix_firsts, suffix_ends = (
        np.empty((window + 1, most), np.int64),
        np.empty((window + 1, most), np.int64),
    )
    n_suffix = np.zeros(window + 1, np.int64)
    out_firsts, out_ends = np.empty(len(firsts), np.int64), np.empty(len(firsts), np.int64)
    out_offsets = np.zeros(len(offsets), np.int64)
    n = 0
    for mask in range(len(offsets) - 1):
        start, stop = offsets[mask], offsets[mask + 1]
        columns = _shortened(firsts[start:stop], ends[start:stop], stride, distance)
        for block in range(0, len(columns[2]) - window, window):
            _meet_to_end(columns, block, stride, suffix_firsts, suffix_ends, n_suffix)
            if n_suffix[window - 1] == 0:
                continue
            if n + window * most > len(out_firsts):
                more = np.empty(len(out_firsts) + window * most, np.int64)
                out_firsts, out_ends = np.concatenate((out_firsts, more)), np.concatenate((out_ends, more))
            n = _meet_windows(
                columns, block, stride, suffix_firsts, suffix_ends, n_suffix, out_firsts, out_ends, n
            )
        out_offsets[mask + 1] = n
    return out_firsts[:n].copy(), out_ends[:n].copy(), out_offsets


@njit(cache=True, nogil=True)
def _meet_to_end(columns, block, stride, suffix_firsts, suffix_ends, n_suffix):
    """What columns k to the last of a block share, for every k; behind the last, everything."""
    column_firsts, column_ends, column_offsets, _ = columns
    window = len(n_suffix) - 1
    suffix_firsts[window, 0], suffix_ends[window, 0], n_suffix[window] = 0, stride, 1
    for k in range(window - 1, -1, -1):
        start, stop = column_offsets[block + k], column_offsets[block + k + 1]
        n_suffix[k] = _meet(
            suffix_firsts[k + 1, : n_suffix[k + 1]],
            suffix_ends[k + 1, : n_suffix[k + 1]],
            column_firsts[start:stop],
            column_ends[start:stop],
            suffix_firsts[k],
            suffix_ends[k],
        )


@njit(cache=True, nogil=True)
def _meet_windows(columns, block, stride, suffix_firsts, suffix_ends, n_suffix, out_firsts, out_ends, n):
    """Append, for every window that starts in a block, what its columns share, as the window's middle column."""
    column_firsts, column_ends, column_offsets, left = columns
    window, most = len(n_suffix) - 1, suffix_firsts.shape[1]
    prefix_firsts, prefix_ends = np.zeros(most, np.int64), np.full(most, stride)
    next_firsts, next_ends = np.empty(most, np.int64), np.empty(most, np.int64)
    n_prefix = 1  # of no column: everything
    for k in range(min(window, len(column_offsets) - window - block)):
        if k > 0:
            start, stop = column_offsets[block + window + k - 1], column_offsets[block + window + k]
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
        column = (left + block + k + window // 2) * stride
        for place in range(n, n + n_met):
            out_firsts[place] += column
            out_ends[place] += column
        n += n_met
    return n


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
