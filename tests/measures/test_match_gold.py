from itertools import permutations

import cv2
import numpy as np
import pytest
from blobs import blobs, image_masks
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from curation.errors import InputError
from curation.measures import match_gold
from curation.measures.partners import NO_PARTNER, one_to_one
from curation.schemas import TABLES

IOUS = hnp.arrays(
    np.float64,
    st.tuples(st.integers(0, 5), st.integers(0, 5)),
    elements=st.sampled_from([0.0, 0.0, 0.1, 0.25, 0.5, 0.9, 1.0]),
)


def best_sum(ious: np.ndarray) -> float:
    """The largest sum of IoU over all one-to-one matchings, by trying every one."""
    small, large = sorted(ious.shape)
    wide = ious if ious.shape[0] <= ious.shape[1] else ious.T
    return max(
        sum(wide[i, j] for i, j in zip(range(small), order, strict=True))
        for order in permutations(range(large), small)
    )


@settings(max_examples=150, deadline=None)
@given(IOUS)
def test_partners_are_one_to_one_and_no_matching_has_a_larger_sum(ious):
    partners = one_to_one(ious)
    taken = partners[partners != NO_PARTNER]
    assert len(set(taken)) == len(taken)
    values = ious[partners != NO_PARTNER, taken]
    assert (values > 0).all()
    assert values.sum() == pytest.approx(best_sum(ious))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(0, 6))
def test_rows_agree_with_pycocotools_and_name_every_mask_and_gold_mask(seed, n_masks, n_gold):
    scene = blobs(seed, n_masks + n_gold, 16, 20)
    image, gold = image_masks(scene[:n_masks]), image_masks(scene[n_masks:], run_id=2, first_id=1000)
    coded = [coco.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in scene]
    ious = np.zeros((n_masks, n_gold))
    if n_masks and n_gold:
        ious = coco.iou(coded[:n_masks], coded[n_masks:], [0] * n_gold)
    index_of = {int(i): k for k, i in enumerate(image.mask_ids)}
    gold_index_of = {int(i): k for k, i in enumerate(gold.mask_ids)}

    rows = TABLES["gold_matches"].check(match_gold(image, gold)).to_pylist()
    assert [row["mask_id"] for row in rows if row["mask_id"] is not None] == image.mask_ids.tolist()
    assert (
        sorted(row["gold_mask_id"] for row in rows if row["gold_mask_id"] is not None)
        == gold.mask_ids.tolist()
    )
    for row in rows:
        assert (row["run_id"], row["gold_run_id"], row["image_id"]) == (1, 2, 7)
        if row["mask_id"] is not None:
            of_mask = ious[index_of[row["mask_id"]]]
            assert row["gold_iou"] == of_mask.max(initial=0)
            assert (row["best_gold_mask_id"] is None) == (row["gold_iou"] == 0)
            if row["best_gold_mask_id"] is not None:
                assert of_mask[gold_index_of[row["best_gold_mask_id"]]] == row["gold_iou"]
        if row["gold_mask_id"] is not None:
            assert row["gold_best_iou"] == ious[:, gold_index_of[row["gold_mask_id"]]].max(initial=0)
        is_pair = row["mask_id"] is not None and row["gold_mask_id"] is not None
        assert (row["matched_iou"] is not None) == is_pair
        if is_pair:
            assert row["matched_iou"] == ious[index_of[row["mask_id"]], gold_index_of[row["gold_mask_id"]]]


def test_of_two_equal_masks_one_is_the_partner_and_both_have_the_best_iou():
    mask = np.zeros((1, 4, 4), bool)
    mask[0, :2] = True
    first, second = match_gold(
        image_masks(np.repeat(mask, 2, axis=0)), image_masks(mask, run_id=2, first_id=50)
    ).to_pylist()
    assert first["gold_iou"] == second["gold_iou"] == 1
    assert sorted([first["matched_iou"], second["matched_iou"]], key=str) == [1, None]


def test_gold_without_masks_is_missed_and_masks_without_gold_match_nothing():
    some, none = np.ones((2, 4, 4), bool), np.zeros((0, 4, 4), bool)
    misses = match_gold(image_masks(none), image_masks(some, run_id=2)).to_pylist()
    assert [(row["mask_id"], row["gold_mask_id"], row["gold_best_iou"]) for row in misses] == [
        (None, 0, 0),
        (None, 3, 0),
    ]
    unmatched = match_gold(image_masks(some), image_masks(none, run_id=2)).to_pylist()
    assert [(row["mask_id"], row["gold_mask_id"], row["gold_iou"]) for row in unmatched] == [
        (0, None, 0),
        (3, None, 0),
    ]


def test_gold_of_another_image_size_is_refused():
    with pytest.raises(InputError, match="4 x 5 px"):
        match_gold(image_masks(np.ones((1, 4, 4), bool)), image_masks(np.ones((1, 5, 4), bool), run_id=2))


def official_boundary_iou(a: np.ndarray, b: np.ndarray) -> float:
    """boundary_iou of boundary_utils.py in bowenc0221/boundary-iou-api."""
    height, width = a.shape
    distance_px = max(1, round(0.02 * np.hypot(height, width)))
    edges = []
    for mask in (a, b):
        padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance_px)
        edges.append(mask & ~eroded[1:-1, 1:-1].astype(bool))
    return (edges[0] & edges[1]).sum() / (edges[0] | edges[1]).sum()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_boundary_ious_equal_the_official_ones(seed):
    scene = blobs(seed, 8, 90, 130)
    image, gold = image_masks(scene[:4]), image_masks(scene[4:], run_id=2)
    for row in match_gold(image, gold).to_pylist():
        for of, name in (
            ("best_gold_mask_id", "gold_boundary_iou"),
            ("gold_mask_id", "matched_boundary_iou"),
        ):
            if row["mask_id"] is None or row[of] is None:
                assert row[name] is None
                continue
            wanted = official_boundary_iou(scene[row["mask_id"] // 3], scene[4 + row[of] // 3])
            assert row[name] == pytest.approx(wanted, rel=1e-12)
