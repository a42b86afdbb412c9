"""How a mask's low-resolution logits become a field at full size: bilinear stretches, planned once for a pair of sizes."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np


class Rule(IntEnum):
    """How a value among four neighbours is computed in float32; the last bit depends on it."""

    #: The sum of four products with their weights: upper left, upper right, lower left, lower right.
    WEIGHTED = 0
    #: That sum by fma, and places by fma too.
    FUSED = 1
    #: above + (below - above) * share on both sides, then left + (right - left) * share.
    BETWEEN = 2
    #: The sum of two products along the upper row, along the lower one, then of these two down the column.
    ALONG_ROWS = 3
    #: These sums by fma, and places by fma too.
    ALONG_ROWS_FUSED = 4


class Stretch(NamedTuple):
    """One axis made longer or shorter: target k lies between the sources `before[k]` and `after[k]`.

    Sources never decrease from one target to the next; at the ends both are the same.
    """

    before: np.ndarray  # int64 (n,)
    after: np.ndarray  # int64 (n,)
    share: np.ndarray  # float32 (n,), of the source after

    def until(self, n: int) -> "Stretch":
        """Its first n targets."""
        return Stretch(self.before[:n], self.after[:n], self.share[:n])


class Axis(NamedTuple):
    """The stretches of one axis in S steps, filled up to the longest."""

    sources: np.ndarray  # int64 (S, 2, L): before and after
    shares: np.ndarray  # float32 (S, L)


class Enlargement(NamedTuple):
    """Bilinear steps, and what can be told of the field before any value is computed.

    A field's pixel is a mean of low-resolution logits near it. Rows of the field whose logits begin in one row are a
    band. Columns `first_column[j]` and later look at logits of column j or later, and those before `stop_column[j]`
    at logits before column j.
    """

    rule: int
    rows: Axis
    columns: Axis
    bands: np.ndarray  # int64 (B, 4): first and stop row of the field, first and stop row of the logits
    first_column: np.ndarray  # int64 (columns of logits + 1,)
    stop_column: np.ndarray  # int64 (columns of logits + 1,)
    most_rows: int  # of one band, in the logits and after every step
    most_columns: int  # of the logits, and after every step

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the field."""
        return int(self.bands[-1, 1]), int(self.stop_column[-1])


def plan(rule: Rule, rows: list[Stretch], columns: list[Stretch]) -> Enlargement:
    """Follow the field back to the logits; one stretch of rows and one of columns is a step."""
    rows, columns = _that_change(rows, columns)
    first_row, last_row = _reach(rows)
    starts = np.flatnonzero(np.diff(first_row, prepend=-1))
    stops = np.append(starts[1:], len(first_row))
    first_column, last_column = _reach(columns)
    edges = np.arange(last_column[-1] + 2)
    return Enlargement(
        int(rule),
        _axis(rows),
        _axis(columns),
        np.stack([starts, stops, first_row[starts], last_row[stops - 1] + 1], axis=1),
        np.searchsorted(first_column, edges),
        np.searchsorted(last_column, edges),
        _most_rows(rows, starts, stops),
        max(int(last_column[-1]) + 1, *(len(stretch.share) for stretch in columns)),
    )


def _that_change(rows: list[Stretch], columns: list[Stretch]) -> tuple[list[Stretch], list[Stretch]]:
    """Without the steps after the first that leave both axes as they are."""
    kept: list[tuple[Stretch, Stretch]] = []
    for step in zip(rows, columns, strict=True):
        if kept and all(map(_is_same, step)):
            kept[-1] = tuple(
                before.until(len(same.share)) for before, same in zip(kept[-1], step, strict=True)
            )
        else:
            kept.append(step)
    return [row for row, _ in kept], [column for _, column in kept]


def _is_same(stretch: Stretch) -> bool:
    numbers = np.arange(len(stretch.share))
    return np.array_equal(stretch.before, numbers) and np.array_equal(stretch.after, numbers)


def _reach(stretches: list[Stretch]) -> tuple[np.ndarray, np.ndarray]:
    """First and last logit that each target of the last stretch looks at."""
    first = last = np.arange(len(stretches[-1].share))
    for stretch in reversed(stretches):
        first, last = stretch.before[first], stretch.after[last]
    return first, last


def _axis(stretches: list[Stretch]) -> Axis:
    longest = max(len(s.share) for s in stretches)
    fills = [(0, longest - len(s.share)) for s in stretches]
    sources = [
        [np.pad(s.before, fill), np.pad(s.after, fill)] for s, fill in zip(stretches, fills, strict=True)
    ]
    shares = [np.pad(s.share, fill) for s, fill in zip(stretches, fills, strict=True)]
    return Axis(np.array(sources), np.array(shares))


def _most_rows(stretches: list[Stretch], starts: np.ndarray, stops: np.ndarray) -> int:
    most = 0
    for stretch in reversed(stretches):
        most = max(most, int((stops - starts).max()))
        starts, stops = stretch.before[starts], stretch.after[stops - 1] + 1
    return max(most, int((stops - starts).max()))


def torch_stretch(n_from: int, n_to: int, rule: Rule) -> Stretch:
    """Sources and shares of torch's interpolate(mode="bilinear", align_corners=False).

    Rounded as torch does (aten/src/ATen/native/UpSample.h, area_pixel_compute_source_index and
    guard_index_and_lambda).
    """
    if n_from == n_to:
        same = np.arange(n_to)
        return Stretch(same, same, np.zeros(n_to, np.float32))
    step = np.float32(n_from) / np.float32(n_to)
    centres = np.arange(n_to, dtype=np.float32) + np.float32(0.5)
    if rule in (Rule.FUSED, Rule.ALONG_ROWS_FUSED):  # a product of two float32 is exact in float64
        places = (np.float64(step) * centres - 0.5).astype(np.float32)
    else:
        places = step * centres - np.float32(0.5)
    return _stretch(n_from, np.maximum(places, np.float32(0)))


def centred_stretch(n_from: int, n_to: int) -> Stretch:
    """Half-pixel centres, edges repeated: the frame of `torch_stretch`, with places in float64."""
    places = np.maximum((np.arange(n_to) + 0.5) * n_from / n_to - 0.5, 0.0)
    return _stretch(n_from, places)


def _stretch(n_from: int, places: np.ndarray) -> Stretch:
    before = np.minimum(places.astype(np.int64), n_from - 1)
    share = (places - before.astype(places.dtype)).astype(np.float32)
    return Stretch(before, np.minimum(before + 1, n_from - 1), share)
