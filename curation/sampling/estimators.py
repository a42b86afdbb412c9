"""Shares of a frame from the masks of a sample that have an answer, with intervals that follow the design.

An estimate is a ratio of weighted totals, R = Σ w y / Σ w x, where w is how many masks of the frame a mask stands for.
For simple and stratified samples that is the stratified estimator; for the others Hájek's. With `is_total` the
denominator is the size of the frame, which is known: Horvitz and Thompson's estimator, Hansen and Hurwitz's for pps; it has no
bias at all, and mostly wider intervals.

The variance is that of the design: how much R would differ between draws from the same frame. Its units are what the
first stage draws: masks, single draws (pps), images (two-stage), in strata, with the finite-population correction where draws
are without replacement; two-stage adds what differs between masks of one image.

Bounds are Wilson's at the effective n, R (1 − R) / V, and Student's t with as many degrees of freedom as leave the *design
effect* uncertain: V changes with R even where nothing else is unknown, and that part Wilson's interval knows already. Totals
over the frame's size have no such limits, so theirs are R ± t √V.

What has no answer is taken as missing at random among masks of its stratum (its image with two stages) and size: small masks
are judged last, so an unfinished sample has few of them.

Sources: Cochran, Sampling Techniques (1977): 5A.13 and 6 (ratios), 9A.3 (Hansen-Hurwitz), 11.9 (two stages); Särndal,
Swensson and Wretman, Model Assisted Survey Sampling (1992), 5.7 (Hájek), 10.3 (domains), 15.6 (response groups); Korn and Graubard,
Survey Methodology 24 (1998); Satterthwaite, Biometrics Bulletin 2 (1946); Rao and Wu, JASA 83 (1988).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

from curation.errors import InputError
from curation.gold.intervals import CONFIDENCE, ROUNDING, share_bounds, wilson

BOOTSTRAP_REPLICATES = 1_000


@dataclass(frozen=True)
class Drawn:
    """A sample as it was drawn, n masks: columns of the table `samples` by name, (n,) each, and `is_small` (n,)."""

    design: str
    columns: Mapping[str, np.ndarray]
    is_small: np.ndarray


@dataclass(frozen=True)
class Answers:
    """The n masks of a sample that have an answer, and what the design says of them.

    `place` (n,) in the sample; `weight` (n,): masks of the frame that each stands for; `unit` (n,) 0..U−1: the mask itself or
    its image; `image` (n,) 0..I−1. Of units: `draws` (U,), `stratum` (U,) 0..H−1, `inner_fraction` (U,): part of the unit's masks
    that have an answer, 1 where it has but one. `fraction` (H,): part of the stratum's units that have an answer, 0 with
    replacement. `covered_share`: part of the frame that they speak for, 0..1: less where no small mask has an answer yet.
    """

    place: np.ndarray
    weight: np.ndarray
    unit: np.ndarray
    image: np.ndarray
    draws: np.ndarray
    stratum: np.ndarray
    inner_fraction: np.ndarray
    fraction: np.ndarray
    n_frame: int
    covered_share: float


@dataclass(frozen=True)
class Estimates:
    """F figures, arrays (F,); NaN where there is none: an estimate needs one mask, bounds need two units.

    `low` and `high`: 95 % bounds of the share of the frame. `images_low` and `images_high`: of images like these, were they drawn at
    random from many (the image as cluster, no finite population). `error`: root of the design's variance.
    `n_masks`, `n_images`: that tell about the figure. `effective_n`: independent masks that would tell as much, infinite for a
    census; `design_effect`: n_masks / effective_n, NaN where units do not differ. `gain`: variance without the score over that
    with it, 1 without a score.
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
    """What is known of all masks of the frame: `values` of the n answered ones (n,), and the mean over the frame (F,).

    The mean is over the part of the frame that a figure is about.
    """

    values: np.ndarray
    frame_mean: np.ndarray


def answers(drawn: Drawn, has_answer: np.ndarray) -> Answers:
    """The masks with an answer (n,) and their weights.

    Raises InputError for a sample that was drawn on purpose: nothing says what its masks stand for.
    """
    if drawn.design == "purposive":
        raise InputError(
            "this sample was drawn on purpose, so no rate follows from it: its masks stand for no others. Draw one with "
            "--design srs, stratified, pps or two-stage"
        )
    columns = drawn.columns
    _, stratum = np.unique(columns["stratum"], return_inverse=True)
    _, image = np.unique(columns["image_id"], return_inverse=True)
    group = image if drawn.design == "two_stage" else stratum
    weight = _weights(drawn, group, has_answer)
    place = np.flatnonzero(weight > 0)
    n_frame = int(_first(columns["stratum_n_masks"], stratum).sum())
    drawn_weight = _drawn_weights(drawn)
    is_covered = np.isin(drawn.is_small, drawn.is_small[place])
    shape = _units(drawn, place, stratum, image)
    return Answers(
        place=place,
        weight=weight[place],
        image=np.unique(image[place], return_inverse=True)[1],
        n_frame=n_frame,
        covered_share=float(drawn_weight[is_covered].sum() / drawn_weight.sum()),
        **shape,
    )


def _drawn_weights(drawn: Drawn) -> np.ndarray:
    """Masks of the frame that each drawn mask stands for, before anyone answers (n,)."""
    columns = drawn.columns
    if drawn.design == "pps":
        return columns["n_draws"] / (columns["n_draws"].sum() * columns["draw_probability"])
    return 1 / columns["inclusion_probability"]


def _weights(drawn: Drawn, group: np.ndarray, has_answer: np.ndarray) -> np.ndarray:
    """Weights of all drawn masks (n,), 0 without an answer: those that have one stand for those of their cell that have none.

    A cell is the masks of one size class (small or not) of a group. Cells without any answer are stood for by
    the others of their class; a class without any is left out.
    """
    drawn_weight, n_draws = _drawn_weights(drawn), drawn.columns["n_draws"]
    cell = group * 2 + drawn.is_small
    n_cells = int(cell.max(initial=0)) + 1
    asked = np.bincount(cell, n_draws, n_cells)
    answered = np.bincount(cell, n_draws * has_answer, n_cells)
    mass = np.bincount(cell, drawn_weight, n_cells)
    is_small = np.arange(n_cells) % 2
    whole = np.bincount(is_small, mass, 2)
    held = np.bincount(is_small, mass * (answered > 0), 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(answered > 0, asked / answered * (whole / held)[is_small], 0)
    return np.where(has_answer, drawn_weight * factor[cell], 0)


def _units(drawn: Drawn, place: np.ndarray, stratum: np.ndarray, image: np.ndarray) -> dict[str, np.ndarray]:
    """What the first stage drew, of the masks with an answer: unit, draws, stratum, inner_fraction, fraction."""
    columns = drawn.columns
    if drawn.design == "two_stage":
        _, first, unit, n_inside = np.unique(
            image[place], return_index=True, return_inverse=True, return_counts=True
        )
        n_images = columns["stratum_n_images"][0] if len(place) else 1
        return {
            "unit": unit,
            "draws": np.ones(len(first)),
            "stratum": np.zeros(len(first), np.int64),
            "inner_fraction": n_inside / columns["image_n_masks"][place[first]],
            "fraction": np.array([len(first) / n_images]),
        }
    draws = columns["n_draws"][place].astype(np.float64)
    _, of_unit = np.unique(stratum[place], return_inverse=True)
    n_masks = _first(columns["stratum_n_masks"][place], of_unit)
    is_again = drawn.design == "pps"
    return {
        "unit": np.arange(len(place)),
        "draws": draws,
        "stratum": of_unit,
        "inner_fraction": np.ones(len(place)),
        "fraction": np.zeros(len(n_masks)) if is_again else np.bincount(of_unit) / n_masks,
    }


def _first(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """One value of each group 0..G−1, (G,), where all of a group are equal."""
    return values[np.unique(group, return_index=True)[1]]


def estimate(
    of: Answers, y: np.ndarray, x: np.ndarray, score: Score | None = None, is_total: bool = False
) -> Estimates:
    """F shares: y and x (n, F) of the masks with an answer, 0 <= y <= x; x is 0 outside what a figure is about.

    With a `score` of all masks of the frame the difference estimator takes part of the variance away
    (Cochran 7; prediction-powered inference, Angelopoulos, Duchi and Zrnic, arXiv 2311.01453, whose power tuning is the slope
    here): R − B (mean score of the sample − of the frame), B the slope that makes the variance least.
    `is_total`: over the known size of the frame, for figures about all of it.
    """
    y, x = np.asarray(y, np.float64), np.asarray(x, np.float64)
    weighed = of.weight[:, None] * x
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.full(x.shape[1], float(of.n_frame)) if is_total else weighed.sum(axis=0)
        share = (of.weight @ y) / size
        residual = (y if is_total else y - share * x) / size
        plain = _variance(of, residual)
        gain = np.ones(x.shape[1])
        if score is not None:
            share, residual, gain = _with_score(of, x, score, share, residual, plain)
        bounds_of = np.clip(share, 0, 1)
        least = ROUNDING * ((weighed / size) ** 2).sum(axis=0)
        variance, freedom = _freedom(of, residual, least, None if is_total else bounds_of, score is not None)
        error = np.where(weighed.any(axis=0), np.sqrt(variance), np.nan)
        effective_n = _effective_n(of, bounds_of, variance, weighed, x)
    gain = np.where(variance > 0, gain, 1)
    n_masks = (x > 0).sum(axis=0)
    n_units = _count(of.unit, x, len(of.draws), of.draws)
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

    Rao and Wu's rescaled bootstrap: n − 1 of n units with replacement, weights stretched so that the finite-population correction
    holds. What differs inside images of two stages is added as computed.
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
    of: Answers, x: np.ndarray, score: Score, share: np.ndarray, residual: np.ndarray, plain: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share, residuals and gain (F,), (n, F), (F,) of the difference estimator."""
    weighed = of.weight[:, None] * x
    size = weighed.sum(axis=0)
    values = score.values[:, None]
    mean = (weighed * values).sum(axis=0) / size
    of_score = x * (values - mean) / size
    variance = _variance(of, of_score)
    slope = np.where(variance > 0, _variance(of, residual, of_score) / variance, 0)
    left = residual - slope * of_score
    return (
        share - slope * (mean - score.frame_mean),
        left,
        plain / np.where(plain > 0, _variance(of, left), 1),
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
    """Weighted residuals of single draws, less the mean of their stratum (U, F), and what their squares count (U,).

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
    """`fraction`, or 0 where nothing shows how much masks of one image differ: without correction it errs on the safe side."""
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
    """Of the weighted total of `residual` (n, F), or its covariance with that of `other`, under the design (F,)."""
    deviation, counts = _deviations(of, residual)
    second = deviation if other is None else _deviations(of, other)[0]
    return (counts[:, None] * deviation * second).sum(axis=0) + _inner(of, residual, other).sum(axis=0)


def _freedom(
    of: Answers, residual: np.ndarray, least: np.ndarray, share: np.ndarray | None, has_slope: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Variance (F,), 0 where it is under `least`, what rounding could leave, and whole degrees of freedom of the design effect (of the variance where `share` is None).

    Each unit's part in log V, less its part in log R (1 − R), squared and summed, is the variance of the log of the
    design effect; a chi-square with d degrees of freedom has 2 / d. At most the units less the strata.
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
    return variance, np.floor(np.clip(freedom, 1, np.maximum(most, 1)))


def _effective_n(
    of: Answers, share: np.ndarray, variance: np.ndarray, weighed: np.ndarray, x: np.ndarray
) -> np.ndarray:
    """So many independent masks would give the same variance, (F,).

    Where units do not differ nothing shows more than the units themselves, each by its weight (Kish, Survey Sampling, 1965,
    11.7), and how much of the frame is left unseen.
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
    """Bounds with the image as the unit, as all reports have them; NaN with a score, which the sums do not know."""
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
