"""Masks as vertical segments, one image column each, and the connected components they form.

A segment is a half-open stretch [first, end) of *padded* positions x * (height + 1) + y. The padding keeps a segment
at the foot of one column apart from one at the head of the next, and a segment's neighbours in the column to its
left lie at the same stretch minus `stride`. A mask has about as many segments as runs, however large it is.

Kernels call only kernels of their own file: numba's cache looks at one file's date, not at those it calls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from curation.masks.runs import Runs


@dataclass(frozen=True, eq=False)
class Segments:
    """Segments of N masks in column-major order: `firsts` and `ends` int64 (M,), `offsets` int64 (N + 1,)."""

    stride: int
    firsts: np.ndarray
    ends: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True, eq=False)
class Components:
    """The C connected components of N masks, mask after mask, each mask's in the order of their first segments.

    `labels` int64 (M,): component of each segment, counted through the whole batch; `sizes_px` int64 (C,);
    `offsets` int64 (N + 1,): whose they are. Per mask, int64 (N,): `n_links`, pairs of touching segments in
    neighbouring columns, and `shared_px`, pixels whose right neighbour is in the mask.
    """

    labels: np.ndarray
    sizes_px: np.ndarray
    offsets: np.ndarray
    n_links: np.ndarray
    shared_px: np.ndarray


def split(runs: Runs | Segments) -> Segments:
    """The foreground of each mask, cut at the columns' ends; segments as they are, so that several measures share them."""
    if isinstance(runs, Segments):
        return runs
    firsts, ends, offsets = _split(runs.counts, runs.offsets, runs.height)
    return Segments(runs.height + 1, firsts, ends, offsets)


def join(segments: Segments, is_kept: np.ndarray, height: int, width: int) -> Runs:
    """Masks of the segments where `is_kept`, bool (M,)."""
    counts, offsets = _join(
        segments.firsts, segments.ends, segments.offsets, is_kept, segments.stride, height * width
    )
    return Runs(height, width, counts, offsets)


def connect(segments: Segments, connectivity: int) -> Components:
    """Label components; `connectivity` is 4 (pixels that share an edge) or 8 (or a corner)."""
    reach = {4: 0, 8: 1}[connectivity]
    return Components(*_connect(segments.firsts, segments.ends, segments.offsets, segments.stride, reach))


@njit(cache=True, nogil=True)
def _split(counts, offsets, height):
    n_segments = 0
    for mask in range(len(offsets) - 1):
        for k in range(offsets[mask] + 1, offsets[mask + 1], 2):
            n_segments += 2 + np.int64(counts[k]) // height  # at most
    firsts = np.empty(n_segments, np.int64)
    ends = np.empty(n_segments, np.int64)
    segment_offsets = np.zeros(len(offsets), np.int64)
    n = 0
    for mask in range(len(offsets) - 1):
        column, y = 0, 0  # the column's padded start, and the row where the run starts
        for k in range(offsets[mask], offsets[mask + 1]):
            is_mask = (k - offsets[mask]) & 1
            end = y + np.int64(counts[k])
            if is_mask:
                while end > height:
                    firsts[n], ends[n] = column + y, column + height
                    n += 1
                    column, y, end = column + height + 1, 0, end - height
                firsts[n], ends[n] = column + y, column + end
                n += 1
            elif end > height:
                # Mostly the next column, and a division is slow.
                n_columns = 1 if end <= 2 * height else (end - 1) // height
                column, end = column + n_columns * (height + 1), end - n_columns * height
            y = end
            if y == height:
                column, y = column + height + 1, 0
        segment_offsets[mask + 1] = n
    return firsts[:n], ends[:n], segment_offsets


@njit(cache=True, nogil=True)
def _join(firsts, ends, offsets, is_kept, stride, n_pixels):
    counts = np.empty(2 * len(firsts) + 2 * len(offsets), np.uint32)
    run_offsets = np.zeros(len(offsets), np.int64)
    n = 0
    for mask in range(len(offsets) - 1):
        column, next_column = 0, stride
        first_run, position = n, 0
        for k in range(offsets[mask], offsets[mask + 1]):
            if not is_kept[k]:
                continue
            if firsts[k] >= next_column:
                column = firsts[k] // stride
                next_column = (column + 1) * stride
            first, end = firsts[k] - column, ends[k] - column  # without the padding
            if first == position and n > first_run:
                counts[n - 1] += end - first
            else:
                counts[n], counts[n + 1] = first - position, end - first
                n += 2
            position = end
        if position < n_pixels:
            counts[n] = n_pixels - position
            n += 1
        run_offsets[mask + 1] = n
    return counts[:n].copy(), run_offsets


@njit(cache=True, nogil=True)
def _connect(firsts, ends, offsets, stride, reach):
    """Union-find over neighbouring columns; a root is always its component's first segment."""
    n_masks = len(offsets) - 1
    labels = np.empty(len(firsts), np.int64)
    sizes_px = np.zeros(len(firsts), np.int64)
    component_offsets = np.zeros(n_masks + 1, np.int64)
    n_links = np.zeros(n_masks, np.int64)
    shared_px = np.zeros(n_masks, np.int64)
    number = 0
    for mask in range(n_masks):
        start, stop = offsets[mask], offsets[mask + 1]
        links, shared = 0, 0
        left = start
        for k in range(start, stop):
            labels[k] = k
            first, end = firsts[k] - stride, ends[k] - stride
            while ends[left] + reach <= first:
                left += 1
            other = left
            root = k
            while firsts[other] < end + reach:  # ends at k itself, whose first is one stride further
                links += 1
                shared += max(min(ends[other], end) - max(firsts[other], first), 0)
                root_left = other
                while labels[root_left] != root_left:
                    labels[root_left] = labels[labels[root_left]]
                    root_left = labels[root_left]
                if root_left < root:
                    labels[root] = root_left
                    root = root_left
                else:
                    labels[root_left] = root
                other += 1
        for k in range(start, stop):
            if labels[k] == k:
                labels[k] = number
                number += 1
            else:
                labels[k] = labels[labels[k]]  # of an earlier segment, so a number by now
            sizes_px[labels[k]] += ends[k] - firsts[k]
        component_offsets[mask + 1] = number
        n_links[mask], shared_px[mask] = links, shared
    return labels, sizes_px[:number].copy(), component_offsets, n_links, shared_px
