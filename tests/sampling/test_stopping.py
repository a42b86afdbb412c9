"""A confidence sequence holds the truth at all looks, and narrows."""

import numpy as np
import pytest

from curation.errors import InputError
from curation.sampling import estimators, samples, stopping
from curation.sampling.samples import Request
from tests.sampling.judged_lake import by_position, fill, judge

LOOKS = (10, 20, 40, 70, 110, 160, 220, 300)


def misses(y: np.ndarray, x: np.ndarray, truth: float, most_x: float) -> bool:
    """Whether any look finds the truth outside."""
    bounds = (stopping.sequence(y[:n], x[:n], most_x) for n in LOOKS if n <= len(y))
    return any(not low <= truth <= high for low, high in bounds)


@pytest.mark.parametrize("share", [0.5, 0.94])
def test_looking_often_does_not_make_it_miss(share):
    """Wilson's intervals, looked at as often, miss far more than one in twenty."""
    rng, n_series = np.random.default_rng(0), 200
    wrong = naive = 0
    for _ in range(n_series):
        y = (rng.random(300) < share).astype(float)
        wrong += misses(y, np.ones(300), share, 1.0)
        shares = [(y[:n].mean(), n) for n in LOOKS]
        bounds = [estimators.wilson(np.array([p]), np.array([n]), np.array([1.96])) for p, n in shares]
        naive += any(not low[0] <= share <= high[0] for low, high in bounds)
    assert wrong / n_series <= 0.05
    assert naive / n_series > 0.10


def test_images_of_unequal_size_are_one_unit_each():
    """The share of good masks where large images are worse: sums of y over sums of x."""
    rng, n_series = np.random.default_rng(0), 150
    size = np.minimum(np.round(rng.lognormal(3, 0.7, 4_000)), 100) + 1
    p = np.where(size > 20, rng.beta(6, 2, 4_000), rng.beta(18, 2, 4_000))
    truth = (p * size).sum() / size.sum()
    assert truth < p.mean() - 0.03
    wrong = 0
    for _ in range(n_series):
        at = rng.choice(4_000, 220, replace=False)
        wrong += misses((p * size)[at], size[at], truth, 101.0)
    assert wrong / n_series <= 0.05


def test_it_narrows_and_the_order_does_not_matter():
    y = (np.arange(2_000) % 20 != 0).astype(float)
    widths = [np.subtract(*stopping.sequence(y[:n], np.ones(n), 1.0)[::-1]) for n in (50, 200, 800, 2_000)]
    assert (np.diff(widths) < 0).all()
    assert widths[-1] < 0.04
    shuffled = np.random.default_rng(0).permutation(y)
    assert stopping.sequence(shuffled, np.ones(2_000), 1.0) == stopping.sequence(y, np.ones(2_000), 1.0)
    assert stopping.sequence(np.zeros(0), np.zeros(0), 1.0) == pytest.approx((0, 1), abs=1e-9)


@pytest.mark.parametrize(
    "options",
    [
        {"design": "srs"},
        {"design": "stratified", "strata": "size_band"},
        {"design": "pps", "risk": "1.1 - predicted_iou"},
        {"design": "two_stage", "masks_per_image": 4},
    ],
    ids=lambda options: options["design"],
)
def test_the_app_is_told_when_enough_is_judged(lake, options):
    fill(lake, [8] * 40)
    samples.draw(lake, Request("s", size=140, **options))
    none = stopping.enough(lake, "s", half_width=0.15)
    assert (none.is_enough, none.low, none.high, none.n_units) == (False, 0, 1, 0)
    ids = by_position(lake, "s")
    judge(lake, "s", {mask: ["accept"] for mask in ids[:8]})
    few = stopping.enough(lake, "s", half_width=0.15)
    assert not few.is_enough
    judge(lake, "s", {mask: ["accept"] for mask in ids[8:]})
    all_ = stopping.enough(lake, "s", half_width=0.15)
    assert all_.is_enough
    assert all_.low < all_.share == pytest.approx(1)
    assert stopping.enough(lake, "s", "reject", below=0.25).is_enough
    assert not stopping.enough(lake, "s", "accept", above=0.999).is_enough


def test_a_census_leaves_no_doubt(lake):
    fill(lake, [5, 5])
    samples.draw(lake, Request("s", "srs", 10))
    judge(lake, "s", {m: ["accept" if k else "reject"] for k, m in enumerate(by_position(lake, "s"))})
    found = stopping.enough(lake, "s", half_width=0.001)
    assert (found.low, found.high) == (0.9, 0.9)
    assert found.is_enough


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "say one of"),
        ({"half_width": 0.1, "below": 0.1}, "say one of"),
        ({"half_width": 2.0}, "between 0 and 1"),
        ({"figure": "good", "below": 0.1}, "no figure 'good'; there are: accept"),
        ({"figure": "over_90", "below": 0.1}, "changes as masks are redrawn"),
    ],
)
def test_a_goal_must_be_said(lake, options, said):
    with pytest.raises(InputError, match=said):
        stopping.enough(lake, "s", **options)
