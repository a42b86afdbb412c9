"""Which mask goes with which gold mask: one-to-one by the Hungarian method, and greedily as COCO does."""

import numpy as np
from numba import njit

NO_PARTNER = -1
#: COCO's ten thresholds of IoU, 0.50, 0.55 … 0.95, as pycocotools.cocoeval.Params makes them.
COCO_THRESHOLDS = np.linspace(0.5, 0.95, 10)


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


def greedy(ious: np.ndarray, ranks: np.ndarray, is_crowd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether COCO's matching finds a partner for each mask, and whether it ignores it: int16 bits, (N,) and (N,).

    `ious` (N, M) with gold, divided by the mask's area for crowd gold; `ranks` (N,) by score; `is_crowd` (M,). Bit k
    stands for COCO_THRESHOLDS[k]. The masks of one image, best score first, each take the free gold mask with the
    highest IoU, the later of equals; one that finds none but lies in crowd gold is ignored. Equal to
    COCOeval.evaluateImg without categories, area ranges and limits of detections.
    """
    order = np.argsort(is_crowd, kind="stable")
    by_score = np.argsort(ranks, kind="stable")
    matched, ignored = np.zeros(len(ious), np.int16), np.zeros(len(ious), np.int16)
    matched[by_score], ignored[by_score] = _greedy(
        np.ascontiguousarray(ious[by_score][:, order]), is_crowd[order], COCO_THRESHOLDS
    )
    return matched, ignored


@njit(cache=True, nogil=True)
def _greedy(ious, is_crowd, thresholds):
    """Bits of matched and of ignored masks; masks by falling score, crowd gold last."""
    n_masks, n_gold = ious.shape
    matched, ignored = np.zeros(n_masks, np.int16), np.zeros(n_masks, np.int16)
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
    return matched, ignored
