"""Generation once more from its ledger, without model or images: what other thresholds would have kept.

The ledger of a stored run is built again candidate by candidate, and the filters, both suppressions and the cleaning
of generation itself run over it, so the masks kept are those that a real run with these settings keeps.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.errors import InputError, LakeError
from curation.generation.filters import first_filters, passes_predicted_iou
from curation.generation.grid import crops, layer_points
from curation.generation.ledger import Fate, Ledger
from curation.generation.presets import GenerationSettings
from curation.generation.selection import clean, unique
from curation.ids import INDEX_BITS, mask_id, mask_id_range
from curation.lake import Lake
from curation.masks import Runs, areas, parse_strings
from curation.measures import stored
from curation.measures.stored import StoredImage

#: Settings that the ledger can answer for; all others need the model.
RETUNABLE = (
    "predicted_iou_threshold",
    "stability_threshold",
    "box_nms_threshold",
    "crop_nms_threshold",
    "min_area_px",
    "max_area_share",
    "min_region_px",
)

RUN_SQL = """
    SELECT kind, settings, stage, cycle, n_images, finished_at IS NOT NULL AS is_finished
    FROM runs
    WHERE run_id = $run_id
"""
CANDIDATES_SQL = """
    SELECT candidate_id, predicted_iou, stability_score, area_px, bbox_xywh
    FROM candidates
    WHERE
        run_id = $run_id AND candidate_id >= $first_id AND candidate_id < $stop_id
        AND ($whole OR area_px IS NOT NULL)
    ORDER BY candidate_id
"""
# What the model made: the RLE of a near miss; of a mask its own, unless cleaning may have changed it. A
# cleaned mask above `keep_rle_above` has its raw RLE with its candidate.
RAW_RLE_SQL = """
    SELECT candidate_id, coalesce(candidates.rle_counts, masks.rle_counts) AS rle_counts
    FROM candidates
    LEFT JOIN masks
        ON masks.run_id = candidates.run_id AND masks.mask_id = candidates.candidate_id
        AND ($masks_are_raw OR candidates.predicted_iou > $keep_rle_above)
    WHERE
        candidates.run_id = $run_id AND candidate_id >= $first_id AND candidate_id < $stop_id
        AND coalesce(candidates.rle_counts, masks.rle_counts) IS NOT NULL
    ORDER BY candidate_id
"""


@dataclass(frozen=True)
class SourceRun:
    """A finished generation (or an earlier retuning) whose ledger is replayed."""

    run_id: int
    settings: GenerationSettings
    stage: str
    cycle: int
    #: The RLE of every candidate with a predicted IoU above this is known; inf where none was kept on purpose.
    keep_rle_above: float
    #: Candidates with a predicted IoU above this were made and measured; -inf where all were.
    measured_above: float
    n_images: int

    def check(self, settings: GenerationSettings) -> None:
        """Raise InputError where the ledger cannot answer for `settings`."""
        for field in fields(GenerationSettings):
            came, was = getattr(settings, field.name), getattr(self.settings, field.name)
            if field.name not in RETUNABLE and came != was:
                raise InputError(
                    f"{field.name}: {came} came and run {self.run_id} was made with {was}; a ledger can replay "
                    f"{', '.join(RETUNABLE)}; for another {field.name} generate anew"
                )
        threshold = settings.predicted_iou_threshold
        if _open_end(threshold) < self.measured_above:
            raise InputError(
                f"predicted_iou_threshold: {threshold:g} came; run {self.run_id} measured only candidates above "
                f"{self.measured_above:g}: take at least that, or generate once with `--keep-rle above={threshold:g}`"
            )


@dataclass(frozen=True)
class Replayed:
    """What one setting keeps of one image.

    `kept` (K,) are candidate indices in rising order, `area_px` (K,) their areas. `masks` (K) are cleaned ones; None where
    the settings clean nothing, then they are the candidates as the model made them. `is_cleaned` bool (K,).
    """

    kept: np.ndarray
    area_px: np.ndarray
    masks: Runs | None
    is_cleaned: np.ndarray


@dataclass(frozen=True)
class StoredLedger:
    """The ledger of one stored image, before any filter; `settings` made it."""

    image: StoredImage
    ledger: Ledger

    def replay(self, settings: GenerationSettings) -> Replayed:
        """Apply the filters, both suppressions and the cleaning. Raises MissingRunsError where cleaning needs unknown runs.

        The ledger is changed: it tells the fates of the last replay.
        """
        ledger, height, width = self.ledger, self.image.height_px, self.image.width_px
        ledger.fate[:] = Fate.PREDICTED_IOU
        ledger.duplicate_of[:] = -1
        ledger.duplicate_pass[:] = 0
        passes = passes_predicted_iou(ledger.predicted_iou, settings.predicted_iou_threshold)
        made = np.flatnonzero(passes & (ledger.area_px >= 0))
        ledger.fate[made] = first_filters(ledger, made, settings, height, width)
        rows = unique(ledger, settings)
        if settings.min_region_px:
            self.require_runs(rows)
            rows, masks, is_cleaned = clean(ledger, rows, settings, height, width)
            order = np.argsort(rows)
            return Replayed(rows[order], areas(masks)[order], masks[order], is_cleaned[order])
        rows = np.sort(rows)
        return Replayed(rows, ledger.area_px[rows], None, np.zeros(len(rows), bool))

    @property
    def first_id(self) -> int:
        """Id of candidate 0."""
        return mask_id(self.image.run_id, self.image.image_number, 0)

    def require_runs(self, rows: np.ndarray) -> None:
        """Raise MissingRunsError unless the runs of all these candidates are known."""
        lost = [row for row in rows.tolist() if row not in self.ledger.runs]
        if lost:
            raise MissingRunsError(self.image, len(lost), float(self.ledger.predicted_iou[lost].min()))


class MissingRunsError(InputError):
    """Candidates that are to be masks now, and whose RLE the ledger does not hold."""

    def __init__(self, image: StoredImage, n_lost: int, lowest: float) -> None:
        super().__init__(
            f"{image.uri}: {n_lost} of the masks to keep have no RLE in the ledger (they were duplicates or near misses "
            f"before); generate once with `--keep-rle above=X`, X below {lowest:.3f}, then thresholds above X can be applied"
        )


def source_run(lake: Lake, run_id: int) -> SourceRun:
    """The run to replay. Raises LakeError where it is none, or not finished."""
    found = lake.query(RUN_SQL, {"run_id": run_id}).to_pylist()
    if not found or found[0]["kind"] not in ("generate", "retune"):
        raise LakeError(
            f"run {run_id}: only a generation has a ledger of candidates; runs with one: "
            f"{', '.join(map(str, replayable_runs(lake))) or 'none'}"
        )
    if not found[0]["is_finished"]:
        raise LakeError(f"run {run_id} is not finished: run its `curation generate` again to its end first")
    told = json.loads(found[0]["settings"])
    names = {field.name for field in fields(GenerationSettings)}
    settings = GenerationSettings(**{name: value for name, value in told.items() if name in names})
    kept = told.get("keep_rle_above")
    keep_rle_above = math.inf if kept is None else kept
    return SourceRun(
        run_id,
        settings,
        found[0]["stage"],
        found[0]["cycle"],
        keep_rle_above,
        told.get("measured_above", min(_open_end(settings.predicted_iou_threshold), keep_rle_above)),
        found[0]["n_images"],
    )


def _open_end(threshold: float) -> float:
    """A predicted-IoU threshold of 0 lets every score pass, negative ones too."""
    return threshold if threshold > 0 else -math.inf


def newest_run(lake: Lake) -> int:
    """Raises LakeError where no run has a ledger."""
    found = replayable_runs(lake)
    if not found:
        raise LakeError(f"{lake.root} holds no finished generation: `curation generate` makes one")
    return found[-1]


def replayable_runs(lake: Lake) -> list[int]:
    """Finished runs that have a ledger."""
    sql = "SELECT run_id FROM runs WHERE kind IN ('generate', 'retune') AND finished_at IS NOT NULL ORDER BY run_id"
    return lake.query(sql)["run_id"].to_pylist()


def ledgers(
    lake: Lake, run: SourceRun, first: int, stop: int, *, whole: bool = False, with_runs: bool = False
) -> Iterator[StoredLedger]:
    """Ledgers of the images [first, stop) of a run, in order.

    `whole` also reads the scores of candidates that were never made, which no setting can keep; `with_runs`
    the runs of all whose RLE is known.
    """
    images = stored.images(lake, run.run_id, first, stop)
    if not images:
        return
    first_id, stop_id = mask_id_range(run.run_id, images[0].image_number, images[-1].image_number + 1)
    bounds = {"run_id": run.run_id, "first_id": first_id, "stop_id": stop_id}
    rows = _Rows(lake.query(CANDIDATES_SQL, {**bounds, "whole": whole}))
    is_raw = {"masks_are_raw": not run.settings.min_region_px, "keep_rle_above": run.keep_rle_above}
    rle = lake.query(RAW_RLE_SQL, {**bounds, **is_raw}) if with_runs else None
    unit_points = layer_points(run.settings)
    for image in images:
        cut = crops(
            image.height_px, image.width_px, run.settings.crop_layers, run.settings.crop_overlap_ratio
        )
        ledger = Ledger.of(cut, unit_points)
        span = mask_id_range(run.run_id, image.image_number, image.image_number + 1)
        rows.fill(ledger, span)
        if rle is not None:
            ledger.runs.update(_runs_of(rle, span, image))
        yield StoredLedger(image, ledger)


class _Rows:
    """Rows of CANDIDATES_SQL as arrays."""

    def __init__(self, rows: pa.Table) -> None:
        self._ids = rows["candidate_id"].to_numpy()
        self._predicted_iou = rows["predicted_iou"].to_numpy()
        made = rows.filter(pc.is_valid(rows["area_px"]))
        self._made_ids = made["candidate_id"].to_numpy()
        self._stability = pc.fill_null(made["stability_score"], float("nan")).to_numpy()
        self._area_px = made["area_px"].to_numpy()
        self._bbox_xywh = pc.list_flatten(made["bbox_xywh"]).to_numpy().reshape(-1, 4).astype(np.int64)

    def fill(self, ledger: Ledger, span: tuple[int, int]) -> None:
        first, stop = np.searchsorted(self._ids, span)
        ledger.predicted_iou[self._ids[first:stop] - span[0]] = self._predicted_iou[first:stop]
        first, stop = np.searchsorted(self._made_ids, span)
        at = self._made_ids[first:stop] - span[0]
        ledger.stability_score[at] = self._stability[first:stop]
        ledger.area_px[at] = self._area_px[first:stop]
        x, y, w, h = self._bbox_xywh[first:stop].T
        ledger.box_xyxy[at] = np.stack([x, y, x + w - 1, y + h - 1], axis=1)
        empty = at[ledger.area_px[at] == 0]
        ledger.box_xyxy[empty] = np.tile(ledger.crop_boxes_xyxy[ledger.crop_number[empty], :2], 2)


def _runs_of(rle: pa.Table, span: tuple[int, int], image: StoredImage) -> Iterator[tuple[int, np.ndarray]]:
    ids = rle["candidate_id"].to_numpy()
    first, stop = np.searchsorted(ids, span)
    runs = parse_strings(rle["rle_counts"].slice(first, stop - first), image.height_px, image.width_px)
    for place, row in enumerate((ids[first:stop] & ((1 << INDEX_BITS) - 1)).tolist()):
        yield row, runs.counts[runs.offsets[place] : runs.offsets[place + 1]]
