"""Masks of the lake, image by image, checked before any measure sees them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.errors import LakeError, RleError
from curation.ids import mask_id_range
from curation.lake import Lake
from curation.masks import Runs, parse_strings
from curation.measures.image import ImageMasks

IMAGES_SQL = """
    SELECT run_id, image_id, image_number, uri, width_px, height_px
    FROM images
    WHERE run_id = $run_id AND image_number >= $first AND image_number < $stop
    ORDER BY image_number
"""
GOLD_IMAGES_SQL = """
    SELECT gold.run_id, gold.image_id, gold.image_number, gold.uri, gold.width_px, gold.height_px
    FROM images AS gold
    SEMI JOIN images AS seen
        ON seen.image_id = gold.image_id
        AND seen.run_id = $run_id AND seen.image_number >= $first AND seen.image_number < $stop
    WHERE gold.run_id = $gold_run_id
    ORDER BY gold.image_number
"""
MASKS_SQL = """
    SELECT mask_id, width_px, height_px, is_crowd, predicted_iou AS score, rle_counts
    FROM masks
    WHERE run_id = $run_id AND mask_id >= $first_id AND mask_id < $stop_id
    ORDER BY mask_id
"""
GOLD_MASKS_SQL = """
    SELECT gold_mask_id AS mask_id, width_px, height_px, is_crowd, NULL::DOUBLE AS score, rle_counts
    FROM gold_masks
    WHERE run_id = $run_id AND gold_mask_id >= $first_id AND gold_mask_id < $stop_id
    ORDER BY gold_mask_id
"""


@dataclass(frozen=True)
class StoredImage:
    """A row of `images`, as far as measures need it."""

    run_id: int
    image_id: int
    image_number: int
    uri: str
    width_px: int
    height_px: int


@lru_cache(maxsize=1)
def reader(root: Path) -> Lake:
    """The lake, open for reading: once a process, because opening takes longer than measuring a shard."""
    return Lake.open(root, read_only=True)


def images(lake: Lake, run_id: int, first: int, stop: int) -> list[StoredImage]:
    """Images of a run whose numbers lie in [first, stop), also those without masks."""
    return _images(lake, IMAGES_SQL, {"run_id": run_id, "first": first, "stop": stop})


def gold_images(lake: Lake, gold_run_id: int, run_id: int, first: int, stop: int) -> list[StoredImage]:
    """Images of a gold run that are also images [first, stop) of another run."""
    slice_ = {"run_id": run_id, "first": first, "stop": stop, "gold_run_id": gold_run_id}
    return _images(lake, GOLD_IMAGES_SQL, slice_)


def kind(lake: Lake, run_id: int) -> str:
    """Kind of a run, as in `runs`. Raises LakeError where there is no such run."""
    found = lake.con.execute("SELECT kind FROM runs WHERE run_id = ?", [run_id]).fetchone()
    if found is None:
        raise LakeError(f"run {run_id}: {lake.root} has no run of this number")
    return found[0]


def masks(
    lake: Lake, sql: str, stored_images: list[StoredImage]
) -> Iterator[tuple[StoredImage, ImageMasks, dict[int, RleError]]]:
    """Each image with its valid masks, and the errors of the others by mask id.

    `sql` is MASKS_SQL or GOLD_MASKS_SQL. The images are of one run and in the order of their numbers.
    """
    if not stored_images:
        return
    run_id = stored_images[0].run_id
    first_id, stop_id = mask_id_range(
        run_id, stored_images[0].image_number, stored_images[-1].image_number + 1
    )
    rows = lake.query(sql, {"run_id": run_id, "first_id": first_id, "stop_id": stop_id})
    mask_ids = rows["mask_id"].to_numpy()
    for image in stored_images:
        bounds = mask_id_range(run_id, image.image_number, image.image_number + 1)
        first, stop = np.searchsorted(mask_ids, bounds)
        yield image, *_checked(image, rows.slice(first, stop - first))


def _images(lake: Lake, sql: str, params: dict[str, int]) -> list[StoredImage]:
    return [StoredImage(**row) for row in lake.query(sql, params).to_pylist()]


def _checked(image: StoredImage, rows: pa.Table) -> tuple[ImageMasks, dict[int, RleError]]:
    mask_ids = rows["mask_id"].to_numpy()
    errors = _errors_of_size(image, rows)
    valid = np.array([mask_id not in errors for mask_id in mask_ids.tolist()], bool)
    counts = rows["rle_counts"].filter(pa.array(valid))
    try:
        runs = parse_strings(counts, image.height_px, image.width_px)
    except RleError:  # it names the first bad mask only; the others are to be kept
        runs, bad = _parse_each(counts, image)
        numbers = np.flatnonzero(valid)[list(bad)]
        errors |= dict(zip(mask_ids[numbers].tolist(), bad.values(), strict=True))
        valid[numbers] = False
    found = ImageMasks(
        run_id=image.run_id,
        image_id=image.image_id,
        width_px=image.width_px,
        height_px=image.height_px,
        mask_ids=mask_ids[valid],
        runs=runs,
        scores=rows["score"].to_numpy()[valid],
        is_crowd=rows["is_crowd"].to_numpy()[valid],
    )
    return found, errors


def _errors_of_size(image: StoredImage, rows: pa.Table) -> dict[int, RleError]:
    wrong = pc.or_(
        pc.not_equal(rows["width_px"], image.width_px), pc.not_equal(rows["height_px"], image.height_px)
    )
    return {
        row["mask_id"]: RleError(
            f"the mask is stored as {row['width_px']} x {row['height_px']} px, its image as {image.width_px} x "
            f"{image.height_px} px (width x height); they must be equal, import the image's masks again"
        )
        for row in rows.filter(wrong).to_pylist()
    }


def _parse_each(counts: pa.ChunkedArray, image: StoredImage) -> tuple[Runs, dict[int, RleError]]:
    """The valid masks, and the errors of the others by their index."""
    parsed, errors = [Runs.empty(image.height_px, image.width_px)], {}
    for index, text in enumerate(counts.to_pylist()):
        try:
            parsed.append(parse_strings([text], image.height_px, image.width_px))
        except RleError as error:
            errors[index] = error
    return Runs.concat(parsed), errors
