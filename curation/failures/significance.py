"""How much more often the masks of a group are bad than all others, and how sure that is, with the image as the
cluster.

The difference of two shares that share images, each a ratio of weighted totals over images. Its variance is
linearised (Cochran, Sampling Techniques, 1977, chapter 6) and robust to whatever masks of one image have in common
(Liang and Zeger, Biometrika 73, 1986), and never taken to be less than independent masks would have if the group
failed like the rest: a few masks that happen to agree tell little. Student's t gets as many degrees of freedom as
the kurtosis of the images' residuals leaves (Satterthwaite, Biometrics Bulletin 2, 1946), and fewer than the group
has images. Multiple tests: Benjamini and Hochberg (JRSS B 57, 1995).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from curation.gold.intervals import CONFIDENCE, ROUNDING, share_bounds

#: Values held at once, as float64: 64 MB, however many groups there are.
CHUNK_VALUES = 8_000_000


@dataclass(frozen=True)
class Labelled:
    """n labelled masks, sorted by image: `is_bad` bool, `weight` > 0 (masks that each stands for), `image` any
    ascending numbers, (n,) each.
    """

    is_bad: np.ndarray
    weight: np.ndarray
    image: np.ndarray

    def __len__(self) -> int:
        return len(self.is_bad)

    def __getitem__(self, of: np.ndarray) -> "Labelled":
        return Labelled(self.is_bad[of], self.weight[of], self.image[of])

    @property
    def starts(self) -> np.ndarray:
        """Place of the first mask of each image."""
        return np.flatnonzero(np.diff(self.image, prepend=self.image[:1] - 1))


@dataclass(frozen=True)
class Contrasts:
    """G groups against all masks outside each, arrays (G,); NaN where the group or the rest has no mask.

    `t` = difference / its standard error; `p_value`: chance of so high a t, or a higher one, where the group fails
    like the rest (one-sided; 1 where nothing can be told). Bounds are two-sided 95 %.
    """

    share: np.ndarray
    rest_share: np.ndarray
    difference: np.ndarray
    difference_low: np.ndarray
    difference_high: np.ndarray
    t: np.ndarray
    p_value: np.ndarray
    n_masks: np.ndarray
    n_images: np.ndarray


@dataclass(frozen=True)
class _Sums:
    """Weights, and weights of bad masks, by image: of all (I, 1) and of G groups (I, G); squares of weights (G,)."""

    all_x: np.ndarray
    all_y: np.ndarray
    x: np.ndarray
    y: np.ndarray
    squares: np.ndarray
    n_masks: np.ndarray


def contrasts(of: Labelled, member: np.ndarray) -> Contrasts:
    """Each group of `member` (n, G), bool, against the rest. No groups give empty arrays."""
    parts = [_contrasts(sums, float((of.weight**2).sum())) for sums in _sums(of, member)]
    return Contrasts(*(np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])))


def bounds(of: Labelled, member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % bounds of the share of bad masks of each group of `member` (n, G), (G,) each; 0 and 1 where one image is
    all there is.
    """
    found = []
    for sums in _sums(of, member):
        # Weights that add up to the masks: a larger effective n would be too sure.
        scale = sums.n_masks / np.maximum(sums.x.sum(axis=0), np.finfo(float).tiny)
        found.append(share_bounds(sums.y * scale, sums.x * scale))
    low, high = (np.concatenate(side) for side in zip(*found, strict=True))
    return np.nan_to_num(low, nan=0.0), np.nan_to_num(high, nan=1.0)


def q_values(p_values: np.ndarray) -> np.ndarray:
    """False discovery rate (N,) at which each of N tests is let through (Benjamini and Hochberg)."""
    n = len(p_values)
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * n / np.arange(1, n + 1)
    q = np.empty(n)
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return q


def _sums(of: Labelled, member: np.ndarray) -> Iterator[_Sums]:
    """Groups in turn, so many at once as CHUNK_VALUES allows; one empty part where there are none."""
    starts = of.starts
    bad_weight = of.weight * of.is_bad
    all_x, all_y = np.add.reduceat(of.weight, starts)[:, None], np.add.reduceat(bad_weight, starts)[:, None]
    width = max(1, CHUNK_VALUES // max(len(of), 1))
    for first in range(0, max(member.shape[1], 1), width):
        groups = member[:, first : first + width].astype(np.float64)
        weighed = groups * of.weight[:, None]
        yield _Sums(
            all_x=all_x,
            all_y=all_y,
            x=np.add.reduceat(weighed, starts),
            y=np.add.reduceat(weighed * of.is_bad[:, None], starts),
            squares=(of.weight**2) @ groups,
            n_masks=groups.sum(axis=0),
        )


def _contrasts(sums: _Sums, all_squares: float) -> Contrasts:
    rest_x, rest_y = sums.all_x - sums.x, sums.all_y - sums.y
    # A difference of floats leaves crumbs where nothing is.
    is_rest = rest_x > ROUNDING * sums.all_x
    n_images, n_rest_images = (sums.x > 0).sum(axis=0), is_rest.sum(axis=0)
    size, rest_size = sums.x.sum(axis=0), np.where(is_rest, rest_x, 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share, rest_share = sums.y.sum(axis=0) / size, np.where(is_rest, rest_y, 0).sum(axis=0) / rest_size
        residual = _stretched(n_images) * (sums.y - share * sums.x) / size
        residual -= _stretched(n_rest_images) * np.where(is_rest, rest_y - rest_share * rest_x, 0) / rest_size
        overall = sums.all_y.sum() / sums.all_x.sum()
        least = (
            overall * (1 - overall) * (sums.squares / size**2 + (all_squares - sums.squares) / rest_size**2)
        )
        squares = (residual**2).sum(axis=0)
        error = np.sqrt(np.maximum(squares, least))
        t = (share - rest_share) / error
        kurtosis = len(residual) * (residual**4).sum(axis=0) / squares**2
    freedom = np.where(
        kurtosis > 1 + ROUNDING, 2 * len(residual) / np.maximum(kurtosis - 1, ROUNDING), len(residual)
    )
    freedom = np.floor(np.clip(freedom, 1, np.maximum(np.minimum(n_images, n_rest_images) - 1, 1)))
    is_known = (n_images > 1) & (n_rest_images > 1) & np.isfinite(t)
    half = np.where(is_known, special.stdtrit(freedom, 0.5 + CONFIDENCE / 2) * error, np.nan)
    return Contrasts(
        share=share,
        rest_share=rest_share,
        difference=share - rest_share,
        difference_low=np.clip(share - rest_share - half, -1, 1),
        difference_high=np.clip(share - rest_share + half, -1, 1),
        t=np.where(is_known, t, np.nan),
        p_value=np.where(is_known, special.stdtr(freedom, -np.nan_to_num(t)), 1.0),
        n_masks=sums.n_masks,
        n_images=n_images,
    )


def _stretched(n_images: np.ndarray) -> np.ndarray:
    """Root of n / (n - 1): residuals about a share that was fitted to them are too small."""
    return np.sqrt(n_images / np.maximum(n_images - 1, 1))
