"""Agreement of raters against scikit-learn, published examples and hand-made cases."""

from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import NOON, run_with_masks
from test_drawing import correction, square
from test_verdicts import opinion

from curation.review import agreement, drawing
from curation.review.intervals import of_totals
from curation.schemas import TABLES

#: Krippendorff (2011), section E: four observers, twelve units, gaps (0 stands for none).
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
)


def coincidences_of(values: np.ndarray, categories) -> np.ndarray:
    counts = np.stack([(values == category).sum(axis=0) for category in categories], axis=1)
    return agreement.coincidences(counts).sum(axis=0)


@pytest.mark.parametrize(
    ("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_alpha_is_the_published_one(level, published):
    found = agreement.alpha(coincidences_of(OBSERVERS, range(1, 6)), level)
    assert found == pytest.approx(published, abs=5e-4)


def test_alpha_of_two_observers_is_the_published_one():
    """Krippendorff (2011), section A: two observers, binary."""
    values = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]])
    assert agreement.alpha(coincidences_of(values, (0, 1))) == pytest.approx(0.095, abs=5e-4)


answers = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


@settings(max_examples=200, deadline=None)
@given(answers)
def test_kappa_is_that_of_scikit_learn(pairs):
    metrics = pytest.importorskip("sklearn.metrics")
    a, b = zip(*pairs, strict=True)
    table = np.zeros((4, 4))
    np.add.at(table, (a, b), 1)
    found = agreement.kappa(table)
    if len({*a, *b}) == 1:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(metrics.cohen_kappa_score(a, b, labels=range(4)), abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=5), min_size=2, max_size=30))
def test_alpha_is_that_of_its_definition(units):
    """Disagreement of every pair of values, in units and over all units."""
    counts = np.array([[unit.count(value) for value in range(4)] for unit in units])
    found = agreement.alpha(agreement.coincidences(counts).sum(axis=0), "interval")
    values = [v for unit in units for v in unit]
    n = len(values)
    observed = sum(
        sum((a - b) ** 2 for i, a in enumerate(unit) for j, b in enumerate(unit) if i != j) / (len(unit) - 1)
        for unit in units
    )
    expected = sum((a - b) ** 2 for a in values for b in values) / (n - 1)
    if expected == 0:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(1 - observed / expected, abs=1e-9)


def test_the_interval_of_a_mean_over_images_covers():
    """Ratios of clustered 0/1 values: 95 % intervals hold the truth in about 95 of 100 cases."""
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(200):
        sizes = rng.integers(1, 8, 30)
        chances = rng.beta(6, 4, 30)
        totals = np.stack([rng.binomial(sizes, chances), sizes], axis=1).astype(float)
        found = of_totals(totals, lambda t: t[:, 0] / t[:, 1], (0, 1), n_replicates=400)
        held += found.low <= 0.6 <= found.high
    assert 0.90 <= held / 200 <= 0.99


def put(lake, *rows: dict) -> None:
    lake.append({"verdicts": TABLES["verdicts"].table(list(rows))}, "verdicts")


def figures(lake) -> dict[tuple, dict]:
    rows = agreement.agreement(lake).to_pylist()
    return {(r["figure"], r["of"], r["rater"], r["other"]): r for r in rows}


def test_pairs_all_and_held_out_of_a_few_masks(lake):
    said = {
        ("ann", "review"): "accept accept fix reject accept accept",
        ("bob", "double_review"): "accept fix fix reject accept accept",
        ("eve", "double_review"): "accept accept fix fix",
    }
    put(
        lake,
        *(
            opinion(k, rater, decision, purpose, image_id=k // 2, rating=9 if decision == "accept" else 4)
            for (rater, purpose), decisions in said.items()
            for k, decision in enumerate(decisions.split())
        ),
        opinion(0, "ann", "reject", "repeat", image_id=0),
        opinion(9, "ann", "reject", "gold_check", image_id=4),
    )
    found = figures(lake)
    # Ann and Bob: 5 of 6 equal; by chance (4*3 + 1*2 + 1*1) / 36.
    expected = 15 / 36
    assert found["cohen_kappa", "decision", "ann", "bob"]["estimate"] == pytest.approx(
        (5 / 6 - expected) / (1 - expected)
    )
    assert found["equal_share", "decision", "ann", "bob"]["estimate"] == pytest.approx(5 / 6)
    assert found["equal_share", "decision", "ann", "bob"]["n_images"] == 3
    # Four masks have two others; the rest agree on masks 0 and 2 for all, on 1 and 3 for who is alone or not.
    held = {r: found["human_ceiling", "decision", r, None] for r in ("ann", "bob", "eve")}
    assert {r: (row["estimate"], row["n_masks"]) for r, row in held.items()} == {
        "ann": (1.0, 2),
        "bob": (pytest.approx(2 / 3), 3),
        "eve": (pytest.approx(2 / 3), 3),
    }
    assert found["human_ceiling", "decision", None, None]["n_masks"] == 8
    assert found["krippendorff_alpha", "rating_interval", None, None]["estimate"] < 1
    for row in found.values():
        if row["low"] is not None:
            assert row["low"] <= row["estimate"] <= row["high"]


def test_corrections_of_two_people_are_compared(lake):
    rows = run_with_masks(lake, 1, 2)[1]
    drawing.save(lake, correction(rows[0], "ann", square(0, 0, 20)), NOON)
    drawing.save(lake, correction(rows[0], "bob", square(0, 0, 10), drawn_id=str(uuid4())), NOON)
    drawing.save(lake, correction(rows[1], "bob", square(0, 0, 10)), NOON)
    found = figures(lake)
    both = found["iou", "correction", "ann", "bob"]
    assert (both["estimate"], both["n_masks"], both["low"]) == (pytest.approx(0.25), 1, None)
    assert found["iou", "correction", None, None]["estimate"] == pytest.approx(0.25)
    assert 0 < found["boundary_iou", "correction", "ann", "bob"]["estimate"] < 0.25


def test_nothing_judged_gives_no_rows(lake):
    assert agreement.agreement(lake).num_rows == 0
