"""Figures of scores against labels, for many bootstrap replicates at once, and their intervals.

Masks of one image resemble each other, so images are drawn with replacement. A figure is prepared once (sorted by score)
and then takes weights (R, N): how often each of N masks counts in each of R replicates.

The interval is the expanded percentile interval of Hesterberg (What Teachers Should Know About the Bootstrap, The American
Statistician 69, 2015): percentiles further out, by as much as Student's t with n − 1 degrees of freedom exceeds the normal
quantile and as a variance with n falls short of one with n − 1. `benchmarks/verifier.py` shows how often it holds the truth.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from curation.gold import intervals
from curation.gold.intervals import CONFIDENCE, SEED
from curation.settings import VERIFIER

#: Takes weights (R, N) and gives the figure of each replicate (R,), NaN where it is not defined.
Figure = Callable[[np.ndarray], np.ndarray]
#: Weights of masks held at once, as float64: 32 MB.
CHUNK_WEIGHTS = 4_000_000


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % bounds; None where there is none."""

    estimate: float | None
    low: float | None = None
    high: float | None = None


NOTHING = Estimate(None)


def estimates(
    figures: Mapping[str, Figure], image_id: np.ndarray, n_replicates: int = VERIFIER.n_replicates
) -> dict[str, Estimate]:
    """Figures of the same N masks with bounds, from the same replicates; `image_id` (N,) tells the clusters.

    One image gives estimates without bounds, no masks give nothing. The same masks give the same bounds.
    """
    n_masks = len(image_id)
    if not n_masks:
        return dict.fromkeys(figures, NOTHING)
    images, places = np.unique(image_id, return_inverse=True)
    once = {name: float(figure(np.ones((1, n_masks)))[0]) for name, figure in figures.items()}
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in figures}
    if len(images) > 1:
        rows = max(1, CHUNK_WEIGHTS // n_masks)
        for of_images in intervals.weights(len(images), n_replicates, SEED):
            for first in range(0, len(of_images), rows):
                of_masks = of_images[first : first + rows, places]
                for name, figure in figures.items():
                    drawn[name].append(figure(of_masks))
    return {name: _expanded(once[name], drawn[name], len(images)) for name in figures}


def auc(scores: np.ndarray, is_good: np.ndarray) -> Figure:
    """Area under the ROC curve: the chance that a good mask has a higher score than a bad one, ties counting half; 0..1.

    NaN where masks of one kind weigh nothing.
    """
    groups = _Groups(scores)

    def figure(weights: np.ndarray) -> np.ndarray:
        good = groups.sums(weights * is_good)
        bad = groups.sums(weights * ~is_good)
        below = np.cumsum(bad, axis=1) - bad / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            return (good * below).sum(axis=1) / (good.sum(axis=1) * bad.sum(axis=1))

    return figure


def average_precision(scores: np.ndarray, is_wanted: np.ndarray) -> Figure:
    """Mean precision over the wanted masks, found in the order of falling scores, ties found together; 0..1.

    scikit-learn's: the sum over scores of (recall − recall before) · precision. A guess gives the share that is wanted.
    """
    groups = _Groups(-scores)

    def figure(weights: np.ndarray) -> np.ndarray:
        wanted = groups.sums(weights * is_wanted)
        found, taken = np.cumsum(wanted, axis=1), np.cumsum(groups.sums(weights), axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(taken > 0, found / taken, 0)
            return (wanted * precision).sum(axis=1) / found[:, -1]

    return figure


def mean(values: np.ndarray) -> Figure:
    """Mean of values (N,): a Brier score from squared gaps, an accuracy from rights and wrongs."""

    def figure(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return weights @ values.astype(np.float64) / weights.sum(axis=1)

    return figure


def difference(figure: Figure, other: Figure) -> Figure:
    """The first minus the second, replicate by replicate: what both share falls out."""
    return lambda weights: figure(weights) - other(weights)


def pearson(x: np.ndarray, y: np.ndarray) -> Figure:
    """Correlation of values, −1..1; NaN where either does not differ."""
    return lambda weights: _correlation(weights, x[None], y[None])


def spearman(x: np.ndarray, y: np.ndarray) -> Figure:
    """Correlation of ranks among the masks of the replicate, ties sharing their middle rank; −1..1."""
    of_x, of_y = _Groups(x), _Groups(y)
    return lambda weights: _correlation(weights, of_x.ranks(weights), of_y.ranks(weights))


@dataclass(frozen=True)
class CalibrationError:
    """ECE over bins of equal width, 0..1, with bounds; `by_chance`: what images drawn anew would show without any gap.

    Bins: `mean_score` and `good_share` (B,), NaN where empty, and `n_masks` (B,).
    """

    ece: Estimate
    by_chance: float | None
    mean_score: np.ndarray
    good_share: np.ndarray
    n_masks: np.ndarray


def calibration_error(
    scores: np.ndarray, is_good: np.ndarray, image_id: np.ndarray, n_bins: int = VERIFIER.n_bins
) -> CalibrationError:
    """Expected calibration error (Guo et al., ICML 2017): mean over masks of the absolute gap of their bin.

    It is never 0, even for a perfect verifier (Roelofs et al., AISTATS 2022), so the lower bound takes off once more what
    chance would show; as queries/calibration.sql does. One image has no bounds, no masks have no error.
    """
    images, places = np.unique(image_id, return_inverse=True)
    bins = np.clip((scores * n_bins).astype(np.int64), 0, n_bins - 1)
    shape = (len(images), n_bins)
    at = places * n_bins + bins
    n = np.bincount(at, minlength=shape[0] * n_bins).reshape(shape).astype(np.float64)
    gaps = np.bincount(at, weights=scores - is_good, minlength=shape[0] * n_bins).reshape(shape)
    total = n.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = gaps.sum(axis=0) / total
        mean_score = np.bincount(bins, weights=scores, minlength=n_bins) / total
    good_share = mean_score - gap
    if not len(scores):
        return CalibrationError(NOTHING, None, mean_score, good_share, total)
    error = gaps @ np.sign(np.nan_to_num(gap))
    squares = np.array([np.square(scores - is_good).sum()])
    found = intervals.estimates(error[:, None], n.sum(axis=1)[:, None], squares, n_replicates=1)
    by_chance = float(np.nansum(total * _gap_by_chance(gaps, n, gap)) / total.sum())
    ece = float(found.estimate[0])
    if len(images) < 2:
        return CalibrationError(Estimate(ece), by_chance, mean_score, good_share, total)
    low = max(0.0, float(found.design_low[0]) - by_chance)
    bounded = Estimate(ece, min(low, ece), float(found.design_high[0]))
    return CalibrationError(bounded, by_chance, mean_score, good_share, total)


def curve(scores: np.ndarray, is_good: np.ndarray) -> dict[str, np.ndarray]:
    """Points of the ROC and the precision-recall curve, a threshold a point, from accepting nothing to all.

    `threshold` (P,): masks with this score or more are taken for good, the first is infinite. `good_accepted` and `bad_accepted`:
    share of the good (true positive rate) and of the bad ones that are; `precision`: share of good ones among them,
    NaN for none; `bad_precision`: share of bad ones among the others.
    """
    thresholds, places = np.unique(scores, return_inverse=True)
    good = np.bincount(places, weights=is_good, minlength=len(thresholds))[::-1].cumsum()
    bad = np.bincount(places, weights=~is_good, minlength=len(thresholds))[::-1].cumsum()
    good, bad = np.concatenate([[0.0], good]), np.concatenate([[0.0], bad])
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "threshold": np.concatenate([[np.inf], thresholds[::-1]]),
            "good_accepted": good / good[-1],
            "bad_accepted": bad / bad[-1],
            "precision": good / (good + bad),
            "bad_precision": (bad[-1] - bad) / (good[-1] + bad[-1] - good - bad),
        }


class _Groups:
    """Masks of equal score stand together, groups in rising order."""

    def __init__(self, scores: np.ndarray) -> None:
        self._order = np.argsort(scores, kind="stable")
        in_order = scores[self._order]
        self._starts = np.flatnonzero(np.concatenate([[True], in_order[1:] != in_order[:-1]])[: len(scores)])
        self._group = np.empty(len(scores), np.int64)
        self._group[self._order] = np.repeat(
            np.arange(len(self._starts)), np.diff([*self._starts, len(scores)])
        )

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sums over each group, (R, G), of values (R, N)."""
        in_order = values[:, self._order]
        return (
            in_order
            if len(self._starts) == len(self._order)
            else np.add.reduceat(in_order, self._starts, axis=1)
        )

    def ranks(self, weights: np.ndarray) -> np.ndarray:
        """Middle rank of each mask among the weighted ones, (R, N)."""
        held = self.sums(weights)
        return (np.cumsum(held, axis=1) - held / 2)[:, self._group]


def _correlation(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    n = weights.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        x = x - ((weights * x).sum(axis=1) / n)[:, None]
        y = y - ((weights * y).sum(axis=1) / n)[:, None]
        both = (weights * x * y).sum(axis=1)
        norm = np.sqrt((weights * x * x).sum(axis=1) * (weights * y * y).sum(axis=1))
        return np.where(norm > 0, np.clip(both / norm, -1, 1), np.nan)


def _gap_by_chance(gaps: np.ndarray, n: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """Mean of |gap| of each bin (B,) where there is none: sqrt(2 / pi) of its standard error over images.

    A gap that one image alone shows may all be chance.
    """
    n_images = (n > 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        residuals = np.where(n > 0, gaps - gap * n, 0)
        variance = n_images / (n_images - 1) * (residuals**2).sum(axis=0) / n.sum(axis=0) ** 2
    return np.where(n_images > 1, np.sqrt(2 / np.pi * variance), np.abs(gap))


def _expanded(estimate: float, drawn: list[np.ndarray], n_images: int) -> Estimate:
    if np.isnan(estimate):
        return NOTHING
    values = np.concatenate(drawn) if drawn else np.zeros(0)
    values = values[~np.isnan(values)]
    if n_images < 2 or not len(values):
        return Estimate(estimate)
    t = special.stdtrit(n_images - 1, (1 - CONFIDENCE) / 2) * np.sqrt(n_images / (n_images - 1))
    tail = float(stats.norm.cdf(t))
    low, high = np.quantile(values, (tail, 1 - tail))
    return Estimate(estimate, min(float(low), estimate), max(float(high), estimate))
