"""Parse, encode, decode and write: equal to pycocotools on everything valid."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco
from rle_cases import batches, coco_rles, coco_strings, draw_mask, quick, thorough, zero_ridden_runs

from curation import masks
from curation.errors import InputError, RleError


@thorough
@given(batches())
def test_encode_writes_pycocotools_strings(pixels):
    assert masks.to_strings(masks.encode(pixels)) == coco_strings(pixels)


@thorough
@given(batches())
def test_strings_come_back_to_the_pixel(pixels):
    strings = coco_strings(pixels)
    runs = masks.parse_strings(strings, *pixels.shape[1:])
    assert runs == masks.encode(pixels)
    assert np.array_equal(masks.decode(runs), pixels)
    assert masks.decode(runs).dtype == bool
    assert masks.to_strings(runs) == strings


@quick
@given(batches(least=1), st.data())
def test_decode_of_a_crop_is_a_crop_of_decode(pixels, data):
    _, height, width = pixels.shape
    x, y = data.draw(st.integers(0, width)), data.draw(st.integers(0, height))
    w, h = data.draw(st.integers(0, width - x)), data.draw(st.integers(0, height - y))
    crop = masks.decode(masks.encode(pixels), (x, y, w, h))
    assert np.array_equal(crop, pixels[:, y : y + h, x : x + w])


@quick
@given(batches(least=1, most=1))
def test_every_spelling_of_counts_gives_the_same_mask(pixels):
    (rle,) = coco_rles(pixels)
    size, text = list(map(int, rle["size"])), rle["counts"].decode()
    runs = masks.encode(pixels)
    integers = runs.counts.tolist()
    for counts in (text, text.encode(), integers, tuple(integers), np.array(integers), runs.counts):
        assert masks.parse({"size": size, "counts": counts}, tuple(size)) == runs
    assert masks.to_coco(runs) == {"size": size, "counts": text}
    assert masks.parse(json.loads(json.dumps(masks.to_coco(runs)))) == runs


@thorough
@given(zero_ridden_runs())
def test_zero_length_runs_are_merged(case):
    height, width, integers = case
    runs = masks.parse({"size": [height, width], "counts": integers})
    theirs = coco.frPyObjects({"size": [height, width], "counts": integers}, height, width)
    assert (runs.counts[1:] > 0).all()
    assert np.array_equal(masks.decode(runs)[0], coco.decode(theirs))
    assert masks.areas(runs)[0] == coco.area(theirs)
    assert masks.parse_strings([theirs["counts"]], height, width) == runs
    assert masks.to_strings(runs) == coco_strings(masks.decode(runs))


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.string_view()]
)
def test_arrow_columns_are_read_sliced_and_chunked(kind):
    pixels = np.stack([draw_mask("noise", 9, 7, seed) for seed in range(6)])
    column = pa.array(coco_strings(pixels), kind)
    assert masks.parse_strings(column, 9, 7) == masks.encode(pixels)
    assert masks.parse_strings(column[2:5], 9, 7) == masks.encode(pixels[2:5])
    assert masks.parse_strings(column[:0], 9, 7) == masks.Runs.empty(9, 7)
    assert masks.parse_strings(pa.chunked_array([column[:4], column[4:]]), 9, 7) == masks.encode(pixels)


@pytest.mark.parametrize("shape", [(1, 20_000), (20_000, 1), (20_000, 150), (150, 20_000)])
@pytest.mark.parametrize("kind", ["empty", "full", "pixel", "column", "row", "columns", "noise"])
def test_sides_of_20000_px(shape, kind):
    pixels = draw_mask(kind, *shape, seed=3)[None]
    runs = masks.encode(pixels)
    assert masks.to_strings(runs) == coco_strings(pixels)
    assert masks.parse_strings(coco_strings(pixels), *shape) == runs
    assert np.array_equal(masks.decode(runs), pixels)
    assert np.array_equal(masks.boxes(runs), coco.toBbox(coco_rles(pixels)))


def test_an_image_of_20000_x_20000_px_is_never_drawn():
    side = 20_000
    whole = {"size": [side, side], "counts": [0, side * side]}
    band = {"size": [side, side], "counts": [3 * side + 5, 7 * side, side * side - 10 * side - 5]}
    theirs = [coco.frPyObjects(segmentation, side, side) for segmentation in (whole, band)]
    runs = masks.Runs.concat([masks.parse(whole), masks.parse(band)])
    assert masks.to_strings(runs) == [rle["counts"].decode() for rle in theirs]
    assert np.array_equal(masks.areas(runs), coco.area(theirs))
    assert np.array_equal(masks.boxes(runs), coco.toBbox(theirs))
    assert np.array_equal(masks.iou(runs, runs), coco.iou(theirs, theirs, [0, 0]))
    assert (
        masks.decode(runs, (2, 3, 3, 4))[1].tolist() == [[False, False, True]] * 2 + [[False, True, True]] * 2
    )


def test_encode_takes_any_layout_and_any_value_but_zero():
    pixels = np.stack([draw_mask("blob", 30, 41, seed) for seed in range(3)])
    expected = masks.encode(pixels)
    weights = np.where(pixels, np.random.default_rng(0).integers(1, 256, pixels.shape), 0).astype(np.uint8)
    assert masks.encode(weights) == expected
    assert masks.encode(np.asfortranarray(pixels)) == expected
    assert masks.encode(np.repeat(pixels, 2, axis=2)[:, :, ::2]) == expected


def test_no_masks():
    nothing = masks.encode(np.zeros((0, 5, 4), bool))
    assert nothing == masks.Runs.empty(5, 4) == masks.parse_strings([], 5, 4)
    assert masks.to_strings(nothing) == []
    assert masks.decode(nothing).shape == (0, 5, 4)


@pytest.mark.parametrize("crop", [(-1, 0, 2, 2), (0, 0, 5, 1), (3, 4, 1, 2), (0, 0, -1, 2)])
def test_a_crop_outside_the_image_is_refused(crop):
    with pytest.raises(InputError, match="leaves the image of 4 x 5 px"):
        masks.decode(masks.encode(np.ones((1, 5, 4), bool)), crop)


@pytest.mark.parametrize(
    "wrong",
    [
        np.ones((5, 4), bool),
        np.ones((1, 5, 4)),
        [[[True]]],
        np.ones((1, 0, 4), bool),
        np.ones((1, 1, 65_536), bool),
    ],
)
def test_encode_refuses_what_is_no_batch(wrong):
    with pytest.raises(RleError, match=r"^encode"):
        masks.encode(wrong)


def padded(text: str, data) -> str:
    """The same numbers, some with a group of five bits more than they need."""
    padded = ""
    for char in text:
        group = ord(char) - 48
        if group < 32 and data.draw(st.booleans()):  # the last group of a number; its bit 16 is the sign
            padded += chr(48 + 32 + group) + chr(48 + (31 if group & 16 else 0))
        else:
            padded += char
    return padded


@quick
@given(batches(), st.data())
def test_areas_and_boxes_of_strings_are_pycocotools_own(pixels, data):
    strings = coco_strings(pixels)
    size = pixels.shape[1:]
    areas_px, bbox_xywh = masks.areas_and_boxes(pa.array(strings, pa.string()), *size)
    peers = [{"size": list(size), "counts": text} for text in strings]
    assert areas_px.tolist() == (coco.area(peers).tolist() if peers else [])
    assert bbox_xywh.tolist() == masks.boxes(masks.encode(pixels)).tolist()
    came = [padded(text, data) for text in strings]
    assert (masks.areas_and_boxes(pa.array(came, pa.string()), *size) is None) == (came != strings)
    assert masks.to_strings(masks.parse_strings(came, *size)) == strings


@quick
@given(st.lists(st.binary(max_size=8) | st.text("0123oQP`", max_size=8).map(str.encode), max_size=3))
def test_areas_and_boxes_are_told_only_of_strings_that_are_written_again_alike(came):
    try:
        runs = masks.parse_strings(came, 3, 3)
        is_canonical = [text.encode() for text in masks.to_strings(runs)] == came
    except RleError:
        is_canonical = False
    found = masks.areas_and_boxes(pa.array(came, pa.binary()), 3, 3)
    assert (found is not None) == is_canonical
    if is_canonical:
        assert found[0].tolist() == masks.areas(runs).tolist()
        assert found[1].tolist() == masks.boxes(runs).tolist()


def test_zero_length_runs_are_left_to_the_careful_reader():
    came = ["0" + "00" + chr(48 + 9)]  # 0, 0, 0, then 9 more than the run before the last: nine pixels
    assert masks.areas_and_boxes(pa.array(came), 3, 3) is None
    assert masks.to_strings(masks.parse_strings(came, 3, 3)) != came
