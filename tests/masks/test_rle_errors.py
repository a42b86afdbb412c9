"""Everything invalid raises RleError that says where, what came and what is allowed. pycocotools never sees it."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco
from rle_cases import batches, thorough

from curation import masks
from curation.errors import RleError

VALID = {"size": [2, 3], "counts": [1, 2, 3]}


def test_the_valid_one_is_valid():
    assert masks.decode(masks.parse(VALID, (2, 3))).tolist() == [[[False, True, False], [True, False, False]]]


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (None, "null came"),
        ("061", "str came"),
        ([[0, 0, 1, 0, 1, 1]], "polygons are not RLE"),
        ({"size": [2, 3]}, "'counts' is missing"),
        ({"counts": [6]}, "'size' is missing"),
        ({"size": [2, 3], "counts": None}, "null came"),
        ({"size": [2, 3], "counts": 6}, "int came"),
        ({"size": [2, 3], "counts": {"0": 6}}, "dict came"),
    ],
)
def test_wrong_objects(segmentation, message):
    with pytest.raises(RleError, match=message):
        masks.parse(segmentation)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (None, "None came"),
        (6, "6 came"),
        ("23", "'23' came"),
        ([2], r"\[2\] came"),
        ([2, 3, 1], r"\[2, 3, 1\] came"),
        ([2.0, 3], "height is 2.0"),
        ([2, "3"], "width is '3'"),
        ([2, None], "width is None"),
        ([True, 6], "height is True"),
        ([float("nan"), 3], "height is nan"),
        ([0, 6], "height is 0 px"),
        ([-2, -3], "height is -2 px"),
        ([65_536, 1], "height is 65536 px; it must be 1 to 65,535"),
        ([2**63, 2**63], "it must be 1 to 65,535"),
        ([65_535, 65_535], "at most 536,870,911 are allowed"),
    ],
)
def test_wrong_sizes(size, message):
    with pytest.raises(RleError, match=message):
        masks.parse({"size": size, "counts": [1, 2, 3]})


def test_a_size_other_than_the_images():
    with pytest.raises(RleError, match=r"\[2, 3\] came, but the image is \[3, 2\]"):
        masks.parse(VALID, (3, 2))


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([], "its 0 runs sum to 0; they must sum to 2 x 3 = 6"),
        ([1, 2], "sum to 3; they must sum to 2 x 3 = 6"),
        ([1, 2, 4], "runs 0 to 2 sum to 7, more than 2 x 3 = 6"),
        ([7, -1], "runs 0 to 0 sum to 7"),
        ([1, -2, 7], "run 1 is -2; runs must be 0 or more"),
        ([2**32 + 6], "more than"),
        ([2**63 - 1, 2**63 - 1], "more than"),
        ([2**64 + 6], "more than 64 bits"),
        ([1, 2.0, 3], r"run 1 is 2.0 \(float\)"),
        ([1, float("nan"), 3], r"run 1 is nan \(float\)"),
        ([1, True, 4], r"run 1 is True \(bool\)"),
        ([1, None, 5], r"run 1 is None \(null\)"),
        ([1, "2", 3], r"run 1 is '2' \(str\)"),
        ([[1, 2, 3]], r"\(list\)"),
        (np.array([1.0, 2, 3]), "float64"),
        (np.array([[1, 2, 3]]), r"shape \(1, 3\)"),
        (np.array([2**64 - 1], np.uint64), "runs must be 0 or more"),
    ],
)
def test_wrong_integers(counts, message):
    with pytest.raises(RleError, match=message):
        masks.parse({"size": [2, 3], "counts": counts})


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ("", "its 0 runs sum to 0"),
        ("12", "sum to 3; they must sum to 2 x 3 = 6"),
        ("124", "runs 0 to 2 sum to 7"),
        ("1O3", "run 1 is -1"),
        ("12S", "ends inside a number"),
        ("o", "ends inside a number"),
        ("PPPPPPPPP0", "the number that starts at character 0 takes more than 6 characters"),
        ("1PPPPPP6", "the number that starts at character 1 takes more than 6 characters"),
        ("ooooo?", "more than"),
        ("12 3", "byte 2 is b' '"),
        ("12/", "byte 2 is b'/'"),
        ("p", "byte 0 is b'p'"),
        ("12\x00", r"byte 2 is b'\\x00'"),
        ("1é3", r"byte 1 is b'\\xc3'"),
        ("1\ud8003", "came; a COCO RLE string holds only"),
        (b"\xff\xfe", r"byte 0 is b'\\xff'"),
    ],
)
def test_wrong_strings(counts, message):
    with pytest.raises(RleError, match=message):
        masks.parse({"size": [2, 3], "counts": counts})


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (["6", "123", "12"], "counts of mask 2: its 2 runs"),
        (["6", "1 3", "12"], "counts of mask 1: byte 1"),
        (["6", "6", "6\x7f"], "counts of mask 2: byte 1"),
        (["6", None], "counts of mask 1: null came"),
        ([6], "counts of mask 0: int came"),
        (pa.array(["6", None]), "counts of mask 1: null came"),
        (pa.array([6]), "an Arrow array of int64 came"),
    ],
)
def test_a_batch_names_the_bad_mask(counts, message):
    with pytest.raises(RleError, match=message):
        masks.parse_strings(counts, 2, 3)


def read_or_refuse(segmentation: object) -> masks.Runs | None:
    """A mask that survives its own writing and reads alike in pycocotools, or None for RleError."""
    try:
        runs = masks.parse(segmentation)
    except RleError:
        return None
    written = masks.to_coco(runs)
    assert masks.parse(written) == runs
    assert int(runs.counts.sum()) == runs.height * runs.width
    if runs.height * runs.width < 10_000:
        assert np.array_equal(masks.decode(runs)[0], coco.decode(written).astype(bool))
    return runs


@thorough
@given(st.binary(max_size=40), st.integers(1, 9), st.integers(1, 9))
def test_random_bytes_are_read_or_refused(counts, height, width):
    read_or_refuse({"size": [height, width], "counts": counts})


@thorough
@given(st.text("0123456789:;<=>?@ABCNOPQo", max_size=12), st.integers(1, 9), st.integers(1, 9))
def test_random_words_of_the_alphabet_are_read_or_refused(counts, height, width):
    runs = read_or_refuse({"size": [height, width], "counts": counts})
    if runs is not None:  # so it is safe to ask pycocotools about the very string that came
        theirs = coco.decode({"size": [height, width], "counts": counts})
        assert np.array_equal(masks.decode(runs)[0], theirs.astype(bool))


@thorough
@given(batches(least=1, most=1), st.data())
def test_damaged_strings_are_read_or_refused(pixels, data):
    text = bytearray(masks.to_strings(masks.encode(pixels))[0].encode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text)))
        text[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    read_or_refuse({"size": list(pixels.shape[1:]), "counts": bytes(text)})


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["size", "counts", "x"]), inner)
    ),
    max_leaves=8,
)
sizes = st.lists(st.integers(-1, 9), min_size=1, max_size=3) | values


@thorough
@given(values | st.fixed_dictionaries({"size": sizes, "counts": st.lists(st.integers(-1, 9)) | values}))
def test_random_objects_are_read_or_refused(segmentation):
    read_or_refuse(segmentation)
