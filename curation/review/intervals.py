"""95 % intervals of figures that are smooth functions of totals over images, by the cluster bootstrap.

Masks of one image resemble each other, so images are drawn with replacement, with all that was said of their masks.
The bootstrap is studentised (Davison and Hinkley, Bootstrap Methods, 1997, 5.2.1): each replicate's distance from the
estimate is divided by its own standard error, which comes from the figure's gradient (the infinitesimal jackknife,
there 2.7.2); the quantiles times the estimate's standard error give the bounds.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from curation.gold import intervals
from curation.gold.intervals import CONFIDENCE, MOST_STUDENTISED, N_REPLICATES, SEED, weights

#: Step of the numerical gradient, as a share of the sum of all totals.
STEP = 1e-5
#: Standard errors below this are what the step leaves of none.
NO_ERROR = 1e-7
TAIL = (1 - CONFIDENCE) / 2

Figure = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Interval:
    """An estimate with its bounds; None where there is none. `n_images`: images that say something of it."""

    estimate: float | None
    low: float | None
    high: float | None
    n_images: int


def of_totals(
    totals: np.ndarray,
    figure: Figure,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    n_replicates: int = N_REPLICATES,
) -> Interval:
    """The figure of summed totals, and its interval cut at `bounds`.

    `totals` (n_images, D): sums over one image each; rows of zeros say nothing. `figure` takes (R, D) and gives (R,), NaN
    where it is not defined. One image gives an estimate without bounds, and so do images that do not differ.
    """
    totals = totals[(totals != 0).any(axis=1)]
    n_images = len(totals)
    if n_images == 0:
        return Interval(None, None, None, 0)
    once = np.ones((1, n_images))
    estimate, error = (float(values[0]) for values in _with_errors(totals, once, figure))
    if np.isnan(estimate):
        return Interval(None, None, None, n_images)
    if n_images == 1 or not error > NO_ERROR * max(abs(estimate), 1):
        return Interval(estimate, None, None, n_images)
    # Replicates whose images do not differ have no error of their own; Student's t bounds what they say.
    stuck = float(special.stdtrit(n_images - 1, 1 - TAIL))
    studentised = []
    for drawn in weights(n_images, n_replicates, SEED):
        values, errors = _with_errors(totals, drawn, figure)
        with np.errstate(invalid="ignore", divide="ignore"):
            scores = (values - estimate) / errors
        has_error = errors > NO_ERROR * np.maximum(np.abs(values), 1)
        scores = np.where(has_error, scores, np.sign(values - estimate) * stuck)
        studentised.append(np.clip(scores[~np.isnan(values)], -MOST_STUDENTISED, MOST_STUDENTISED))
    # A replicate in which the figure is not defined (all in one category) says nothing.
    low_t, high_t = np.quantile(np.concatenate(studentised), (TAIL, 1 - TAIL))
    low, high = np.clip((estimate - high_t * error, estimate - low_t * error), *bounds)
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate), n_images)


def of_share(totals: np.ndarray) -> Interval:
    """A share, as the sum of `totals` (n_images, 2)'s first column over that of the second; `gold.intervals`."""
    return _of_ratio(totals, None)


def of_mean(totals: np.ndarray, sum_of_squares: float) -> Interval:
    """A mean of values in 0..1, from sums (n_images, 2) of values and of their number, and the sum of their squares."""
    return _of_ratio(totals, np.array([sum_of_squares]))


def _of_ratio(totals: np.ndarray, squares: np.ndarray | None) -> Interval:
    if not len(totals):
        return Interval(None, None, None, 0)
    found = intervals.estimates(totals[:, :1], totals[:, 1:], squares)
    numbers = (found.estimate[0], found.bootstrap_low[0], found.bootstrap_high[0])
    return Interval(*(None if np.isnan(x) else float(x) for x in numbers), int(found.n_images[0]))


def _with_errors(totals: np.ndarray, drawn: np.ndarray, figure: Figure) -> tuple[np.ndarray, np.ndarray]:
    """Figure and standard error of each replicate (R,), where `drawn` (R, n_images) says how often each image counts."""
    sums = drawn @ totals
    step = STEP * np.maximum(np.abs(sums).sum(axis=1), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = figure(sums)
        gradient = np.empty_like(sums)
        for k in range(sums.shape[1]):
            shift = np.zeros_like(sums)
            shift[:, k] = step
            gradient[:, k] = (figure(sums + shift) - figure(sums - shift)) / (2 * step)
        influence = gradient @ totals.T
        n = drawn.sum(axis=1)
        influence -= ((drawn * influence).sum(axis=1) / n)[:, None]
        errors = np.sqrt((drawn * influence**2).sum(axis=1) * n / np.maximum(n - 1, 1))
    return values, errors
