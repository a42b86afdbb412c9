"""Which mask goes with which gold mask: one-to-one by the Hungarian method, and greedily as COCO does."""

from dataclasses import dataclass

import numpy as np
from numba import njit

NO_PARTNER = -1
#: In the place of the mask that found a gold mask: worse than any.
NOBODY = np.iinfo(np.int64).max
#: COCO's ten thresholds of IoU, 0.50, 0.55 … 0.95, as pycocotools.cocoeval.Params makes them.
COCO_THRESHOLDS = np.linspace(0.5, 0.95, 10)
#: Masks an image that count for average recall, as COCO (1, 10, 100) and SAM's tables on LVIS (1000) have them.
MOST_MASKS = (1, 10, 100, 1000)


def one_to_one(ious: np.ndarray) -> np.ndarray:
    """Column of each row's partner, int64 (N,), NO_PARTNER without one, for IoU (N, M) in 0..1.

    The sum of IoU over partners is the largest that any one-to-one matching has; a pair of IoU 0 is no pair.
    """
    from scipy.optimize import linear_sum_assignment  # half a second, which no other command should wait

    partners = np.full(ious.shape[0], NO_PARTNER, np.int64)
    rows, columns = linear_sum_assignment(ious, maximize=True)
    overlap = ious[rows, columns] > 0
    partners[rows[overlap]] = columns[overlap]
    return partners


@dataclass(frozen=True)
class Greedy:
    """COCO's matching of N masks with M gold masks. `matched` and `ignored` (N,), int16: bit k says whether a mask has a
    partner at COCO_THRESHOLDS[k], and whether it lies in crowd gold instead. `found` (M, 4), int32: at how many of these
    thresholds a gold mask is found by the best MOST_MASKS masks; 0 for crowd gold.
    """

    matched: np.ndarray
    ignored: np.ndarray
    found: np.ndarray


def greedy(ious: np.ndarray, ranks: np.ndarray, is_crowd: np.ndarray) -> Greedy:
    """COCO's matching of the masks of one image.

    `ious` (N, M) with gold, divided by the mask's area for crowd gold; `ranks` (N,) by score; `is_crowd` (M,).
    The masks, best score first, each take the free gold mask with the highest IoU, the later of equals; one that
    finds none but lies in crowd gold is ignored. Equal to COCOeval.evaluateImg without categories and area ranges,
    and with limits of MOST_MASKS detections for `found`: worse masks never change what better ones find.
    """
    order = np.argsort(is_crowd, kind="stable")
    by_score = np.argsort(ranks, kind="stable")
    matched, ignored = np.zeros(len(ious), np.int16), np.zeros(len(ious), np.int16)
    finder = np.empty((ious.shape[1], len(COCO_THRESHOLDS)), np.int64)
    matched[by_score], ignored[by_score], finder[order] = _greedy(
        np.ascontiguousarray(ious[by_score][:, order]), is_crowd[order], COCO_THRESHOLDS
    )
    found = np.stack([(finder < most).sum(axis=1) for most in MOST_MASKS], axis=1).astype(np.int32)
    return Greedy(matched, ignored, found)


@njit(cache=True, nogil=True)
def _greedy(ious, is_crowd, thresholds):
    """Bits of matched and of ignored masks, and who found each gold mask at each threshold (M, K), NOBODY for none;
    masks by falling score, crowd gold last.
    """
    n_masks, n_gold = ious.shape
    matched, ignored = np.zeros(n_masks, np.int16), np.zeros(n_masks, np.int16)
    finder = np.full((n_gold, len(thresholds)), NOBODY, np.int64)
    for k in range(len(thresholds)):
        is_taken = np.zeros(n_gold, np.bool_)
        for mask in range(n_masks):
            best = min(thresholds[k], 1 - 1e-10)
            partner = -1
            for gold in range(n_gold):
                if is_taken[gold] and not is_crowd[gold]:
                    continue
                if partner >= 0 and is_crowd[gold] and not is_crowd[partner]:
                    break
                if ious[mask, gold] >= best:
                    best, partner = ious[mask, gold], gold
            if partner < 0:
                continue
            is_taken[partner] = True
            if is_crowd[partner]:
                ignored[mask] |= 1 << k
            else:
                matched[mask] |= 1 << k
                finder[partner, k] = mask
    return matched, ignored, finder
