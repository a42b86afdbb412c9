"""Which mask comes to whom: leases, order, second opinions, hidden checks, balance."""

from collections import Counter
from dataclasses import replace

import pytest
from samples import NOON, draw, later, run_with_masks, verdict

from curation import settings
from curation.errors import InputError
from curation.review import checks, queue, rules
from curation.review.plan import fraction
from curation.review.verdicts import give
from curation.schemas import TABLES


@pytest.fixture
def sampled(lake):
    """A lake whose sample `s` holds 120 masks of 12 images."""
    _, rows = run_with_masks(lake, 12, 10)
    draw(lake, "s", rows)
    return lake


def set_shares(lake, **shares) -> None:
    """How often raters are checked; what is not said is not done."""
    lines = [f"{name} = {shares.get(name, 0.0)}" for name in ("gold_check", "repeat", "double_review")]
    (lake.root / rules.FILE).write_text("\n".join(["[shares]", *lines]))


@pytest.fixture
def single(lake):
    set_shares(lake)


def judge_all(
    lake, rater: str, second: int = 0, took_s: float = 3.0, purposes=queue.ROUTINE, sample="s"
) -> list:
    """Judge until nothing comes any more; the tasks in their order."""
    tasks = []
    while batch := queue.next_tasks(lake, rater, sample, 20, later(second + took_s * len(tasks)), purposes):
        times = [later(second + took_s * (len(tasks) + k)) for k in range(len(batch))]
        given = give(
            lake,
            [verdict(t, rater, took_s=took_s, given_at=at) for t, at in zip(batch, times, strict=True)],
            times[-1],
        )
        assert not given.refused
        tasks += batch
    return tasks


def ids(tasks) -> list[int]:
    return [task.mask_id for task in tasks]


def test_two_raters_get_different_masks_and_the_same_only_to_double_review(sampled):
    ann = judge_all(sampled, "ann")
    assert [queue.wants_second_opinion(sampled, name, "s") for name in ("ann", "bob")] == [False, True]
    bob = judge_all(sampled, "bob")
    assert not queue.wants_second_opinion(sampled, "eve", "s")
    first = {t.mask_id for t in ann if t.purpose == "review"}
    assert len(first) == 120
    second = {t.mask_id for t in bob if t.purpose == "double_review"}
    assert {t.purpose for t in bob} == {"double_review"}
    assert second == {m for m in first if fraction("double", "s", m) < 0.1}
    assert judge_all(sampled, "eve") == []
    found = queue.progress(sampled, "s", later(0))
    assert (found.n_drawn, found.n_judged, found.n_double_reviewed) == (120, 120, len(second))
    assert (found.n_verdicts_given, found.left_s) == (found.n_verdicts_wanted, 0.0)


def test_a_rater_never_sees_a_mask_twice_but_for_repeats(sampled):
    tasks = [t for t in judge_all(sampled, "ann") if t.purpose != "repeat"]
    assert max(Counter(ids(tasks)).values()) == 1


def test_what_one_holds_no_other_gets(sampled, single):
    ann = queue.next_tasks(sampled, "ann", "s", 20, NOON)
    bob = queue.next_tasks(sampled, "bob", "s", 20, NOON)
    assert len(ann) == len(bob) == 20
    assert not set(ids(ann)) & set(ids(bob))


def test_a_lease_that_ended_frees_the_mask(sampled, single):
    held = set(ids(queue.next_tasks(sampled, "ann", "s", 20, NOON)))
    assert not held & set(ids(queue.next_tasks(sampled, "bob", "s", 20, later(899))))
    free = set(ids(queue.next_tasks(sampled, "eve", "s", 20, later(901))))
    assert free & held


def test_a_lease_given_back_frees_the_mask_at_once_and_a_renewed_one_lives_on(sampled, single):
    held = queue.next_tasks(sampled, "ann", "s", 20, NOON)
    assert queue.open_tasks(sampled, "ann", "s", later(1)) != []
    queue.renew(sampled, "ann", "s", later(800))
    assert set(ids(queue.open_tasks(sampled, "ann", "s", later(1000)))) == set(ids(held))
    give(sampled, [verdict(held[0], "ann")], later(1000))
    queue.release(sampled, "ann", "s", later(1001))
    assert queue.open_tasks(sampled, "ann", "s", later(1001)) == []
    others = judge_all(sampled, "bob", 1002)
    assert held[0].mask_id not in ids(others)
    assert held[1].mask_id in ids(others)


def test_an_undone_verdict_opens_its_task_again(sampled, single):
    task = queue.next_tasks(sampled, "ann", "s", 1, NOON)[0]
    first = verdict(task, "ann")
    give(sampled, [first], NOON)
    assert queue.open_tasks(sampled, "ann", "s", later(1)) == []
    give(sampled, [verdict(task, "ann", "withdrawn", replaces=first.verdict_id)], later(2))
    assert ids(queue.open_tasks(sampled, "ann", "s", later(3))) == [task.mask_id]


def test_raters_go_through_the_sample_together_each_in_an_own_order(sampled, single):
    rows = sampled.query("SELECT mask_id FROM samples WHERE sample = 's' ORDER BY position")[
        "mask_id"
    ].to_pylist()
    ann = ids(judge_all(sampled, "ann"))
    assert set(ann[:100]) == set(rows[:100])
    assert ann[:100] != rows[:100]
    assert ann != sorted(ann, key=lambda m: fraction("order", "s", "bob", m))


def test_small_masks_come_last_and_apart(lake, single):
    _, large = run_with_masks(lake, 1, 15)
    _, small = run_with_masks(lake, 1, 10, side_px=10)
    draw(lake, "s", [*small, *large])
    first = queue.next_tasks(lake, "ann", "s", 20, NOON)
    assert {t.is_small for t in first} == {False}
    give(lake, [verdict(t, "ann") for t in first], NOON)
    second = queue.next_tasks(lake, "ann", "s", 20, later(60))
    assert [t.is_small for t in second] == [True] * 10


def test_skipped_masks_go_to_others(sampled, single):
    task = queue.next_tasks(sampled, "ann", "s", 1, NOON)[0]
    give(sampled, [verdict(task, "ann", "skip")], NOON)
    assert task.mask_id not in ids(judge_all(sampled, "ann", 10))
    assert ids(judge_all(sampled, "bob", 5000)) == [task.mask_id]


def test_slow_raters_hold_less_but_at_least_five(lake, single):
    _, rows = run_with_masks(lake, 12, 10)

    def held_after(rater: str, took_s: float) -> int:
        draw(lake, rater, rows)
        tasks = queue.next_tasks(lake, rater, rater, 5, NOON)
        give(lake, [verdict(t, rater, took_s=took_s) for t in tasks], NOON)
        return len(queue.next_tasks(lake, rater, rater, 100, NOON))

    assert held_after("fast", 2.0) == 40
    assert held_after("slow", 45.0) == 10
    assert held_after("slower", 300.0) == 5
    assert queue.next_tasks(lake, "slower", "slower", 20, NOON) == []


def test_the_last_masks_are_shared_out(lake, single):
    _, rows = run_with_masks(lake, 3, 10)
    draw(lake, "s", rows)
    assert len(queue.next_tasks(lake, "ann", "s", 5, NOON)) == 5
    # Two are at work, so of the 25 masks left bob is given a half.
    assert len(queue.next_tasks(lake, "bob", "s", 20, NOON)) == 13


def disagree(lake) -> int:
    """Ann and Bob judge one mask differently; the mask."""
    tasks = {r: queue.next_tasks(lake, r, "s", 1, NOON)[0] for r in ("ann", "bob")}
    assert tasks["ann"].mask_id == tasks["bob"].mask_id
    give(lake, [verdict(tasks["ann"], "ann", "accept"), verdict(tasks["bob"], "bob", "fix")], NOON)
    give(lake, [verdict(tasks["bob"], "bob", "fix")], NOON)
    return tasks["ann"].mask_id


@pytest.fixture
def doubled(lake):
    """A sample of one mask that two people judge."""
    set_shares(lake, double_review=1.0)
    draw(lake, "s", run_with_masks(lake, 1, 1)[1])
    return lake


def test_a_disagreement_goes_to_a_third_person_first_of_all(doubled):
    mask_id = disagree(doubled)
    for rater in ("ann", "bob"):
        assert queue.next_tasks(doubled, rater, "s", 5, NOON, queue.ALL) == []
    assert queue.next_tasks(doubled, "eve", "s", 5, NOON) == []
    task = queue.next_tasks(doubled, "eve", "s", 5, NOON, queue.ALL)[0]
    assert (task.mask_id, task.purpose) == (mask_id, "adjudicate")
    assert queue.next_tasks(doubled, "dan", "s", 5, NOON, queue.ALL) == []
    assert queue.progress(doubled, "s", NOON).n_disagreements == 1
    give(doubled, [verdict(task, "eve", "fix")], NOON)
    found = queue.progress(doubled, "s", NOON)
    assert (found.n_disagreements, found.n_adjudicated) == (0, 1)


def test_masks_to_mend_wait_for_somebody_to_redraw_them(sampled, single):
    task = queue.next_tasks(sampled, "ann", "s", 1, NOON)[0]
    give(sampled, [verdict(task, "ann", "fix")], NOON)
    found = queue.next_tasks(sampled, "eve", "s", 5, NOON, {"correct"})
    assert [(t.mask_id, t.purpose) for t in found] == [(task.mask_id, "correct")]


# -- hidden checks ---------------------------------------------------------------------------------


def match_gold(lake, rows: list[dict], ious: list[float]) -> None:
    matches = [
        {
            **{name: row[name] for name in ("run_id", "image_id", "mask_id")},
            "gold_run_id": 99,
            "gold_iou": iou,
            "best_gold_mask_id": 1,
            "gold_boundary_iou": iou,
            "coco_ignored": 0,
        }
        for row, iou in zip(rows, ious, strict=True)
    ]
    lake.append({"gold_matches": TABLES["gold_matches"].table(matches)}, "gold")


def test_hidden_gold_checks_are_clear_cases_outside_the_sample(lake):
    set_shares(lake, gold_check=0.3)
    _, rows = run_with_masks(lake, 20, 10)
    drawn, others = rows[:100], rows[100:]
    draw(lake, "s", drawn)
    # Drawn masks, and of the others a third good, a third bad and a third between.
    match_gold(lake, drawn + others, [0.95] * 100 + [(0.95, 0.3, 0.7)[k % 3] for k in range(100)])
    tasks = judge_all(lake, "ann")
    checks = [t for t in tasks if t.purpose == "gold_check"]
    iou = {row["mask_id"]: (0.95, 0.3, 0.7)[k % 3] for k, row in enumerate(others)}
    assert len(set(ids(checks))) == len(checks)
    assert {iou[t.mask_id] for t in checks} == {0.95, 0.3}
    assert 0.2 < len(checks) / len(tasks) < 0.4
    # Checks count in nothing but the figures of the rater.
    assert queue.progress(lake, "s", later(0)).n_judged == 100
    assert lake.query("SELECT count(*) AS n FROM settled_verdicts")["n"][0].as_py() == 100


def test_repeats_come_long_after_the_first_time(lake, monkeypatch):
    monkeypatch.setattr(checks, "REVIEW", replace(settings.REVIEW, repeat_after=30))
    set_shares(lake, repeat=0.2)
    _, rows = run_with_masks(lake, 20, 10)
    draw(lake, "s", rows)
    tasks = judge_all(lake, "ann")
    places: dict[int, list[int]] = {}
    for place, task in enumerate(tasks):
        places.setdefault(task.mask_id, []).append(place)
    repeats = [t for t in tasks if t.purpose == "repeat"]
    assert len(set(ids(repeats))) == len(repeats)
    assert all(places[t.mask_id][1] - places[t.mask_id][0] >= 30 for t in repeats)
    # What was due before anything was old enough is made up for.
    assert 0.12 < len(repeats) / len(tasks) < 0.28
    assert {t.purpose for t in tasks[:30]} == {"review"}


def test_checks_do_not_depend_on_how_many_are_asked_for_at_once(lake):
    set_shares(lake, gold_check=0.2)
    _, rows = run_with_masks(lake, 10, 10)
    draw(lake, "s", rows[:60])
    match_gold(lake, rows[60:], [0.95, 0.2] * 20)
    orders = []
    for n in (3, 11):
        tasks = []
        while batch := queue.next_tasks(lake, "ann", "s", n, later(len(tasks))):
            give(lake, [verdict(t, "ann") for t in batch], later(len(tasks)))
            tasks += batch
        orders.append({t.mask_id for t in tasks if t.purpose == "gold_check"})
        for name in ("tasks", "verdicts"):
            lake.commit(lambda con, name=name: con.execute(f"DELETE FROM {name}"), "start anew")
    assert orders[0] == orders[1]
    assert len(orders[0]) > 5


@pytest.mark.parametrize(
    ("rater", "sample", "n", "purposes", "message"),
    [
        (" ", "s", 5, queue.ROUTINE, "no name"),
        ("ann", "t", 5, queue.ROUTINE, "there are: s"),
        ("ann", "s", 0, queue.ROUTINE, "at least 1"),
        ("ann", "s", 5, {"gold_check"}, "allowed: adjudicate, correct"),
    ],
)
def test_what_cannot_be_is_said(sampled, rater, sample, n, purposes, message):
    with pytest.raises(InputError, match=message):
        queue.next_tasks(sampled, rater, sample, n, NOON, purposes)
