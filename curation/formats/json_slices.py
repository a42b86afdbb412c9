"""Where the members of a large JSON document lie, without parsing it: so that each is read when it is needed.

Only brackets and strings are followed. Whoever reads a slice parses it, and finds what is wrong inside it.
"""

import numpy as np
from numba import njit

from curation.errors import RecordError

_OK, _NO_OBJECT, _CUT, _TRAILING = range(4)
_COMPLAINTS = {
    _NO_OBJECT: "it does not start with {",
    _CUT: "it ends inside an object, a list or a string: it was cut short",
    _TRAILING: "more follows behind its end",
}


def members(data: np.ndarray) -> dict[str, tuple[int, int]]:
    """Slices [start, stop) of the values of a JSON object's top level, by key, in bytes of `data` (uint8).

    Raises RecordError where the document is no object or does not end.
    """
    spans, code = _members(data)
    if code != _OK:
        raise RecordError(f"this is no JSON object: {_COMPLAINTS[code]}; write or fetch the file again")
    return {
        data[key:key_stop].tobytes().decode(errors="replace"): (start, stop)
        for key, key_stop, start, stop in spans.tolist()
    }


def elements(data: np.ndarray, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Slices of the elements of the JSON list that lies in data[start:stop], int64 (N, 2).

    Raises RecordError where no list lies there.
    """
    stop = len(data) if stop is None else stop
    spans, code = _elements(data, start, stop)
    if code != _OK:
        raise RecordError("this is no JSON list, or it was cut short; write or fetch the file again")
    return spans


def is_list(data: np.ndarray) -> bool:
    """Whether the document's first character opens a list."""
    at = _skip_space(data, 0, len(data))
    return at < len(data) and data[at] == ord("[")


@njit(cache=True, nogil=True)
def _skip_space(data, at, stop):
    if at == 0 and stop > 2 and data[0] == 0xEF and data[1] == 0xBB and data[2] == 0xBF:
        at = 3  # a byte-order mark
    while at < stop and (data[at] == 32 or data[at] == 10 or data[at] == 13 or data[at] == 9):
        at += 1
    return at


@njit(cache=True, nogil=True)
def _string_stop(data, at, stop):
    """Behind the closing quote of the string that opens at `at`; `stop` where there is none."""
    at += 1
    while at < stop:
        if data[at] == 92:  # a backslash: the next character is never the end
            at += 2
        elif data[at] == 34:
            return at + 1
        else:
            at += 1
    return stop


@njit(cache=True, nogil=True)
def _value_stop(data, at, stop):
    """Behind the value that starts at `at`: at the comma or bracket that follows; -1 where it does not end."""
    depth = 0
    while at < stop:
        char = data[at]
        if char == 34:
            at = _string_stop(data, at, stop)
            continue
        if char == 123 or char == 91:
            depth += 1
        elif char == 125 or char == 93:
            if depth == 0:
                return at
            depth -= 1
        elif char == 44 and depth == 0:
            return at
        at += 1
    return -1


@njit(cache=True, nogil=True)
def _members(data):
    stop = len(data)
    spans = np.empty((256, 4), np.int64)
    n = 0
    at = _skip_space(data, 0, stop)
    if at >= stop or data[at] != 123:
        return spans[:0], _NO_OBJECT
    at = _skip_space(data, at + 1, stop)
    while at < stop and data[at] == 34:
        key_stop = _string_stop(data, at, stop)
        colon = _skip_space(data, key_stop, stop)
        if colon >= stop or data[colon] != 58:
            return spans[:0], _CUT
        start = _skip_space(data, colon + 1, stop)
        value_stop = _value_stop(data, start, stop)
        if value_stop < 0:
            return spans[:0], _CUT
        if n == len(spans):
            grown = np.empty((2 * n, 4), np.int64)
            grown[:n] = spans
            spans = grown
        spans[n, 0], spans[n, 1], spans[n, 2], spans[n, 3] = at + 1, key_stop - 1, start, value_stop
        n += 1
        at = value_stop
        if data[at] == 44:
            at = _skip_space(data, at + 1, stop)
    if at >= stop or data[at] != 125:
        return spans[:0], _CUT
    if _skip_space(data, at + 1, stop) != stop:
        return spans[:0], _TRAILING
    return spans[:n].copy(), _OK


@njit(cache=True, nogil=True)
def _elements(data, at, stop):
    spans = np.empty((1024, 2), np.int64)
    n = 0
    at = _skip_space(data, at, stop)
    if at >= stop or data[at] != 91:
        return spans[:0], _NO_OBJECT
    at = _skip_space(data, at + 1, stop)
    while at < stop and data[at] != 93:
        value_stop = _value_stop(data, at, stop)
        if value_stop < 0 or data[value_stop] == 125:  # a brace that this list did not open
            return spans[:0], _CUT
        if n == len(spans):
            grown = np.empty((2 * n, 2), np.int64)
            grown[:n] = spans
            spans = grown
        spans[n, 0], spans[n, 1] = at, value_stop
        n += 1
        at = value_stop
        if data[at] == 44:
            at = _skip_space(data, at + 1, stop)
    if at >= stop:
        return spans[:0], _CUT
    return spans[:n].copy(), _OK
