"""Shape measures of each mask."""

import numpy as np
import pyarrow as pa

from curation.masks import axis_lengths, boxes, moments, shape, smoothness, split
from curation.measures.columns import known, lists
from curation.measures.image import ImageMasks
from curation.schemas import TABLES


def features(image: ImageMasks) -> pa.Table:
    """One row of `mask_features` a mask, in order; no rows without masks.

    An empty mask has the box [0, 0, 0, 0] and touches no border; what it cannot have, such as a centre, is null.
    `relative_size` and `concavity` are SAM's (arXiv 2304.02643, section 5).
    """
    area_px = image.area_px
    image_share = area_px / (image.width_px * image.height_px)
    segments = split(image.runs)
    shapes = shape(segments)
    bbox_xywh = boxes(image.runs)
    solidity = _ratio(area_px, shapes["hull_area_px"])
    of_pixels = moments(segments)
    columns = {
        "run_id": np.full(len(image), image.run_id),
        "mask_id": image.mask_ids,
        "image_id": np.full(len(image), image.image_id),
        "area_px": area_px,
        "bbox_xywh": lists(bbox_xywh),
        "image_share": image_share,
        "relative_size": np.sqrt(image_share),
        **_border_touches(bbox_xywh, image.width_px, image.height_px),
        **_border_gaps(bbox_xywh, image.width_px, image.height_px),
        **shapes,
        "solidity": known(solidity),
        "concavity": known(1 - solidity),
        "elongation": known(_elongation(of_pixels)),
        "center_xy": lists((of_pixels[:, :2] + 0.5) / (image.width_px, image.height_px), area_px == 0),
        "stray_share": known(1 - _ratio(shapes["largest_component_px"], area_px)),
        "boundary_smoothness": known(smoothness(segments)),
    }
    return pa.table(columns, TABLES["mask_features"].arrow)


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


def _border_gaps(bbox_xywh: np.ndarray, width_px: int, height_px: int) -> dict[str, pa.Array]:
    x, y, w, h = bbox_xywh.T
    gaps = {
        "gap_left_px": x,
        "gap_top_px": y,
        "gap_right_px": width_px - x - w,
        "gap_bottom_px": height_px - y - h,
    }
    return {name: pa.array(gap_px, mask=w == 0) for name, gap_px in gaps.items()}


def _elongation(of_pixels: np.ndarray) -> np.ndarray:
    """1 − minor / major axis, NaN for an empty mask; a single pixel is as long as wide."""
    major, minor = axis_lengths(of_pixels)
    return np.where(major == 0, 0.0, 1 - minor / np.where(major == 0, 1, major))


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, at most 1; NaN where b is 0."""
    return np.minimum(a / np.where(b == 0, np.nan, b), 1)
