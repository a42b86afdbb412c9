"""SA-1B records as they are nearly always written, read without making a Python object of every value.

A compiled scanner takes the JSON's bytes apart. It knows one form only: `{"image": {…}, "annotations": [{…}, …]}` whose
annotations hold each of SA-1B's keys once, in any order, with integers for ids, one prompt point, and compressed RLE
of the image's size. Anything else (a null, another key, an escape, a value out of its bounds) is left to the
reader in `sa1b`, which takes all that is allowed and says what is wrong with the rest. So both read the same, and
this one never reports anything.
"""

import re
from dataclasses import dataclass

import numpy as np
import orjson
import pyarrow as pa
from numba import njit

_BLANK = rb"[ \t\n\r]*"
#: Up to the first annotation; the image must be flat, without braces or escapes in its strings.
_HEAD = re.compile(
    rb'%(b)s\{%(b)s"image"%(b)s:%(b)s(\{(?:[^{}"\\]|"[^{}"\\]*")*\})%(b)s,%(b)s"annotations"%(b)s:%(b)s\['
    % {b"b": _BLANK}
)
_TAIL = re.compile(rb"%(b)s\}%(b)s\Z" % {b"b": _BLANK})
#: The shortest annotation has more bytes than this, so that there are at most size / this.
_LEAST_BYTES = 100

_ID, _BBOX, _AREA, _PREDICTED_IOU, _STABILITY, _CROP_BOX, _POINT, _SEGMENTATION = range(8)
_NAMES = (
    b"id",
    b"bbox",
    b"area",
    b"predicted_iou",
    b"stability_score",
    b"crop_box",
    b"point_coords",
    b"segmentation",
)
_KEYS = np.zeros((len(_NAMES), 16), np.uint8)
for _number, _name in enumerate(_NAMES):
    _KEYS[_number, : len(_name)] = np.frombuffer(_name, np.uint8)
_KEY_LENGTHS = np.array(list(map(len, _NAMES)))
#: Where each key's numbers stand among an annotation's; `area` is read over, since it comes from the mask.
_BBOX_AT, _PREDICTED_IOU_AT, _STABILITY_AT, _CROP_BOX_AT, _POINT_AT, _N_NUMBERS = 0, 4, 5, 6, 10, 12
_NEEDED = (1 << len(_NAMES)) - 1 - (1 << _AREA)
#: Digits that an int64 holds whatever they are, and powers of ten as doubles, exact ones.
_MOST_DIGITS = 18
_POWERS = 10.0 ** np.arange(_MOST_DIGITS + 1)
#: Splits a double into two of half as many digits (2^27 + 1).
_SPLITTER = 134_217_729.0
_DECLINED = -1
#: Bytes that are looked at together in an RLE.
_BLOCK = 64


@dataclass(frozen=True)
class Scanned:
    """N annotations: ids and RLE as text, and their numbers, each finite, float64."""

    image: object
    ids: pa.Array
    counts: pa.Array
    bbox_xywh: np.ndarray
    predicted_iou: np.ndarray
    stability_score: np.ndarray
    crop_box_xywh: np.ndarray
    point_xy: np.ndarray


def scan(data: bytes) -> Scanned | None:
    """The record in these bytes, or None where it is not of the one form. `image` is its parsed, unchecked object."""
    head = _HEAD.match(data)
    if head is None:
        return None
    try:
        image = orjson.loads(head[1])
        height, width = image["height"], image["width"]
    except (orjson.JSONDecodeError, KeyError):
        return None
    if (
        type(height) is not int
        or type(width) is not int
        or not (0 < height < 1 << 31 and 0 < width < 1 << 31)
    ):
        return None
    # NULs at the end stop every loop over the bytes, so that none has to ask where the end is.
    padded = np.frombuffer(data + bytes(_BLOCK), np.uint8)
    n, end, numbers, slow, ids, id_offsets, chars, char_offsets = _scan(padded, head.end(), height, width)
    if n == _DECLINED or _TAIL.match(data, end) is None:
        return None
    if len(slow):
        numbers[slow[:, 0]] = _exact(padded, slow)
    if not np.isfinite(numbers).all():
        return None
    of_masks = numbers.reshape(n, _N_NUMBERS)
    return Scanned(
        image=image,
        ids=pa.StringArray.from_buffers(n, pa.py_buffer(id_offsets), pa.py_buffer(ids)),
        counts=pa.StringArray.from_buffers(n, pa.py_buffer(char_offsets), pa.py_buffer(chars)),
        bbox_xywh=of_masks[:, _BBOX_AT : _BBOX_AT + 4],
        predicted_iou=of_masks[:, _PREDICTED_IOU_AT],
        stability_score=of_masks[:, _STABILITY_AT],
        crop_box_xywh=of_masks[:, _CROP_BOX_AT : _CROP_BOX_AT + 4],
        point_xy=of_masks[:, _POINT_AT : _POINT_AT + 2],
    )


def _exact(data: np.ndarray, slow: np.ndarray) -> np.ndarray:
    """The numbers at `slow` (k, 3), rightly rounded by Arrow's parser; beyond the largest double, infinity."""
    offsets = np.zeros(len(slow) + 1, np.int32)
    np.cumsum(slow[:, 2] - slow[:, 1], out=offsets[1:])
    texts = pa.py_buffer(_gather(data, slow[:, 1], slow[:, 2], offsets))
    return pa.StringArray.from_buffers(len(slow), pa.py_buffer(offsets), texts).cast(pa.float64()).to_numpy()


@njit(cache=True, nogil=True)
def _gather(data, firsts, stops, offsets):
    """The bytes of some stretches, back to back."""
    gathered = np.empty(offsets[-1], np.uint8)
    for k in range(len(firsts)):
        gathered[offsets[k] : offsets[k + 1]] = data[firsts[k] : stops[k]]
    return gathered


@njit(cache=True, nogil=True)
def _scan(data, at, height, width):
    """Annotations from behind the opening bracket on: (n, end, numbers, slow, ids, id_offsets, chars, char_offsets).

    `end` lies behind the closing bracket. `slow` (k, 3) are numbers with too many digits to be exact here: index,
    first byte and last.
    """
    most = len(data) // _LEAST_BYTES + 1
    numbers = np.zeros(most * _N_NUMBERS)
    slow = np.empty((most * _N_NUMBERS, 3), np.int64)
    chars, char_offsets = np.empty(len(data), np.uint8), np.zeros(most + 1, np.int32)
    ids, id_offsets = np.empty(len(data), np.uint8), np.zeros(most + 1, np.int32)
    n, n_slow = 0, 0
    n_chars, n_id_chars = 0, 0
    at = _skip(data, at)
    is_end = data[at] == ord("]")
    while not is_end:
        if data[at] != ord("{") or n == most:
            return _DECLINED, at, numbers, slow, ids, id_offsets, chars, char_offsets
        at = _skip(data, at + 1)
        seen = 0
        while True:
            key, at = _key(data, at)
            if key < 0 or seen & (1 << key):
                return _DECLINED, at, numbers, slow, ids, id_offsets, chars, char_offsets
            seen |= 1 << key
            if key == _ID:
                first = at
                at = _digits(data, at)
                if at > first and at - first <= 18 and (data[first] != ord("0") or at == first + 1):
                    for k in range(first, at):
                        ids[n_id_chars] = data[k]
                        n_id_chars += 1
                else:
                    at = _DECLINED
            elif key == _SEGMENTATION:
                at, n_chars = _segmentation(data, at, height, width, chars, n_chars)
            elif key == _AREA:
                at, _, _ = _number(data, at)
            elif key == _PREDICTED_IOU:
                at, n_slow = _numbers(data, at, 1, numbers, n * _N_NUMBERS + _PREDICTED_IOU_AT, slow, n_slow)
            elif key == _STABILITY:
                at, n_slow = _numbers(data, at, 1, numbers, n * _N_NUMBERS + _STABILITY_AT, slow, n_slow)
            elif key == _POINT:
                if data[at] == ord("["):
                    at = _skip(data, at + 1)
                    at, n_slow = _list(data, at, 2, numbers, n * _N_NUMBERS + _POINT_AT, slow, n_slow)
                    at = _expect(data, at, ord("]"))
                else:
                    at = _DECLINED
            else:
                place = _BBOX_AT if key == _BBOX else _CROP_BOX_AT
                at, n_slow = _list(data, at, 4, numbers, n * _N_NUMBERS + place, slow, n_slow)
            if at < 0:
                return _DECLINED, at, numbers, slow, ids, id_offsets, chars, char_offsets
            at = _skip(data, at)
            if data[at] != ord(","):
                break
            at = _skip(data, at + 1)
        at = _expect(data, at, ord("}"))
        if at < 0 or seen & _NEEDED != _NEEDED:
            return _DECLINED, at, numbers, slow, ids, id_offsets, chars, char_offsets
        n += 1
        char_offsets[n], id_offsets[n] = n_chars, n_id_chars
        at = _skip(data, at)
        is_end = data[at] == ord("]")
        if not is_end:
            at = _expect(data, at, ord(","))
            if at < 0:
                return _DECLINED, at, numbers, slow, ids, id_offsets, chars, char_offsets
            at = _skip(data, at)
    return (
        n,
        at + 1,
        numbers[: n * _N_NUMBERS].copy(),
        slow[:n_slow].copy(),
        ids[:n_id_chars].copy(),
        id_offsets[: n + 1].copy(),
        chars[:n_chars].copy(),
        char_offsets[: n + 1].copy(),
    )


@njit(cache=True, nogil=True)
def _skip(data, at):
    """Behind the blanks."""
    while data[at] == 32 or data[at] == 9 or data[at] == 10 or data[at] == 13:
        at += 1
    return at


@njit(cache=True, nogil=True)
def _expect(data, at, char):
    """Behind blanks and a character that must come; _DECLINED passes through."""
    if at < 0:
        return at
    at = _skip(data, at)
    return at + 1 if data[at] == char else _DECLINED


@njit(cache=True, nogil=True)
def _digits(data, at):
    while 48 <= data[at] <= 57:
        at += 1
    return at


@njit(cache=True, nogil=True)
def _key(data, at):
    """(number of the key that starts here, place of its value), or a negative number."""
    if data[at] != ord('"'):
        return _DECLINED, at
    at += 1
    for key in range(len(_KEY_LENGTHS)):
        length = _KEY_LENGTHS[key]
        k = 0
        while k < length and data[at + k] == _KEYS[key, k]:  # a difference ends it before the bytes do
            k += 1
        if k == length and data[at + length] == ord('"'):
            at = _expect(data, at + length + 1, ord(":"))
            return (key, _skip(data, at)) if at >= 0 else (_DECLINED, at)
    return _DECLINED, at


@njit(cache=True, nogil=True)
def _number(data, at):
    """(behind it, value, whether the value is exact) of a JSON number; a negative place where there is none.

    Integers up to 2^53 and powers of ten up to 22 are doubles, so that one division rounds rightly (Clinger 1990).
    """
    is_negative = data[at] == ord("-")
    first = at + is_negative
    at, mantissa = _read_digits(data, first, 0)
    n_digits, n_decimals = at - first, 0
    if n_digits == 0 or (data[first] == ord("0") and n_digits > 1):
        return _DECLINED, 0.0, False
    if data[at] == ord("."):
        first = at + 1
        at, mantissa = _read_digits(data, first, mantissa)
        n_decimals = at - first
        n_digits += n_decimals
        if n_decimals == 0:
            return _DECLINED, 0.0, False
    if data[at] == ord("e") or data[at] == ord("E"):
        at += 1
        if data[at] == ord("+") or data[at] == ord("-"):
            at += 1
        first = at
        at = _digits(data, first)
        return (at if at > first else _DECLINED), 0.0, False
    if n_digits > _MOST_DIGITS:
        return at, 0.0, False
    value, is_exact = _quotient(mantissa, _POWERS[n_decimals])
    return at, -value if is_negative else value, is_exact


@njit(cache=True, nogil=True)
def _read_digits(data, at, mantissa):
    """(behind the digits, `mantissa` with them appended); beyond _MOST_DIGITS of them it means nothing."""
    while 48 <= data[at] <= 57:
        mantissa = 10 * mantissa + (np.int64(data[at]) - 48)
        at += 1
    return at, mantissa


@njit(cache=True, nogil=True)
def _quotient(mantissa, power):
    """mantissa / power as the nearest double, and whether it surely is that.

    The rounded quotient's remainder (Dekker 1971: the product of two doubles as the sum of two) gives what is missing
    to it, to many digits more than are needed; where so little decides between two doubles, it is not sure.
    """
    high = np.float64(mantissa)
    quotient = high / power
    if mantissa <= 1 << 53:
        return quotient, True
    product = quotient * power
    parts = _SPLITTER * quotient
    quotient_high = parts - (parts - quotient)
    parts = _SPLITTER * power
    power_high = parts - (parts - power)
    quotient_low, power_low = quotient - quotient_high, power - power_high
    error = quotient_low * power_low - (
        ((product - quotient_high * power_high) - quotient_low * power_high) - quotient_high * power_low
    )
    missing = (((high - product) - error) + np.float64(mantissa - np.int64(high))) / power
    value = quotient + missing * (1 + 2.0**-40)
    return value, value == quotient + missing * (1 - 2.0**-40)


@njit(cache=True, nogil=True)
def _numbers(data, at, n, numbers, place, slow, n_slow):
    """Read n numbers with commas between them: (behind them, how many are slow)."""
    for k in range(n):
        if k > 0:
            at = _expect(data, at, ord(","))
            if at < 0:
                return at, n_slow
            at = _skip(data, at)
        first = at
        at, value, is_exact = _number(data, at)
        if at < 0:
            return at, n_slow
        if is_exact:
            numbers[place + k] = value
        else:
            slow[n_slow, 0], slow[n_slow, 1], slow[n_slow, 2] = place + k, first, at
            n_slow += 1
    return at, n_slow


@njit(cache=True, nogil=True)
def _list(data, at, n, numbers, place, slow, n_slow):
    at = _expect(data, at, ord("["))
    if at < 0:
        return at, n_slow
    at, n_slow = _numbers(data, _skip(data, at), n, numbers, place, slow, n_slow)
    return _expect(data, at, ord("]")), n_slow


@njit(cache=True, nogil=True)
def _segmentation(data, at, height, width, chars, n_chars):
    """Read {"size": [height, width], "counts": "…"}, keys in any order: (behind it, how many characters there are)."""
    at = _expect(data, at, ord("{"))
    has_size, has_counts = False, False
    for k in range(2):
        if at < 0:
            return at, n_chars
        at = _skip(data, at)
        if not has_size and _is_next(data, at, b'"size"'):
            has_size = True
            at = _expect(data, _expect(data, at + 6, ord(":")), ord("["))
            at = _integer(data, at, height)
            at = _integer(data, _expect(data, at, ord(",")), width)
            at = _expect(data, at, ord("]"))
        elif not has_counts and _is_next(data, at, b'"counts"'):
            has_counts = True
            at = _expect(data, _expect(data, at + 8, ord(":")), ord('"'))
            if at < 0:
                return at, n_chars
            at, n_chars = _text(data, at, chars, n_chars)
        else:
            return _DECLINED, n_chars
        at = _expect(data, at, ord("}") if k else ord(","))
    return at, n_chars


@njit(cache=True, nogil=True)
def _text(data, at, chars, n_chars):
    """Copy the characters of an RLE up to the closing quote: (behind it, how many characters there are).

    Blocks without anything but characters from '0' on are copied whole; whether each is allowed is the codec's to say.
    """
    while True:
        # Unsigned places cannot count from the end, which would keep these two loops from being vectorised.
        source, target = np.uint64(at), np.uint64(n_chars)
        is_special = False
        for k in range(_BLOCK):
            char = data[source + np.uint64(k)]
            is_special |= (char < 48) | (char == 92)
        if not is_special:
            for k in range(_BLOCK):
                chars[target + np.uint64(k)] = data[source + np.uint64(k)]
            n_chars += _BLOCK
            at += _BLOCK
            continue
        for _ in range(_BLOCK):
            char = data[at]
            if char == ord('"'):
                return at + 1, n_chars
            if char == ord("\\"):
                at += 1  # the one escape that RLE needs
                if data[at] != char:
                    return _DECLINED, n_chars
            elif char < 48:
                return _DECLINED, n_chars
            chars[n_chars] = char
            n_chars += 1
            at += 1


@njit(cache=True, nogil=True)
def _is_next(data, at, text):
    for k in range(len(text)):  # noqa: SIM110  numba knows no generators
        if data[at + k] != text[k]:
            return False
    return True


@njit(cache=True, nogil=True)
def _integer(data, at, wanted):
    """Behind the integer, where it is the one wanted."""
    if at < 0:
        return at
    first = _skip(data, at)
    at = _digits(data, first)
    if at == first or at - first > 10 or (data[first] == ord("0") and at > first + 1):
        return _DECLINED
    value = 0
    for k in range(first, at):
        value = 10 * value + (data[k] - 48)
    return at if value == wanted else _DECLINED
