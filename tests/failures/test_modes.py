"""Which failure mode a bad mask shows."""

import numpy as np
import pytest

from curation.failures.modes import MODES, Modes
from curation.failures.rules import Category
from curation.settings import FAILURES

N = 200


def modes(space=None, reasons=None, **values) -> Modes:
    said = {mode: np.zeros(N, bool) for mode in MODES[:-1]} | (reasons or {})
    return Modes(values, said, space, FAILURES, np.random.default_rng(0))


def flags(*places: int) -> np.ndarray:
    return np.isin(np.arange(N), places)


def test_each_rule_tells_its_mode_and_several_share_the_mask():
    label = Category(("cat", "owl"), np.where(np.arange(N) == 7, 1, 0))
    width = np.full(N, 20.0)
    width[2] = 3.0
    found = modes(
        is_tiny=flags(1),
        mean_width_px=width,
        is_overlapped=flags(3, 4),
        is_crowded_image=flags(4, 5),
        label=label,
    )
    expected = {
        1: {"fine_grained": 1},
        2: {"fine_grained": 1},
        3: {"occlusion": 1},
        4: {"occlusion": 0.5, "crowded": 0.5},
        5: {"crowded": 1},
        6: {"other": 1},
        7: {"rare": 1},
    }
    for place, shares in expected.items():
        assert {m: s for m, s in found.shares(np.array([place])).items() if s} == shares
    assert found.shares(np.arange(1, 8))["fine_grained"] == pytest.approx(2 / 7)
    assert sum(found.shares(np.arange(N)).values()) == pytest.approx(1)


def test_what_people_said_goes_before_the_measures():
    found = modes(reasons={"crowded": flags(1)}, is_tiny=flags(1, 2))
    assert found.shares(np.array([1]))["crowded"] == 1
    assert found.shares(np.array([2]))["fine_grained"] == 1


def test_a_mask_with_few_like_it_is_rare_and_one_without_an_embedding_is_not():
    space = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
    space[0] = 30
    space[1] = np.nan
    found = modes(space=space)
    assert found.shares(np.array([0]))["rare"] == 1
    assert found.shares(np.array([1]))["other"] == 1


def test_nothing_measured_and_no_mask():
    assert modes().shares(np.arange(3))["other"] == 1
    assert set(modes().shares(np.empty(0, int)).values()) == {0}
