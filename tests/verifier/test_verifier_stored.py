"""Verifiers in the lake: what is read back scores as before, and nothing else is read."""

import hashlib

import numpy as np
import pytest
from verified_lake import LINE, features_of, fill

from curation.errors import InputError, LakeError
from curation.sampling.frame import Scope
from curation.settings import VerifierSettings
from curation.verifier import boosting, crossfit, features, learning, methods, stored

skops = pytest.importorskip("skops.io")


def learn(lake, name="v", method="gradient_boosting", **scope):
    return learning.fit(lake, learning.Request(name, Scope(**scope), method))


def test_a_fit_keeps_the_verifier_and_held_out_scores_of_what_it_learned_from(lake, monkeypatch):
    """Gradient boosting itself, of a few trees: the stored model scores as it did."""
    monkeypatch.setattr(boosting, "VERIFIER", VerifierSettings(n_trees=10))
    fill(lake, n_images=6)
    learned = learn(lake)
    row = stored.get(lake, "v")
    assert (learned.n_masks, learned.n_images, row["n_masks"], row["n_images"]) == (120, 6, 120, 6)
    assert (
        row["n_bad"]
        == lake.con.execute("SELECT count(*) FROM gold_matches WHERE error_kind <> 'none'").fetchone()[0]
    )
    assert row["columns"][:2] == ["predicted_iou", "stability_score"]
    assert "embedding" not in row["columns"]
    assert hashlib.sha256(row["model"]).hexdigest() == row["model_sha256"]
    held = lake.query("SELECT * FROM verifier_scores ORDER BY mask_id")
    assert held.num_rows == 120
    assert held["is_held_out"].to_pylist() == [True] * 120

    model = stored.load(lake, "v")
    seen = features.read(lake, held["run_id"].to_numpy(), held["mask_id"].to_numpy())
    again = model.score(seen, held["image_id"].to_numpy())
    assert np.array_equal(again.astype(np.float32), held["score"].to_numpy())


def test_boosting_loads_numbers_and_nothing_that_could_run():
    method = methods.get("gradient_boosting").method

    class Harmful:
        pass

    for strange in (Harmful(), np.testing.assert_equal):
        with pytest.raises(LakeError, match="could run code"):
            method.load(skops.dumps({"trees": strange, "components": None, "columns": np.arange(2)}))


def test_boosting_takes_masks_without_embedding_and_columns_that_nobody_knows():
    rng = np.random.default_rng(0)
    seen = features_of(rng.random(120), n_dims=12)
    vectors = rng.normal(size=(120, 12)).astype(np.float32)
    vectors[::3] = np.nan
    seen = features.Features(seen.names, seen.values, vectors)
    method = methods.get("gradient_boosting").method
    fitted = method.fit(seen, vectors[:, 0] > 0, np.arange(120), seed=1)
    scores = method.load(method.dump(fitted)).score(seen)
    assert np.array_equal(scores, fitted.score(seen))
    again = method.fit(seen, vectors[:, 0] > 0, np.arange(120), seed=1)
    assert np.array_equal(again.score(seen), scores)
    known = ~np.isnan(vectors[:, 0])
    assert scores[known & (vectors[:, 0] > 0)].mean() > scores[known & (vectors[:, 0] <= 0)].mean() + 0.2
    # A column that was never known when it learned changes nothing later.
    seen.values[:, seen.names.index("edge_alignment")] = 1
    assert np.array_equal(fitted.score(seen), scores)


def test_a_model_whose_bytes_changed_is_refused(learned):
    learned.con.execute("UPDATE verifiers SET model = encode('other')")
    with pytest.raises(LakeError, match="changed since and is not loaded"):
        stored.load(learned, "v")


def test_bytes_that_are_no_verifier_are_refused():
    with pytest.raises(LakeError, match="no verifier"):
        stored.load_bytes(b"other", LINE)


def test_names_are_given_once_and_known_ones_are_told(learned):
    with pytest.raises(InputError, match=r"'v' is there already.*another name"):
        learn(learned)
    with pytest.raises(InputError, match="start with a letter"):
        learn(learned, "2nd/verifier")
    with pytest.raises(LakeError, match="no verifier 'second'; there are: v"):
        stored.get(learned, "second")


def test_a_method_that_is_installed_learns_and_is_kept(learned):
    row = stored.get(learned, "v")
    assert (row["method"], '"line-verifier": "1.2"' in row["versions"]) == ("line", True)
    assert '"column": "solidity"' in row["settings"]
    model = stored.load(learned, "v")
    held = learned.query("SELECT * FROM verifier_scores ORDER BY mask_id")
    seen = features.read(learned, held["run_id"].to_numpy(), held["mask_id"].to_numpy())
    scores = model.score(seen, held["image_id"].to_numpy())
    assert np.array_equal(scores.astype(np.float32), held["score"].to_numpy())


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("none", "no such method; there are: gradient_boosting, broken, line, lost, noload"),
        ("noload", "noload.*has no load; a method has fit, dump and load"),
        ("lost", "lost.*does not load"),
        ("broken", "score\\(\\) gave 2 to 2; scores must lie in 0..1"),
    ],
)
def test_a_method_that_does_not_keep_to_the_protocol_is_refused(learned, method, message):
    with pytest.raises(InputError, match=message):
        learn(learned, "w", method=method)
    assert learned.con.execute("SELECT count(*) FROM verifiers").fetchone() == (1,)


def test_a_score_of_the_wrong_shape_is_refused():
    with pytest.raises(InputError, match=r"gave shape \(3,\); it must be \(2,\)"):
        methods.checked("x", [0, 1, 0], 2)
    with pytest.raises(InputError, match="without NaN"):
        methods.checked("x", [np.nan, 1], 2)


def test_no_label_says_where_there_are_some(lake):
    fill(lake, n_images=1, has_gold=False)
    with pytest.raises(InputError, match="no labels at all: judge a sample"):
        learning.labelled(lake, Scope())
    fill(lake, run_id=2)
    with pytest.raises(InputError, match=r"no mask of run 1 has a label.*Labels are in run 2 \(240 masks\)"):
        learning.labelled(lake, Scope(1))


def test_masks_without_any_score_are_learned_from_by_their_measures(lake):
    fill(lake, n_images=6, has_scores=False)
    found = learning.labelled(lake, Scope())
    seen = features.read(lake, found.run_id, found.mask_id)
    assert np.isnan(seen.column("predicted_iou")).all()
    model = crossfit.fit(LINE, seen, found.is_good, found.image_id, seed=0)
    scores = model.score(seen, found.image_id)
    assert scores[found.is_good].mean() > scores[~found.is_good].mean() + 0.2
