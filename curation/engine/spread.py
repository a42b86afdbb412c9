"""Choosing what is worth much and unlike what is chosen already: a weighted k-centre, greedily."""

import numpy as np

#: Vectors compared at once with those chosen before.
_CHUNK = 256


def spread(
    worth: np.ndarray,
    vectors: np.ndarray,
    image: np.ndarray,
    size: int,
    taken_vectors: np.ndarray,
    taken_images: np.ndarray,
) -> np.ndarray:
    """Places (size,) of masks in the order that they are chosen: each is the one with the largest worth times distance
    to the nearest chosen one, over the number of masks chosen from its image.

    `worth` (n,) > 0; `vectors` (n, D) are compared by direction, zeros where a mask has none (then every other is at half
    the distance of the opposite); `image` (n,) numbers. What was taken before counts as chosen. With `size` of n or more
    all are chosen. Source: Gonzalez, Theoretical Computer Science 38 (1985), for the greedy choice.
    """
    size = min(size, len(worth))
    units, taken = _directions(vectors), _directions(taken_vectors)
    nearest = np.full(len(worth), -1.0, np.float32)
    for start in range(0, len(taken), _CHUNK):
        np.maximum(nearest, (units @ taken[start : start + _CHUNK].T).max(axis=1), out=nearest)
    _, number = np.unique(np.concatenate([image, taken_images]), return_inverse=True)
    own, others = number[: len(image)], number[len(image) :]
    crowd = 1.0 + np.bincount(others, minlength=int(number.max(initial=-1)) + 1)
    left, picked = worth.astype(np.float64).copy(), []
    for _ in range(size):
        gain = left * (1 - nearest) / 2 / crowd[own]
        best = int(np.argmax(gain))
        if gain[best] <= 0:  # only copies of what is chosen are left: by worth alone
            best = int(np.argmax(left))
        picked.append(best)
        left[best] = -1.0
        crowd[own[best]] += 1
        np.maximum(nearest, units @ units[best], out=nearest)
    return np.array(picked, np.int64)


def _directions(vectors: np.ndarray) -> np.ndarray:
    units = vectors.astype(np.float32)
    return units / np.maximum(np.linalg.norm(units, axis=1, keepdims=True), np.finfo(np.float32).tiny)
