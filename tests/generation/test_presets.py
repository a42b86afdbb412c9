"""Presets against their sources, and changes on the command line."""

import pytest

from curation.errors import InputError
from curation.generation.presets import PRESETS, GenerationSettings, change, preset


def test_presets_hold_the_numbers_of_their_sources():
    table = {
        name: (
            p.settings.predicted_iou_threshold,
            p.settings.stability_threshold,
            p.settings.box_nms_threshold,
            p.settings.points_per_side,
            p.settings.crop_layers,
        )
        for name, p in PRESETS.items()
    }
    assert table == {
        "sam-default": (0.88, 0.95, 0.7, 32, 0),
        "sam-paper": (0.88, 0.95, 0.7, 32, 2),
        "sam2-default": (0.80, 0.95, 0.7, 32, 0),
        "seed-stage2": (0.88, 0.92, 0.7, 32, 0),
        "seed-stage3": (0.86, 0.92, 0.7, 32, 1),
    }
    assert preset("sam-paper").min_region_px == 100
    assert preset("seed-stage2").min_area_px == 100


def test_area_limits_follow_the_wording_of_their_sources():
    assert 0.95 > preset("sam-paper").max_area_share > 0.9499999  # "drop >= 95 %"
    assert preset("seed-stage2").max_area_share == 0.9  # "area <= 90 %"


def test_change_reads_values_as_their_types():
    changed = change(GenerationSettings(), ["points_per_side=16", "max_area_share=0.5"])
    assert (changed.points_per_side, changed.max_area_share) == (16, 0.5)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("points=3", "points_per_side, predicted_iou_threshold"),
        ("points_per_side", "write key=value"),
        ("points_per_side=3.5", "a whole number"),
        ("stability_threshold=high", "a number"),
        ("stability_threshold=1.5", r"must lie in 0\.\.1"),
        ("stability_threshold=nan", r"must lie in 0\.\.1"),
    ],
)
def test_a_wrong_change_says_what_is_allowed(assignment, message):
    with pytest.raises(InputError, match=message):
        change(GenerationSettings(), [assignment])


def test_an_unknown_preset_names_those_there_are():
    with pytest.raises(InputError, match="sam-default, sam-paper"):
        preset("sam")
