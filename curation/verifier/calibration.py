"""From what a method says to a chance: two curves, kept as plain numbers.

- **Sigmoid** for few masks: 1 / (1 + exp(−(a + b · logit))), with Platt's smoothed targets (Probabilistic Outputs for
  Support Vector Machines, 1999), fitted by maximum likelihood; b is at least 0.
- **Isotonic** for many: the centred isotonic regression of Oron and Flournoy (Statistics in Biopharmaceutical Research 9,
  2017): the steps of the plain one become points in the middle of each, with straight lines between. So different
  raw scores stay different, where plain steps would make them ties.
"""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

SIGMOID, ISOTONIC = "sigmoid", "isotonic"
#: Raw scores of 0 and 1 have no logit; float32 knows nothing closer to them.
CLOSEST = 1e-7


@dataclass(frozen=True)
class Calibration:
    """`sigmoid`: x is (a,) and y is (b,). `isotonic`: points, both rising, of raw score x and chance y."""

    kind: str
    x: tuple[float, ...]
    y: tuple[float, ...]

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        """Chance of being good (N,), 0..1, of raw scores (N,), 0..1."""
        if self.kind == SIGMOID:
            return special.expit(self.x[0] + self.y[0] * _logit(raw))
        return np.interp(raw, self.x, self.y)


def fit(raw: np.ndarray, is_good: np.ndarray, kind: str) -> Calibration:
    """The curve of a kind for raw scores (N,), 0..1, of good and bad masks. Both must be there."""
    return _sigmoid(raw, is_good) if kind == SIGMOID else _isotonic(raw, is_good)


def _sigmoid(raw: np.ndarray, is_good: np.ndarray) -> Calibration:
    n_good, n_bad = int(is_good.sum()), int((~is_good).sum())
    target = np.where(is_good, (n_good + 1) / (n_good + 2), 1 / (n_bad + 2))
    logit = _logit(raw)

    def loss(ab: np.ndarray) -> tuple[float, np.ndarray]:
        z = ab[0] + ab[1] * logit
        gap = special.expit(z) - target
        return float((np.logaddexp(0, z) - target * z).sum()), np.array([gap.sum(), (gap * logit).sum()])

    start = np.array([special.logit((n_good + 1) / (n_good + n_bad + 2)), 0.0])
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(None, None), (0, None)])
    return Calibration(SIGMOID, (float(found.x[0]),), (float(found.x[1]),))


def _isotonic(raw: np.ndarray, is_good: np.ndarray) -> Calibration:
    x, places = np.unique(raw, return_inverse=True)
    weight = np.bincount(places).astype(np.float64)
    share = np.bincount(places, weights=is_good) / weight
    found = optimize.isotonic_regression(share, weights=weight)
    block = np.repeat(np.arange(len(found.blocks) - 1), np.diff(found.blocks))
    in_block = np.bincount(block, weights=weight)
    centre = np.bincount(block, weights=weight * x) / in_block
    height = np.bincount(block, weights=weight * share) / in_block
    return Calibration(ISOTONIC, tuple(centre.tolist()), tuple(np.clip(height, 0, 1).tolist()))


def _logit(raw: np.ndarray) -> np.ndarray:
    return special.logit(np.clip(raw.astype(np.float64), CLOSEST, 1 - CLOSEST))
