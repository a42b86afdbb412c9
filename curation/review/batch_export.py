"""A batch as files that annotators open in their own tools: COCO or SA-1B, and a manifest that says what was sent."""

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation import ids
from curation.errors import InputError
from curation.formats import sa1b
from curation.formats.coco_export import CocoWriter
from curation.formats.sa1b_export import record_name
from curation.formats.tars import split_uri
from curation.lake import Lake
from curation.review import batches
from curation.review.batches import Batch, Place

FORMATS = ("coco", "sa1b")
COCO_FILE = "annotations.json"
#: A table and no *.json, so that it is never taken for a record.
MANIFEST = "manifest.csv"
MANIFEST_COLUMNS = ("batch", "snapshot_id", "annotator", "mask_id", "image_id", "file_name")
#: Images asked for at once; with their masks, some 15 MB.
PAGE_IMAGES = 256

_PAGE = """
    SELECT masks.*, masks.mask_id AS id
    FROM masks
    SEMI JOIN wanted USING (mask_id)
    WHERE list_contains($run_ids, run_id)
    ORDER BY mask_id
"""
_IMAGES = "SELECT * FROM images WHERE list_contains($image_ids, image_id) ORDER BY run_id"
_DONE = """
    SELECT mask_id, rater
    FROM current_verdicts
    WHERE sample = $name AND purpose = 'correct' AND decision <> 'skip'
"""


@dataclass(frozen=True)
class Sent:
    """What was written. `n_done`: masks left out because they are done, or corrected outside of the batch."""

    n_masks: int
    n_images: int
    n_done: int
    snapshot_id: int


def export(
    lake: Lake,
    name: str,
    out: Path,
    file_format: str = "coco",
    annotator: str | None = None,
    on_plan: Callable[[int], None] | None = None,
    on_masks: Callable[[int], None] | None = None,
) -> Sent:
    """Write the masks of a batch that are still to do into the folder `out`: those of one annotator, or of all.

    COCO: `annotations.json`; SA-1B: a record an image; beside them `manifest.csv`. Pictures stay where they are:
    `file_name` is their path below the deepest folder that all of them share. `on_plan` is told how many masks there are,
    `on_masks` how many are written. Raises InputError for no such batch, format or
    annotator, and where nothing is left.
    """
    if file_format not in FORMATS:
        raise InputError(f"--format {file_format}: allowed are {', '.join(FORMATS)}")
    batch = batches.get(lake, name)
    if annotator is not None:
        batch.check_annotator(annotator)
    of = batches.places(lake.con, name)
    wanted = to_do(lake, batch, of, annotator)
    if not wanted:
        raise InputError(f"batch {name}: nothing is left to do" + (f" for {annotator}" if annotator else ""))
    if on_plan is not None:
        on_plan(len(wanted))
    version = lake.version()
    names = file_names(lake, {place.image_id for place in of})
    pages = _pages(lake, wanted, names, on_masks)
    out.mkdir(parents=True, exist_ok=True)
    with open(out / MANIFEST, "w", newline="", encoding="utf-8") as file:
        manifest = csv.writer(file)
        manifest.writerow(MANIFEST_COLUMNS)

        def told() -> Iterator[tuple[dict, str, list[dict]]]:
            for image, file_name, rows in pages:
                for row in rows:
                    manifest.writerow([name, version, annotator or "", row["id"], row["image_id"], file_name])
                yield image, file_name, rows

        about = {"batch": name, "snapshot_id": version, "annotator": annotator}
        n_images = _write(out, file_format, told(), about)
    return Sent(len(wanted), n_images, len(of) - len(wanted), version)


def to_do(lake: Lake, batch: Batch, of: Sequence[Place], annotator: str | None) -> list[Place]:
    """Masks that wait for somebody; of one annotator, those of the own share that they have not answered."""
    gone = batches.corrected_elsewhere(lake.con, batch.batch)
    done: dict[int, set[str]] = {}
    for row in lake.query(_DONE, {"name": batch.batch}).to_pylist():
        done.setdefault(row["mask_id"], set()).add(row["rater"])
    owners = batches.shares(of, batch.annotators)
    found = []
    for place in of:
        answered = done.get(place.mask_id, set())
        is_mine = annotator is None or (
            annotator not in answered and annotator in owners.get(place.mask_id, (annotator,))
        )
        if is_mine and place.mask_id not in gone and len(answered) < place.n_people:
            found.append(place)
    return found


def file_names(lake: Lake, image_ids: set[int]) -> dict[int, str]:
    """The path of each picture below the deepest folder that all of these share, unlike any other's."""
    rows = lake.query(
        "SELECT DISTINCT image_id, uri FROM images WHERE list_contains($ids, image_id)",
        {"ids": sorted(image_ids)},
    )
    paths = {
        image_id: "/".join(split_uri(uri) or (uri,))
        for image_id, uri in zip(rows["image_id"].to_pylist(), rows["uri"].to_pylist(), strict=True)
    }
    folders = {path.rpartition("/")[0] + "/" for path in paths.values()}
    shared = os.path.commonprefix(sorted(folders)).rpartition("/")[0]  # noqa: RUF071 - cut to a folder here
    return {image_id: path.removeprefix(shared).lstrip("/") for image_id, path in paths.items()}


def _pages(
    lake: Lake, wanted: Sequence[Place], names: dict[int, str], on_masks: Callable[[int], None] | None
) -> Iterator[tuple[dict, str, list[dict]]]:
    """Each image with its name and its masks, a page of images at a time."""
    by_image: dict[int, list[Place]] = {}
    for place in wanted:
        by_image.setdefault(place.image_id, []).append(place)
    waiting = iter(by_image.items())
    while page := dict(islice(waiting, PAGE_IMAGES)):
        masks = _masks(lake, [place.mask_id for of_image in page.values() for place in of_image])
        images = {row["image_id"]: row for row in lake.query(_IMAGES, {"image_ids": list(page)}).to_pylist()}
        for image_id, of_image in page.items():
            yield images[image_id], names[image_id], [masks[place.mask_id] for place in of_image]
            if on_masks is not None:
                on_masks(len(of_image))


def _masks(lake: Lake, mask_ids: list[int]) -> dict[int, dict[str, Any]]:
    lake.con.register("wanted", pa.table({"mask_id": mask_ids}))
    run_ids = sorted({ids.unpack_mask_id(mask_id)[0] for mask_id in mask_ids})
    rows = lake.query(_PAGE, {"run_ids": run_ids}).to_pylist()
    lake.con.unregister("wanted")
    return {row["mask_id"]: row for row in rows}


def _write(
    out: Path, file_format: str, pages: Iterator[tuple[dict, str, list[dict]]], about: dict[str, object]
) -> int:
    """Write the images; returns how many."""
    if file_format == "coco":
        with CocoWriter(out / COCO_FILE, about) as coco:
            for image, file_name, rows in pages:
                coco.add(image, file_name, rows)
        return coco.n_images
    n_images, taken = 0, set()
    for image, file_name, rows in pages:
        path = record_name(file_name, "", None)
        if path in taken:  # pictures that differ in their suffix alone
            path = record_name(file_name, "", image["image_id"])
        taken.add(path)
        sa1b.write_record(out / path, sa1b.to_record(image, rows))
        n_images += 1
    return n_images
