"""The filters that a candidate passes, each as a pure function of arrays."""

from collections.abc import Sequence

import numpy as np
from numba import njit


def near_crop_edge(
    box_xyxy: Sequence[int], crop_xyxy: Sequence[int], image_xyxy: Sequence[int], atol_px: int = 20
) -> bool:
    """True where a side of the box lies at a side of the crop that is no side of the image.

    All boxes are in the image's frame; "at" is within `atol_px` (segment-anything, utils/amg.py).
    """
    sides = zip(box_xyxy, crop_xyxy, image_xyxy, strict=True)
    return any(abs(box - crop) <= atol_px < abs(box - image) for box, crop, image in sides)


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
