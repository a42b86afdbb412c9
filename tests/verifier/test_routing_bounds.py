"""Thresholds with a promise: bounds against their peers, and the promise against simulated truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks import routing as benchmark
from curation.verifier import routing_bounds
from curation.verifier.routing_bounds import STAKES, Labelled, Promise, Units, log_wealth


def labels(score, is_bad, unit=None, weight=None) -> Labelled:
    n = len(score)
    return Labelled(
        np.asarray(score, float),
        np.asarray(is_bad, bool),
        np.ones(n) if weight is None else np.asarray(weight, float),
        np.arange(n) if unit is None else np.asarray(unit),
    )


def spread_labels(n: int, bad_below: float, seed: int = 0) -> Labelled:
    score = np.random.default_rng(seed).random(n)
    return labels(score, score < bad_below)


@pytest.mark.parametrize(("n", "n_bad"), [(10, 0), (50, 3), (200, 11), (5, 5)])
@pytest.mark.parametrize("is_exact", [True, False])
def test_single_masks_have_the_binomial_bound(n, n_bad, is_exact):
    units = Units(np.ones(n), np.arange(n) < n_bad, n, is_plain=True)
    peer = stats.binomtest(n_bad, n, alternative="less").proportion_ci(0.95, "exact").high
    assert routing_bounds.upper_bound(units, 0.05, is_exact) == pytest.approx(peer)


@settings(deadline=None)
@given(
    sizes=st.lists(st.floats(0.1, 100), min_size=1, max_size=30),
    seed=st.integers(0, 10**6),
    limit=st.floats(0.005, 0.6),
)
def test_no_hypothesis_gives_wealth_on_average(sizes, seed, limit):
    """The wealth is linear in each share, so its mean is that at the mean shares; these are at the limit or above it."""
    size, rng = np.array(sizes), np.random.default_rng(seed)
    mean = rng.random(len(size)) ** rng.choice([0.2, 1, 5])
    total = size @ mean / size.sum()
    # Moved towards 0 or 1 until the limit is met, or all bad is put into few units.
    mean = mean * limit / total if total > limit else 1 - (1 - mean) * (1 - limit) / (1 - total)
    assert size @ mean / size.sum() >= limit - 1e-9
    assert log_wealth(size, mean, limit, STAKES).max() < 1e-6


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 40))
def test_the_exact_bound_is_at_least_what_units_of_one_size_need(seed, n):
    """n good images can never tell more than n good masks."""
    size = np.random.default_rng(seed).integers(1, 50, n).astype(float)
    units = Units(size, np.zeros(n), int(size.sum()), is_plain=False)
    assert routing_bounds.upper_bound(units, 0.05, is_exact=True) >= 1 - 0.05 ** (1 / n) - 1e-6


@pytest.mark.parametrize("is_exact", [True, False])
def test_bounds_fall_with_images_and_rise_with_bad_masks(is_exact):
    def bound(n_images: int, n_bad_images: int) -> float:
        share = np.where(np.arange(n_images) < n_bad_images, 0.5, 0.0)
        return routing_bounds.upper_bound(
            Units(np.full(n_images, 8.0), share, 8 * n_images, False), 0.05, is_exact
        )

    assert bound(400, 0) < bound(100, 0) < bound(50, 0)
    assert bound(100, 0) < bound(100, 3) < bound(100, 10)


def test_masks_are_accepted_from_where_they_are_good():
    chosen = routing_bounds.choose(spread_labels(3_000, bad_below=0.3), Promise(0.02, 0.95))
    assert 0.28 < chosen.threshold < 0.4
    assert chosen.bad_share <= chosen.bound <= 0.02
    assert chosen.passed[-1] == chosen.threshold == min(chosen.passed)
    assert chosen.more_masks is None
    mirrored = routing_bounds.choose(spread_labels(3_000, bad_below=0.3).mirrored(), Promise(0.05, 0.95))
    assert 0.25 < -mirrored.threshold < 0.35


def test_all_or_nothing_is_never_guessed():
    promise = Promise(0.02, 0.95)
    assert routing_bounds.choose(labels([], []), promise).more_masks == 149  # 0.98 ** 149 < 0.05
    few = routing_bounds.choose(spread_labels(60, bad_below=0.3), promise)
    assert few.threshold is None
    assert 100 < few.more_masks < 1_500
    rng = np.random.default_rng(0)
    useless = labels(rng.random(2_000), rng.random(2_000) < 0.3)
    assert routing_bounds.choose(useless, promise).threshold is None
    assert routing_bounds.choose(useless, promise).more_masks is None
    one_image = labels(rng.random(500), np.zeros(500), unit=np.zeros(500, int))
    assert routing_bounds.choose(one_image, promise).threshold is None


def test_what_it_asks_for_is_about_enough():
    promise = Promise(0.05, 0.95)
    few = spread_labels(70, bad_below=0.3)
    more = routing_bounds.choose(few, promise).more_masks
    enough = [
        routing_bounds.choose(spread_labels(70 + 2 * more, 0.3, seed), promise).threshold is not None
        for seed in range(20)
    ]
    assert sum(enough) >= 15


def test_weights_count_masks_for_those_that_they_stand_for():
    """Strata drawn at unequal rates: a bad mask that stands for ten counts ten times."""
    score, is_bad = np.tile([0.9, 0.8], 500), np.tile([False, False], 500)
    is_bad[1:100:20] = True
    weight = np.tile([1.0, 10.0], 500)
    units = routing_bounds.units_from(labels(score, is_bad, weight=weight), 0.5)
    assert units.bad_share == pytest.approx(5 * 10 / (500 + 5_000))
    assert not units.is_plain


def test_the_promise_is_kept_where_the_naive_one_breaks_it():
    case = next(case for case in benchmark.CASES if case.name == "whole images, 150, 1.2 % fail")
    line = benchmark.simulate(case, 40, seed=7)
    assert benchmark.is_kept(line, 40)
    assert line.accepted > 0.2
    assert not benchmark.is_kept(benchmark.simulate(case, 40, seed=7, is_naive=True), 40)


def test_the_exact_promise_is_kept():
    case = benchmark.Case("", benchmark.whole_images(150), 0.2, failed_images=0.05, is_exact=True)
    line = benchmark.simulate(case, 20, seed=1)
    assert benchmark.is_kept(line, 20)
    assert line.accepted > 0.2
