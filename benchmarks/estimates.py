"""How far estimates from samples are from the truth, and how often 95 % intervals hold it, design by design.

A frame is of images whose masks resemble each other: each image has its own share of good masks, by a beta
distribution, so that two masks of one image correlate by about ICC; images have unequal numbers of masks
(log-normal). Small masks are worse, and a score tells good from bad as well as a model's own does. The truth
is the share of good masks in the frame. Each line is 2,000 samples, drawn, judged and estimated by the code
that the commands run, from ten frames in turn: at a single truth the coverage of any interval of a count goes
up and down with the size (Brown, Cai and DasGupta, Statistical Science 16, 2001).

    python -m benchmarks.estimates [--replicates 2000]

- `bias`: mean error over its own Monte-Carlo standard error; between -3 and 3 it is none. `of error`: over
  the standard error of one estimate, of which a ratio's bias is a small part that vanishes with the size.
- `covers`: intervals that hold the truth, in percent; a * marks what is outside 93 to 97. `naive`: Wilson's
  interval over masks, weights and images ignored. `width`: mean width. `gain`: variance without the score
  over with it.

Ends with 1 where a line is not as it should be.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from curation.gold.intervals import wilson
from curation.sampling import designs
from curation.sampling.designs import Draw
from curation.sampling.estimators import Estimates, Score, estimate
from curation.sampling.response import Answers, Drawn, answers

LOWEST, HIGHEST = 0.93, 0.97
#: Monte-Carlo standard errors; and, for a ratio, the part of its standard error that a bias may be.
MOST_BIAS, MOST_RATIO_BIAS = 3.3, 0.1
SIZES = (150, 400)
N_FRAMES = 10


@dataclass(frozen=True)
class Population:
    """N masks: image and stratum by number, good or not, small or not, score 0..1, all (N,)."""

    image: np.ndarray
    stratum: np.ndarray
    is_good: np.ndarray
    is_small: np.ndarray
    score: np.ndarray

    @property
    def truth(self) -> float:
        return float(self.is_good.mean())

    @cached_property
    def n_of_image(self) -> np.ndarray:
        return np.bincount(self.image)

    @cached_property
    def n_of_stratum(self) -> np.ndarray:
        return np.bincount(self.stratum)

    @cached_property
    def images_of_stratum(self) -> np.ndarray:
        return np.array([len(np.unique(self.image[self.stratum == h])) for h in range(3)])


def population(n_images: int, share: float, correlation: float, seed: int) -> Population:
    """About 30 masks an image; strata are three bands of size, of which the small one has fewer good masks."""
    rng = np.random.default_rng(seed)
    n_masks = np.maximum(1, np.round(rng.lognormal(np.log(25), 0.6, n_images))).astype(int)
    image = np.repeat(np.arange(n_images), n_masks)
    concentration = 1 / correlation - 1
    of_image = rng.beta(share * concentration, (1 - share) * concentration, n_images)
    stratum = rng.choice(3, len(image), p=(0.25, 0.45, 0.3))
    odds = of_image[image] / np.maximum(1 - of_image[image], 1e-9) * np.array([0.5, 1.0, 2.0])[stratum]
    is_good = rng.random(len(image)) < odds / (1 + odds)
    score = np.clip(rng.normal(0.8 + 0.12 * is_good, 0.08), 0.05, 0.99)
    return Population(image, stratum, is_good, stratum == 0, score)


@dataclass(frozen=True)
class Case:
    """A design and an estimator: `draw` takes the frame, a size and a generator."""

    name: str
    design: str
    draw: Callable[[Population, int, np.random.Generator], Draw]
    is_total: bool = False
    with_score: bool = False
    answered: float = 1.0


def _stratified(allocation: str) -> Callable[[Population, int, np.random.Generator], Draw]:
    def draw(frame: Population, size: int, rng: np.random.Generator) -> Draw:
        share = np.bincount(frame.stratum, frame.is_good) / frame.n_of_stratum
        sizes = designs.allocate(frame.n_of_stratum, size, allocation, np.sqrt(share * (1 - share)))
        return designs.stratified(frame.stratum, sizes, rng)

    return draw


def _simple(frame: Population, size: int, rng: np.random.Generator) -> Draw:
    return designs.simple(len(frame.image), size, rng)


def _by_risk(frame: Population, size: int, rng: np.random.Generator) -> Draw:
    return designs.proportional_to_size(np.maximum(0.05, 1 - frame.score), size, rng)


def _two_stage(masks_per_image: int) -> Callable[[Population, int, np.random.Generator], Draw]:
    return lambda frame, size, rng: designs.two_stage(
        frame.image, min(-(-size // masks_per_image), int(frame.image.max()) + 1), masks_per_image, rng
    )


CASES = (
    Case("simple", "srs", _simple),
    Case("simple, 60 % judged", "srs", _simple, answered=0.6),
    Case("simple, with score", "srs", _simple, with_score=True),
    Case("stratified, proportional", "stratified", _stratified("proportional")),
    Case("stratified, equal", "stratified", _stratified("equal")),
    Case("stratified, Neyman", "stratified", _stratified("neyman")),
    Case("stratified, with score", "stratified", _stratified("equal"), with_score=True),
    Case("pps, Hansen-Hurwitz", "pps", _by_risk, is_total=True),
    Case("pps, Hájek", "pps", _by_risk),
    Case("pps, with score", "pps", _by_risk, with_score=True),
    Case("two stages of 5, H.-Thompson", "two_stage", _two_stage(5), is_total=True),
    Case("two stages of 5, Hájek", "two_stage", _two_stage(5)),
    Case("two stages of 2, Hájek", "two_stage", _two_stage(2)),
    Case("two stages of 5, 60 % judged", "two_stage", _two_stage(5), answered=0.6),
    Case("two stages of 5, with score", "two_stage", _two_stage(5), with_score=True),
)


def sampled(frame: Population, case: Case, size: int, rng: np.random.Generator) -> tuple[Answers, np.ndarray]:
    """The masks with an answer of one sample, which is as the table `samples` holds it, and the places of all
    in the frame.
    """
    draw = case.draw(frame, size, rng)
    at = draw.places
    if case.design == "stratified":
        stratum = frame.stratum[at]
        n_masks, n_images = frame.n_of_stratum[stratum], frame.images_of_stratum[stratum]
    else:
        stratum = np.zeros(len(at), np.int64)
        n_masks, n_images = np.full(len(at), len(frame.image)), np.full(len(at), len(frame.n_of_image))
    columns = {
        "stratum": stratum,
        "stratum_n_masks": n_masks,
        "stratum_n_images": n_images,
        "image_id": frame.image[at],
        "image_n_masks": frame.n_of_image[frame.image[at]],
        "inclusion_probability": draw.inclusion,
        "draw_probability": draw.single,
        "n_draws": draw.n_draws,
    }
    has_answer = np.zeros(len(at), bool)
    for is_small in (False, True):  # each in its order, as the queue has them
        of_size = np.flatnonzero(frame.is_small[at] == is_small)
        has_answer[of_size[: round(case.answered * len(of_size))]] = True
    return answers(Drawn(case.design, columns, frame.is_small[at]), has_answer), at


def replicate(
    frame: Population, case: Case, size: int, rng: np.random.Generator
) -> tuple[Estimates, np.ndarray]:
    """The estimate of the share of good masks from one sample, and which of those judged are good."""
    of, at = sampled(frame, case, size, rng)
    y = frame.is_good[at[of.place]]
    score = Score(frame.score[at[of.place]], np.array([frame.score.mean()])) if case.with_score else None
    return estimate(of, y[:, None], np.ones((len(y), 1)), score, case.is_total), y


@dataclass(frozen=True)
class Line:
    """What R samples of one design show."""

    bias: float
    bias_of_error: float
    covers: float
    covers_naive: float
    width: float
    gain: float


def simulate(frames: Sequence[Population], case: Case, size: int, n_replicates: int, seed: int) -> Line:
    """Samples from the frames in turn, each against the truth of its own."""
    rng = np.random.default_rng(seed)
    found, naive = [], []
    for number in range(n_replicates):
        frame = frames[number % len(frames)]
        one, is_good = replicate(frame, case, size, rng)
        found.append([frame.truth, one.estimate[0], one.low[0], one.high[0], one.gain[0]])
        low, high = wilson(np.array([is_good.mean()]), np.array([len(is_good)]), np.array([1.959964]))
        naive.append(low[0] <= frame.truth <= high[0])
    truth, share, low, high, gain = np.array(found).T
    error = share - truth
    return Line(
        bias=error.mean() / (error.std(ddof=1) / np.sqrt(n_replicates)),
        bias_of_error=error.mean() / error.std(ddof=1),
        covers=((low <= truth) & (truth <= high)).mean(),
        covers_naive=np.mean(naive),
        width=(high - low).mean(),
        gain=np.median(gain),
    )


def is_right(case: Case, line: Line) -> bool:
    is_ratio = (case.design in ("pps", "two_stage") and not case.is_total) or case.with_score
    is_unbiased = abs(line.bias) < MOST_BIAS or (is_ratio and abs(line.bias_of_error) < MOST_RATIO_BIAS)
    return is_unbiased and LOWEST <= line.covers <= HIGHEST


FRAMES = {
    "300 images, 94 % good, ICC 0.1": (300, 0.94, 0.1),
    "300 images, 75 % good, ICC 0.3": (300, 0.75, 0.3),
}


HEAD = f"{'design, estimator':32}{'masks':>6}{'bias':>7}{'of error':>10}{'covers':>9}{'naive':>8}{'width':>8}{'gain':>7}"


def _frames(number: int) -> list[Population]:
    shape = list(FRAMES.values())[number]
    return [population(*shape, seed=100 * number + k) for k in range(N_FRAMES)]


def _line(frame_number: int, n_replicates: int, number: int) -> Line:
    """One line of the table: a process works it out alone, because a case cannot be sent to it."""
    case, size = CASES[number // len(SIZES)], SIZES[number % len(SIZES)]
    return simulate(_frames(frame_number), case, size, n_replicates, seed=size)


def _told(case: Case, size: int, line: Line) -> str:
    mark = " " if LOWEST <= line.covers <= HIGHEST else "*"
    return (
        f"{case.name:32}{size:>6}{line.bias:>7.1f}{line.bias_of_error:>10.3f}{100 * line.covers:>8.1f}{mark}"
        f"{100 * line.covers_naive:>8.1f}{line.width:>8.3f}{line.gain:>7.2f}"
        + ("" if is_right(case, line) else "  wrong")
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=2000, help="samples a line")
    n_replicates = parser.parse_args().replicates
    n_wrong = 0
    with ProcessPoolExecutor() as pool:
        for number, name in enumerate(FRAMES):
            truths = [frame.truth for frame in _frames(number)]
            lines = [(case, size) for case in CASES for size in SIZES]
            found = pool.map(partial(_line, number, n_replicates), range(len(lines)))
            print(
                f"\n{name}: truth {min(truths):.3f} to {max(truths):.3f}; {n_replicates:,} samples a line\n"
            )
            print(HEAD)
            for (case, size), line in zip(lines, found, strict=True):
                n_wrong += not is_right(case, line)
                print(_told(case, size, line), flush=True)
    print(f"\n{n_wrong} lines are not as they should be")
    return int(n_wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
