"""What is wrong with each mask against gold, in one word.

The words are SAM's reasons for a low rating (arXiv 2304.02643, appendix G) as far as masks alone show them. Exactly
one holds, the first that fits in this order; `GOLD` in settings has the thresholds:

| word | SAM's reason | holds where |
| --- | --- | --- |
| none | | IoU with its best gold mask is good (for small gold less is), or it lies in crowd gold |
| spurious | no object | it neither lies in a gold mask nor takes one |
| merge | objects merged | it takes two gold masks that lie apart, each a tenth of it or more |
| split | arbitrary part | it and another mask, apart, are pieces of one gold mask that no mask shows whole |
| hole | wrong holes | most wrong pixels are its own holes in gold, or holes of gold that it fills |
| fragment | stray pixels | most wrong pixels are pieces of it, the largest aside, outside gold |
| partial | missed part | it misses more than it adds |
| spill | poor edge, or a piece of another object | it adds more than it misses |

"Takes" and "lies in" mean more than half. Two masks lie apart where they share at most half of the smaller one.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from curation.masks import Runs, areas, holes, intersections, largest_pieces, paired_intersections
from curation.measures.image import ImageMasks
from curation.settings import GOLD


@dataclass(frozen=True)
class _Pairs:
    """N masks and M gold masks: shared pixels and IoU (N, M)."""

    image: ImageMasks
    gold: ImageMasks
    shared_px: np.ndarray
    ious: np.ndarray

    @property
    def mask_share(self) -> np.ndarray:
        return self.shared_px / np.maximum(self.image.area_px, 1)[:, None]

    @property
    def gold_share(self) -> np.ndarray:
        return self.shared_px / np.maximum(self.gold.area_px, 1)[None, :]


def error_kinds(
    image: ImageMasks, gold: ImageMasks, shared_px: np.ndarray, ious: np.ndarray, is_ignored: np.ndarray
) -> np.ndarray:
    """The word of each mask, str (N,), for shared pixels and IoU (N, M) with gold of single objects.

    `is_ignored` bool (N,): masks that lie in crowd gold. Without gold every other mask is spurious.
    """
    if len(gold) == 0:
        return np.where(is_ignored, "none", "spurious")
    pairs = _Pairs(image, gold, shared_px, ious)
    rows, best = np.arange(len(image)), ious.argmax(axis=1)
    is_good = ious[rows, best] >= np.where(
        gold.area_px[best] < GOLD.small_px, GOLD.small_good_iou, GOLD.good_iou
    )
    kinds = np.select(
        [is_good | is_ignored, _is_spurious(pairs), _is_merge(pairs), _is_split(pairs)],
        ["none", "spurious", "merge", "split"],
        "",
    ).astype("U8")
    rest = np.flatnonzero(kinds == "")
    kinds[rest] = _kinds_of_outlines(pairs, rest, best[rest])
    return kinds


def _is_spurious(pairs: _Pairs) -> np.ndarray:
    shares = np.maximum(pairs.mask_share, pairs.gold_share)
    return ~(shares > GOLD.most_share).any(axis=1)


def _is_merge(pairs: _Pairs) -> np.ndarray:
    is_taken = (pairs.gold_share > GOLD.most_share) & (pairs.mask_share >= GOLD.least_share)
    return _lies_apart(is_taken, pairs.gold).any(axis=1)


def _is_split(pairs: _Pairs) -> np.ndarray:
    """Which masks are one of several pieces, bool (N,)."""
    is_shown_whole = (pairs.ious >= GOLD.whole_iou).any(axis=0)
    is_piece = (
        (pairs.mask_share > GOLD.most_share)
        & (pairs.gold_share >= GOLD.least_share)
        & ~is_shown_whole[None, :]
    )
    return _lies_apart(is_piece.T, pairs.image).any(axis=0)


def _lies_apart(is_chosen: np.ndarray, masks: ImageMasks) -> np.ndarray:
    """Which chosen ones of N masks lie apart from another one that is chosen in the same row, bool (R, N) of (R, N)."""
    rows = np.flatnonzero(is_chosen.sum(axis=1) > 1)  # few, and few are chosen in each
    columns = np.flatnonzero(is_chosen[rows].any(axis=0))
    result = np.zeros(is_chosen.shape, bool)
    if len(rows):
        part = np.ix_(rows, columns)
        chosen = is_chosen[part]
        is_apart = _apart(masks.area_px[columns], masks.runs[columns], _chosen_together(chosen))
        result[part] = _chosen_apart(chosen, is_apart)
    return result


def _apart(area_px: np.ndarray, runs: Runs, where: np.ndarray) -> np.ndarray:
    """Which two masks share at most half of the smaller one, bool (N, N); any answer but `where`, bool (N, N)."""
    smaller_px = np.minimum(area_px[:, None], area_px[None, :])
    return intersections(runs, runs, where) <= GOLD.most_share * smaller_px


@njit(cache=True, nogil=True)
def _chosen_together(is_chosen):
    """Which two of N are chosen in one row of (R, N), bool (N, N)."""
    result = np.zeros((is_chosen.shape[1], is_chosen.shape[1]), np.bool_)
    for row in range(len(is_chosen)):
        chosen = np.flatnonzero(is_chosen[row])
        for one in chosen:
            result[one, chosen] = True
    return result


@njit(cache=True, nogil=True)
def _chosen_apart(is_chosen, is_apart):
    """`is_chosen` (R, N), without those that no other one chosen in the same row `is_apart` (N, N) from."""
    result = np.zeros_like(is_chosen)
    for row in range(len(is_chosen)):
        chosen = np.flatnonzero(is_chosen[row])
        for one in chosen:
            result[row, one] = is_apart[one, chosen].any()
    return result


def _kinds_of_outlines(pairs: _Pairs, rows: np.ndarray, best: np.ndarray) -> np.ndarray:
    """hole, fragment, partial or spill, by where most wrong pixels are; masks `rows` against gold masks `best`."""
    of_mask, of_gold = pairs.image.runs[rows], pairs.gold.runs[best]
    shared_px = pairs.shared_px[rows, best]
    missed_px = pairs.gold.area_px[best] - shared_px
    added_px = pairs.image.area_px[rows] - shared_px
    hole_px = paired_intersections(holes(of_mask), of_gold) + paired_intersections(holes(of_gold), of_mask)
    largest = largest_pieces(of_mask)
    added_by_largest_px = areas(largest) - paired_intersections(largest, of_gold)
    stray_px = added_px - added_by_largest_px
    most_px = GOLD.most_share * (missed_px + added_px)
    return np.select(
        [hole_px > most_px, stray_px > most_px, missed_px >= added_px],
        ["hole", "fragment", "partial"],
        "spill",
    )
