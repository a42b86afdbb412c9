"""A retuning written as a run of its own: what other thresholds keep, from the ledger of its source."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from curation import ids, runs, shards
from curation.generation.generator import Candidates
from curation.generation.presets import GenerationSettings
from curation.generation.replay import Replayed, SourceRun, StoredLedger, ledgers
from curation.generation.retune import IMAGES_AT_ONCE
from curation.generation.selection import raw_masks
from curation.generation.work import candidate_columns, mask_columns
from curation.lake import Lake
from curation.measures import stored
from curation.schemas import TABLES
from curation.shards import Done, Result, Shard, Summary

WORK = "retune"

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
