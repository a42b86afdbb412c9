"""COCO's object detection format, one JSON file for many images: an image and its annotations, read and checked.

    {"images": [{"id", "width", "height", "file_name"}],
     "annotations": [{"id", "image_id", "category_id", "iscrowd", "bbox": [x, y, w, h],
                      "segmentation": [[x0, y0, x1, y1, …], …] or {"size": [h, w], "counts": [int, …] or "…"}}],
     "categories": [{"id", "name"}]}

Polygons are drawn as pycocotools draws them, several of one annotation as their union. `area` is not read: area and
box come from the mask. Results (a bare list of annotations, each with a `score`) are read beside the instances file
that lists their images. `score` is the model's own confidence and becomes `predicted_iou`.
"""

import math
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from curation import masks
from curation.errors import InputError, RecordError
from curation.formats.records import (
    MAX_ANNOTATIONS,
    Annotations,
    Record,
    RecordImage,
    checked_image,
    load,
    text,
    told,
)
from curation.masks import Runs

#: What is read besides the mask. `mask_index` is the place among the image's annotations, bad ones counted.
COLUMNS = pa.schema(
    [
        ("mask_index", pa.int32()),
        ("source_mask_id", pa.string()),
        ("source_bbox_xywh", pa.list_(pa.float64())),
        ("predicted_iou", pa.float64()),
        ("label", pa.string()),
        ("is_crowd", pa.bool_()),
    ]
)


def parse_image(data: bytes) -> RecordImage:
    """One entry of `images`. Raises InputError if anything in it is bad."""
    entry = load(data)
    if not isinstance(entry, dict):
        raise RecordError(f"{told(entry)} came; an image must be an object with id, width, height, file_name")
    return checked_image({**entry, "image_id": entry.get("id")})


def parse_categories(data: bytes) -> dict[int | str, str]:
    """Names by id. Raises RecordError where the list is no list of categories."""
    entries = load(data)
    if not isinstance(entries, list):
        raise RecordError(f"categories: {told(entries)} came; it must be a list")
    names = {}
    for index, entry in enumerate(entries):
        if (
            not isinstance(entry, dict)
            or not is_id(entry.get("id"))
            or not isinstance(entry.get("name"), str)
        ):
            raise RecordError(
                f"categories[{index}]: {told(entry)} came; it must be an object with id and name"
            )
        names[entry["id"]] = entry["name"]
    return names


def parse_annotations(
    slices: Sequence[bytes], indexes: Sequence[int], image: RecordImage, names: Mapping[int | str, str]
) -> Record:
    """The annotations of one image, in order; `indexes` are their places in the file's list, for messages.

    Bad annotations go to the record's `problems`. Raises RecordError for more than one image takes.
    """
    if len(slices) > MAX_ANNOTATIONS:
        raise RecordError(f"{len(slices):,} annotations came; one image takes {MAX_ANNOTATIONS:,}: split it")
    rows: list[dict[str, Any]] = []
    segmentations: list[object] = []
    problems: list[tuple[int, InputError]] = []
    for place, (data, index) in enumerate(zip(slices, indexes, strict=True)):
        try:
            annotation = load(data)
            rows.append({"mask_index": place, **_row(annotation, names)})
        except InputError as error:
            problems.append((index, error))
            continue
        segmentations.append(annotation.get("segmentation"))
    try:
        runs = _runs(segmentations, image)
    except InputError:
        runs, bad = _runs_one_by_one(segmentations, image)
        problems += [(indexes[rows[k]["mask_index"]], error) for k, error in bad.items()]
        rows = [row for k, row in enumerate(rows) if k not in bad]
    columns = [
        pa.array([row[name] for row in rows], kind)
        for name, kind in zip(COLUMNS.names, COLUMNS.types, strict=True)
    ]
    annotations = Annotations.of(runs, pa.record_batch(columns, schema=COLUMNS))
    return Record(image, annotations, sorted(problems, key=itemgetter(0)))


def is_id(value: object) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _row(annotation: object, names: Mapping[int | str, str]) -> dict[str, Any]:
    if not isinstance(annotation, dict):
        raise RecordError(f"{told(annotation)} came; an annotation must be an object")
    return {
        "source_mask_id": _id_text(annotation.get("id")),
        "source_bbox_xywh": _box(annotation.get("bbox")),
        "predicted_iou": _number(annotation.get("score"), "score"),
        "label": _label(annotation.get("category_id"), names),
        "is_crowd": _flag(annotation.get("iscrowd")),
    }


def _runs(segmentations: Sequence[object], image: RecordImage) -> Runs:
    """All masks at once, which is what makes reading fast. Raises InputError if any is bad."""
    size = image.height_px, image.width_px
    polygons, strings, others = [], [], []
    for k, segmentation in enumerate(segmentations):
        if not segmentation:
            raise RecordError(
                f"segmentation: {told(segmentation)} came; it must be polygons or RLE, a box alone is no mask"
            )
        is_string = isinstance(segmentation, dict) and isinstance(segmentation.get("counts"), str)
        if isinstance(segmentation, list):
            polygons.append(k)
        elif is_string and segmentation.get("size") == list(size):
            strings.append(k)
        else:
            others.append(k)
    parts = [
        masks.join_polygons([segmentations[k] for k in polygons], *size),
        masks.parse_strings([segmentations[k]["counts"] for k in strings], *size),
        *(masks.parse(segmentations[k], size) for k in others),
    ]
    order = np.array([*polygons, *strings, *others], np.int64)
    return Runs.concat(parts)[np.argsort(order)]


def _runs_one_by_one(
    segmentations: Sequence[object], image: RecordImage
) -> tuple[Runs, dict[int, InputError]]:
    """The masks that can be read, and the errors of the others by their place."""
    parts, bad = [Runs.empty(image.height_px, image.width_px)], {}
    for k, segmentation in enumerate(segmentations):
        try:
            parts.append(_runs([segmentation], image))
        except InputError as error:
            bad[k] = error
    return Runs.concat(parts), bad


def _id_text(value: object) -> str | None:
    if value is None:
        return None
    if not is_id(value):
        raise RecordError(f"id: {told(value)} came; it must be an integer, a string or null")
    return text(str(value), "id")


def _label(category_id: object, names: Mapping[int | str, str]) -> str | None:
    """The category's name; None where the annotation has no category, or the file names none at all."""
    if category_id is None or not names:
        return None
    if not is_id(category_id) or category_id not in names:
        raise RecordError(f"category_id: {told(category_id)} came; categories has no such id")
    return text(names[category_id], "categories.name")


def _box(value: object) -> list[float] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 4:
        raise RecordError(f"bbox: {told(value)} came; it must be [x, y, w, h] in pixels, or null")
    return [_number(number, "bbox") for number in value]


def _number(value: object, name: str) -> float | None:
    if value is None and name != "bbox":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise RecordError(f"{name}: {told(value)} came; it must be a finite number")
    return float(value)


def _is_finite(value: int | float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the largest double
        return False


def _flag(value: object) -> bool:
    if value not in (0, 1, None):
        raise RecordError(f"iscrowd: {told(value)} came; it must be 0 or 1")
    return bool(value)
