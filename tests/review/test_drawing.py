"""Corrected and drawn masks: one commit, one current mask, nobody's work lost."""

import pytest
from samples import HEIGHT, NOON, WIDTH, correction, current, draw, later, run_with_masks, square
from typer.testing import CliRunner

from curation.cli import app
from curation.errors import InputError
from curation.measures.corrections import measure_corrections
from curation.review import drawing, queue


@pytest.fixture
def rows(lake):
    """Masks of one run: squares of 30 px at (0, k) on images of 80x60 px."""
    return run_with_masks(lake, 2, 4)[1]


def test_a_correction_supersedes_the_mask_and_says_fix_in_one_commit(lake, rows):
    draw(lake, "s", rows)
    task = queue.next_tasks(lake, "ann", "s", 1, NOON)[0]
    row = next(r for r in rows if r["mask_id"] == task.mask_id)
    before = lake.version()
    saved = drawing.save(
        lake, correction(row, "ann", square(0, 0, 20), task_id=task.task_id, reasons=("poor_edge",)), NOON
    )
    assert lake.version() == before + 1
    assert saved.supersedes == row["mask_id"]
    found = lake.query("SELECT * FROM masks WHERE mask_id = ?", [saved.mask_id]).to_pylist()[0]
    assert (found["area_px"], found["bbox_xywh"], found["run_id"]) == (400, [0, 0, 20, 20], saved.run_id)
    assert found["stage"] == "fully_automatic"
    verdict = lake.query("FROM current_verdicts").to_pylist()[0]
    assert (verdict["decision"], verdict["reasons"], verdict["took_s"]) == ("fix", ["poor_edge"], 12.5)
    assert (verdict["mask_id"], verdict["purpose"], verdict["verdict_id"]) == (
        row["mask_id"],
        "review",
        saved.verdict_id,
    )
    assert row["mask_id"] not in current(lake, row)
    assert saved.mask_id in current(lake, row)
    run = lake.query("SELECT * FROM runs WHERE run_id = ?", [saved.run_id]).to_pylist()[0]
    assert (run["kind"], run["parent_run_id"]) == ("correct", row["run_id"])
    assert run["finished_at"] is not None
    kept = lake.query("FROM drawn_masks").to_pylist()[0]
    assert (kept["tools"], kept["sample"], kept["n_actions"]) == (["brush", "eraser"], "s", 3)


def test_a_correction_is_measured_as_it_is_saved(lake, rows):
    saved = drawing.save(lake, correction(rows[0], "ann", square(0, 0, 20)), NOON)
    sql = "SELECT * FROM mask_features WHERE mask_id = ?"
    (found,) = lake.query(sql, [saved.mask_id]).to_pylist()
    assert (found["run_id"], found["area_px"], found["n_borders_touched"]) == (saved.run_id, 400, 2)
    assert (found["n_components"], found["solidity"]) == (1, 1)
    # What a lake of an older version lacks, `curation measure` brings.
    lake.con.execute("DELETE FROM mask_features")
    told = CliRunner().invoke(app, ["measure", "--workspace", str(lake.root), "--workers", "1"])
    assert told.exit_code == 0, told.output
    assert lake.query(sql, [saved.mask_id]).to_pylist() == [found]
    assert measure_corrections(lake) == 0


def test_iou_with_the_old_mask_is_kept(lake, rows):
    saved = drawing.save(lake, correction(rows[0], "ann", square(0, 0, 15)), NOON)
    assert saved.iou == pytest.approx(225 / 900)
    # Boundaries of 2 px: of 15x15 px 225 - 121, of 30x30 px 900 - 676; they share two sides of the small one.
    shared = 15 * 15 - 13 * 13
    assert saved.boundary_iou == pytest.approx(shared / (104 + 224 - shared))


def test_saving_again_changes_nothing(lake, rows):
    drawn = correction(rows[0], "ann", square(0, 0, 20))
    first = drawing.save(lake, drawn, NOON)
    version = lake.version()
    assert drawing.save(lake, drawn, later(60)) == first
    assert lake.version() == version
    assert lake.query("SELECT count(*) AS n FROM verdicts")["n"][0].as_py() == 1


def test_two_people_correct_one_mask_and_nothing_is_lost(lake, rows):
    first = drawing.save(lake, correction(rows[0], "ann", square(0, 0, 20)), NOON)
    second = drawing.save(lake, correction(rows[0], "bob", square(0, 0, 22)), NOON)
    assert second.supersedes == first.mask_id
    assert second.corrected_meanwhile_by == "ann"
    assert second.run_id == first.run_id
    assert set(current(lake, rows[0])) & {rows[0]["mask_id"], first.mask_id, second.mask_id} == {
        second.mask_id
    }
    kept = lake.query("SELECT rater, shown_mask_id FROM drawn_masks ORDER BY mask_id").to_pylist()
    assert kept == [
        {"rater": "ann", "shown_mask_id": rows[0]["mask_id"]},
        {"rater": "bob", "shown_mask_id": rows[0]["mask_id"]},
    ]


def test_a_correction_can_be_corrected(lake, rows):
    first = drawing.save(lake, correction(rows[0], "ann", square(0, 0, 20)), NOON)
    of_first = {"mask_id": first.mask_id, "run_id": first.run_id, "image_id": rows[0]["image_id"]}
    second = drawing.save(lake, correction(of_first, "ann", square(0, 0, 21)), NOON)
    assert (second.supersedes, second.run_id) == (first.mask_id, first.run_id)
    assert second.corrected_meanwhile_by is None


def test_a_missed_object_is_drawn_without_a_verdict(lake, rows):
    saved = drawing.save(lake, correction(rows[0], "ann", square(60, 40, 10), supersedes=None), NOON)
    assert (saved.supersedes, saved.verdict_id, saved.iou) == (None, None, None)
    assert len(current(lake, rows[0])) == 5
    assert lake.query("FROM verdicts").num_rows == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"drawn_id": "7"}, "no UUID"),
        ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}}, "empty"),
        ({"segmentation": {"size": [2, 2], "counts": [0, 4]}}, "full size"),
        ({"tools": ("axe",)}, "allowed: brush"),
        ({"supersedes": 5}, "no mask 5"),
        ({"image_id": 5}, "no image 5"),
        ({"task_id": "x"}, "not known"),
        ({"took_s": float("nan")}, "0 or more"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(lake, rows, changes, message):
    version = lake.version()
    with pytest.raises(InputError, match=message):
        drawing.save(
            lake, correction(rows[0], "ann", changes.pop("segmentation", square(0, 0, 20)), **changes)
        )
    assert lake.version() == version


def test_an_unchanged_mask_is_no_correction(lake, rows):
    with pytest.raises(InputError, match="accept that one"):
        drawing.save(lake, correction(rows[0], "ann", square(0, 0, 30)))


def test_another_raters_task_is_refused_with_all_that_belongs_to_it(lake, rows):
    draw(lake, "s", rows)
    task = queue.next_tasks(lake, "ann", "s", 1, NOON)[0]
    row = next(r for r in rows if r["mask_id"] == task.mask_id)
    with pytest.raises(InputError, match="another rater"):
        drawing.save(lake, correction(row, "bob", square(0, 0, 20), task_id=task.task_id))
    assert lake.query("FROM drawn_masks").num_rows == 0
    assert current(lake, row) == sorted(r["mask_id"] for r in rows if r["image_id"] == row["image_id"])
