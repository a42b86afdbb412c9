"""Measuring and matching whole runs: shards of images, read from the lake and written back to it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from curation import shards
from curation.errors import InputError, LakeError
from curation.lake import Lake
from curation.measures import MEASURES, match_gold, stored
from curation.measures.image import ImageMasks
from curation.schemas import TABLES
from curation.shards import Done, Result, Shard, Summary

#: About 10,000 masks at SA-1B's 100 an image: two row groups a file, seconds of work a commit.
IMAGES_PER_SHARD = 100

DONE_SHARDS_SQL = "SELECT shard FROM shards WHERE run_id = $run_id AND work = $work"
DATA_SHARDS_SQL = """
    SELECT first_image, stop_image
    FROM shards
    WHERE run_id = $run_id AND work = (SELECT kind FROM runs WHERE run_id = $run_id)
    ORDER BY first_image
"""
RUNS_SQL = "SELECT run_id FROM runs WHERE kind <> 'gold' ORDER BY run_id"
GOLD_RUNS_SQL = "SELECT run_id FROM runs WHERE kind = 'gold' AND finished_at IS NOT NULL ORDER BY run_id"


@dataclass(frozen=True)
class MeasureWork:
    """Compute all MEASURES of a shard's images. Masks whose RLE is invalid become problems; the rest count."""

    root: Path

    def __call__(self, shard: Shard) -> Result:
        lake = stored.reader(self.root)
        images = stored.images(lake, shard.run_id, shard.first, shard.stop)
        tables = _Tables((*MEASURES, "problems"))
        n_masks = 0
        for image, masks, errors in stored.masks(lake, stored.MASKS_SQL, images):
            for name, measure in MEASURES.items():
                tables.add(name, measure(masks))
            tables.add("problems", _problems(shard, image, errors, "mask"))
            n_masks += len(masks)
        return Result(tables.whole(), len(images), n_masks)


@dataclass(frozen=True)
class MatchWork:
    """Match a shard's masks with the gold of one gold run, on the images that both list.

    The shard's run may be gold itself: one person's masks against another's.
    """

    root: Path
    gold_run_id: int

    def __call__(self, shard: Shard) -> Result:
        lake = stored.reader(self.root)
        masks_sql = stored.GOLD_MASKS_SQL if stored.kind(lake, shard.run_id) == "gold" else stored.MASKS_SQL
        tables = _Tables(("gold_matches", "problems"))
        gold_of_image = self._gold(lake, shard, tables)
        images = [
            image
            for image in stored.images(lake, shard.run_id, shard.first, shard.stop)
            if image.image_id in gold_of_image
        ]
        n_masks = 0
        for image, masks, errors in stored.masks(lake, masks_sql, images):
            tables.add("problems", _problems(shard, image, errors, "mask"))
            try:
                tables.add("gold_matches", match_gold(masks, gold_of_image[image.image_id]))
            except InputError as error:
                row = shards.problem(shard, image.uri, error, kind="size", image_id=image.image_id)
                tables.add("problems", TABLES["problems"].table([row]))
                continue
            n_masks += len(masks)
        return Result(tables.whole(), len(images), n_masks)

    def _gold(self, lake: Lake, shard: Shard, tables: "_Tables") -> dict[int, ImageMasks]:
        images = stored.gold_images(lake, self.gold_run_id, shard.run_id, shard.first, shard.stop)
        gold_of_image = {}
        for image, gold, errors in stored.masks(lake, stored.GOLD_MASKS_SQL, images):
            gold_of_image[image.image_id] = gold
            tables.add("problems", _problems(shard, image, errors, "gold mask"))
        return gold_of_image


class _Tables:
    """Small tables of one image each, gathered by name."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._parts: dict[str, list[pa.Table]] = {name: [TABLES[name].table([])] for name in names}

    def add(self, name: str, rows: pa.Table) -> None:
        self._parts[name].append(rows)

    def whole(self) -> Mapping[str, pa.Table]:
        return {name: pa.concat_tables(parts) for name, parts in self._parts.items()}


def _problems(
    shard: Shard, image: stored.StoredImage, errors: Mapping[int, InputError], what: str
) -> pa.Table:
    return TABLES["problems"].table(
        [
            shards.problem(shard, image.uri, error, record=f"{what} {mask_id}", image_id=image.image_id)
            for mask_id, error in errors.items()
        ]
    )


def measurable_runs(lake: Lake) -> list[int]:
    """Runs that made, imported or retuned masks, gold aside."""
    return [run_id for (run_id,) in lake.con.execute(RUNS_SQL).fetchall()]


def gold_runs(lake: Lake) -> list[int]:
    """Gold runs whose import is complete."""
    return [run_id for (run_id,) in lake.con.execute(GOLD_RUNS_SQL).fetchall()]


def measure_shards(lake: Lake, run_id: int) -> list[Shard]:
    """Shards of a run that are still to measure; while it grows, only those whose images are all there.

    Raises LakeError where the number names no run with masks.
    """
    return _shards_to_do(lake, run_id, "measure", measurable_runs(lake))


def match_shards(lake: Lake, run_id: int, gold_run_id: int) -> list[Shard]:
    """Shards of a run, of gold or not, that are still to match with a gold run.

    Raises LakeError where a number names no such (finished) run, or both are the same.
    """
    if gold_run_id not in gold_runs(lake):
        raise LakeError(
            f"gold run {gold_run_id}: no finished import of gold has this number; finished are: "
            f"{_numbers(gold_runs(lake))}"
        )
    if run_id == gold_run_id:
        raise LakeError(f"run {run_id}: it cannot be matched with itself; name the run of another annotator")
    others = [other for other in gold_runs(lake) if other != gold_run_id]
    return _shards_to_do(lake, run_id, f"match:{gold_run_id}", sorted(measurable_runs(lake) + others))


def measure(
    lake: Lake,
    run_shards: list[Shard],
    workers: int = 1,
    on_done: Callable[[Done], None] | None = None,
) -> Summary:
    """Do `measure_shards` and commit each."""
    return shards.run(lake, MeasureWork(lake.root), run_shards, workers=workers, on_done=on_done)


def match(
    lake: Lake,
    gold_run_id: int,
    run_shards: list[Shard],
    workers: int = 1,
    on_done: Callable[[Done], None] | None = None,
) -> Summary:
    """Do `match_shards` of one gold run and commit each."""
    return shards.run(lake, MatchWork(lake.root, gold_run_id), run_shards, workers=workers, on_done=on_done)


def _shards_to_do(lake: Lake, run_id: int, work: str, allowed: list[int]) -> list[Shard]:
    if run_id not in allowed:
        raise LakeError(f"run {run_id}: no run with masks has this number; there are: {_numbers(allowed)}")
    rows = lake.con.execute(DONE_SHARDS_SQL, {"run_id": run_id, "work": work}).fetchall()
    done = {name for (name,) in rows}
    planned = shards.plan(run_id, work, _n_images_ready(lake, run_id), IMAGES_PER_SHARD)
    return [shard for shard in planned if shard.name not in done]


def _n_images_ready(lake: Lake, run_id: int) -> int:
    """Images from number 0 on that are all there; of a run that still grows, only whole shards of them."""
    n_ready = 0
    for first, stop in lake.con.execute(DATA_SHARDS_SQL, {"run_id": run_id}).fetchall():
        if first > n_ready:
            break
        n_ready = stop
    finished_sql = "SELECT finished_at IS NOT NULL FROM runs WHERE run_id = $run_id"
    (is_finished,) = lake.con.execute(finished_sql, {"run_id": run_id}).fetchone()
    return n_ready if is_finished else n_ready - n_ready % IMAGES_PER_SHARD


def _numbers(run_ids: list[int]) -> str:
    return ", ".join(map(str, run_ids)) or "none"
