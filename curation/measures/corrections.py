"""Measures of masks that people drew or corrected.

Their run has no images and no shards of its own, so they are measured one by one: shape measures only, because overlaps,
nesting and coverage are of all masks of an image together, and stay those of the run that is corrected.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from curation.lake import Lake
from curation.masks import parse_strings
from curation.measures.features import features
from curation.measures.image import ImageMasks
from curation.schemas import TABLES

_LACKING = """
    SELECT masks.run_id, masks.mask_id, masks.image_id, masks.width_px, masks.height_px, masks.rle_counts
    FROM masks
    INNER JOIN runs ON masks.run_id = runs.run_id AND runs.kind = 'correct'
    ANTI JOIN mask_features AS features ON masks.run_id = features.run_id AND masks.mask_id = features.mask_id
    WHERE $run_id IS NULL OR $run_id IN (runs.run_id, runs.parent_run_id)
    ORDER BY masks.mask_id
"""


def features_of(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows of `mask_features` for rows of `masks`, each measured alone. Raises RleError where one holds no mask."""
    return pa.concat_tables([TABLES["mask_features"].table([]), *(features(_alone(row)) for row in rows)])


def measure_corrections(lake: Lake, run_id: int | None = None) -> int:
    """Measure the corrections of a run, or of all runs, that lack measures, in one commit; returns how many they were.

    Those that the app or a merge writes are measured in the same commit; others come from lakes of older versions.
    """
    rows = lake.query(_LACKING, {"run_id": run_id}).to_pylist()
    if rows:
        lake.append({"mask_features": features_of(rows)}, "corrections measured")
    return len(rows)


def _alone(row: Mapping[str, Any]) -> ImageMasks:
    height_px, width_px = row["height_px"], row["width_px"]
    return ImageMasks(
        run_id=row["run_id"],
        image_id=row["image_id"],
        width_px=width_px,
        height_px=height_px,
        mask_ids=np.array([row["mask_id"]], np.int64),
        runs=parse_strings([row["rle_counts"]], height_px, width_px),
    )
