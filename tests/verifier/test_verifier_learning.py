"""Folds, calibration, cross-fitting: nothing that an image taught reaches its own score."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verified_lake import LINE, features_of

from curation.errors import InputError
from curation.settings import VERIFIER
from curation.verifier import calibration, crossfit, folds


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 8), st.integers(0, 8)), min_size=5, max_size=30), st.integers(0, 3))
def test_folds_part_images_and_share_out_the_bad_masks(images, seed):
    image_id = np.concatenate([np.full(n, 100 - k) for k, (n, _) in enumerate(images)])
    is_good = np.concatenate([np.arange(n) >= n_bad for n, n_bad in images])
    found, fold = folds.of_images(image_id, is_good, 5, seed)
    assert found.tolist() == sorted(set(image_id.tolist()))
    assert set(fold.tolist()) <= set(range(5))
    n_bad = [int((~is_good[image_id == image]).sum()) for image in found]
    per_fold = np.bincount(fold, weights=n_bad, minlength=5)
    assert per_fold.max() - per_fold.min() <= max(n_bad)
    again = folds.of_images(image_id, is_good, 5, seed)
    assert np.array_equal(again[1], fold)


def test_calibration_undoes_a_known_distortion():
    rng = np.random.default_rng(0)
    chance = rng.random(8_000)
    is_good = rng.random(8_000) < chance
    raw = 1 / (1 + np.exp(-(1 + 3 * np.log(chance / (1 - chance)))))
    for kind in (calibration.SIGMOID, calibration.ISOTONIC):
        found = calibration.fit(raw, is_good, kind)
        assert np.abs(found(raw) - chance).mean() < 0.03


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=2, max_size=60))
def test_a_calibration_never_turns_an_order_round(pairs):
    raw = np.array([p[0] for p in pairs]) / 20
    is_good = np.array([p[1] for p in pairs])
    is_good[:2] = (True, False)
    for kind in (calibration.SIGMOID, calibration.ISOTONIC):
        scores = calibration.fit(raw, is_good, kind)(np.linspace(0, 1, 50))
        assert (np.diff(scores) >= 0).all()
        assert 0 <= scores.min() <= scores.max() <= 1


def test_isotonic_points_lie_on_the_steps_of_scikit_learn():
    isotonic = pytest.importorskip("sklearn.isotonic")
    rng = np.random.default_rng(1)
    raw = rng.random(500)
    is_good = rng.random(500) < raw
    found = calibration.fit(raw, is_good, calibration.ISOTONIC)
    steps = isotonic.IsotonicRegression().fit(raw, is_good).predict(raw)
    assert sorted(set(np.round(found.y, 9))) == sorted(set(np.round(steps, 9)))
    assert found.y == tuple(sorted(found.y))


def data(seed: int = 0, n_images: int = 10, n_masks: int = 16):
    rng = np.random.default_rng(seed)
    solidity = rng.random(n_images * n_masks)
    is_good = rng.random(len(solidity)) < solidity
    return features_of(solidity), is_good, np.repeat(np.arange(1, n_images + 1) * 10, n_masks)


def test_what_is_said_of_an_image_changes_only_the_scores_of_others():
    """Its labels stand in another order, so that the folds stay as they are."""
    seen, is_good, image_id = data()
    before = crossfit.fit(LINE, seen, is_good, image_id, 0).score(seen, image_id)
    of_image = image_id == 30
    turned = is_good.copy()
    turned[of_image] = np.sort(is_good[of_image])
    assert not np.array_equal(turned, is_good)
    after = crossfit.fit(LINE, seen, turned, image_id, 0).score(seen, image_id)
    assert np.array_equal(after[of_image], before[of_image])
    assert not np.array_equal(after[~of_image], before[~of_image])


def test_a_new_image_is_scored_by_the_model_of_all():
    seen, is_good, image_id = data()
    model = crossfit.fit(LINE, seen, is_good, image_id, 0)
    new = model.score(seen, np.full(len(seen), 7))
    raw = model.fitted[-1].score(seen)
    assert np.array_equal(new, model.calibrations[-1](raw))
    assert model.score(seen[:0], image_id[:0]).shape == (0,)


def test_the_number_of_fits_is_as_announced():
    seen, is_good, image_id = data()
    done = []
    crossfit.fit(LINE, seen, is_good, image_id, 0, on_fit=lambda: done.append(1))
    assert len(done) == crossfit.n_fits()


def test_scores_are_calibrated_and_the_kind_of_curve_goes_by_size(monkeypatch):
    seen, is_good, image_id = data(n_images=60)
    kinds = set()
    for isotonic_from in (10_000, 1):
        monkeypatch.setattr(crossfit, "VERIFIER", type(VERIFIER)(isotonic_from=isotonic_from))
        model = crossfit.fit(LINE, seen, is_good, image_id, 0)
        kinds |= {model.calibrations[0].kind}
        assert np.abs(model.score(seen, image_id) - seen.column("solidity")).mean() < 0.08
    assert kinds == {"sigmoid", "isotonic"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda good, image: (np.ones_like(good), image), "0 bad masks on 0 images"),
        (lambda good, image: (np.zeros_like(good), image), "0 good masks on 0 images"),
        (lambda good, image: (good, np.ones_like(image)), "bad masks on 1 images.*each on 5 images"),
    ],
)
def test_too_little_to_learn_from_says_what_is_needed(change, message):
    seen, is_good, image_id = data()
    with pytest.raises(InputError, match=f"too little to learn from.*{message}"):
        crossfit.fit(LINE, seen, *change(is_good, image_id), 0)
