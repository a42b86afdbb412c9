"""Means of features over masks, against dense area weights."""

import numpy as np
import pytest

from curation.generation.embeddings import mask_means
from curation.generation.grid import Crop
from curation.generation.segmenters import Embedding
from curation.masks import Runs, encode


def overlaps(n_cells: int, n_px: int, cells_per_px: float) -> np.ndarray:
    """Length that pixel p shares with cell c, in cells: (n_cells, n_px)."""
    cells, px = np.arange(n_cells)[:, None], np.arange(n_px)[None]
    return np.clip(
        np.minimum(cells + 1, (px + 1) * cells_per_px) - np.maximum(cells, px * cells_per_px), 0, None
    )


@pytest.mark.parametrize("valid", [(8.0, 8.0), (5.3, 8.0), (8.0, 0.7)])
@pytest.mark.parametrize("crop", [Crop(0, 0, 40, 30, 0), Crop(7, 3, 21, 26, 1), Crop(0, 0, 5, 4, 1)], ids=str)
def test_means_equal_dense_area_weights(crop, valid):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(6, 8, 8)).astype(np.float32)
    masks = rng.random((4, 30, 40)) < [[[0.5]], [[0.1]], [[0.9]], [[1.0]]]
    embedding = Embedding(crop.height, crop.width, features, *valid, state=None)
    rows = overlaps(8, crop.height, valid[0] / crop.height)
    columns = overlaps(8, crop.width, valid[1] / crop.width)
    inside = masks[:, crop.y : crop.y + crop.height, crop.x : crop.x + crop.width]
    weights = np.einsum("rh,nhw,cw->nrc", rows, inside, columns)
    expected = np.einsum("nrc,drc->nd", weights, features) / weights.sum((1, 2))[:, None]
    np.testing.assert_allclose(mask_means(encode(masks), crop, embedding), expected, atol=2e-3)


def test_a_mask_without_a_pixel_gives_zeros_and_no_mask_no_rows():
    embedding = Embedding(10, 10, np.ones((3, 4, 4), np.float32), 4.0, 4.0, state=None)
    crop = Crop(0, 0, 10, 10, 0)
    assert mask_means(encode(np.zeros((1, 10, 10), bool)), crop, embedding).tolist() == [[0, 0, 0]]
    assert mask_means(Runs.empty(10, 10), crop, embedding).shape == (0, 3)
