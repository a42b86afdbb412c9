"""How much of an image its masks cover."""

import pyarrow as pa

from curation.masks import areas, complement, largest_region, union
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
                "mean_depth": int(areas(image.runs).sum()) / covered_px if covered_px else 0.0,
            }
        ],
        TABLES["image_coverage"].arrow,
    )
