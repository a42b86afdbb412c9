"""`ImageMasks`: what a measure sees, the masks of one image."""

from dataclasses import dataclass

import numpy as np

from curation.errors import InputError
from curation.masks import Runs


@dataclass(frozen=True)
class ImageMasks:
    """N masks of one run on one image of `width_px` x `height_px`; N may be 0.

    `mask_ids` int64 (N,) rise strictly, and name the masks of `runs` in order. For gold, `run_id` is the run
    that imported it and `mask_ids` are its gold_mask_ids. Raises InputError where the parts do not fit.
    """

    run_id: int
    image_id: int
    width_px: int
    height_px: int
    mask_ids: np.ndarray
    runs: Runs

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

    def __len__(self) -> int:
        return len(self.runs)
