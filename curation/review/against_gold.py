"""How good any masks are against gold, computed here and now: corrected masks have no rows in `gold_matches`."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa

from curation import ids, masks
from curation.lake import Lake
from curation.settings import GOLD

#: Images read at once, with the masks that are asked for and all gold of them.
PAGE_IMAGES = 256

_MASKS = """
    SELECT mask_id, image_id, height_px, width_px, rle_counts
    FROM masks
    SEMI JOIN wanted USING (mask_id)
    WHERE list_contains($run_ids, run_id)
    ORDER BY image_id, mask_id
"""
#: Gold of a crowd is nobody's best, as in `gold_matches`.
_GOLD = """
    SELECT image_id, area_px, rle_counts
    FROM gold_masks
    WHERE
        list_contains($image_ids, image_id)
        AND NOT is_crowd
        AND gold_mask_id NOT IN (SELECT supersedes FROM gold_masks WHERE supersedes IS NOT NULL)
    ORDER BY image_id, gold_mask_id
"""


@dataclass(frozen=True)
class Best:
    """A mask against the gold mask that it fits best: IoU, 0..1, and whether that is no error (`settings.GOLD`)."""

    iou: float
    is_good: bool


def best(lake: Lake, image_of: dict[int, int]) -> dict[int, Best]:
    """The best fit of each mask; `image_of` has the image of every mask. Masks of images without gold are left out."""
    by_image: dict[int, list[int]] = {}
    for mask_id, image_id in image_of.items():
        by_image.setdefault(image_id, []).append(mask_id)
    with_gold = lake.query("SELECT DISTINCT image_id FROM gold_masks WHERE NOT is_crowd")[
        "image_id"
    ].to_pylist()
    waiting = iter(sorted(by_image.keys() & set(with_gold)))
    found: dict[int, Best] = {}
    while page := list(islice(waiting, PAGE_IMAGES)):
        found |= _of_images(lake, page, [mask_id for image_id in page for mask_id in by_image[image_id]])
    return found


def _of_images(lake: Lake, image_ids: list[int], mask_ids: list[int]) -> dict[int, Best]:
    lake.con.register("wanted", pa.table({"mask_id": pa.array(mask_ids, pa.int64())}))
    run_ids = sorted({ids.unpack_mask_id(mask_id)[0] for mask_id in mask_ids})
    rows = _by_image(lake.query(_MASKS, {"run_ids": run_ids}).to_pylist())
    lake.con.unregister("wanted")
    gold = _by_image(lake.query(_GOLD, {"image_ids": image_ids}).to_pylist())
    found: dict[int, Best] = {}
    for image_id in rows.keys() & gold.keys():
        found |= _of_image(rows[image_id], gold[image_id])
    return found


def _of_image(rows: list[dict], gold: list[dict]) -> dict[int, Best]:
    size = rows[0]["height_px"], rows[0]["width_px"]
    both = [masks.parse_strings([row["rle_counts"] for row in some], *size) for some in (rows, gold)]
    ious = masks.iou(*both)
    areas = np.array([row["area_px"] for row in gold])
    is_small = areas[ious.argmax(axis=1)] < GOLD.small_px
    is_good = ious.max(axis=1) >= np.where(is_small, GOLD.small_good_iou, GOLD.good_iou)
    return {
        row["mask_id"]: Best(float(iou), bool(good))
        for row, iou, good in zip(rows, ious.max(axis=1), is_good, strict=True)
    }


def _by_image(rows: Iterable[dict]) -> dict[int, list[dict]]:
    found: dict[int, list[dict]] = {}
    for row in rows:
        found.setdefault(row["image_id"], []).append(row)
    return found
