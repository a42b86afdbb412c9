"""From a mask's logits to counts, box and runs, in one pass over the pixels that need a look.

Where all low-resolution logits around a pixel lie on the same side of every cut, so does the pixel: nothing is
computed there. Only between them is the field enlarged, tile by tile, into memory that stays in the cache.
"""

from typing import NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from curation.generation.enlargement import Enlargement, Rule

#: An enlarged logit lies between those around it, but for this share of the largest one. Two steps of at most eight
#: float32 roundings that follow each other, each of 2 ** -24, come to 1e-6.
ROUNDING_SHARE = 2e-6
#: Pixels that are compared with the row above at once.
_STRIDE = 64
#: So few columns of one level between two tiles are computed with them: a tile of its own costs more.
_FEW_COLUMNS = 24
# Kernels take plain numbers.
_FUSED, _BETWEEN = int(Rule.FUSED), int(Rule.BETWEEN)
_ALONG_ROWS, _ALONG_ROWS_FUSED = int(Rule.ALONG_ROWS), int(Rule.ALONG_ROWS_FUSED)

Cuts = tuple[float, float, float]  # the mask threshold - offset, the threshold itself, and + offset


class Scan(NamedTuple):
    """What one pass saw. The box is in the crop's frame with inclusive maxima, all 0 for an empty mask.

    `changes`, int32 (N, 2), are x and y where the mask begins or ends down a column, each column from its top.
    """

    n_low: int  # pixels above the mask threshold - offset
    area_px: int  # pixels above the mask threshold
    n_high: int  # pixels above the mask threshold + offset
    x_min: int
    y_min: int
    x_max: int
    y_max: int
    changes: np.ndarray

    def runs(self, x: int, y: int, height: int, width: int) -> np.ndarray:
        """COCO run lengths (uint32) in an image (height, width) whose crop lies at x, y."""
        return _runs(self.changes, self.x_max + 1, x, y, height, width)


def scan_field(field: np.ndarray, cuts: Cuts) -> Scan:
    """Compare a field (h, w), of any type of number, with the three cuts."""
    return _scanned(*_scan_field(field, _typed(cuts, field)))


def scan_enlarged(logits: np.ndarray, enlargement: Enlargement, cuts: Cuts) -> Scan:
    """The scan of `enlarge(logits, enlargement)`; the cuts must not decrease."""
    return _scanned(*_scan_enlarged(logits, enlargement, _typed(cuts, logits)))


def enlarge(logits: np.ndarray, enlargement: Enlargement) -> np.ndarray:
    """The whole field, float32 (height, width), of low-resolution logits, float32 (h, w)."""
    field = np.empty(enlargement.size, np.float32)
    _enlarge(logits, enlargement, field)
    return field


def _typed(cuts: Cuts, values: np.ndarray) -> tuple[np.generic, ...]:
    return tuple(values.dtype.type(cut) for cut in cuts)


def _scanned(counts: np.ndarray, changes: np.ndarray) -> Scan:
    return Scan(*counts.tolist(), *_box(changes), changes)


@njit(cache=True, nogil=True)
def _scan_field(field, cuts):
    height, width = field.shape
    counts = np.zeros(3, np.int64)
    state, row = np.zeros(width, np.uint8), np.empty(width, np.uint8)
    changes, n = np.empty((4 * width, 2), np.int32), 0
    for y in range(height):
        changes = _with_room(changes, n + width)
        _compare(field[y], width, cuts, row, counts)
        n = _note_changes(row, state, 0, width, y, changes, n)
    return counts, _ended(state, height, changes, n)


@njit(cache=True, nogil=True)
def _scan_enlarged(logits, plan, cuts):
    bands, first_column, stop_column = plan.bands, plan.first_column, plan.stop_column
    height, width = bands[-1, 1], stop_column[-1]
    counts = np.zeros(3, np.int64)
    state, row = np.zeros(width, np.uint8), np.empty(width, np.uint8)
    changes, n = np.empty((4 * width, 2), np.int32), 0
    steps = (plan.rule, plan.rows, plan.columns)
    windows, tiles = _room(plan)
    levels = _levels(logits[: bands[-1, 3], : len(stop_column) - 1], cuts)
    united = np.empty(levels.shape[1], np.uint8)
    for band in range(len(bands)):
        top, foot, first, stop = bands[band]
        changes = _with_room(changes, n + (foot - top) * width)
        _unite(levels, first, stop, united)
        x, column = 0, 0
        while x < width:
            begin, end, column, level = _next_uniform(united, column, first_column, stop_column)
            if x < begin:
                tile = _enlarge_tile(logits, steps, top, foot, x, begin, windows, tiles)
                for y in range(top, foot):
                    _compare(tile[y - top], begin - x, cuts, row[x:], counts)
                    n = _note_changes(row, state, x, begin, y, changes, n)
            if begin < end:
                area = (foot - top) * (end - begin)
                for cut in range(3):
                    counts[cut] += area * (level > 1 << cut)
                row[begin:end] = level > 2
                n = _note_changes(row, state, begin, end, top, changes, n)
            x = end
    return counts, _ended(state, height, changes, n)


@njit(cache=True, nogil=True)
def _enlarge(logits, plan, field):
    width = field.shape[1]
    steps = (plan.rule, plan.rows, plan.columns)
    windows, tiles = _room(plan)
    for band in range(len(plan.bands)):
        top, foot = plan.bands[band, 0], plan.bands[band, 1]
        tile = _enlarge_tile(logits, steps, top, foot, 0, width, windows, tiles)
        field[top:foot] = tile[: foot - top, :width]


@njit(cache=True, nogil=True)
def _room(plan):
    """Memory for the windows (first and stop row, first and stop column) and the values of a tile after every step."""
    n, longest = plan.columns.shares.shape
    return np.empty((n, 4), np.int64), np.empty((n, plan.most_rows, longest), np.float32)


@njit(cache=True, nogil=True)
def _enlarge_tile(logits, steps, top, foot, left, right, windows, tiles):
    """Rows top..foot and columns left..right of the field, in the upper left corner of what is returned."""
    rule, rows, columns = steps
    n = len(tiles)
    for k in range(n - 1, -1, -1):  # what each step has to deliver
        windows[k] = top, foot, left, right
        top, foot = rows.sources[k, 0, top], rows.sources[k, 1, foot - 1] + 1
        left, right = columns.sources[k, 0, left], columns.sources[k, 1, right - 1] + 1
    source, y0, x0 = logits, 0, 0  # the row and the column that lie at index 0
    for k in range(n):
        top, foot, left, right = windows[k]
        before, after = columns.sources[k, 0, left:right], columns.sources[k, 1, left:right]
        share = columns.shares[k, left:right]
        for y in range(top, foot):
            above, below = source[rows.sources[k, 0, y] - y0], source[rows.sources[k, 1, y] - y0]
            _blend_row(above, below, rows.shares[k, y], before, after, share, x0, rule, tiles[k, y - top])
        source, y0, x0 = tiles[k], top, left
    return source


@njit(cache=True, nogil=True)
def _blend_row(above, below, down, before, after, share, x0, rule, row):
    for x in range(len(share)):
        # Unsigned: an index that may be negative would be looked at twice.
        left, right = np.uint64(before[x] - x0), np.uint64(after[x] - x0)
        row[x] = _blend(above[left], above[right], below[left], below[right], down, share[x], rule)


@intrinsic
def _fma(typing_context, a, b, c):
    def generate(context, builder, signature, arguments):
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


@njit(cache=True, nogil=True)
def _blend(a, b, c, d, down, along, rule):
    """The value among upper left a, upper right b, lower left c and lower right d, at shares of the way."""
    if rule == _BETWEEN:
        left, right = a + (c - a) * down, b + (d - b) * down
        return left + (right - left) * along
    up, back = np.float32(1) - down, np.float32(1) - along
    if rule == _FUSED:
        upper = _fma(a, up * back, b * (up * along))
        return _fma(d, down * along, _fma(c, down * back, upper))
    if rule == _ALONG_ROWS:
        return (a * back + b * along) * up + (c * back + d * along) * down
    if rule == _ALONG_ROWS_FUSED:
        upper, lower = _fma(a, back, b * along), _fma(c, back, d * along)
        return _fma(upper, up, lower * down)
    return a * (up * back) + b * (up * along) + c * (down * back) + d * (down * along)


@njit(cache=True, nogil=True)
def _levels(logits, cuts):
    """How many cuts the field may exceed where it is a mean of logits like this one: bit k stands for k cuts."""
    height, width = logits.shape
    levels = np.empty((height, width), np.uint8)
    largest = np.float32(0)
    for y in range(height):
        for x in range(width):
            largest = max(largest, abs(logits[y, x]))
    slack = np.float32(ROUNDING_SHARE * largest + 1e-30)
    for y in range(height):
        for x in range(width):
            least, most = logits[y, x] - slack, logits[y, x] + slack
            # What is no number compares with nothing, and may become anything.
            above = (
                (14 if least > cuts[0] else 15)
                & (12 if least > cuts[1] else 15)
                & (8 if least > cuts[2] else 15)
            )
            below = (
                (1 if most <= cuts[0] else 15)
                & (3 if most <= cuts[1] else 15)
                & (7 if most <= cuts[2] else 15)
            )
            levels[y, x] = above & below
    return levels


@njit(cache=True, nogil=True)
def _unite(levels, first, stop, united):
    for x in range(len(united)):
        united[x] = levels[first, x]
    for y in range(first + 1, stop):
        for x in range(len(united)):
            united[x] |= levels[y, x]


@njit(cache=True, nogil=True)
def _next_uniform(united, column, first_column, stop_column):
    """(begin, end, column, level): the next columns of the field that are all of one level, from `column` of the logits."""
    n_columns = len(united)
    while column < n_columns:
        level, first = united[column], column
        while column < n_columns and united[column] == level:
            column += 1
        begin, end = first_column[first], stop_column[column]
        if level & (level - 1) == 0 and end - begin > _FEW_COLUMNS:
            return begin, end, column, level
    width = stop_column[n_columns]
    return width, width, column, np.uint8(0)


@njit(cache=True, nogil=True)
def _compare(values, width, cuts, row, counts):
    """Write to `row` which values are in the mask, and count those above every cut."""
    n_low, area, n_high = np.int32(0), np.int32(0), np.int32(0)
    for x in range(width):
        value = values[x]
        is_mask = np.uint8(value > cuts[1])
        row[x] = is_mask
        n_low += np.int32(value > cuts[0])
        area += np.int32(is_mask)
        n_high += np.int32(value > cuts[2])
    counts[0] += n_low
    counts[1] += area
    counts[2] += n_high


@njit(cache=True, nogil=True)
def _note_changes(row, state, begin, end, y, changes, n):
    """Append the columns begin..end of `row` that differ from those above, and make `state` the row."""
    for first in range(begin, end, _STRIDE):
        now, before = row[first : min(first + _STRIDE, end)], state[first : min(first + _STRIDE, end)]
        differs = np.uint8(0)
        for k in range(len(now)):
            differs = np.uint8(differs | now[k] ^ before[k])
        if differs:
            for k in range(len(now)):
                if now[k] != before[k]:
                    changes[n, 0], changes[n, 1] = first + k, y
                    n += 1
                    before[k] = now[k]
    return n


@njit(cache=True, nogil=True)
def _with_room(changes, n):
    """The array itself if it holds n changes, else a larger copy."""
    if n <= len(changes):
        return changes
    larger = np.empty((2 * n, 2), np.int32)
    larger[: len(changes)] = changes
    return larger


@njit(cache=True, nogil=True)
def _ended(state, height, changes, n):
    """A copy of the n changes, and of the ends of masks that touch the lower edge."""
    changes = _with_room(changes, n + len(state))
    n = _note_changes(np.zeros_like(state), state, 0, len(state), height, changes, n)
    return changes[:n].copy()


@njit(cache=True, nogil=True)
def _box(changes):
    if len(changes) == 0:
        return 0, 0, 0, 0
    x_min, y_min = changes[0]
    x_max, y_max = changes[0]
    for k in range(len(changes)):
        x, y = changes[k]
        x_min, x_max = min(x_min, x), max(x_max, x)
        y_min, y_max = min(y_min, y), max(y_max, y)
    return x_min, y_min, x_max, y_max - 1


@njit(cache=True, nogil=True)
def _runs(changes, crop_width, x0, y0, height, width):
    # Changes come column by column in no order of columns; a counting sort brings them into theirs.
    n_changes = len(changes)
    begin = np.zeros(crop_width + 1, np.int64)
    for k in range(n_changes):
        begin[changes[k, 0] + 1] += 1
    for x in range(crop_width):
        begin[x + 1] += begin[x]
    places = np.empty(n_changes, np.int64)
    for k in range(n_changes):
        x, y = changes[k]
        places[begin[x]] = (x0 + x) * height + y0 + y
        begin[x] += 1

    counts = np.empty(n_changes + 1, np.uint32)
    n, last = 0, 0
    k = 0
    while k < n_changes:
        if k + 1 < n_changes and places[k] == places[k + 1]:
            k += 2  # ends at a column's foot and begins at the next one's head: one run
            continue
        counts[n] = places[k] - last
        last = places[k]
        n += 1
        k += 1
    if last < height * width:
        counts[n] = height * width - last
        n += 1
    return counts[:n].copy()
