"""Runs under way: what is done, how fast, and the time left."""

from datetime import datetime, timedelta, timezone

import pytest
from lakes import spec

from curation import runs
from curation.engine import progress
from curation.schemas import TABLES

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def add_shard(
    lake, run_id: int, first: int, stop: int, ended_s: float, took_s: float, work: str = "import"
) -> None:
    row = {
        "run_id": run_id,
        "work": work,
        "shard": f"{first:010d}",
        "first_image": first,
        "stop_image": stop,
        "n_images": stop - first - 1,  # one of them could not be read
        "n_masks": 10,
        "n_problems": 1,
        "took_s": took_s,
        "finished_at": NOON + timedelta(seconds=ended_s),
    }
    lake.append({"shards": TABLES["shards"].table([row])}, "shard")


def test_nothing_is_under_way_in_an_empty_lake_nor_once_all_is_finished(lake):
    assert progress.running(lake) == []
    run = runs.start(lake, spec())
    runs.finish(lake, run.run_id)
    assert progress.running(lake) == []


def test_before_the_first_shard_no_time_is_known(lake):
    runs.start(lake, spec(n_images=4))
    (run,) = progress.running(lake)
    assert (run.n_done_images, run.n_planned_images, run.done_share) == (0, 4, 0)
    assert run.left_s is None
    assert run.last_shard_at is None


def test_the_images_left_take_as_long_as_those_so_far(lake):
    """Two shards of 10 and 20 s one after the other: 30 s for 4 read images; 4 are left, 30 s with two workers half that."""
    run_id = runs.start(lake, spec(n_images=10)).run_id
    add_shard(lake, run_id, 0, 3, ended_s=10, took_s=10)
    add_shard(lake, run_id, 3, 6, ended_s=30, took_s=20)
    add_shard(lake, run_id, 0, 6, ended_s=40, took_s=1, work="measure:v1")
    (run,) = progress.running(lake)
    assert (run.n_shards, run.n_done_images, run.n_masks, run.n_problems) == (2, 6, 20, 2)
    assert run.done_share == pytest.approx(0.6)
    assert run.images_per_hour == pytest.approx(4 / 30 * 3600)
    assert run.left_s == pytest.approx(4 * 30 / 4)
    assert run.left_s_low < run.left_s < run.left_s_high
    assert run.last_shard_at == NOON + timedelta(seconds=30)


def test_corrections_never_end_and_are_not_under_way(lake):
    runs.start(lake, spec(kind="correct", stage=None, cycle=None))
    assert progress.running(lake) == []
