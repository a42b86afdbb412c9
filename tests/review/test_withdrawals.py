"""Drawn masks taken back: what stood before stands again, nothing is deleted, and what others built on stays."""

from uuid import uuid4

import pytest
from samples import NOON, correction, current, draw, later, run_with_masks, square, verdict

from curation.errors import InputError
from curation.review import drawing, queue, verdicts, withdrawals
from curation.review.verdicts import Verdict


@pytest.fixture
def rows(lake):
    return run_with_masks(lake, 1, 3)[1]


def save(lake, row: dict, rater: str = "ann", side: int = 20, **changes):
    drawn = correction(row, rater, square(0, 0, side), **changes)
    return drawn.drawn_id, drawing.save(lake, drawn, NOON)


def of_new(row: dict, saved) -> dict:
    return {"mask_id": saved.mask_id, "run_id": saved.run_id, "image_id": row["image_id"]}


def n_rows(lake, table: str) -> int:
    return lake.query(f"FROM {table}").num_rows


def test_the_old_mask_stands_again_and_every_row_stays(lake, rows):
    before = current(lake, rows[0])
    drawn_id, saved = save(lake, rows[0])
    counted = {name: n_rows(lake, name) for name in ("masks", "drawn_masks", "verdicts")}
    version = lake.version()
    found = withdrawals.withdraw(lake, drawn_id, "ann", later(60))
    assert (found.mask_id, found.restored) == (saved.mask_id, rows[0]["mask_id"])
    assert lake.version() == version + 1
    assert current(lake, rows[0]) == before
    assert n_rows(lake, "current_verdicts") == n_rows(lake, "current_drawn_masks") == 0
    after = {name: n_rows(lake, name) for name in counted}
    assert after == {**counted, "verdicts": counted["verdicts"] + 1}
    (kept,) = lake.query("FROM withdrawn_masks").to_pylist()
    assert (kept["mask_id"], kept["rater"], kept["withdrawn_at"]) == (saved.mask_id, "ann", later(60))


def test_taking_back_twice_changes_nothing(lake, rows):
    drawn_id, _ = save(lake, rows[0])
    first = withdrawals.withdraw(lake, drawn_id, "ann")
    version = lake.version()
    assert withdrawals.withdraw(lake, drawn_id, "ann") == first
    assert lake.version() == version


def test_an_added_mask_is_gone(lake, rows):
    before = current(lake, rows[0])
    drawn_id, _ = save(lake, rows[0], supersedes=None)
    assert withdrawals.withdraw(lake, drawn_id, "ann").restored is None
    assert current(lake, rows[0]) == before
    assert n_rows(lake, "verdicts") == 0


def test_what_was_said_before_counts_again(lake, rows):
    said = Verdict(str(uuid4()), "ann", "reject", mask_id=rows[0]["mask_id"], reasons=["stray_pixels"])
    assert verdicts.give(lake, [said], NOON).acknowledged
    drawn_id, _ = save(lake, rows[0])
    withdrawals.withdraw(lake, drawn_id, "ann")
    (now,) = lake.query("FROM current_verdicts").to_pylist()
    assert (now["decision"], now["reasons"], now["purpose"]) == ("reject", ["stray_pixels"], "image")


def test_a_mask_to_mend_waits_again_and_can_be_mended_anew(lake, rows):
    draw(lake, "s", rows[:1])
    (task,) = queue.next_tasks(lake, "bob", "s", 1, NOON)
    verdicts.give(lake, [verdict(task, "bob", "fix")], NOON)
    (task,) = queue.next_tasks(lake, "ann", "s", 1, NOON, {"correct"})
    drawn_id, first = save(lake, rows[0], task_id=task.task_id)
    assert queue.open_tasks(lake, "ann", "s", NOON) == []
    withdrawals.withdraw(lake, drawn_id, "ann", NOON)
    assert [again.task_id for again in queue.open_tasks(lake, "ann", "s", NOON)] == [task.task_id]
    after_the_lease = later(24 * 3600)
    (other,) = queue.next_tasks(lake, "cara", "s", 1, after_the_lease, {"correct"})
    assert other.mask_id == rows[0]["mask_id"]
    _, second = save(lake, rows[0], task_id=task.task_id, side=21)
    assert second.mask_id not in (first.mask_id, rows[0]["mask_id"])
    assert (second.supersedes, second.corrected_meanwhile_by) == (rows[0]["mask_id"], None)
    assert second.mask_id in current(lake, rows[0])
    (estimate,) = lake.query(
        "SELECT iou_with_superseded AS iou FROM current_drawn_masks WHERE supersedes = ?",
        [rows[0]["mask_id"]],
    ).to_pylist()
    assert estimate["iou"] == pytest.approx((21 / 30) ** 2)


def test_what_was_corrected_on_top_is_refused_until_that_is_taken_back(lake, rows):
    drawn_id, first = save(lake, rows[0])
    top_id, _ = save(lake, of_new(rows[0], first), "bob", side=22)
    version = lake.version()
    with pytest.raises(InputError, match="corrected since by bob"):
        withdrawals.withdraw(lake, drawn_id, "ann")
    assert lake.version() == version
    withdrawals.withdraw(lake, top_id, "bob")
    withdrawals.withdraw(lake, drawn_id, "ann")
    assert rows[0]["mask_id"] in current(lake, rows[0])


def test_what_was_judged_or_drawn_in_a_sample_since_is_refused(lake, rows):
    drawn_id, first = save(lake, rows[0])
    said = Verdict(str(uuid4()), "bob", "accept", mask_id=first.mask_id)
    verdicts.give(lake, [said])
    with pytest.raises(InputError, match="judged since by bob"):
        withdrawals.withdraw(lake, drawn_id, "ann")
    drawn_id, second = save(lake, rows[1])
    draw(lake, "s", [of_new(rows[1], second)])
    with pytest.raises(InputError, match="drawn in sample s since"):
        withdrawals.withdraw(lake, drawn_id, "ann")


def test_only_who_drew_it_takes_it_back_and_only_what_there_is(lake, rows):
    drawn_id, _ = save(lake, rows[0])
    with pytest.raises(InputError, match="of another rater"):
        withdrawals.withdraw(lake, drawn_id, "bob")
    with pytest.raises(InputError, match="there is none"):
        withdrawals.withdraw(lake, str(uuid4()), "ann")


def test_a_mask_that_was_taken_back_cannot_be_corrected(lake, rows):
    drawn_id, first = save(lake, rows[0])
    withdrawals.withdraw(lake, drawn_id, "ann")
    with pytest.raises(InputError, match="was taken back by ann"):
        save(lake, of_new(rows[0], first), "bob", side=22)
