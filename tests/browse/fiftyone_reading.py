"""What FiftyOne itself reads from a dataset."""

import numpy as np


def detections_by_id(dataset) -> dict:
    """Every detection of a dataset by its mask_id (int)."""
    return {int(d.mask_id): d for sample in dataset for d in sample.masks.detections}


def whole(detection, sample) -> np.ndarray:
    """The mask on the canvas of its image (H, W), as FiftyOne's own conversion places it."""
    size = (sample.metadata.width, sample.metadata.height)
    return detection.to_segmentation(frame_size=size).mask > 0
