"""Masks of one image by prompting a model with grids of points, with a ledger of every candidate.

The filters and their order are those of segment-anything's SamAutomaticMaskGenerator (automatic_mask_generator.py),
and so are the masks kept, to the bit. What differs is the work: a mask that the predicted IoU drops is
never enlarged, and one pass over a mask's logits gives its stability, area, box and runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from curation.errors import CurationError, InputError
from curation.generation.embeddings import mask_means
from curation.generation.filters import first_filters, passes_predicted_iou
from curation.generation.grid import Crop, crops, layer_points
from curation.generation.ledger import Fate, Ledger
from curation.generation.presets import GenerationSettings
from curation.generation.scan import Scans
from curation.generation.segmenters import Decoded, Embedding, Segmenter
from curation.generation.selection import clean, raw_masks, unique
from curation.ids import INDEX_BITS
from curation.masks import Runs

#: Fewer points than this are decoded in one batch, as segment-anything does: matrix products over so few prompts
#: may differ in the last bit from those over more.
WHOLE_BATCH_BELOW = 16

Note = Callable[[str], None]


@dataclass(frozen=True)
class Candidates:
    """All candidates of one image, and the masks kept of them.

    `kept` (K,) indexes the ledger in the order in which SamAutomaticMaskGenerator lists its masks (torchvision
    orders equal scores among more than 1,000 boxes as it likes; here the earlier candidate comes first).
    `masks`, `is_cleaned` (K,) (small regions were changed) and `embeddings`, float16 (K, C), follow that order.
    `near_misses` index the ledger: those whose raw runs were asked for and are no mask of `masks`.
    """

    ledger: Ledger
    kept: np.ndarray
    masks: Runs
    is_cleaned: np.ndarray
    embeddings: np.ndarray
    near_misses: np.ndarray

    def raw_masks(self, candidates: np.ndarray) -> Runs:
        """Kept candidates and near misses as the model made them, before cleaning."""
        return raw_masks(self.ledger, candidates, self.masks.height, self.masks.width)


def generate_image(
    segmenter: Segmenter,
    pixels: np.ndarray,
    settings: GenerationSettings,
    *,
    keep_rle_above: float | None = None,
    point_grids: Sequence[np.ndarray] | None = None,
    on_note: Note = print,
) -> Candidates:
    """Masks of one image, uint8 RGB (H, W, 3).

    `keep_rle_above` measures and keeps every candidate whose predicted IoU is above it, dropped or not.
    `point_grids` replaces the regular grids: unit points (P, 2) for every layer.
    `on_note` is told what a person should know. Raises InputError for an image that cannot be cut as asked.
    """
    height, width = pixels.shape[:2]
    cut = crops(height, width, settings.crop_layers, settings.crop_overlap_ratio)
    unit_points = layer_points(settings, point_grids)
    ledger = Ledger.of(cut, unit_points)
    if len(ledger) > 1 << INDEX_BITS:
        raise InputError(
            f"{len(ledger):,} candidates an image were asked for; the most is {1 << INDEX_BITS:,}: lower "
            "points_per_side or crop_layers, or raise crop_points_downscale"
        )
    measuring = _Measuring(segmenter, settings, keep_rle_above, unit_points, ledger, height, width, on_note)
    embeddings = [measuring.of_crop(number, pixels) for number in range(len(cut))]
    kept, masks, is_cleaned = clean(ledger, unique(ledger, settings), settings, height, width)
    means = _mask_means(ledger, kept, masks, embeddings)
    near_misses = _near_misses(ledger, keep_rle_above, kept, is_cleaned)
    return Candidates(ledger, kept, masks, is_cleaned, means, near_misses)


@dataclass(frozen=True)
class _Measuring:
    """Fills the ledger of one image, crop by crop, up to the filters that look at one candidate alone."""

    segmenter: Segmenter
    settings: GenerationSettings
    keep_rle_above: float | None
    unit_points: list[np.ndarray]
    ledger: Ledger
    height: int
    width: int
    on_note: Note

    def of_crop(self, number: int, pixels: np.ndarray) -> Embedding:
        crop = self.ledger.crops[number]
        embedding = self.segmenter.embed(crop.pixels_of(pixels))
        first_row = int(np.searchsorted(self.ledger.crop_number, number))

        def use(first_point: int, decoded: Decoded) -> None:
            self._measure(first_row + 3 * first_point, embedding, decoded)

        # Not the ledger's points minus the crop's corner: that would round them once more.
        points_xy = self.unit_points[crop.layer] * [crop.width, crop.height]
        decode_in_batches(self.segmenter, embedding, points_xy, use, self.on_note)
        return replace(embedding, state=None)  # what only decoding needs may be large

    def _measure(self, first_row: int, embedding: Embedding, decoded: Decoded) -> None:
        predicted_iou = decoded.predicted_iou.ravel()
        self.ledger.predicted_iou[first_row : first_row + len(predicted_iou)] = predicted_iou
        is_chosen = passes_predicted_iou(predicted_iou, self.settings.predicted_iou_threshold)
        is_wanted = np.zeros_like(is_chosen)
        if self.keep_rle_above is not None:
            is_wanted = predicted_iou > self.keep_rle_above
        chosen = np.flatnonzero(is_chosen | is_wanted)
        scans = self.segmenter.scans(embedding, decoded, chosen, self.settings.stability_offset)
        rows, crop = first_row + chosen, self.ledger.crops[self.ledger.crop_number[first_row]]
        self._note_scans(rows, scans, crop)
        fates = first_filters(self.ledger, rows, self.settings, self.height, self.width)
        self.ledger.fate[rows] = fates
        for k in np.flatnonzero((fates == Fate.KEPT) | is_wanted[chosen]).tolist():
            self.ledger.runs[int(rows[k])] = scans.runs(k, crop.x, crop.y, self.height, self.width)

    def _note_scans(self, rows: np.ndarray, scans: Scans, crop: Crop) -> None:
        n_low, area_px, n_high = scans.counts.T
        is_there = n_low > 0  # else 0 / 0: the score stays NaN, which no threshold lets pass
        n_low, n_high = n_low[is_there].astype(np.float32), n_high[is_there].astype(np.float32)
        self.ledger.stability_score[rows[is_there]] = n_high / n_low
        self.ledger.area_px[rows] = area_px
        self.ledger.box_xyxy[rows] = scans.boxes_xyxy + np.tile([crop.x, crop.y], 2)


def decode_in_batches(
    segmenter: Segmenter,
    embedding: Embedding,
    points_xy: np.ndarray,
    use: Callable[[int, Decoded], None],
    on_note: Note,
) -> None:
    """Call `use(first, decoded)` for batches of points (P, 2) in order; `first` numbers a batch's first point.

    All batches have one size, the last filled up with copies that `use` is not shown. A batch that does
    not fit into memory, in `use` too, is halved, and so are all that follow; `use` is then called for its points
    again. Raises CurationError when one point is too much.
    """
    at_once = segmenter.points_per_batch
    if at_once > 1 and len(points_xy) < WHOLE_BATCH_BELOW:
        at_once = len(points_xy)
    first = 0
    while first < len(points_xy):
        batch = points_xy[first : first + at_once]
        filled = np.concatenate([batch, np.repeat(batch[-1:], at_once - len(batch), axis=0)])
        try:
            decoded = segmenter.decode(embedding, filled[:, None], np.ones((at_once, 1), np.int32))
            use(first, Decoded(decoded.logits[: len(batch)], decoded.predicted_iou[: len(batch)]))
        except segmenter.memory_errors as error:
            at_once = _halved(segmenter, at_once, error, on_note)
        else:
            first += len(batch)


def _halved(segmenter: Segmenter, at_once: int, error: BaseException, on_note: Note) -> int:
    segmenter.release_memory()
    if at_once == 1:
        raise CurationError(
            f"{segmenter.device}: out of memory with a single point ({error}); free its memory, or use --device cpu"
        ) from error
    on_note(f"{segmenter.device}: out of memory with {at_once} points at once; going on with {at_once // 2}")
    # Crops and images to come start where this one had to end.
    segmenter.points_per_batch = at_once // 2
    return at_once // 2


def _mask_means(ledger: Ledger, kept: np.ndarray, masks: Runs, embeddings: list[Embedding]) -> np.ndarray:
    """Float16 (K, C): each mask over the embedding of the crop that made it, the finest picture the model had."""
    means = np.zeros((len(kept), embeddings[0].features.shape[0]), np.float16)
    for number in np.unique(ledger.crop_number[kept]):
        of_crop = np.flatnonzero(ledger.crop_number[kept] == number)
        means[of_crop] = mask_means(masks[of_crop], ledger.crops[number], embeddings[number])
    return means


def _near_misses(
    ledger: Ledger, keep_rle_above: float | None, kept: np.ndarray, is_cleaned: np.ndarray
) -> np.ndarray:
    """Candidates whose raw runs were asked for and are not among the masks: dropped, or kept but cleaned."""
    if keep_rle_above is None:
        return np.empty(0, np.int64)
    is_wanted = ledger.predicted_iou > keep_rle_above
    is_wanted[kept[~is_cleaned]] = False
    return np.flatnonzero(is_wanted)
