"""Smoothness of outlines: against a plain walk along the pixels' edges, and on forms drawn at many sizes and angles."""

import numpy as np
import pytest
from hypothesis import given
from rle_cases import batches, quick
from scipy import ndimage

from curation import masks


def disk(radius: float, side: int = 700) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - side / 2 + 0.3
    return np.hypot(x, y) <= radius


def square(width: float, degrees: float, side: int = 700) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - side / 2 + 0.3
    turn = np.radians(degrees)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    return (abs(along) <= width / 2) & (abs(across) <= width / 2)


def jagged(mask: np.ndarray, reach_px: float = 1.5) -> np.ndarray:
    """The outline moved in and out by noise of about `reach_px` that is alike in all directions."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(mask.shape), 1.2)
    inside, outside = (ndimage.distance_transform_edt(side) for side in (mask, ~mask))
    return inside - outside + reach_px * noise / noise.std() > 0


def pixelated(mask: np.ndarray, cell_px: int) -> np.ndarray:
    """As a network leaves it that draws masks `cell_px` times smaller."""
    return np.kron(mask[cell_px // 2 :: cell_px, cell_px // 2 :: cell_px], np.ones((cell_px, cell_px))) > 0


def smoothness(mask: np.ndarray) -> float:
    return masks.smoothness(masks.encode(mask[None]))[0]


def walked(mask: np.ndarray) -> float | None:
    """The definition, step by step; None where pixels meet by a corner alone, so that there are two ways to go."""
    padded = np.pad(mask, 1)
    following = {}
    for y, x in np.argwhere(padded):
        for dy, dx, start, end in (
            (-1, 0, (x, y), (x + 1, y)),
            (0, 1, (x + 1, y), (x + 1, y + 1)),
            (1, 0, (x + 1, y + 1), (x, y + 1)),
            (0, -1, (x, y + 1), (x, y)),
        ):
            if not padded[y + dy, x + dx]:
                if start in following:
                    return None
                following[start] = end
    lengths = {4: 0.0, 16: 0.0}
    while following:
        path = [next(iter(following))]
        while path[-1] in following:
            path.append(following.pop(path[-1]))
        points = np.array(path[:-1], float)
        if len(points) < 64:
            continue
        points = np.mean([np.roll(points, -k, axis=0) for k in range(4)], axis=0)
        for ruler in lengths:
            chords = np.hypot(*(np.roll(points, -ruler, axis=0) - points).T)
            lengths[ruler] += chords.sum() / ruler / np.sinc(ruler / len(points))
    return min(lengths[16] / lengths[4], 1) if lengths[4] else np.nan


@quick
@given(batches(least=1, most=2, side=40))
def test_smoothness_equals_the_walk_along_pixel_edges(pixels):
    for found, wanted in zip(masks.smoothness(masks.encode(pixels)), map(walked, pixels), strict=True):
        if wanted is None:
            assert np.isnan(found) or 0 <= found <= 1
        else:
            np.testing.assert_allclose(found, wanted, rtol=1e-9)


@pytest.mark.parametrize("kind", ["ring", "cross", "two"])
def test_holes_pieces_and_corners_equal_the_walk(kind):
    mask = np.zeros((80, 90), bool)
    mask[5:70, 8:80] = True
    if kind == "ring":
        mask[20:50, 20:60] = False
    elif kind == "cross":
        mask[:30, 8:30] = mask[50:, 8:30] = mask[:30, 60:] = mask[50:, 60:] = False
    else:
        mask[:, 40:45] = False
    assert smoothness(mask) == pytest.approx(walked(mask), rel=1e-12)


@pytest.mark.parametrize("radius", [8, 12, 20, 40, 100, 300])
def test_circles_of_any_size_are_smooth(radius):
    assert smoothness(disk(radius)) > 0.99


@pytest.mark.parametrize("width", [24, 40, 100, 300])
def test_a_square_is_as_smooth_at_any_angle(width):
    found = [smoothness(square(width, degrees)) for degrees in (0, 5, 10, 22.5, 30, 45, 60)]
    assert min(found) > 0.94
    assert max(found) - min(found) < 0.015


@pytest.mark.parametrize("form", [disk(20), disk(100), square(60, 0), square(150, 20), square(300, 45)])
def test_jags_lower_it_the_more_the_rougher(form):
    smooth, rough, rougher = smoothness(form), smoothness(jagged(form)), smoothness(jagged(form, 3))
    assert smooth - 0.04 > rough > rougher + 0.04


def test_jags_lower_it_alike_at_any_size_and_angle():
    found = [smoothness(jagged(form)) for form in (disk(60), disk(200), square(150, 0), square(150, 20))]
    assert max(found) - min(found) < 0.06


def test_coarse_pixels_lower_it():
    by_cell = [smoothness(pixelated(disk(100), cell_px)) for cell_px in (1, 2, 4, 8)]
    assert by_cell == sorted(by_cell, reverse=True)
    assert by_cell[0] - by_cell[3] > 0.1


def test_masks_too_small_to_tell_have_none():
    small = np.zeros((3, 40, 40), bool)
    small[1, :15, :15], small[2, :16, :16] = True, True
    assert np.isnan(masks.smoothness(masks.encode(small))).tolist() == [True, True, False]
    assert masks.smoothness(masks.Runs.empty(4, 4)).shape == (0,)
