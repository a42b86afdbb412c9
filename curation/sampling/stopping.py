"""When enough masks are judged: an interval that stays valid however often one looks.

An ordinary 95 % interval holds at one moment that was fixed before. Who looks after each verdict and stops
when it is narrow stops too early. A confidence sequence holds at all moments at once, with a chance of 95 %.

**Betting** (Waudby-Smith and Ramdas, JRSS B 86, 2024): whoever bets on each unit that the share is above θ,
at fair odds if it is θ, wins 1 / α times his stake with a chance of at most α, ever (Ville). So a θ that made
him so rich is refuted. The bet here is on y − θ x of each unit, 0 <= y <= x, which is 0 on average where θ is
the ratio of totals; x is the number of masks that the unit stands for. Stakes are fixed parts of what one
has, mixed over a grid, half for each side: so the order of the units does not matter, and a verdict that
comes late or is changed spoils nothing.

The unit is what the design draws: a mask, a draw (pps), an image of two stages once all its drawn masks are
judged. Draws without replacement are taken as if with it, which errs on the safe side; what has not been seen
bounds the share too.
"""

from dataclasses import dataclass

import numpy as np

from curation.errors import InputError
from curation.lake import Lake
from curation.sampling import judged, response
from curation.sampling.judged import Figure, Judged
from curation.sampling.response import Answers

ALPHA = 0.05
#: Stakes as parts of the largest that cannot be lost: whole, and halves of halves. The whole alone refutes
#: quickest where no unit is bad; the small ones serve thousands of units.
_STAKES = 0.999 * 2.0 ** -np.arange(0, 9, 0.5)
#: θ is found to within this by bisection.
_STEPS = 40


@dataclass(frozen=True)
class Enough:
    """Whether to stop. `low` and `high` hold the share at all looks with 95 %; `n_units` were looked at.

    `needed` is in words what is still missing, or what was reached.
    """

    is_enough: bool
    share: float
    low: float
    high: float
    n_units: int
    needed: str


def sequence(y: np.ndarray, x: np.ndarray, most_x: float, alpha: float = ALPHA) -> tuple[float, float]:
    """Bounds of Σ y / Σ x over all units, from those seen: y and x (n,), 0 <= y <= x <= `most_x`; 0..1 before
    any.

    `most_x` must be known before: the most that any unit could stand for.
    """
    pairs, counts = np.unique(np.stack([y, x], axis=1) / most_x, axis=0, return_counts=True)
    y, x = pairs[:, 0], pairs[:, 1]
    low = _refuted_below(y, x, counts, alpha / 2)
    high = 1 - _refuted_below(x - y, x, counts, alpha / 2)
    return low, high


def enough(
    lake: Lake,
    name: str,
    figure: str = "accept",
    half_width: float | None = None,
    below: float | None = None,
    above: float | None = None,
) -> Enough:
    """Whether a sample is judged enough to know a figure to ± `half_width`, or that it is `below` or `above`
    a share.

    With `below` (`above`), enough is to know either that it is, or that it is not. Looks may be as many as
    one likes. Raises InputError for no such sample or figure, for one drawn on purpose, and for no goal or
    two.
    """
    goals = [goal for goal in (half_width, below, above) if goal is not None]
    if len(goals) != 1 or not 0 < goals[0] < 1:
        raise InputError("say one of half_width, below and above, between 0 and 1")
    chosen = {f.name: f for f in judged.figures()}
    if figure not in chosen:
        raise InputError(f"no figure {figure!r}; there are: {', '.join(chosen)}")
    if chosen[figure].needs_correction:
        raise InputError(
            f"figure {figure!r} changes as masks are redrawn, so its interval cannot be looked at over and over; use accept"
        )
    of = judged.read(lake, name)
    share, low, high, n_units = _bounds(of, chosen[figure])
    if half_width is not None:
        is_enough = (high - low) / 2 <= half_width
        needed = f"± {(high - low) / 2:.3f} of ± {half_width:g} wanted"
    else:
        limit = below if below is not None else above
        is_enough = high < limit or low > limit
        side = "below" if high < limit else "above" if low > limit else "not yet known to be below or above"
        needed = f"{figure} is {side} {limit:g}"
    return Enough(is_enough, share, low, high, n_units, needed)


def _bounds(of: Judged, figure: Figure) -> tuple[float, float, float, int]:
    """Share, bounds and units of a figure; NaN and 0..1 before the first."""
    answers = response.answers(of.drawn, of.is_settled)
    if not len(answers.place):
        return float("nan"), 0.0, 1.0, 0
    y = judged.values(of, answers.place, answers.weight, (figure,))[0][:, 0]
    share = float(answers.weight @ y / answers.weight.sum())
    units_y, units_x, most_x = _units(of, answers, y)
    low, high = sequence(units_y, units_x, most_x)
    if of.drawn.design != "pps":  # masks that nobody has judged could all be of the kind, or none
        n_yes, n_no = y.sum(), len(y) - y.sum()
        low, high = max(low, n_yes / answers.n_frame), min(high, 1 - n_no / answers.n_frame)
    return share, float(low), float(high), len(units_x)


def _units(of: Judged, answers: Answers, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """y and x of each unit that is judged, and the largest x of the sample.

    Weights are those of the draw, not of the answers: they do not change from look to look.
    """
    columns, place = of.drawn.columns, answers.place
    if of.drawn.design == "two_stage":
        size = columns["image_n_masks"].astype(np.float64)
        is_done = ~np.isin(columns["image_id"], columns["image_id"][of.state == "pending"])[place]
        _, first, image = np.unique(answers.image[is_done], return_index=True, return_inverse=True)
        x = size[place[is_done]][first]
        return (
            x * np.bincount(image, y[is_done], len(x)) / np.bincount(image, minlength=len(x)),
            x,
            size.max(),
        )
    if of.drawn.design == "pps":
        x = 1 / columns["draw_probability"]
        draw = np.repeat(np.arange(len(place)), columns["n_draws"][place])
        return (y * x[place])[draw], x[place][draw], x.max()
    x = 1 / columns["inclusion_probability"]
    return y * x[place], x[place], x.max()


def _refuted_below(y: np.ndarray, x: np.ndarray, counts: np.ndarray, alpha: float) -> float:
    """The largest θ such that all shares up to it are refuted at `alpha`: wealth from betting on y / θ − x
    falls with θ.
    """
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        theta = (low + high) / 2
        wealth = np.log1p(_STAKES[:, None] * (y / theta - x)) @ counts
        if np.logaddexp.reduce(wealth) - np.log(len(_STAKES)) >= -np.log(alpha):
            low = theta
        else:
            high = theta
    return low
