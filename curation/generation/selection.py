"""From the candidates of one image that pass every filter to its masks: duplicates go, small regions too."""

import numpy as np

from curation.generation.filters import suppress
from curation.generation.ledger import Fate, Ledger, Pass
from curation.generation.presets import GenerationSettings
from curation.masks import Runs, boxes, remove_small_regions


def unique(ledger: Ledger, settings: GenerationSettings) -> np.ndarray:
    """Candidates of fate KEPT that no better one duplicates, in the order of SamAutomaticMaskGenerator: (K,).

    Non-maximum suppression by predicted IoU inside each crop, then across crops; the ledger is told.
    """
    survivors = [_unique_in_crop(ledger, number, settings) for number in range(len(ledger.crops))]
    return _unique_across_crops(ledger, np.concatenate([np.empty(0, np.int64), *survivors]), settings)


def _unique_in_crop(ledger: Ledger, number: int, settings: GenerationSettings) -> np.ndarray:
    """Candidates of a crop that are left after NMS by predicted IoU, the best first."""
    rows = np.flatnonzero((ledger.crop_number == number) & (ledger.fate == Fate.KEPT))
    kept, suppressor = suppress(ledger.box_xyxy[rows], ledger.predicted_iou[rows], settings.box_nms_threshold)
    ledger.drop_duplicates(rows, suppressor, Pass.CROP)
    return rows[kept]


def _unique_across_crops(ledger: Ledger, rows: np.ndarray, settings: GenerationSettings) -> np.ndarray:
    """Of `rows` those that are left after NMS that prefers smaller crops, in its order."""
    if len(ledger.crops) == 1:
        return rows
    crop_areas = np.array([crop.area_px for crop in ledger.crops], np.float32)
    scores = np.float32(1) / crop_areas[ledger.crop_number[rows]]
    kept, suppressor = suppress(ledger.box_xyxy[rows], scores, settings.crop_nms_threshold)
    ledger.drop_duplicates(rows, suppressor, Pass.IMAGE)
    return rows[kept]


def clean(
    ledger: Ledger, rows: np.ndarray, settings: GenerationSettings, height: int, width: int
) -> tuple[np.ndarray, Runs, np.ndarray]:
    """(kept, masks, is_cleaned): small regions gone, and NMS once more that prefers masks it left alone."""
    raw = raw_masks(ledger, rows, height, width)
    if not settings.min_region_px or not len(rows):
        return rows, raw, np.zeros(len(rows), bool)
    masks, is_cleaned = remove_small_regions(raw, settings.min_region_px)
    x, y, w, h = boxes(masks).T.astype(np.int64)
    inclusive = np.stack([x, y, np.maximum(x + w - 1, 0), np.maximum(y + h - 1, 0)], axis=1)
    threshold = max(settings.box_nms_threshold, settings.crop_nms_threshold)
    kept, suppressor = suppress(inclusive, 1 - is_cleaned.astype(np.float32), threshold)
    ledger.drop_duplicates(rows, suppressor, Pass.CLEANED)
    return rows[kept], masks[kept], is_cleaned[kept]


def raw_masks(ledger: Ledger, rows: np.ndarray, height: int, width: int) -> Runs:
    """The candidates `rows` as the model made them. Raises KeyError where runs were not kept."""
    if not len(rows):
        return Runs.empty(height, width)
    runs = [ledger.runs[row] for row in rows.tolist()]
    offsets = np.cumsum([0] + [len(counts) for counts in runs])
    return Runs(height, width, np.concatenate(runs), offsets)
