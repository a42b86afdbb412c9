"""How much of an image its masks cover."""

import numpy as np
import pyarrow as pa
from numba import njit

from curation.masks import areas, boxes, complement, largest_region, union
from curation.measures.image import ImageMasks
from curation.schemas import TABLES


def coverage(image: ImageMasks) -> pa.Table:
    """The image's row of `image_coverage`, also where it has no masks: then all of it is uncovered."""
    covered = union(image.runs)
    covered_px = int(areas(covered)[0])
    largest_uncovered_px, largest_uncovered_bbox_xywh = largest_region(complement(covered))
    return pa.Table.from_pylist(
        [
            {
                "run_id": image.run_id,
                "image_id": image.image_id,
                "n_masks": len(image),
                "covered_px": covered_px,
                "covered_share": covered_px / (image.width_px * image.height_px),
                "largest_uncovered_px": largest_uncovered_px,
                "largest_uncovered_bbox_xywh": list(largest_uncovered_bbox_xywh),
                "mean_depth": int(image.area_px.sum()) / covered_px if covered_px else 0.0,
                "crowdedness": crowdedness(boxes(image.runs)),
            }
        ],
        TABLES["image_coverage"].arrow,
    )


def crowdedness(bbox_xywh: np.ndarray) -> float:
    """Mean number of other boxes that a box intersects, for boxes int (N, 4); 0 for fewer than two.

    Boxes intersect where they share a pixel, so the box of an empty mask intersects none.
    """
    return _n_meeting(bbox_xywh) / len(bbox_xywh) if len(bbox_xywh) > 1 else 0.0


@njit(cache=True, nogil=True)
def _n_meeting(bbox_xywh):
    """Ordered pairs of boxes (N, 4) that share a pixel."""
    n = 0
    for a in range(len(bbox_xywh)):
        x, y, w, h = bbox_xywh[a, 0], bbox_xywh[a, 1], bbox_xywh[a, 2], bbox_xywh[a, 3]
        for b in range(a):
            shared_w = min(x + w, bbox_xywh[b, 0] + bbox_xywh[b, 2]) - max(x, bbox_xywh[b, 0])
            shared_h = min(y + h, bbox_xywh[b, 1] + bbox_xywh[b, 3]) - max(y, bbox_xywh[b, 1])
            n += 2 * (shared_w > 0 and shared_h > 0)
    return n
