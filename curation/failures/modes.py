"""The seeds' failure modes: which of them a bad mask shows.

What people said counts: a mask with a reason that names a mode shows that mode (`rare_concept`; `fine_grained`;
`occlusion` or `inconsistent_occluder`; `crowded`). Where they named none, the measures tell:

- rare: its label is one of less than 1 % of the searched masks, or its neighbourhood in the space of embeddings is
  sparser than that of 95 % of the masks (distance to the tenth neighbour among a random part of them).
- fine_grained: smaller than 24² px (SAM, appendix E), or less than 5 px wide on average (2 area / perimeter).
- occlusion: shares 10 to 90 % of its pixels with another mask: neither of them holds the other.
- crowded: boxes of 10 or more other masks meet the box of a mask of its image, on average.
- other: none of these.

A mask that shows several counts for each in equal parts, so shares sum to 1. The numbers are in `settings.FAILURES`.
"""

from collections.abc import Mapping

import numpy as np

from curation.failures.rules import Category, Values
from curation.settings import FailureSettings

MODES = ("rare", "fine_grained", "occlusion", "crowded", "other")
REASONS = {
    "rare": ("rare_concept",),
    "fine_grained": ("fine_grained",),
    "occlusion": ("occlusion", "inconsistent_occluder"),
    "crowded": ("crowded",),
}
#: Masks that stand for all where neighbours are counted, and which neighbour tells how dense it is.
MOST_COMPARED, NEIGHBOUR = 2_000, 10
#: Bad masks of a group that are looked at.
MOST_LOOKED_AT = 5_000


def reason_sql(mode: str) -> str:
    """Whether people named a reason of the mode."""
    names = ", ".join(f"'{name}'" for name in REASONS[mode])
    return f"list_has_any(coalesce(verdict_reasons, []), [{names}])"


class Modes:
    """Of N masks: which modes each shows, told for those that are asked about."""

    def __init__(
        self,
        values: Mapping[str, Values],
        reasons: Mapping[str, np.ndarray],
        space: np.ndarray | None,
        settings: FailureSettings,
        rng: np.random.Generator,
    ) -> None:
        """`reasons`: bool (N,) by mode; `space` (N, d), NaN where a mask has no place, None where none has."""
        self.values, self.reasons, self.space, self.settings = values, reasons, space, settings
        self.reference = self._reference(rng)

    def shares(self, at: np.ndarray) -> dict[str, float]:
        """Share of each of MODES among the masks at these places; all 0 without any."""
        at = at[:: max(-(-len(at) // MOST_LOOKED_AT), 1)]
        named = np.stack([self.reasons[mode][at] for mode in MODES[:-1]], axis=1)
        shown = np.stack(
            [
                self._is_rare(at),
                self._is_fine(at),
                self._flag("is_overlapped", at),
                self._flag("is_crowded_image", at),
            ],
            axis=1,
        )
        shown = np.where(named.any(axis=1)[:, None], named, shown)
        shown = np.concatenate([shown, ~shown.any(axis=1)[:, None]], axis=1)
        parts = shown / shown.sum(axis=1, keepdims=True)
        means = parts.sum(axis=0) / max(len(at), 1)
        return dict(zip(MODES, means.tolist(), strict=True))

    def _is_fine(self, at: np.ndarray) -> np.ndarray:
        width = self.values.get("mean_width_px")
        is_thin = np.zeros(len(at), bool)
        if width is not None:
            with np.errstate(invalid="ignore"):
                is_thin = width[at] < self.settings.thin_px
        return self._flag("is_tiny", at) | is_thin

    def _is_rare(self, at: np.ndarray) -> np.ndarray:
        label, is_rare = self.values.get("label"), np.zeros(len(at), bool)
        if isinstance(label, Category):
            counts = np.bincount(label.codes[label.codes >= 0], minlength=len(label.names))
            rare = counts < self.settings.rare_share * max(len(label.codes), 1)
            is_rare = (label.codes[at] >= 0) & np.append(rare, False)[label.codes[at]]
        if self.reference is not None:
            places, limit = self.reference
            with np.errstate(invalid="ignore"):
                is_rare = is_rare | (_tenth(self.space[at], places) > limit)
        return is_rare

    def _flag(self, name: str, at: np.ndarray) -> np.ndarray:
        found = self.values.get(name)
        return np.zeros(len(at), bool) if found is None else found[at]

    def _reference(self, rng: np.random.Generator) -> tuple[np.ndarray, float] | None:
        """Places of a random part of the masks, and the distance that is far among them."""
        if self.space is None:
            return None
        placed = np.flatnonzero(np.isfinite(self.space[:, 0]))
        if len(placed) <= NEIGHBOUR + 1:
            return None
        places = self.space[rng.choice(placed, min(len(placed), MOST_COMPARED), replace=False)]
        return places, float(np.quantile(_tenth(places, places), 1 - self.settings.sparse_share))


def _tenth(of: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Distance of each of `of` (n, d) to its tenth neighbour among `places`, itself left out; NaN where not placed."""
    far = np.full(len(of), np.nan)
    for first in range(0, len(of), 500):
        part = of[first : first + 500]
        squares = (part**2).sum(axis=1)[:, None] - 2 * part @ places.T + (places**2).sum(axis=1)
        # What lies at 0 is the mask itself, or its double, which says nothing of its neighbourhood.
        squares = np.where(squares <= 1e-9, np.inf, squares)
        far[first : first + 500] = np.sqrt(np.partition(squares, NEIGHBOUR - 1, axis=1)[:, NEIGHBOUR - 1])
    return far
