"""Masks against the gold on the same image: best IoU, and one-to-one partners."""

import numpy as np
import pyarrow as pa
from scipy.optimize import linear_sum_assignment

from curation.errors import InputError
from curation.masks import iou
from curation.measures.image import ImageMasks
from curation.schemas import TABLES

NO_PARTNER = -1


def match_gold(image: ImageMasks, gold: ImageMasks) -> pa.Table:
    """Rows of `gold_matches`: one a mask, then one a gold mask that found no partner (a miss).

    Partners are one-to-one and maximise the sum of IoU (Hungarian method); masks that share no pixel are never
    partners. Without masks every gold mask is a miss; without gold every mask has a `gold_iou` of 0. Crowd gold
    is matched like any other. Raises InputError where the two are not of one image and size.
    """
    if (image.image_id, image.width_px, image.height_px) != (gold.image_id, gold.width_px, gold.height_px):
        raise InputError(
            f"gold: image {gold.image_id} of {gold.width_px} x {gold.height_px} px came for image {image.image_id} "
            f"of {image.width_px} x {image.height_px} px; both must be read from the same picture"
        )
    ious = iou(image.runs, gold.runs)
    partners = one_to_one(ious)
    masks = _rows_of_masks(image, gold, ious, partners)
    misses = _rows_of_misses(gold, ious, partners)
    keys = {"run_id": image.run_id, "gold_run_id": gold.run_id, "image_id": image.image_id}
    return pa.Table.from_pylist([{**keys, **row} for row in masks + misses], TABLES["gold_matches"].arrow)


def one_to_one(ious: np.ndarray) -> np.ndarray:
    """Column of each row's partner, int64 (N,), NO_PARTNER without one, for IoU (N, M) in 0..1.

    The sum of IoU over partners is the largest that any one-to-one matching has; a pair of IoU 0 is no pair.
    """
    partners = np.full(ious.shape[0], NO_PARTNER, np.int64)
    rows, columns = linear_sum_assignment(ious, maximize=True)
    overlap = ious[rows, columns] > 0
    partners[rows[overlap]] = columns[overlap]
    return partners


def _rows_of_masks(image: ImageMasks, gold: ImageMasks, ious: np.ndarray, partners: np.ndarray) -> list[dict]:
    gold_ids = gold.mask_ids.tolist()
    rows = []
    for index, (mask_id, partner) in enumerate(zip(image.mask_ids.tolist(), partners.tolist(), strict=True)):
        best = int(ious[index].argmax()) if gold_ids else NO_PARTNER
        gold_iou = float(ious[index, best]) if gold_ids else 0.0
        row = {
            "mask_id": mask_id,
            "best_gold_mask_id": gold_ids[best] if gold_iou > 0 else None,
            "gold_iou": gold_iou,
        }
        if partner != NO_PARTNER:
            row["gold_mask_id"] = gold_ids[partner]
            row["matched_iou"] = float(ious[index, partner])
            row["gold_best_iou"] = float(ious[:, partner].max())
        rows.append(row)
    return rows


def _rows_of_misses(gold: ImageMasks, ious: np.ndarray, partners: np.ndarray) -> list[dict]:
    return [
        {
            "mask_id": None,
            "gold_mask_id": int(gold.mask_ids[column]),
            "gold_best_iou": float(ious[:, column].max(initial=0.0)),
        }
        for column in np.setdiff1d(np.arange(len(gold)), partners)
    ]
