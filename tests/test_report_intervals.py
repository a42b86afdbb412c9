"""Intervals that a report makes itself hold a simulated truth as often as they say."""

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from curation import queries, settings
from curation.schemas import SQL_TYPES, TABLES
from curation.views import VIEWS


@pytest.fixture
def con():
    """The macros of the reports in a database without tables."""
    con = duckdb.connect()
    for path in sorted((settings.files("queries") / "macros").glob("*.sql")):
        con.execute(path.read_text())
    return con


def answer(con, name: str, **given: dict) -> list[dict]:
    """Rows of the report over tables given as columns; what is left out is null, or a table without rows."""
    for table, schema in TABLES.items():
        columns = given.get(table, {})
        con.register("given", pa.table(columns or {"none": pa.array([], pa.int8())}))
        selected = ", ".join(
            f'{c.name if c.name in columns else "NULL"}::{SQL_TYPES[c.type]} AS "{c.name}"'
            for c in schema.columns
        )
        con.execute(f'CREATE OR REPLACE TABLE "{table}" AS SELECT {selected} FROM given')
    for view, sql in VIEWS.items():
        con.execute(f"CREATE OR REPLACE VIEW {view} AS {sql}")
    report = queries.get(name)
    values = {parameter.name: parameter.value({}) for parameter in report.params}
    return con.execute(report.sql, values).to_arrow_table().to_pylist()


def runs(n: int) -> dict:
    return {
        "run_id": np.arange(1, n + 1),
        "kind": ["generate"] * n,
        "stage": ["fully_automatic"] * n,
        "cycle": [0] * n,
    }


@pytest.mark.parametrize("shared", [True, False])
def test_a_difference_holds_the_truth_whether_or_not_images_are_shared(con, shared):
    """Two shares, 0.6 and 0.5, over images that lean the same way in both where they are the same images."""
    n_replicates, n_images, n_masks = 500, 40, 30
    rng = np.random.default_rng(5)
    lean = rng.uniform(-0.3, 0.3, (2, n_replicates, n_images))
    lean[1] = lean[0] if shared else lean[1]
    y = rng.binomial(n_masks, np.array([0.6, 0.5])[:, None, None] + lean)
    replicate, image = np.indices((n_replicates, n_images)).reshape(2, -1)
    columns = {"replicate": replicate, "image": image, "a": y[0].ravel(), "b": y[1].ravel()}
    con.register("images", {**columns, "x": np.full(replicate.size, n_masks)})
    covariance = "sum(ratio_residual(s, a, x) * ratio_residual(p, b, x))" if shared else "NULL"
    found = con.execute(f"""
        WITH totals AS (
            SELECT replicate, ratio_sums(a, x) AS s, ratio_sums(b, x) AS p FROM images GROUP BY replicate
        ),
        covariances AS (
            SELECT replicate, {covariance} AS c FROM images INNER JOIN totals USING (replicate) GROUP BY replicate
        )
        SELECT d.low, d.high
        FROM (SELECT difference_interval(s, p, c) AS d FROM totals INNER JOIN covariances USING (replicate))
    """).fetchnumpy()
    hit = ((found["low"] <= 0.1) & (found["high"] >= 0.1)).mean()
    assert 0.93 <= hit <= 0.975
    if shared:  # what images have in common cancels: far narrower than two intervals side by side
        assert (found["high"] - found["low"]).mean() < 0.1


@pytest.mark.parametrize("gap", [0.0, 0.04, 0.15])
def test_the_calibration_error_is_held_by_its_interval(con, gap):
    """A model that is right, or flatters itself by `gap`; masks of one image err alike."""
    n_replicates, n_images, n_masks = 150, 40, 20
    rng = np.random.default_rng(11)
    shape = (n_replicates, n_images, n_masks)
    predicted = rng.uniform(0.6, 0.95, shape)
    gold = predicted - gap + rng.normal(0, 0.05, (n_replicates, n_images, 1)) + rng.normal(0, 0.1, shape)
    run, image, _ = np.indices(shape).reshape(3, -1)
    keys = {"run_id": run + 1, "image_id": image, "mask_id": np.arange(run.size)}
    rows = answer(
        con,
        "calibration",
        runs=runs(n_replicates),
        masks={**keys, "predicted_iou": predicted.ravel()},
        gold_matches={**keys, "gold_run_id": np.zeros(run.size, int), "gold_iou": gold.ravel()},
    )
    of_run = list({row["run_id"]: row for row in rows}.values())
    assert np.mean([row["ece_low"] <= gap <= row["ece_high"] for row in of_run]) >= 0.95
    if gap == 0:
        by_chance = np.mean([row["ece_by_chance"] for row in of_run])
        assert np.mean([row["ece"] for row in of_run]) == pytest.approx(by_chance, rel=0.15)
    if gap == 0.15:
        assert np.mean([row["ece_low"] > 0 for row in of_run]) > 0.9


@pytest.mark.parametrize(("shift", "psi", "ks"), [(0.0, 0.0, 0.0), (0.6, 0.260, 0.202)])
def test_drift_is_held_by_its_intervals_and_none_is_seen_where_there_is_none(con, shift, psi, ks):
    """Two runs over images of their own; masks of one image score alike. `psi` and `ks` are those of endless runs."""
    n_replicates, n_images, n_masks = 25, 120, 20
    rng = np.random.default_rng(3)
    hits = []
    for _ in range(n_replicates):
        leans = np.array([0.0, shift])[:, None, None] + rng.normal(0, 0.6, (2, n_images, 1))
        scores = 1 / (1 + np.exp(-(1.8 + leans + rng.normal(0, 1, (2, n_images, n_masks)))))
        run = np.indices(scores.shape)[0].ravel()
        pixels = np.full(run.size, 10)
        masks = {
            "run_id": run + 1,
            "image_id": np.repeat(rng.integers(0, 2**62, 2 * n_images), n_masks),
            "predicted_iou": scores.ravel(),
            "stability_score": scores.ravel(),
            **dict.fromkeys(("area_px", "width_px", "height_px"), pixels),
        }
        row = answer(con, "score_drift", runs=runs(2), masks=masks)[0]
        hits.append(
            (
                row["psi_low"] <= psi <= row["psi_high"],
                row["ks_low"] <= ks <= row["ks_high"],
                row["psi_low"] > 0,
            )
        )
    psi_hit, ks_hit, seen = np.mean(hits, axis=0)
    assert psi_hit >= 0.9
    assert ks_hit >= 0.95
    assert seen >= 0.9 if shift else seen <= 0.05
