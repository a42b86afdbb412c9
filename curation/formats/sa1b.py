"""SA-1B records, one JSON file an image: read and checked annotation by annotation, and written.

    {"image": {"image_id", "width", "height", "file_name"},
     "annotations": [{"id", "segmentation": {"size": [h, w], "counts"}, "bbox": [x, y, w, h], "area",
                      "predicted_iou", "stability_score", "crop_box": [x, y, w, h], "point_coords": [[x, y]]}]}

Needed are `width`, `height`, `file_name` and every `segmentation`; what else is missing or null becomes null.
`area` is not read: area and box come from the mask. As SAM writes it, `bbox` has inclusive maxima and so is one
pixel short in width and height. Two keys of our own go beside SA-1B's: `label`, and `nesting` ("whole", "part").
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from curation import masks
from curation.errors import InputError, RecordError
from curation.formats import sa1b_scan
from curation.formats.records import (
    MAX_ANNOTATIONS,
    Annotations,
    Record,
    RecordImage,
    checked_image,
    first_not,
    load,
    texts,
    told,
)
from curation.masks import Runs
from curation.whole_files import write_whole

#: SA-1B's largest file has a few MB. A whole-dataset COCO file given by mistake is larger and would only fill memory.
MAX_FILE_BYTES = 256 << 20
NESTINGS = ("whole", "part")

#: What is read besides the mask. `mask_index` is the place in the source's list, bad annotations counted, so that
#: mending one moves no other.
COLUMNS = pa.schema(
    [
        ("mask_index", pa.int32()),
        ("source_mask_id", pa.string()),
        ("source_bbox_xywh", pa.list_(pa.float64())),
        ("predicted_iou", pa.float64()),
        ("stability_score", pa.float64()),
        ("crop_box_xywh", pa.list_(pa.float64())),
        ("point_xy", pa.list_(pa.float64())),
        ("label", pa.string()),
        ("nesting", pa.string()),
    ]
)

_LIST = pa.list_(pa.float64())
_NUMBER, _MISSING = frozenset({int, float}), type(None)


def parse_record(data: bytes) -> Record:
    """Check one file's bytes. Bad annotations go to `problems`; RecordError where the whole file is no use."""
    return _parse_scanned(data) or _parse_document(load(data))


def _parse_scanned(data: bytes) -> Record | None:
    """The record where nothing in it is unusual, several times faster than through Python's objects; else None."""
    scanned = sa1b_scan.scan(data)
    if scanned is None or len(scanned.ids) > MAX_ANNOTATIONS:
        return None
    try:
        image = checked_image(scanned.image)
    except InputError:
        return None
    size = (image.height_px, image.width_px)
    found = masks.areas_and_boxes(scanned.counts, *size)
    if found is None:
        return None
    n_masks = len(scanned.ids)
    columns = [
        pa.array(np.arange(n_masks, dtype=np.int32)),
        scanned.ids,
        _rows(scanned.bbox_xywh),
        pa.array(scanned.predicted_iou),
        pa.array(scanned.stability_score),
        _rows(scanned.crop_box_xywh),
        _rows(scanned.point_xy),
        pa.nulls(n_masks, pa.string()),
        pa.nulls(n_masks, pa.string()),
    ]
    return Record(image, Annotations(pa.record_batch(columns, schema=COLUMNS), scanned.counts, *found, size))


def _rows(values: np.ndarray) -> pa.Array:
    """Rows of (N, k) float64 as lists; from buffers, since an array's construction takes longer than its values."""
    n_rows, length = values.shape
    flat = pa.Array.from_buffers(
        pa.float64(), values.size, [None, pa.py_buffer(np.ascontiguousarray(values))]
    )
    offsets = pa.py_buffer(np.arange(0, values.size + 1, length, dtype=np.int32))
    return pa.Array.from_buffers(_LIST, n_rows, [None, offsets], children=[flat])


def _parse_document(document: Any) -> Record:
    if not isinstance(document, dict) or not {"image", "annotations"} <= document.keys():
        raise RecordError(
            f'{told(document)} came; an SA-1B record is an object with "image" and "annotations"'
        )
    image = checked_image(document["image"])
    annotations = document["annotations"]
    if not isinstance(annotations, list):
        raise RecordError(f"annotations: {told(annotations)} came; it must be a list")
    if len(annotations) > MAX_ANNOTATIONS:
        raise RecordError(
            f"annotations: {len(annotations):,} came; one image takes {MAX_ANNOTATIONS:,}: split it"
        )
    try:
        return Record(image, _columns(annotations, range(len(annotations)), image))
    except InputError:
        return _parse_one_by_one(annotations, image)


def to_record(image: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The record of an image (a row of `images`) and its masks (rows of `masks` or `gold_masks`, with `id`).

    Every key of SA-1B is there. What the lake does not know is null, never an invented number: scores, point
    and crop of gold, and of imported masks that came without. `area` and `bbox` are the mask's own.
    """
    size = [image["height_px"], image["width_px"]]
    return {
        "image": {
            "image_id": _integer_id(image),
            "width": image["width_px"],
            "height": image["height_px"],
            "file_name": image["file_name"],
        },
        "annotations": [_annotation(size, row) for row in rows],
    }


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON, whole or not at all."""
    write_whole(path, orjson.dumps(record))


# ---------------------------------------------------------------------------------------------- reading


def _parse_one_by_one(annotations: list, image: RecordImage) -> Record:
    problems: list[tuple[int, InputError]] = []
    good: list[int] = []
    for index, annotation in enumerate(annotations):
        try:
            _columns([annotation], [index], image)
            good.append(index)
        except InputError as error:
            problems.append((index, error))
    return Record(image, _columns([annotations[index] for index in good], good, image), problems)


def _columns(annotations: list, indexes: Sequence[int], image: RecordImage) -> Annotations:
    """All columns at once, which is what makes reading fast. Raises InputError if any annotation is bad."""
    if set(map(type, annotations)) - {dict}:
        raise RecordError(f"{told(annotations[0])} came; an annotation must be an object")

    def values(name: str) -> list:
        return [annotation.get(name) for annotation in annotations]

    runs = _runs(values("segmentation"), image)
    columns = [
        indexes,
        texts(values("id"), "id", {str, int}),
        _boxes(values("bbox"), "bbox"),
        _numbers(values("predicted_iou"), "predicted_iou"),
        _numbers(values("stability_score"), "stability_score"),
        _boxes(values("crop_box"), "crop_box"),
        _points(values("point_coords")),
        texts(values("label"), "label", {str}),
        _nestings(values("nesting")),
    ]
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, of.type)
        for column, of in zip(columns, COLUMNS, strict=True)
    ]
    return Annotations.of(runs, pa.record_batch(arrays, schema=COLUMNS))


def _runs(segmentations: list, image: RecordImage) -> Runs:
    """The masks; all compressed strings of one image are checked by one kernel call."""
    height, width = image.height_px, image.width_px
    if not segmentations:
        return Runs.empty(height, width)
    try:
        sizes = list(chain.from_iterable(segmentation["size"] for segmentation in segmentations))
        counts = [segmentation["counts"] for segmentation in segmentations]
        is_plain = sizes == [height, width] * len(counts) and set(map(type, sizes)) == {int}
    except (TypeError, KeyError):
        is_plain = False
    if is_plain and set(map(type, counts)) == {str}:
        return masks.parse_strings(counts, height, width)
    return Runs.concat([masks.parse(segmentation, (height, width)) for segmentation in segmentations])


def _numbers(values: list, name: str) -> pa.Array:
    present = [value for value in values if value is not None]
    if set(map(type, present)) - _NUMBER:
        raise RecordError(f"{name}: {told(first_not(present, _NUMBER))} came; it must be a number or null")
    finite = _finite(present, name)
    if len(present) == len(values):
        return pa.array(finite)
    return pa.array([None if value is None else float(value) for value in values], pa.float64())


def _boxes(values: list, name: str) -> pa.Array:
    return _lists(values, name, 4, "[x, y, w, h]")


def _points(values: list) -> pa.Array:
    """The first prompt point of each mask."""
    if set(map(type, values)) - {list, _MISSING}:
        came = told(first_not(values, {list, _MISSING}))
        raise RecordError(f"point_coords: {came} came; it must be a list of [x, y], or null")
    return _lists([points[0] if points else None for points in values], "point_coords", 2, "[[x, y]]")


def _lists(values: list, name: str, length: int, form: str) -> pa.Array:
    present = [value for value in values if value is not None]
    if set(map(type, present)) - {list} or set(map(len, present)) - {length}:
        wrong = next(value for value in present if not isinstance(value, list) or len(value) != length)
        raise RecordError(f"{name}: {told(wrong)} came; it must be {form} in pixels, or null")
    numbers = list(chain.from_iterable(present))
    if set(map(type, numbers)) - _NUMBER:
        raise RecordError(f"{name}: {told(first_not(numbers, _NUMBER))} came in it; {form} must be numbers")
    lengths = [0 if value is None else length for value in values]
    is_null = np.array([value is None for value in values], bool)
    offsets = np.cumsum([0, *lengths], dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, _finite(numbers, name), mask=pa.array(is_null))


def _finite(numbers: list, name: str) -> np.ndarray:
    try:
        values = np.array(numbers, np.float64)
    except OverflowError as error:
        raise RecordError(f"{name}: an integer beyond 1e308 came; write a number that is meant") from error
    if not np.isfinite(values).all():
        raise RecordError(f"{name}: NaN or infinity came; use null for what is not known")
    return values


def _nestings(values: list) -> list[str | None]:
    for value in values:
        if value is not None and value not in NESTINGS:
            raise RecordError(f"nesting: {told(value)} came; allowed: {', '.join(NESTINGS)}, or null")
    return values


# ---------------------------------------------------------------------------------------------- writing


def _integer_id(image: Mapping[str, Any]) -> int:
    """SA-1B's image_id is an integer: the source's own where it is one, else the lake's."""
    source_id = image["source_image_id"]
    is_integer = source_id is not None and re.fullmatch(r"-?[0-9]{1,18}", source_id)
    return int(source_id) if is_integer else image["image_id"]


def _annotation(size: list[int], row: Mapping[str, Any]) -> dict[str, Any]:
    point_xy = row.get("point_xy")
    annotation = {
        "id": row["id"],
        "segmentation": {"size": size, "counts": row["rle_counts"]},
        "bbox": short_box(row["bbox_xywh"]),
        "area": row["area_px"],
        "predicted_iou": row.get("predicted_iou"),
        "stability_score": row.get("stability_score"),
        "crop_box": row.get("crop_box_xywh"),
        "point_coords": None if point_xy is None else [point_xy],
    }
    own = {"label": row["label"], "nesting": row.get("nesting")}
    return annotation | {name: value for name, value in own.items() if value is not None}


def short_box(bbox_xywh: Sequence[int]) -> list[float]:
    """SAM's box of a tight one: inclusive maxima, so one pixel short in width and height; empty stays zero."""
    x, y, w, h = bbox_xywh
    return [float(x), float(y), float(max(w - 1, 0)), float(max(h - 1, 0))]
