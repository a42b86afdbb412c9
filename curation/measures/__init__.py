"""Numbers computed from one image's masks alone: pure functions, no files, clock or engine.

`MEASURES` is what `curation measure` computes, by the table that it fills; a new measure is one entry here
and one file in data_schemas/. The rows follow the table's schema; its bounds and key are checked when a shard
is written. Matching gold takes a second set of masks, `match_gold`, and `appearance` the picture.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import pyarrow as pa

from curation.measures.appearance import appearance
from curation.measures.coverage import coverage
from curation.measures.features import features
from curation.measures.gold import match_gold
from curation.measures.image import ImageMasks
from curation.measures.nesting import nesting
from curation.measures.overlaps import overlaps

MEASURES: Mapping[str, Callable[[ImageMasks], pa.Table]] = MappingProxyType(
    {
        "mask_features": features,
        "overlaps": overlaps,
        "mask_nesting": nesting,
        "image_coverage": coverage,
    }
)

__all__ = [
    "MEASURES",
    "ImageMasks",
    "appearance",
    "coverage",
    "features",
    "match_gold",
    "nesting",
    "overlaps",
]
