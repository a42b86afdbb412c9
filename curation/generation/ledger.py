"""The ledger: one row for every raw output of the model, and what became of it."""

from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property

import numpy as np

from curation.generation.grid import Crop


class Fate(IntEnum):
    """Kept, or the first filter that dropped a candidate, in the order of the filters."""

    KEPT = 0
    PREDICTED_IOU = 1
    STABILITY = 2
    CROP_EDGE = 3
    MIN_AREA = 4
    MAX_AREA = 5
    DUPLICATE_OF = 6


class Pass(IntEnum):
    """Which non-maximum suppression dropped a duplicate."""

    NONE = 0
    CROP = 1
    IMAGE = 2
    CLEANED = 3


@dataclass
class Ledger:
    """N candidates of one image in order of crop, point and slot; all arrays have length N.

    What was never computed is -1 in `area_px` and NaN in `stability_score`.
    """

    crops: list[Crop]
    crop_number: np.ndarray  # int32, index into crops
    point_xy: np.ndarray  # float64 (N, 2), the image's frame
    slot: np.ndarray  # int8
    predicted_iou: np.ndarray = field(init=False)  # float32
    stability_score: np.ndarray = field(init=False)  # float32
    area_px: np.ndarray = field(init=False)  # int64
    box_xyxy: np.ndarray = field(
        init=False
    )  # int64 (N, 4), inclusive maxima; the crop's corner for an empty mask
    fate: np.ndarray = field(init=False)  # int8, Fate
    duplicate_of: np.ndarray = field(init=False)  # int64, or -1
    duplicate_pass: np.ndarray = field(init=False)  # int8, Pass
    runs: dict[int, np.ndarray] = field(
        init=False, default_factory=dict
    )  # raw run lengths where they are needed

    def __post_init__(self) -> None:
        n = len(self.slot)
        self.predicted_iou = np.zeros(n, np.float32)
        self.stability_score = np.full(n, np.nan, np.float32)
        self.area_px = np.full(n, -1, np.int64)
        self.box_xyxy = np.zeros((n, 4), np.int64)
        self.fate = np.full(n, Fate.PREDICTED_IOU, np.int8)
        self.duplicate_of = np.full(n, -1, np.int64)
        self.duplicate_pass = np.zeros(n, np.int8)

    def __len__(self) -> int:
        return len(self.slot)

    @classmethod
    def of(cls, crops: list[Crop], unit_points: list[np.ndarray]) -> "Ledger":
        """Rows for three slots of every point of every crop; `unit_points` (P, 2) of each layer."""
        points = [unit_points[crop.layer] * [crop.width, crop.height] + [crop.x, crop.y] for crop in crops]
        n_points = [len(p) for p in points]
        return cls(
            crops,
            np.repeat(np.arange(len(crops), dtype=np.int32), np.multiply(n_points, 3)),
            np.repeat(np.concatenate(points), 3, axis=0),
            np.tile(np.arange(3, dtype=np.int8), sum(n_points)),
        )

    def drop_duplicates(self, candidates: np.ndarray, suppressor: np.ndarray, stage: Pass) -> None:
        """Note for `candidates` (M,) which of them suppressed which; `suppressor` indexes them, -1 is none."""
        dropped = suppressor >= 0
        self.fate[candidates[dropped]] = Fate.DUPLICATE_OF
        self.duplicate_of[candidates[dropped]] = candidates[suppressor[dropped]]
        self.duplicate_pass[candidates[dropped]] = stage

    @cached_property
    def crop_boxes_xyxy(self) -> np.ndarray:
        """int64 (number of crops, 4), exclusive maxima."""
        return np.array([crop.box_xyxy for crop in self.crops], np.int64).reshape(-1, 4)

    @property
    def bbox_xywh(self) -> np.ndarray:
        """Tight boxes, int32 (N, 4); zeros where the mask is empty or was never made."""
        x_min, y_min, x_max, y_max = self.box_xyxy.T
        tight = np.stack([x_min, y_min, x_max - x_min + 1, y_max - y_min + 1], axis=1)
        return np.where(self.area_px[:, None] > 0, tight, 0).astype(np.int32)
