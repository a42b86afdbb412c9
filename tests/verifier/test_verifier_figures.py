"""Figures of a card: against scikit-learn and SciPy, weighted, and their intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from curation.verifier import figures

metrics = pytest.importorskip("sklearn.metrics")


@st.composite
def scored(draw):
    """Scores with ties, labels of both kinds, weights of which some are 0."""
    n = draw(st.integers(2, 40))
    score = np.array(draw(st.lists(st.integers(0, 8), min_size=n, max_size=n))) / 8
    is_good = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    weights = np.array(draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)), float)
    is_good[:2], weights[:2] = (True, False), 1
    return score, is_good, weights


@settings(max_examples=60, deadline=None)
@given(scored())
def test_auc_and_average_precision_are_those_of_scikit_learn(case):
    score, is_good, weights = case
    w = np.stack([weights, np.ones(len(score))])
    for row, sample_weight in enumerate(w):
        auc = metrics.roc_auc_score(is_good, score, sample_weight=sample_weight)
        assert figures.auc(score, is_good)(w)[row] == pytest.approx(auc)
        precision = metrics.average_precision_score(is_good, score, sample_weight=sample_weight)
        assert figures.average_precision(score, is_good)(w)[row] == pytest.approx(precision)


@settings(max_examples=60, deadline=None)
@given(scored())
def test_correlations_count_a_mask_as_often_as_it_weighs(case):
    x, is_good, weights = case
    y = x**2 + is_good
    often = np.repeat(np.arange(len(x)), weights.astype(int))
    for figure, peer in ((figures.pearson, stats.pearsonr), (figures.spearman, stats.spearmanr)):
        ours = figure(x, y)(weights[None])[0]
        if len({*x[often]}) > 1 and len({*y[often]}) > 1:
            assert ours == pytest.approx(peer(x[often], y[often])[0])
        else:
            assert np.isnan(ours)


@settings(max_examples=30, deadline=None)
@given(scored())
def test_a_monotone_change_of_scores_leaves_the_auc(case):
    score, is_good, _ = case
    once = np.ones((1, len(score)))
    assert figures.auc(score, is_good)(once) == pytest.approx(figures.auc(np.exp(3 * score), is_good)(once))
    assert figures.auc(-score, is_good)(once) == pytest.approx(1 - figures.auc(score, is_good)(once))


def test_the_curve_has_the_area_that_is_told():
    rng = np.random.default_rng(0)
    score = rng.random(300).round(2)
    is_good = rng.random(300) < score
    points = figures.curve(score, is_good)
    area = np.trapezoid(points["good_accepted"], points["bad_accepted"])
    assert area == pytest.approx(figures.auc(score, is_good)(np.ones((1, 300)))[0])
    assert (points["good_accepted"][0], points["good_accepted"][-1], points["threshold"][0]) == (0, 1, np.inf)


def test_the_same_images_give_the_same_bounds_however_many_fit_into_memory(monkeypatch):
    rng = np.random.default_rng(1)
    score, image_id = rng.random(200), np.repeat(np.arange(10), 20)
    asked = {"auc": figures.auc(score, rng.random(200) < score)}
    found = figures.estimates(asked, image_id)
    monkeypatch.setattr(figures, "CHUNK_WEIGHTS", 1_000)
    assert figures.estimates(asked, image_id) == found
    assert found["auc"].low < found["auc"].estimate < found["auc"].high


def test_what_cannot_be_told_is_none():
    score = np.array([0.2, 0.8])
    one_kind = figures.estimates({"auc": figures.auc(score, np.array([True, True]))}, np.array([1, 2]))
    assert one_kind["auc"] == figures.NOTHING
    one_image = figures.estimates({"auc": figures.auc(score, np.array([False, True]))}, np.array([1, 1]))
    assert one_image["auc"] == figures.Estimate(1.0, None, None)
    assert figures.estimates({"m": figures.mean(np.zeros(0))}, np.zeros(0, int))["m"] == figures.NOTHING


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Masks of an image share a shift, so an interval over masks alone would be too narrow."""

    def drawn(n_images, rng):
        image_id = np.repeat(np.arange(n_images), 20)
        quality = 0.6 * rng.normal(size=n_images)[image_id] + rng.normal(size=len(image_id))
        is_good = rng.random(len(image_id)) < 1 / (1 + np.exp(-1.5 * quality))
        return quality + 0.8 * rng.normal(size=len(image_id)), is_good, image_id

    rng = np.random.default_rng(2)
    score, is_good, _ = drawn(10_000, rng)
    truth = figures.auc(score, is_good)(np.ones((1, len(score))))[0]
    n_held = 0
    for _ in range(150):
        score, is_good, image_id = drawn(20, rng)
        found = figures.estimates({"auc": figures.auc(score, is_good)}, image_id, n_replicates=200)["auc"]
        n_held += found.low <= truth <= found.high
    assert n_held >= 0.89 * 150  # 95 % of 150, less three standard errors of what chance does to it


def test_a_thousand_replicates_of_five_thousand_masks_take_seconds():
    import time

    rng = np.random.default_rng(3)
    score, image_id = rng.random(5_000), np.repeat(np.arange(100), 50)
    asked = {"auc": figures.auc(score, rng.random(5_000) < score)}
    started = time.process_time()
    figures.estimates(asked, image_id, n_replicates=1_000)
    assert time.process_time() - started < 5


def test_calibration_error_by_hand():
    """Two bins of two images: scores 0.25 of which half are good, 0.75 of which all are."""
    score = np.array([0.25, 0.25, 0.75, 0.75])
    is_good = np.array([True, False, True, True])
    found = figures.calibration_error(score, is_good, np.array([1, 2, 1, 2]), n_bins=2)
    assert found.ece.estimate == pytest.approx(0.25)
    assert (found.mean_score.tolist(), found.good_share.tolist(), found.n_masks.tolist()) == (
        [0.25, 0.75],
        [0.5, 1],
        [2, 2],
    )
    assert found.by_chance > 0


def test_calibration_error_of_a_calibrated_score_is_what_chance_shows():
    rng = np.random.default_rng(4)
    score, image_id = rng.random(20_000), np.repeat(np.arange(200), 100)
    found = figures.calibration_error(score, rng.random(20_000) < score, image_id)
    assert found.ece.low == 0
    assert found.ece.estimate == pytest.approx(found.by_chance, rel=0.8)
    bad = figures.calibration_error(score, rng.random(20_000) < score**2, image_id)
    assert bad.ece.low > 0.1
