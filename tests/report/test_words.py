"""Numbers on the page carry no more than is known, and pictures show what they are about."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation import masks
from curation.report.page.examples import draw_piece, piece_window
from curation.report.page.words import counted, number, percent, plain, seconds, share

NBSP = "\N{NO-BREAK SPACE}"
shares = st.floats(0, 1)


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        ((0.7231, 0.564, 0.8406), "72 % (56–84 %)"),
        ((0.9412, 0.9371, 0.945), "94.1 % (93.7–94.5 %)"),
        ((0.5, None, None), "50.0 % (no interval)"),
        ((0.0, 0.0, 0.2), "0 % (0–20 %)"),
    ],
)
def test_a_share_has_the_digits_that_its_interval_bears(figure, words):
    assert share(*figure).replace(NBSP, " ") == words


@given(shares, shares, shares)
def test_words_of_a_share_are_within_rounding_of_it(value, one, other):
    low, high = sorted((one, other))
    step = 0.001 if high - low < 0.1 else 0.01
    assert float(percent(value, low, high).split(NBSP)[0]) / 100 == pytest.approx(value, abs=0.51 * step)


def test_counts_and_measured_numbers_are_told_apart():
    assert [plain(v) for v in (3, 12345, 1.0, 0.756, 12.34, 5_678.9, None)] == [
        "3",
        "12,345",
        "1.00",
        "0.76",
        "12.3",
        "5,679",
        "–",
    ]
    assert number(0.5, None, None) == "0.50 (no interval)"
    assert [counted(n, "mask").replace(NBSP, " ") for n in (0, 1, 2_000)] == [
        "0 masks",
        "1 mask",
        "2,000 masks",
    ]


def test_times_have_the_unit_that_suits_them():
    told = [seconds(v).replace(NBSP, " ") for v in (0.5, 90.0, 200.0, 8_000.0, 200_000.0)]
    assert told == ["0.50 s", "90.0 s", "3.3 min", "2.2 h", "2.3 d"]


@given(st.integers(1, 400), st.integers(1, 400), st.lists(shares, min_size=4, max_size=4))
def test_a_piece_lies_in_the_image_and_holds_the_mask(width_px, height_px, corners):
    x0, x1 = sorted(int(c * width_px) for c in corners[:2])
    y0, y1 = sorted(int(c * height_px) for c in corners[2:])
    x, y, w, h = piece_window(np.array([x0, y0, x1, y1], float), width_px, height_px)
    assert 0 <= x < x + w <= width_px
    assert 0 <= y < y + h <= height_px
    assert x <= x0 <= x1 <= x + w
    assert y <= y0 <= y1 <= y + h


def test_a_piece_shows_the_mask_filled_and_gold_as_an_outline():
    mask, gold = np.zeros((2, 1, 90, 120), bool)
    mask[0, 30:60, 40:60] = True
    gold[0, 30:60, 60:80] = True
    drawn = draw_piece(np.full((90, 120, 3), 128, np.uint8), masks.encode(mask), masks.encode(gold)).astype(
        int
    )
    is_magenta = (drawn[..., 0] > drawn[..., 1] + 40) & (drawn[..., 2] > drawn[..., 1] + 10)
    is_yellow = (drawn[..., 0] > 200) & (drawn[..., 2] < 100) & (drawn[..., 1] > 150)
    grey = np.isclose(drawn, 128, atol=1).all(-1)
    assert is_magenta.sum() > 4 * is_yellow.sum() > 0
    assert grey.sum() > is_magenta.sum()
    assert is_magenta.nonzero()[1].max() < is_yellow.nonzero()[1].max()


@pytest.mark.parametrize("n_gold", [0, 1])
def test_empty_masks_draw_the_picture_alone(n_gold):
    empty = masks.encode(np.zeros((1, 9, 12), bool))
    gold = masks.encode(np.zeros((n_gold, 9, 12), bool)) if n_gold else masks.Runs.empty(9, 12)
    drawn = draw_piece(np.full((9, 12, 3), 50, np.uint8), empty, gold)
    assert (drawn == 50).all()
