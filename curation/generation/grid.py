"""Where the model is asked: crops of the image and the points inside them.

Geometry of segment-anything's generator (utils/amg.py): layer 0 is the whole image, layer k has 2^k x 2^k crops
that overlap, and every crop gets a regular grid of points.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curation.errors import InputError
from curation.generation.presets import GenerationSettings


@dataclass(frozen=True)
class Crop:
    """A window of the image, in its pixels; `layer` 0 is the whole image."""

    x: int
    y: int
    width: int
    height: int
    layer: int

    @property
    def area_px(self) -> int:
        return self.width * self.height

    @property
    def box_xyxy(self) -> tuple[int, int, int, int]:
        """Exclusive maxima."""
        return self.x, self.y, self.x + self.width, self.y + self.height

    def pixels_of(self, pixels: np.ndarray) -> np.ndarray:
        """The view (height, width, 3) of an image (H, W, 3)."""
        return pixels[self.y : self.y + self.height, self.x : self.x + self.width]


def crops(height: int, width: int, n_layers: int, overlap_ratio: float) -> list[Crop]:
    """The whole image, then the crops of every layer, column by column.

    `overlap_ratio` is the overlap of layer 1 as a share of the image's short side; it halves with every layer.
    Raises InputError where the image is too small to be cut that often.
    """
    found = [Crop(0, 0, width, height, 0)]
    for layer in range(1, n_layers + 1):
        per_side = 2**layer
        overlap = int(overlap_ratio * min(height, width) * (2 / per_side))
        crop_width = math.ceil((overlap * (per_side - 1) + width) / per_side)
        crop_height = math.ceil((overlap * (per_side - 1) + height) / per_side)
        for column in range(per_side):
            for row in range(per_side):
                x, y = (crop_width - overlap) * column, (crop_height - overlap) * row
                crop = Crop(x, y, min(crop_width, width - x), min(crop_height, height - y), layer)
                if crop.width < 1 or crop.height < 1:
                    raise InputError(
                        f"image of {width} x {height} px (width x height): too small for {per_side} x {per_side} "
                        f"crops; lower crop_layers to {layer - 1}, or leave the image out"
                    )
                found.append(crop)
    return found


def unit_points(points_per_side: int) -> np.ndarray:
    """Centres of an n x n grid over the unit square, row by row: float64 (n * n, 2), [x, y]."""
    margin = 1 / (2 * points_per_side)
    side = np.linspace(margin, 1 - margin, points_per_side)
    x, y = np.meshgrid(side, side)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def layer_points(
    settings: GenerationSettings, point_grids: Sequence[np.ndarray] | None = None
) -> list[np.ndarray]:
    """Unit points (P, 2) of every layer: given ones, or a grid that thins out by `crop_points_downscale` a layer."""
    n_layers = settings.crop_layers + 1
    if point_grids is not None:
        if len(point_grids) < n_layers:
            raise InputError(f"point_grids: {len(point_grids)} came, one a layer is needed ({n_layers})")
        return [np.asarray(points, np.float64).reshape(-1, 2) for points in point_grids[:n_layers]]
    per_side = [int(settings.points_per_side / settings.crop_points_downscale**k) for k in range(n_layers)]
    if per_side[-1] < 1:
        raise InputError(
            f"crop_points_downscale: {settings.crop_points_downscale} leaves no point in layer {n_layers - 1} "
            f"of a grid of {settings.points_per_side}; lower it, or crop_layers"
        )
    return [unit_points(n) for n in per_side]
