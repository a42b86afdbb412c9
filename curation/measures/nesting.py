"""Which mask lies inside which, and which show the same thing."""

import numpy as np
import pyarrow as pa

from curation.measures.image import ImageMasks
from curation.schemas import TABLES
from curation.settings import NESTING

NO_PARENT = -1
LEVELS = np.array(["whole", "part", "subpart"])


def nesting(image: ImageMasks) -> pa.Table:
    """One row of `mask_nesting` a mask, in order; no rows without masks.

    A mask's parent is the smallest larger mask that holds nearly all of it and is no near duplicate of it, of equals
    the one with the smallest id. Parents are larger, so the tree has no circles; `level` are SAM's words (arXiv
    2304.02643, section 3). An empty mask is a whole without children or duplicates.
    """
    is_duplicate = _near_duplicates(image)
    parents = _parents(image, is_duplicate)
    depths = _depths(parents)
    has_parent = parents != NO_PARENT
    return pa.table(
        {
            "run_id": np.full(len(image), image.run_id),
            "mask_id": image.mask_ids,
            "image_id": np.full(len(image), image.image_id),
            "parent_mask_id": pa.array(image.mask_ids[np.where(has_parent, parents, 0)], mask=~has_parent),
            "nesting_depth": depths,
            "level": LEVELS[np.minimum(depths, 2)],
            "n_children": np.bincount(parents[has_parent], minlength=len(image)),
            "n_near_duplicates": is_duplicate.sum(axis=1),
        },
        TABLES["mask_nesting"].arrow,
    )


def _near_duplicates(image: ImageMasks) -> np.ndarray:
    """Which two masks, bool (N, N), are near duplicates; none is its own."""
    whole_px = image.area_px[:, None] + image.area_px[None, :] - image.shared_px
    is_duplicate = image.shared_px >= NESTING.near_duplicate_iou * np.maximum(whole_px, 1)
    np.fill_diagonal(is_duplicate, False)
    return is_duplicate


def _parents(image: ImageMasks, is_duplicate: np.ndarray) -> np.ndarray:
    """Index of each mask's parent, int64 (N,), or NO_PARENT."""
    if len(image) == 0:
        return np.zeros(0, np.int64)
    area_px = image.area_px
    holds = image.shared_px >= NESTING.inside_share * np.maximum(area_px, 1)[:, None]
    can_be = holds & (area_px[None, :] > area_px[:, None]) & ~is_duplicate
    parents = np.where(can_be, area_px[None, :], np.iinfo(np.int64).max).argmin(axis=1)  # the first of equals
    return np.where(can_be.any(axis=1), parents, NO_PARENT)


def _depths(parents: np.ndarray) -> np.ndarray:
    """Masks above each one, int64 (N,)."""
    depths = np.zeros(len(parents), np.int64)
    above = parents
    while (above != NO_PARENT).any():
        depths += above != NO_PARENT
        above = np.where(above == NO_PARENT, NO_PARENT, parents[above])
    return depths
