"""95 % intervals of ratios over images: the cluster bootstrap and the design-based formula.

Masks of one image resemble each other, so a figure over masks is a ratio of two totals over images,
R = sum(y) / sum(x), with y and x summed over one image. Both intervals take the image as the unit.

- **Bootstrap**: images are drawn with replacement and the ratio is studentised, (R* − R) / se*; its quantiles times the
  delete-one standard error of R give the bounds (Davison and Hinkley, Bootstrap Methods, 1997, 5.2.1; Efron and
  Stein, Annals of Statistics 9, 1981). Chosen by `benchmarks/intervals.py`: percentile and BCa intervals cover less.
- **Design-based**: the linearised variance of a ratio (Cochran, Sampling Techniques, 1977, chapter 6), Wilson's score
  interval at the effective n for shares (Korn and Graubard, Survey Methodology 24, 1998), and Student's t with as
  many degrees of freedom as the kurtosis of the images' residuals leaves (Satterthwaite, Biometrics Bulletin 2, 1946):
  where few images hold all that goes wrong, the variance itself is little known. The same as
  `share_interval` of queries/macros/intervals.sql.
- **Exact**: only where no image holds more than one mask are masks independent; then both are Clopper and Pearson's
  interval (Biometrika 26, 1934).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

CONFIDENCE = 0.95
N_REPLICATES = 2_000
SEED = 0
#: Weights held at once, as float64: 32 MB, however many images there are.
CHUNK_WEIGHTS = 4_000_000
#: What rounding alone could leave of a sum of squares.
ROUNDING = 1e-12
#: Replicates whose images do not differ have no standard error; they count as the largest t of one degree of freedom.
MOST_STUDENTISED = float(special.stdtrit(1, 0.5 + CONFIDENCE / 2))


@dataclass(frozen=True)
class Estimates:
    """F ratios with both intervals, arrays (F,); NaN where there is none.

    An estimate needs one image, bounds need two. `effective_n`: independent units that would tell as much (at most
    the units that there are, and the images where they do not differ at all); `design_effect`: units / effective_n, NaN
    where images do not differ. `is_exact`: no image holds more than one unit.
    """

    estimate: np.ndarray
    bootstrap_low: np.ndarray
    bootstrap_high: np.ndarray
    design_low: np.ndarray
    design_high: np.ndarray
    n_images: np.ndarray
    n_units: np.ndarray
    effective_n: np.ndarray
    design_effect: np.ndarray
    is_exact: np.ndarray


@dataclass(frozen=True)
class _Ratios:
    """What both intervals start from, arrays (F,): totals, ratio, linearised and delete-one variance, and the t quantile."""

    n_images: np.ndarray
    sum_x: np.ndarray
    ratio: np.ndarray
    variance: np.ndarray
    delete_one_variance: np.ndarray
    student_t: np.ndarray


def estimates(
    y: np.ndarray,
    x: np.ndarray,
    unit_squares: np.ndarray | None = None,
    n_replicates: int = N_REPLICATES,
    seed: int = SEED,
) -> Estimates:
    """Both intervals of F ratios over the same images: y and x (n_images, F), sums over one image each, x >= 0.

    A share has 0 <= y <= x. `unit_squares` (F,), where finite, is the sum of squared values of the units of a mean
    over 0..1; its effective n then compares with the variance of single units, and its intervals are cut at 0 and 1.
    Images with x = 0 say nothing about that ratio. The same seed gives the same bounds.
    """
    y, x = np.asarray(y, np.float64), np.asarray(x, np.float64)
    is_mean = np.zeros(y.shape[1], bool) if unit_squares is None else np.isfinite(unit_squares)
    ratios = _ratios(y, x)
    effective_n = _effective_n(ratios)
    if is_mean.any():
        effective_n[is_mean] = _effective_n_of_means(ratios, unit_squares)[is_mean]
    low, high = wilson(ratios.ratio, _effective_n(ratios), ratios.student_t)
    half = ratios.student_t * np.sqrt(ratios.variance)
    low = np.where(is_mean, np.clip(ratios.ratio - half, 0, 1), low)
    high = np.where(is_mean, np.clip(ratios.ratio + half, 0, 1), high)
    bootstrap_low, bootstrap_high = _bootstrap(y, x, ratios, n_replicates, seed)
    is_stuck = ~(ratios.variance > 0)  # images that do not differ say nothing of how they could: Wilson does
    bootstrap_low, bootstrap_high = (
        np.where(is_stuck, low, bootstrap_low),
        np.where(is_stuck, high, bootstrap_high),
    )
    is_exact = ~is_mean & (x.max(axis=0, initial=0) == 1) & (np.isin(y, (0, 1)).all(axis=0))
    exact = clopper_pearson(y.sum(axis=0), ratios.sum_x)
    low, high = np.where(is_exact, exact[0], low), np.where(is_exact, exact[1], high)
    bootstrap_low, bootstrap_high = (
        np.where(is_exact, exact[0], bootstrap_low),
        np.where(is_exact, exact[1], bootstrap_high),
    )
    effective_n = np.where(is_exact, ratios.sum_x, effective_n)
    with np.errstate(invalid="ignore", divide="ignore"):
        design_effect = np.where((ratios.variance > 0) | is_exact, ratios.sum_x / effective_n, np.nan)
    return Estimates(
        estimate=ratios.ratio,
        bootstrap_low=bootstrap_low,
        bootstrap_high=bootstrap_high,
        design_low=low,
        design_high=high,
        n_images=ratios.n_images,
        n_units=ratios.sum_x,
        effective_n=effective_n,
        design_effect=design_effect,
        is_exact=is_exact,
    )


def share_bounds(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The design-based bounds of F shares alone, (F,) each; y and x (n_images, F) as for `estimates`."""
    ratios = _ratios(np.asarray(y, np.float64), np.asarray(x, np.float64))
    return wilson(ratios.ratio, _effective_n(ratios), ratios.student_t)


def weights(n_images: int, n_replicates: int, seed: int) -> Iterator[np.ndarray]:
    """How often each image is drawn in each replicate, float64 (chunk, n_images), in chunks of bounded memory."""
    rng = np.random.default_rng(seed)
    chunk = max(1, CHUNK_WEIGHTS // max(n_images, 1))
    for first in range(0, n_replicates, chunk):
        rows = min(chunk, n_replicates - first)
        drawn = rng.integers(n_images, size=(rows, n_images)) + n_images * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n_images).reshape(rows, n_images).astype(np.float64)


def _ratios(y: np.ndarray, x: np.ndarray) -> _Ratios:
    n_images = (x > 0).sum(axis=0)
    sum_x = x.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = y.sum(axis=0) / sum_x
        residuals = np.where(x > 0, y - ratio * x, 0)
        squares = (residuals**2).sum(axis=0)
        squares = np.where(squares > ROUNDING * (y**2).sum(axis=0), squares, 0)
        variance = np.where(n_images > 1, n_images / (n_images - 1) * squares / sum_x**2, np.nan)
        without = np.where(x > 0, residuals / (sum_x - x), 0)
        delete_one = np.where(squares > 0, (n_images - 1) / n_images * (without**2).sum(axis=0), variance)
        # The variance of a mean of squares: (kurtosis − 1) / n of its square, so many degrees of freedom.
        kurtosis = n_images * (residuals**4).sum(axis=0) / squares**2
        freedom = np.where(kurtosis > 1 + ROUNDING, 2 * n_images / (kurtosis - 1), n_images)
    freedom = np.floor(np.clip(freedom, 1, np.maximum(n_images - 1, 1)))
    student_t = np.where(n_images > 1, special.stdtrit(freedom, 0.5 + CONFIDENCE / 2), np.nan)
    return _Ratios(n_images, sum_x, ratio, variance, delete_one, student_t)


def _effective_n(ratios: _Ratios) -> np.ndarray:
    """So many independent units would give the same variance; the images where they do not differ at all."""
    with np.errstate(invalid="ignore", divide="ignore"):
        n = np.minimum(ratios.ratio * (1 - ratios.ratio) / ratios.variance, ratios.sum_x)
    return np.where(ratios.variance > 0, n, np.where(ratios.variance == 0, ratios.n_images, np.nan))


def _effective_n_of_means(ratios: _Ratios, unit_squares: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        n = np.minimum((unit_squares / ratios.sum_x - ratios.ratio**2) / ratios.variance, ratios.sum_x)
    return np.where(ratios.variance > 0, n, np.where(ratios.variance == 0, ratios.n_images, np.nan))


def wilson(share: np.ndarray, n: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval (JASA 22, 1927) of a share of n at the quantile t."""
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = share + t * t / (2 * n)
        half = t * np.sqrt(np.maximum(share * (1 - share), 0) / n + t * t / (4 * n * n))
        low, high = (middle - half) / (1 + t * t / n), (middle + half) / (1 + t * t / n)
    known = ~np.isnan(t)
    low = np.where(known & (share == 0), 0.0, np.clip(low, 0, 1))
    high = np.where(known & (share == 1), 1.0, np.clip(high, 0, 1))
    return low, high


def clopper_pearson(n_hits: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The exact interval of `n_hits` of `n` independent units (Biometrika 26, 1934); 0..1 where there are none."""
    tail = (1 - CONFIDENCE) / 2
    low = np.where(n_hits > 0, special.betaincinv(n_hits, n - n_hits + 1, tail), 0.0)
    high = np.where(n_hits < n, special.betaincinv(n_hits + 1, n - n_hits, 1 - tail), 1.0)
    return low, high


def _bootstrap(
    y: np.ndarray, x: np.ndarray, ratios: _Ratios, n_replicates: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Studentised bounds (F,), NaN where fewer than two images tell anything."""
    n_images, n_figures = y.shape
    unknown = np.full(n_figures, np.nan)
    if n_images < 2:
        return unknown, unknown
    sums = np.concatenate([y, x, y * y, x * y, x * x], axis=1)
    studentised = np.concatenate(
        [_studentised(chunk @ sums, ratios) for chunk in weights(n_images, n_replicates, seed)]
    )
    tail = (1 - CONFIDENCE) / 2
    lower, upper = np.quantile(studentised, [tail, 1 - tail], axis=0, method="inverted_cdf")
    with np.errstate(invalid="ignore"):
        error = np.where(ratios.n_images > 1, np.sqrt(ratios.delete_one_variance), np.nan)
    low = np.clip(ratios.ratio - np.maximum(upper, 0) * error, 0, 1)
    high = np.clip(ratios.ratio - np.minimum(lower, 0) * error, 0, 1)
    return low, high


def _studentised(totals: np.ndarray, ratios: _Ratios) -> np.ndarray:
    """(R* − R) / se* of some replicates, (B, F), from their totals of y, x, y², xy and x² (B, 5 F)."""
    y, x, yy, xy, xx = np.split(totals, 5, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = y / x
        squares = yy - 2 * ratio * xy + ratio**2 * xx
        squares = np.where(squares > ROUNDING * yy, squares, 0)
        error = np.sqrt(ratios.n_images / (ratios.n_images - 1) * squares) / x
        distance = ratio - ratios.ratio
        t = np.where(np.abs(distance) > ROUNDING, distance / error, 0.0)
    # No unit drawn: such a replicate says nothing.
    return np.clip(np.nan_to_num(t, nan=0.0), -MOST_STUDENTISED, MOST_STUDENTISED)
