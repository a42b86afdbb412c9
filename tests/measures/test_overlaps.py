import numpy as np
from blobs import image_masks, random_masks
from hypothesis import given, settings
from pycocotools import mask as coco

from curation.measures import overlaps
from curation.schemas import TABLES


@settings(max_examples=80, deadline=None)
@given(random_masks)
def test_every_pair_that_shares_pixels_is_a_row_and_its_iou_equals_pycocotools(masks):
    image = image_masks(masks)
    coded = [coco.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks]
    ious = coco.iou(coded, coded, [0] * len(coded))
    wanted = {
        (int(image.mask_ids[a]), int(image.mask_ids[b])): (int((masks[a] & masks[b]).sum()), ious[a, b])
        for a in range(len(masks))
        for b in range(a + 1, len(masks))
        if (masks[a] & masks[b]).any()
    }
    found = TABLES["overlaps"].check(overlaps(image)).to_pylist()
    assert {
        (row["mask_id"], row["other_mask_id"]): (row["intersection_px"], row["iou"]) for row in found
    } == wanted
    for row in found:
        area_px = {int(i): int(mask.sum()) for i, mask in zip(image.mask_ids, masks, strict=True)}
        assert row["mask_share"] == row["intersection_px"] / area_px[row["mask_id"]]
        assert row["other_share"] == row["intersection_px"] / area_px[row["other_mask_id"]]


def test_duplicates_overlap_fully_and_a_part_lies_inside_its_whole():
    whole = np.zeros((6, 6), bool)
    whole[:, :4] = True
    part = np.zeros((6, 6), bool)
    part[:3, :2] = True
    twin, inside, inside_of_twin = overlaps(image_masks(np.stack([whole, whole, part]))).to_pylist()
    assert (twin["iou"], twin["mask_share"], twin["other_share"]) == (1, 1, 1)
    assert (inside["mask_share"], inside["other_share"]) == (0.25, 1)
    assert inside_of_twin["mask_id"] == twin["other_mask_id"]


def test_one_mask_alone_and_no_masks_make_no_rows():
    for n_masks in (0, 1):
        table = overlaps(image_masks(np.ones((n_masks, 3, 3), bool)))
        assert table.num_rows == 0
        assert table.schema == TABLES["overlaps"].arrow
