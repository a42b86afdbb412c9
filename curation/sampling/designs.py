"""Which masks of a frame are drawn, with what chance, and in what order they are shown: pure functions of
numbers and a seed.

Every draw is a permutation or a choice by one `numpy` generator, so the same seed draws the same masks. An
order is such that what is judged first is itself a fair draw: a random permutation; for strata one that goes
through all of them at even pace; for two stages image by image.

Source: Cochran, Sampling Techniques (1977): chapters 2, 5, 5A (allocation), 9A (probability proportional to
size with replacement), 10 and 11 (two stages).
"""

from dataclasses import dataclass

import numpy as np

from curation.errors import InputError

ALLOCATIONS = ("proportional", "equal", "neyman")
#: Fewer masks than two of a stratum would not show how much it varies.
LEAST_OF_STRATUM = 2
#: Farthest-first compares every drawn mask with all others: beyond this a random part of the frame stands for
#: it.
MOST_COMPARED = 50_000


@dataclass(frozen=True)
class Draw:
    """n drawn masks in the order that they are shown: places in the frame, int64 (n,), and their chances,
    float64 (n,).

    NaN in `inclusion` where nothing was left to chance, in `image` and `single` where a design has no such
    stage. `n_draws` (n,) is over 1 only with replacement.
    """

    places: np.ndarray
    inclusion: np.ndarray
    image: np.ndarray
    single: np.ndarray
    n_draws: np.ndarray


def simple(n_frame: int, size: int, rng: np.random.Generator) -> Draw:
    """Simple random, without replacement."""
    places = rng.choice(n_frame, size, replace=False)
    return _draw(places, np.full(size, size / n_frame))


def stratified(stratum: np.ndarray, sizes: np.ndarray, rng: np.random.Generator) -> Draw:
    """`sizes` (H,) masks of each stratum, simple random in each; `stratum` (N,) is 0..H−1."""
    n_masks = np.bincount(stratum, minlength=len(sizes))
    rank = _random_ranks(stratum, rng)
    places = np.flatnonzero(rank < sizes[stratum])
    pace = (rank[places] + rng.random(len(places))) / sizes[stratum[places]]
    places = places[np.argsort(pace, kind="stable")]
    return _draw(places, (sizes / n_masks)[stratum[places]])


def proportional_to_size(risk: np.ndarray, n_draws: int, rng: np.random.Generator) -> Draw:
    """`n_draws` independent draws, each mask with a chance proportional to `risk` (N,): with replacement.

    The masks are fewer than the draws where some are drawn again. Raises InputError where a risk is not above
    0.
    """
    n_bad = int((~(risk > 0) | np.isinf(risk)).sum())
    if n_bad:
        raise InputError(
            f"--risk: {n_bad:,} of {len(risk):,} masks have no finite risk above 0, so they could never be drawn: add a "
            'floor, such as "greatest(0.01, 1 - coalesce(predicted_iou, 0))"'
        )
    single = risk / risk.sum()
    places, counts = np.unique(rng.choice(len(risk), n_draws, p=single), return_counts=True)
    order = rng.permutation(len(places))
    places, counts = places[order], counts[order]
    inclusion = -np.expm1(n_draws * np.log1p(-single[places]))
    return _draw(places, inclusion, single=single[places], n_draws=counts)


def two_stage(image: np.ndarray, n_images: int, masks_per_image: int, rng: np.random.Generator) -> Draw:
    """Simple random images, then at most `masks_per_image` masks of each; `image` (N,) is 0..I−1, each with
    masks.
    """
    n_masks = np.bincount(image)
    chosen = rng.permutation(len(n_masks))[:n_images]
    turn = np.full(len(n_masks), -1)
    turn[chosen] = np.arange(n_images)
    rank = _random_ranks(image, rng)
    places = np.flatnonzero((turn[image] >= 0) & (rank < masks_per_image))
    places = places[np.lexsort((rank[places], turn[image[places]]))]
    of_image = n_masks[image[places]]
    first = np.full(len(places), n_images / len(n_masks))
    return _draw(places, first * np.minimum(masks_per_image, of_image) / of_image, image=first)


def worst(risk: np.ndarray, size: int, rng: np.random.Generator) -> Draw:
    """The masks with the highest `risk` (N,), NaN last; the first in the frame among equals."""
    places = np.argsort(-np.nan_to_num(risk, nan=-np.inf), kind="stable")[:size]
    return _draw(rng.permutation(places), np.full(size, np.nan))


def diverse(vectors: np.ndarray, size: int, rng: np.random.Generator) -> Draw:
    """Farthest-first over directions of `vectors` (N, D): each mask is the one least like those before it.

    Raises InputError where the frame is larger than MOST_COMPARED and `size` too. Source: Gonzalez,
    Theoretical Computer Science 38 (1985).
    """
    among = np.arange(len(vectors))
    if len(vectors) > MOST_COMPARED:
        if size > MOST_COMPARED:
            raise InputError(f"--by diverse draws at most {MOST_COMPARED:,} masks; {size:,} were asked for")
        among = rng.choice(len(vectors), MOST_COMPARED, replace=False)
    units = vectors[among].astype(np.float32)
    units /= np.maximum(np.linalg.norm(units, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    picked = [int(rng.integers(len(units)))]
    nearest = units @ units[picked[0]]
    nearest[picked[0]] = np.inf
    while len(picked) < size:
        picked.append(int(np.argmin(nearest)))
        np.maximum(nearest, units @ units[picked[-1]], out=nearest)
        nearest[picked[-1]] = np.inf
    return _draw(rng.permutation(among[picked]), np.full(size, np.nan))


def allocate(n_masks: np.ndarray, size: int, allocation: str, spread: np.ndarray | None = None) -> np.ndarray:
    """How many masks of each stratum, int64 (H,), `size` in all: at least two (one where it has one), at most
    all.

    `spread` (H,), for neyman alone, is the standard deviation of what is to be estimated in each stratum.
    Raises InputError where the strata are too many for `size`, and for another allocation.
    """
    if allocation not in ALLOCATIONS:
        raise InputError(f"--allocation {allocation}: allowed are {', '.join(ALLOCATIONS)}")
    least = np.minimum(LEAST_OF_STRATUM, n_masks)
    if least.sum() > size:
        raise InputError(
            f"--size {size}: {len(n_masks)} strata need {least.sum()} masks, {LEAST_OF_STRATUM} each; draw more, or use fewer "
            "strata"
        )
    wanted = {"proportional": n_masks, "equal": np.ones(len(n_masks))}.get(allocation)
    if wanted is None:
        wanted = n_masks * spread
    return _shared_out(np.asarray(wanted, np.float64), least, n_masks, size)


def _shared_out(wanted: np.ndarray, least: np.ndarray, most: np.ndarray, size: int) -> np.ndarray:
    """Whole numbers nearest to a common multiple of `wanted`, between `least` and `most`, that add up to
    `size`.
    """
    wanted = np.maximum(wanted, wanted.max() * 1e-9 + 1e-300)
    low, high = 0.0, size / wanted.min() + 1
    for _ in range(200):  # the multiple, by bisection: the sum grows with it
        middle = (low + high) / 2
        if np.clip(middle * wanted, least, most).sum() < size:
            low = middle
        else:
            high = middle
    exact = np.clip(high * wanted, least, most)
    sizes = np.floor(exact).astype(np.int64)
    rest = np.argsort(sizes - exact, kind="stable")
    rest = rest[sizes[rest] < most[rest]][: max(0, size - int(sizes.sum()))]
    sizes[rest] += 1
    return sizes


def _random_ranks(group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random order inside each group: 0, 1, … of each, int64 (N,)."""
    shuffled = rng.permutation(len(group))
    by_group = shuffled[np.argsort(group[shuffled], kind="stable")]
    starts = np.cumsum(np.bincount(group)) - np.bincount(group)
    rank = np.empty(len(group), np.int64)
    rank[by_group] = np.arange(len(group)) - starts[group[by_group]]
    return rank


def _draw(
    places: np.ndarray,
    inclusion: np.ndarray,
    image: np.ndarray | None = None,
    single: np.ndarray | None = None,
    n_draws: np.ndarray | None = None,
) -> Draw:
    unknown = np.full(len(places), np.nan)
    return Draw(
        places=places,
        inclusion=inclusion,
        image=unknown if image is None else image,
        single=unknown if single is None else single,
        n_draws=np.ones(len(places), np.int32) if n_draws is None else n_draws.astype(np.int32),
    )
