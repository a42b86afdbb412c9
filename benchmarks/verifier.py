"""How much better a verifier tells good masks from bad ones than single scores, on images that it never learned from.

    python -m benchmarks.verifier [WORKSPACE] [--run N] [--data-sets 200]

1. With a workspace whose masks have verdicts or gold: a verifier is fitted to them (nothing is written), also without some
   of its columns, and each is compared with predicted IoU alone and stability alone: ROC AUC on held-out images, and the
   paired difference with its 95 % interval over images.
2. How often the card's intervals hold the truth, on simulated masks that share an image's shift.
3. 1,000 bootstrap replicates of an AUC against scikit-learn's `roc_auc_score` called for each, on the same weights.

Ends with 1 where an interval of 2 holds the truth in fewer than 92 % of the data sets of 20 images or more, less three standard
errors, or where 3 gives another result.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
from sklearn.metrics import roc_auc_score

from curation.gold import intervals
from curation.lake import Lake
from curation.sampling.frame import Scope
from curation.verifier import crossfit, features, figures, learning, methods
from curation.verifier.features import EMBEDDING, GROUPS, Features

ALONE = ("predicted_iou", "stability_score")
#: What a verifier sees: all of it, and less.
SEEN = {
    "all columns": (*GROUPS, EMBEDDING),
    "without embedding": tuple(GROUPS),
    "scores and embedding": ("scores", EMBEDDING),
    "scores alone": ("scores",),
}
IMAGES, MASKS_PER_IMAGE = (10, 20, 60), 30
LEAST_IMAGES, LOWEST = 20, 0.92


def only(seen: Features, groups: tuple[str, ...]) -> Features:
    """The same masks, with nothing known but these groups of columns."""
    kept = {name for group in groups if group != EMBEDDING for name in GROUPS[group]}
    values = np.where([name in kept for name in seen.names], seen.values, np.nan).astype(np.float32)
    n_dims = seen.embedding.shape[1] if EMBEDDING in groups else 0
    return replace(seen, values=values, embedding=seen.embedding[:, :n_dims])


def compare(workspace: Path, run_id: int | None) -> None:
    with Lake.open(workspace, read_only=True) as lake:
        found = learning.labelled(lake, Scope(run_id))
        seen = features.read(lake, found.run_id, found.mask_id)
    n_images, n_bad = len(np.unique(found.image_id)), int((~found.is_good).sum())
    print(f"{workspace}: {len(seen):,} labelled masks of {n_images} images, {n_bad:,} bad; image as cluster")
    method = methods.get(methods.GRADIENT_BOOSTING)
    print(f"{'':24} {'ROC AUC':24} {'over predicted IoU':26} {'over stability':26} {'ECE':18} fit")
    for name, groups in SEEN.items():
        part, started = only(seen, groups), perf_counter()
        model = crossfit.fit(method, part, found.is_good, found.image_id, seed=0)
        took_s = perf_counter() - started
        score = model.score(part, found.image_id)
        ours = figures.auc(score, found.is_good)
        asked = {"auc": ours}
        for alone in ALONE:
            known = ~np.isnan(seen.column(alone))
            if known.all():
                theirs = figures.auc(seen.column(alone).astype(np.float64), found.is_good)
                asked |= {alone: theirs, f"over {alone}": figures.difference(ours, theirs)}
        told = figures.estimates(asked, found.image_id)
        error = figures.calibration_error(score, found.is_good, found.image_id)
        gains = " ".join(f"{_told(told.get(f'over {alone}')):26}" for alone in ALONE)
        print(
            f"{name:24} {_told(told['auc']):24} {gains} {error.ece.estimate:.3f} ({error.by_chance:.3f})   {took_s:.0f} s"
        )
    for alone in ALONE:
        print(f"{alone + ' alone':24} {_told(told.get(alone))}")
    print("ECE in brackets: what chance alone would show.\n")


def coverage(n_sets: int) -> bool:
    """Print how often intervals hold the truth; whether they do it often enough."""
    rng = np.random.default_rng(0)
    truth = {
        name: value.estimate for name, value in _figures(*simulated(20_000, rng), n_replicates=1).items()
    }
    print(
        f"Intervals over {n_sets} data sets of {MASKS_PER_IMAGE} masks an image: share that holds the truth"
    )
    print(f"{'images':>8} " + " ".join(f"{name:>28}" for name in truth))
    allowed, all_hold = LOWEST - 3 * np.sqrt(LOWEST * (1 - LOWEST) / n_sets), True
    for n_images in IMAGES:
        n_held = dict.fromkeys(truth, 0)
        for _ in range(n_sets):
            for name, told in _figures(*simulated(n_images, rng), n_replicates=400).items():
                n_held[name] += told.low <= truth[name] <= told.high
        shares = {name: n / n_sets for name, n in n_held.items()}
        print(f"{n_images:>8} " + " ".join(f"{share:>28.3f}" for share in shares.values()))
        all_hold &= n_images < LEAST_IMAGES or min(shares.values()) >= allowed
    return all_hold


def simulated(n_images: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """A better and a worse score, labels, and images whose masks share a shift."""
    image_id = np.repeat(np.arange(n_images), np.maximum(2, rng.poisson(MASKS_PER_IMAGE, n_images)))
    quality = 0.5 + 0.6 * rng.normal(size=n_images)[image_id] + 1.2 * rng.normal(size=len(image_id))
    is_good = rng.random(len(image_id)) < 1 / (1 + np.exp(-1.5 * quality))
    better, worse = (quality + noise * rng.normal(size=len(image_id)) for noise in (0.8, 1.5))
    return better, worse, is_good, image_id


def speed() -> bool:
    rng = np.random.default_rng(0)
    score, image_id = rng.random(5_000), np.repeat(np.arange(100), 50)
    is_good = rng.random(5_000) < score
    drawn = np.concatenate(list(intervals.weights(100, 1_000, 0)))[:, image_id]
    figure = figures.auc(score, is_good)
    started = perf_counter()
    ours = np.concatenate([figure(drawn[k : k + 100]) for k in range(0, 1_000, 100)])
    ours_s = perf_counter() - started
    started = perf_counter()
    theirs = np.array([roc_auc_score(is_good, score, sample_weight=w) for w in drawn])
    theirs_s = perf_counter() - started
    print(
        f"\n1,000 replicates, 5,000 masks: {ours_s:.2f} s; scikit-learn {theirs_s:.2f} s; {theirs_s / ours_s:.1f} times as fast"
    )
    return bool(np.allclose(ours, theirs, atol=1e-9))


def _figures(better, worse, is_good, image_id, n_replicates: int) -> dict[str, figures.Estimate]:
    ours = figures.auc(better, is_good)
    asked = {
        "ROC AUC": ours,
        "difference of two": figures.difference(ours, figures.auc(worse, is_good)),
        "average precision, bad": figures.average_precision(-better, ~is_good),
    }
    return figures.estimates(asked, image_id, n_replicates)


def _told(estimate: figures.Estimate | None) -> str:
    if estimate is None or estimate.estimate is None:
        return "–"
    return f"{estimate.estimate:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path, nargs="?")
    parser.add_argument("--run", type=int)
    parser.add_argument("--data-sets", type=int, default=200)
    given = parser.parse_args()
    if given.workspace is not None:
        compare(given.workspace, given.run)
    is_held = coverage(given.data_sets)
    is_equal = speed()
    return 0 if is_held and is_equal else 1


if __name__ == "__main__":
    sys.exit(main())
