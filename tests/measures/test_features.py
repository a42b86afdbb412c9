import numpy as np
import pytest
from blobs import image_masks, random_masks
from hypothesis import given, settings
from pycocotools import mask as coco
from scipy import ndimage
from scipy.spatial import ConvexHull

from curation.measures import features
from curation.schemas import TABLES

EIGHT = np.ones((3, 3))


def rows(masks):
    return TABLES["mask_features"].check(features(image_masks(masks))).to_pylist()


@settings(max_examples=60, deadline=None)
@given(random_masks)
def test_areas_and_boxes_equal_pycocotools(masks):
    coded = [coco.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks]
    found = rows(masks)
    assert [row["area_px"] for row in found] == [coco.area(rle) for rle in coded]
    assert [row["bbox_xywh"] for row in found] == [coco.toBbox(rle).tolist() for rle in coded]


@settings(max_examples=60, deadline=None)
@given(random_masks)
def test_pieces_and_holes_equal_scipy(masks):
    for mask, row in zip(masks, rows(masks), strict=True):
        labels, n_components = ndimage.label(mask, EIGHT)
        assert row["n_components"] == n_components
        assert row["largest_component_px"] == np.bincount(labels.ravel())[1:].max(initial=0)
        holes = ndimage.binary_fill_holes(mask) & ~mask
        assert row["holes_px"] == holes.sum()
        assert row["n_holes"] == ndimage.label(holes)[1]


@settings(max_examples=60, deadline=None)
@given(random_masks)
def test_perimeter_and_hull_equal_the_dense_definitions(masks):
    for mask, row in zip(masks, rows(masks), strict=True):
        padded = np.pad(mask, 1).astype(int)
        assert row["perimeter_px"] == sum(np.abs(np.diff(padded, axis=axis)).sum() for axis in (0, 1))
        if not mask.any():
            assert (row["hull_area_px"], row["solidity"]) == (0, None)
            continue
        corners = np.argwhere(mask)[:, None] + np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        hull_area_px = ConvexHull(corners.reshape(-1, 2)).volume  # in two dimensions `volume` is the area
        np.testing.assert_allclose(row["hull_area_px"], hull_area_px, rtol=1e-9)
        np.testing.assert_allclose(row["solidity"], mask.sum() / hull_area_px, rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(random_masks)
def test_borders_and_shares_equal_the_dense_definitions(masks):
    for mask, row in zip(masks, rows(masks), strict=True):
        sides = [mask[:, 0].any(), mask[0].any(), mask[:, -1].any(), mask[-1].any()]
        found = [row[f"touches_{side}"] for side in ("left", "top", "right", "bottom")]
        assert found == sides
        assert row["n_borders_touched"] == sum(sides)
        assert row["image_share"] == mask.sum() / mask.size
        assert row["relative_size"] == np.sqrt(mask.sum() / mask.size)


def test_a_full_mask_is_one_solid_piece_that_touches_all_borders():
    (row,) = rows(np.ones((1, 5, 9), bool))
    assert row["area_px"] == row["hull_area_px"] == row["largest_component_px"] == 45
    assert row["perimeter_px"] == 2 * (5 + 9)
    assert (row["n_borders_touched"], row["n_components"], row["n_holes"]) == (4, 1, 0)
    assert row["solidity"] == row["relative_size"] == 1


def test_no_masks_make_no_rows():
    table = features(image_masks(np.zeros((0, 4, 4), bool)))
    assert table.num_rows == 0
    assert table.schema == TABLES["mask_features"].arrow


@settings(max_examples=60, deadline=None)
@given(random_masks)
def test_centre_gaps_and_strays_equal_the_dense_definitions(masks):
    height_px, width_px = masks.shape[1:]
    for mask, row in zip(masks, rows(masks), strict=True):
        names = ("center_xy", "gap_left_px", "gap_top_px", "gap_right_px", "gap_bottom_px", "stray_share")
        found = {name: row[name] for name in (*names, "concavity", "elongation")}
        if not mask.any():
            assert set(found.values()) == {None}
            continue
        y, x = np.nonzero(mask)
        center = [(x.mean() + 0.5) / width_px, (y.mean() + 0.5) / height_px]
        np.testing.assert_allclose(found["center_xy"], center, rtol=1e-9)
        gaps = [x.min(), y.min(), width_px - 1 - x.max(), height_px - 1 - y.max()]
        assert [found[name] for name in names[1:5]] == gaps
        labels, _ = ndimage.label(mask, EIGHT)
        assert found["stray_share"] == 1 - np.bincount(labels.ravel())[1:].max() / mask.sum()
        assert found["concavity"] == 1 - row["solidity"]


@pytest.mark.parametrize(("w", "h", "elongation"), [(7, 7, 0), (1, 1, 0), (12, 1, 1), (33, 9, 0.7288)])
def test_elongation_of_rectangles(w, h, elongation):
    mask = np.zeros((1, 40, 40), bool)
    mask[0, 2 : 2 + h, 3 : 3 + w] = True
    assert rows(mask)[0]["elongation"] == pytest.approx(elongation, abs=1e-4)
