"""Appearance against the definitions written with SciPy on the whole picture, and on pictures drawn by hand."""

import numpy as np
import pytest
from blobs import blobs, image_masks
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from curation.errors import ImageError
from curation.measures import appearance
from curation.measures.appearance import BAND_PX, GREY_SHARES
from curation.schemas import TABLES

SQUARE = np.ones((2 * BAND_PX + 1, 2 * BAND_PX + 1))
VALUES = [
    name for name in TABLES["mask_appearance"].arrow.names if name not in ("run_id", "mask_id", "image_id")
]


def rows(masks: np.ndarray, picture: np.ndarray) -> list[dict]:
    return TABLES["mask_appearance"].check(appearance(image_masks(masks), picture)).to_pylist()


def dense(mask: np.ndarray, picture: np.ndarray) -> dict:
    """All values of one mask by their definitions."""
    grey = (picture @ GREY_SHARES).astype(np.float64)
    gradient = np.hypot(*(ndimage.sobel(grey, axis, mode="nearest") for axis in (0, 1)))
    bands = {
        "inside": mask & ndimage.binary_dilation(~mask, SQUARE),
        "outside": ~mask & ndimage.binary_dilation(mask, SQUARE),
    }
    if not bands["inside"].any():
        return dict.fromkeys(VALUES)
    found = {}
    laplacian, across = np.zeros_like(grey), np.zeros_like(grey)
    for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):
        index = np.indices(grey.shape)
        index[axis] += shift
        is_inside = (index[axis] >= 0) & (index[axis] < grey.shape[axis])
        index[axis] = index[axis].clip(0, grey.shape[axis] - 1)
        other = mask[tuple(index)]
        laplacian += np.where(is_inside & (other == mask), grey[tuple(index)] - grey, 0)
        across = np.maximum(across, np.where(is_inside & (other != mask), gradient[tuple(index)], 0))
    for side, band in bands.items():
        found[f"mean_rgb_{side}"] = picture[band].mean(axis=0)
        found[f"sharpness_{side}"] = laplacian[band].var()
    distance = np.linalg.norm(found["mean_rgb_inside"] - found["mean_rgb_outside"])
    found["boundary_contrast"] = distance / np.linalg.norm([255, 255, 255])
    edge = mask & ndimage.binary_dilation(~mask)
    strongest = ndimage.grey_dilation(gradient, footprint=SQUARE)[edge].sum()
    on_it = np.maximum(gradient, across)[edge].sum()
    found["edge_alignment"] = on_it / strongest if strongest else 0
    return found


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 30), st.integers(1, 30))
def test_values_equal_the_dense_definitions(seed, n_masks, height_px, width_px):
    masks = blobs(seed, n_masks, height_px, width_px)
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(
        rng.uniform(0, 255, (height_px, width_px, 3)), (rng.uniform(0, 2),) * 2 + (0,)
    )
    picture = noise.astype(np.uint8)
    for mask, row in zip(masks, rows(masks, picture), strict=True):
        for name, wanted in dense(mask, picture).items():
            if wanted is None:
                assert row[name] is None
            else:
                np.testing.assert_allclose(row[name], wanted, rtol=1e-4, atol=1e-4, err_msg=name)


def test_a_white_object_on_black():
    mask = np.zeros((1, 60, 80), bool)
    mask[0, 20:40, 30:60] = True
    picture = np.repeat(255 * mask[0][..., None], 3, axis=2).astype(np.uint8)
    (row,) = rows(mask, picture)
    assert (row["mean_rgb_inside"], row["mean_rgb_outside"]) == ([255] * 3, [0] * 3)
    assert row["boundary_contrast"] == pytest.approx(1)
    assert (row["sharpness_inside"], row["sharpness_outside"]) == (0, 0)
    assert row["edge_alignment"] > 0.98


def test_a_boundary_beside_the_edge_is_aligned_less_the_farther_it_lies():
    mask = np.zeros((4, 80, 80), bool)
    for k, margin in enumerate((0, 1, 2, 3)):
        mask[k, 20 + margin : 60 - margin, 20 + margin : 60 - margin] = True
    picture = np.repeat(255 * mask[0][..., None], 3, axis=2).astype(np.uint8)
    aligned = [row["edge_alignment"] for row in rows(mask, picture)]
    assert aligned[0] > 0.98
    assert aligned[1] > 0.9  # an edge is two pixels wide
    assert max(aligned[2:]) < 0.1


def test_texture_on_one_side_makes_that_side_sharp():
    mask = np.zeros((1, 60, 60), bool)
    mask[0, 15:45, 15:45] = True
    picture = np.full((60, 60, 3), 128, np.uint8)
    picture[mask[0]] = np.random.default_rng(0).integers(0, 255, (900, 3))
    (row,) = rows(mask, picture)
    assert row["sharpness_inside"] > 1000
    assert row["sharpness_outside"] == 0


def test_a_mask_without_a_boundary_has_no_appearance():
    masks = np.stack([np.zeros((6, 8), bool), np.ones((6, 8), bool)])
    for row in rows(masks, np.zeros((6, 8, 3), np.uint8)):
        assert {row[name] for name in VALUES} == {None}
    assert rows(masks[:0], np.zeros((6, 8, 3), np.uint8)) == []


def test_a_picture_without_edges_aligns_with_nothing():
    mask = np.zeros((1, 9, 9), bool)
    mask[0, 3:6, 3:6] = True
    assert rows(mask, np.full((9, 9, 3), 7, np.uint8))[0]["edge_alignment"] == 0


def test_a_picture_of_another_size_or_form_is_refused():
    mask = np.ones((1, 6, 8), bool)
    for picture in (np.zeros((8, 6, 3), np.uint8), np.zeros((6, 8), np.uint8), np.zeros((6, 8, 3))):
        with pytest.raises(ImageError, match=r"it must be uint8 \(6, 8, 3\)"):
            appearance(image_masks(mask), picture)
