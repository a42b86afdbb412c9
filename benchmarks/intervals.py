"""How often 95 % intervals hold the truth, on data whose intra-image correlation is known.

Each image has its own share of good masks, drawn from a beta distribution; its masks are good or bad by that share, so
two masks of one image correlate by exactly `ICC`. Images have unequal numbers of masks (log-normal, median 40, a tenth
have more than 85). One line is 1,000 data sets. The naive interval (Wilson's) takes every mask for independent.

    python -m benchmarks.intervals [--replicates 1000]

A * marks a coverage outside 93 to 97 %; chance alone puts one line in a few hundred there. Ends with 1 where one of our
intervals is so marked, or a naive one covers as much, on a line where the images let it know: where there are
LEAST_IMAGES, and LEAST_BAD_IMAGES of them are expected to hold the bad masks. A share of 0.99 in 50 images whose masks
correlate by 0.3 shows less than two, and no interval can make up for that. Percentile and BCa are the candidates that
were not chosen.
"""

from __future__ import annotations

import argparse
from itertools import product

import numpy as np
from scipy import stats

from curation.gold import intervals

IMAGES, SHARES, CORRELATIONS = (20, 50, 100, 200, 500), (0.5, 0.75, 0.94, 0.97, 0.99), (0.02, 0.1, 0.2, 0.3)
MEDIAN_MASKS, SPREAD = 40, 0.6
#: Bootstrap replicates a data set; the commands take more, but the coverage is the same.
N_REPLICATES = 500
#: Coverage of a 95 % interval that is as it should be.
LOWEST, HIGHEST = 0.93, 0.97
#: With fewer images, or fewer expected bad ones, the table says so and asks nothing.
LEAST_IMAGES, LEAST_BAD_IMAGES = 50, 10


def data(n_images: int, share: float, correlation: float, n_sets: int) -> tuple[np.ndarray, np.ndarray]:
    """Good masks y and masks x, (n_images, n_sets)."""
    rng = np.random.default_rng([n_images, round(1000 * share), round(1000 * correlation)])
    x = np.maximum(1, np.round(rng.lognormal(np.log(MEDIAN_MASKS), SPREAD, (n_images, n_sets))))
    concentration = 1 / correlation - 1
    p = rng.beta(share * concentration, (1 - share) * concentration, x.shape)
    return rng.binomial(x.astype(np.int64), p).astype(float), x


def naive(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval over masks."""
    n, z = x.sum(axis=0), stats.norm.ppf(0.975)
    share = y.sum(axis=0) / n
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (share + z * z / (2 * n) - half) / (1 + z * z / n), (share + z * z / (2 * n) + half) / (
        1 + z * z / n
    )


def percentile_and_bca(y: np.ndarray, x: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The two other cluster bootstraps (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, 13.3 and 14.3)."""
    ratio = y.sum(axis=0) / x.sum(axis=0)
    drawn = np.concatenate(list(intervals.weights(len(y), N_REPLICATES, intervals.SEED)))
    replicates = np.sort((drawn @ y) / (drawn @ x), axis=0)
    below = ((replicates < ratio).mean(axis=0) + (replicates <= ratio).mean(axis=0)) / 2
    bias = stats.norm.ppf(np.clip(below, 1 / N_REPLICATES, 1 - 1 / N_REPLICATES))
    left_out = (y.sum(axis=0) - y) / (x.sum(axis=0) - x)
    pull = left_out.mean(axis=0) - left_out
    with np.errstate(invalid="ignore"):
        skew = np.nan_to_num((pull**3).sum(axis=0) / (6 * (pull**2).sum(axis=0) ** 1.5))

    def bca(tail: float) -> np.ndarray:
        z = bias + stats.norm.ppf(tail)
        place = stats.norm.cdf(bias + z / (1 - skew * z)) * N_REPLICATES
        return np.take_along_axis(replicates, np.clip(place.astype(int), 0, N_REPLICATES - 1)[None], axis=0)[
            0
        ]

    lower, upper = np.quantile(replicates, [0.025, 0.975], axis=0)
    return [(lower, upper), (bca(0.025), bca(0.975))]


def coverage(bounds: tuple[np.ndarray, np.ndarray], share: float) -> tuple[float, float]:
    """Share of intervals that hold `share`, and their mean width."""
    low, high = bounds
    return float(((low <= share) & (share <= high)).mean()), float((high - low).mean())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=1000, help="data sets a line")
    n_sets = parser.parse_args().replicates
    names = ("naive", "design", "bootstrap", "percentile", "BCa")
    print(f"coverage of 95 % intervals, {n_sets:,} data sets a line; width of ours in parentheses\n")
    print(f"{'images':>6} {'share':>6} {'ICC':>5} " + " ".join(f"{name:>16}" for name in names))
    n_wrong, n_lines = 0, 0
    for n_images, share, correlation in product(IMAGES, SHARES, CORRELATIONS):
        y, x = data(n_images, share, correlation, n_sets)
        found = intervals.estimates(y, x, n_replicates=N_REPLICATES)
        bounds = [
            naive(y, x),
            (found.design_low, found.design_high),
            (found.bootstrap_low, found.bootstrap_high),
            *percentile_and_bca(y, x),
        ]
        covers = [coverage(pair, share) for pair in bounds]
        # So many images, were each wholly good or as bad as the correlation makes it.
        n_bad = n_images * (1 - share) / max(correlation, 1 - share)
        is_known = n_images >= LEAST_IMAGES and n_bad >= LEAST_BAD_IMAGES
        cells = [
            f"{100 * hit:.1f}{' ' if LOWEST <= hit <= HIGHEST else '*'}"
            + (f" ({width:.3f})" if k in (1, 2) else " " * 8)
            for k, (hit, width) in enumerate(covers)
        ]
        rare = "" if n_bad >= LEAST_BAD_IMAGES else "   few bad images"
        print(
            f"{n_images:>6} {share:>6} {correlation:>5} " + " ".join(f"{cell:>16}" for cell in cells) + rare
        )
        ours = [hit for hit, _ in covers[1:3]]
        n_lines += is_known
        n_wrong += is_known and not (
            all(LOWEST <= hit <= HIGHEST for hit in ours) and covers[0][0] < min(ours)
        )
    print(
        f"\n{n_lines - n_wrong} of {n_lines} lines with enough images and enough bad ones are as they should be"
    )
    return int(n_wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
