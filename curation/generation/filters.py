"""The filters that a candidate passes: pure functions of arrays, the same for generation and for replaying it."""

import numpy as np
from numba import njit

from curation.generation.ledger import Fate, Ledger
from curation.generation.presets import GenerationSettings

#: A side of a box lies at a side of its crop within this (segment-anything, utils/amg.py).
CROP_EDGE_PX = 20
# Kernels take plain numbers.
_KEPT, _PREDICTED_IOU, _STABILITY, _CROP_EDGE, _MIN_AREA, _MAX_AREA = map(
    int,
    (Fate.KEPT, Fate.PREDICTED_IOU, Fate.STABILITY, Fate.CROP_EDGE, Fate.MIN_AREA, Fate.MAX_AREA),
)


def passes_predicted_iou(predicted_iou: np.ndarray, threshold: float) -> np.ndarray:
    """Bool like `predicted_iou` (float32, any shape); a threshold of 0 lets everything pass."""
    return predicted_iou > np.float32(threshold) if threshold > 0 else np.ones(predicted_iou.shape, bool)


def first_filters(
    ledger: Ledger, rows: np.ndarray, settings: GenerationSettings, height: int, width: int
) -> np.ndarray:
    """Fate of the candidates `rows` (M,) by the filters that look at one candidate alone: int8 (M,).

    All of `rows` must have been made. Scores are compared in float32, as torch does; a stability of NaN (a mask
    that is empty at both cuts) passes no threshold.
    """
    fates = np.empty(len(rows), np.int8)
    _first_filters(
        rows,
        ledger.predicted_iou,
        ledger.stability_score,
        ledger.area_px,
        ledger.box_xyxy,
        ledger.crop_number,
        ledger.crop_boxes_xyxy,
        (width, height),
        (np.float32(settings.predicted_iou_threshold), np.float32(settings.stability_threshold)),
        (settings.predicted_iou_threshold > 0, settings.stability_threshold > 0),
        (settings.min_area_px, settings.max_area_share),
        fates,
    )
    return fates


def near_crop_edge(boxes_xyxy: np.ndarray, crop_xyxy: np.ndarray, width: int, height: int) -> np.ndarray:
    """Bool (N,): a side of the box lies at a side of the crop that is no side of the image.

    Boxes, int64 (N, 4), and the crop (4,) are in the frame of an image of `width` x `height` px.
    """
    return np.array([_near_crop_edge(box, crop_xyxy, width, height) for box in boxes_xyxy], bool)


def suppress(
    boxes_xyxy: np.ndarray, scores: np.ndarray, iou_threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Greedy non-maximum suppression of boxes (N, 4) by scores (N,), the highest first and equals in their order.

    Returns (kept, suppressor): indices in order of score, and for every box the kept box that suppressed it,
    or -1. Equal to torchvision.ops.nms on a CPU bit for bit: float32 areas without +1, a float32 quotient that is
    compared as float64; boxes without area have no IoU and are all kept.
    """
    order = np.argsort(-scores.astype(np.float32), kind="stable")
    suppressor = np.full(len(order), -1, np.int64)
    _suppress(boxes_xyxy.astype(np.float32), order, float(iou_threshold), suppressor)
    return order[suppressor[order] < 0], suppressor


@njit(cache=True, nogil=True)
def _first_filters(
    rows,
    predicted_iou,
    stability,
    area_px,
    boxes,
    crop_number,
    crops,
    size,
    thresholds,
    is_on,
    area_limits,
    fates,
):
    width, height = size
    for k in range(len(rows)):
        row = rows[k]
        if is_on[0] and not predicted_iou[row] > thresholds[0]:
            fates[k] = _PREDICTED_IOU
        elif is_on[1] and not stability[row] >= thresholds[1]:
            fates[k] = _STABILITY
        elif _near_crop_edge(boxes[row], crops[crop_number[row]], width, height):
            fates[k] = _CROP_EDGE
        elif area_px[row] < area_limits[0]:
            fates[k] = _MIN_AREA
        elif area_px[row] / (height * width) > area_limits[1]:
            fates[k] = _MAX_AREA
        else:
            fates[k] = _KEPT


@njit(cache=True, nogil=True)
def _near_crop_edge(box, crop, width, height):
    for side in range(4):
        image = 0 if side < 2 else (width if side == 2 else height)
        if abs(box[side] - crop[side]) <= CROP_EDGE_PX < abs(box[side] - image):
            return True
    return False


@njit(cache=True, nogil=True)
def _suppress(boxes, order, threshold, suppressor):
    nothing = np.float32(0)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for rank in range(len(order)):
        i = order[rank]
        if suppressor[i] >= 0:
            continue
        for later in range(rank + 1, len(order)):
            j = order[later]
            if suppressor[j] >= 0:
                continue
            width = max(nothing, min(boxes[i, 2], boxes[j, 2]) - max(boxes[i, 0], boxes[j, 0]))
            height = max(nothing, min(boxes[i, 3], boxes[j, 3]) - max(boxes[i, 1], boxes[j, 1]))
            intersection = np.float32(width * height)
            union = np.float32(np.float32(areas[i] + areas[j]) - intersection)
            if union > nothing and np.float64(intersection / union) > threshold:
                suppressor[j] = i
