"""Syncs into a real MongoDB, read back by FiftyOne itself."""

import numpy as np
import pytest
import shown

from curation import masks
from curation.browse.selection import Choice
from curation.browse.sync import sync

pytestmark = pytest.mark.usefixtures("mongo")


def test_fiftyone_reads_genuine_detections_whose_pixels_equal_the_source(workspace, name):
    import fiftyone as fo

    lake, run_id = workspace
    summary = sync(lake, Choice(), name)
    assert (summary.n_chosen, summary.n_masks_written, summary.n_problems) == (9, 9, 0)
    dataset = fo.load_dataset(name)
    assert dataset.persistent and len(dataset) == 3
    stored = {str(r["mask_id"]): r for r in lake.query("FROM masks").to_pylist()}
    for sample in dataset:
        assert sample.n_masks == 3 and sample.run_ids == [run_id]
        for detection in sample.masks.detections:
            assert type(detection) is fo.Detection
            row = stored.pop(detection.mask_id)
            assert str(row["image_id"]) == sample.image_id
            assert detection.confidence == row["predicted_iou"] and detection.tags == [row["stage"]]
            segmentation = {"size": [row["height_px"], row["width_px"]], "counts": row["rle_counts"]}
            assert np.array_equal(whole(detection, sample), masks.decode(masks.parse(segmentation))[0])
    assert not stored


def whole(detection, sample) -> np.ndarray:
    """The detection's mask on the canvas of its image, as FiftyOne's own conversion places it."""
    size = (sample.metadata.width, sample.metadata.height)
    return detection.to_segmentation(frame_size=size).mask > 0
