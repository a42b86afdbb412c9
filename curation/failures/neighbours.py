"""Embedding clusters: masks that lie close together in the space of embeddings and measures.

HDBSCAN (Campello, Moulavi and Sander, PAKDD 2013) is fitted twice to a bounded sample of the discovery half: to all
masks, and to the bad ones alone, which may be dense where all masks together are not. Each of its clusters becomes a
ball: the mean of its members, and the radius that holds most of them. A mask belongs to the nearest centre of a fit
when it lies within its radius, and to none elsewhere; so masks of the other half, and new ones, are treated as those
that were fitted. What HDBSCAN calls noise shapes no ball.
"""

from dataclasses import dataclass

import numpy as np

from curation.settings import FailureSettings

#: Distances held at once, as float32: 32 MB.
CHUNK_DISTANCES = 8_000_000
#: A cluster is at least this share of what is fitted; of the bad masks alone, larger: they are few.
LEAST_SHARE, LEAST_BAD_SHARE = 0.01, 0.04


@dataclass(frozen=True)
class Balls:
    """B balls of one fit: `centres` float32 (B, d), `radii` (B,)."""

    centres: np.ndarray
    radii: np.ndarray

    def assigned(self, space: np.ndarray) -> np.ndarray:
        """Ball of each place in `space` (n, d), int64 (n,); -1 for none, and where the place is not known (NaN)."""
        nearest = np.full(len(space), -1, np.int64)
        if not len(self.radii):
            return nearest
        width = max(1, CHUNK_DISTANCES // len(self.radii))
        squares = (self.centres**2).sum(axis=1)
        for first in range(0, len(space), width):
            part = space[first : first + width]
            distance = (part**2).sum(axis=1)[:, None] - 2 * part @ self.centres.T + squares
            known = np.nan_to_num(distance, nan=np.inf)
            closest = known.argmin(axis=1)
            reached = known[np.arange(len(part)), closest] <= self.radii[closest] ** 2
            nearest[first : first + width] = np.where(reached, closest, -1)
        return nearest

    def member(self, space: np.ndarray) -> np.ndarray:
        """Which place lies in which ball, bool (n, B)."""
        return self.assigned(space)[:, None] == np.arange(len(self.radii))


def fits(
    space: np.ndarray, is_bad: np.ndarray, settings: FailureSettings, rng: np.random.Generator
) -> list[Balls]:
    """Balls around dense places of all masks, and of the bad ones: `space` (n, d) without NaN, `is_bad` (n,) false
    where not known.
    """
    found = []
    for places, share in ((np.arange(len(space)), LEAST_SHARE), (np.flatnonzero(is_bad), LEAST_BAD_SHARE)):
        if len(places) > settings.most_clustered:
            places = rng.choice(places, settings.most_clustered, replace=False)
        least = max(settings.least_masks, round(share * len(places)))
        if len(places) >= 2 * least:
            found.append(_balls(space[places], least, settings))
    return found


def _balls(space: np.ndarray, least: int, settings: FailureSettings) -> Balls:
    from sklearn.cluster import HDBSCAN  # a second, which no other command should wait for

    # Leaves: a group that fails may be part of a larger one that does not.
    fit = HDBSCAN(min_cluster_size=least, min_samples=5, cluster_selection_method="leaf", copy=True)
    label = fit.fit_predict(space)
    centres, radii = [], []
    for k in range(label.max(initial=-1) + 1):
        of = space[label == k]
        centre = of.mean(axis=0)
        centres.append(centre)
        radii.append(np.quantile(np.linalg.norm(of - centre, axis=1), settings.radius_quantile))
    return Balls(
        np.array(centres, np.float32).reshape(-1, space.shape[1]), np.array(radii, np.float32).reshape(-1)
    )
