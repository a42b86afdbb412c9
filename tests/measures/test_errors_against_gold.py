"""Each word for what is wrong, on scenes drawn by hand: `.` is background, digits name masks."""

import numpy as np
import pytest
from blobs import image_masks

from curation.measures import match_gold
from curation.settings import GOLD

SCALE = 12  # pixels a character, so that a character's border of one pixel is a small share


def drawn(picture: str) -> np.ndarray:
    """Masks bool (N, H, W) of a picture in characters, enlarged; `a` lies in masks 1 and 2 both."""
    grid = np.array([list(line) for line in picture.split()])
    names = sorted({*"".join(grid.ravel()).replace(".", "").replace("a", "12")})
    masks = [(grid == name) | ((grid == "a") & (name in "12")) for name in names]
    return np.kron(np.array(masks).reshape(-1, *grid.shape), np.ones((1, SCALE, SCALE))).astype(bool)


def kinds(masks: str | np.ndarray, gold: str | np.ndarray) -> list[str]:
    """The words of the masks, then those of missed gold."""
    masks, gold = (drawn(side) if isinstance(side, str) else side for side in (masks, gold))
    return match_gold(image_masks(masks), image_masks(gold, run_id=2)).column("error_kind").to_pylist()


TWO_OBJECTS = """
    ..........
    .1111.222.
    .1111.222.
    .1111.222.
    .........."""


def test_masks_that_are_gold_have_no_error():
    assert kinds(TWO_OBJECTS, TWO_OBJECTS) == ["none", "none"]


def test_one_mask_over_two_objects_is_a_merge():
    merged = """
        ..........
        .11111111.
        .11111111.
        .11111111.
        .........."""
    assert kinds(merged, TWO_OBJECTS) == ["merge", "miss"]


def test_a_speck_of_another_object_makes_no_merge():
    gold = """
        1111111111
        1111111111
        1111111111
        1111111111
        .........2"""
    mask = """
        1111111111
        1111111111
        1111111111
        1111111111
        1111111111"""
    assert kinds(mask, gold)[0] == "spill"


def test_an_object_and_its_own_part_are_no_merge():
    gold = """
        ........
        .1111...
        .1aa1...
        .1111...
        ........"""
    mask = """
        ........
        .11111..
        .11111..
        .11111..
        ........"""
    assert kinds(mask, gold)[0] == "spill"


def test_two_masks_that_share_one_object_are_split():
    pieces = """
        ..........
        .1122.....
        .1122.....
        .1122.....
        .........."""
    assert kinds(pieces, TWO_OBJECTS)[:2] == ["split", "split"]


def test_parts_of_an_object_that_is_shown_whole_are_partial():
    parts = np.concatenate(
        [drawn(TWO_OBJECTS)[:1], drawn("..........\n.11.......\n.11.......\n.11.......\n..........")]
    )
    parts = np.concatenate([parts, drawn("..........\n...11.....\n...11.....\n...11.....\n..........")])
    assert kinds(parts, TWO_OBJECTS)[:3] == ["none", "partial", "partial"]


def test_half_an_object_is_partial():
    half = """
        ..........
        .11.......
        .11.......
        .11.......
        .........."""
    assert kinds(half, TWO_OBJECTS)[0] == "partial"


def test_a_mask_that_runs_over_the_outline_spills():
    over = """
        .11111....
        .11111....
        .11111....
        .11111....
        .........."""
    assert kinds(over, TWO_OBJECTS)[0] == "spill"


def test_a_mask_on_nothing_is_spurious_and_so_is_an_empty_one():
    nothing = np.concatenate(
        [drawn("11........\n" + "..........\n" * 4), np.zeros((1, 5 * SCALE, 10 * SCALE), bool)]
    )
    assert kinds(nothing, TWO_OBJECTS)[:2] == ["spurious", "spurious"]
    assert kinds(nothing, np.zeros((0, 5 * SCALE, 10 * SCALE), bool)) == ["spurious", "spurious"]


RING = """
    ..........
    .1111.....
    .1..1.....
    .1111.....
    .........."""


def test_a_wrong_hole_and_a_wrongly_filled_hole():
    assert kinds(RING, TWO_OBJECTS)[0] == "hole"
    assert kinds(TWO_OBJECTS, RING)[0] == "hole"


def test_stray_pieces_make_a_fragment():
    strays = """
        1......1..
        .1111....1
        .1111....1
        .1111.....
        ........1."""
    assert kinds(strays, TWO_OBJECTS)[0] == "fragment"


def test_pieces_of_gold_in_pieces_are_no_fragment():
    gold = """
        ..........
        .11.1111..
        .11.1111..
        .11.1111..
        .........."""
    mask = """
        ..........
        .1..1111..
        .1..1111..
        .1..1111..
        .........."""
    assert kinds(mask, gold)[0] == "partial"


def test_pixelation_of_a_small_mask_is_no_error():
    gold, mask = np.zeros((2, 1, 200, 200), bool)
    gold[0, 50:70, 50:70], mask[0, 51:69, 51:69] = True, True  # IoU 0.81, 400 px
    assert kinds(mask, gold) == ["none"]
    gold[0, 50:90, 50:90], mask[0, 52:88, 52:88] = True, True  # IoU 0.81, 1,600 px
    assert kinds(mask, gold) == ["partial"]


def test_gold_that_nothing_touches_is_missed():
    assert kinds(drawn(TWO_OBJECTS)[:1], TWO_OBJECTS) == ["none", "miss"]


@pytest.mark.parametrize(("rows_px", "kind"), [(45, "none"), (44, "partial")])
def test_the_good_level_is_inclusive(rows_px, kind):
    gold, mask = np.zeros((2, 1, 100, 100), bool)
    gold[0, :50, :40], mask[0, :rows_px, :40] = True, True
    assert (rows_px / 50 >= GOLD.good_iou) == (kind == "none")
    assert kinds(mask, gold) == [kind]
