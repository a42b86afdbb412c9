"""Bootstrap and design-based intervals against definitions, against the SQL macros, and against simulated truth."""

import duckdb
import numpy as np
import pytest
from scipy import stats

from curation import settings
from curation.gold import intervals


def clustered(n_images: int, share: float, correlation: float, seed: int, n_replicates: int = 1):
    """Good masks y and masks x of images, (n_images, n_replicates): beta-binomial, unequal numbers of masks."""
    rng = np.random.default_rng(seed)
    concentration = 1 / correlation - 1
    x = np.maximum(1, np.round(rng.lognormal(np.log(40), 0.6, (n_images, n_replicates))))
    p = rng.beta(share * concentration, (1 - share) * concentration, x.shape)
    return rng.binomial(x.astype(int), p).astype(float), x


@pytest.fixture(scope="module")
def con():
    con = duckdb.connect()
    con.execute((settings.files("queries") / "macros" / "intervals.sql").read_text())
    return con


def in_sql(con, macro: str, y, x) -> dict:
    con.register("images", {"y": np.asarray(y, float), "x": np.asarray(x, float)})
    return con.execute(f"SELECT {macro}(ratio_sums(y, x)) FROM images").fetchone()[0]


@pytest.mark.parametrize("n_images", [2, 3, 12, 50, 400])
@pytest.mark.parametrize("share", [0.5, 0.97])
def test_the_design_based_interval_is_that_of_the_reports(con, n_images, share):
    y, x = clustered(n_images, share, 0.2, seed=n_images)
    x[0], y[0] = 0, 0  # an image without masks
    found = intervals.estimates(y, x)
    sql = in_sql(con, "share_interval", y[:, 0], x[:, 0])
    for name, value in (("share", found.estimate), ("low", found.design_low), ("high", found.design_high)):
        assert sql[name] == pytest.approx(value[0], abs=2e-5, nan_ok=True) or np.isnan(value[0])
    assert (sql["n_images"], sql["n_units"]) == (found.n_images[0], found.n_units[0])
    if n_images > 2:
        assert sql["effective_n"] == pytest.approx(found.effective_n[0])


def test_the_degrees_of_freedom_come_from_the_kurtosis():
    y, x = clustered(200, 0.97, 0.3, seed=1)
    ratio = y.sum() / x.sum()
    residuals = (y - ratio * x)[:, 0]
    freedom = np.floor(2 * 200 / (stats.kurtosis(residuals, fisher=False) - 1))
    # stats.kurtosis centres the residuals, whose sum is 0
    variance = 200 * residuals.var(ddof=1) / x.sum() ** 2
    t, n = stats.t.ppf(0.975, freedom), ratio * (1 - ratio) / variance
    low, high = np.sort(np.roots([1 + t**2 / n, -(2 * ratio + t**2 / n), ratio**2]))
    found = intervals.estimates(y, x)
    assert (found.design_low[0], found.design_high[0]) == (pytest.approx(low), pytest.approx(high))
    assert freedom < 60


def test_the_bootstrap_is_the_studentised_one():
    """Against a loop over replicates that follows the definition."""
    y, x = clustered(30, 0.8, 0.2, seed=2)
    y, x = y[:, 0], x[:, 0]

    def ratio_and_error(y, x):
        ratio = y.sum() / x.sum()
        return ratio, np.sqrt(30 / 29 * ((y - ratio * x) ** 2).sum()) / x.sum()

    ratio, _ = ratio_and_error(y, x)
    ts = []
    for row in np.concatenate(list(intervals.weights(30, 500, seed=3))).astype(int):
        drawn = np.repeat(np.arange(30), row)
        replicate, error = ratio_and_error(y[drawn], x[drawn])
        ts.append((replicate - ratio) / error)
    left_out = [(y.sum() - y[k]) / (x.sum() - x[k]) for k in range(30)]
    error = np.sqrt(29 / 30 * sum((value - ratio) ** 2 for value in left_out))
    lower, upper = np.quantile(ts, [0.025, 0.975], method="inverted_cdf")
    found = intervals.estimates(y[:, None], x[:, None], n_replicates=500, seed=3)
    assert found.bootstrap_low[0] == pytest.approx(ratio - upper * error)
    assert found.bootstrap_high[0] == pytest.approx(min(1, ratio - lower * error))


def test_the_seed_and_not_the_chunks_decide(monkeypatch):
    y, x = clustered(40, 0.8, 0.1, seed=4, n_replicates=3)
    whole = intervals.estimates(y, x)
    monkeypatch.setattr(intervals, "CHUNK_WEIGHTS", 333)
    again = intervals.estimates(y, x)
    assert np.array_equal(whole.bootstrap_low, again.bootstrap_low)
    assert not np.array_equal(whole.bootstrap_low, intervals.estimates(y, x, seed=1).bootstrap_low)


def test_weights_draw_as_many_images_as_there_are():
    drawn = np.concatenate(list(intervals.weights(7, 300, seed=0)))
    assert drawn.shape == (300, 7)
    assert (drawn.sum(axis=1) == 7).all()
    assert drawn.mean() == pytest.approx(1)


def test_one_image_has_no_bounds_and_no_image_has_no_estimate():
    found = intervals.estimates(np.array([[3.0, 0], [0, 0]]), np.array([[4.0, 0], [0, 0]]))
    assert found.estimate[0] == 0.75
    assert np.isnan(found.estimate[1])
    for bound in (found.bootstrap_low, found.bootstrap_high, found.design_low, found.design_high):
        assert np.isnan(bound).all()
    assert found.n_images.tolist() == [1, 0]
    empty = intervals.estimates(np.empty((0, 2)), np.empty((0, 2)))
    assert np.isnan(empty.estimate).all()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_where_images_do_not_differ_only_the_images_count(share):
    x = np.array([[5.0], [7.0], [3.0], [9.0]])
    found = intervals.estimates(share * x, x)
    assert found.effective_n[0] == 4
    assert found.design_high[0] - found.design_low[0] > 0.3
    assert (found.bootstrap_low[0], found.bootstrap_high[0]) == (found.design_low[0], found.design_high[0])


def test_one_mask_an_image_is_clopper_and_pearsons_interval():
    y = np.array([1.0] * 17 + [0.0] * 3)[:, None]
    found = intervals.estimates(y, np.ones_like(y))
    exact = stats.binomtest(17, 20).proportion_ci(method="exact")
    assert found.is_exact[0]
    assert (found.design_low[0], found.design_high[0]) == (
        pytest.approx(exact.low),
        pytest.approx(exact.high),
    )
    assert found.bootstrap_low[0] == found.design_low[0]
    assert (found.effective_n[0], found.design_effect[0]) == (20, 1)


def test_the_effective_n_of_a_mean_compares_with_single_masks():
    rng = np.random.default_rng(5)
    values = rng.uniform(size=(3000, 10))  # ten independent masks an image
    y, x = values.sum(axis=1, keepdims=True), np.full((3000, 1), 10.0)
    found = intervals.estimates(y, x, unit_squares=np.array([(values**2).sum()]))
    assert found.design_effect[0] == pytest.approx(1, abs=0.1)
    repeated = intervals.estimates(
        10 * values[:, :1], x, unit_squares=np.array([10 * (values[:, 0] ** 2).sum()])
    )
    assert repeated.design_effect[0] == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize(
    ("n_images", "share", "correlation"), [(50, 0.75, 0.1), (100, 0.94, 0.2), (300, 0.97, 0.1)]
)
def test_95_percent_intervals_hold_the_truth_about_that_often(n_images, share, correlation):
    """1,000 data sets at once: the figures of one call. The naive interval takes every mask for independent."""
    y, x = clustered(n_images, share, correlation, seed=11, n_replicates=1000)
    found = intervals.estimates(y, x, n_replicates=500)
    for low, high in ((found.bootstrap_low, found.bootstrap_high), (found.design_low, found.design_high)):
        assert 0.93 <= ((low <= share) & (share <= high)).mean() <= 0.97
    ratio, n = y.sum(axis=0) / x.sum(axis=0), x.sum(axis=0)
    low, high = intervals.wilson(ratio, n, np.full(1000, 1.96))
    assert ((low <= share) & (share <= high)).mean() < 0.75
