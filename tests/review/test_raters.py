"""Figures of one rater from verdicts whose answers are known."""

import numpy as np
import pytest
from samples import later
from test_queue import match_gold
from test_verdicts import opinion

from curation import queries
from curation.review import raters
from curation.schemas import TABLES
from curation.settings import REVIEW


def put(lake, rows: list[dict]) -> None:
    lake.append({"verdicts": TABLES["verdicts"].table(rows)}, "verdicts")


def figures(lake, rater: str = "ann") -> dict[str, dict]:
    return {row["figure"]: row for row in raters.quality(lake, rater=rater).to_pylist()}


def test_pauses_are_no_working_time(lake):
    times = [0, 4, 8, 12, 12 + 600, 616, 620]
    put(lake, [opinion(k, "ann", "accept", image_id=k, given_at=later(t)) for k, t in enumerate(times)])
    found = figures(lake)["verdicts_per_hour"]
    assert (found["estimate"], found["n_verdicts"], found["unit"]) == (pytest.approx(900), 5, "1/h")


def test_gold_and_repeats_say_how_reliable_a_rater_is(lake):
    match_gold(
        lake,
        [{"mask_id": m, "run_id": 1, "image_id": m} for m in range(100, 106)],
        [0.95, 0.95, 0.9, 0.2, 0.49, 0.7],
    )
    answers = ["accept", "accept", "fix", "reject", "accept", "accept"]
    checks = [
        opinion(100 + k, "ann", answer, "gold_check", image_id=k, given_at=later(k))
        for k, answer in enumerate(answers)
    ]
    firsts = [
        opinion(k, "ann", d, image_id=k, given_at=later(100 + k))
        for k, d in enumerate(["accept", "fix", "reject"])
    ]
    again = [
        opinion(k, "ann", d, "repeat", image_id=k, given_at=later(200 + k))
        for k, d in enumerate(["accept", "reject", "accept"])
    ]
    put(lake, checks + firsts + again)
    found = figures(lake)
    assert {name: (row["estimate"], row["n_verdicts"]) for name, row in found.items() if "gold" in name} == {
        "gold_agreement": (pytest.approx(3 / 5), 5),
        "gold_good_accepted": (pytest.approx(2 / 3), 3),
        "gold_bad_refused": (pytest.approx(1 / 2), 2),
    }
    assert found["repeat_equal"]["estimate"] == pytest.approx(1 / 3)
    assert found["repeat_equal_accept"]["estimate"] == pytest.approx(2 / 3)
    assert found["accept_share"]["n_verdicts"] == 3


@pytest.mark.parametrize(("early", "late", "drifts"), [(0.9, 0.3, True), (0.6, 0.6, False)])
def test_drift_is_seen_and_only_where_there_is_some(lake, early, late, drifts):
    rng = np.random.default_rng(1)
    chances = np.linspace(early, late, 400)
    put(
        lake,
        [
            opinion(k, "ann", "accept" if rng.random() < p else "fix", image_id=k % 80, given_at=later(5 * k))
            for k, p in enumerate(chances)
        ],
    )
    found = figures(lake)["accept_drift"]
    assert found["low"] <= found["estimate"] <= found["high"]
    assert (found["high"] < 0) == drifts
    assert found["estimate"] == pytest.approx((late - early) / 4, abs=0.06)


def test_reasons_are_compared_with_those_of_others(lake):
    put(
        lake,
        [
            opinion(1, "ann", "fix", reasons=["poor_edge"]),
            opinion(1, "bob", "fix", reasons=["missed_part"]),
            opinion(2, "ann", "fix", reasons=["poor_edge"]),
            opinion(2, "bob", "reject", reasons=["poor_edge"]),
            opinion(3, "ann", "fix", reasons=["poor_edge"]),
            opinion(3, "bob", "fix"),
            opinion(4, "ann", "fix", reasons=["merged"]),
            opinion(4, "bob", "accept"),
        ],
    )
    rows = [r for r in raters.reason_confusion(lake).to_pylist() if r["rater"] == "ann"]
    assert {(r["reason"], r["other_reason"]): (r["n_masks"], r["share"]) for r in rows} == {
        ("poor_edge", "missed_part"): (1, pytest.approx(1 / 3)),
        ("poor_edge", "poor_edge"): (1, pytest.approx(1 / 3)),
        ("poor_edge", None): (1, pytest.approx(1 / 3)),
    }


def test_nothing_judged_gives_no_rows(lake):
    assert raters.quality(lake).num_rows == 0
    assert raters.reason_confusion(lake).num_rows == 0


def test_reports_take_the_same_limits_as_the_queue():
    limits = {p.name: p.default for p in queries.get("rater_quality").params}
    assert (limits["good_iou"], limits["bad_iou"]) == (REVIEW.gold_check_good_iou, REVIEW.gold_check_bad_iou)
    pauses = {p.name: p.default for p in queries.get("review_throughput").params}
    assert pauses["break_s"] == REVIEW.break_gap_s
