"""The tree of masks inside masks, and near duplicates."""

import numpy as np
from blobs import image_masks, random_masks
from hypothesis import given, settings

from curation.measures import nesting
from curation.schemas import TABLES
from curation.settings import NESTING


def rows(masks: np.ndarray) -> list[dict]:
    return TABLES["mask_nesting"].check(nesting(image_masks(masks))).to_pylist()


def boxes(*xyxy: tuple[int, int, int, int], side: int = 100) -> np.ndarray:
    masks = np.zeros((len(xyxy), side, side), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, xyxy, strict=True):
        mask[y0:y1, x0:x1] = True
    return masks


def test_a_face_in_a_head_in_a_person_and_a_dog_beside():
    person, face, dog, head = rows(
        boxes((10, 10, 50, 90), (18, 14, 30, 24), (60, 50, 90, 80), (15, 10, 35, 30))
    )
    assert [row["level"] for row in (person, head, face, dog)] == ["whole", "part", "subpart", "whole"]
    assert (head["parent_mask_id"], face["parent_mask_id"]) == (person["mask_id"], head["mask_id"])
    assert [row["n_children"] for row in (person, head, face, dog)] == [1, 1, 0, 0]
    assert {row["n_near_duplicates"] for row in (person, head, face, dog)} == {0}


def test_near_duplicates_are_not_nested_in_each_other_and_share_a_parent():
    large, one, other = rows(boxes((0, 0, 90, 90), (10, 10, 50, 50), (10, 10, 50, 48)))
    assert (one["n_near_duplicates"], other["n_near_duplicates"], large["n_near_duplicates"]) == (1, 1, 0)
    assert one["parent_mask_id"] == other["parent_mask_id"] == large["mask_id"]
    twins = rows(np.repeat(boxes((0, 0, 20, 20)), 3, axis=0))
    assert [(row["parent_mask_id"], row["n_near_duplicates"]) for row in twins] == [(None, 2)] * 3


def test_of_equal_wholes_the_first_is_the_parent():
    same = boxes((0, 0, 40, 40), (0, 0, 40, 40), (5, 5, 15, 15))
    assert rows(same)[2]["parent_mask_id"] == 0


def test_a_part_may_run_over_by_a_tenth():
    inside, over = (rows(boxes((0, 0, 50, 50), (40, 0, right, 10)))[1] for right in (51, 52))
    assert (inside["parent_mask_id"], over["parent_mask_id"]) == (0, None)


def test_no_masks_and_empty_masks():
    assert rows(np.zeros((0, 5, 5), bool)) == []
    empty, full = rows(np.stack([np.zeros((5, 5), bool), np.ones((5, 5), bool)]))
    assert (empty["level"], empty["parent_mask_id"], full["n_children"]) == ("whole", None, 0)


@settings(max_examples=80, deadline=None)
@given(random_masks)
def test_parents_are_the_smallest_masks_that_hold_each(masks):
    found = rows(masks)
    of_id = {row["mask_id"]: row for row in found}
    areas = masks.sum(axis=(1, 2))
    for k, row in enumerate(found):
        holders, duplicates = [], 0
        for j, other in enumerate(masks):
            shared, whole = (masks[k] & other).sum(), (masks[k] | other).sum()
            is_duplicate = j != k and whole and shared >= NESTING.near_duplicate_iou * whole
            duplicates += is_duplicate
            if areas[j] > areas[k] > 0 and shared >= NESTING.inside_share * areas[k] and not is_duplicate:
                holders.append((areas[j], j))
        assert row["n_near_duplicates"] == duplicates
        assert row["parent_mask_id"] == (3 * min(holders)[1] if holders else None)
        parent = of_id.get(row["parent_mask_id"])
        assert row["nesting_depth"] == (parent["nesting_depth"] + 1 if parent else 0)
        assert row["n_children"] == sum(other["parent_mask_id"] == row["mask_id"] for other in found)
