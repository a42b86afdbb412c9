"""Thresholds that keep a promise about a share: at most so many bad masks among those on their good side.

Masks of one image resemble each other, so the unit is the image, or whatever else was drawn as one. Of unit i, labelled
masks of weight A_i lie on the good side, of which X_i, 0..1, are bad. Two bounds of Σ A_i X_i / Σ A_i:

- **Clustered**: Clopper and Pearson's bound at the effective number of masks, which the linearised variance of the ratio
  over units gives (Korn and Graubard, Survey Methodology 24, 1998), with Student's t over units. Few images cannot show
  that no image fails as a whole, so one more that did is taken as seen (as in conformal risk control: Angelopoulos et al.,
  ICLR 2024), of the size that the image of a random mask has. `benchmarks/routing.py` shows by simulation that the
  promise is kept.
- **Exact**: holds whatever happens inside images, at any number of them, given their sizes and scores, and needs many:
  images of which all masks may be bad cannot tell more. Units bet against Σ A_i E[X_i] >= limit Σ A_i. Unit i multiplies
  the wealth by (1 - b_i X_i) / (1 - b_i m_i), where the m_i, with Σ A_i m_i = limit Σ A_i, are the shares under which the
  mean wealth is largest: the level c fills the units like water, m_i = min(1, (A_i - c)+ / (b A_i)), b_i =
  b min(1, A_i / c), and b is the stake. log Π (1 - b_i E[X_i]) is concave in the E[X_i], and these m_i meet the
  conditions of its maximum under the hypothesis (Karush, Kuhn and Tucker). So the mean wealth is at most 1, and a wealth
  of 1 / level comes with a chance of at most `level` (Markov). With units of one size it is the bet on a bounded mean of
  Waudby-Smith and Ramdas (JRSS B 86, 2024); there, the largest unit limits the stake of all.

Where each unit is one mask and all count alike, both are the binomial bound of Clopper and Pearson, which is exact (for
masks that differ: Hoeffding, Annals of Mathematical Statistics 27, 1956).

**Which threshold.** Learn then test (Angelopoulos, Bates, Candès, Jordan and Lei, Annals of Applied Statistics 19,
2025): thresholds are tested from the strictest on, and of those that hold the one that lets most masks through is
taken. The chance that any holds wrongly is at most 1 - confidence over all of them (fallback procedure, Wiens,
Pharmaceutical Statistics 2, 2003: some thresholds bring a part of that chance; where one holds, its part is passed on
to the next).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from scipy import special, stats

#: Thresholds that are tried: more cost time and hardly let more masks through.
MOST_THRESHOLDS = 50
#: What is bad of the image that nobody has seen. Chosen by benchmarks/routing.py: with 1, 400 images promise nothing at
#: 2 %; without it the promise is broken where one image in a hundred fails as a whole.
UNSEEN_BAD_SHARE = 0.75
#: Exact bound: stakes as parts of the largest, and how the first wealth is laid on them. One whole is for where nothing
#: is bad; with a bad share of r the best is 1 - r / limit.
STAKES = np.array([1.0, 0.85, 0.7, 0.5, 0.35, 0.2])
_LAID = np.log(np.array([4, 2, 2, 2, 1, 1]) / 12)
#: A threshold brings a part of the chance to err where the bound, were no mask bad, would be the limit over this. A few
#: bad masks spoil the first, so there are more; each has a smaller part. Few images bear no more than two.
_FEW_STARTS, _STARTS = (1.0, 1.5), (1.2, 2.0, 4.0)
_STEPS = 50
#: More masks than this times those there are is no plan.
_MOST_MORE = 1_000.0


@dataclass(frozen=True)
class Promise:
    """At most `limit` of the masks are bad, with a chance of `confidence`; both between 0 and 1."""

    limit: float
    confidence: float
    is_exact: bool = False


@dataclass(frozen=True)
class Labelled:
    """n labelled masks: `score`, whether `is_bad`, `weight` > 0 (1 on average) and the `unit` 0..U-1, (n,) each."""

    score: np.ndarray
    is_bad: np.ndarray
    weight: np.ndarray
    unit: np.ndarray

    def __len__(self) -> int:
        return len(self.score)

    @property
    def n_units(self) -> int:
        return int(self.unit.max(initial=-1)) + 1

    def mirrored(self) -> "Labelled":
        """The same masks seen from the other end: low scores first, and the good ones are the bad ones."""
        return Labelled(-self.score, ~self.is_bad, self.weight, self.unit)


@dataclass(frozen=True)
class Chosen:
    """The lowest score of the good side, `threshold`; None where nothing can be promised.

    `passed` are all thresholds that hold, from the strictest on: each may be used, they hold together. `bad_share` is
    that of the labelled masks on the good side, `bound` its upper bound, `n_masks` their number. `more_masks`: about so
    many more labelled ones, drawn as these, are needed; None where it is promised, and where no number would do because
    even the best scores are no better than the limit.
    """

    threshold: float | None
    passed: tuple[float, ...]
    bad_share: float | None
    bound: float | None
    n_masks: int
    more_masks: int | None


@dataclass(frozen=True)
class Units:
    """U units: `size` > 0 and bad `share` 0..1, (U,) each; they hold `n_masks` masks. `is_plain`: one each, all alike."""

    size: np.ndarray
    share: np.ndarray
    n_masks: int
    is_plain: bool

    @property
    def bad_share(self) -> float:
        return float(self.size @ self.share / self.size.sum())

    def all_good(self) -> "Units":
        return replace(self, share=np.zeros(len(self.size)))


def choose(labelled: Labelled, promise: Promise) -> Chosen:
    """The lowest threshold from which on the promise holds; without labels, what they would take at the least."""
    if not len(labelled):
        return Chosen(None, (), None, None, 0, least_masks(promise))
    tried = list(_tried(labelled, promise))
    passed = [one for one in tried if one.holds]
    if not passed:
        return Chosen(None, (), None, None, 0, _more(len(labelled), tried, promise))
    last = passed[-1]
    bound = min(promise.limit, upper_bound(last.units, last.level, promise.is_exact))
    thresholds = tuple(one.threshold for one in passed)
    return Chosen(last.threshold, thresholds, last.units.bad_share, bound, last.units.n_masks, None)


def at_threshold(labelled: Labelled, threshold: float, promise: Promise) -> tuple[float | None, float, int]:
    """Bad share of the masks from a threshold on that was set before, its upper bound, and the labelled masks there."""
    units = units_from(labelled, threshold)
    if not units.n_masks:
        return None, 1.0, 0
    return units.bad_share, upper_bound(units, 1 - promise.confidence, promise.is_exact), units.n_masks


def least_masks(promise: Promise) -> int:
    """Labelled masks on the good side, none of them bad and each of an image of its own, that the promise takes."""
    return math.ceil(math.log(1 - promise.confidence) / math.log1p(-promise.limit))


def units_from(labelled: Labelled, threshold: float) -> Units:
    """The units with a mask from the threshold on."""
    is_in = labelled.score >= threshold
    weight = labelled.weight[is_in]
    return _grouped(labelled.unit[is_in], weight, weight * labelled.is_bad[is_in], labelled.n_units)


def upper_bound(units: Units, level: float, is_exact: bool) -> float:
    """The largest bad share that is not refuted at `level`."""
    if units.is_plain:
        return _clopper_pearson(units.share.sum(), len(units.size), level)
    if not is_exact:
        return _clustered(units, level)
    low, high = units.bad_share, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if evidence(units, middle) >= -math.log(level):
            high = middle
        else:
            low = middle
    return high


def evidence(units: Units, limit: float) -> float:
    """Evidence against a bad share of `limit` or more: e to the power of minus this is an exact p-value."""
    if units.is_plain:
        return -float(stats.binom.logcdf(round(units.share.sum()), len(units.size), limit))
    return float(np.logaddexp.reduce(_LAID + log_wealth(units.size, units.share, limit, STAKES)))


@njit(cache=True, nogil=True)
def log_wealth(size, share, limit, stakes):
    """Logarithm of the wealth of each stake, (K,), by units of `size` > 0 and bad `share` 0..1, (U,) each."""
    most, total = 0.0, 0.0
    for a in size:
        most = max(most, a)
        total += a
    result = np.empty(len(stakes))
    for k in range(len(stakes)):
        stake = stakes[k]
        low, high = 0.0, most  # of the water's level c; `high` errs on the safe side
        for _ in range(60):
            c = (low + high) / 2
            mass = 0.0
            for a in size:
                if a > c:
                    mass += min(a, (a - c) / stake)
            if mass > limit * total:
                low = c
            else:
                high = c
            if high - low < 1e-12 * most:
                break
        wealth = 0.0
        for i in range(len(size)):
            a, bet = size[i], stake
            if a > high:
                wealth -= math.log(max(high / a, 1 - stake))
            else:
                bet = stake * a / high
            if share[i] > 0:
                left = 1 - bet * share[i]
                wealth += math.log(left) if left > 0 else -np.inf
        result[k] = wealth
    return result


def _grouped(unit: np.ndarray, weight: np.ndarray, bad_weight: np.ndarray, n_units: int) -> Units:
    size, bad = np.bincount(unit, weight, n_units), np.bincount(unit, bad_weight, n_units)
    there = size > 0
    size, bad = size[there], bad[there]
    is_alike = len(size) > 0 and np.ptp(size) <= 1e-9 * size.max()
    return Units(size, np.minimum(1.0, bad / size), len(unit), bool(is_alike and len(unit) == len(size)))


def _clopper_pearson(n_bad: float, n: float, level: float) -> float:
    """Upper bound of a share at one side."""
    return 1.0 if n_bad >= n else float(special.betaincinv(n_bad + 1, n - n_bad, 1 - level))


def _clustered(units: Units, level: float, times: float = 1.0) -> float:
    """The bound that clusters units, were there `times` as many of them, alike."""
    a, y = units.size, units.size * units.share
    unseen = float(a @ a / a.sum())  # size of the image of a random mask
    bad = UNSEEN_BAD_SHARE * unseen
    n = times * len(a) + 1
    x, y_sum = times * a.sum() + unseen, times * y.sum() + bad
    xx, xy, yy = times * (a @ a) + unseen**2, times * (a @ y) + unseen * bad, times * (y @ y) + bad**2
    share = y_sum / x
    variance = n / (n - 1) * (yy - 2 * share * xy + share**2 * xx) / x**2
    effective_n = min(share * (1 - share) / variance, times * units.n_masks)
    effective_n *= (special.ndtri(1 - level) / special.stdtrit(n - 1, 1 - level)) ** 2
    return _clopper_pearson(effective_n * share, effective_n, level)


def _holds(units: Units, limit: float, level: float, is_exact: bool) -> bool:
    """Whether a bad share over the limit is refuted at `level`."""
    if is_exact or units.is_plain:
        return evidence(units, limit) >= -math.log(level)
    return _clustered(units, level) <= limit


@dataclass(frozen=True)
class _Tried:
    """A threshold, its units, the part of the chance to err that it brings or was passed on, and whether it holds."""

    threshold: float
    units: Units
    level: float
    holds: bool


def _tried(labelled: Labelled, promise: Promise) -> Iterator[_Tried]:
    """Thresholds from the strictest on. Where the chance comes in depends on sizes and scores, never on labels."""
    grid = _grid(labelled)
    starts = _starts([units.all_good() for _, units in grid], promise)
    carried = 0.0
    for place, (threshold, units) in enumerate(grid):
        level = carried + (1 - promise.confidence) * starts.count(place) / max(1, len(starts))
        holds = level > 0 and _holds(units, promise.limit, level, promise.is_exact)
        carried = level if holds else 0.0
        yield _Tried(threshold, units, level, holds)


def _starts(good: list[Units], promise: Promise) -> list[int]:
    """Places of the first thresholds of which the bound, were all masks good, is so far below the limit."""

    def first(ease: float, level: float) -> int | None:
        limit, is_exact = promise.limit / ease, promise.is_exact
        return next((k for k, units in enumerate(good) if _holds(units, limit, level, is_exact)), None)

    eases = _FEW_STARTS
    if first(_STARTS[-1], (1 - promise.confidence) / len(_STARTS)) is not None:
        eases = _STARTS
    places = (first(ease, (1 - promise.confidence) / len(eases)) for ease in eases)
    return [place for place in places if place is not None]


def _grid(labelled: Labelled) -> list[tuple[float, Units]]:
    """Scores that split the masks into parts of equal weight, from the highest on, each different score once; and the
    units from there on.
    """
    order = np.argsort(-labelled.score, kind="stable")
    score, weight, unit = labelled.score[order], labelled.weight[order], labelled.unit[order]
    bad, passed = weight * labelled.is_bad[order], np.cumsum(weight)
    places = np.searchsorted(passed, passed[-1] * np.arange(1, MOST_THRESHOLDS + 1) / MOST_THRESHOLDS)
    thresholds = np.unique(score[np.minimum(places, len(score) - 1)])[::-1]
    ends = np.searchsorted(-score, -thresholds, side="right")
    return [
        (float(threshold), _grouped(unit[:end], weight[:end], bad[:end], labelled.n_units))
        for threshold, end in zip(thresholds, ends, strict=True)
    ]


def _more(n_labelled: int, tried: list[_Tried], promise: Promise) -> int | None:
    """So many more masks, drawn as these, let the threshold hold that needs fewest; where the labels would do for one
    that was not tested, a tenth more.
    """
    level = (1 - promise.confidence) / len(_STARTS)
    times = min((_times(one.units, promise, level) for one in tried), default=math.inf)
    return math.ceil(n_labelled * max(0.1, times - 1)) if times <= _MOST_MORE else None


def _times(units: Units, promise: Promise, level: float) -> float:
    """How many times as many units, alike, would let the promise hold; infinite where no number does.

    Half a bad unit is added, so that luck with few does not count as knowledge.
    """
    size, share = np.append(units.size, units.size.mean()), np.append(units.share, 0.5)
    if promise.is_exact or units.is_plain:
        gained = float(log_wealth(size, share, promise.limit, STAKES).max())
        return -math.log(level) / gained if gained > 0 else math.inf
    more = Units(size, share, units.n_masks + 1, False)
    if _clustered(more, level, _MOST_MORE) > promise.limit:
        return math.inf
    low, high = 0.0, math.log(_MOST_MORE)
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (
            (low, middle) if _clustered(more, level, math.exp(middle)) <= promise.limit else (middle, high)
        )
    return math.exp(high)
