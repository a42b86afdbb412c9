"""Shape measures of each mask."""

import numpy as np
import pyarrow as pa

from curation.masks import areas, boxes, shape
from curation.measures.image import ImageMasks
from curation.schemas import TABLES


def features(image: ImageMasks) -> pa.Table:
    """One row of `mask_features` a mask, in order; no rows without masks.

    An empty mask has the box [0, 0, 0, 0], touches no border, and its solidity is null.
    `relative_size` is SAM's (arXiv 2304.02643, section 5).
    """
    area_px = areas(image.runs)
    image_share = area_px / (image.width_px * image.height_px)
    shapes = shape(image.runs)
    bbox_xywh = boxes(image.runs)
    return pa.table(
        {
            "run_id": np.full(len(image), image.run_id),
            "mask_id": image.mask_ids,
            "image_id": np.full(len(image), image.image_id),
            "area_px": area_px,
            "bbox_xywh": bbox_xywh.tolist(),
            "image_share": image_share,
            "relative_size": np.sqrt(image_share),
            **_border_touches(bbox_xywh, image.width_px, image.height_px),
            **shapes,
            "solidity": _solidity(area_px, shapes["hull_area_px"]),
        },
        TABLES["mask_features"].arrow,
    )


def _border_touches(bbox_xywh: np.ndarray, width_px: int, height_px: int) -> dict[str, np.ndarray]:
    x, y, w, h = bbox_xywh.T
    has_pixels = w > 0
    touches = {
        "touches_left": has_pixels & (x == 0),
        "touches_top": has_pixels & (y == 0),
        "touches_right": has_pixels & (x + w == width_px),
        "touches_bottom": has_pixels & (y + h == height_px),
    }
    return {"n_borders_touched": sum(side.astype(np.int8) for side in touches.values()), **touches}


def _solidity(area_px: np.ndarray, hull_area_px: np.ndarray) -> pa.Array:
    is_empty = area_px == 0
    return pa.array(area_px / np.where(is_empty, 1, hull_area_px), mask=is_empty)
