"""IoU of all pairs, equal to pycocotools.mask.iou to the bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco
from rle_cases import batches, coco_rles, draw_mask, quick, thorough

from curation import masks
from curation.errors import InputError, RleError


@thorough
@given(batches(least=2, most=8), st.data())
def test_iou_equals_pycocotools(pixels, data):
    n = data.draw(st.integers(1, len(pixels) - 1))
    a, b = masks.encode(pixels[:n]), masks.encode(pixels[n:])
    theirs_a, theirs_b = coco_rles(pixels[:n]), coco_rles(pixels[n:])
    crowd = data.draw(st.lists(st.booleans(), min_size=len(b), max_size=len(b)))
    assert np.array_equal(masks.iou(a, b), coco.iou(theirs_a, theirs_b, [False] * len(b)))
    assert np.array_equal(masks.iou(a, b, crowd), coco.iou(theirs_a, theirs_b, crowd))
    assert np.array_equal(masks.iou(a, a), coco.iou(theirs_a, theirs_a, [False] * len(a)))


@thorough
@given(batches(least=1, most=6))
def test_intersections_count_shared_pixels(pixels):
    flat = pixels.reshape(len(pixels), -1).astype(np.int64)
    runs = masks.encode(pixels)
    assert np.array_equal(masks.intersections(runs, runs), flat @ flat.T)
    assert np.array_equal(masks.intersections(runs, runs[::-1]), flat @ flat[::-1].T)


@quick
@given(batches(least=1, most=6), st.integers(0, 2**32 - 1))
def test_only_pairs_that_are_asked_for_are_counted(pixels, seed):
    runs = masks.encode(pixels)
    where = np.random.default_rng(seed).random((len(runs), len(runs))) < 0.5
    whole = masks.intersections(runs, runs)
    assert np.array_equal(masks.intersections(runs, runs[:], where), np.where(where, whole, 0))
    both = where & where.T
    assert np.array_equal(masks.intersections(runs, runs, both), np.where(both, whole, 0))


def test_two_empty_masks_share_nothing():
    empty = masks.encode(np.zeros((2, 3, 3), bool))
    assert masks.iou(empty, empty).tolist() == [[0, 0], [0, 0]]
    assert masks.iou(empty, empty, [True, False]).tolist() == [[0, 0], [0, 0]]


def test_no_masks_give_no_pairs():
    some = masks.encode(np.ones((2, 3, 3), bool))
    assert masks.iou(some, masks.Runs.empty(3, 3)).shape == (2, 0)
    assert masks.iou(masks.Runs.empty(3, 3), some, [True, False]).shape == (0, 2)


def test_masks_of_two_images_are_refused():
    a, b = masks.encode(np.ones((1, 3, 4), bool)), masks.encode(np.ones((1, 4, 3), bool))
    with pytest.raises(RleError, match=r"4 x 3 px where 3 x 4 px .* masks of one image only"):
        masks.iou(a, b)


def test_one_crowd_flag_a_mask():
    a = masks.encode(np.stack([draw_mask("blob", 9, 9, seed) for seed in range(3)]))
    with pytest.raises(InputError, match=r"is_crowd has shape \(2,\); it must be \(3,\)"):
        masks.iou(a, a, [True, False])


@thorough
@given(batches(least=2, most=6))
def test_paired_iou_is_the_diagonal_of_all_pairs(pixels):
    half = len(pixels) // 2
    a, b = masks.encode(pixels[:half]), masks.encode(pixels[half : 2 * half])
    assert np.array_equal(masks.paired_iou(a, b), masks.iou(a, b).diagonal())


def test_paired_masks_are_as_many():
    a = masks.encode(np.ones((2, 3, 3), bool))
    with pytest.raises(InputError, match="2 and 1 masks came"):
        masks.paired_iou(a, a[0])
