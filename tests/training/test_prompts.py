"""Prompts lie where they say, and covers agree with the masks."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.masks import boxes, decode, encode
from curation.training.prompts import NOT_OBJECT, OBJECT, Frame, corrections, cover, noisy_boxes, points

SEEDS = st.integers(0, 2**32 - 1)


def masks_of(seed: int, n: int = 4) -> np.ndarray:
    """Bool (n, 24, 36); none is empty."""
    rng = np.random.default_rng(seed)
    masks = rng.random((n, 24, 36)) < rng.uniform(0.02, 0.9)
    masks[:, 11, 17] = True
    return masks


FRAME = Frame(1024 / 36, 1024 / 24, 256, 256)


@settings(deadline=None)  # kernels are compiled in the first call
@given(SEEDS)
def test_points_lie_in_the_middle_of_a_pixel_of_their_mask(seed):
    masks = masks_of(seed)
    xy = points(encode(masks), FRAME, np.random.default_rng(seed))[:, 0] / (FRAME.x_scale, FRAME.y_scale)
    assert np.allclose(xy % 1, 0.5, atol=1e-3)
    x, y = xy.astype(int).T
    assert masks[np.arange(len(masks)), y, x].all()


def test_every_pixel_of_a_mask_is_drawn():
    mask = np.zeros((1, 5, 4), bool)
    mask[0, 1:3, 1:3] = True
    runs, frame = encode(mask), Frame(1, 1, 5, 4)
    rng = np.random.default_rng(0)
    found = {tuple((points(runs, frame, rng)[0, 0] - 0.5).tolist()) for _ in range(100)}
    assert found == {(1, 1), (1, 2), (2, 1), (2, 2)}


@settings(deadline=None)
@given(SEEDS)
def test_boxes_are_near_the_masks_and_inside_of_the_image(seed):
    runs = encode(masks_of(seed))
    corners = noisy_boxes(runs, FRAME, np.random.default_rng(seed))
    x, y, width, height = boxes(runs).T
    exact = np.stack([np.stack([x, y], 1), np.stack([x + width, y + height], 1)], 1) * (
        FRAME.x_scale,
        FRAME.y_scale,
    )
    assert np.abs(corners - exact).max() <= 2 * 20 + 1e-3
    assert corners.min() >= 0
    assert corners.max() <= 1024


@settings(deadline=None)
@given(SEEDS)
def test_covers_are_the_shares_of_cells(seed):
    masks = masks_of(seed)
    found = cover(encode(masks), Frame(1, 1, 12, 12))  # a cell is 2 x 3 px
    expected = masks.reshape(4, 12, 2, 12, 3).mean((2, 4))
    assert np.allclose(found, expected, atol=1e-5)


@settings(deadline=None)
@given(SEEDS)
def test_corrections_lie_where_the_mask_is_wrong(seed):
    shown, covered = masks_of(seed), masks_of(seed + 1)
    shown[0] = covered[0]
    frame = Frame(2, 2, 24, 36)  # a cell is a pixel of an image of 24 x 36 px
    xy, labels = corrections(shown, covered, frame, (24, 36), np.random.default_rng(seed))
    x, y = (xy[:, 0] / 2).astype(int).T
    each = np.arange(4)
    assert (shown[each, y, x] != covered[each, y, x])[1:].all()
    assert np.where(covered[each, y, x], OBJECT, NOT_OBJECT).tolist() == labels[:, 0].tolist()
    assert labels[0, 0] == OBJECT


def test_a_mask_outlives_its_cover():
    masks = masks_of(0)
    assert (cover(encode(masks), Frame(1, 1, 24, 36)) >= 0.5).tolist() == decode(encode(masks)).astype(
        bool
    ).tolist()
