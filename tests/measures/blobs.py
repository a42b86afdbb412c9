"""Random masks that look like masks: smooth blobs with holes, islands, empties and duplicates."""

import numpy as np
from hypothesis import strategies as st
from scipy import ndimage

from curation.masks import encode
from curation.measures import ImageMasks


def blobs(seed: int, n_masks: int, height_px: int, width_px: int) -> np.ndarray:
    """Masks bool (N, H, W) of many sizes; one in eight is empty, one in eight equals the one before it."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((n_masks, height_px, width_px), bool)
    for index in range(n_masks):
        kind = rng.integers(8)
        if kind == 1 and index:
            masks[index] = masks[index - 1]
        elif kind > 0:
            noise = ndimage.gaussian_filter(rng.standard_normal((height_px, width_px)), rng.uniform(0, 4))
            masks[index] = noise > np.quantile(noise, rng.uniform(0.3, 0.99))
    return masks


def image_masks(masks: np.ndarray, run_id: int = 1, first_id: int = 0) -> ImageMasks:
    """Masks bool (N, H, W) as the masks of image 7, with ids from `first_id` on, three apart."""
    ids = first_id + 3 * np.arange(len(masks))
    return ImageMasks(run_id, 7, masks.shape[2], masks.shape[1], ids, encode(masks))


random_masks = st.builds(
    blobs, st.integers(0, 2**32 - 1), st.integers(0, 7), st.integers(1, 24), st.integers(1, 24)
)
