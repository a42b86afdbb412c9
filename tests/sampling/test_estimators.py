"""Estimates against the formulas of textbooks, at their limits, and against simulated truth."""

import numpy as np
import pytest

from benchmarks import estimates as simulation
from curation.errors import InputError
from curation.sampling import designs, estimators
from curation.sampling.estimators import Score, estimate
from curation.sampling.response import Answers, Drawn, answers

ONE = np.ones((1, 1))


def drawn(design: str, draw: designs.Draw, image: np.ndarray, stratum=None, is_small=None) -> Drawn:
    """A draw from a frame of masks with these images and strata (N,), as the table `samples` holds it."""
    at = draw.places
    stratum = np.zeros(len(image), np.int64) if stratum is None else stratum
    n_images = np.array([len(np.unique(image[stratum == h])) for h in range(stratum.max() + 1)])
    columns = {
        "stratum": stratum[at],
        "stratum_n_masks": np.bincount(stratum)[stratum[at]],
        "stratum_n_images": n_images[stratum[at]],
        "image_id": image[at],
        "image_n_masks": np.bincount(image)[image[at]],
        "inclusion_probability": draw.inclusion,
        "draw_probability": draw.single,
        "n_draws": draw.n_draws,
    }
    return Drawn(design, columns, np.zeros(len(at), bool) if is_small is None else is_small[at])


def all_answer(of: Drawn) -> Answers:
    return answers(of, np.ones(len(of.is_small), bool))


def share_of(of: Answers, is_good: np.ndarray, **options):
    """The share of good masks, of the masks with an answer (n,)."""
    y = is_good.astype(float)[:, None]
    return estimate(of, y, np.ones_like(y), **options)


@pytest.fixture(scope="module")
def frame():
    return simulation.population(60, 0.8, 0.2, seed=4)


def test_a_simple_sample_is_its_own_share(frame):
    draw = designs.simple(len(frame.image), 200, np.random.default_rng(0))
    good = frame.is_good[draw.places]
    found = share_of(all_answer(drawn("srs", draw, frame.image)), good)
    p, n, fraction = good.mean(), 200, 200 / len(frame.image)
    assert found.estimate[0] == pytest.approx(p)
    assert found.error[0] ** 2 == pytest.approx((1 - fraction) * p * (1 - p) / (n - 1))
    assert found.effective_n[0] == pytest.approx((n - 1) / (1 - fraction))
    assert found.design_effect[0] == pytest.approx(n * (1 - fraction) / (n - 1))
    assert (found.n_masks[0], found.n_images[0]) == (200, len(set(frame.image[draw.places])))


def test_a_stratified_sample_weighs_its_strata(frame):
    """Cochran 5.2: Σ W² (1 − f) s² / n."""
    sizes = np.array([40, 30, 50])
    draw = designs.stratified(frame.stratum, sizes, np.random.default_rng(0))
    good, stratum = frame.is_good[draw.places], frame.stratum[draw.places]
    found = share_of(all_answer(drawn("stratified", draw, frame.image, frame.stratum)), good)
    n_masks = np.bincount(frame.stratum)
    share = np.array([good[stratum == h].mean() for h in range(3)])
    squares = np.array([good[stratum == h].var(ddof=1) for h in range(3)])
    part = n_masks / n_masks.sum()
    assert found.estimate[0] == pytest.approx((part * share).sum())
    variance = (part**2 * (1 - sizes / n_masks) * squares / sizes).sum()
    assert found.error[0] ** 2 == pytest.approx(variance)


def test_draws_with_replacement_are_hansen_and_hurwitzs(frame):
    """Cochran 9A.3: the mean of y / p, and the variance of it over draws."""
    draw = designs.proportional_to_size(1.1 - frame.score, 150, np.random.default_rng(0))
    good = frame.is_good[draw.places]
    of = all_answer(drawn("pps", draw, frame.image))
    single = np.repeat(good / draw.single, draw.n_draws) / len(frame.image)
    found = share_of(of, good, is_total=True)
    assert found.estimate[0] == pytest.approx(single.mean())
    assert found.error[0] == pytest.approx(single.std(ddof=1) / np.sqrt(150))
    ratio = np.sum(draw.n_draws * good / draw.single) / np.sum(draw.n_draws / draw.single)
    assert share_of(of, good).estimate[0] == pytest.approx(ratio)


def test_two_stages_add_what_differs_inside_images(frame):
    """Cochran 11.9, written out image by image."""
    draw = designs.two_stage(frame.image, 20, 4, np.random.default_rng(0))
    good, image = frame.is_good[draw.places], frame.image[draw.places]
    found = share_of(all_answer(drawn("two_stage", draw, frame.image)), good, is_total=True)
    totals, inside = [], 0.0
    for i in dict.fromkeys(image):
        mine, size = good[image == i], (frame.image == i).sum()
        totals.append(size * mine.mean())
        if len(mine) < size:
            inside += size**2 * (1 - len(mine) / size) * mine.var(ddof=1) / len(mine)
    between = 60**2 * (1 - 20 / 60) * np.var(totals, ddof=1) / 20
    variance = between + 60 / 20 * inside
    assert found.estimate[0] == pytest.approx(60 * np.mean(totals) / len(frame.image))
    assert found.error[0] ** 2 == pytest.approx(variance / len(frame.image) ** 2)


@pytest.mark.parametrize("design", ["srs", "stratified", "two_stage"])
def test_a_census_is_the_truth_without_a_doubt(frame, design):
    rng, n = np.random.default_rng(0), len(frame.image)
    draw = {
        "srs": lambda: designs.simple(n, n, rng),
        "stratified": lambda: designs.stratified(frame.stratum, np.bincount(frame.stratum), rng),
        "two_stage": lambda: designs.two_stage(frame.image, 60, 10_000, rng),
    }[design]()
    stratum = frame.stratum if design == "stratified" else None
    found = share_of(all_answer(drawn(design, draw, frame.image, stratum)), frame.is_good[draw.places])
    assert found.estimate[0] == pytest.approx(frame.truth)
    assert found.low[0] == pytest.approx(frame.truth, abs=1e-9)
    assert found.high[0] == pytest.approx(frame.truth, abs=1e-9)
    assert np.isinf(found.effective_n[0])
    assert found.images_low[0] < frame.truth < found.images_high[0]  # other images could differ


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_masks_that_all_agree_leave_a_doubt(frame, value):
    draw = designs.two_stage(frame.image, 20, 4, np.random.default_rng(0))
    of = all_answer(drawn("two_stage", draw, frame.image))
    found = share_of(of, np.full(len(of.place), value))
    assert found.estimate[0] == value
    assert 0.08 < found.high[0] - found.low[0] < 0.4
    simple = designs.simple(len(frame.image), 80, np.random.default_rng(0))
    alone = share_of(all_answer(drawn("srs", simple, frame.image)), np.full(80, value))
    assert 0.03 < alone.high[0] - alone.low[0] < 0.07


def test_one_mask_has_no_bounds_and_none_no_estimate(frame):
    draw = designs.simple(len(frame.image), 5, np.random.default_rng(0))
    of = drawn("srs", draw, frame.image)
    one = answers(of, np.arange(5) == 2)
    found = share_of(one, np.ones(1))
    assert found.estimate[0] == 1
    assert np.isnan([found.low[0], found.high[0]]).all()
    none = share_of(answers(of, np.zeros(5, bool)), np.ones(0))
    assert np.isnan([none.estimate[0], none.low[0], none.high[0]]).all()
    assert none.n_masks[0] == 0


def test_a_sample_on_purpose_is_refused(frame):
    draw = designs.worst(frame.score, 5, np.random.default_rng(0))
    with pytest.raises(InputError, match="drawn on purpose"):
        all_answer(drawn("purposive", draw, frame.image))


def test_masks_without_an_answer_are_stood_for_by_those_like_them(frame):
    """Small masks are judged last: half of them and all others must count as many as if all were judged."""
    draw = designs.simple(len(frame.image), 300, np.random.default_rng(0))
    of = drawn("srs", draw, frame.image, is_small=frame.is_small)
    has_answer = ~of.is_small | (np.cumsum(of.is_small) % 2 == 0)
    found = answers(of, has_answer)
    small = of.is_small[found.place]
    n = len(frame.image)
    assert found.weight[small].sum() == pytest.approx(n * of.is_small.mean())
    assert found.weight[~small].sum() == pytest.approx(n * (1 - of.is_small.mean()))
    assert found.covered_share == 1
    without = answers(of, ~of.is_small)
    assert without.covered_share == pytest.approx(1 - of.is_small.mean())
    assert without.weight.sum() == pytest.approx(n * without.covered_share)


def test_a_slice_counts_the_masks_outside_it_in_its_variance(frame):
    """Cochran 2.13: the share of a part whose size is not known."""
    draw = designs.simple(len(frame.image), 300, np.random.default_rng(0))
    of = all_answer(drawn("srs", draw, frame.image))
    is_in, good = (frame.stratum == 1)[draw.places], frame.is_good[draw.places]
    found = estimate(of, (good & is_in)[:, None], is_in[:, None])
    p, m = good[is_in].mean(), is_in.sum()
    assert found.estimate[0] == pytest.approx(p)
    residual = np.where(is_in, good - p, 0)
    variance = (1 - 300 / len(frame.image)) * residual.var(ddof=1) / 300 / (m / 300) ** 2
    assert found.error[0] ** 2 == pytest.approx(variance)
    assert found.n_masks[0] == m


def test_a_score_takes_variance_away_as_far_as_it_agrees(frame):
    draw = designs.simple(len(frame.image), 300, np.random.default_rng(0))
    of, good = all_answer(drawn("srs", draw, frame.image)), frame.is_good[draw.places]

    def with_score(score: np.ndarray):
        return share_of(of, good, score=Score(score[draw.places], np.array([score.mean()])))

    plain = share_of(of, good)
    perfect = with_score(frame.is_good.astype(float))
    assert perfect.estimate[0] == pytest.approx(frame.truth)
    assert perfect.high[0] - perfect.low[0] < 0.05 or perfect.error[0] == 0
    useless = with_score(np.random.default_rng(1).random(len(frame.image)))
    assert useless.estimate[0] == pytest.approx(plain.estimate[0], abs=0.01)
    assert 0.97 < useless.gain[0] < 1.05  # a slope costs a little
    told = with_score(frame.score)
    assert told.gain[0] == pytest.approx((plain.error[0] / told.error[0]) ** 2)
    assert told.gain[0] > 1.2


def test_a_score_is_left_out_where_one_mask_would_tell_its_slope(frame):
    draw = designs.simple(len(frame.image), 30, np.random.default_rng(0))
    of, score = all_answer(drawn("srs", draw, frame.image)), frame.score[draw.places]
    is_good = score > score.min()  # a line through the only bad mask promises the world
    plain = share_of(of, is_good)
    scored = share_of(of, is_good, score=Score(score, np.array([frame.score.mean()])))
    assert (scored.estimate[0], scored.error[0], scored.gain[0]) == (plain.estimate[0], plain.error[0], 1)


@pytest.mark.parametrize("case", simulation.CASES, ids=lambda case: case.name)
def test_the_bootstrap_agrees_with_the_formula(case):
    frame = simulation.population(200, 0.8, 0.2, seed=3)
    of, at = simulation.sampled(frame, case, 300, np.random.default_rng(1))
    y = frame.is_good[at[of.place]].astype(float)[:, None]
    error = estimators.bootstrap_errors(of, y, np.ones_like(y))
    assert error[0] == pytest.approx(estimate(of, y, np.ones_like(y)).error[0], rel=0.15)


@pytest.mark.parametrize("case", simulation.CASES, ids=lambda case: case.name)
def test_estimates_have_no_bias_and_intervals_hold_the_truth(case):
    """A small run of benchmarks/estimates.py, with bounds that chance passes once in 10,000."""
    n = 150
    frames = [simulation.population(150, 0.85, 0.15, seed=k) for k in range(3)]
    line = simulation.simulate(frames, case, 200, n, seed=9)
    assert abs(line.bias) < 4
    assert line.covers > 0.95 - 4 * np.sqrt(0.95 * 0.05 / n)
