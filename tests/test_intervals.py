"""The interval macros of queries/macros against an independent implementation, and against simulated truth."""

import duckdb
import numpy as np
import pytest
from scipy import stats

from curation import settings


@pytest.fixture(scope="module")
def con():
    con = duckdb.connect()
    con.execute((settings.files("queries") / "macros" / "intervals.sql").read_text())
    return con


def interval(con, macro: str, y, x) -> dict:
    """The macro's STRUCT for per-image sums y and x."""
    con.register("images", {"y": np.asarray(y, float), "x": np.asarray(x, float)})
    return con.execute(f"SELECT {macro}(ratio_sums(y, x)) FROM images").fetchone()[0]


def linearised(y, x) -> tuple[float, float, int]:
    """Ratio, its variance and the number of images, straight from the definition in Cochran (1977), 6.4."""
    y, x = np.asarray(y, float), np.asarray(x, float)
    y, x = y[x > 0], x[x > 0]
    ratio = y.sum() / x.sum()
    residuals = y - ratio * x
    variance = (
        len(x) * residuals.var(ddof=1) / x.sum() ** 2
    )  # residuals sum to 0, so var is their mean square
    return ratio, variance, len(x)


def quantile(y, x) -> float:
    """Student's t with the degrees of freedom that the kurtosis of the residuals leaves (Satterthwaite, 1946)."""
    y, x = np.asarray(y, float), np.asarray(x, float)
    residuals = (y - y.sum() / x.sum() * x)[x > 0]  # they sum to 0
    kurtosis = len(residuals) * (residuals**4).sum() / (residuals**2).sum() ** 2
    freedom = 2 * len(residuals) / (kurtosis - 1) if kurtosis > 1 + 1e-12 else np.inf
    return stats.t.ppf(0.975, np.floor(np.clip(freedom, 1, len(residuals) - 1)))


@pytest.mark.parametrize("n_images", [2, 3, 11, 12, 40, 500])
def test_a_share_is_wilsons_interval_at_the_effective_n(con, n_images):
    rng = np.random.default_rng(n_images)
    x = rng.integers(0, 30, n_images) + (np.arange(n_images) < 2)
    y = rng.binomial(x, rng.beta(4, 2, n_images))
    ratio, variance, n_used = linearised(y, x)
    effective_n = min(ratio * (1 - ratio) / variance, x.sum())
    t = quantile(y, x)
    # Wilson's bounds are the roots of (p - ratio)^2 = t^2 p (1 - p) / n.
    a, b, c = 1 + t**2 / effective_n, -(2 * ratio + t**2 / effective_n), ratio**2
    low, high = np.sort(np.roots([a, b, c]))

    found = interval(con, "share_interval", y, x)
    assert (found["n_images"], found["n_units"]) == (n_used, x.sum())
    assert found["share"] == pytest.approx(ratio)
    assert found["effective_n"] == pytest.approx(effective_n)
    assert found["low"] == pytest.approx(low, abs=1e-5)
    assert found["high"] == pytest.approx(high, abs=1e-5)


@pytest.mark.parametrize("n_images", [2, 3, 11, 12, 40, 500])
def test_a_mean_is_the_linearised_t_interval(con, n_images):
    rng = np.random.default_rng(n_images)
    x = rng.integers(0, 30, n_images) + (np.arange(n_images) < 2)
    y = x * rng.normal(70, 5, n_images)
    ratio, variance, _ = linearised(y, x)
    half = quantile(y, x) * np.sqrt(variance)
    found = interval(con, "mean_interval", y, x)
    assert found["mean"] == pytest.approx(ratio)
    assert found["low"] == pytest.approx(ratio - half, abs=1e-4)
    assert found["high"] == pytest.approx(ratio + half, abs=1e-4)


@pytest.mark.parametrize("macro", ["share_interval", "mean_interval"])
def test_one_image_has_no_bounds_and_no_image_has_no_estimate(con, macro):
    one = interval(con, macro, [3], [4])
    estimate = "share" if macro == "share_interval" else "mean"
    assert (one[estimate], one["low"], one["high"], one["n_images"]) == (0.75, None, None, 1)
    for y, x in (([], []), ([0, 0], [0, 0])):
        none = interval(con, macro, y, x)
        assert (none[estimate], none["low"], none["high"]) == (None, None, None)
        assert (none["n_images"], none["n_units"]) == (0, 0)


@pytest.mark.parametrize(("y", "share"), [([5, 7, 3], 1.0), ([0, 0, 0], 0.0)])
def test_where_images_do_not_differ_only_the_images_count(con, y, share):
    found = interval(con, "share_interval", y, [5, 7, 3])
    assert (found["share"], found["effective_n"]) == (share, 3)
    assert 0 <= found["low"] <= share <= found["high"] <= 1
    assert found["high"] - found["low"] > 0.5


def test_equal_shares_that_are_no_exact_fractions_still_count_as_no_difference(con):
    found = interval(con, "share_interval", [0.1 * n for n in range(1, 60)], range(1, 60))
    assert found["effective_n"] == 59


def test_images_without_masks_change_nothing(con):
    with_ = interval(con, "share_interval", [1, 0, 4, 0], [3, 0, 5, 2])
    assert with_ == interval(con, "share_interval", [1, 4, 0], [3, 5, 2])


@pytest.mark.parametrize(("share", "correlation"), [(0.94, 0.1), (0.94, 0.3), (0.97, 0.1), (0.5, 0.2)])
def test_of_simulated_clustered_data_95_percent_intervals_hold_the_truth_about_that_often(
    con, share, correlation
):
    """Beta-binomial masks: `correlation` is that of two masks of one image. The naive interval takes no image."""
    n_replicates, n_images = 1000, 60
    rng = np.random.default_rng(7)
    concentration = 1 / correlation - 1
    x = rng.integers(20, 120, (n_replicates, n_images))
    p = rng.beta(share * concentration, (1 - share) * concentration, x.shape)
    y = rng.binomial(x, p)
    replicate = np.repeat(np.arange(n_replicates), n_images)
    con.register("images", {"replicate": replicate, "y": y.ravel(), "x": x.ravel()})
    bounds = con.execute("""
        SELECT e.low, e.high
        FROM (SELECT replicate, share_interval(ratio_sums(y, x)) AS e FROM images GROUP BY replicate)
    """).fetchnumpy()
    hit = ((bounds["low"] <= share) & (share <= bounds["high"])).mean()
    ratio = y.sum(axis=1) / x.sum(axis=1)
    naive_half = 1.96 * np.sqrt(ratio * (1 - ratio) / x.sum(axis=1))
    naive_hit = (np.abs(ratio - share) <= naive_half).mean()
    assert 0.93 <= hit <= 0.97
    assert naive_hit < 0.75
