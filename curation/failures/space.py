"""The space in which neighbours are looked for: principal axes of the embeddings, and measures on a robust scale.

Axes and scales come from a bounded sample of the discovery half. Embeddings are read and projected in pieces, so that a
million masks need the memory of their places only.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from curation.failures.attributes import LOGARITHMIC, SPACE
from curation.failures.rules import Values
from curation.lake import Lake
from curation.sampling import frame
from curation.sampling.frame import Frame
from curation.settings import FailureSettings

#: Masks that the axes are taken from, and those whose embeddings are held at once (256 float16 each: 50 MB).
MOST_FITTED, CHUNK_MASKS = 10_000, 100_000
#: Variance of all measures over that of the embedding: it leads, they help.
MEASURE_WEIGHT = 0.5
#: Values beyond so many robust standard deviations count as these: one odd mask must not stretch a scale.
MOST_DEVIATIONS = 3.0
#: The interquartile range of a normal distribution in standard deviations.
NORMAL_IQR = 1.349


@dataclass(frozen=True)
class Space:
    """Of N masks: `places` float32 (N, d) and `xy` float32 (N, 2), NaN where a mask has no embedding. `n_placed` masks
    have one.
    """

    places: np.ndarray
    xy: np.ndarray
    n_placed: int


@dataclass(frozen=True)
class _Axes:
    """Projects unit-length embeddings (n, D): minus `mean` (D,), times `axes` (D, k); places come over `scale`."""

    mean: np.ndarray
    axes: np.ndarray
    scale: float
    deviation: np.ndarray


def read(
    lake: Lake,
    found: Frame,
    values: Mapping[str, Values],
    in_first: np.ndarray,
    settings: FailureSettings,
    rng: np.random.Generator,
) -> Space | None:
    """Places of the masks of a frame; None where too few of the discovery half have an embedding to find axes."""
    first = np.flatnonzero(in_first)
    sample = np.sort(rng.choice(first, min(len(first), MOST_FITTED), replace=False))
    at, vectors = _embeddings(lake, found, sample)
    if len(at) < 2 * settings.least_masks:
        return None
    axes = _axes(vectors, settings.n_dims)
    measures = _measures(values, at, len(found))
    places = np.full((len(found), axes.axes.shape[1] + measures.shape[1]), np.nan, np.float32)
    xy = np.full((len(found), 2), np.nan, np.float32)
    for first_of in range(0, len(found), CHUNK_MASKS):
        chunk = np.arange(first_of, min(first_of + CHUNK_MASKS, len(found)))
        at, vectors = _embeddings(lake, found, chunk)
        if not len(at) or vectors.shape[1] != len(axes.mean):
            continue  # of another model: they have no place beside these
        projected = (vectors - axes.mean) @ axes.axes
        places[at] = np.concatenate([projected / axes.scale, measures[at]], axis=1)
        xy[at] = (projected / axes.deviation)[:, :2]
    return Space(places, xy, int(np.isfinite(places[:, 0]).sum()))


def centroids(
    lake: Lake, found: Frame, members: list[np.ndarray], most: int = 5_000
) -> list[np.ndarray | None]:
    """Mean of the unit-length embeddings of each group, float32 (D,), from at most `most` of its masks; None where
    none has one.
    """
    means = []
    for member in members:
        step = -(-len(member) // most)
        at, vectors = _embeddings(lake, found, member[:: max(step, 1)])
        means.append(vectors.mean(axis=0) if len(at) else None)
    return means


def _embeddings(lake: Lake, found: Frame, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places in the frame (n,), of those `at` that have an embedding, and these, float32 (n, D) of unit length."""
    part = Frame(found.mask_id[at], found.run_id[at], found.image_id[at], {})
    places, vectors = frame.embeddings(lake, part)
    units = vectors[: len(places)].astype(np.float32)
    units /= np.maximum(np.linalg.norm(units, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return at[places], units


def _axes(vectors: np.ndarray, n_dims: int) -> _Axes:
    mean = vectors.mean(axis=0)
    centred = vectors - mean
    variance, axes = np.linalg.eigh(centred.T @ centred / len(vectors))
    n_kept = min(n_dims, len(mean))
    variance, axes = np.maximum(variance[::-1][:n_kept], 0), axes[:, ::-1][:, :n_kept]
    # The sign of an axis is arbitrary; the largest part is made positive, so that a map does not flip.
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(n_kept)])
    tiny = np.finfo(np.float32).tiny
    scale = float(np.sqrt(max(variance.sum(), tiny)))
    return _Axes(mean, axes.astype(np.float32), scale, np.sqrt(np.maximum(variance, tiny)).astype(np.float32))


def _measures(values: Mapping[str, Values], sample: np.ndarray, n_masks: int) -> np.ndarray:
    """Measures of all masks on a robust scale, that of the `sample`, float32 (N, m); the median where not known."""
    columns = []
    for name in SPACE:
        column = values.get(name)
        if column is None or not np.isfinite(column[sample]).any():
            continue
        if name in LOGARITHMIC:
            with np.errstate(divide="ignore", invalid="ignore"):
                column = np.where(column > 0, np.log(column), np.nan)
        low, middle, high = np.nanquantile(column[sample], (0.25, 0.5, 0.75))
        if high > low:
            robust = (column - middle) / ((high - low) / NORMAL_IQR)
            columns.append(np.clip(np.nan_to_num(robust), -MOST_DEVIATIONS, MOST_DEVIATIONS))
    if not columns:
        return np.zeros((n_masks, 0), np.float32)
    return (np.stack(columns, axis=1) * np.sqrt(MEASURE_WEIGHT / len(columns))).astype(np.float32)
