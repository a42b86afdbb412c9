"""Measuring and matching whole runs: shards of images, read from the lake and written back to it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from curation import shards
from curation.errors import InputError
from curation.lake import Lake
from curation.measures import MEASURES, appearance, match_gold, schedule, stored
from curation.measures.image import ImageMasks
from curation.measures.schedule import (
    appearance_shards,
    gold_runs,
    match_shards,
    measurable_runs,
    measure_shards,
)
from curation.schemas import TABLES
from curation.shards import LOCAL, Done, Engine, Result, Shard, Summary

__all__ = [
    "appearance_shards",
    "gold_runs",
    "match",
    "match_shards",
    "measurable_runs",
    "measure",
    "measure_appearance",
    "measure_shards",
]

#: Reads the picture at a URI: upright RGB, uint8 (H, W, 3). Raises InputError where it cannot.
ReadPixels = Callable[[str], np.ndarray]


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
class AppearanceWork:
    """Look at each mask's boundary in the picture. One that cannot be read or has another size becomes a problem."""

    root: Path
    read_pixels: ReadPixels

    def __call__(self, shard: Shard) -> Result:
        lake = stored.reader(self.root)
        images = stored.images(lake, shard.run_id, shard.first, shard.stop)
        tables = _Tables(("mask_appearance", "problems"))
        n_images, n_masks = 0, 0
        for image, masks, errors in stored.masks(lake, stored.MASKS_SQL, images):
            tables.add("problems", _problems(shard, image, errors, "mask"))
            try:
                rows = appearance(masks, self.read_pixels(image.uri))
            except InputError as error:
                row = shards.problem(shard, image.uri, error, image_id=image.image_id)
                tables.add("problems", TABLES["problems"].table([row]))
                continue
            tables.add("mask_appearance", rows)
            n_images, n_masks = n_images + 1, n_masks + len(masks)
        return Result(tables.whole(), n_images, n_masks)


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


def measure(
    lake: Lake,
    todo: list[Shard],
    workers: int | None = None,
    on_done: Callable[[Done], None] | None = None,
    engine: Engine = LOCAL,
) -> Summary:
    """Do `measure_shards` and commit each; what an older contract left of them goes first."""
    schedule.MEASURE.drop_outdated(lake, todo)
    return shards.run(lake, MeasureWork(lake.root), todo, workers, on_done, engine)


def measure_appearance(
    lake: Lake,
    read_pixels: ReadPixels,
    todo: list[Shard],
    workers: int | None = None,
    on_done: Callable[[Done], None] | None = None,
    engine: Engine = LOCAL,
) -> Summary:
    """Do `appearance_shards` and commit each. `read_pixels` must be picklable where there are several workers."""
    schedule.APPEARANCE.drop_outdated(lake, todo)
    return shards.run(lake, AppearanceWork(lake.root, read_pixels), todo, workers, on_done, engine)


def match(
    lake: Lake,
    gold_run_id: int,
    todo: list[Shard],
    workers: int | None = None,
    on_done: Callable[[Done], None] | None = None,
    engine: Engine = LOCAL,
) -> Summary:
    """Do `match_shards` of one gold run and commit each; what an older contract left of them goes first."""
    schedule.match_job(gold_run_id).drop_outdated(lake, todo)
    return shards.run(lake, MatchWork(lake.root, gold_run_id), todo, workers, on_done, engine)
