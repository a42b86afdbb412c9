"""Masks against the gold on the same image: best IoU, partners, boundary IoU, and what is wrong."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from curation.errors import InputError
from curation.masks import boundaries, boundary_distance_px, intersections, paired_iou
from curation.measures.columns import lists, spread
from curation.measures.errors_against_gold import error_kinds
from curation.measures.image import ImageMasks
from curation.measures.partners import NO_PARTNER, greedy, one_to_one
from curation.schemas import TABLES
from curation.settings import GOLD


def match_gold(image: ImageMasks, gold: ImageMasks) -> pa.Table:
    """Rows of `gold_matches`: one a mask, then one a gold mask that found no partner (a miss).

    Partners are one-to-one and maximise the sum of IoU (Hungarian method); masks that share no pixel are never
    partners. Without masks every gold mask is a miss; without gold every mask has a `gold_iou` of 0. Crowd gold is
    nobody's best or partner and never missed: COCO's matching ignores the masks that lie in it, and so does
    `error_kind`. Raises InputError where the two are not of one image and size.
    """
    if (image.image_id, image.width_px, image.height_px) != (gold.image_id, gold.width_px, gold.height_px):
        raise InputError(
            f"gold: image {gold.image_id} of {gold.width_px} x {gold.height_px} px came for image {image.image_id} "
            f"of {image.width_px} x {image.height_px} px; both must be read from the same picture"
        )
    is_crowd = crowds(gold)
    shared_px = intersections(image.runs, gold.runs)
    ious = crowd_ious(shared_px, image.area_px, gold)
    coco = greedy(ious, image.score_ranks, is_crowd)
    coco_found = coco.found[~is_crowd]
    gold, shared_px, ious = gold.without_crowds(), shared_px[:, ~is_crowd], ious[:, ~is_crowd]
    partners = one_to_one(ious)
    of_masks = {
        "mask_id": image.mask_ids,
        **_of_best_and_partner(image, gold, ious, partners),
        "score_rank": image.score_ranks,
        "coco_matched": coco.matched,
        "coco_ignored": coco.ignored,
        "coco_found": lists(coco_found[partners], partners == NO_PARTNER)
        if len(gold)
        else pa.nulls(len(image), pa.list_(pa.int32())),
        "error_kind": error_kinds(image, gold, shared_px, ious, is_ignored=(coco.ignored & 1) == 1),
    }
    missed = np.setdiff1d(np.arange(len(gold)), partners)
    of_misses = {
        "gold_mask_id": gold.mask_ids[missed],
        "gold_best_iou": ious[:, missed].max(axis=0, initial=0.0),
        "coco_found": lists(coco_found[missed]),
        "error_kind": np.full(len(missed), "miss"),
    }
    keys = {"run_id": image.run_id, "gold_run_id": gold.run_id, "image_id": image.image_id}
    return pa.concat_tables([_rows(keys, len(image), of_masks), _rows(keys, len(missed), of_misses)])


def crowds(gold: ImageMasks) -> np.ndarray:
    """Which gold masks stand for many objects, bool (M,)."""
    return np.zeros(len(gold), bool) if gold.is_crowd is None else gold.is_crowd


def crowd_ious(shared_px: np.ndarray, area_px: np.ndarray, gold: ImageMasks) -> np.ndarray:
    """IoU (N, M) of masks of `area_px` (N,) that share so many px (N, M) with gold; with crowd gold the share of the mask
    that lies in it, as COCO has it.
    """
    whole_px = area_px[:, None] + gold.area_px[None, :] - shared_px
    return shared_px / np.maximum(np.where(crowds(gold)[None, :], area_px[:, None], whole_px), 1)


def _of_best_and_partner(
    image: ImageMasks, gold: ImageMasks, ious: np.ndarray, partners: np.ndarray
) -> dict[str, pa.Array]:
    """Columns of the masks that speak of a gold mask, null where a mask has no such one."""
    rows = np.arange(len(image))
    best = ious.argmax(axis=1) if len(gold) else np.full(len(image), NO_PARTNER)
    gold_iou = ious.max(axis=1, initial=0.0)
    has_best, has_partner = gold_iou > 0, partners != NO_PARTNER
    with_best, with_partner = rows[has_best], rows[has_partner]
    best, partners = best[has_best], partners[has_partner]
    is_asked = np.zeros(ious.shape, bool)
    is_asked[with_best, best] = is_asked[with_partner, partners] = True
    boundary_ious = _boundary_ious(image, gold, is_asked)
    return {
        "best_gold_mask_id": spread(gold.mask_ids[best], has_best),
        "gold_iou": pa.array(gold_iou),
        "gold_mask_id": spread(gold.mask_ids[partners], has_partner),
        "matched_iou": spread(ious[with_partner, partners], has_partner),
        "gold_best_iou": spread(ious.max(axis=0, initial=0.0)[partners], has_partner),
        "gold_boundary_iou": spread(boundary_ious[with_best, best], has_best),
        "matched_boundary_iou": spread(boundary_ious[with_partner, partners], has_partner),
    }


def _boundary_ious(image: ImageMasks, gold: ImageMasks, where: np.ndarray) -> np.ndarray:
    """Boundary IoU of the pairs `where`, bool (N, M); 0 elsewhere."""
    distance_px = boundary_distance_px(image.height_px, image.width_px, GOLD.boundary_ratio)
    of_image, of_gold = boundaries(image.runs, distance_px), boundaries(gold.runs, distance_px)
    result = np.zeros(where.shape)
    masks, golds = np.nonzero(where)  # most masks have their best as their partner
    result[masks, golds] = paired_iou(of_image[masks], of_gold[golds])
    return result


def _rows(keys: Mapping[str, int], n_rows: int, columns: Mapping[str, np.ndarray | pa.Array]) -> pa.Table:
    """Rows of `gold_matches`; columns that are not given are null."""
    columns = {**{name: np.full(n_rows, value) for name, value in keys.items()}, **columns}
    schema = TABLES["gold_matches"].arrow
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(n_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
