"""Re-annotation batches: what is sent, to whom, and when it is done."""

from collections import Counter
from uuid import uuid4

import numpy as np
import pytest
from samples import NOON, draw, later, run_with_masks
from test_drawing import correction, square

from curation.errors import InputError, QueryError
from curation.review import batches, drawing, opening, queue, verdicts
from curation.review.batches import Place, shares
from curation.review.opening import Request
from curation.review.verdicts import Verdict
from curation.schemas import TABLES


@pytest.fixture
def rows(lake):
    """Six images with four masks each."""
    return run_with_masks(lake, 6, 4)[1]


def ids_of(rows) -> list[int]:
    return [row["mask_id"] for row in rows]


def give(lake, tasks, rater: str, decision: str = "accept", now=NOON) -> None:
    given = [Verdict(str(uuid4()), rater, decision, task_id=task.task_id, took_s=5.0) for task in tasks]
    assert not verdicts.give(lake, given, now).refused


def mend(lake, rater: str, batch: str, n: int = 1, now=NOON) -> list[queue.Task]:
    return queue.next_tasks(lake, rater, batch, n, now, purposes={"correct"})


def test_a_batch_and_its_sample_and_the_status_of_its_cluster_come_in_one_commit(lake, rows):
    members = [
        {"search_id": 2, "cluster": 7, **{k: row[k] for k in ("mask_id", "run_id", "image_id")}}
        for row in rows[:5]
    ]
    found = {
        **dict.fromkeys(
            ("bad_share_low", "rest_bad_share", "difference_low", "n_bad_low", "p_value", "q_value"), 0.0
        ),
        **dict.fromkeys(
            ("bad_share", "bad_share_high", "difference", "difference_high", "n_bad", "n_bad_high"), 0.5
        ),
        **dict.fromkeys(("n_masks", "n_images", "n_labelled_masks", "n_labelled_images"), 5),
        "search_id": 2,
        "cluster": 7,
        "kind": "slice",
        "words": "small",
        "failure_mode": "other",
        "failure_mode_shares": "{}",
        "searched_at": NOON,
        "search": "{}",
    }
    tables = {"clusters": [found], "cluster_members": members}
    lake.append({name: TABLES[name].table(some) for name, some in tables.items()}, "clusters")
    before = lake.version()
    opened = opening.open_batch(
        lake, Request("b", cluster=7, annotators=("ann", "bob"), double_share=0.4), NOON
    )
    assert lake.version() == before + 1
    assert (opened.batch.n_masks, opened.batch.search_id, opened.batch.snapshot_id) == (5, 2, before)
    assert opened.n_two_people == 2
    drawn = lake.query("FROM samples ORDER BY position").to_pylist()
    assert {row["design"] for row in drawn} == {"purposive"}
    assert {row["inclusion_probability"] for row in drawn} == {None}
    assert sorted(row["mask_id"] for row in drawn) == ids_of(rows[:5])
    event = lake.query("FROM cluster_events").to_pylist()[0]
    assert (event["cluster"], event["status"], event["batch"]) == (7, "in_re_annotation", "b")


def test_corrected_masks_are_left_out_and_an_empty_batch_is_refused(lake, rows):
    saved = drawing.save(lake, correction(rows[0], "ann", square(0, 0, 20)), NOON)
    opened = opening.open_batch(lake, Request("b", mask_ids=ids_of(rows[:3])), NOON)
    assert (opened.n_superseded, opened.batch.n_masks) == (1, 2)
    with pytest.raises(InputError, match="all 1 masks are corrected already"):
        opening.open_batch(lake, Request("c", mask_ids=ids_of(rows[:1])))
    with pytest.raises(InputError, match="it has no masks"):
        opening.open_batch(lake, Request("c", where="area_px < 0"))
    opened = opening.open_batch(lake, Request("d", where="drawn_by = 'ann'"), NOON)
    assert [place.mask_id for place in batches.places(lake.con, "d")] == [saved.mask_id]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"mask_ids": [1]}, InputError, "not in this workspace"),
        ({"cluster": 3}, InputError, "no such cluster"),
        ({"sample": "x"}, InputError, "no sample 'x'"),
        ({"where": "nothing > 1"}, QueryError, "nothing"),
        ({}, InputError, "takes one of"),
        ({"where": "true", "annotators": ("ann", "ann")}, InputError, "name each once"),
        ({"where": "true", "annotators": ("ann",), "double_share": 0.5}, InputError, "two annotators"),
        ({"where": "true", "double_share": 1.5}, InputError, "0..1"),
        ({"where": "true", "name": "1"}, InputError, "start with a letter"),
    ],
)
def test_what_cannot_be_opened_is_refused_and_nothing_is_written(lake, rows, changes, error, message):
    version = lake.version()
    with pytest.raises(error, match=message):
        opening.open_batch(lake, Request(**{"name": "b", **changes}))
    assert lake.version() == version


def test_a_taken_name_is_refused(lake, rows):
    draw(lake, "b", rows)
    with pytest.raises(InputError, match="there already"):
        opening.open_batch(lake, Request("b", where="true"))


def test_every_mask_is_offered_to_its_annotators_alone(lake, rows):
    opening.open_batch(lake, Request("b", where="true", annotators=("ann", "bob"), double_share=0.0), NOON)
    with pytest.raises(InputError, match="is for ann, bob"):
        mend(lake, "eve", "b")
    seen: Counter[str] = Counter()
    masks = set()
    while True:
        n = 0
        for rater in ("ann", "bob"):
            tasks = mend(lake, rater, "b", 3)
            give(lake, tasks, rater)
            seen[rater] += len(tasks)
            masks |= {task.mask_id for task in tasks}
            n += len(tasks)
        if not n:
            break
    assert masks == set(ids_of(rows))
    assert seen == {"ann": 12, "bob": 12}
    assert not mend(lake, "ann", "b")


def test_nobody_hoards_and_who_is_done_helps(lake, rows):
    opening.open_batch(lake, Request("b", where="true", annotators=("ann", "bob"), double_share=0.0), NOON)
    assert len(mend(lake, "ann", "b", 20)) == 12
    assert mend(lake, "ann", "b", 20) == []
    give(lake, queue.open_tasks(lake, "ann", "b", NOON), "ann")
    helped = mend(lake, "ann", "b", 20)
    assert 0 < len(helped) <= 6
    of_bob = mend(lake, "bob", "b", 20)
    assert not {task.mask_id for task in of_bob} & {task.mask_id for task in helped}
    # A lease that ends frees the mask.
    assert len(mend(lake, "bob", "b", 20, later(1000))) > 0


def test_two_people_correct_one_mask_from_the_same_start(lake, rows):
    opening.open_batch(lake, Request("b", mask_ids=ids_of(rows[:1]), double_share=1.0), NOON)
    for rater, side in (("ann", 20), ("bob", 22)):
        (task,) = mend(lake, rater, "b")
        assert task.mask_id == rows[0]["mask_id"]
        drawing.save(lake, correction(rows[0], rater, square(0, 0, side), task_id=task.task_id), NOON)
        assert not mend(lake, rater, "b")
    assert not mend(lake, "eve", "b")
    drawn = lake.query("FROM drawn_masks ORDER BY mask_id").to_pylist()
    assert {row["shown_mask_id"] for row in drawn} == {rows[0]["mask_id"]}
    assert drawn[1]["supersedes"] == drawn[0]["mask_id"]


def test_a_mask_that_was_corrected_elsewhere_is_offered_no_more(lake, rows):
    opening.open_batch(lake, Request("b", mask_ids=ids_of(rows[:2])), NOON)
    drawing.save(lake, correction(rows[0], "eve", square(0, 0, 20)), NOON)
    assert {task.mask_id for task in mend(lake, "ann", "b", 5)} == {rows[1]["mask_id"]}


def test_the_masks_of_an_image_come_one_after_the_other(lake, rows):
    opening.open_batch(lake, Request("b", where="true"), NOON)
    images = [place.image_id for place in batches.places(lake.con, "b")]
    assert 1 + np.count_nonzero(np.diff(images)) == 6


def test_shares_are_equal_and_two_people_are_two():
    rng = np.random.default_rng(0)
    of = [
        Place(k, 1, int(image), int(1 + (rng.random() < 0.2)))
        for k, image in enumerate(np.sort(rng.integers(40, size=500)))
    ]
    owners = shares(of, ("ann", "bob", "eve"))
    load = Counter(name for names in owners.values() for name in names)
    assert sum(load.values()) == sum(place.n_people for place in of)
    assert max(load.values()) - min(load.values()) <= batches.TOGETHER
    assert all(len(set(owners[place.mask_id])) == place.n_people for place in of)
    alone = shares([Place(k, 1, 5, 1) for k in range(100)], ("ann", "bob"))
    assert max(Counter(names[0] for names in alone.values()).values()) == 50
