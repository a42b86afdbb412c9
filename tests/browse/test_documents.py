"""What FiftyOne's own code makes of the documents, without a database."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("bson", reason="bson (with fiftyone) is not installed")

from curation import masks
from curation.browse.documents import object_id, relative_box


@given(st.data(), st.integers(1, 20_000))
def test_a_box_comes_back_to_the_pixel_through_the_rounding_of_fiftyone(data, size_px):
    first_px = data.draw(st.integers(0, size_px - 1))
    length_px = data.draw(st.integers(1, size_px - first_px))
    left, top, width, height = relative_box([first_px, first_px, length_px, length_px], size_px, size_px)
    assert (left, width) == (top, height)
    assert int(size_px * left) == round(size_px * left) == first_px
    assert int(size_px * min(left + width, 1)) == round(size_px * (left + width)) == first_px + length_px
    assert round(length_px / width) == size_px  # how FiftyOne's IoU of masks finds the image's size


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (7, 13), (1234, 987)])
def test_fiftyone_unpacks_the_same_pixels(shape):
    from fiftyone.core.utils import deserialize_numpy_array

    mask = np.random.default_rng(0).random(shape) < 0.5
    mask[0], mask[:, 0], mask[-1], mask[:, -1] = True, True, True, True  # its box is all of it
    (file,) = masks.to_npy(masks.encode(mask[None]))
    unpacked = deserialize_numpy_array(file)
    assert unpacked.dtype == bool
    assert np.array_equal(unpacked, mask)


def test_ids_of_samples_and_detections_follow_from_the_lake():
    assert object_id(b"mask", 2**63 - 1) == object_id(b"mask", 2**63 - 1) != object_id(b"imag", 2**63 - 1)
