"""The mean of a crop's image embedding over each of its masks."""

import numpy as np
from numba import njit

from curation.generation.grid import Crop
from curation.generation.segmenters import Embedding
from curation.masks import Runs


def mask_means(runs: Runs, crop: Crop, embedding: Embedding) -> np.ndarray:
    """Float16 (N, C): the features of the crop's grid, weighted by each mask's area in every cell.

    Padding has no weight. Pixels outside the crop (small-region cleaning can add none, but a caller may) count
    for nothing; a mask without a pixel in the crop gives zeros.
    """
    n_channels, rows, columns = embedding.features.shape
    crop_xywh = (crop.x, crop.y, crop.width, crop.height)
    cells_per_px = (embedding.valid_columns / crop.width, embedding.valid_rows / crop.height)
    weights = cell_areas(runs, crop_xywh, cells_per_px, (rows, columns)).reshape(len(runs), rows * columns)
    total = weights.sum(axis=1, keepdims=True)
    means = (
        weights @ embedding.features.reshape(n_channels, -1).T / np.maximum(total, np.finfo(np.float32).tiny)
    )
    return np.clip(means, -65504, 65504).astype(np.float16)


def cell_areas(
    runs: Runs,
    crop_xywh: tuple[int, int, int, int],
    cells_per_px: tuple[float, float],
    shape: tuple[int, int],
) -> np.ndarray:
    """Each mask's area in every cell of a crop's grid, in cells: float32 (N, rows, columns), `shape` gives the last two.

    `cells_per_px` is along x and along y; the grid starts at the crop's corner, what lies outside of it is left out.
    """
    areas = np.zeros((len(runs), *shape), np.float32)
    _cell_areas(runs.counts, runs.offsets, runs.height, crop_xywh, cells_per_px, areas)
    return areas


@njit(cache=True, nogil=True)
def _cell_areas(counts, offsets, height, crop_xywh, cells_per_px, weights):
    """Add every mask's area in each cell, in cells, to `weights` (N, rows, columns)."""
    crop_x, crop_y, crop_width, crop_height = crop_xywh
    x_scale, y_scale = cells_per_px
    n_rows = weights.shape[1]
    column_areas = np.zeros(n_rows, np.float64)
    for mask in range(len(offsets) - 1):
        place = np.int64(0)
        for k in range(offsets[mask], offsets[mask + 1]):
            start, place = place, place + np.int64(counts[k])
            if (k - offsets[mask]) % 2 == 0:
                continue
            while start < place:  # one piece a column of the image
                x, y = start // height, start % height
                stop = min(place, (x + 1) * height)
                top, foot = max(y - crop_y, 0), min(y + stop - start - crop_y, crop_height)
                start = stop
                if not 0 <= x - crop_x < crop_width or foot <= top:
                    continue
                _spread(top * y_scale, foot * y_scale, column_areas)
                _add_columns((x - crop_x) * x_scale, (x - crop_x + 1) * x_scale, column_areas, weights[mask])
                first, last = int(top * y_scale), min(int(foot * y_scale), n_rows - 1)
                column_areas[first : last + 1] = 0


@njit(cache=True, nogil=True)
def _spread(low, high, cells):
    """Add the length of [low, high) in every unit cell."""
    for cell in range(int(low), min(int(high), len(cells) - 1) + 1):
        cells[cell] += max(0.0, min(high, cell + 1.0) - max(low, float(cell)))


@njit(cache=True, nogil=True)
def _add_columns(left, right, column_areas, weights):
    """Add a strip from `left` to `right` (in cells) whose area down the rows is `column_areas`."""
    for cell in range(int(left), min(int(right), weights.shape[1] - 1) + 1):
        share = min(right, cell + 1.0) - max(left, float(cell))
        if share > 0:
            for row in range(weights.shape[0]):
                if column_areas[row]:
                    weights[row, cell] += share * column_areas[row]
