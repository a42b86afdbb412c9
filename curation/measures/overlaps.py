"""Pairs of masks that share pixels."""

import numpy as np
import pyarrow as pa

from curation.measures.image import ImageMasks
from curation.schemas import TABLES


def overlaps(image: ImageMasks) -> pa.Table:
    """One row of `overlaps` a pair of masks that share at least one pixel, by rising ids.

    No rows for fewer than two masks. Equal masks have an IoU of 1.
    """
    shared_px = np.triu(image.shared_px, k=1)
    first, second = np.nonzero(shared_px)
    intersection_px = shared_px[first, second]
    area_px = image.area_px
    return pa.table(
        {
            "run_id": np.full(len(first), image.run_id),
            "image_id": np.full(len(first), image.image_id),
            "mask_id": image.mask_ids[first],
            "other_mask_id": image.mask_ids[second],
            "intersection_px": intersection_px,
            "iou": intersection_px / (area_px[first] + area_px[second] - intersection_px),
            "mask_share": intersection_px / area_px[first],
            "other_share": intersection_px / area_px[second],
        },
        TABLES["overlaps"].arrow,
    )
