"""Verdicts: kept once, acknowledged when committed, taken back by adding, settled by majority or a third person."""

from datetime import datetime
from uuid import uuid4

import pytest
from samples import NOON, draw, later, run_with_masks, verdict

from curation.engine import maintenance
from curation.engine.maintenance import Keep
from curation.lake import Lake
from curation.review import adjudication, queue
from curation.review.verdicts import Verdict, give
from curation.schemas import TABLES


@pytest.fixture
def tasks(lake):
    """Twenty tasks of ann."""
    _, rows = run_with_masks(lake, 5, 10)
    draw(lake, "s", rows)
    return queue.next_tasks(lake, "ann", "s", 20, NOON)


def current(lake) -> list[tuple]:
    rows = lake.query("SELECT mask_id, decision FROM current_verdicts ORDER BY given_at, mask_id").to_pylist()
    return [(row["mask_id"], row["decision"]) for row in rows]


def test_sending_again_is_acknowledged_and_doubles_nothing(lake, tasks):
    sent = [verdict(task, "ann") for task in tasks]
    assert give(lake, sent, NOON).acknowledged == {v.verdict_id for v in sent}
    again = give(lake, [*sent, *sent[:3]], later(5))
    assert again.acknowledged == {v.verdict_id for v in sent}
    assert lake.query("SELECT count(*) AS n FROM verdicts")["n"][0].as_py() == 20


def test_one_bad_verdict_does_not_lose_the_others(lake, tasks):
    good = verdict(tasks[0], "ann", reasons=("merged", "poor_edge", "merged"), rating=6, note="<b>x</b>")
    bad = {
        "allowed: accept": verdict(tasks[1], "ann", "great"),
        "allowed: piece_of": verdict(tasks[1], "ann", reasons=("ugly",)),
        "1 to 10": verdict(tasks[1], "ann", rating=11),
        "whole numbers": verdict(tasks[1], "ann", rating=7.5),
        "half a character": verdict(tasks[1], "ann", note="\ud83d"),
        "zero character": verdict(tasks[1], "ann", note="a\0b"),
        "mask -1": Verdict(str(uuid4()), "ann", "accept", mask_id=-1),
        "0 s or more": verdict(tasks[1], "ann", took_s=float("nan")),
        "another rater": verdict(tasks[1], "bob"),
        "not known": Verdict(str(uuid4()), "ann", "accept", task_id="x"),
        "is of mask": verdict(tasks[1], "ann", mask_id=tasks[0].mask_id),
        "no such mask": Verdict(str(uuid4()), "ann", "accept", mask_id=5),
        "must name": verdict(tasks[1], "ann", "withdrawn"),
        "no verdict of": verdict(tasks[1], "ann", "withdrawn", replaces=str(uuid4())),
        "at most": verdict(tasks[1], "ann", note="x" * 5_000),
        "no time zone": verdict(tasks[1], "ann", given_at=datetime(2026, 1, 1)),
        "no UUID": Verdict("7", "ann", "accept", task_id=tasks[1].task_id),
    }
    given = give(lake, [*bad.values(), good], NOON)
    assert given.acknowledged == {good.verdict_id}
    assert len(given.refused) == len(bad)
    for words, one in bad.items():
        assert words in given.refused[one.verdict_id]
    row = lake.query("FROM verdicts").to_pylist()[0]
    assert (row["reasons"], row["rating"], row["note"]) == (["merged", "poor_edge"], 6, "<b>x</b>")
    assert (row["sample"], row["purpose"], row["committed_at"]) == ("s", "review", NOON)


@pytest.mark.parametrize("note", ["<b>bold</b>", "naïve 🐙", 'it\'s "so"', "two\nlines", "NULL", "{}"])
def test_notes_are_kept_to_the_letter(lake, tasks, note):
    give(lake, [verdict(tasks[0], "ann", note=note)], NOON)
    assert lake.query("SELECT note FROM verdicts")["note"].to_pylist() == [note]


def test_undo_takes_back_and_a_changed_mind_replaces(lake, tasks):
    first = verdict(tasks[0], "ann", "accept")
    changed = verdict(tasks[0], "ann", "fix", replaces=first.verdict_id)
    other = verdict(tasks[1], "ann", "reject")
    give(lake, [first, changed, other], NOON)
    assert sorted(current(lake)) == sorted([(tasks[0].mask_id, "fix"), (tasks[1].mask_id, "reject")])
    give(lake, [verdict(tasks[1], "ann", "withdrawn", replaces=other.verdict_id)], later(1))
    assert current(lake) == [(tasks[0].mask_id, "fix")]
    refused = give(lake, [verdict(tasks[0], "ann", "accept", replaces=first.verdict_id)], later(2)).refused
    assert "name that one" in next(iter(refused.values()))
    give(lake, [verdict(tasks[1], "ann", "accept")], later(3))
    assert (tasks[1].mask_id, "accept") in current(lake)


def test_a_second_opinion_of_one_person_on_one_mask_replaces_the_first(lake, tasks):
    give(lake, [verdict(tasks[0], "ann", "accept"), verdict(tasks[0], "ann", "reject")], NOON)
    assert current(lake) == [(tasks[0].mask_id, "reject")]


def test_late_verdicts_count_also_where_the_same_person_was_given_the_mask_again(lake, tasks):
    late = verdict(tasks[0], "ann", "reject", given_at=later(10))
    anew = queue.next_tasks(lake, "ann", "s", 20, later(1000))
    again = next(t for t in anew if t.mask_id == tasks[0].mask_id)
    give(lake, [verdict(again, "ann", "accept", given_at=later(1005))], later(1005))
    assert give(lake, [late], later(1010)).acknowledged == {late.verdict_id}
    assert len(current(lake)) == 1


def test_image_mode_counts_in_no_sample(lake, tasks):
    give(lake, [Verdict(str(uuid4()), "ann", "accept", mask_id=tasks[0].mask_id)], NOON)
    row = lake.query("FROM verdicts").to_pylist()[0]
    assert (row["purpose"], row["sample"], row["run_id"]) == ("image", None, tasks[0].run_id)
    assert lake.query("FROM settled_verdicts").num_rows == 0


def test_anothers_id_is_no_resend(lake, tasks):
    first = verdict(tasks[0], "ann")
    give(lake, [first], NOON)
    stolen = Verdict(first.verdict_id, "bob", "reject", task_id=tasks[0].task_id)
    assert "another rater" in give(lake, [stolen], NOON).refused[first.verdict_id]


def test_nothing_is_an_answer_without_a_commit(lake):
    version = lake.version()
    assert give(lake, []).acknowledged == set()
    assert lake.version() == version


# -- what counts -----------------------------------------------------------------------------------


def opinion(mask_id: int, rater: str, decision: str, purpose: str = "review", **changes) -> dict:
    return {
        "verdict_id": str(uuid4()),
        "sample": "s",
        "mask_id": mask_id,
        "run_id": 1,
        "image_id": 1,
        "rater": rater,
        "purpose": purpose,
        "decision": decision,
        "reasons": [],
        "took_s": 1.0,
        "given_at": NOON,
        "committed_at": NOON,
        **changes,
    }


@pytest.mark.parametrize(
    ("opinions", "decision", "is_accepted", "waits"),
    [
        (["accept"], "accept", True, False),
        (["accept", "accept"], "accept", True, False),
        (["accept", "fix"], None, None, True),
        (["fix", "reject"], None, False, True),
        (["accept", "fix", "fix"], "fix", False, False),
        (["accept", "fix", "reject"], None, False, True),
        (["accept", "unsure"], "accept", True, False),
        (["unsure"], "unsure", None, False),
        (["fix", "skip"], "fix", False, False),
    ],
)
def test_the_majority_settles_and_ties_wait(lake, opinions, decision, is_accepted, waits):
    rows = [opinion(1, f"r{k}", given) for k, given in enumerate(opinions)]
    lake.append({"verdicts": TABLES["verdicts"].table(rows)}, "verdicts")
    settled = lake.query("FROM settled_verdicts").to_pylist()[0]
    assert (settled["decision"], settled["is_accepted"], settled["needs_adjudication"]) == (
        decision,
        is_accepted,
        waits,
    )
    assert settled["n_raters"] == sum(given != "skip" for given in opinions)


def test_a_third_person_settles_and_hidden_checks_never_count(lake):
    rows = [
        opinion(1, "ann", "accept", rating=9),
        opinion(1, "bob", "reject", "double_review", rating=2, reasons=["merged"]),
        opinion(1, "eve", "fix", "adjudicate", rating=5, reasons=["poor_edge"]),
        opinion(1, "ann", "reject", "repeat"),
        opinion(2, "ann", "reject", "gold_check"),
    ]
    lake.append({"verdicts": TABLES["verdicts"].table(rows)}, "verdicts")
    settled = lake.query("FROM settled_verdicts").to_pylist()
    assert [(s["mask_id"], s["decision"], s["rating"], s["reasons"]) for s in settled] == [
        (1, "fix", 5.0, ["poor_edge"])
    ]
    assert (settled[0]["is_adjudicated"], settled[0]["n_raters"], settled[0]["needs_adjudication"]) == (
        True,
        2,
        False,
    )


def test_ratings_far_apart_wait_too(lake):
    rows = [opinion(m, "ann", "accept", rating=9) for m in (1, 2)]
    rows += [opinion(1, "bob", "accept", rating=6), opinion(2, "bob", "accept", rating=7)]
    draw(lake, "s", [{"mask_id": m, "run_id": 1, "image_id": 1} for m in (1, 2)])
    lake.append({"verdicts": TABLES["verdicts"].table(rows)}, "verdicts")
    waiting = adjudication.disagreements(lake, "s")
    assert [(d.mask_id, {o.rater: o.rating for o in d.opinions}) for d in waiting] == [
        (1, {"ann": 9, "bob": 6})
    ]


def test_small_commits_make_no_files_and_maintenance_keeps_every_version(lake, tasks):
    def files() -> list:
        return sorted((lake.root / "data").rglob("verdicts/**/*.parquet"))

    give(lake, [verdict(task, "ann", reasons=("merged",)) for task in tasks], NOON)
    version = lake.version()
    give(lake, [verdict(tasks[0], "ann", "fix")], later(1))
    assert files() == []
    before = lake.query("FROM verdicts ORDER BY verdict_id").to_pylist()
    flushed, *_ = maintenance.apply(lake, Keep())
    assert flushed.n >= 21
    assert len(files()) == 1
    assert lake.query("FROM verdicts ORDER BY verdict_id").to_pylist() == before
    with Lake.open(lake.root, at=version) as past:
        assert past.query("SELECT count(*) AS n FROM verdicts")["n"][0].as_py() == 20
