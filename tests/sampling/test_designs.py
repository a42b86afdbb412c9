"""Every design draws each mask with the chance that it states."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import InputError
from curation.sampling import designs

RNG_SEED = 5
N_DRAWS = 4_000


def frequencies(draw, n_frame: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each mask of a frame is drawn, and the chance that was stated when it was (NaN where never)."""
    rng = np.random.default_rng(RNG_SEED)
    hits, stated = np.zeros(n_frame), np.full(n_frame, np.nan)
    for _ in range(N_DRAWS):
        one = draw(rng)
        hits[one.places] += 1
        stated[one.places] = one.inclusion
    return hits / N_DRAWS, stated


IMAGE = np.repeat(np.arange(6), [1, 2, 5, 8, 3, 4])
STRATUM = np.arange(23) % 3
RISK = np.linspace(0.2, 3, 23)
DESIGNS = {
    "simple": lambda rng: designs.simple(23, 7, rng),
    "stratified": lambda rng: designs.stratified(STRATUM, np.array([2, 5, 3]), rng),
    "pps": lambda rng: designs.proportional_to_size(RISK, 9, rng),
    "two_stage": lambda rng: designs.two_stage(IMAGE, 3, 4, rng),
}


@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_masks_are_drawn_as_often_as_the_stated_chance(design):
    found, stated = frequencies(design, 23)
    error = np.sqrt(stated * (1 - stated) / N_DRAWS)
    assert (np.abs(found - stated) < 4.5 * np.maximum(error, 1e-9)).all()  # 23 comparisons


@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_the_first_ones_shown_are_a_fair_draw_too(design):
    """Of strata and simple samples the first half is drawn half as often, mask by mask; with two stages image
    by image.
    """
    rng = np.random.default_rng(RNG_SEED)
    first = np.zeros(23)
    for _ in range(N_DRAWS):
        places = design(rng).places
        first[places[: len(places) // 2]] += 1
    for group in (STRATUM, IMAGE):
        for k in range(group.max() + 1):
            if design in (DESIGNS["simple"], DESIGNS["stratified"]) and group is STRATUM:
                share = first[group == k] / first[group == k].mean()
                assert np.abs(share - 1).max() < 0.2


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_chances_add_up_to_the_size(data):
    """Over the frame: the chances of masks that were drawn are those of all masks like them."""
    n_masks = np.array(data.draw(st.lists(st.integers(2, 30), min_size=1, max_size=6)))
    size = data.draw(st.integers(2 * len(n_masks), int(n_masks.sum())))
    allocation = data.draw(st.sampled_from(["proportional", "equal"]))
    sizes = designs.allocate(n_masks, size, allocation)
    assert sizes.sum() == size
    assert ((sizes >= 2) & (sizes <= n_masks)).all()
    stratum = np.repeat(np.arange(len(n_masks)), n_masks)
    drawn = designs.stratified(stratum, sizes, np.random.default_rng(0))
    assert len(set(drawn.places.tolist())) == size
    chance = (sizes / n_masks)[stratum]
    assert np.allclose(chance[drawn.places], drawn.inclusion)
    assert chance.sum() == pytest.approx(size)
    # The weights of the drawn masks of a stratum add up to the stratum.
    weight = np.bincount(stratum[drawn.places], 1 / drawn.inclusion)
    assert np.allclose(weight, n_masks)


@given(st.lists(st.floats(0.01, 10), min_size=3, max_size=40), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_draws_with_replacement_add_up(risk, n_draws):
    drawn = designs.proportional_to_size(np.array(risk), n_draws, np.random.default_rng(0))
    assert drawn.n_draws.sum() == n_draws
    assert len(set(drawn.places.tolist())) == len(drawn.places)
    single = np.array(risk) / np.sum(risk)
    assert np.allclose(drawn.single, single[drawn.places])
    assert np.allclose(drawn.inclusion, 1 - (1 - drawn.single) ** n_draws)


def test_neyman_puts_masks_where_they_differ():
    n_masks = np.array([1000, 1000, 1000])
    sizes = designs.allocate(n_masks, 300, "neyman", np.array([0.1, 0.2, 0.3]))
    assert sizes.tolist() == [50, 100, 150]
    # A stratum without any spread keeps its two.
    assert designs.allocate(n_masks, 300, "neyman", np.array([0.0, 0.2, 0.2])).tolist() == [2, 149, 149]


def test_an_order_goes_through_all_strata_at_even_pace():
    stratum = np.repeat([0, 1], [900, 100])
    drawn = designs.stratified(stratum, np.array([90, 10]), np.random.default_rng(0))
    for stop in range(10, 101, 10):
        share = (stratum[drawn.places[:stop]] == 1).sum()
        assert abs(share - stop / 10) <= 1


def test_two_stages_show_image_by_image():
    drawn = designs.two_stage(IMAGE, 6, 3, np.random.default_rng(0))
    images = IMAGE[drawn.places]
    assert (np.diff(images) != 0).sum() == 5
    assert np.bincount(images).tolist() == [1, 2, 3, 3, 3, 3]


def test_farthest_first_takes_one_of_each_kind_before_a_second():
    rng = np.random.default_rng(0)
    kinds = np.eye(8)[np.repeat(np.arange(8), 50)] + 0.01 * rng.random((400, 8))
    drawn = designs.diverse(kinds, 8, np.random.default_rng(1))
    assert sorted(drawn.places // 50) == list(range(8))
    assert np.isnan(drawn.inclusion).all()


def test_the_worst_are_those_of_the_highest_risk():
    drawn = designs.worst(np.array([0.1, np.nan, 0.9, 0.5]), 2, np.random.default_rng(0))
    assert sorted(drawn.places) == [2, 3]


@pytest.mark.parametrize("risk", [[1, 0], [1, -1], [1, np.nan], [1, np.inf]])
def test_a_mask_that_could_never_be_drawn_is_refused(risk):
    with pytest.raises(InputError, match=r"1 of 2 masks .* add a floor"):
        designs.proportional_to_size(np.array(risk), 3, np.random.default_rng(0))


def test_too_many_strata_are_refused():
    with pytest.raises(InputError, match="3 strata need 5 masks"):
        designs.allocate(np.array([10, 1, 10]), 4, "equal")
    with pytest.raises(InputError, match="allowed are proportional, equal, neyman"):
        designs.allocate(np.array([10]), 4, "optimal")
