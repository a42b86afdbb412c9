"""Other thresholds for a finished generation: what they would keep, and how good that is by gold and by verdicts."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from curation.errors import LakeError
from curation.generation.presets import GenerationSettings
from curation.generation.replay import RETUNABLE, Replayed, SourceRun, StoredLedger, ledgers
from curation.generation.selection import raw_masks
from curation.lake import Lake
from curation.masks import Runs, areas, intersections
from curation.measures import stored
from curation.measures.gold import crowd_ious, crowds
from curation.measures.image import ImageMasks
from curation.measures.partners import NO_PARTNER, greedy, one_to_one
from curation.measures.work import gold_runs

#: Images read at once: 300,000 candidates of a grid of 32 x 32 points.
IMAGES_AT_ONCE = 100
#: A mask below this is small; COCO's is 32 x 32 px.
SMALL_AREA_PX = 1024
#: IoU with gold: of the best gold mask for shares, of the one-to-one partner for recall.
THRESHOLDS = (0.5, 0.75, 0.9)

DESIGN = (
    "Every mask that a setting keeps; gold figures on the images with gold, best IoU with any gold mask for shares over a "
    "threshold, one-to-one partners for recall; a verdict counts for the masks that it stands for, of the sample's frame, without "
    "its small ones as long as none of them is judged (new_share: masks that the run itself did not keep, of which no verdict "
    "tells). 95 % intervals, image as cluster."
)

OUTCOMES = pa.schema(
    [
        ("setting", pa.int32()),
        ("image_id", pa.int64()),
        ("n_masks", pa.int64()),
        ("n_small", pa.int64()),
        # Null where the image has no gold.
        ("n_unknown", pa.int64()),  # masks whose RLE the ledger does not hold
        ("n_judged", pa.int64()),
        ("sum_gold_iou", pa.float64()),
        ("n_gold", pa.int64()),
        *((f"n_over_{round(100 * t)}", pa.int64()) for t in THRESHOLDS),
        *((f"n_found_{round(100 * t)}", pa.int64()) for t in THRESHOLDS),
        # Null without verdicts to go by; 0 where none of the image's judged masks is kept.
        ("n_verdicts", pa.int64()),
        ("sum_weight", pa.float64()),
        ("sum_accepted_weight", pa.float64()),
        ("n_new", pa.int64()),  # masks that the run itself did not keep
    ]
)

# One row a setting; the image is the cluster (queries/macros/intervals.sql).
CURVE_SQL = """
    WITH figures AS (
        SELECT
            setting,
            count(*) AS n_images,
            sum(n_masks)::BIGINT AS n_masks,
            mean_interval(ratio_sums(n_masks, 1)) AS masks_per_image,
            share_interval(ratio_sums(n_small, n_masks)) AS small,
            count(n_gold) AS n_gold_images,
            sum(n_judged)::BIGINT AS n_judged,
            sum(n_unknown) / nullif(sum(n_judged + n_unknown), 0) AS unknown_share,
            mean_interval(ratio_sums(sum_gold_iou, n_judged)) AS gold_iou,
            share_interval(ratio_sums(n_over_50, n_judged)) AS over_50,
            share_interval(ratio_sums(n_over_75, n_judged)) AS over_75,
            share_interval(ratio_sums(n_over_90, n_judged)) AS over_90,
            share_interval(ratio_sums(n_found_50, n_gold)) AS recall_50,
            share_interval(ratio_sums(n_found_75, n_gold)) AS recall_75,
            sum(n_verdicts)::BIGINT AS n_verdicts,
            sum(n_new) / nullif(sum(n_masks), 0) AS new_share,
            share_interval(ratio_sums(sum_accepted_weight, sum_weight)) AS accepted
        FROM outcomes
        GROUP BY setting
    )

    SELECT
        settings.* EXCLUDE (setting),
        n_images,
        n_masks,
        masks_per_image.mean AS masks_per_image,
        clamp(masks_per_image.low, 0, masks_per_image.mean) AS masks_per_image_low,
        masks_per_image.high AS masks_per_image_high,
        small.share AS small_share,
        small.low AS small_share_low,
        small.high AS small_share_high,
        gold_iou.mean AS mean_gold_iou,
        clamp(gold_iou.low, 0, 1) AS mean_gold_iou_low,
        clamp(gold_iou.high, 0, 1) AS mean_gold_iou_high,
        over_50.share AS share_over_50,
        over_50.low AS share_over_50_low,
        over_50.high AS share_over_50_high,
        over_75.share AS share_over_75,
        over_75.low AS share_over_75_low,
        over_75.high AS share_over_75_high,
        over_90.share AS share_over_90,
        over_90.low AS share_over_90_low,
        over_90.high AS share_over_90_high,
        recall_50.share AS recall_50,
        recall_50.low AS recall_50_low,
        recall_50.high AS recall_50_high,
        recall_75.share AS recall_75,
        recall_75.low AS recall_75_low,
        recall_75.high AS recall_75_high,
        n_gold_images,
        n_judged,
        unknown_share,
        accepted.share AS accept_share,
        accepted.low AS accept_share_low,
        accepted.high AS accept_share_high,
        n_verdicts,
        new_share
    FROM figures
    INNER JOIN settings USING (setting)
    ORDER BY setting
"""


@dataclass(frozen=True)
class Retuning:
    """Settings to try on a finished generation. Raises InputError where its ledger cannot answer for one of them."""

    run: SourceRun
    settings: tuple[GenerationSettings, ...]
    gold_run_id: int | None
    #: What raters said of masks of the run, by image.
    verdicts: Mapping[int, "Judged"]

    def __post_init__(self) -> None:
        for one in self.settings:
            self.run.check(one)

    def outcomes(self, lake: Lake, on_done: Callable[[int], None]) -> pa.Table:
        """OUTCOMES of every setting on every image; `on_done` is told how many images are done."""
        rows: list[dict] = []
        for first in range(0, self.run.n_images, IMAGES_AT_ONCE):
            stop = min(first + IMAGES_AT_ONCE, self.run.n_images)
            gold = self._gold(lake, first, stop)
            needs_runs = bool(gold) or any(one.min_region_px for one in self.settings)
            for stored_ledger in ledgers(lake, self.run, first, stop, with_runs=needs_runs):
                rows += self._of_image(stored_ledger, gold.get(stored_ledger.image.image_id))
            on_done(stop - first)
        return pa.Table.from_pylist(rows, OUTCOMES)

    def curve(self, lake: Lake, outcomes: pa.Table) -> pa.Table:
        """One row a setting, in their order, with 95 % intervals that take the image as the cluster."""
        settings = [
            {"setting": number} | {name: getattr(one, name) for name in RETUNABLE}
            for number, one in enumerate(self.settings)
        ]
        lake.con.register("outcomes", outcomes)
        lake.con.register("settings", pa.Table.from_pylist(settings))
        try:
            return lake.query(CURVE_SQL)
        finally:
            lake.con.unregister("outcomes")
            lake.con.unregister("settings")

    def _of_image(self, stored_ledger: StoredLedger, gold: ImageMasks | None) -> list[dict]:
        image, ledger = stored_ledger.image, stored_ledger.ledger
        own, judged = None, self.verdicts.get(image.image_id, NOBODY)
        if self.verdicts:
            own = stored_ledger.replay(self.run.settings).kept
        ious = known = None
        if gold is not None:
            known = np.array(sorted(ledger.runs), np.int64)
            ious = _ious(raw_masks(ledger, known, image.height_px, image.width_px), gold)
        rows = []
        for number, settings in enumerate(self.settings):
            replayed = stored_ledger.replay(settings)
            row = {
                "setting": number,
                "image_id": image.image_id,
                "n_masks": len(replayed.kept),
                "n_small": int((replayed.area_px < SMALL_AREA_PX).sum()),
            }
            if gold is not None:
                row |= _agreement(replayed, ledger.predicted_iou[replayed.kept], gold, known, ious)
            if own is not None:
                # Cleaned otherwise, a mask is not the one that raters saw.
                is_as_seen = settings.min_region_px == self.run.settings.min_region_px
                row |= _acceptance(replayed.kept, own, judged if is_as_seen else NOBODY)
            rows.append(row)
        return rows

    def _gold(self, lake: Lake, first: int, stop: int) -> dict[int, ImageMasks]:
        """By image; matching tells of invalid gold."""
        if self.gold_run_id is None:
            return {}
        images = stored.gold_images(lake, self.gold_run_id, self.run.run_id, first, stop)
        return {
            image.image_id: masks for image, masks, _ in stored.masks(lake, stored.GOLD_MASKS_SQL, images)
        }


@dataclass(frozen=True)
class Judged:
    """Verdicts on one image: candidate indices (J,), weights (J,), accepted or not (J,).

    A weight is the number of masks that the sample has the judged one stand for.
    """

    candidates: np.ndarray
    weights: np.ndarray
    is_accepted: np.ndarray


NOBODY = Judged(np.empty(0, np.int64), np.empty(0), np.empty(0, bool))


def _acceptance(kept: np.ndarray, own: np.ndarray, judged: Judged) -> dict[str, float]:
    """Sums over one image: Hájek's ratio (Särndal, Swensson, Wretman 1992, 5.7) over the judged masks that are kept."""
    is_kept = np.isin(judged.candidates, kept)
    return {
        "n_verdicts": int(is_kept.sum()),
        "sum_weight": float(judged.weights[is_kept].sum()),
        "sum_accepted_weight": float(judged.weights[is_kept & judged.is_accepted].sum()),
        "n_new": int((~np.isin(kept, own, assume_unique=True)).sum()),
    }


def _ious(masks: Runs, gold: ImageMasks) -> np.ndarray:
    return crowd_ious(intersections(masks, gold.runs), areas(masks), gold)


def _agreement(
    replayed: Replayed, scores: np.ndarray, gold: ImageMasks, known: np.ndarray, ious: np.ndarray
) -> dict[str, float]:
    """Sums over one image, as `gold_matches` would give them; `scores` (K,) are those of the kept, `ious` (M, G) those of the
    candidates `known` (M,), rising, as the model made them.
    """
    is_known = np.ones(len(replayed.kept), bool)
    if replayed.masks is not None:  # cleaned, so other masks than the model's
        of_kept = _ious(replayed.masks, gold)
    else:
        is_known = np.isin(replayed.kept, known, assume_unique=True)
        of_kept = ious[np.searchsorted(known, replayed.kept[is_known])]
    is_crowd, is_judged = crowds(gold), np.ones(len(of_kept), bool)
    if is_crowd.any():
        ranks = np.argsort(np.argsort(-scores[is_known], kind="stable"), kind="stable")
        is_judged = greedy(of_kept, ranks, is_crowd).ignored & 1 == 0
        of_kept = of_kept[:, ~is_crowd]
    partners = one_to_one(of_kept)
    matched = np.flatnonzero(partners != NO_PARTNER)
    best, found = of_kept[is_judged].max(axis=1, initial=0.0), of_kept[matched, partners[matched]]
    sums = {
        "n_unknown": int((~is_known).sum()),
        "n_judged": len(best),
        "sum_gold_iou": float(best.sum()),
        "n_gold": int((~is_crowd).sum()),
    }
    for threshold in THRESHOLDS:
        percent = round(100 * threshold)
        sums[f"n_over_{percent}"] = int((best > threshold).sum())
        sums[f"n_found_{percent}"] = int((found >= threshold).sum())
    return sums


def prepare(
    lake: Lake,
    source: SourceRun,
    settings: Iterable[GenerationSettings],
    gold_run_id: int | None,
    verdicts: Mapping[int, Judged] = MappingProxyType({}),
) -> Retuning:
    """Settings to try on a run, judged by gold and by verdicts where these are given.

    Raises InputError where the run's ledger cannot answer, LakeError for an unknown gold run.
    """
    if gold_run_id is not None and gold_run_id not in gold_runs(lake):
        raise LakeError(
            f"gold run {gold_run_id}: no finished import of gold has this number; finished are: "
            f"{', '.join(map(str, gold_runs(lake))) or 'none'}"
        )
    return Retuning(source, tuple(settings), gold_run_id, verdicts)
