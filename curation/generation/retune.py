"""Other thresholds for a finished generation: what they would keep, how good that is, and writing it as a run."""

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from curation import ids, runs, shards
from curation.errors import LakeError
from curation.generation.generator import Candidates
from curation.generation.presets import GenerationSettings
from curation.generation.replay import (
    RETUNABLE,
    Replayed,
    SourceRun,
    StoredLedger,
    ledgers,
)
from curation.generation.selection import raw_masks
from curation.generation.work import candidate_columns, mask_columns
from curation.lake import Lake
from curation.masks import Runs, iou
from curation.measures import stored
from curation.measures.partners import NO_PARTNER, one_to_one
from curation.measures.work import gold_runs
from curation.schemas import TABLES
from curation.shards import Done, Result, Shard, Summary

WORK = "retune"
#: Images read at once: 300,000 candidates of a grid of 32 x 32 points.
IMAGES_AT_ONCE = 100
#: A mask below this is small; COCO's is 32 x 32 px.
SMALL_AREA_PX = 1024
#: IoU with gold: of the best gold mask for shares, of the one-to-one partner for recall.
THRESHOLDS = (0.5, 0.75, 0.9)

DESIGN = (
    "Every mask that a setting keeps; gold figures on the images with gold, best IoU with any gold mask for shares over a "
    "threshold, one-to-one partners for recall. 95 % intervals, image as cluster."
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
    ]
)

IMAGES_SQL = """
    SELECT * REPLACE ($run_id::INTEGER AS run_id)
    FROM images
    WHERE run_id = $source AND image_number >= $first AND image_number < $stop
    ORDER BY image_number
"""
EMBEDDINGS_SQL = """
    SELECT $run_id::INTEGER AS run_id, mask_id + $moved::BIGINT AS mask_id, n_dims, embedding
    FROM mask_embeddings
    SEMI JOIN kept USING (mask_id)
    WHERE run_id = $source AND mask_id >= $first_id AND mask_id <= $last_id
    ORDER BY mask_id
"""
SPEC_SQL = """
    SELECT source, model, weights_sha256, preset, image_set_sha256, device FROM runs WHERE run_id = $run_id
"""

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
            share_interval(ratio_sums(n_found_75, n_gold)) AS recall_75
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
        unknown_share
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

    def _of_image(self, stored_ledger: StoredLedger, gold: Runs | None) -> list[dict]:
        image, ledger = stored_ledger.image, stored_ledger.ledger
        ious = known = None
        if gold is not None:
            known = np.array(sorted(ledger.runs), np.int64)
            ious = iou(raw_masks(ledger, known, image.height_px, image.width_px), gold)
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
                row |= _agreement(replayed, gold, known, ious)
            rows.append(row)
        return rows

    def _gold(self, lake: Lake, first: int, stop: int) -> dict[int, Runs]:
        if self.gold_run_id is None:
            return {}
        images = stored.gold_images(lake, self.gold_run_id, self.run.run_id, first, stop)
        return {
            image.image_id: masks.without_crowds().runs  # what matching does; it also tells of invalid gold
            for image, masks, _ in stored.masks(lake, stored.GOLD_MASKS_SQL, images)
        }


def _agreement(replayed: Replayed, gold: Runs, known: np.ndarray, ious: np.ndarray) -> dict[str, float]:
    """Sums over one image; `ious` (M, G) are those of the candidates `known` (M,), rising, as the model made them."""
    if replayed.masks is not None:  # cleaned, so other masks than the model's
        of_kept, n_unknown = iou(replayed.masks, gold), 0
    else:
        place = np.searchsorted(known, replayed.kept)
        is_known = np.isin(replayed.kept, known, assume_unique=True)
        of_kept, n_unknown = ious[place[is_known]], int((~is_known).sum())
    partners = one_to_one(of_kept)
    matched = np.flatnonzero(partners != NO_PARTNER)
    best, found = of_kept.max(axis=1, initial=0.0), of_kept[matched, partners[matched]]
    sums = {
        "n_unknown": n_unknown,
        "n_judged": len(of_kept),
        "sum_gold_iou": float(best.sum()),
        "n_gold": len(gold),
    }
    for threshold in THRESHOLDS:
        percent = round(100 * threshold)
        sums[f"n_over_{percent}"] = int((best > threshold).sum())
        sums[f"n_found_{percent}"] = int((found >= threshold).sum())
    return sums


@dataclass(frozen=True)
class RetuneWork:
    """The rows of a run with other settings, shard by shard, from the ledger of its source.

    An image's mask embeddings are copied where the mask is the source's own; a mask that was none there, or that is
    cleaned otherwise, gets none.
    """

    root: Path
    source: SourceRun
    settings: GenerationSettings

    def __call__(self, shard: Shard) -> Result:
        lake = stored.reader(self.root)
        tables: dict[str, list[pa.Table]] = {
            name: [TABLES[name].table([])] for name in ("candidates", "masks")
        }
        source_ids = [np.empty(0, np.int64)]
        for one in ledgers(lake, self.source, shard.first, shard.stop, whole=True, with_runs=True):
            candidates = _candidates(one, one.replay(self.settings))
            first_id = ids.mask_id(shard.run_id, one.image.image_number, 0)
            tables["candidates"].append(
                TABLES["candidates"].table(candidate_columns(shard.run_id, first_id, one.image, candidates))
            )
            n = len(candidates.kept)
            columns = mask_columns(shard.run_id, first_id, one.image, candidates)
            columns |= {"stage": [self.source.stage] * n, "cycle": [self.source.cycle] * n}
            tables["masks"].append(TABLES["masks"].table(columns))
            source_ids.append(one.first_id + candidates.kept)
        whole = {name: pa.concat_tables(parts) for name, parts in tables.items()}
        whole["images"] = self._images(lake, shard)
        whole["mask_embeddings"] = self._embeddings(lake, shard, np.concatenate(source_ids))
        return Result(whole, whole["images"].num_rows, whole["masks"].num_rows)

    def _images(self, lake: Lake, shard: Shard) -> pa.Table:
        bounds = {"source": self.source.run_id, "first": shard.first, "stop": shard.stop}
        return _as_contract("images", lake.query(IMAGES_SQL, {**bounds, "run_id": shard.run_id}))

    def _embeddings(self, lake: Lake, shard: Shard, source_ids: np.ndarray) -> pa.Table:
        if self.settings.min_region_px != self.source.settings.min_region_px or not len(source_ids):
            return TABLES["mask_embeddings"].table([])
        moved = ids.mask_id(shard.run_id, 0, 0) - ids.mask_id(self.source.run_id, 0, 0)
        bounds = {"first_id": int(source_ids.min()), "last_id": int(source_ids.max())}
        lake.con.register("kept", pa.table({"mask_id": source_ids}))
        rows = lake.query(
            EMBEDDINGS_SQL, {**bounds, "source": self.source.run_id, "run_id": shard.run_id, "moved": moved}
        )
        lake.con.unregister("kept")
        return _as_contract("mask_embeddings", rows)


def _candidates(one: StoredLedger, replayed: Replayed) -> Candidates:
    """As generation hands them on, without embeddings. Raises MissingRunsError where runs of a mask are not known."""
    kept, image = replayed.kept, one.image
    one.require_runs(kept)
    masks = replayed.masks
    if masks is None:
        masks = raw_masks(one.ledger, kept, image.height_px, image.width_px)
    known = np.array(sorted(one.ledger.runs), np.int64)
    near_misses = known[~np.isin(known, kept[~replayed.is_cleaned])]
    return Candidates(
        one.ledger, kept, masks, replayed.is_cleaned, np.empty((len(kept), 0), np.float16), near_misses
    )


def _as_contract(name: str, rows: pa.Table) -> pa.Table:
    return TABLES[name].table({column: rows[column] for column in rows.column_names})


def prepare(
    lake: Lake, source: SourceRun, settings: Iterable[GenerationSettings], gold_run_id: int | None
) -> Retuning:
    """Settings to try on a run. Raises InputError where its ledger cannot answer, LakeError for an unknown gold run."""
    if gold_run_id is not None and gold_run_id not in gold_runs(lake):
        raise LakeError(
            f"gold run {gold_run_id}: no finished import of gold has this number; finished are: "
            f"{', '.join(map(str, gold_runs(lake))) or 'none'}"
        )
    return Retuning(source, tuple(settings), gold_run_id)


def apply(
    lake: Lake,
    source: SourceRun,
    settings: GenerationSettings,
    on_done: Callable[[Done], None],
    workers: int = 1,
) -> tuple[int, Summary]:
    """Write what `settings` keep as a run of its own, and return its number. Again, it resumes.

    Raises MissingRunsError, before anything
    is written, where a mask to keep has no RLE in the ledger.
    """
    _require_every_run(lake, source, settings)
    run = runs.start(lake, _spec(lake, source, settings))
    planned = shards.plan(run.run_id, WORK, source.n_images, IMAGES_AT_ONCE)
    work = RetuneWork(lake.root, source, settings)
    summary = shards.run(lake, work, planned, workers=workers, on_done=on_done)
    runs.finish(lake, run.run_id)
    return run.run_id, summary


def _require_every_run(lake: Lake, source: SourceRun, settings: GenerationSettings) -> None:
    for first in range(0, source.n_images, IMAGES_AT_ONCE):
        stop = min(first + IMAGES_AT_ONCE, source.n_images)
        for one in ledgers(lake, source, first, stop, with_runs=True):
            one.require_runs(one.replay(settings).kept)


def _spec(lake: Lake, source: SourceRun, settings: GenerationSettings) -> runs.RunSpec:
    told = lake.query(SPEC_SQL, {"run_id": source.run_id}).to_pylist()[0]
    kept = None if math.isinf(source.keep_rle_above) else source.keep_rle_above
    ours = {"keep_rle_above": kept, "measured_above": source.measured_above}
    return runs.RunSpec(
        kind="retune",
        settings=asdict(settings) | ours,
        n_images=source.n_images,
        stage=source.stage,
        cycle=source.cycle,
        parent_run_id=source.run_id,
        **told,
    )
