"""Shares of a frame from the masks of a sample that have an answer, with intervals that follow the design.

An estimate is a ratio of weighted totals, R = Σ w y / Σ w x, where w is how many masks of the frame a mask
stands for. For simple and stratified samples that is the stratified estimator; for the others Hájek's. With
`is_total` the denominator is the size of the frame, which is known: Horvitz and Thompson's estimator, Hansen
and Hurwitz's for pps; it has no bias at all, and mostly wider intervals.

The variance is that of the design: how much R would differ between draws from the same frame. Its units are
what the first stage draws: masks, single draws (pps), images (two-stage), in strata, with the
finite-population correction where draws are without replacement; two-stage adds what differs between masks of
one image.

Bounds are Wilson's at the effective n, R (1 − R) / V, and Student's t with as many degrees of freedom as
leave the *design effect* uncertain: V changes with R even where nothing else is unknown, and that part
Wilson's interval knows already. Totals over the frame's size have no such limits, so theirs are R ± t √V.

Sources: Cochran, Sampling Techniques (1977): 5A.13 and 6 (ratios), 9A.3 (Hansen-Hurwitz), 11.9 (two stages);
Särndal, Swensson and Wretman, Model Assisted Survey Sampling (1992), 5.7 (Hájek), 10.3 (domains); MacKinnon and
White, Journal of Econometrics 29 (1985) (residuals over 1 − leverage, as the jackknife has them); Korn and
Graubard, Survey Methodology 24 (1998); Satterthwaite, Biometrics Bulletin 2 (1946); Rao and Wu, JASA 83 (1988).
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from curation.gold.intervals import CONFIDENCE, ROUNDING, share_bounds, wilson
from curation.sampling.response import Answers

BOOTSTRAP_REPLICATES = 1_000
#: Where fewer units than this carry the variance, such as the only bad mask of a sample, a slope goes through them
#: whatever the score is worth.
LEAST_FOR_SLOPE = 5
#: A unit's residual is divided by 1 − its leverage, which counts up to this.
MOST_LEVERAGE = 0.8


@dataclass(frozen=True)
class Estimates:
    """F figures, arrays (F,); NaN where there is none: an estimate needs one mask, bounds need two units.

    `low` and `high`: 95 % bounds of the share of the frame. `images_low` and `images_high`: of images like
    these, were they drawn at random from many (the image as cluster, no finite population). `error`: root of
    the design's variance. `n_masks`, `n_images`: that tell about the figure. `effective_n`: independent masks
    that would tell as much, infinite for a census; `design_effect`: n_masks / effective_n, NaN where units do
    not differ. `gain`: variance without the score over that with it, 1 without a score.
    """

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    images_low: np.ndarray
    images_high: np.ndarray
    error: np.ndarray
    n_masks: np.ndarray
    n_images: np.ndarray
    effective_n: np.ndarray
    design_effect: np.ndarray
    gain: np.ndarray


@dataclass(frozen=True)
class Score:
    """What is known of all masks of the frame: `values` of the n answered ones (n,), and the mean over the
    frame (F,).

    The mean is over the part of the frame that a figure is about.
    """

    values: np.ndarray
    frame_mean: np.ndarray


def estimate(
    of: Answers, y: np.ndarray, x: np.ndarray, score: Score | None = None, is_total: bool = False
) -> Estimates:
    """F shares: y and x (n, F) of the masks with an answer, 0 <= y <= x; x is 0 outside what a figure is
    about.

    With a `score` of all masks of the frame the difference estimator takes part of the variance away (Cochran
    7; prediction-powered inference, Angelopoulos, Duchi and Zrnic, arXiv 2311.01453, whose power tuning is
    the slope here): R − B (mean score of the sample − of the frame), B the slope that makes the variance
    least; 0 where too few units would tell it. `is_total`: over the known size of the frame, for figures about all of it.
    """
    y, x = np.asarray(y, np.float64), np.asarray(x, np.float64)
    weighed = of.weight[:, None] * x
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.full(x.shape[1], float(of.n_frame)) if is_total else weighed.sum(axis=0)
        share = (of.weight @ y) / size
        residual = (y if is_total else y - share * x) / size
        plain = _variance(of, residual)
        has_slope = np.zeros(x.shape[1], bool)
        if score is not None:
            share, residual, has_slope = _with_score(of, x, score, share, residual)
        bounds_of = np.clip(share, 0, 1)
        least = ROUNDING * ((weighed / size) ** 2).sum(axis=0)
        variance, freedom = _freedom(of, residual, least, None if is_total else bounds_of, score is not None)
        n_units = _count(of.unit, x, len(of.draws), of.draws)
        gain = np.where((variance > 0) & has_slope, plain / variance, 1)
        error = np.where(weighed.any(axis=0), np.sqrt(variance), np.nan)
        effective_n = _effective_n(of, bounds_of, variance, weighed, x)
    n_masks = (x > 0).sum(axis=0)
    t = np.where(n_units > 1, special.stdtrit(freedom, 0.5 + CONFIDENCE / 2), np.nan)
    if is_total:
        low, high = np.clip(share - t * error, 0, 1), np.clip(share + t * error, 0, 1)
    else:
        low, high = wilson(bounds_of, effective_n, t)
    images_low, images_high = _bounds_of_images(of, y, x, n_masks, share if score is not None else None)
    with np.errstate(invalid="ignore", divide="ignore"):
        design_effect = np.where(variance > 0, n_masks / effective_n, np.nan)
    return Estimates(
        estimate=share,
        low=low,
        high=high,
        images_low=images_low,
        images_high=images_high,
        error=error,
        n_masks=n_masks,
        n_images=_count(of.image, x, int(of.image.max(initial=-1)) + 1),
        effective_n=effective_n,
        design_effect=design_effect,
        gain=gain,
    )


def bootstrap_errors(of: Answers, y: np.ndarray, x: np.ndarray, seed: int = 0) -> np.ndarray:
    """Standard errors (F,) by resampling the units of each stratum, as a check of the linearised ones.

    Rao and Wu's rescaled bootstrap: n − 1 of n units with replacement, weights stretched so that the
    finite-population correction holds. What differs inside images of two stages is added as computed.
    """
    rng = np.random.default_rng(seed)
    weighed = of.weight[:, None]
    totals = np.concatenate([_by_unit(of, weighed * y), _by_unit(of, weighed * x)], axis=1)
    fraction = _first_stage_fraction(of)
    replicates = np.zeros((BOOTSTRAP_REPLICATES, totals.shape[1]))
    for h in range(len(fraction)):
        units = np.flatnonzero(of.stratum == h)
        draws = of.draws[units]
        n = int(draws.sum())
        stretch = np.ones((BOOTSTRAP_REPLICATES, len(units)))
        if n > 1:
            again = rng.multinomial(n - 1, draws / n, BOOTSTRAP_REPLICATES) * (n / (n - 1)) / draws
            stretch += np.sqrt(1 - fraction[h]) * (again - 1)
        replicates += stretch @ totals[units]
    hits, counts = np.split(replicates, 2, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (of.weight @ y) / (of.weight @ x)
        inner = _inner(of, (y - share * x) / (of.weight @ x), None).sum(axis=0)
        return np.sqrt(np.var(hits / counts, axis=0) + inner)


def _with_score(
    of: Answers, x: np.ndarray, score: Score, share: np.ndarray, residual: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share (F,), residuals (n, F) and whether there is a slope (F,), of the difference estimator."""
    weighed = of.weight[:, None] * x
    size = weighed.sum(axis=0)
    values = score.values[:, None]
    mean = (weighed * values).sum(axis=0) / size
    of_score = x * (values - mean) / size
    variance = _variance(of, of_score)
    deviation, counts = _deviations(of, residual)
    part = counts[:, None] * deviation**2
    n_carrying = part.sum(axis=0) ** 2 / (part**2).sum(axis=0)
    has_slope = (variance > 0) & (n_carrying >= LEAST_FOR_SLOPE)
    slope = np.where(has_slope, _variance(of, residual, of_score) / variance, 0)
    # Units whose scores lie far out draw the slope to themselves, and what is left of them is too small.
    deviation, counts = _deviations(of, of_score)
    leverage = np.where(has_slope, counts[:, None] * deviation**2 / variance, 0)
    hidden = 1 - np.minimum(leverage, MOST_LEVERAGE)
    return (
        share - slope * (mean - score.frame_mean),
        (residual - slope * of_score) / hidden[of.unit],
        has_slope,
    )


def _by_unit(of: Answers, values: np.ndarray) -> np.ndarray:
    """Sums over the masks of each unit, (U, F)."""
    if len(of.draws) == len(values):
        return values
    return (
        np.stack([np.bincount(of.unit, column, len(of.draws)) for column in values.T], axis=1)
        if values.shape[1]
        else np.zeros((len(of.draws), 0))
    )


def _deviations(of: Answers, residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted residuals of single draws, less the mean of their stratum (U, F), and what their squares count
    (U,).

    A unit alone in its stratum is set against the mean of all, 0.
    """
    z = _by_unit(of, of.weight[:, None] * residual) / of.draws[:, None]
    fraction = _first_stage_fraction(of)
    n_draws = np.bincount(of.stratum, of.draws, len(fraction))
    sums = np.stack([np.bincount(of.stratum, of.draws * column, len(fraction)) for column in z.T], axis=1)
    mean = np.where(n_draws > 1, 1, 0)[:, None] * sums / np.maximum(n_draws, 1)[:, None]
    counts = (1 - fraction) * np.where(n_draws > 1, n_draws / np.maximum(n_draws - 1, 1), 1)
    return z - mean[of.stratum], counts[of.stratum] * of.draws


def _first_stage_fraction(of: Answers) -> np.ndarray:
    """`fraction`, or 0 where nothing shows how much masks of one image differ: without correction it errs on
    the safe side.
    """
    n_inside = np.bincount(of.unit, minlength=len(of.draws))
    if (of.inner_fraction < 1).any() and not (n_inside > 1).any():
        return np.zeros(len(of.fraction))
    return of.fraction


def _inner(of: Answers, residual: np.ndarray, other: np.ndarray | None) -> np.ndarray:
    """The part of the variance (covariance) that drawing masks inside images adds, per image (U, F).

    An image with one answer is taken to vary inside as the others do on average.
    """
    n_units, n_figures = len(of.draws), residual.shape[1]
    n_inside = np.bincount(of.unit, minlength=n_units)
    if n_units == len(of.unit) or not (of.inner_fraction < 1).any() or not (n_inside > 1).any():
        return np.zeros((n_units, n_figures))
    other = residual if other is None else other
    mean, other_mean = (_by_unit(of, values) / n_inside[:, None] for values in (residual, other))
    products = _by_unit(of, (residual - mean[of.unit]) * (other - other_mean[of.unit]))
    spread = products / np.maximum(n_inside - 1, 1)[:, None]
    spread = np.where(n_inside[:, None] > 1, spread, spread[n_inside > 1].mean(axis=0))
    weight_squares = np.bincount(of.unit, of.weight**2, n_units)
    counts = _first_stage_fraction(of)[of.stratum] * (1 - of.inner_fraction) * weight_squares
    return counts[:, None] * spread


def _variance(of: Answers, residual: np.ndarray, other: np.ndarray | None = None) -> np.ndarray:
    """Of the weighted total of `residual` (n, F), or its covariance with that of `other`, under the design
    (F,).
    """
    deviation, counts = _deviations(of, residual)
    second = deviation if other is None else _deviations(of, other)[0]
    return (counts[:, None] * deviation * second).sum(axis=0) + _inner(of, residual, other).sum(axis=0)


def _freedom(
    of: Answers, residual: np.ndarray, least: np.ndarray, share: np.ndarray | None, has_slope: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Variance (F,), 0 where it is under `least`, what rounding could leave, and whole degrees of freedom of
    the design effect (of the variance where `share` is None).

    Each unit's part in log V, less its part in log R (1 − R), squared and summed, is the variance of the log
    of the design effect; a chi-square with d degrees of freedom has 2 / d. At most the units less the strata.
    """
    deviation, counts = _deviations(of, residual)
    inner = _inner(of, residual, None)
    outer = counts[:, None] * deviation**2
    between, within = outer.sum(axis=0), inner.sum(axis=0)
    variance = between + within
    variance = np.where(variance > least, variance, 0)
    part = (outer + inner) / variance / of.draws[:, None]
    n_draws = np.bincount(of.stratum, of.draws)
    means = (
        np.stack([np.bincount(of.stratum, of.draws * column) for column in part.T], axis=1) / n_draws[:, None]
    )
    moved = part - means[of.stratum]
    if share is not None:
        moved = moved - (1 - 2 * share) / (share * (1 - share)) * deviation
    freedom = 2 / (of.draws[:, None] * moved**2).sum(axis=0)
    # Two means of squares with as many degrees of freedom as units, and as masks inside them.
    n_units = max(of.draws.sum() - len(n_draws) - has_slope, 1)
    n_inside = max(len(of.unit) - len(of.draws), 1)
    most = variance**2 / (between**2 / n_units + within**2 / n_inside)
    most = np.where(variance > 0, most, n_units)
    freedom = np.where((variance > 0) & (freedom >= 0), freedom, most)
    # Where all variance lies between units, `most` is their whole number: rounding must not take one away.
    return variance, np.floor((1 + ROUNDING) * np.clip(freedom, 1, np.maximum(most, 1)))


def _effective_n(
    of: Answers, share: np.ndarray, variance: np.ndarray, weighed: np.ndarray, x: np.ndarray
) -> np.ndarray:
    """So many independent masks would give the same variance, (F,).

    Where units do not differ nothing shows more than the units themselves, each by its weight (Kish, Survey
    Sampling, 1965, 11.7), and how much of the frame is left unseen.
    """
    of_units = _by_unit(of, weighed)
    size = weighed.sum(axis=0)
    units = size**2 / (of_units**2 / of.draws[:, None]).sum(axis=0)
    seen = np.where(of.fraction.max(initial=0) > 0, (x > 0).sum(axis=0) / size, 0)
    alike = np.where(seen < 1 - ROUNDING, units / (1 - seen), np.inf)
    return np.where(variance > 0, share * (1 - share) / variance, np.where(size > 0, alike, np.nan))


def _bounds_of_images(
    of: Answers, y: np.ndarray, x: np.ndarray, n_masks: np.ndarray, share: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds with the image as the unit, as all reports have them; NaN with a score, which the sums do not
    know.
    """
    if share is not None:
        unknown = np.full(len(n_masks), np.nan)
        return unknown, unknown
    n_images = int(of.image.max(initial=-1)) + 1
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = of.weight[:, None] * (n_masks / (of.weight @ x))
    sums = [
        np.stack([np.bincount(of.image, column, n_images) for column in (weight * values).T], axis=1)
        for values in (y, x)
    ]
    return share_bounds(*(np.nan_to_num(values) for values in sums))


def _count(group: np.ndarray, x: np.ndarray, n: int, of_each: np.ndarray | None = None) -> np.ndarray:
    """Groups (or what each counts) with any x above 0, (F,)."""
    is_there = np.stack([np.bincount(group, column > 0, n) > 0 for column in x.T], axis=1)
    return (is_there * (1 if of_each is None else of_each[:, None])).sum(axis=0)
