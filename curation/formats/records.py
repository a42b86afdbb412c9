"""A record: one image and its masks, as a file of any format tells it, and the checks that formats share."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from curation import ids, masks
from curation.errors import InputError, RecordError
from curation.formats import tars
from curation.masks import Runs

#: Annotations that one image takes: their index is part of their mask's id.
MAX_ANNOTATIONS = 1 << ids.INDEX_BITS


@dataclass(frozen=True)
class RecordImage:
    """The image of a record; `file_name` lies in or below the record's folder."""

    source_image_id: str | None
    width_px: int
    height_px: int
    file_name: str


@dataclass(frozen=True)
class Annotations:
    """N annotations of one image: `columns` (the format's COLUMNS, N rows; null where the source is silent), and their masks.

    `rle_counts` are COCO strings, as pycocotools writes them; `area_px` int64 (N,) and the tight `bbox_xywh` int32 (N, 4)
    are the masks' own. `size` is the image's (height, width).
    """

    columns: pa.RecordBatch
    rle_counts: pa.Array
    area_px: np.ndarray
    bbox_xywh: np.ndarray
    size: tuple[int, int]

    @classmethod
    def of(cls, runs: Runs, columns: pa.RecordBatch) -> Annotations:
        """Where the masks are there as runs."""
        counts = pa.array(masks.to_strings(runs), pa.string())
        return cls(columns, counts, masks.areas(runs), masks.boxes(runs), (runs.height, runs.width))

    @property
    def runs(self) -> Runs:
        """The masks; read from their strings at every call."""
        return masks.parse_strings(self.rle_counts, *self.size)


@dataclass(frozen=True)
class Record:
    """A parsed file. `problems` holds (index of the annotation, error) for each one left out."""

    image: RecordImage
    annotations: Annotations
    problems: list[tuple[int, InputError]] = field(default_factory=list)


def load(data: bytes) -> Any:
    """One JSON value. Raises RecordError where there is none."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:  # the standard parser takes NaN and a byte-order mark, so that one NaN costs one annotation
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"this is no JSON ({error}); write or fetch the file again") from error


def checked_image(image: object) -> RecordImage:
    """The `image` of a record. Raises InputError if anything in it is bad."""
    if not isinstance(image, dict):
        raise RecordError(f"image: {told(image)} came; it must be an object with width, height and file_name")
    sides = []
    for name in ("height", "width"):
        side = image.get(name)
        if type(side) is not int:
            raise RecordError(f"image.{name}: {told(side)} came; it must be an integer, in pixels")
        sides.append(side)
    Runs.empty(*sides)  # checks the size
    source_id = texts([image.get("image_id")], "image.image_id", {str, int})[0]
    return RecordImage(source_id, sides[1], sides[0], checked_file_name(image.get("file_name")))


def checked_file_name(name: object) -> str:
    """`name`, relative and below its folder. Raises RecordError for every way out of it."""
    if not isinstance(name, str) or not name:
        raise RecordError(f"image.file_name: {told(name)} came; it must be the name of a picture")
    parts = name.split("/")
    is_absolute = name.startswith(("/", "~")) or re.match(r"[A-Za-z]:", name)
    if is_absolute or ".." in parts or "\\" in name or any(ord(c) < 32 for c in name):
        raise RecordError(
            f"image.file_name: {name!r} came; it must stay in or below its record's folder: "
            "no '..', no '\\', no control characters, not absolute"
        )
    normal = tars.normal_name(text(name, "image.file_name"))
    if not normal or name.endswith("/"):
        raise RecordError(f"image.file_name: {name!r} came; it must be the name of a picture")
    return normal


def texts(values: list, name: str, kinds: set[type]) -> list[str | None]:
    """Values of `kinds` or null as strings. Raises RecordError for any other, naming `name`."""
    if set(map(type, values)) - kinds - {type(None)}:
        allowed = "a string or an integer" if int in kinds else "a string"
        came = told(first_not(values, kinds | {type(None)}))
        raise RecordError(f"{name}: {came} came; it must be {allowed}, or null")
    return [None if value is None else text(str(value), name) for value in values]


def text(value: str, name: str) -> str:
    """`value`, where a table can hold it. Raises RecordError where none can."""
    if value.isascii() and value.isprintable():
        return value
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RecordError(f"{name}: {value!r} holds half a character pair; write whole characters") from error
    if "\0" in value:
        raise RecordError(f"{name}: {value!r} holds a NUL; write printable characters")
    return value


def first_not(values: list, kinds: set[type] | frozenset[type]) -> object:
    """The first value that is of no such kind."""
    return next(value for value in values if type(value) not in kinds)


def told(value: object) -> str:
    """What came, in a few words."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return f"an object with {', '.join(map(repr, list(value)[:6])) or 'no keys'}"
    try:
        shown = repr(value)
    except RecursionError:  # the JSON parser goes deeper than repr does
        shown = "brackets inside brackets, too deep to show"
    return f"{shown[:60]}{'…' if len(shown) > 60 else ''} ({type(value).__name__})"
