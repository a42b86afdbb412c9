"""What changed between two versions: counts, quality before and after, and nothing where nothing changed."""

from uuid import uuid4

import pytest
from lakes import spec
from samples import NOON, draw, run_with_masks, verdict
from test_drawing import correction, square

from curation import masks, runs
from curation.errors import LakeError
from curation.ids import mask_id
from curation.review import against_gold, differences, drawing, opening, queue, verdicts
from curation.review.opening import Request
from curation.review.verdicts import Verdict
from curation.schemas import TABLES


@pytest.fixture
def rows(lake):
    """Four images with two masks each, squares of 30 px, and gold squares of 20 px on the first two images."""
    rows = run_with_masks(lake, 4, 2)[1]
    run = runs.start(lake, spec(kind="gold", stage=None, cycle=None, annotator="eve", is_anchored=False))
    gold = [
        {
            "run_id": run.run_id,
            "gold_mask_id": mask_id(run.run_id, number, 0),
            **{name: row[name] for name in ("image_id", "width_px", "height_px", "mask_index")},
            "area_px": side**2,
            "bbox_xywh": [0, 0, side, side],
            "is_crowd": row["mask_index"] == 1,
            "annotator": "eve",
            "is_anchored": False,
            "rle_counts": masks.to_strings(masks.parse(square(0, 0, side)))[0],
        }
        for number, (row, side) in enumerate(zip(rows[:4], (20, 31, 20, 31), strict=True))
    ]
    lake.append({"gold_masks": TABLES["gold_masks"].table(gold)}, "gold")
    return rows


def test_corrections_additions_and_rejections_are_counted_by_run(lake, rows):
    lake.tag("before")
    drawing.save(lake, correction(rows[0], "ann", square(0, 0, 20)), NOON)
    drawing.save(lake, correction(rows[2], "ann", square(0, 0, 20)), NOON)
    drawing.save(lake, correction(rows[0], "ann", square(50, 40, 10), supersedes=None), NOON)
    opening.open_batch(lake, Request("b", mask_ids=[rows[6]["mask_id"]], double_share=0.0), NOON)
    (task,) = queue.next_tasks(lake, "ann", "b", 1, NOON, purposes={"correct"})
    verdicts.give(lake, [Verdict(str(uuid4()), "ann", "reject", task.task_id)], NOON)
    (row,) = differences.between(lake.root, "before", "now").to_pylist()
    counts = {name: row[name] for name in row if name.startswith("n_")}
    assert counts == {
        "n_masks_before": 8,
        "n_added": 1,
        "n_superseded": 2,
        "n_withdrawn": 1,
        "n_masks_after": 8,
        "n_gold_images": 2,
        "n_judged_images": 0,
    }
    assert (row["run_id"], row["kind"], row["stage"]) == (1, "import", "fully_automatic")
    # Squares of 30 px against 20 px, one place lower for every second; two of four are exact afterwards, and the
    # drawn object lies on nothing.
    shifted = 20 * 20 / (30 * 30 + 0)
    assert row["gold_iou_before"] == pytest.approx((shifted + 380 / 920) / 2, abs=0.02)
    assert row["gold_iou_change_low"] is None or row["gold_iou_change_low"] <= row["gold_iou_change"]
    assert (row["bad_share_before"], row["bad_share_after"]) == (1.0, pytest.approx(3 / 5))
    assert row["bad_share_change"] == pytest.approx(-2 / 5)


def test_verdicts_of_purposive_samples_say_nothing_of_a_share(lake, rows):
    lake.tag("before")
    draw(lake, "s", rows[4:])
    tasks = queue.next_tasks(lake, "ann", "s", 10, NOON)
    given = [verdict(task, "ann", "accept" if k else "fix") for k, task in enumerate(tasks)]
    verdicts.give(lake, given, NOON)
    opening.open_batch(lake, Request("b", mask_ids=[rows[0]["mask_id"]]), NOON)
    verdicts.give(lake, [verdict(t, "ann") for t in queue.next_tasks(lake, "ann", "b", 10, NOON)], NOON)
    (row,) = differences.between(lake.root, "before", "now").to_pylist()
    assert row["accepted_share_before"] is None
    assert (row["accepted_share_after"], row["n_judged_images"]) == (0.75, 2)


def test_where_nothing_changed_nothing_is_told(lake, rows):
    lake.tag("a")
    lake.tag("b")
    (row,) = differences.between(lake.root, "a", "b").to_pylist()
    assert (row["n_added"], row["n_superseded"], row["n_withdrawn"]) == (0, 0, 0)
    assert (row["gold_iou_change"], row["gold_iou_change_low"]) == (0.0, None)
    assert (row["bad_share_change"], row["bad_share_change_low"]) == (0.0, None)
    with pytest.raises(LakeError, match="no tag or version 'c'"):
        differences.between(lake.root, "a", "c")


def test_an_empty_lake_has_no_differences(lake):
    assert differences.between(lake.root, str(lake.version()), "now").num_rows == 0


def test_gold_of_a_crowd_is_nobodys_best(lake, rows):
    found = against_gold.best(lake, {row["mask_id"]: row["image_id"] for row in rows})
    assert found.keys() == {row["mask_id"] for row in rows[:4]}
    assert found[rows[0]["mask_id"]].iou == pytest.approx(400 / 900)
