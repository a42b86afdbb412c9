"""Masks made from masks: small regions removed, the largest region, union, complement."""

from __future__ import annotations

import numpy as np
from numba import njit

from curation.errors import InputError
from curation.masks.geometry import boxes
from curation.masks.runs import Runs
from curation.masks.segments import connect, join, split


def remove_small_regions(runs: Runs, min_area_px: float) -> tuple[Runs, np.ndarray]:
    """Fill holes and then drop islands smaller than `min_area_px`; also which masks were touched, bool (N,).

    The same pixels and flags as segment_anything.utils.amg.remove_small_regions, first with "holes" and then with
    "islands": both 8-connected; background that reaches the image's border is a hole like any other; where all
    islands are small the largest stays, the first of equals in OpenCV's order.
    """
    background = split(complement(runs))
    gaps = connect(background, 8)
    is_large = gaps.sizes_px >= min_area_px
    is_filled = _has_small(is_large, gaps.offsets)
    filled = runs
    if is_filled.any():
        filled = complement(join(background, is_large[gaps.labels], runs.height, runs.width))

    foreground = split(filled)
    islands = connect(foreground, 8)
    is_large = islands.sizes_px >= min_area_px
    is_cut = _has_small(is_large, islands.offsets)
    if not is_cut.any():
        return filled, is_filled
    first_blocks = _first_blocks(foreground.firsts, foreground.stride, islands.labels, len(is_large))
    _keep_one(is_large, islands.sizes_px, first_blocks, islands.offsets)
    kept = join(foreground, is_large[islands.labels], runs.height, runs.width)
    return kept, is_filled | is_cut


def largest_region(runs: Runs) -> tuple[int, tuple[int, int, int, int]]:
    """(area_px, bbox_xywh) of the largest 4-connected region of one mask, the leftmost of equals.

    (0, (0, 0, 0, 0)) for an empty mask. Raises InputError unless `runs` holds exactly one mask.
    """
    _require_one(runs, "largest_region")
    segments = split(runs)
    found = connect(segments, 4)
    if len(found.sizes_px) == 0:
        return 0, (0, 0, 0, 0)
    largest = int(found.sizes_px.argmax())
    box = boxes(join(segments, found.labels == largest, runs.height, runs.width))[0]
    return int(found.sizes_px[largest]), tuple(box.tolist())


def large_regions(runs: Runs, min_area_px: float) -> Runs:
    """The 4-connected regions of one mask that have at least `min_area_px`, as masks: the largest first, of equals the leftmost.

    An empty batch where none is that large. Raises InputError unless `runs` holds exactly one mask.
    """
    _require_one(runs, "large_regions")
    segments = split(runs)
    found = connect(segments, 4)
    is_large = found.sizes_px >= min_area_px
    by_size = np.argsort(-found.sizes_px, kind="stable")[: int(is_large.sum())]
    large = [join(segments, found.labels == label, runs.height, runs.width) for label in by_size]
    return Runs.concat([Runs.empty(runs.height, runs.width), *large])


def union(runs: Runs) -> Runs:
    """One mask of all pixels that lie in any of the masks; an empty mask for an empty batch."""
    counts = _union(runs.counts, runs.offsets, runs.height * runs.width)
    return Runs(runs.height, runs.width, counts, np.array([0, len(counts)]))


def complement(runs: Runs) -> Runs:
    """Each mask's background as a mask."""
    counts, offsets = _complement(runs.counts, runs.offsets)
    return Runs(runs.height, runs.width, counts, offsets)


def _require_one(runs: Runs, where: str) -> None:
    if len(runs) != 1:
        raise InputError(f"{where}: a batch of {len(runs)} masks came; give one, runs[i]")


def _has_small(is_large: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Which masks have a component that is not large, bool (N,)."""
    n_small = np.concatenate([np.zeros(1, np.int64), np.cumsum(~is_large)])
    return np.diff(n_small[offsets]) > 0


@njit(cache=True, nogil=True)
def _first_blocks(firsts, stride, labels, n_components):
    """Per component the first 2 x 2 block of pixels that it meets, row by row: the order OpenCV numbers them in."""
    blocks = np.full(n_components, np.iinfo(np.int64).max)
    for k in range(len(firsts)):
        x, y = firsts[k] // stride, firsts[k] % stride
        blocks[labels[k]] = min(blocks[labels[k]], (y // 2) << 32 | x // 2)
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
