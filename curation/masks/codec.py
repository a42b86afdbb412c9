"""COCO run-length encoding, read and written. Everything is checked here, so that no kernel ever sees a bad run.

The format (pycocotools, maskApi.c): pixels are counted down the columns, the first run is background, and
`size` is [height, width]. `counts` is a list of integers ("uncompressed") or a string ("compressed"): from the
fourth on each run is written as the difference to the run before the last, in groups of five bits, lowest first,
each as one character from '0' (48) to 'o' (111) whose bit 32 says that more follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numba import njit

from curation.errors import RleError
from curation.masks.runs import Runs, check_size

_FIRST_CHAR, _LAST_CHAR, _MORE = 48, 111, 80
_ALLOWED_CHARS = "a COCO RLE string holds only '0' to 'o' (48 to 111), this is another format or damaged"
_MAX_CHARS = 6  # 30 bits: a signed difference of two runs of the largest image allowed (runs.MAX_IMAGE_PX)
_OK, _TOO_LONG, _TRUNCATED, _NEGATIVE, _TOO_MANY, _TOO_FEW = range(6)


def parse(segmentation: Mapping, size: tuple[int, int] | None = None) -> Runs:
    """One COCO segmentation, {"size": [h, w], "counts": str | bytes | list of int}, as a batch of one mask.

    `size`, where given, is the image's (height, width), and the segmentation's must equal it. Zero-length runs are
    legal and merged, so the mask is the same and its string may differ from what came. Raises RleError.
    """
    if not isinstance(segmentation, Mapping):
        polygon = " (polygons are not RLE)" if isinstance(segmentation, list) else ""
        raise RleError(
            f"segmentation: {_kind(segmentation)} came{polygon}; "
            'it must be an object {"size": [height, width], "counts": …}'
        )
    for key in ("size", "counts"):
        if key not in segmentation:
            raise RleError(f"segmentation: {key!r} is missing, it has {sorted(map(str, segmentation))[:8]}")
    height, width = _checked_size(segmentation["size"], size)
    counts = segmentation["counts"]
    if isinstance(counts, str | bytes):
        return parse_strings([counts], height, width)
    if isinstance(counts, list | tuple | np.ndarray):
        return _parse_integers(counts, height, width)
    raise RleError(f"counts: {_kind(counts)} came; it must be a string, bytes or a list of integers")


def parse_strings(
    counts: Sequence[str | bytes] | pa.Array | pa.ChunkedArray, height: int, width: int
) -> Runs:
    """N compressed COCO strings of one image as a batch of N masks.

    An Arrow string or binary array is read where it lies. Raises RleError that names the index of a bad string.
    """
    check_size(height, width)
    height, width = int(height), int(width)
    if len(counts) == 0:
        return Runs.empty(height, width)
    chars, char_offsets = _char_buffers(counts)
    _check_chars(chars, char_offsets)
    runs, run_offsets, code, mask, at, value = _parse_chars(chars, char_offsets, height * width)
    if code != _OK:
        raise RleError(f"{_where(mask, len(counts))}: {_complaint(code, at, value, height, width)}")
    return Runs(height, width, runs, run_offsets)


def areas_and_boxes(
    counts: pa.Array | pa.ChunkedArray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Areas int64 (N,) and tight boxes [x, y, w, h] int32 (N, 4) of N compressed strings, in one pass over them.

    None where `parse_strings` would refuse a string, or `to_strings` write it otherwise: ask those, then. So strings that
    this takes are the masks' own, byte for byte. An empty mask has a box of zeros. Raises RleError for a bad size.
    """
    check_size(height, width)
    chars, offsets = _char_buffers(counts)
    if not _are_allowed(chars[offsets[0] : offsets[-1]]):
        return None
    areas_px, bbox_xywh, is_canonical = _areas_and_boxes(chars, offsets, int(height), int(width))
    return (areas_px, bbox_xywh) if is_canonical else None


def to_strings(runs: Runs) -> list[str]:
    """N compressed COCO strings, equal to pycocotools' own byte for byte."""
    chars, offsets = _write_chars(runs.counts, runs.offsets)
    text = chars.tobytes().decode("ascii")
    bounds = offsets.tolist()
    return [text[first:stop] for first, stop in pairwise(bounds)]


def to_coco(runs: Runs, i: int = 0) -> dict:
    """Mask i as a COCO segmentation, {"size": [h, w], "counts": str}."""
    return {"size": [runs.height, runs.width], "counts": to_strings(runs[i])[0]}


# ---------------------------------------------------------------------------------------------- checks


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__


def _checked_size(came: object, wanted: tuple[int, int] | None) -> tuple[int, int]:
    """(height, width) of a segmentation, after every check on it."""
    if not isinstance(came, list | tuple | np.ndarray) or len(came) != 2:
        raise RleError(f"size: {came!r} came; it must be [height, width]")
    height, width = came
    check_size(height, width)
    if wanted is not None:
        check_size(*wanted, where="size of the image")
        if (height, width) != tuple(wanted):
            raise RleError(
                f"size: [{height}, {width}] came, but the image is [{wanted[0]}, {wanted[1]}] "
                "(height, width); the mask belongs to another picture, or its sides are swapped"
            )
    return int(height), int(width)


def _parse_integers(counts: list | tuple | np.ndarray, height: int, width: int) -> Runs:
    if isinstance(counts, np.ndarray) and counts.ndim != 1:
        raise RleError(f"counts: an array of shape {counts.shape} came; it must be a flat list of integers")
    kinds = set(map(type, counts))
    wrong = [kind for kind in kinds if kind is not int and not issubclass(kind, np.integer)]
    if wrong:
        at = next(k for k, count in enumerate(counts) if type(count) in wrong)
        raise RleError(f"counts: run {at} is {counts[at]!r} ({_kind(counts[at])}); runs must be integers")
    try:
        runs = np.array(counts, np.int64)
    except OverflowError as error:
        raise RleError(
            f"counts: a run takes more than 64 bits; runs must sum to {height * width:,}"
        ) from error
    merged, code, at, value = _parse_runs(runs, height * width)
    if code != _OK:
        raise RleError(f"counts: {_complaint(code, at, value, height, width)}")
    return Runs(height, width, merged, np.array([0, len(merged)]))


def _where(mask: int, n_masks: int) -> str:
    return f"counts of mask {mask}" if n_masks > 1 else "counts"


def _are_allowed(chars: np.ndarray) -> bool:
    return len(chars) == 0 or (chars.min() >= _FIRST_CHAR and chars.max() <= _LAST_CHAR)


def _check_chars(chars: np.ndarray, offsets: np.ndarray) -> None:
    used = chars[offsets[0] : offsets[-1]]
    if _are_allowed(used):
        return
    place = int(np.argmax((used < _FIRST_CHAR) | (used > _LAST_CHAR))) + int(offsets[0])
    mask = int(np.searchsorted(offsets, place, "right")) - 1
    came = f"byte {place - int(offsets[mask])} is {bytes([chars[place]])!r}"
    raise RleError(f"{_where(mask, len(offsets) - 1)}: {came}; {_ALLOWED_CHARS}")


def _complaint(code: int, at: int, value: int, height: int, width: int) -> str:
    """What is wrong, in words. `at` is a character for _TOO_LONG, else a run."""
    total = f"{height} x {width} = {height * width:,} (height x width)"
    if code == _TOO_LONG:
        return (
            f"the number that starts at character {at} takes more than {_MAX_CHARS} characters; no run of an "
            "allowed image does, this is damaged"
        )
    if code == _TRUNCATED:
        return "the string ends inside a number; it was cut short"
    if code == _NEGATIVE:
        return f"run {at} is {value}; runs must be 0 or more"
    if code == _TOO_MANY:
        return f"runs 0 to {at} sum to {value:,}, more than {total}"
    return f"its {at} runs sum to {value:,}; they must sum to {total}"


def _char_buffers(
    counts: Sequence[str | bytes] | pa.Array | pa.ChunkedArray,
) -> tuple[np.ndarray, np.ndarray]:
    """All strings' bytes back to back (uint8), and where each starts (int64, N + 1)."""
    if isinstance(counts, pa.ChunkedArray):
        counts = counts.combine_chunks()
    if not isinstance(counts, pa.Array):
        counts = _arrow_strings(counts)
    if counts.null_count:
        raise RleError(
            f"counts of mask {counts.is_null().index(True)}: null came; it must be a COCO RLE string"
        )
    kind = counts.type
    if kind in (pa.string_view(), pa.binary_view()):
        counts = counts.cast(pa.large_binary())
    elif kind not in (pa.string(), pa.binary(), pa.large_string(), pa.large_binary()):
        raise RleError(f"counts: an Arrow array of {kind} came; it must hold strings or binaries")
    _, offsets_buffer, data_buffer = counts.buffers()
    offset_type = np.dtype(np.int32 if kind in (pa.string(), pa.binary()) else np.int64)
    first = counts.offset * offset_type.itemsize
    offsets = np.frombuffer(offsets_buffer, offset_type, len(counts) + 1, first).astype(np.int64)
    chars = np.frombuffer(data_buffer if offsets[-1] else b"", np.uint8, int(offsets[-1]))
    return chars, offsets


def _arrow_strings(counts: Sequence[str | bytes]) -> pa.Array:
    for index, text in enumerate(counts):
        if not isinstance(text, str | bytes):
            raise RleError(f"counts of mask {index}: {_kind(text)} came; it must be str or bytes")
    try:
        return pa.array(counts, pa.large_binary())
    except UnicodeEncodeError as error:
        raise RleError(f"counts: {error.object[error.start]!r} came; {_ALLOWED_CHARS}") from error


# --------------------------------------------------------------------------------------------- kernels


@njit(cache=True, nogil=True)
def _parse_chars(chars, char_offsets, n_pixels):
    """Runs of all strings: (counts, offsets, code, mask, at, value), the last four for the first error.

    Expects characters in range. Values stay below 2^30 + n_pixels, so nothing here can overflow.
    """
    n_runs = 0
    for k in range(char_offsets[0], char_offsets[-1]):
        n_runs += chars[k] < _MORE  # the last character of a number
    n_masks = len(char_offsets) - 1
    counts = np.empty(n_runs, np.uint32)
    offsets = np.zeros(n_masks + 1, np.int64)
    filled = 0
    for mask in range(n_masks):
        k, stop = char_offsets[mask], char_offsets[mask + 1]
        first = filled
        run, total, last, before_last = 0, 0, 0, 0
        while k < stop:
            group = np.int64(chars[k]) - _FIRST_CHAR
            value, shift = group & 31, 5
            k += 1
            while group >= 32:
                if k == stop:
                    return counts, offsets, _TRUNCATED, mask, 0, 0
                if shift == 5 * _MAX_CHARS:
                    return counts, offsets, _TOO_LONG, mask, k - char_offsets[mask] - _MAX_CHARS, 0
                group = np.int64(chars[k]) - _FIRST_CHAR
                value |= (group & 31) << shift
                shift += 5
                k += 1
            value -= (group & 16) << (shift - 4)  # sign
            if run > 2:
                value += before_last
            if value < 0:
                return counts, offsets, _NEGATIVE, mask, run, value
            total += value
            if total > n_pixels:
                return counts, offsets, _TOO_MANY, mask, run, total
            before_last, last = last, value
            if run == 0 or (value > 0 and (filled - first) & 1 == run & 1):
                counts[filled] = value
                filled += 1
            elif value > 0:  # zero-length runs came before: the same side as the last one kept
                counts[filled - 1] += value
            run += 1
        if total != n_pixels:
            return counts, offsets, _TOO_FEW, mask, run, total
        offsets[mask + 1] = filled
    return counts[:filled].copy(), offsets, _OK, 0, 0, 0


@njit(cache=True, nogil=True)
def _areas_and_boxes(chars, char_offsets, height, width):
    """(areas, boxes, whether all strings are as pycocotools writes them), the first two only where they are.

    Then there are no zero-length runs but the first, and no groups of bits that could be left out. Expects characters in
    range. Values stay below 2^30 + n_pixels, so nothing here can overflow.
    """
    n_masks, n_pixels = len(char_offsets) - 1, height * width
    areas, boxes = np.empty(n_masks, np.int64), np.zeros((n_masks, 4), np.int32)
    for mask in range(n_masks):
        k, stop = char_offsets[mask], char_offsets[mask + 1]
        run, last, before_last = 0, 0, 0
        area, background = 0, 0
        x, y = 0, 0  # where the run starts
        x0, x1, y0, y1 = -1, 0, height, 0
        while k < stop:
            group = np.int64(chars[k]) - _FIRST_CHAR
            k += 1
            value = (group & 15) - (group & 16)
            if group >= 32:
                value, shift = group & 31, 5
                while group >= 32:
                    if k == stop or shift == 5 * _MAX_CHARS:
                        return areas, boxes, False
                    padding = 31 if group & 16 else 0
                    group = np.int64(chars[k]) - _FIRST_CHAR
                    k += 1
                    if group == padding:
                        return areas, boxes, False
                    value |= (group & 31) << shift
                    shift += 5
                value -= (group & 16) << (shift - 4)  # sign
            if run > 2:
                value += before_last
            if value < (run > 0) or value > n_pixels:
                return areas, boxes, False
            before_last, last = last, value
            if run & 1:
                area += value
                x0 = x if x0 < 0 else x0
                end = y + value  # in rows of column x, one past the run's last pixel
                y0, y1 = min(y0, y), max(y1, end)
                y = end
                if end > height:
                    n_columns = 1 if end <= 2 * height else (end - 1) // height  # a division is slow
                    x, y = x + n_columns, end - n_columns * height
                    y0, y1 = 0, height
                x1 = x + 1
            else:
                background += value
                y += value
                if y >= height:
                    n_columns = 1 if y < 2 * height else y // height
                    x, y = x + n_columns, y - n_columns * height
            run += 1
        if area + background != n_pixels:
            return areas, boxes, False
        areas[mask] = area
        if area > 0:
            boxes[mask, 0], boxes[mask, 1], boxes[mask, 2], boxes[mask, 3] = x0, y0, x1 - x0, y1 - y0
    return areas, boxes, True


@njit(cache=True, nogil=True)
def _parse_runs(runs, n_pixels):
    """Integer runs of one mask, checked and merged: (counts, code, at, value)."""
    counts = np.empty(len(runs) + 1, np.uint32)
    filled = 0
    total = 0
    for run in range(len(runs)):
        value = runs[run]
        if value < 0:
            return counts, _NEGATIVE, run, value
        if value > n_pixels - total:
            return counts, _TOO_MANY, run, total + min(value, n_pixels + 1)
        total += value
        if run == 0 or (value > 0 and filled & 1 == run & 1):
            counts[filled] = value
            filled += 1
        elif value > 0:
            counts[filled - 1] += value
    if total != n_pixels:
        return counts, _TOO_FEW, len(runs), total
    return counts[:filled].copy(), _OK, 0, 0


@njit(cache=True, nogil=True)
def _write_chars(counts, offsets):
    """All masks' strings back to back, and where each starts."""
    chars = np.empty(len(counts) * _MAX_CHARS, np.uint8)
    char_offsets = np.zeros(len(offsets), np.int64)
    filled = 0
    for mask in range(len(offsets) - 1):
        first = offsets[mask]
        for k in range(first, offsets[mask + 1]):
            value = np.int64(counts[k])
            if k - first > 2:
                value -= np.int64(counts[k - 2])
            more = True
            while more:
                group = value & 31
                value >>= 5
                more = value != (-1 if group & 16 else 0)
                chars[filled] = group + _FIRST_CHAR + (32 if more else 0)
                filled += 1
        char_offsets[mask + 1] = filled
    return chars[:filled].copy(), char_offsets
