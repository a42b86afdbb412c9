"""Masks made from masks: small regions removed, the largest region, union, complement."""

from __future__ import annotations

import numpy as np
from numba import njit

from curation.errors import InputError
from curation.masks.geometry import boxes
from curation.masks.runs import Runs
from curation.masks.segments import Components, Segments, connect, join, split


def remove_small_regions(runs: Runs, min_area_px: float) -> tuple[Runs, np.ndarray]:
    """Fill holes and then drop islands smaller than `min_area_px`; also which masks were touched, bool (N,).

    The same pixels and flags as segment_anything.utils.amg.remove_small_regions, first with "holes" and then with
    "islands": both 8-connected; background that reaches the image's border is a hole like any other; where all
    islands are small the largest stays, the first of equals in OpenCV's order.
    """
    background = split(complement(runs))
    pieces = connect(background, 8)
    sizes, offsets = _sizes(background, pieces)
    is_large = sizes >= min_area_px
    has_filled = _any_small(is_large, offsets)
    filled = runs
    if has_filled.any():
        filled = complement(_keep(background, pieces, is_large, offsets, runs))

    foreground = split(filled)
    pieces = connect(foreground, 8)
    sizes, offsets = _sizes(foreground, pieces)
    is_large = sizes >= min_area_px
    has_dropped = _any_small(is_large, offsets)
    if not has_dropped.any():
        return filled, has_filled
    first_blocks = _first_blocks(
        foreground.firsts, foreground.offsets, foreground.stride, pieces.labels, offsets
    )
    _keep_one(is_large, sizes, first_blocks, offsets)
    return _keep(foreground, pieces, is_large, offsets, runs), has_filled | has_dropped


def largest_region(runs: Runs) -> tuple[int, tuple[int, int, int, int]]:
    """(area_px, bbox_xywh) of the largest 4-connected region of one mask, the leftmost of equals.

    (0, (0, 0, 0, 0)) for an empty mask. Raises InputError unless `runs` holds exactly one mask.
    """
    if len(runs) != 1:
        raise InputError(f"largest_region: a batch of {len(runs)} masks came; give one, runs[i]")
    segments = split(runs)
    pieces = connect(segments, 4)
    sizes, offsets = _sizes(segments, pieces)
    if len(sizes) == 0:
        return 0, (0, 0, 0, 0)
    is_largest = np.zeros(len(sizes), bool)
    is_largest[sizes.argmax()] = True
    box = boxes(_keep(segments, pieces, is_largest, offsets, runs))[0]
    return int(sizes.max()), tuple(box.tolist())


def union(runs: Runs) -> Runs:
    """One mask of all pixels that lie in any of the masks; an empty mask for an empty batch."""
    counts = _union(runs.counts, runs.offsets, runs.height * runs.width)
    return Runs(runs.height, runs.width, counts, np.array([0, len(counts)]))


def complement(runs: Runs) -> Runs:
    """Each mask's background as a mask."""
    counts, offsets = _complement(runs.counts, runs.offsets)
    return Runs(runs.height, runs.width, counts, offsets)


# ------------------------------------------------------------------------------------- components' arrays
# Components of all masks back to back: sizes and flags (C,), `offsets` int64 (N + 1,) says whose they are.


def _sizes(segments: Segments, pieces: Components) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of each component, int64 (C,), and the offsets."""
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(pieces.n_components)])
    owner = np.repeat(offsets[:-1], np.diff(segments.offsets)) + pieces.labels
    sizes = np.zeros(offsets[-1], np.int64)
    np.add.at(sizes, owner, segments.ends - segments.firsts)
    return sizes, offsets


def _any_small(is_large: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    n_small = np.concatenate([np.zeros(1, np.int64), np.cumsum(~is_large)])
    return np.diff(n_small[offsets]) > 0


def _keep(
    segments: Segments, pieces: Components, is_kept: np.ndarray, offsets: np.ndarray, like: Runs
) -> Runs:
    """Masks of the kept components, of the image size of `like`."""
    owner = np.repeat(offsets[:-1], np.diff(segments.offsets)) + pieces.labels
    return join(segments, is_kept[owner], like.height, like.width)


@njit(cache=True, nogil=True)
def _first_blocks(firsts, offsets, stride, labels, component_offsets):
    """Per component the first 2 x 2 block of pixels that it meets, row by row: the order OpenCV numbers them in."""
    blocks = np.full(component_offsets[-1], np.iinfo(np.int64).max)
    for mask in range(len(offsets) - 1):
        for k in range(offsets[mask], offsets[mask + 1]):
            x, y = firsts[k] // stride, firsts[k] % stride
            place = component_offsets[mask] + labels[k]
            blocks[place] = min(blocks[place], (y // 2) << 32 | x // 2)
    return blocks


@njit(cache=True, nogil=True)
def _keep_one(is_large, sizes, first_blocks, component_offsets):
    """Mark the largest component of each mask that has none marked; of equals, that with the first block."""
    for mask in range(len(component_offsets) - 1):
        start, stop = component_offsets[mask], component_offsets[mask + 1]
        if start == stop or is_large[start:stop].any():
            continue
        best = start
        for k in range(start + 1, stop):
            if sizes[k] > sizes[best] or (sizes[k] == sizes[best] and first_blocks[k] < first_blocks[best]):
                best = k
        is_large[best] = True


@njit(cache=True, nogil=True)
def _complement(counts, offsets):
    new_counts = np.empty(len(counts) + len(offsets), np.uint32)
    new_offsets = np.zeros(len(offsets), np.int64)
    n = 0
    for mask in range(len(offsets) - 1):
        first, stop = offsets[mask], offsets[mask + 1]
        if counts[first] == 0:
            first += 1
        else:
            new_counts[n] = 0
            n += 1
        new_counts[n : n + stop - first] = counts[first:stop]
        n += stop - first
        new_offsets[mask + 1] = n
    return new_counts[:n].copy(), new_offsets


@njit(cache=True, nogil=True)
def _union(counts, offsets, n_pixels):
    """Merge the masks' foreground stretches two by two until one mask is left."""
    firsts = np.empty(len(counts) // 2 + 1, np.int64)
    ends = np.empty(len(counts) // 2 + 1, np.int64)
    bounds = np.zeros(max(len(offsets), 2), np.int64)
    n = 0
    for mask in range(len(offsets) - 1):
        position = 0
        for k in range(offsets[mask], offsets[mask + 1]):
            first = position
            position += np.int64(counts[k])
            if (k - offsets[mask]) & 1:
                firsts[n], ends[n] = first, position
                n += 1
        bounds[mask + 1] = n
    n_lists = len(bounds) - 1
    other_firsts, other_ends = np.empty_like(firsts), np.empty_like(ends)
    while n_lists > 1:
        n = 0
        n_merged = (n_lists + 1) // 2
        for k in range(n_merged):
            start, middle, stop = bounds[2 * k], bounds[2 * k + 1], bounds[min(2 * k + 2, n_lists)]
            n = _merge(firsts, ends, start, middle, stop, other_firsts, other_ends, n)
            bounds[k + 1] = n
        n_lists = n_merged
        firsts, other_firsts = other_firsts, firsts
        ends, other_ends = other_ends, ends
    return _stretches_to_runs(firsts[: bounds[1]], ends[: bounds[1]], n_pixels)


@njit(cache=True, nogil=True)
def _merge(firsts, ends, start, middle, stop, merged_firsts, merged_ends, n):
    """Append the union of stretches [start, middle) and [middle, stop); both are sorted."""
    i, j = start, middle
    n_before = n
    while i < middle or j < stop:
        if j >= stop or (i < middle and firsts[i] <= firsts[j]):
            k = i
            i += 1
        else:
            k = j
            j += 1
        if n > n_before and firsts[k] <= merged_ends[n - 1]:
            merged_ends[n - 1] = max(merged_ends[n - 1], ends[k])
        else:
            merged_firsts[n], merged_ends[n] = firsts[k], ends[k]
            n += 1
    return n


@njit(cache=True, nogil=True)
def _stretches_to_runs(firsts, ends, n_pixels):
    counts = np.empty(2 * len(firsts) + 1, np.uint32)
    position = 0
    for k in range(len(firsts)):
        counts[2 * k], counts[2 * k + 1] = firsts[k] - position, ends[k] - firsts[k]
        position = ends[k]
    if position == n_pixels:
        return counts[:-1].copy()
    counts[-1] = n_pixels - position
    return counts
