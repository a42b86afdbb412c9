"""Label maps against one comparison a number."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curation.errors import RleError
from curation.masks import encode
from curation.masks.labels import encode_labels

label_maps = hnp.arrays(
    st.sampled_from([np.uint8, np.uint16, np.int32]),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    elements=st.integers(0, 5),
)


@settings(deadline=None)
@given(labels=label_maps)
def test_every_number_is_the_mask_of_its_pixels(labels):
    numbers, runs = encode_labels(labels)
    assert numbers.tolist() == sorted(set(labels.ravel().tolist()))
    assert runs == encode(np.stack([labels == number for number in numbers]))


def test_a_map_laid_out_by_columns_is_the_same_map():
    labels = np.random.default_rng(0).integers(0, 9, (40, 30))
    assert encode_labels(np.asfortranarray(labels))[1] == encode_labels(labels)[1]


@pytest.mark.parametrize("labels", [np.zeros((2, 3, 3), np.uint8), np.zeros((2, 2)), [[1]]])
def test_what_is_no_label_map_is_refused(labels):
    with pytest.raises(RleError, match="array \\(H, W\\) of integers"):
        encode_labels(labels)
