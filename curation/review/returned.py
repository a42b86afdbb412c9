"""What annotators send back, read image by image: each mask with the `mask_id` that it names."""

import csv
import mmap
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from curation.errors import InputError, RecordError
from curation.formats import coco_import, json_slices, sa1b_import
from curation.formats.coco_plan import CocoItem, mapped
from curation.formats.mask_import import ImportWork, StageOrigin
from curation.formats.plan import Item
from curation.formats.records import Record, load
from curation.masks import Runs
from curation.review.batch_export import MANIFEST
from curation.review.batches import Place


@dataclass(frozen=True)
class Returned:
    """One mask of a file, as it came."""

    mask_id: int
    shape: Runs
    source: str
    record: str
    stem: str


@dataclass
class Reading:
    """What of a batch was read so far: where each mask was, stems of the pictures, and (source, record, reason) of
    what could not be used.
    """

    batch: str
    places: Mapping[int, Place]
    seen: dict[int, str] = field(default_factory=dict)
    stems: set[str] = field(default_factory=set)
    problems: list[tuple[str, str, str]] = field(default_factory=list)


def reader(path: Path, scratch: Path) -> ImportWork:
    """What reads the files of `path`, by what the first of them holds."""
    files = [path] if path.is_file() else sorted(path.rglob("*.json"))
    if not files:
        raise InputError(
            f"{path}: no such file, or a folder without *.json; give what the annotator sent back"
        )
    origin = StageOrigin("assisted_manual", 0)
    if _is_coco(files[0]):
        return coco_import.ImportWork(coco_import.plan_files([str(path)], None, scratch), origin)
    return sa1b_import.ImportWork(sa1b_import.plan_records([str(path)], None, scratch), origin)


def _is_coco(path: Path) -> bool:
    if os.path.getsize(path) == 0:
        raise InputError(f"{path}: the file is empty (0 bytes); ask for it again")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        pixels = np.frombuffer(data, np.uint8)
        try:
            return json_slices.is_list(pixels) or "images" in json_slices.members(pixels)
        except RecordError as error:
            raise InputError(f"{path}: {error}") from error
        finally:
            del pixels  # a map with readers cannot be closed


def read(of: Reading, work: ImportWork, first: int, stop: int) -> Iterator[Returned]:
    """The masks of some images; what cannot be used goes to the problems."""
    for item in work.plan.records.items(first, stop):
        try:
            record = work.read(item)
            mask_ids = _mask_ids(work, item, record)
        except InputError as error:
            of.problems.append((item.uri, "", str(error)))
            continue
        of.stems.add(stem(record.image.file_name))
        for index, error in record.problems:
            of.problems.append((item.uri, f"annotations[{index}]", str(error)))
        indexes, shapes = record.annotations.columns["mask_index"].to_pylist(), record.annotations.runs
        for k, (index, text) in enumerate(zip(indexes, mask_ids, strict=True)):
            try:
                mask_id = _checked_id(of, text, f"{item.uri} annotations[{index}]")
            except InputError as error:
                of.problems.append((item.uri, f"annotations[{index}]", str(error)))
                continue
            yield Returned(
                mask_id, shapes[k], item.uri, f"annotations[{index}]", stem(record.image.file_name)
            )


def _mask_ids(work: ImportWork, item: Item, record: Record) -> list[str | None]:
    """What each annotation says of its `mask_id`; SA-1B's `id` is the mask's."""
    if not isinstance(item, CocoItem):
        return record.annotations.columns["source_mask_id"].to_pylist()
    data = mapped(work.plan.records.files[item.file])
    bounds = item.annotation_slices
    found = []
    for place in record.annotations.columns["mask_index"].to_pylist():
        annotation = load(data[bounds[2 * place] : bounds[2 * place + 1]])
        attributes = annotation.get("attributes")
        inside = attributes.get("mask_id") if isinstance(attributes, dict) else None
        mask_id = annotation.get("mask_id", inside)
        found.append(None if mask_id is None else str(mask_id))
    return found


def _checked_id(of: Reading, text: str | None, where: str) -> int:
    """The mask that an annotation names. Raises RecordError for none, a strange one, or one that came before."""
    if text is None:
        raise RecordError(
            "mask_id: nothing came; a new object, or the tool has dropped the field: import new objects with "
            "`curation import`, and let the tool keep `mask_id` or `attributes.mask_id`"
        )
    if not text.isdecimal() or int(text) not in of.places:
        raise RecordError(f"mask_id: {text[:40]!r} came; batch {of.batch} has no such mask")
    if int(text) in of.seen:
        raise RecordError(f"mask_id: {text} came at {of.seen[int(text)]} too; the first was taken")
    of.seen[int(text)] = where
    return int(text)


def stem(file_name: str) -> str:
    """A picture's name without folder and suffix: tools may move pictures and turn them into others."""
    return os.path.splitext(file_name.rpartition("/")[2])[0]


def sent_masks(path: Path, name: str, annotator: str) -> set[int]:
    """Masks that were sent out, as the manifest beside the files says; none without it."""
    manifest = (path if path.is_dir() else path.parent) / MANIFEST
    if not manifest.is_file():
        return set()
    with open(manifest, newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        return {
            int(row["mask_id"])
            for row in rows
            if row["batch"] == name and row["annotator"] in ("", annotator) and row["mask_id"].isdecimal()
        }
