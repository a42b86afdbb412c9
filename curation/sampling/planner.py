"""How many masks to judge: for a wanted half-width, for a bound on a defect rate, and for accepting or
refusing a lot.

All counts are of masks that are judged and answered. A design effect multiplies them: two-stage draws several
masks of one image, which tell less than as many of different images.
"""

from dataclasses import dataclass
from math import ceil, log, log1p, sqrt

import numpy as np
import pyarrow as pa
from scipy import special

from curation.errors import InputError
from curation.lake import Lake
from curation.settings import GOLD

CONFIDENCE = 0.95
#: Chances to refuse a lot at its acceptable rate and to accept one at its limit: the usual ones of ISO 2859
#: and of Dodge and Romig.
PRODUCERS_RISK, CONSUMERS_RISK = 0.05, 0.10
#: Nobody judges more masks for one lot: rates that need more are too near each other.
MOST_MASKS = 50_000
_OC_POINTS = 101


@dataclass(frozen=True)
class Reviews:
    """`n_masks` to judge, for what, and how it was counted. `n_images` where the design is two-stage."""

    n_masks: int
    goal: str
    design_effect: float
    n_images: int | None = None


@dataclass(frozen=True)
class SoFar:
    """What is known before: the share accepted, how alike masks of one image are (intraclass correlation),
    and from what.

    `correlation` is None where no image has two judged masks. `n_masks`, `n_images`: judged.
    """

    share: float
    correlation: float | None
    n_masks: int
    n_images: int
    source: str


@dataclass(frozen=True)
class Acceptance:
    """Judge n masks, accept the lot when at most c are bad. The risks are those that the whole numbers leave."""

    n_masks: int
    most_bad: int
    acceptable: float
    limit: float
    producers_risk: float
    consumers_risk: float

    def curve(self) -> pa.Table:
        """The operating characteristic: defect_rate (0 to twice the limit) and chance to accept, a row a
        rate.
        """
        rates = np.linspace(0, min(1, 2 * self.limit), _OC_POINTS)
        return pa.table({"defect_rate": rates, "accepted": special.bdtr(self.most_bad, self.n_masks, rates)})


def for_half_width(
    half_width: float,
    share: float = 0.5,
    design_effect: float = 1.0,
    n_frame: int | None = None,
    masks_per_image: int | None = None,
) -> Reviews:
    """Masks for a 95 % interval of ± `half_width` around about `share`; all of the frame at most.

    n = z² p (1 − p) / h² × design effect, and n / (1 + n / N) of N (Cochran 4.4). Raises InputError for what
    is not in 0..1.
    """
    _check_between("--half-width", half_width, 0, 0.5)
    _check_between("--share", share, 0, 1)
    z = special.ndtri(0.5 + CONFIDENCE / 2)
    n = z**2 * share * (1 - share) / half_width**2 * design_effect
    if n_frame is not None:
        n = n / (1 + n / n_frame)
    goal = f"a 95 % interval of ± {half_width:g} around a share of about {share:.3g}"
    return _reviews(n, goal, design_effect, masks_per_image)


def for_bound(
    rate: float,
    n_bad: int = 0,
    confidence: float = CONFIDENCE,
    design_effect: float = 1.0,
    masks_per_image: int | None = None,
) -> Reviews:
    """Masks of which `n_bad` may be bad, and the defect rate is under `rate` with `confidence`; exact
    (Clopper and Pearson).

    Without a bad one: 299 for 1 %, 598 for 0.5 %, 2,995 for 0.1 % at 95 %.
    """
    _check_between("--bound", rate, 0, 1)
    _check_between("--confidence", confidence, 0.5, 1)
    if n_bad < 0:
        raise InputError(f"--bad {n_bad}: it must be 0 or more")
    n = (
        ceil(log(1 - confidence) / log1p(-rate) - 1e-9)
        if n_bad == 0
        else _least_for(n_bad, rate, 1 - confidence)
    )
    clean = "all of them good" if n_bad == 0 else f"at most {n_bad} of them bad"
    goal = f"a defect rate under {100 * rate:g} % at {100 * confidence:g} %, {clean}"
    return _reviews(n * design_effect, goal, design_effect, masks_per_image)


def acceptance(
    acceptable: float,
    limit: float,
    producers_risk: float = PRODUCERS_RISK,
    consumers_risk: float = CONSUMERS_RISK,
) -> Acceptance:
    """The smallest single plan (n, c): lots at the `acceptable` rate pass, at the `limit` fail, but for the
    risks.

    For each c the least n that holds the consumer's risk, until the producer's holds too (Guenther, Journal
    of Quality Technology 1, 1969). Binomial: masks are few of a large lot. Raises InputError for rates that
    are not 0 < acceptable < limit < 1.
    """
    _check_between("--acceptable", acceptable, 0, 1)
    _check_between("--limit", limit, acceptable, 1)
    for option, risk in (("--producers-risk", producers_risk), ("--consumers-risk", consumers_risk)):
        _check_between(option, risk, 0, 0.5)
    about = _about(acceptable, limit, producers_risk, consumers_risk)
    if about > MOST_MASKS:
        raise InputError(
            f"--acceptable {acceptable:g} and --limit {limit:g} are so near that about {about:,.0f} masks would be needed, of "
            f"{MOST_MASKS:,} at most: set them further apart"
        )
    middle = about * (acceptable + limit) / 2
    most_bad = max(0, int(middle - 6 * sqrt(middle) - 6))
    while True:
        n = _least_for(most_bad, limit, consumers_risk)
        refused = float(special.bdtrc(most_bad, n, acceptable))
        if refused <= producers_risk:
            accepted = float(special.bdtr(most_bad, n, limit))
            return Acceptance(n, most_bad, acceptable, limit, refused, accepted)
        most_bad += 1


def _about(acceptable: float, limit: float, producers_risk: float, consumers_risk: float) -> float:
    """Masks of a plan by the normal distribution: near enough to know where to begin to search."""
    spread = -special.ndtri(producers_risk) * sqrt(acceptable * (1 - acceptable))
    spread -= special.ndtri(consumers_risk) * sqrt(limit * (1 - limit))
    return (spread / (limit - acceptable)) ** 2


def design_effect(correlation: float, masks_per_image: int) -> float:
    """Of `masks_per_image` masks of each drawn image: 1 + (m − 1) ρ (Kish, Survey Sampling, 1965, 5.4); at
    least 1.
    """
    return max(1.0, 1 + (masks_per_image - 1) * correlation)


def so_far(lake: Lake) -> SoFar | None:
    """Share and correlation by the verdicts of samples that were not drawn on purpose, else by gold; None
    without either.

    A mask of gold is good when settings.GOLD.good_iou is reached (`gold_comparisons`). Weights are left out: this
    is for planning.
    """
    verdicts = lake.query("""
        SELECT image_id, decision = 'accept' AS is_good
        FROM settled_verdicts AS settled
        SEMI JOIN samples ON
            settled.sample = samples.sample
            AND settled.mask_id = samples.mask_id
            AND samples.design <> 'purposive'
        WHERE decision IN ('accept', 'reject', 'fix')
    """)
    if verdicts.num_rows:
        return _so_far(verdicts, "verdicts")
    gold = lake.query(
        """
        SELECT image_id, max(gold_iou) > $good_iou AS is_good
        FROM gold_comparisons SEMI JOIN current_images USING (run_id, image_id)
        WHERE is_compared
        GROUP BY image_id, mask_id
    """,
        {"good_iou": GOLD.good_iou},
    )
    return _so_far(gold, "gold") if gold.num_rows else None


def correlation_of(image: np.ndarray, is_good: np.ndarray) -> float | None:
    """Intraclass correlation of 0 and 1 (n,) of masks of `image` (n,): the analysis-of-variance estimate
    (Ridout, Demétrio and Firth, Biometrics 55, 1999). None where no image has two masks, or all are in one; 0
    where masks do not differ.
    """
    _, image, counts = np.unique(image, return_inverse=True, return_counts=True)
    n, k = len(image), len(counts)
    if k < 2 or n == k:
        return None
    means = np.bincount(image, is_good) / counts
    between = (counts * (means - is_good.mean()) ** 2).sum() / (k - 1)
    within = ((is_good - means[image]) ** 2).sum() / (n - k)
    typical = (n - (counts**2).sum() / n) / (k - 1)
    total = between + (typical - 1) * within
    return float((between - within) / total) if total > 0 else 0.0


def _so_far(rows: pa.Table, source: str) -> SoFar:
    image = rows["image_id"].to_numpy()
    is_good = rows["is_good"].to_numpy().astype(np.float64)
    return SoFar(
        float(is_good.mean()), correlation_of(image, is_good), len(image), len(np.unique(image)), source
    )


def _least_for(n_bad: int, rate: float, risk: float) -> int:
    """The least n for which at most `n_bad` bad ones of n have a chance of at most `risk` where the rate is
    `rate`.
    """
    low, high = n_bad, n_bad + 1
    while special.bdtr(n_bad, high, rate) > risk:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if special.bdtr(n_bad, middle, rate) > risk:
            low = middle
        else:
            high = middle
    return high


def _reviews(n: float, goal: str, effect: float, masks_per_image: int | None) -> Reviews:
    n_masks = max(1, ceil(n - 1e-9))
    n_images = None if masks_per_image is None else ceil(n_masks / masks_per_image)
    return Reviews(n_masks, goal, effect, n_images)


def _check_between(option: str, value: float, low: float, high: float) -> None:
    if not low < value < high:
        raise InputError(f"{option} {value:g}: it must be above {low:g} and below {high:g}")
