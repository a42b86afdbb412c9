"""Areas, boxes and shape against pycocotools, SciPy, OpenCV and scikit-image on the drawn mask."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from pycocotools import mask as coco
from rle_cases import batches, coco_rles, draw_mask, thorough
from scipy import ndimage
from skimage.measure import euler_number, regionprops

from curation import masks


@thorough
@given(batches(least=1))
def test_areas_and_boxes_equal_pycocotools(pixels):
    runs, theirs = masks.encode(pixels), coco_rles(pixels)
    assert np.array_equal(masks.areas(runs), coco.area(theirs))
    assert np.array_equal(masks.boxes(runs), coco.toBbox(theirs))
    assert masks.areas(runs).dtype == np.int64
    assert masks.boxes(runs).dtype == np.int32


def drawn_shape(mask: np.ndarray) -> dict[str, float]:
    pieces, n_pieces = ndimage.label(mask, np.ones((3, 3)))
    gaps, _ = ndimage.label(
        np.pad(~mask, 1, constant_values=True)
    )  # 4-connected; the outside holds the corner
    hole_sizes = np.bincount(gaps[gaps > 0])[1:]
    hole_sizes = np.delete(hole_sizes, gaps[0, 0] - 1)
    walls = np.pad(mask, 1).astype(np.int8)
    y, x = np.nonzero(mask)
    corners = np.concatenate([np.stack([x + dx, y + dy], 1) for dx in (0, 1) for dy in (0, 1)]).astype(
        np.int32
    )
    return {
        "n_components": n_pieces,
        "largest_component_px": np.bincount(pieces[pieces > 0]).max(initial=0),
        "n_holes": len(hole_sizes),
        "holes_px": hole_sizes.sum(),
        "perimeter_px": np.abs(np.diff(walls, axis=0)).sum() + np.abs(np.diff(walls, axis=1)).sum(),
        "hull_area_px": cv2.contourArea(cv2.convexHull(corners)) if len(corners) else 0.0,
    }


@thorough
@given(batches(least=1))
def test_shape_equals_the_drawn_masks(pixels):
    shape = masks.shape(masks.encode(pixels))
    for index, mask in enumerate(pixels):
        assert {name: values[index] for name, values in shape.items()} == drawn_shape(mask)
        euler = euler_number(np.pad(mask, 1), connectivity=2)
        assert shape["n_components"][index] - shape["n_holes"][index] == euler


@pytest.mark.parametrize("kind", ["noise", "specks", "blob", "checkers", "frame"])
def test_shape_of_larger_masks(kind):
    pixels = np.stack([draw_mask(kind, 190, 230, seed) for seed in range(4)])
    shape = masks.shape(masks.encode(pixels))
    for index, mask in enumerate(pixels):
        assert {name: values[index] for name, values in shape.items()} == drawn_shape(mask)


def test_nested_rings():
    mask = np.zeros((11, 11), bool)
    for edge in (0, 2, 4):
        mask[edge : 11 - edge, edge : 11 - edge] = edge % 4 == 0
    shape = masks.shape(masks.encode(mask[None]))
    # the hole holds a square, which is no part of it
    assert (shape["n_components"][0], shape["n_holes"][0]) == (2, 1)
    assert shape["holes_px"][0] == 7 * 7 - 3 * 3
    assert shape["hull_area_px"][0] == 121


def test_shape_at_20000_px_sides_follows_the_runs():
    side = 20_000
    shape = masks.shape(masks.parse({"size": [side, side], "counts": [0, side * side]}))
    assert shape["perimeter_px"][0] == 4 * side
    assert shape["hull_area_px"][0] == shape["largest_component_px"][0] == side * side


def test_no_masks_and_empty_masks():
    for values in masks.shape(masks.Runs.empty(4, 4)).values():
        assert values.shape == (0,)
    for values in masks.shape(masks.encode(np.zeros((2, 4, 4), bool))).values():
        assert values.tolist() == [0, 0]
    assert masks.areas(masks.Runs.empty(4, 4)).shape == (0,)
    assert masks.boxes(masks.Runs.empty(4, 4)).shape == (0, 4)


@thorough
@given(batches(least=1))
def test_holes_and_largest_pieces_equal_scipy(pixels):
    runs = masks.encode(pixels)
    holes = np.array([ndimage.binary_fill_holes(mask) & ~mask for mask in pixels])
    assert masks.holes(runs) == masks.encode(holes)
    largest = masks.decode(masks.largest_pieces(runs))
    for mask, found in zip(pixels, largest, strict=True):
        labels, _ = ndimage.label(mask, np.ones((3, 3)))
        sizes = np.bincount(labels.ravel())[1:]
        assert found.sum() == sizes.max(initial=0)
        assert len(np.unique(labels[found])) == min(1, len(sizes))


@thorough
@given(batches(least=1))
def test_moments_equal_scikit_image(pixels):
    found = masks.moments(masks.encode(pixels))
    major_px, minor_px = masks.axis_lengths(found)
    for index, mask in enumerate(pixels):
        if not mask.any():
            assert np.isnan(found[index]).all()
            continue
        region = regionprops(mask.astype(np.uint8))[0]
        np.testing.assert_allclose(found[index, :2], region.centroid[::-1], rtol=1e-9)
        np.testing.assert_allclose(major_px[index], region.axis_major_length, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(minor_px[index], region.axis_minor_length, rtol=1e-5, atol=1e-5)


def test_moments_of_a_mask_far_from_the_corner_are_exact():
    side = 20_000
    runs = masks.parse({"size": [side, side], "counts": [side * side - side, side]})  # the last column
    mean_x, mean_y, var_x, var_y, cov_xy = masks.moments(runs)[0]
    assert (mean_x, mean_y, var_x, cov_xy) == (side - 1, (side - 1) / 2, 0, 0)
    assert var_y == pytest.approx((side**2 - 1) / 12, rel=1e-12)
