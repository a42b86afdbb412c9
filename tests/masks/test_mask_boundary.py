"""Erosion and boundary IoU against OpenCV and the official definition."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rle_cases import batches, draw_mask, thorough

from curation import masks
from curation.errors import InputError


def official_boundary(mask: np.ndarray, distance_px: int) -> np.ndarray:
    """mask_to_boundary of boundary_utils.py in bowenc0221/boundary-iou-api."""
    height, width = mask.shape
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance_px)
    return mask & ~eroded[1 : height + 1, 1 : width + 1].astype(bool)


@thorough
@given(batches(least=1), st.integers(1, 6))
def test_erosion_and_boundary_equal_opencv(pixels, distance_px):
    runs = masks.encode(pixels)
    wanted = np.array([official_boundary(mask, distance_px) for mask in pixels])
    assert masks.boundaries(runs, distance_px) == masks.encode(wanted)
    assert masks.erode(runs, distance_px) == masks.encode(pixels & ~wanted)


@pytest.mark.parametrize("kind", ["full", "frame", "columns", "specks", "blob"])
@pytest.mark.parametrize("distance_px", [1, 2, 3, 7])
def test_larger_masks_equal_opencv(kind, distance_px):
    pixels = np.stack([draw_mask(kind, 190, 230, seed) for seed in range(4)])
    wanted = np.array([official_boundary(mask, distance_px) for mask in pixels])
    assert masks.boundaries(masks.encode(pixels), distance_px) == masks.encode(wanted)


def test_masks_with_many_windows_and_thick_pieces_equal_opencv():
    rng = np.random.default_rng(3)
    pixels = np.ones((6, 120, 260), bool)
    for mask in pixels:
        for x, y in rng.integers(0, (260, 120), (30, 2)):
            mask[y : y + 3, x : x + 2] = False
    for distance_px in (1, 3, 5):
        wanted = np.array([official_boundary(mask, distance_px) for mask in pixels])
        assert masks.boundaries(masks.encode(pixels), distance_px) == masks.encode(wanted)


@thorough
@given(batches(least=2, most=6))
def test_boundary_iou_equals_the_official_one(pixels):
    half = len(pixels) // 2
    a, b = pixels[:half], pixels[half : 2 * half]
    distance_px = masks.boundary_distance_px(*pixels.shape[1:], ratio=0.02)
    edges_a, edges_b = (np.array([official_boundary(mask, distance_px) for mask in side]) for side in (a, b))
    shared, whole = (edges_a & edges_b).sum((1, 2)), (edges_a | edges_b).sum((1, 2))
    found = masks.paired_iou(
        masks.boundaries(masks.encode(a), distance_px), masks.boundaries(masks.encode(b), distance_px)
    )
    assert np.array_equal(found, shared / np.maximum(whole, 1))


def test_distance_is_rounded_as_the_official_one_and_at_least_one():
    assert masks.boundary_distance_px(1500, 2250, 0.02) == round(0.02 * np.sqrt(1500**2 + 2250**2)) == 54
    assert masks.boundary_distance_px(10, 10, 0.02) == 1


def test_boundary_of_no_masks_and_a_distance_below_one():
    assert len(masks.boundaries(masks.Runs.empty(5, 5), 1)) == 0
    with pytest.raises(InputError, match="0 came; it must be 1 or more"):
        masks.erode(masks.Runs.empty(5, 5), 0)
