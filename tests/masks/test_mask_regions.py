"""Small regions against SAM's own function; regions, union and complement against the drawn masks."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rle_cases import batches, draw_mask, thorough
from scipy import ndimage

from curation import masks
from curation.errors import InputError

amg = pytest.importorskip("segment_anything.utils.amg", reason="segment_anything is not installed")


def official(mask: np.ndarray, min_area_px: float) -> tuple[np.ndarray, bool]:
    """Holes and then islands, as SamAutomaticMaskGenerator.postprocess_small_regions does."""
    filled, has_filled = amg.remove_small_regions(mask, min_area_px, mode="holes")
    kept, has_dropped = amg.remove_small_regions(filled, min_area_px, mode="islands")
    return kept.astype(bool), has_filled or has_dropped


def assert_as_official(pixels: np.ndarray, min_area_px: float) -> None:
    cleaned, is_changed = masks.remove_small_regions(masks.encode(pixels), min_area_px)
    expected = [official(mask, min_area_px) for mask in pixels]
    assert cleaned == masks.encode(np.stack([mask for mask, _ in expected]))
    assert is_changed.dtype == bool
    assert is_changed.tolist() == [changed for _, changed in expected]


@thorough
@given(batches(least=1), st.sampled_from([0, 1, 2, 2.5, 3, 5, 9, 30, 1000]))
@example(np.eye(6, dtype=bool)[None, ::-1], 100)
@example(np.array([[[1, 0, 0, 0, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 1]]], bool), 9)
def test_small_regions_equal_sams(pixels, min_area_px):
    assert_as_official(pixels, min_area_px)


@pytest.mark.parametrize("min_area_px", [10, 100, 1000])
def test_small_regions_of_larger_masks_equal_sams(min_area_px):
    rng = np.random.default_rng(0)
    blobs = np.stack([draw_mask("blob", 300, 400, seed) for seed in range(4)])
    assert_as_official(blobs ^ (rng.random(blobs.shape) < 0.01), min_area_px)


@pytest.mark.parametrize("seed", range(20))
def test_of_equal_islands_the_same_one_stays(seed):
    """All islands are small and many are equally large: OpenCV's numbering decides."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((61, 67), bool)
    for _ in range(30):
        x, y = rng.integers(60), rng.integers(60)
        mask[y : y + 2, x : x + 2] = True
    assert_as_official(mask[None], 10_000)


def test_no_masks_have_no_small_regions():
    cleaned, is_changed = masks.remove_small_regions(masks.Runs.empty(4, 5), 10)
    assert cleaned == masks.Runs.empty(4, 5)
    assert is_changed.shape == (0,)


@thorough
@given(batches(least=1, most=1))
def test_largest_region_is_4_connected(pixels):
    regions, n_regions = ndimage.label(pixels[0])
    area_px, (x, y, w, h) = masks.largest_region(masks.encode(pixels))
    sizes = np.bincount(regions.ravel())[1:]
    assert area_px == sizes.max(initial=0)
    if n_regions:
        boxes = [ndimage.find_objects(regions)[k] for k in np.flatnonzero(sizes == area_px)]
        assert (slice(y, y + h), slice(x, x + w)) in boxes
    else:
        assert (x, y, w, h) == (0, 0, 0, 0)


@thorough
@given(batches(least=1, most=1), st.integers(1, 9))
def test_large_regions_are_those_of_scipy_by_size(pixels, min_area_px):
    regions, _ = ndimage.label(pixels[0])
    sizes = np.bincount(regions.ravel())[1:]
    found = masks.large_regions(masks.encode(pixels), min_area_px)
    assert masks.areas(found).tolist() == sorted(sizes[sizes >= min_area_px].tolist(), reverse=True)
    is_large = np.isin(regions, 1 + np.flatnonzero(sizes >= min_area_px))
    assert masks.union(found) == masks.encode(is_large[None])


def test_large_regions_takes_one_mask():
    with pytest.raises(InputError, match="a batch of 2 masks came"):
        masks.large_regions(masks.encode(np.ones((2, 3, 3), bool)), 1)


def test_largest_region_takes_one_mask():
    with pytest.raises(InputError, match="a batch of 2 masks came"):
        masks.largest_region(masks.encode(np.ones((2, 3, 3), bool)))


@thorough
@given(batches(most=7))
def test_union_and_complement(pixels):
    runs = masks.encode(pixels)
    assert masks.union(runs) == masks.encode(pixels.any(axis=0, keepdims=True))
    assert masks.complement(runs) == masks.encode(~pixels)
