"""What the search reports on noise and on what was planted; the benchmark does the same a hundred times."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.failures import foreign, recalled, world
from curation.failures.search import is_discovery, search
from curation.settings import FAILURES


@pytest.fixture(scope="module")
def planted():
    return world(120, 0.1, True, 1)


@pytest.fixture(scope="module")
def found(planted):
    return search(planted.population)


def test_noise_is_not_reported():
    told = [search(world(60, 0.1, False, seed).population) for seed in range(6)]
    assert sum(len(one.groups) for one in told) <= 1
    assert sum(one.n_examined for one in told) > 300


def test_what_was_planted_is_found_and_described(planted, found):
    assert recalled(found, planted.planted) == {"slice": True, "blob": True}
    assert foreign(found, planted.planted) == 0
    slices = [set(group.words.split(", ")) for group in found.groups if group.kind == "slice"]
    assert {"is f1", "low n0"} in slices
    assert any(group.words.startswith("look alike") for group in found.groups)


def test_figures_are_those_of_the_other_half(planted, found):
    of = planted.population
    last = ~is_discovery(of.image, 0)
    for group in found.groups:
        member = np.zeros(len(of), bool)
        member[group.member] = True
        assert group.n_labelled_masks == (member & last).sum()
        assert group.bad_share == pytest.approx(of.is_bad[member & last].mean())
        assert group.rest_bad_share == pytest.approx(of.is_bad[~member & last].mean())
        assert group.bad_share_low < group.bad_share < group.bad_share_high
        assert group.q_value <= FAILURES.most_false
        assert group.difference >= FAILURES.least_difference


def test_the_rule_of_a_slice_holds_for_its_masks(planted, found):
    of = planted.population
    group = next(group for group in found.groups if group.kind == "slice")
    holds = np.ones(len(of), bool)
    for condition in group.conditions:
        holds &= condition.holds(of.values)
    assert np.array_equal(np.flatnonzero(holds), group.member)


def test_the_same_seed_finds_the_same_and_half_of_the_images_is_not_looked_at(planted, found):
    again = search(planted.population)
    assert [group.member.tolist() for group in again.groups] == [g.member.tolist() for g in found.groups]
    # Labels of the test half do not change what is tested.
    of = planted.population
    flipped = np.where(is_discovery(of.image, 0), of.is_bad, 0.0)
    other = search(replace(of, is_bad=flipped))
    assert (other.n_examined, other.n_tested, other.groups) == (found.n_examined, found.n_tested, ())


def test_images_keep_their_half_and_halves_are_halves():
    ids = np.random.default_rng(0).integers(1 << 62, size=4_000)
    first = is_discovery(ids, 5)
    assert np.array_equal(first[:10], is_discovery(ids[:10], 5))
    assert abs(first.mean() - 0.5) < 0.04
    assert abs((first == is_discovery(ids, 6)).mean() - 0.5) < 0.04


def test_without_embeddings_slices_are_left_and_unlabelled_masks_belong_too(planted):
    of = replace(planted.population, space=None)
    unknown = np.random.default_rng(0).random(len(of)) < 0.3
    found = search(replace(of, is_bad=np.where(unknown, np.nan, of.is_bad)))
    assert {group.kind for group in found.groups} == {"slice"}
    assert unknown[found.groups[0].member].any()


def test_a_search_is_bounded(planted):
    settings = replace(FAILURES, most_searched=600, most_clustered=300)
    assert search(planted.population, settings).n_examined > 0
