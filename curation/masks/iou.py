"""Intersections and IoU of all pairs of two batches, walked on runs where the boxes meet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from curation.errors import InputError
from curation.masks.geometry import areas, boxes
from curation.masks.runs import Runs, require_same_size


def intersections(a: Runs, b: Runs, where: np.ndarray | None = None) -> np.ndarray:
    """Pixels that each mask of `a` shares with each of `b`, int64 (Na, Nb). `b is a` costs half.

    With `where`, bool (Na, Nb), only those pairs are counted and the others hold 0; it is symmetric where `b is a`.
    """
    require_same_size(a, b, "intersections: the second batch")
    where = np.ones((len(a), len(b)), bool) if where is None else where
    edges_a, boxes_a = _edges(a.counts, a.offsets), boxes(a)
    if b is a:
        return _intersections(edges_a, a.offsets, boxes_a, edges_a, a.offsets, boxes_a, a.height, where, True)
    edges_b = _edges(b.counts, b.offsets)
    return _intersections(edges_a, a.offsets, boxes_a, edges_b, b.offsets, boxes(b), a.height, where, False)


def iou(a: Runs, b: Runs, is_crowd: Sequence[bool] | np.ndarray | None = None) -> np.ndarray:
    """Intersection over union, float64 (Na, Nb), equal to pycocotools.mask.iou(a, b, is_crowd) to the bit.

    Where `is_crowd` (Nb,) is true the intersection is divided by the area of `a`'s mask alone, as COCO does for a
    region of many objects. 0 for two empty masks.
    """
    shared = intersections(a, b)
    areas_a, areas_b = areas(a), areas(b)
    whole = areas_a[:, None] + areas_b[None, :] - shared
    if is_crowd is not None:
        crowd = np.asarray(is_crowd, bool)
        if crowd.shape != (len(b),):
            raise InputError(
                f"iou: is_crowd has shape {crowd.shape}; it must be ({len(b)},), one a mask of `b`"
            )
        whole = np.where(crowd[None, :], areas_a[:, None], whole)
    return shared / np.maximum(whole, 1)


def paired_intersections(a: Runs, b: Runs) -> np.ndarray:
    """Pixels that mask i of `a` shares with mask i of `b`, int64 (N,). Raises InputError for unequal numbers."""
    require_same_size(a, b, "paired_intersections: the second batch")
    if len(a) != len(b):
        raise InputError(f"paired_intersections: {len(a)} and {len(b)} masks came; give as many of each")
    return _paired(a.counts, a.offsets, b.counts, b.offsets)


def paired_iou(a: Runs, b: Runs) -> np.ndarray:
    """IoU of mask i of `a` with mask i of `b`, float64 (N,); 0 for two empty masks."""
    shared = paired_intersections(a, b)
    return shared / np.maximum(areas(a) + areas(b) - shared, 1)


@njit(cache=True, nogil=True)
def _edges(counts, offsets):
    """Where each run ends, as a position x * height + y in its mask: int64 of the same layout as `counts`."""
    edges = np.empty(len(counts), np.int64)
    for mask in range(len(offsets) - 1):
        position = 0
        for k in range(offsets[mask], offsets[mask + 1]):
            position += np.int64(counts[k])
            edges[k] = position
    return edges


@njit(cache=True, nogil=True)
def _intersections(edges_a, offsets_a, boxes_a, edges_b, offsets_b, boxes_b, height, where, is_symmetric):
    shared = np.zeros((len(offsets_a) - 1, len(offsets_b) - 1), np.int64)
    for a in range(shared.shape[0]):
        for b in range(a if is_symmetric else 0, shared.shape[1]):
            if not where[a, b]:
                continue
            start, stop = _shared_span(boxes_a[a], boxes_b[b], height)
            if start >= stop:
                continue
            area = _shared_px(
                edges_a[offsets_a[a] : offsets_a[a + 1]],
                edges_b[offsets_b[b] : offsets_b[b + 1]],
                start,
                stop,
            )
            shared[a, b] = area
            if is_symmetric:
                shared[b, a] = area
    return shared


@njit(cache=True, nogil=True)
def _paired(counts_a, offsets_a, counts_b, offsets_b):
    """Each pair is walked once, from the first run on: finding where to begin would cost as much as the walk."""
    shared = np.zeros(len(offsets_a) - 1, np.int64)
    for k in range(len(shared)):
        i, i_stop = offsets_a[k], offsets_a[k + 1]
        j, j_stop = offsets_b[k], offsets_b[k + 1]
        if i + 1 >= i_stop or j + 1 >= j_stop:
            continue
        first_a, first_b = np.int64(counts_a[i]), np.int64(counts_b[j])
        end_a, end_b = first_a + np.int64(counts_a[i + 1]), first_b + np.int64(counts_b[j + 1])
        area = 0
        while True:
            first = max(first_a, first_b)
            if end_a < end_b:
                area += max(end_a - first, 0)
                i += 2
                if i + 1 >= i_stop:
                    break
                first_a = end_a + np.int64(counts_a[i])
                end_a = first_a + np.int64(counts_a[i + 1])
            else:
                area += max(end_b - first, 0)
                j += 2
                if j + 1 >= j_stop:
                    break
                first_b = end_b + np.int64(counts_b[j])
                end_b = first_b + np.int64(counts_b[j + 1])
        shared[k] = area
    return shared


@njit(cache=True, nogil=True)
def _shared_span(box_a, box_b, height):
    """Positions [start, stop) that hold all that two boxes share; start = stop = 0 where they share nothing."""
    x0, y0 = max(box_a[0], box_b[0]), max(box_a[1], box_b[1])
    x1, y1 = min(box_a[0] + box_a[2], box_b[0] + box_b[2]), min(box_a[1] + box_a[3], box_b[1] + box_b[3])
    if x0 >= x1 or y0 >= y1:
        return np.int64(0), np.int64(0)
    return np.int64(x0) * height + y0, np.int64(x1 - 1) * height + y1


@njit(cache=True, nogil=True)
def _first_interval(edges, start):
    """The first foreground run that ends after `start`: the index of the edge where it begins."""
    low, high = 0, len(edges) // 2
    while low < high:
        middle = (low + high) // 2
        if edges[2 * middle + 1] > start:
            high = middle
        else:
            low = middle + 1
    return 2 * low


@njit(cache=True, nogil=True)
def _shared_px(edges_a, edges_b, start, stop):
    """Pixels in both masks; only positions in [start, stop) can hold any.

    A branch for whichever run ends first: along two outlines the turns repeat and are foreseen by the processor,
    which measured twice as fast as advancing both without a branch.
    """
    i, j = _first_interval(edges_a, start), _first_interval(edges_b, start)
    if i + 1 >= len(edges_a) or j + 1 >= len(edges_b):
        return 0
    first_a, end_a = edges_a[i], edges_a[i + 1]
    first_b, end_b = edges_b[j], edges_b[j + 1]
    area = 0
    while first_a < stop and first_b < stop:
        first = max(first_a, first_b)
        if end_a < end_b:
            area += max(end_a - first, 0)
            i += 2
            if i + 1 >= len(edges_a):
                break
            first_a, end_a = edges_a[i], edges_a[i + 1]
        else:
            area += max(end_b - first, 0)
            j += 2
            if j + 1 >= len(edges_b):
                break
            first_b, end_b = edges_b[j], edges_b[j + 1]
    return area
