"""Plans against exact numbers, and against trying all of them."""

import numpy as np
import pytest
from scipy import stats

from curation.errors import InputError
from curation.sampling import planner, samples
from curation.sampling.samples import Request
from curation.schemas import TABLES
from tests.sampling.judged_lake import fill, judge


@pytest.mark.parametrize(("rate", "n_masks"), [(0.01, 299), (0.005, 598), (0.001, 2995)])
def test_clean_reviews_bound_a_rate(rate, n_masks):
    assert planner.for_bound(rate).n_masks == n_masks
    # Exactly so many: what clean reviews leave possible is under the rate, with one less it is not.
    assert 1 - 0.05 ** (1 / n_masks) < rate <= 1 - 0.05 ** (1 / (n_masks - 1))


@pytest.mark.parametrize("n_bad", [1, 2, 5])
def test_bad_ones_may_be_among_them(n_bad):
    n = planner.for_bound(0.02, n_bad).n_masks
    upper = stats.beta.ppf(0.95, n_bad + 1, n - n_bad)  # Clopper and Pearson, one-sided
    assert upper <= 0.02 < stats.beta.ppf(0.95, n_bad + 1, n - 1 - n_bad)


def test_a_half_width_takes_what_the_normal_interval_takes():
    plan = planner.for_half_width(0.02, 0.9)
    assert plan.n_masks == 865  # 1.96² · 0.9 · 0.1 / 0.02²
    assert planner.for_half_width(0.02, 0.9, design_effect=1.4).n_masks == 1211
    assert planner.for_half_width(0.02, 0.9, n_frame=1000).n_masks == 464
    assert planner.for_half_width(0.02, 0.9, masks_per_image=5).n_images == 173


@pytest.mark.parametrize(("acceptable", "limit"), [(0.01, 0.05), (0.02, 0.08), (0.005, 0.03), (0.1, 0.3)])
def test_an_acceptance_plan_is_the_smallest_that_holds_both_risks(acceptable, limit):
    plan = planner.acceptance(acceptable, limit)
    assert plan.producers_risk <= 0.05
    assert plan.consumers_risk <= 0.10
    for n in range(1, plan.n_masks):
        most_bad = np.arange(n)
        holds = (stats.binom.sf(most_bad, n, acceptable) <= 0.05) & (
            stats.binom.cdf(most_bad, n, limit) <= 0.10
        )
        assert not holds.any()


def test_the_curve_falls_from_one_and_goes_through_both_points():
    plan = planner.acceptance(0.01, 0.05)
    assert (plan.n_masks, plan.most_bad) == (132, 3)
    curve = plan.curve()
    rates, accepted = (column.to_numpy() for column in curve.columns)
    assert accepted[0] == 1
    assert (np.diff(accepted) <= 0).all()
    assert np.interp(0.01, rates, accepted) == pytest.approx(1 - plan.producers_risk, abs=1e-9)
    assert np.interp(0.05, rates, accepted) == pytest.approx(plan.consumers_risk, abs=1e-9)


def test_the_correlation_inside_images_is_found():
    rng = np.random.default_rng(0)
    image = np.repeat(np.arange(2_000), 8)
    p = rng.beta(0.8 * 4, 0.2 * 4, 2_000)  # two masks of one image correlate by 1 / 5
    is_good = (rng.random(len(image)) < p[image]).astype(float)
    assert planner.correlation_of(image, is_good) == pytest.approx(0.2, abs=0.02)
    assert planner.correlation_of(np.arange(5), np.ones(5)) is None
    assert planner.correlation_of(np.array([1, 1, 2, 2]), np.ones(4)) == 0
    assert planner.design_effect(0.2, 8) == pytest.approx(2.4)
    assert planner.design_effect(-0.1, 8) == 1


def test_a_plan_knows_what_was_judged_so_far(lake):
    assert planner.so_far(lake) is None
    fill(lake, [10] * 6)
    samples.draw(lake, Request("s", "two_stage", 30))
    samples.draw(lake, Request("worst", "purposive", 5, by="worst", risk="1 - predicted_iou"))
    images = lake.query("SELECT mask_id, image_id FROM samples WHERE sample = 's'").to_pylist()
    ranks = {image: k for k, image in enumerate(sorted({row["image_id"] for row in images}))}
    judge(lake, "s", {r["mask_id"]: ["accept" if ranks[r["image_id"]] % 2 else "reject"] for r in images})
    worst = lake.query("SELECT mask_id FROM samples WHERE sample = 'worst'")["mask_id"].to_pylist()
    judge(lake, "worst", {mask: ["reject"] for mask in worst})
    found = planner.so_far(lake)
    assert (found.share, found.n_masks, found.n_images, found.source) == (0.5, 30, 6, "verdicts")
    assert found.correlation == pytest.approx(1)


def test_without_verdicts_gold_tells_and_gold_of_a_crowd_tells_nothing(lake):
    fill(lake, [3, 3])
    ids = lake.query("SELECT run_id, image_id, mask_id FROM masks ORDER BY mask_id").to_pylist()
    ious = (0.95, 0.95, 0.0, 0.95, 0.5, 0.5)
    matches = [
        {**row, "gold_run_id": 9, "gold_iou": iou, "coco_ignored": int(iou == 0)}
        for row, iou in zip(ids, ious, strict=True)
    ]
    lake.append({"gold_matches": TABLES["gold_matches"].table(matches)}, "gold")
    found = planner.so_far(lake)
    assert (found.share, found.n_masks, found.n_images, found.source) == (0.6, 5, 2, "gold")


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (lambda: planner.for_half_width(0), "--half-width 0: it must be above 0"),
        (lambda: planner.for_bound(1.5), "--bound 1.5"),
        (lambda: planner.for_bound(0.1, -1), "--bad -1"),
        (lambda: planner.acceptance(0.05, 0.01), "--limit 0.01: it must be above 0.05"),
        (lambda: planner.acceptance(0.01, 0.0101), "so near that about 8"),
    ],
)
def test_what_cannot_be_planned_is_refused(plan, said):
    with pytest.raises(InputError, match=said):
        plan()
