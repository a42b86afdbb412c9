"""The 95 % interval of the difference of two shares that were seen on the same images, such as before and after.

Each share has its own interval with the image as the cluster (`gold.intervals`); their distances to the shares are
put together with the correlation of both over images (MOVER: Zou and Donner, Statistics in Medicine 27, 2008; for
paired shares Newcombe, the same 17, 1998). It stays honest where all images agree, where a variance would be 0.
"""

from dataclasses import dataclass

import numpy as np

from curation.gold.intervals import ROUNDING, share_bounds


@dataclass(frozen=True)
class Share:
    """A share, or a difference of two, with its bounds; NaN where there is none. Bounds need two images."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Change:
    """Two shares over the same images, and `gain` = before − after."""

    before: Share
    after: Share
    gain: Share
    n_images: int


def change(before: np.ndarray, after: np.ndarray) -> Change:
    """The change of a share from totals over images, (n_images, 2) each: y and x with 0 <= y <= x, weighted or not.

    Images that say nothing of either share are left out. No images give NaN.
    """
    is_told = (before[:, 1] > 0) | (after[:, 1] > 0)
    before, after = before[is_told], after[is_told]
    y, x = np.stack([before[:, 0], after[:, 0]], axis=1), np.stack([before[:, 1], after[:, 1]], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = y.sum(axis=0) / x.sum(axis=0)
        low, high = share_bounds(y, x)
        residuals = (y - share * x) / x.sum(axis=0)
        spread = np.sqrt((residuals**2).sum(axis=0))
        together = (residuals[:, 0] * residuals[:, 1]).sum() / (spread[0] * spread[1])
    correlation = together if (spread > ROUNDING).all() else 0.0
    gain = share[0] - share[1]
    down, up = share - low, high - share
    least = gain - _joined(down[0], up[1], correlation)
    most = gain + _joined(up[0], down[1], correlation)
    shares = [Share(float(share[k]), float(low[k]), float(high[k])) for k in (0, 1)]
    bounds = np.clip([least, most], -1, 1)
    return Change(*shares, Share(float(gain), float(bounds[0]), float(bounds[1])), len(y))


def _joined(a: float, b: float, correlation: float) -> float:
    return float(np.sqrt(max(a * a + b * b - 2 * correlation * a * b, 0)))
