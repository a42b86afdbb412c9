"""How often `curation route` keeps its promise, and how much it accepts of what could be accepted.

A population of images whose masks resemble each other: some images are harder than others, which the score sees in part
and in part not, and in a few of them every mask is bad without the score knowing. Images differ in their number of masks
(log-normal), and the larger ones are worse. The truth of every threshold is that of 20,000 such images. Each line is 500
sets of labels, drawn as people and gold come by them; on each, thresholds are chosen by the code that the command runs.

    python -m benchmarks.routing [--replicates 500]

- `kept`: sets after which at most the promised share of all accepted masks is bad, in percent; where nothing is accepted
  nothing is broken. The promise is 95.
- `promised`: sets on which anything is accepted, in percent. `accepted`: mean share of masks that is accepted, over that
  of an oracle who knows the truth of every threshold, in percent; sets that accept nothing count as 0.
- `more`: median of the reviews that are said to be missing, where nothing is accepted.
- `naive kept`: the same code, told that every mask is an image of its own.

Ends with 1 where the promise is kept in fewer than 95 % of the sets by more than chance allows (3 Monte-Carlo standard
errors), or where the naive one keeps it on all lines with whole images.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from curation.verifier import routing_bounds
from curation.verifier.routing_bounds import Labelled, Promise

CONFIDENCE = 0.95
N_IMAGES = 20_000
MEDIAN_MASKS, SPREAD, MOST_MASKS = 25, 0.6, 150


@dataclass(frozen=True)
class Population:
    """N masks image by image: `image`, `score`, `is_bad`, (N,) each; `first` (I + 1,): where each image begins.

    `falling` (N,) are the scores from the highest on, `truth` (N,) the share of bad masks among those up to there.
    """

    image: np.ndarray
    score: np.ndarray
    is_bad: np.ndarray
    first: np.ndarray
    falling: np.ndarray
    truth: np.ndarray

    def outcome(self, threshold: float | None) -> tuple[float, float]:
        """Share of masks that are accepted, and share of bad ones among them; 0 where none is."""
        if threshold is None:
            return 0.0, 0.0
        n = int(np.searchsorted(-self.falling, -threshold, side="right"))
        return n / len(self.score), float(self.truth[n - 1])

    def oracle(self, limit: float) -> float:
        """The largest share of masks that a threshold could accept."""
        places = np.flatnonzero(self.truth <= limit)
        return (places[-1] + 1) / len(self.score) if len(places) else 0.0


def population(seed: int, n_images: int, failed_images: float, hardness: float) -> Population:
    """`failed_images`: share of images of which every mask is bad; `hardness`: spread of what makes a whole image harder
    than the score sees, in logits. 0 and 0 leave masks independent.
    """
    rng = np.random.default_rng(seed)
    n_masks = np.round(rng.lognormal(np.log(MEDIAN_MASKS), SPREAD, n_images)).clip(1, MOST_MASKS).astype(int)
    image = np.repeat(np.arange(n_images), n_masks)
    hidden = hardness * (rng.normal(size=n_images) + 0.4 * np.log(n_masks / MEDIAN_MASKS))
    seen = rng.normal(size=len(image)) + 0.7 * rng.normal(size=n_images)[image]
    is_bad = rng.random(len(image)) < _chance(2.2 * seen - 4 + hidden[image])
    is_bad |= (rng.random(n_images) < failed_images)[image]
    score = _chance(4 - 2.2 * seen)
    order = np.argsort(-score, kind="stable")
    truth = np.cumsum(is_bad[order]) / np.arange(1, len(image) + 1)
    return Population(image, score, is_bad, np.append(0, np.cumsum(n_masks)), score[order], truth)


def _chance(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))


Draw = Callable[[Population, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def whole_images(n_images: int) -> Draw:
    """All masks of some images, as with gold."""

    def draw(of: Population, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        chosen = rng.choice(len(of.first) - 1, n_images, replace=False)
        places = np.concatenate([np.arange(of.first[i], of.first[i + 1]) for i in chosen])
        return places, np.ones(len(places))

    return draw


def two_stage(n_images: int, masks_per_image: int) -> Draw:
    """At most so many masks of each drawn image; a mask stands for those of its image."""

    def draw(of: Population, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        places, weights = [], []
        for i in rng.choice(len(of.first) - 1, n_images, replace=False):
            n = of.first[i + 1] - of.first[i]
            taken = of.first[i] + rng.permutation(n)[:masks_per_image]
            places.append(taken)
            weights.append(np.full(len(taken), n / len(taken)))
        weight = np.concatenate(weights)
        return np.concatenate(places), weight / weight.mean()

    return draw


def simple(size: int) -> Draw:
    return lambda of, rng: (rng.choice(len(of.score), size, replace=False), np.ones(size))


def stratified(size: int) -> Draw:
    """As many masks below the median score as above a high one and between, so that they stand for unequal numbers."""

    def draw(of: Population, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        stratum = np.digitize(of.score, [0.9, 0.98])
        places, weights = [], []
        for number in range(3):
            members = np.flatnonzero(stratum == number)
            places.append(rng.choice(members, size // 3, replace=False))
            weights.append(np.full(size // 3, len(members) / (size // 3)))
        weight = np.concatenate(weights)
        return np.concatenate(places), weight / weight.mean()

    return draw


@dataclass(frozen=True)
class Case:
    """Labels and a promise on a population; `is_frame`: 300 images are all there is, and the promise is for them."""

    name: str
    draw: Draw
    limit: float
    failed_images: float = 0.004
    hardness: float = 1.0
    is_exact: bool = False
    is_frame: bool = False
    with_naive: bool = False


CASES = (
    Case("whole images, 150", whole_images(150), 0.05, with_naive=True),
    Case("whole images, 400", whole_images(400), 0.02),
    Case("whole images, 400, no clusters", whole_images(400), 0.02, failed_images=0, hardness=0),
    Case("whole images, 150, 1.2 % fail", whole_images(150), 0.05, failed_images=0.012, with_naive=True),
    Case("whole images, 400, 1.2 % fail", whole_images(400), 0.02, failed_images=0.012, hardness=0.5),
    Case("whole images, 400, exact", whole_images(400), 0.10, is_exact=True),
    Case("two stages, 5 of 400 images", two_stage(400, 5), 0.02),
    Case("two stages, 5 of 400, 1.2 % fail", two_stage(400, 5), 0.05, failed_images=0.012),
    Case("simple, 1,500 masks", simple(1_500), 0.02),
    Case("stratified, 1,500 masks", stratified(1_500), 0.02),
    Case("simple, 1,500 of these masks", simple(1_500), 0.02, is_frame=True),
)


@dataclass(frozen=True)
class Line:
    """What R sets of labels show, shares 0..1."""

    n_masks: float
    kept: float
    promised: float
    accepted: float
    more: float


def labelled(of: Population, case: Case, rng: np.random.Generator) -> Labelled:
    places, weight = case.draw(of, rng)
    unit = np.arange(len(places)) if case.is_frame else np.unique(of.image[places], return_inverse=True)[1]
    return Labelled(of.score[places], of.is_bad[places], weight, unit)


def simulate(case: Case, n_replicates: int, seed: int, is_naive: bool = False) -> Line:
    rng = np.random.default_rng(seed)
    of = population(seed, 300 if case.is_frame else N_IMAGES, case.failed_images, case.hardness)
    promise, found, more, sizes = Promise(case.limit, CONFIDENCE, case.is_exact), [], [], []
    for number in range(n_replicates):
        if case.is_frame and number % 10 == 0:  # a single frame would be a single truth
            of = population([seed, number], 300, case.failed_images, case.hardness)
        labels = labelled(of, case, rng)
        if is_naive:
            labels = replace(labels, unit=np.arange(len(labels)))
        chosen = routing_bounds.choose(labels, promise)
        accepted, bad = of.outcome(chosen.threshold)
        found.append((bad <= case.limit, accepted > 0, accepted / max(of.oracle(case.limit), 1e-9)))
        more += [] if chosen.more_masks is None else [chosen.more_masks]
        sizes.append(len(labels))
    kept, promised, accepted = np.mean(found, axis=0)
    return Line(float(np.mean(sizes)), kept, promised, accepted, float(np.median(more)) if more else 0.0)


def is_kept(line: Line, n_replicates: int) -> bool:
    return line.kept >= CONFIDENCE - 3 * np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / n_replicates)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=500, help="sets of labels a line")
    n_replicates = parser.parse_args().replicates
    print(
        f"{'labels':34}{'masks':>7}{'limit':>7}{'kept':>8}{'promised':>10}{'accepted':>10}{'more':>9}{'naive kept':>12}"
    )
    started, n_wrong, naive_kept = time.perf_counter(), 0, []
    for case in CASES:
        line = simulate(case, n_replicates, seed=7)
        told = (
            f"{case.name:34}{line.n_masks:>7,.0f}{100 * case.limit:>6.0f}%{100 * line.kept:>8.1f}{100 * line.promised:>10.1f}"
            f"{100 * line.accepted:>10.1f}{line.more:>9,.0f}"
        )
        if case.with_naive:
            naive = simulate(case, n_replicates, seed=7, is_naive=True)
            naive_kept.append(is_kept(naive, n_replicates))
            told += f"{100 * naive.kept:>12.1f}"
        is_wrong = not is_kept(line, n_replicates)
        n_wrong += is_wrong
        print(told + ("  broken" if is_wrong else ""), flush=True)
    print(
        f"\n{n_replicates} sets a line, {time.perf_counter() - started:.0f} s; {n_wrong} lines break the promise"
    )
    return int(n_wrong > 0 or all(naive_kept))


if __name__ == "__main__":
    raise SystemExit(main())
