"""The contrast of a group with the rest, against what is known by other ways."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from curation.failures.significance import Labelled, bounds, contrasts, q_values
from curation.gold.intervals import share_bounds


def labelled(n_images: int, correlation: float, share: float, rng: np.random.Generator) -> Labelled:
    n_masks = rng.integers(5, 25, n_images)
    image = np.repeat(np.arange(n_images), n_masks)
    concentration = 1 / correlation - 1
    chance = rng.beta(share * concentration, (1 - share) * concentration, n_images)
    return Labelled(rng.random(len(image)) < chance[image], np.ones(len(image)), image)


def test_where_each_image_has_one_mask_it_is_welchs_test():
    rng = np.random.default_rng(0)
    n = 2_000
    of = Labelled(rng.random(n) < 0.3, np.ones(n), np.arange(n))
    member = rng.random(n) < 0.4
    found = contrasts(of, member[:, None])
    peer = stats.ttest_ind(of.is_bad[member], of.is_bad[~member], equal_var=False, alternative="greater")
    assert found.t[0] == pytest.approx(peer.statistic, rel=0.01)
    assert found.p_value[0] == pytest.approx(peer.pvalue, rel=0.02)


def test_noise_is_rarely_told_apart_even_where_images_differ_much():
    rng = np.random.default_rng(1)
    p_values = []
    for _ in range(60):
        of = labelled(40, 0.2, 0.15, rng)
        # Some groups are whole images, some are parts of many.
        member = np.concatenate(
            [(rng.random((40, 5)) < 0.4)[of.image], rng.random((len(of), 5)) < 0.1], axis=1
        )
        p_values.append(contrasts(of, member).p_value)
    p = np.concatenate(p_values)
    assert (p < 0.05).mean() < 0.07
    assert (p < 0.005).mean() < 0.01


def test_one_image_that_goes_wrong_convinces_nobody():
    image = np.repeat(np.arange(20), 20)
    is_bad = image == 3
    member = (image == 3) | (np.arange(400) % 40 == 0)
    assert contrasts(Labelled(is_bad, np.ones(400), image), member[:, None]).p_value[0] > 0.01


def test_few_masks_that_agree_tell_less_than_they_seem_to():
    """Residuals of 0 leave no variance; what independent masks would have stands for it."""
    image = np.arange(100)
    is_bad = np.arange(100) < 8
    found = contrasts(Labelled(is_bad, np.ones(100), image), (image < 8)[:, None])
    assert found.difference[0] == 1
    assert np.isfinite(found.t[0])


@given(st.integers(0, 10_000))
def test_weights_count_as_so_many_masks_and_empty_groups_tell_nothing(seed):
    rng = np.random.default_rng(seed)
    of = labelled(12, 0.1, 0.4, rng)
    weight = rng.integers(1, 5, len(of)).astype(float)
    member = np.stack([rng.random(len(of)) < 0.4, np.zeros(len(of), bool), np.ones(len(of), bool)], axis=1)
    found = contrasts(Labelled(of.is_bad, weight, of.image), member)
    twice = np.repeat(np.arange(len(of)), weight.astype(int))
    again = contrasts(Labelled(of.is_bad, np.ones(len(of)), of.image)[twice], member[twice])
    np.testing.assert_allclose(found.share, again.share)
    np.testing.assert_allclose(found.rest_share, again.rest_share)
    assert found.p_value[1:].tolist() == [1, 1]


def test_bounds_are_those_of_all_reports():
    rng = np.random.default_rng(3)
    of = labelled(30, 0.1, 0.3, rng)
    member = rng.random((len(of), 2)) < 0.3
    sums = [
        np.stack([np.bincount(of.image, member[:, k] * values) for k in range(2)], axis=1)
        for values in (of.is_bad, np.ones(len(of)))
    ]
    np.testing.assert_allclose(bounds(of, member), share_bounds(*sums))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_q_values_are_scipys(p_values):
    p = np.array(p_values)
    np.testing.assert_allclose(q_values(p), stats.false_discovery_control(p), atol=1e-12)


def test_no_test_has_no_q_value():
    assert len(q_values(np.empty(0))) == 0
