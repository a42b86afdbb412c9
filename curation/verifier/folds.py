"""Folds of images: all masks of an image lie in one, and every fold gets its part of the bad masks."""

import numpy as np


def of_images(
    image_id: np.ndarray, is_good: np.ndarray, n_folds: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Images, sorted (M,), and the fold of each, int (M,) 0..n_folds - 1.

    Images with the most bad masks are dealt first, each to the fold that has the fewest bad masks so far, then the
    fewest masks; equals are dealt in an order drawn from `seed`. No masks give no images.
    """
    images, places = np.unique(image_id, return_inverse=True)
    n_masks = np.bincount(places, minlength=len(images))
    n_bad = np.bincount(places, weights=~is_good, minlength=len(images)).astype(np.int64)
    drawn = np.random.default_rng(seed).permutation(len(images))
    order = drawn[np.lexsort((-n_masks[drawn], -n_bad[drawn]))]
    fold = np.zeros(len(images), np.int64)
    held = np.zeros((n_folds, 2), np.int64)  # bad masks and masks of each fold
    for image in order:
        fold[image] = min(range(n_folds), key=lambda k: (held[k, 0], held[k, 1], k))
        held[fold[image]] += (n_bad[image], n_masks[image])
    return images, fold
