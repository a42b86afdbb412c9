"""A batch takes indices as an array does, and compares by its masks."""

import pickle

import numpy as np
import pytest
from rle_cases import draw_mask

from curation.errors import RleError
from curation.masks import Runs, decode, encode

PIXELS = np.stack([draw_mask("noise", 6, 8, seed) for seed in range(5)])


@pytest.mark.parametrize(
    "index",
    [
        slice(None),
        slice(1, 3),
        slice(4, 1),
        slice(None, None, -2),
        [3, 3, -1],
        np.array([4, 0]),
        np.array([], np.int64),
        [],
        [True, False, False, True, False],
        np.array([False] * 5),
    ],
)
def test_index(index):
    expected = (
        PIXELS[index] if not isinstance(index, list) else PIXELS[np.array(index, int if not index else None)]
    )
    assert encode(PIXELS)[index] == encode(expected)


@pytest.mark.parametrize("index", [0, 4, -1, -5, np.int32(2)])
def test_one_mask_is_a_batch_of_one(index):
    assert np.array_equal(decode(encode(PIXELS)[index]), PIXELS[index][None])


@pytest.mark.parametrize("index", [5, -6, [7], [True]])
def test_an_index_out_of_range(index):
    with pytest.raises(IndexError):
        encode(PIXELS)[index]


def test_iteration_ends():
    assert [len(runs) for runs in encode(PIXELS)] == [1] * 5


def test_concat():
    runs = encode(PIXELS)
    assert Runs.concat([runs[:2], Runs.empty(6, 8), runs[2:]]) == runs
    assert Runs.concat([runs[3], runs[1]]) == runs[[3, 1]]
    with pytest.raises(RleError, match="batch 1 is of 8 x 6 px where 6 x 8 px"):
        Runs.concat([runs, Runs.empty(8, 6)])
    with pytest.raises(RleError, match="no batch came"):
        Runs.concat([])


def test_equality():
    assert encode(PIXELS) == encode(PIXELS)
    assert encode(PIXELS) != encode(~PIXELS)
    assert encode(PIXELS[:0]) != Runs.empty(8, 6)
    assert encode(PIXELS) != 5


def test_pickle():
    runs = encode(PIXELS)
    assert pickle.loads(pickle.dumps(runs[1:3])) == runs[1:3]


@pytest.mark.parametrize("size", [(0, 5), (5, 65_536), (60_000, 60_000), (2.0, 2), (True, 2)])
def test_sizes_out_of_bounds(size):
    with pytest.raises(RleError):
        Runs.empty(*size)
