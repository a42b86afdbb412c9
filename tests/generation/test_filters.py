"""Filters of boxes, against torchvision and the official code."""

import numpy as np
import pytest
import torch
from segment_anything.utils.amg import build_all_layer_point_grids, generate_crop_boxes, is_box_near_crop_edge
from torchvision.ops.boxes import batched_nms

from curation.errors import InputError
from curation.generation.filters import near_crop_edge, suppress
from curation.generation.grid import crops, layer_points
from curation.generation.presets import GenerationSettings


def random_boxes(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    corners = rng.integers(0, size, (n, 2, 2))
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


@pytest.mark.parametrize("n", [0, 1, 2, 50, 900])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 1.0])
def test_suppress_equals_torchvision(n, threshold):
    rng = np.random.default_rng(n)
    boxes = random_boxes(rng, n, 60)  # small, so that IoUs repeat and hit the threshold
    scores = rng.integers(0, 20, n).astype(np.float32) / 20  # many equal scores
    kept, _ = suppress(boxes, scores, threshold)
    theirs = batched_nms(torch.tensor(boxes).float(), torch.tensor(scores), torch.zeros(n), threshold)
    assert kept.tolist() == theirs.tolist()


def test_suppress_keeps_the_set_of_torchvision_among_thousands_of_boxes():
    rng = np.random.default_rng(1)
    boxes, scores = random_boxes(rng, 3000, 3000), rng.random(3000).astype(np.float32)
    kept, _ = suppress(boxes, scores, 0.5)
    theirs = batched_nms(torch.tensor(boxes).float(), torch.tensor(scores), torch.zeros(3000), 0.5)
    assert kept.tolist() == theirs.tolist()


def test_suppressor_is_a_kept_box_with_no_lower_score():
    rng = np.random.default_rng(2)
    boxes, scores = random_boxes(rng, 300, 40), rng.random(300).astype(np.float32)
    kept, suppressor = suppress(boxes, scores, 0.5)
    fallen = np.flatnonzero(suppressor >= 0)
    assert len(fallen) + len(kept) == 300
    assert np.isin(suppressor[fallen], kept).all()
    assert (scores[suppressor[fallen]] >= scores[fallen]).all()


def test_boxes_without_area_suppress_nothing():
    boxes = np.array([[5, 5, 5, 9], [5, 5, 5, 9]])
    assert suppress(boxes, np.array([1.0, 1.0]), 0.0)[0].tolist() == [0, 1]


def test_near_crop_edge_equals_the_official_one():
    rng = np.random.default_rng(3)
    image, crop = (0, 0, 300, 200), (100, 0, 300, 150)
    boxes = random_boxes(rng, 400, 150)
    shifted = boxes + np.tile(crop[:2], 2)
    theirs = is_box_near_crop_edge(torch.tensor(boxes), list(crop), list(image)).tolist()
    assert near_crop_edge(shifted, np.array(crop), *image[2:]).tolist() == theirs
    assert 0 < sum(theirs) < 400


@pytest.mark.parametrize("size", [(480, 640), (333, 1000), (101, 57)])
@pytest.mark.parametrize(("n_layers", "overlap"), [(0, 0.3), (1, 512 / 1500), (2, 0.0), (3, 0.9)])
def test_crops_are_the_official_ones(size, n_layers, overlap):
    boxes, layers = generate_crop_boxes(size, n_layers, overlap)
    ours = crops(*size, n_layers, overlap)
    assert [list(crop.box_xyxy) for crop in ours] == boxes
    assert [crop.layer for crop in ours] == layers


@pytest.mark.parametrize(("per_side", "n_layers", "downscale"), [(32, 2, 2), (7, 1, 3), (1, 0, 1)])
def test_points_are_the_official_ones(per_side, n_layers, downscale):
    settings = GenerationSettings(
        points_per_side=per_side, crop_layers=n_layers, crop_points_downscale=downscale
    )
    theirs = build_all_layer_point_grids(per_side, n_layers, downscale)
    for ours, official in zip(layer_points(settings), theirs, strict=True):
        np.testing.assert_array_equal(ours, official)


def test_a_grid_that_thins_out_to_nothing_is_refused():
    settings = GenerationSettings(points_per_side=3, crop_layers=2, crop_points_downscale=2)
    with pytest.raises(InputError, match="leaves no point in layer 2"):
        layer_points(settings)
