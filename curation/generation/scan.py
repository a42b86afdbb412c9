"""From a mask's logits to counts, box and runs, in one pass over the pixels that need a look.

Where all low-resolution logits around a pixel lie on the same side of every cut, so does the pixel: nothing is
computed there. Only between them is the field enlarged, tile by tile, into memory that stays in the cache.
"""

from collections.abc import Iterable
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


class Scans(NamedTuple):
    """What one pass over each of K masks saw.

    `counts`, int64 (K, 3), are pixels above the mask threshold - offset, the threshold itself (the area), and + offset.
    `boxes_xyxy`, int64 (K, 4), are in the crop's frame with inclusive maxima, all 0 for an empty mask.
    `changes`, int32 (C, 2), are x and y where a mask begins or ends down a column, each column from its top; those of
    mask k are `changes[offsets[k]:offsets[k + 1]]`.
    """

    counts: np.ndarray
    boxes_xyxy: np.ndarray
    changes: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.counts)

    def runs(self, mask: int, x: int, y: int, height: int, width: int) -> np.ndarray:
        """COCO run lengths (uint32) of one mask in an image (height, width) whose crop lies at x, y."""
        changes = self.changes[self.offsets[mask] : self.offsets[mask + 1]]
        return _runs(changes, self.boxes_xyxy[mask, 2] + 1, x, y, height, width)


def concatenate(scans: Iterable[Scans]) -> Scans:
    """All masks of several scans, in order. Raises ValueError for none."""
    counts, boxes, changes, offsets = zip(*scans, strict=True)
    n_changes = np.cumsum([0] + [len(some) for some in changes])
    starts = [some[:-1] + n for some, n in zip(offsets, n_changes, strict=False)]
    ends = [*starts, n_changes[-1:]]
    return Scans(*map(np.concatenate, (counts, boxes, changes, ends)))


def scan_fields(fields: np.ndarray, cuts: Cuts) -> Scans:
    """Compare fields (K, h, w), of any type of number, with the three cuts."""
    return Scans(*_scan_fields(fields, _typed(cuts, fields)))


def scan_enlarged(logits: np.ndarray, chosen: np.ndarray, enlargement: Enlargement, cuts: Cuts) -> Scans:
    """The scans of `enlarge(logits[k], enlargement)` for the chosen k; the cuts must not decrease.

    `logits` are float32 (N, h, w), `chosen` int64 (K,).
    """
    return Scans(*_scan_enlarged(logits, chosen, enlargement, _typed(cuts, logits)))


def enlarge(logits: np.ndarray, enlargement: Enlargement) -> np.ndarray:
    """The whole field, float32 (height, width), of low-resolution logits, float32 (h, w)."""
    field = np.empty(enlargement.size, np.float32)
    _enlarge(logits, enlargement, field)
    return field


def _typed(cuts: Cuts, values: np.ndarray) -> tuple[np.generic, ...]:
    return tuple(values.dtype.type(cut) for cut in cuts)


@njit(cache=True, nogil=True)
def _scan_fields(fields, cuts):
    n_masks, height, width = fields.shape
    counts, boxes, changes, offsets = _to_fill(n_masks, width)
    state, row, n = np.zeros(width, np.uint8), np.empty(width, np.uint8), 0
    for mask in range(n_masks):
        for y in range(height):
            changes = _with_room(changes, n + width)
            _compare(fields[mask, y], width, cuts, row, counts[mask])
            n = _note_changes(row, state, 0, width, y, changes, n)
        changes, n = _end(state, height, changes, n)
        _finish(mask, changes, n, boxes, offsets)
    return counts, boxes, changes[:n].copy(), offsets


@njit(cache=True, nogil=True)
def _scan_enlarged(logits, chosen, plan, cuts):
    n_rows, n_columns, width = plan.bands[-1, 3], len(plan.stop_column) - 1, plan.stop_column[-1]
    counts, boxes, changes, offsets = _to_fill(len(chosen), width)
    state, row, n = np.zeros(width, np.uint8), np.empty(width, np.uint8), 0
    levels, united, room = np.empty((n_rows, n_columns), np.uint8), np.empty(n_columns, np.uint8), _room(plan)
    for mask in range(len(chosen)):
        one = logits[chosen[mask]]
        _find_levels(one, cuts, levels)
        changes, n = _scan_one(one, levels, plan, cuts, (united, state, row, room), counts[mask], changes, n)
        _finish(mask, changes, n, boxes, offsets)
    return counts, boxes, changes[:n].copy(), offsets


@njit(cache=True, nogil=True)
def _to_fill(n_masks, width):
    """Counts, boxes, changes and offsets of no mask yet."""
    shapes = np.zeros((n_masks, 3), np.int64), np.zeros((n_masks, 4), np.int64)
    return *shapes, np.empty((4 * width, 2), np.int32), np.zeros(n_masks + 1, np.int64)


@njit(cache=True, nogil=True)
def _scan_one(logits, levels, plan, cuts, scratch, counts, changes, n):
    """Fill the counts of one mask and append its changes to the first n; `state` is all 0 before and after."""
    united, state, row, room = scratch
    bands, steps = plan.bands, (plan.rule, plan.rows, plan.columns)
    height, width = bands[-1, 1], len(state)
    for band in range(len(bands)):
        top, foot, first, stop = bands[band]
        changes = _with_room(changes, n + (foot - top) * width)
        together = _unite(levels, first, stop, united)
        x, begin, end, column, level = 0, 0, width, 0, together
        while x < width:
            if not _is_one(together):
                begin, end, column, level = _next_uniform(united, column, plan.first_column, plan.stop_column)
            if x < begin:
                tile = _enlarge_tile(logits, steps, top, foot, x, begin, room)
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
    return _end(state, height, changes, n)


@njit(cache=True, nogil=True)
def _enlarge(logits, plan, field):
    width = field.shape[1]
    steps = (plan.rule, plan.rows, plan.columns)
    room = _room(plan)
    for band in range(len(plan.bands)):
        top, foot = plan.bands[band, 0], plan.bands[band, 1]
        tile = _enlarge_tile(logits, steps, top, foot, 0, width, room)
        field[top:foot] = tile[: foot - top, :width]


@njit(cache=True, nogil=True)
def _room(plan):
    """Memory for the windows of a tile (first and stop row, first and stop column of every step's values), for those
    values, and for rows that are stretched along one axis alone."""
    n = len(plan.columns.shares)
    shape = (plan.most_rows, plan.most_columns)
    return np.empty((n, 4), np.int64), np.empty((n, *shape), np.float32), np.empty(shape, np.float32)


@njit(cache=True, nogil=True)
def _enlarge_tile(logits, steps, top, foot, left, right, room):
    """Rows top..foot and columns left..right of the field, in the upper left corner of what is returned."""
    rule, rows, columns = steps
    windows, tiles, half = room
    n = len(tiles)
    for k in range(n - 1, -1, -1):  # what each step has to deliver
        windows[k] = top, foot, left, right
        top, foot = rows.sources[k, 0, top], rows.sources[k, 1, foot - 1] + 1
        left, right = columns.sources[k, 0, left], columns.sources[k, 1, right - 1] + 1
    source, y0, x0 = logits, 0, 0  # the row and the column of the source that lie at its index 0
    for k in range(n):
        top, foot, left, right = windows[k]
        above, below = rows.sources[k, 0, top:foot], rows.sources[k, 1, top:foot]
        along = (
            columns.sources[k, 0, left:right],
            columns.sources[k, 1, left:right],
            columns.shares[k, left:right],
        )
        _step(source, y0, x0, rule, (above, below, rows.shares[k, top:foot]), along, half, tiles[k])
        source, y0, x0 = tiles[k], top, left
    return source


@njit(cache=True, nogil=True)
def _step(source, y0, x0, rule, down, along, half, tile):
    """One bilinear step. Rules that work axis by axis compute what several pixels share once, by the same operations."""
    above, below, share = down
    width = len(along[0])
    if rule == _BETWEEN:
        first, stop = along[0][0] - x0, along[1][-1] + 1 - x0
        for y in range(len(share)):
            upper, lower = source[above[y] - y0, first:stop], source[below[y] - y0, first:stop]
            _blend_down(upper, lower, share[y], rule, half[0, first:stop])
            _blend_along(half[0], along, x0, rule, tile[y])
    elif rule in (_ALONG_ROWS, _ALONG_ROWS_FUSED):
        first = above[0]
        for y in range(first, below[-1] + 1):
            _blend_along(source[y - y0], along, x0, rule, half[y - first])
        for y in range(len(share)):
            upper, lower = half[above[y] - first, :width], half[below[y] - first, :width]
            _blend_down(upper, lower, share[y], rule, tile[y])
    else:
        for y in range(len(share)):
            _blend_four(source[above[y] - y0], source[below[y] - y0], share[y], along, x0, rule, tile[y])


@intrinsic
def _fma(typing_context, a, b, c):
    def generate(context, builder, signature, arguments):
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


@njit(cache=True, nogil=True)
def _blend_down(above, below, share, rule, row):
    """Values between two rows of one length."""
    back = np.float32(1) - share
    if rule == _BETWEEN:
        for x in range(len(above)):
            row[x] = above[x] + (below[x] - above[x]) * share
    elif rule == _ALONG_ROWS_FUSED:
        for x in range(len(above)):
            row[x] = _fma(above[x], back, below[x] * share)
    else:
        for x in range(len(above)):
            row[x] = above[x] * back + below[x] * share


@njit(cache=True, nogil=True)
def _blend_along(source, along, x0, rule, row):
    """Values between the columns of one row, whose index 0 is column x0."""
    before, after, share = along
    for x in range(len(share)):
        # Unsigned: an index that may be negative would be looked at twice.
        left, right = source[np.uint64(before[x] - x0)], source[np.uint64(after[x] - x0)]
        if rule == _BETWEEN:
            row[x] = left + (right - left) * share[x]
        elif rule == _ALONG_ROWS_FUSED:
            row[x] = _fma(left, np.float32(1) - share[x], right * share[x])
        else:
            row[x] = left * (np.float32(1) - share[x]) + right * share[x]


@njit(cache=True, nogil=True)
def _blend_four(above, below, down, along, x0, rule, row):
    """Values between two rows by the weights of upper left a, upper right b, lower left c and lower right d."""
    before, after, share = along
    up = np.float32(1) - down
    for x in range(len(share)):
        left, right = np.uint64(before[x] - x0), np.uint64(after[x] - x0)
        a, b, c, d = above[left], above[right], below[left], below[right]
        back = np.float32(1) - share[x]
        if rule == _FUSED:
            upper = _fma(a, up * back, b * (up * share[x]))
            row[x] = _fma(d, down * share[x], _fma(c, down * back, upper))
        else:
            row[x] = a * (up * back) + b * (up * share[x]) + c * (down * back) + d * (down * share[x])


@njit(cache=True, nogil=True)
def _find_levels(logits, cuts, levels):
    """How many cuts the field may exceed where it is a mean of logits like this one: bit k stands for k cuts.

    `levels` (rows, columns) are those of the first logits of as many rows and columns.
    """
    slack = np.float32(ROUNDING_SHARE * _largest(logits.reshape(-1)) + 1e-30)
    n_rows, n_columns = levels.shape
    for y in range(n_rows):
        values, row = logits[y], levels[y]
        for x in range(n_columns):
            least, most = values[x] - slack, values[x] + slack
            # What is no number compares with nothing, and may become anything.
            above = np.int32(least > cuts[0]) + np.int32(least > cuts[1]) + np.int32(least > cuts[2])
            below = np.int32(most <= cuts[0]) + np.int32(most <= cuts[1]) + np.int32(most <= cuts[2])
            row[x] = (np.int32(16) >> below) - (np.int32(1) << above)


@njit(cache=True, nogil=True)
def _largest(values):
    """The largest magnitude, infinite or no number where one of them is: float32 are ordered as their bits are."""
    bits, largest = values.view(np.int32), np.int32(0)
    for k in range(len(bits)):
        largest = np.int32(max(largest, bits[k] & np.int32(0x7FFFFFFF)))
    found = np.empty(1, np.int32)
    found[0] = largest
    return found.view(np.float32)[0]


@njit(cache=True, nogil=True)
def _unite(levels, first, stop, united):
    """Fill in the levels that each column has in the rows first..stop, and return those that any has."""
    together = np.uint8(0)
    for x in range(len(united)):
        united[x] = levels[first, x]
    for y in range(first + 1, stop):
        for x in range(len(united)):
            united[x] |= levels[y, x]
    for x in range(len(united)):
        together |= united[x]
    return together


@njit(cache=True, nogil=True)
def _is_one(level):
    """Whether the bits of a level are one: the field is sure to lie between two cuts that follow each other."""
    return level & (level - 1) == 0


@njit(cache=True, nogil=True)
def _next_uniform(united, column, first_column, stop_column):
    """(begin, end, column, level): the next columns of the field that are all of one level, from `column` of the logits."""
    n_columns = len(united)
    while column < n_columns:
        level, first = united[column], column
        while column < n_columns and united[column] == level:
            column += 1
        begin, end = first_column[first], stop_column[column]
        if _is_one(level) and end - begin > _FEW_COLUMNS:
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
        n_low = np.int32(n_low + np.int32(value > cuts[0]))
        area = np.int32(area + np.int32(is_mask))
        n_high = np.int32(n_high + np.int32(value > cuts[2]))
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
def _end(state, height, changes, n):
    """Append the ends of a mask that touches the lower edge, and make `state` that of no mask."""
    changes = _with_room(changes, n + len(state))
    n = _note_changes(np.zeros_like(state), state, 0, len(state), height, changes, n)
    return changes, n


@njit(cache=True, nogil=True)
def _finish(mask, changes, n, boxes, offsets):
    """Note where the changes of a mask end, and the box around them."""
    offsets[mask + 1] = n
    if n == offsets[mask]:
        return
    x_min, y_min, x_max, y_max = (
        np.int64(changes[offsets[mask], 0]),
        np.int64(changes[offsets[mask], 1]),
        0,
        0,
    )
    for k in range(offsets[mask], n):
        x, y = np.int64(changes[k, 0]), np.int64(changes[k, 1])
        x_min, x_max = min(x_min, x), max(x_max, x)
        y_min, y_max = min(y_min, y), max(y_max, y)
    boxes[mask] = x_min, y_min, x_max, y_max - 1


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
