"""Compressed .npy files made of runs, against NumPy and zlib."""

import io
import zlib

import numpy as np
import pytest
from hypothesis import given
from rle_cases import batches, draw_mask, thorough

from curation import masks


def saved(pixels: np.ndarray) -> bytes:
    """What NumPy writes of a mask (H, W), cut to its tight box."""
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    crop = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else pixels[:0, :0]
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(crop))
    return file.getvalue()


@thorough
@given(batches())
def test_files_inflate_to_what_numpy_saves_of_the_crops(pixels):
    files = masks.to_npy(masks.encode(pixels))
    assert [zlib.decompress(file) for file in files] == [saved(mask) for mask in pixels]


@pytest.mark.parametrize("kind", ["full", "frame", "noise", "specks", "checkers", "blob", "row", "column"])
def test_crops_of_many_matches_inflate_too(kind):
    pixels = np.stack([draw_mask(kind, 700, 900, seed) for seed in range(2)])
    files = masks.to_npy(masks.encode(pixels))
    assert [zlib.decompress(file) for file in files] == [saved(mask) for mask in pixels]
