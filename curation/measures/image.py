"""`ImageMasks`: what a measure sees, the masks of one image."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from curation.errors import InputError
from curation.masks import Runs, areas, intersections


@dataclass(frozen=True)
class ImageMasks:
    """N masks of one run on one image of `width_px` x `height_px`; N may be 0.

    `mask_ids` int64 (N,) rise strictly, and name the masks of `runs` in order. For gold, `run_id` is the run
    that imported it and `mask_ids` are its gold_mask_ids. `scores` float64 (N,) are predicted IoUs, NaN where there
    is none; `is_crowd` bool (N,): one mask for many objects. Without them no mask has a score or is a crowd.
    Raises InputError where the parts do not fit.
    """

    run_id: int
    image_id: int
    width_px: int
    height_px: int
    mask_ids: np.ndarray
    runs: Runs
    scores: np.ndarray | None = None
    is_crowd: np.ndarray | None = None

    def __post_init__(self) -> None:
        where = f"masks of run {self.run_id} on image {self.image_id}"
        if (self.runs.height, self.runs.width) != (self.height_px, self.width_px):
            raise InputError(
                f"{where}: runs of {self.runs.width} x {self.runs.height} px came; the image is "
                f"{self.width_px} x {self.height_px} px (width x height)"
            )
        if len(self.mask_ids) != len(self.runs) or np.any(np.diff(self.mask_ids) <= 0):
            raise InputError(
                f"{where}: {len(self.mask_ids)} ids came for {len(self.runs)} masks; give one a mask, rising"
            )
        for name in ("scores", "is_crowd"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.runs):
                raise InputError(
                    f"{where}: {len(values)} {name} came for {len(self.runs)} masks; give one a mask"
                )

    def __len__(self) -> int:
        return len(self.runs)

    @cached_property
    def area_px(self) -> np.ndarray:
        """Pixels of each mask, int64 (N,)."""
        return areas(self.runs)

    @cached_property
    def shared_px(self) -> np.ndarray:
        """Pixels that each two masks share, int64 (N, N): the dearest number of an image, so computed once."""
        return intersections(self.runs, self.runs)

    @cached_property
    def score_ranks(self) -> np.ndarray:
        """Place of each mask by score, int32 (N,), 0 is the best.

        Masks without a score come after those with one, by area. Of equals the earlier comes first, as COCO has it.
        """
        scores = np.full(len(self), np.nan) if self.scores is None else self.scores
        has_none = np.isnan(scores)
        order = np.lexsort((-np.where(has_none, self.area_px, scores), has_none))  # stable
        ranks = np.empty(len(self), np.int32)
        ranks[order] = np.arange(len(self))
        return ranks

    def without_crowds(self) -> "ImageMasks":
        """The masks of single objects."""
        if self.is_crowd is None or not self.is_crowd.any():
            return self
        kept = ~self.is_crowd
        scores = None if self.scores is None else self.scores[kept]
        size = (self.width_px, self.height_px)
        return ImageMasks(self.run_id, self.image_id, *size, self.mask_ids[kept], self.runs[kept], scores)
