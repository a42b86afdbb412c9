"""Slices of JSON documents against the standard parser."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import RecordError
from curation.formats import json_slices

values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
layouts = st.sampled_from([{}, {"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}])


def as_bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)


@settings(deadline=None)
@given(value=st.lists(values, max_size=6), layout=layouts)
def test_the_slices_of_a_list_are_its_elements(value, layout):
    data = as_bytes(f" {json.dumps(value, **layout)} ")
    found = [json.loads(data[start:stop].tobytes()) for start, stop in json_slices.elements(data)]
    assert found == value
    assert json_slices.is_list(data)


@settings(deadline=None)
@given(value=st.dictionaries(st.sampled_from(["images", "annotations", "info"]), values), layout=layouts)
def test_the_slices_of_an_object_are_its_values(value, layout):
    data = as_bytes(f"\ufeff{json.dumps(value, **layout)}\n")
    found = {
        key: json.loads(data[start:stop].tobytes())
        for key, (start, stop) in json_slices.members(data).items()
    }
    assert found == value
    assert not json_slices.is_list(data)


@pytest.mark.parametrize(
    "text", ["", "[]", "7", '{"a"', '{"a": 1', '{"a": "x', '{"a": [1}', '{"a": 1} 2', '{"a" 1}']
)
def test_what_is_no_whole_object_is_refused(text):
    with pytest.raises(RecordError, match="no JSON object"):
        json_slices.members(as_bytes(text))


@pytest.mark.parametrize("text", ["", "{}", "[1, 2", '["a]'])
def test_what_is_no_whole_list_is_refused(text):
    with pytest.raises(RecordError, match="no JSON list"):
        json_slices.elements(as_bytes(text))


def test_a_cut_at_any_byte_is_noticed():
    text = json.dumps({"images": [{"id": 1, "file_name": 'a"\\b'}], "annotations": [{"x": [1, [2]]}]})
    for stop in range(len(text)):
        with pytest.raises(RecordError):
            json_slices.members(as_bytes(text[:stop]))


def test_an_object_of_many_keys():
    value = {f"key {k}": k for k in range(1000)}
    found = json_slices.members(as_bytes(json.dumps(value)))
    assert list(found) == list(value)
