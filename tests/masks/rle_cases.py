"""Masks of every awkward kind, and pycocotools' view of them."""

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from pycocotools import mask as coco
from scipy import ndimage

#: Compiling a kernel takes seconds at its first call, so no deadline.
quick = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
thorough = settings(quick, max_examples=300)

KINDS = ("empty", "full", "pixel", "column", "row", "columns", "frame", "checkers", "noise", "specks", "blob")


def draw_mask(kind: str, height: int, width: int, seed: int) -> np.ndarray:
    """One bool (H, W) mask."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), bool)
    x, y = int(rng.integers(width)), int(rng.integers(height))
    if kind == "full":
        mask[:] = True
    elif kind == "pixel":
        mask[y, x] = True
    elif kind == "column":
        mask[:, x] = True
    elif kind == "row":
        mask[y] = True
    elif kind == "columns":  # runs that span several columns and end at a column's foot or head
        mask[:, x:] = True
        mask[: y // 2, x] = False
    elif kind == "frame":
        mask[:] = True
        mask[1:-1, 1:-1] = False
    elif kind == "checkers":
        mask[:] = np.add.outer(np.arange(height), np.arange(width)) % 2 == seed % 2
    elif kind == "noise":
        mask[:] = rng.random(mask.shape) < rng.uniform(0.2, 0.8)
    elif kind == "specks":
        mask[:] = rng.random(mask.shape) < rng.choice([0.03, 0.97])
    elif kind == "blob":
        smooth = ndimage.gaussian_filter(rng.random(mask.shape), 1.5)
        mask[:] = smooth > np.quantile(smooth, rng.uniform(0.2, 0.9))
    return mask


@st.composite
def batches(draw, least: int = 0, most: int = 4, side: int = 24) -> np.ndarray:
    """bool (N, H, W) of one image size."""
    height, width = draw(st.integers(1, side)), draw(st.integers(1, side))
    kinds = draw(
        st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 2**32 - 1)), min_size=least, max_size=most)
    )
    masks = [draw_mask(kind, height, width, seed) for kind, seed in kinds]
    return np.array(masks, bool).reshape(-1, height, width)


@st.composite
def zero_ridden_runs(draw) -> tuple[int, int, list[int]]:
    """(height, width, runs): legal runs of one mask, zero-length ones among them."""
    runs = draw(st.lists(st.one_of(st.just(0), st.integers(0, 30)), min_size=1, max_size=20))
    height = draw(st.integers(1, 12))
    runs.append(-sum(runs) % height or (height if sum(runs) == 0 else 0))
    return height, sum(runs) // height, runs


def coco_rles(masks: np.ndarray) -> list[dict]:
    """pycocotools' own RLEs of bool (N, H, W)."""
    if len(masks) == 0:
        return []
    return coco.encode(np.asfortranarray(masks.transpose(1, 2, 0), np.uint8))


def coco_strings(masks: np.ndarray) -> list[str]:
    return [rle["counts"].decode() for rle in coco_rles(masks)]
