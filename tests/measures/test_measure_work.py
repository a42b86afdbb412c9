"""Measuring and matching a run in a lake: what is stored, resuming, bad input, workers."""

import subprocess
import sys

import numpy as np
import pyarrow.compute as pc
import pytest
from stored_blobs import stored_run

from curation import runs
from curation.errors import ImageError, LakeError
from curation.ids import mask_id
from curation.measures import MEASURES, schedule, work
from curation.schemas import TABLES


def count(lake, table: str) -> int:
    return lake.con.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]


def test_every_mask_and_every_image_is_measured_once(lake):
    run_id = stored_run(lake)
    summary = work.measure(lake, work.measure_shards(lake, run_id))
    assert (summary.n_images, summary.n_masks, summary.n_problems) == (4, 20, 0)
    assert count(lake, "mask_features") == 20
    assert count(lake, "image_coverage") == 4
    equal = lake.con.execute(
        "SELECT count(*) FROM masks JOIN mask_features USING (run_id, mask_id, image_id, area_px, bbox_xywh)"
    )
    assert equal.fetchone()[0] == 20
    assert work.measure_shards(lake, run_id) == []


def test_an_image_without_masks_has_coverage_alone(lake):
    run_id = stored_run(lake, n_masks=0)
    work.measure(lake, work.measure_shards(lake, run_id))
    assert count(lake, "mask_features") == 0
    assert lake.con.execute("SELECT n_masks, covered_px FROM image_coverage").fetchall() == [(0, 0)] * 4


def test_worker_processes_write_the_same_rows(lake, monkeypatch):
    monkeypatch.setattr(schedule, "IMAGES_PER_SHARD", 1)
    one, two = stored_run(lake, n_images=2, name="one"), stored_run(lake, n_images=2, name="two")
    work.measure(lake, work.measure_shards(lake, one))
    work.measure(lake, work.measure_shards(lake, two), workers=2)
    for table in MEASURES:
        ids = {"run_id", "mask_id", "other_mask_id", "parent_mask_id"} & set(TABLES[table].arrow.names)
        values = f"* EXCLUDE ({', '.join(sorted(ids))})"
        sql = f'SELECT {values} FROM "{table}" WHERE run_id = $run_id ORDER BY ALL'
        assert lake.query(sql, {"run_id": one}) == lake.query(sql, {"run_id": two})


def test_of_a_run_that_still_grows_only_whole_shards_are_measured(lake, monkeypatch):
    monkeypatch.setattr(schedule, "IMAGES_PER_SHARD", 3)
    run_id = stored_run(lake, is_finished=False)
    first = work.measure_shards(lake, run_id)
    assert [(shard.first, shard.stop) for shard in first] == [(0, 3)]
    work.measure(lake, first)
    runs.finish(lake, run_id)
    assert [(shard.first, shard.stop) for shard in work.measure_shards(lake, run_id)] == [(3, 4)]


def test_a_stored_mask_that_is_no_rle_is_a_problem_and_the_others_are_measured(lake):
    run_id = stored_run(lake, n_images=1, damage="~not RLE~")
    summary = work.measure(lake, work.measure_shards(lake, run_id))
    assert (summary.n_masks, summary.n_problems) == (4, 1)
    measured = {row for (row,) in lake.con.execute("SELECT mask_id FROM mask_features").fetchall()}
    assert measured == {mask_id(run_id, 0, index) for index in (0, 2, 3, 4)}
    source, record, kind = lake.con.execute("SELECT source, record, kind FROM problems").fetchone()
    assert (source, record, kind) == ("/images/0.jpg", f"mask {mask_id(run_id, 0, 1)}", "rle")


def test_masks_are_matched_with_the_gold_of_the_same_image(lake):
    run_id = stored_run(lake, n_images=4)
    gold_run_id = stored_run(lake, n_images=2, kind="gold")
    summary = work.match(lake, gold_run_id, work.match_shards(lake, run_id, gold_run_id))
    assert (summary.n_images, summary.n_masks) == (2, 10)
    rows = lake.query("FROM gold_matches").to_pylist()
    assert len({row["image_id"] for row in rows}) == 2
    areas = dict(lake.con.execute("SELECT mask_id, area_px FROM masks").fetchall())
    for row in rows:
        if row["mask_id"] is not None:  # the gold is the same blobs, so all but the empty masks are found
            assert row["gold_iou"] == (areas[row["mask_id"]] > 0)
    assert work.match_shards(lake, run_id, gold_run_id) == []


def test_gold_without_masks_is_missed_and_listed_images_without_gold_match_nothing(lake):
    with_masks, without = stored_run(lake, name="with"), stored_run(lake, n_masks=0, name="without")
    with_gold, empty = stored_run(lake, kind="gold", name="with"), stored_run(lake, n_masks=0, kind="gold")
    work.match(lake, with_gold, work.match_shards(lake, without, with_gold))
    work.match(lake, empty, work.match_shards(lake, with_masks, empty))
    sql = """
        SELECT run_id, count(mask_id), count(gold_mask_id), count(matched_iou), max(gold_iou)
        FROM gold_matches GROUP BY run_id ORDER BY run_id
    """
    assert lake.con.execute(sql).fetchall() == [(with_masks, 20, 0, 0, 0.0), (without, 0, 20, 0, None)]


def test_gold_of_another_size_is_a_problem_of_its_image(lake):
    run_id, gold_run_id = stored_run(lake, n_images=1), stored_run(lake, n_images=1, kind="gold", width_px=9)
    summary = work.match(lake, gold_run_id, work.match_shards(lake, run_id, gold_run_id))
    assert (summary.n_masks, summary.n_problems, count(lake, "gold_matches")) == (0, 1, 0)
    (reason,) = lake.con.execute("SELECT reason FROM problems WHERE kind = 'size'").fetchone()
    assert "9 x 6 px" in reason


def test_runs_that_are_not_there_are_named_in_the_error(lake):
    run_id = stored_run(lake)
    unfinished = stored_run(lake, kind="gold", is_finished=False)
    with pytest.raises(LakeError, match="run 99"):
        work.measure_shards(lake, 99)
    with pytest.raises(LakeError, match=f"gold run {unfinished}"):
        work.match_shards(lake, run_id, unfinished)


def test_one_persons_gold_is_matched_with_anothers(lake):
    first, second = (stored_run(lake, n_images=2, kind="gold", name=name) for name in ("first", "second"))
    work.match(lake, second, work.match_shards(lake, first, second))
    sql = """
        SELECT count(*) FROM gold_matches
        JOIN gold_masks ON gold_masks.gold_mask_id = gold_matches.mask_id AND gold_masks.run_id = gold_matches.run_id
        WHERE gold_matches.run_id = $first AND gold_run_id = $second
    """
    assert lake.con.execute(sql, {"first": first, "second": second}).fetchone() == (10,)
    assert work.match_shards(lake, first, second) == []
    assert len(work.match_shards(lake, second, first)) == 1
    with pytest.raises(LakeError, match="cannot be matched with itself"):
        work.match_shards(lake, first, first)


def test_retuned_runs_are_measured_and_matched_like_others(lake):
    run_id, gold_run_id = stored_run(lake, kind="retune"), stored_run(lake, kind="gold")
    assert work.measurable_runs(lake) == [run_id]
    assert work.measure(lake, work.measure_shards(lake, run_id)).n_masks == 20
    assert work.match(lake, gold_run_id, work.match_shards(lake, run_id, gold_run_id)).n_masks == 20


def test_nothing_waits_for_scipy_until_it_matches():
    loaded = "import sys, curation.measures.work; sys.exit('scipy.optimize' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded]).returncode == 0


def as_of_an_older_contract(lake, job: schedule.Job, name: str, column: str) -> None:
    """Make finished work look as if it had been done before `column` came; `name` is what the work was called."""
    table = next(table for table in job.tables if column in TABLES[table].arrow.names)

    def age(con) -> None:
        con.execute("UPDATE shards SET work = ? WHERE work = ?", [name, job.work])
        con.execute("UPDATE problems SET work = ? WHERE work = ?", [name, job.work])
        con.execute(f"UPDATE {table} SET {column} = NULL")

    lake.commit(age, "older")


@pytest.mark.parametrize("name", ["measure", "measure:v1"])
def test_what_an_older_contract_left_is_measured_anew_and_nothing_else(lake, monkeypatch, name):
    monkeypatch.setattr(schedule, "IMAGES_PER_SHARD", 2)
    run_id = stored_run(lake, damage="~not RLE~")
    work.measure(lake, work.measure_shards(lake, run_id))
    before = {table: lake.query(f'FROM "{table}" ORDER BY ALL') for table in MEASURES}
    as_of_an_older_contract(lake, schedule.MEASURE, name, "concavity")
    other_run_id = stored_run(lake, n_images=2, name="other")
    work.measure(lake, work.measure_shards(lake, other_run_id))

    todo = work.measure_shards(lake, run_id)
    assert [shard.first for shard in todo] == [0, 2]
    work.measure(lake, todo[:1])
    left = "SELECT count(*) FROM mask_features JOIN masks USING (mask_id) WHERE masks.area_px > 0 AND concavity IS NULL"
    assert 0 < lake.con.execute(left).fetchone()[0] <= 10
    work.measure(lake, work.measure_shards(lake, run_id))
    for table, rows in before.items():
        again = lake.query(f'FROM "{table}" WHERE run_id = $run_id ORDER BY ALL', {"run_id": run_id})
        assert again == rows
    assert lake.con.execute("SELECT DISTINCT work FROM problems").fetchall() == [(schedule.MEASURE.work,)]
    assert count(lake, "problems") == 2
    assert work.measure_shards(lake, run_id) == []


def test_old_matches_are_made_anew_for_one_gold_run_alone(lake):
    run_id = stored_run(lake)
    golds = [stored_run(lake, kind="gold", name=name) for name in ("first", "second")]
    for gold_run_id in golds:
        work.match(lake, gold_run_id, work.match_shards(lake, run_id, gold_run_id))
    before = lake.query("FROM gold_matches ORDER BY ALL")
    as_of_an_older_contract(lake, schedule.match_job(golds[0]), f"match:{golds[0]}", "error_kind")
    assert work.match_shards(lake, run_id, golds[1]) == []
    work.match(lake, golds[0], work.match_shards(lake, run_id, golds[0]))
    filled = "FROM gold_matches WHERE gold_run_id = $gold ORDER BY ALL"
    first = lake.query(filled, {"gold": golds[0]})
    assert first == before.filter(pc.equal(before["gold_run_id"], golds[0]))


def picture(uri: str) -> np.ndarray:
    if uri == "/images/1.jpg":
        raise ImageError(f"{uri}: no such file")
    height_px = 6 if uri != "/images/2.jpg" else 7
    return np.random.default_rng(0).integers(0, 255, (height_px, 8, 3), np.uint8)


def test_appearance_is_measured_where_the_picture_is_at_hand(lake):
    run_id = stored_run(lake)
    todo = work.appearance_shards(lake, run_id)
    summary = work.measure_appearance(lake, picture, todo)
    assert (summary.n_images, summary.n_masks, summary.n_problems) == (2, 10, 2)
    assert count(lake, "mask_appearance") == 10
    problems = lake.con.execute("SELECT source, kind FROM problems ORDER BY source").fetchall()
    assert problems == [("/images/1.jpg", "image"), ("/images/2.jpg", "image")]
    assert work.appearance_shards(lake, run_id) == []
    assert len(work.measure_shards(lake, run_id)) == 1
