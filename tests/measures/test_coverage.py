import numpy as np
import pytest
from blobs import image_masks, random_masks
from hypothesis import given, settings
from scipy import ndimage

from curation.measures import coverage
from curation.schemas import TABLES


@settings(max_examples=80, deadline=None)
@given(random_masks)
def test_coverage_equals_the_dense_definition(masks):
    (row,) = TABLES["image_coverage"].check(coverage(image_masks(masks))).to_pylist()
    covered = masks.any(axis=0)
    labels, _ = ndimage.label(~covered)
    sizes = np.bincount(labels.ravel())[1:]
    assert row["n_masks"] == len(masks)
    assert row["covered_px"] == covered.sum()
    assert row["covered_share"] == covered.mean()
    assert row["largest_uncovered_px"] == sizes.max(initial=0)
    assert row["mean_depth"] == pytest.approx(masks.sum(axis=0)[covered].mean() if covered.any() else 0)
    boxes = [
        [x.start, y.start, x.stop - x.start, y.stop - y.start]
        for (y, x), size in zip(ndimage.find_objects(labels), sizes, strict=True)
        if size == row["largest_uncovered_px"]
    ]
    assert row["largest_uncovered_bbox_xywh"] in (boxes or [[0, 0, 0, 0]])


def test_an_image_without_masks_is_uncovered_as_a_whole():
    (row,) = coverage(image_masks(np.zeros((0, 4, 6), bool))).to_pylist()
    assert (row["n_masks"], row["covered_share"], row["mean_depth"]) == (0, 0, 0)
    assert (row["largest_uncovered_px"], row["largest_uncovered_bbox_xywh"]) == (24, [0, 0, 6, 4])


def test_a_covered_image_has_no_uncovered_region():
    (row,) = coverage(image_masks(np.ones((3, 4, 6), bool))).to_pylist()
    assert (row["covered_share"], row["mean_depth"]) == (1, 3)
    assert (row["largest_uncovered_px"], row["largest_uncovered_bbox_xywh"]) == (0, [0, 0, 0, 0])


@settings(max_examples=60, deadline=None)
@given(random_masks)
def test_crowdedness_counts_the_boxes_that_meet(masks):
    (row,) = coverage(image_masks(masks)).to_pylist()
    filled = []
    for mask in masks:
        box = np.zeros_like(mask)
        if mask.any():
            y, x = np.nonzero(mask)
            box[y.min() : y.max() + 1, x.min() : x.max() + 1] = True
        filled.append(box)
    n_others = [sum((box & other).any() for other in filled) - box.any() for box in filled]
    assert row["crowdedness"] == pytest.approx(np.mean(n_others) if len(masks) > 1 else 0)
