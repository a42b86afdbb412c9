"""The official generator, and a comparison of every field of its masks with ours."""

import numpy as np
import torch
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import Sam

from curation.generation.generator import Candidates
from curation.generation.ledger import Ledger
from curation.generation.presets import GenerationSettings
from curation.masks import areas, boxes, to_strings


def official_masks(
    sam: Sam, pixels: np.ndarray, settings: GenerationSettings, point_grids=None
) -> list[dict]:
    generator = SamAutomaticMaskGenerator(
        sam,
        points_per_side=None if point_grids else settings.points_per_side,
        pred_iou_thresh=settings.predicted_iou_threshold,
        stability_score_thresh=settings.stability_threshold,
        stability_score_offset=settings.stability_offset,
        box_nms_thresh=settings.box_nms_threshold,
        crop_n_layers=settings.crop_layers,
        crop_nms_thresh=settings.crop_nms_threshold,
        crop_overlap_ratio=settings.crop_overlap_ratio,
        crop_n_points_downscale_factor=settings.crop_points_downscale,
        point_grids=point_grids,
        min_mask_region_area=settings.min_region_px,
        output_mode="coco_rle",
    )
    with torch.no_grad():
        return generator.generate(pixels)


def assert_identical(ours: Candidates, theirs: list[dict]) -> None:
    """The same masks in the same order: RLE, area, box, point, crop, and both scores to 1e-5."""
    ledger, kept = ours.ledger, ours.kept
    assert len(kept) == len(theirs)
    assert to_strings(ours.masks) == [record["segmentation"]["counts"] for record in theirs]
    assert [[p] for p in ledger.point_xy[kept].tolist()] == [record["point_coords"] for record in theirs]
    assert crop_boxes_xywh(ledger)[kept].tolist() == [record["crop_box"] for record in theirs]
    for ours_column, name in (
        (ledger.predicted_iou, "predicted_iou"),
        (ledger.stability_score, "stability_score"),
    ):
        np.testing.assert_allclose(ours_column[kept], [record[name] for record in theirs], atol=1e-5, rtol=0)
    x, y, w, h = boxes(ours.masks).T
    is_there = areas(ours.masks) > 0  # the official box of an empty mask is its crop's corner; ours is 0
    inclusive = np.stack([x, y, w - 1, h - 1], axis=1)[is_there]
    assert inclusive.tolist() == [r["bbox"] for r, is_mask in zip(theirs, is_there, strict=True) if is_mask]
    assert areas(ours.masks).tolist() == [record["area"] for record in theirs]


def crop_boxes_xywh(ledger: Ledger) -> np.ndarray:
    boxes = np.array([[c.x, c.y, c.width, c.height] for c in ledger.crops])
    return boxes[ledger.crop_number]
