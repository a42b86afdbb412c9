"""The fast reading of usual SA-1B records: whatever comes, it reads what the careful reader reads, or leaves it to that one."""

import json
import math
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curation import masks
from curation.errors import InputError
from curation.formats import sa1b, sa1b_scan

HEIGHT, WIDTH = 12, 70


def counts(seed: int) -> str:
    rng = np.random.default_rng(seed)
    return masks.to_strings(masks.encode(rng.random((1, HEIGHT, WIDTH)) < rng.random()))[0]


def annotation(number: int) -> dict:
    return {
        "segmentation": {"size": [HEIGHT, WIDTH], "counts": counts(number)},
        "bbox": [0.0, 1.5, 20.0, 3.25],
        "area": 77,
        "predicted_iou": 0.9876543210987654,
        "point_coords": [[12.345678901234567, 3.0]],
        "crop_box": [0.0, 0.0, 70.0, 12.0],
        "id": 1000 + number,
        "stability_score": 0.95,
    }


def document(n_annotations: int = 3) -> dict:
    image = {"image_id": 5, "width": WIDTH, "height": HEIGHT, "file_name": "sa_5.jpg"}
    return {"image": image, "annotations": [annotation(number) for number in range(n_annotations)]}


def outcome(data: bytes) -> object:
    """All that reading gives, in a form that can be compared."""
    try:
        record = sa1b.parse_record(data)
    except InputError as error:
        return str(error)
    found = record.annotations
    problems = [(index, str(error)) for index, error in record.problems]
    runs = (found.runs.counts.tolist(), found.runs.offsets.tolist())
    return record.image, runs, found.columns.to_pylist(), found.rle_counts.to_pylist(), problems


def careful_outcome(data: bytes) -> object:
    with mock.patch.object(sa1b_scan, "scan", return_value=None):
        return outcome(data)


def is_scanned(data: bytes) -> bool:
    return sa1b_scan.scan(data) is not None


NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(0, 3000),
    st.integers(-(10**20), 10**20),
    st.integers(0, 3000),
)
TEXTS = st.one_of(st.text(max_size=5), st.sampled_from(["sa_1.jpg", "..", "a\\b", 'x"y', "{", "☃.jpg"]))
ODD = st.one_of(
    st.none(), st.booleans(), NUMBERS, TEXTS, st.just([]), st.just({}), st.lists(NUMBERS, max_size=5)
)


@st.composite
def documents(draw) -> dict:
    """Records that are right or nearly so: numbers of all kinds, keys in any order, here and there something odd."""
    record = document(draw(st.integers(0, 3)))
    for one in record["annotations"]:
        one |= {name: draw(NUMBERS) for name in ("predicted_iou", "stability_score", "area")}
        one["bbox"] = draw(st.lists(NUMBERS, min_size=4, max_size=4))
        one["point_coords"] = [draw(st.lists(NUMBERS, min_size=2, max_size=2))]
        if draw(st.integers(0, 5)) == 0:
            one["segmentation"][draw(st.sampled_from(["size", "counts", "extra"]))] = draw(ODD)
        if draw(st.integers(0, 5)) == 0:
            one[draw(st.sampled_from([*one, "label", "extra"]))] = draw(ODD)
        if draw(st.integers(0, 8)) == 0:
            del one[draw(st.sampled_from([*one]))]
    record["annotations"] = [dict(draw(st.permutations(list(one.items())))) for one in record["annotations"]]
    if draw(st.integers(0, 5)) == 0:
        record["image"][draw(st.sampled_from([*record["image"], "license"]))] = draw(ODD)
    return record


@settings(max_examples=300, deadline=None)
@given(documents(), st.sampled_from([None, 0, 2]), st.sampled_from([(",", ":"), (", ", ": ")]))
def test_both_readers_read_the_same(record, indent, separators):
    data = json.dumps(record, indent=indent, separators=separators).encode()
    assert outcome(data) == careful_outcome(data)


PLAIN = json.dumps(document()).encode()


@settings(max_examples=400, deadline=None)
@given(
    st.integers(0, len(PLAIN) - 1),
    st.integers(0, 3),
    st.binary(max_size=3) | st.sampled_from([b",", b"}", b"0", b"\\"]),
)
@example(len(PLAIN) - 1, 1, b"")
def test_both_readers_take_damage_alike(at, n_dropped, inserted):
    data = PLAIN[:at] + inserted + PLAIN[at + n_dropped :]
    assert outcome(data) == careful_outcome(data)


def test_damage_at_every_byte_is_taken_alike():
    for at in range(len(PLAIN)):
        for replacement in (b"", b"9", b'"'):
            data = PLAIN[:at] + replacement + PLAIN[at + 1 :]
            assert outcome(data) == careful_outcome(data), data


@pytest.mark.parametrize("n_annotations", [0, 1, 40])
@pytest.mark.parametrize("indent", [None, 2])
def test_usual_records_take_the_fast_way(n_annotations, indent):
    assert is_scanned(json.dumps(document(n_annotations), indent=indent).encode())


def test_a_backslash_in_an_rle_takes_it_too():
    record = document(60)
    assert any("\\" in one["segmentation"]["counts"] for one in record["annotations"])
    data = json.dumps(record).encode()
    assert is_scanned(data)
    assert outcome(data) == careful_outcome(data)


@pytest.mark.parametrize(
    "change",
    [{"label": "cat"}, {"predicted_iou": None}, {"id": "x7"}, {"point_coords": []}, {"bbox": [1e999] * 4}],
)
def test_unusual_records_are_left_to_the_careful_reader(change):
    record = document()
    record["annotations"][1] |= change
    assert not is_scanned(json.dumps(record).encode())


def test_strings_that_no_tool_writes_come_out_as_pycocotools_writes_them():
    record = document(1)
    size = HEIGHT * WIDTH
    padded = masks.to_strings(masks.parse({"size": [HEIGHT, WIDTH], "counts": [5, size - 5]}))[0]
    record["annotations"][0]["segmentation"]["counts"] = "U0" + padded[1:]  # 5 in two groups of bits
    found = sa1b.parse_record(json.dumps(record).encode()).annotations
    assert found.rle_counts.to_pylist() == [padded] == masks.to_strings(found.runs)


def scanned_number(text: str) -> float:
    data = json.dumps(document(1)).replace("0.9876543210987654", text).encode()
    return sa1b_scan.scan(data).predicted_iou[0]


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.floats(0, 1.1), st.floats(-3000, 3000), st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers_are_rounded_as_python_rounds_them(value):
    assert scanned_number(repr(value)) == value


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**19), st.integers(1, 19))
def test_decimals_of_any_length_are_rounded_as_python_rounds_them(digits, n_decimals):
    text = f"{digits // 10**n_decimals}.{digits % 10**n_decimals:0{n_decimals}d}"
    assert scanned_number(text) == float(text)


@settings(max_examples=200, deadline=None)
@given(st.floats(0.01, 1), st.integers(14, 18))
def test_numbers_half_way_between_two_doubles_are_rounded_as_python_rounds_them(value, n_decimals):
    upper = math.nextafter(value, 2)
    text = f"{(value + (upper - value) / 2):.{n_decimals}f}"
    assert scanned_number(text) == float(text)
