"""The proof of a batch: what it says of gold and of blind verdicts, and what the cluster's status makes of it."""

import json
from datetime import datetime, timedelta, timezone
from uuid import uuid4

import numpy as np
import pytest
from proof_lake import add_gold, add_run, correct

from curation.engine import proof
from curation.errors import InputError
from curation.lake import Lake
from curation.review import batches, opening, queue, verdicts
from curation.review.opening import Request
from curation.review.verdicts import Verdict
from curation.sampling import estimates
from curation.schemas import TABLES

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def rows(lake):
    """Twelve images with two masks each: squares of 30 px at (0, k)."""
    return add_run(lake, 12, 2, 30)


def add_cluster(lake, rows: list[dict], rest_bad_share: float) -> None:
    names = [c.name for c in TABLES["clusters"].columns if c.type == "double" and not c.nullable]
    found = {
        **dict.fromkeys(names, 0.5),
        **dict.fromkeys(("n_masks", "n_images", "n_labelled_masks", "n_labelled_images"), 5),
        "search_id": 1,
        "cluster": 1,
        "kind": "slice",
        "words": "small",
        "failure_mode": "other",
        "failure_mode_shares": "{}",
        "searched_at": NOON,
        "search": "{}",
        "rest_bad_share": rest_bad_share,
    }
    members = [
        {"search_id": 1, "cluster": 1, **{k: row[k] for k in ("mask_id", "run_id", "image_id")}}
        for row in rows
    ]
    tables = {"clusters": [found], "cluster_members": members}
    lake.append({name: TABLES[name].table(some) for name, some in tables.items()}, "clusters")


def statuses(lake) -> list[str]:
    return lake.query("SELECT status FROM cluster_events ORDER BY at_utc")["status"].to_pylist()


def judge(lake: Lake, sample: str, is_good) -> None:
    """Bob judges everything of a sample; `is_good` says how, by mask."""
    drawn = {row["mask_id"]: row for row in lake.query("FROM masks").to_pylist()}
    while tasks := queue.next_tasks(lake, "bob", sample, 20, NOON):
        given = [
            Verdict(
                str(uuid4()),
                "bob",
                "accept" if is_good(drawn[task.mask_id]) else "fix",
                task.task_id,
                took_s=1.0,
            )
            for task in tasks
        ]
        assert not verdicts.give(lake, given, NOON).refused


def test_gold_shows_that_a_cluster_is_fixed(lake, rows):
    add_cluster(lake, rows, rest_bad_share=0.5)
    add_gold(lake, rows, 20)
    opening.open_batch(lake, Request("b", cluster=1), NOON)
    found = proof.prove(lake, "b", now=later(1))
    assert found.is_fixed is False
    assert statuses(lake) == ["in_re_annotation"]
    correct(lake, rows[:-1], 20)
    found = proof.prove(lake, "b", by="eve", now=later(2))
    bad, iou = found.figures
    assert (bad["before"], bad["after"], bad["n_images"]) == (1.0, pytest.approx(1 / 24), 12)
    assert (bad["source"], iou["before"]) == ("gold", pytest.approx(400 / 900))
    assert 0.3 < bad["gain_low"] < bad["gain"] < bad["gain_high"] < 1
    assert bad["after_high"] < 0.5
    assert found.is_fixed
    assert statuses(lake) == ["in_re_annotation", "fixed"]
    proof.prove(lake, "b", now=later(3))
    assert statuses(lake) == ["in_re_annotation", "fixed"]
    event = lake.query("FROM cluster_events WHERE status = 'fixed'").to_pylist()[0]
    assert (event["batch"], event["by_whom"]) == ("b", "eve")
    assert "by gold" in event["note"]


def test_too_little_is_not_enough_and_it_says_how_much_more(lake, rows):
    add_cluster(lake, rows, rest_bad_share=0.02)
    add_gold(lake, rows, 20)
    opening.open_batch(lake, Request("b", cluster=1), NOON)
    correct(lake, rows, 20)
    found = proof.prove(lake, "b", now=later(2))
    assert found.is_fixed is None
    assert found.n_more > 24
    assert any("this batch alone cannot show it" in line for line in found.told)
    assert statuses(lake) == ["in_re_annotation"]
    assert proof.prove(lake, "b", max_bad=0.5).is_fixed


def test_a_rejected_mask_is_not_there_afterwards(lake, rows):
    add_gold(lake, rows, 20)
    opening.open_batch(lake, Request("b", where="true", double_share=0.0), NOON)
    tasks = queue.next_tasks(lake, "ann", "b", 4, NOON, purposes={"correct"})
    given = [Verdict(str(uuid4()), "ann", "reject", task.task_id) for task in tasks]
    verdicts.give(lake, given, NOON)
    (bad, _) = proof.prove(lake, "b").figures
    assert (bad["before"], bad["after"], bad["n_masks"]) == (1.0, 1.0, 24)
    kinds = [pair.kind for pair in proof.pairs(lake, batches.get(lake, "b"))]
    assert kinds.count("rejected") == 4


def test_without_gold_a_blind_sample_of_pairs_decides(lake, rows):
    opening.open_batch(lake, Request("b", where="true", double_share=0.0), NOON)
    correct(lake, rows[:20], 20)
    drawn = proof.prove(lake, "b", size=12, now=later(1))
    assert drawn.sample == "b-proof"
    assert drawn.figures == []
    table = lake.query("FROM samples WHERE sample = 'b-proof' ORDER BY position").to_pylist()
    strata = [row["stratum"] for row in table]
    assert (strata.count("changed, before"), strata.count("changed, after"), strata.count("unchanged")) == (
        10,
        10,
        2,
    )
    assert {row["inclusion_probability"] for row in table} == {0.5}
    assert strata[:10] != ["changed, before"] * 10
    assert json.loads(table[0]["options"])["proof_of"] == "b"
    waiting = proof.prove(lake, "b", size=8, now=later(2))
    assert (waiting.figures, waiting.sample) == ([], "b-proof")
    judge(lake, "b-proof", lambda mask: mask["area_px"] < 900)
    (bad,) = proof.prove(lake, "b", now=later(3)).figures
    assert (bad["before"], bad["after"], bad["n_masks"], bad["source"]) == (
        1.0,
        pytest.approx(4 / 24),
        12,
        "verdicts",
    )
    with pytest.raises(InputError, match="on purpose"):  # before and after are no rate together
        estimates.estimate(lake, "b-proof")
    more = proof.prove(lake, "b", size=8, now=later(4))
    assert more.sample == "b-proof-2"
    both = lake.query("SELECT mask_id FROM samples WHERE sample LIKE 'b-proof%'")["mask_id"].to_pylist()
    assert len(set(both)) == len(both)
    judge(lake, "b-proof-2", lambda mask: mask["area_px"] < 900)
    (bad,) = proof.prove(lake, "b", now=later(5)).figures
    assert bad["n_masks"] == 20


def test_masks_corrected_after_the_draw_are_told_and_not_mixed_in(lake, rows):
    opening.open_batch(lake, Request("b", where="true", double_share=0.0), NOON)
    correct(lake, rows[:20], 20)
    proof.prove(lake, "b", size=24, now=later(1))
    correct(lake, rows[20:], 20)
    judge(lake, "b-proof", lambda mask: mask["area_px"] < 900)
    found = proof.prove(lake, "b", now=later(2))
    assert any("4 of its masks were changed since" in line for line in found.told)
    assert found.figures[0]["after"] == pytest.approx(4 / 24)


def test_change_holds_its_level():
    """The interval of the gain covers what is true in 95 of 100 draws of images, also where nearly all are bad at first."""
    from curation.gold.differences import change

    rng = np.random.default_rng(0)

    def draw(n: int, before: float, after: float) -> tuple[np.ndarray, np.ndarray]:
        size = 1 + rng.poisson(2, n)
        hard = rng.normal(0, 1, n)
        logits = [np.log(p / (1 - p)) + hard for p in (before, after)]
        hits = [rng.binomial(size, 1 / (1 + np.exp(-logit))) for logit in logits]
        return np.stack([hits[0], size], 1), np.stack([hits[1], size], 1)

    for before, after, n in ((0.9, 0.05, 8), (0.6, 0.1, 20), (0.5, 0.5, 20)):
        many = draw(1_000_000, before, after)
        truth = (
            many[0].sum(axis=0)[0] / many[0].sum(axis=0)[1] - many[1].sum(axis=0)[0] / many[1].sum(axis=0)[1]
        )
        gains = [change(*draw(n, before, after)).gain for _ in range(400)]
        covered = np.mean([gain.low <= truth <= gain.high for gain in gains])
        assert covered > 0.925, (before, after, n, covered)
    assert np.isnan(change(np.zeros((0, 2)), np.zeros((0, 2))).gain.low)
