"""Pixels to runs and back."""

from __future__ import annotations

import numpy as np
from numba import njit

from curation.errors import InputError, RleError
from curation.masks.runs import Runs, check_size


def encode(masks: np.ndarray) -> Runs:
    """Masks (N, H, W), bool or uint8 (any value but 0 is mask), as a batch. N may be 0. Raises RleError."""
    if not isinstance(masks, np.ndarray) or masks.ndim != 3 or masks.dtype not in (np.bool_, np.uint8):
        came = f"{masks.dtype} {masks.shape}" if isinstance(masks, np.ndarray) else type(masks).__name__
        raise RleError(f"encode: {came} came; it must be a NumPy array (N, H, W) of bool or uint8")
    n_masks, height, width = masks.shape
    check_size(height, width, "encode")
    if n_masks == 0:
        return Runs.empty(height, width)
    counts, offsets = _encode(np.ascontiguousarray(masks).view(np.uint8))
    return Runs(height, width, counts, offsets)


def decode(runs: Runs, crop_xywh: tuple[int, int, int, int] | None = None) -> np.ndarray:
    """Masks as bool (N, h, w), whole or only the crop [x, y, w, h], which must lie inside the image."""
    crop = (0, 0, runs.width, runs.height) if crop_xywh is None else tuple(int(v) for v in crop_xywh)
    x, y, w, h = crop
    if x < 0 or y < 0 or w < 0 or h < 0 or x + w > runs.width or y + h > runs.height:
        raise InputError(
            f"decode: crop [x, y, w, h] = {list(crop)} leaves the image of {runs.width} x {runs.height} px "
            "(width x height); clip it first"
        )
    pixels = np.zeros((len(runs), h, w), np.uint8)
    if pixels.size:
        _decode(runs.counts, runs.offsets, runs.height, x, y, pixels)
    return pixels.view(np.bool_)


@njit(cache=True, nogil=True)
def _encode(masks):
    """Runs of uint8 masks (N, H, W): finds every change down the columns row by row, then sorts by column."""
    n_masks, height, width = masks.shape
    blank = np.zeros(width, np.uint8)
    positions = np.empty(4 * width + 1024, np.int64)
    changes = np.empty(4 * width + 1024, np.int64)
    cursor = np.empty(width + 1, np.int64)
    counts = np.empty(1024, np.uint32)
    offsets = np.zeros(n_masks + 1, np.int64)
    filled = 0
    for mask in range(n_masks):
        n_changes = 0
        above = blank
        for y in range(height + 1):
            row = masks[mask, y] if y < height else blank
            if n_changes + width > len(changes):
                grown = np.empty(2 * len(changes) + width, np.int64)
                grown[:n_changes] = changes[:n_changes]
                changes = grown
            n_changes = _row_changes(row, above, y, changes, n_changes)
            above = row
        if len(positions) < n_changes:
            positions = np.empty(len(changes), np.int64)
        _sort_by_column(changes[:n_changes], height, cursor, positions)
        while filled + n_changes + 1 > len(counts):
            grown_counts = np.empty(2 * len(counts) + n_changes, np.uint32)
            grown_counts[:filled] = counts[:filled]
            counts = grown_counts
        filled = _positions_to_runs(positions[:n_changes], height * width, counts, filled)
        offsets[mask + 1] = filled
    return counts[:filled].copy(), offsets


@njit(cache=True, nogil=True)
def _row_changes(row, above, y, changes, n_changes):
    """Append x << 32 | y for each column whose pixel differs from the one above it.

    Compares eight pixels at a time: in most places a row equals the one above.
    """
    n_words = len(row) // 8
    words, words_above = row[: n_words * 8].view(np.uint64), above[: n_words * 8].view(np.uint64)
    for word in range(n_words):
        if words[word] != words_above[word]:
            for x in range(word * 8, word * 8 + 8):
                if (row[x] != 0) != (above[x] != 0):
                    changes[n_changes] = x << 32 | y
                    n_changes += 1
    for x in range(n_words * 8, len(row)):
        if (row[x] != 0) != (above[x] != 0):
            changes[n_changes] = x << 32 | y
            n_changes += 1
    return n_changes


@njit(cache=True, nogil=True)
def _sort_by_column(changes, height, cursor, positions):
    """Counting sort of changes (x << 32 | y, sorted by y) into column-major positions x * height + y."""
    cursor[:] = 0
    for change in changes:
        cursor[(change >> 32) + 1] += 1
    for x in range(1, len(cursor)):
        cursor[x] += cursor[x - 1]
    for change in changes:
        x = change >> 32
        positions[cursor[x]] = x * height + (change & 0xFFFFFFFF)
        cursor[x] += 1


@njit(cache=True, nogil=True)
def _positions_to_runs(positions, n_pixels, counts, filled):
    """Append the runs between sorted positions where the pixel changes; two equal positions cancel out."""
    last = 0
    k = 0
    while k < len(positions):
        if k + 1 < len(positions) and positions[k] == positions[k + 1]:
            k += 2  # down at the foot of one column and up at the head of the next
            continue
        counts[filled] = positions[k] - last
        filled += 1
        last = positions[k]
        k += 1
    if last < n_pixels or len(positions) == 0:
        counts[filled] = n_pixels - last
        filled += 1
    return filled


@njit(cache=True, nogil=True)
def _decode(counts, offsets, height, crop_x, crop_y, pixels):
    """Set the crop's pixels, (N, h, w) of zeros: marks where each column changes, then carries it down the rows."""
    n_masks, crop_height, crop_width = pixels.shape
    for mask in range(n_masks):
        position = 0
        top, bottom = crop_height, 0
        for k in range(offsets[mask], offsets[mask + 1]):
            first = position
            position += np.int64(counts[k])
            if (k - offsets[mask]) & 1 == 0 or first == position:
                continue
            x = first // height
            y = first - x * height
            stop = position - x * height
            while stop > 0 and x - crop_x < crop_width:
                if x >= crop_x:
                    y0 = max(y - crop_y, 0)
                    y1 = min(min(stop, height) - crop_y, crop_height)
                    if y0 < y1:
                        pixels[mask, y0, x - crop_x] ^= 1
                        if y1 < crop_height:
                            pixels[mask, y1, x - crop_x] ^= 1
                        top, bottom = min(top, y0), max(bottom, y1)
                x, y, stop = x + 1, 0, stop - height
        for y in range(top + 1, min(bottom + 1, crop_height)):
            above, row = pixels[mask, y - 1], pixels[mask, y]
            for x in range(crop_width):
                row[x] ^= above[x]
