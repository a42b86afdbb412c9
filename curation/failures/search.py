"""The search for groups that fail alike, on arrays: found on one half of the images, tested on the other half.

The halves are told apart by a hash of the image's id, so that an image stays in its half from search to search.
Nothing of the labels of the second half shapes a group, so its p-values hold however many rules were looked at on the
first; Benjamini and Hochberg's rate is over all groups that were tested there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from curation.failures import neighbours, rules, slices
from curation.failures.attributes import Attribute
from curation.failures.rules import Condition, Values
from curation.failures.significance import Contrasts, Labelled, bounds, contrasts, q_values
from curation.settings import FAILURES, FailureSettings

SLICE, EMBEDDING = "slice", "embedding"
#: A condition says what a cluster is like where so much larger a share of its masks than of others meets it, and most
#: of its masks do.
LEAST_LIFT, LEAST_MET, MOST_WORDS = 0.3, 0.6, 3
#: Masks that are compared for it, inside and outside.
MOST_COMPARED = 20_000


@dataclass(frozen=True)
class Population:
    """N masks: `image` their images' ids; `is_bad` 1, 0, or NaN where not known or of no design; `weight`, masks that
    each labelled one stands for; `values` of attributes by name, (N,) each; `space` float32 (N, d), NaN where a mask
    has no embedding, None where none has.
    """

    image: np.ndarray
    is_bad: np.ndarray
    weight: np.ndarray
    attributes: Sequence[Attribute]
    values: Mapping[str, Values]
    space: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True)
class Group:
    """A group that was tested. `conditions`: its rule; None for neighbours. `member`: places of its masks among all N,
    ascending. Figures are those of the other half.
    """

    kind: str
    words: str
    conditions: tuple[Condition, ...] | None
    member: np.ndarray
    bad_share: float
    bad_share_low: float
    bad_share_high: float
    rest_bad_share: float
    difference: float
    difference_low: float
    difference_high: float
    n_labelled_masks: int
    n_labelled_images: int
    p_value: float
    q_value: float


@dataclass(frozen=True)
class Found:
    """`groups`: those that are reported, most certain first. `n_examined` rules and balls on the first half,
    `n_tested` groups on the other, `n_too_few` with too few labelled images there to be tested, `n_same` that another
    one reports already.
    """

    groups: tuple[Group, ...]
    n_examined: int
    n_tested: int
    n_too_few: int
    n_same: int


def is_discovery(image: np.ndarray, seed: int) -> np.ndarray:
    """Whether each image (N,) lies in the half in which groups are looked for: a bit of SplitMix64 of its id.

    Source: Steele, Lea and Flood, OOPSLA 2014.
    """
    with np.errstate(over="ignore"):
        z = image.astype(np.uint64) + np.uint64(seed + 1) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return ((z ^ (z >> np.uint64(31))) & np.uint64(1)) == 0


def search(of: Population, settings: FailureSettings = FAILURES, seed: int = 0) -> Found:
    """Groups of masks that are bad more often than all others. Both halves must have labelled masks."""
    in_first = is_discovery(of.image, seed)
    rng = np.random.default_rng(seed)
    first = _first_half(of, in_first, settings, rng)
    last = _by_image(of, ~in_first & np.isfinite(of.is_bad))
    conditions = rules.conditions(of.attributes, of.values, first)
    tried, n_examined = _slices(of, first, conditions, settings)
    balls, n_balls = _balls(of, in_first, first, tried, settings, rng)
    tried = tried + balls
    told, n_tested = _tested(of, last, tried, settings)
    kept = _once(told, settings)
    groups = tuple(_described(of, group, conditions, rng) for group in kept)
    return Found(groups, n_examined + n_balls, n_tested, len(tried) - n_tested, len(told) - len(kept))


@dataclass(frozen=True)
class _Tried:
    """A group of the first half: its rule, or a ball. It must fail more than the rest `inside` another one; else outside
    all those before it.
    """

    conditions: tuple[Condition, ...] | None
    balls: neighbours.Balls | None = None
    number: int = 0
    inside: "_Tried | None" = None

    def holds(self, of: Population, at: np.ndarray) -> np.ndarray:
        """Which of the masks at these places belong to it, bool (n,)."""
        if self.conditions is None:
            return self.balls.assigned(of.space[at]) == self.number
        return rules.matrix(self.conditions, of.values, at).all(axis=1)


def _labelled(of: Population, at: np.ndarray) -> Labelled:
    return Labelled(of.is_bad[at] == 1, of.weight[at], of.image[at])


def _by_image(of: Population, chosen: np.ndarray) -> np.ndarray:
    """Places of the chosen masks (N,), those of an image together."""
    at = np.flatnonzero(chosen)
    return at[np.argsort(of.image[at], kind="stable")]


def _first_half(
    of: Population, in_first: np.ndarray, settings: FailureSettings, rng: np.random.Generator
) -> np.ndarray:
    """Places of its labelled masks; of so many that they are bounded, those of random images."""
    at = _by_image(of, in_first & np.isfinite(of.is_bad))
    if len(at) <= settings.most_searched:
        return at
    _, number, n_masks = np.unique(of.image[at], return_inverse=True, return_counts=True)
    order = rng.permutation(len(n_masks))
    kept = order[np.cumsum(n_masks[order]) <= settings.most_searched]
    return at[np.isin(number, kept)]


def _slices(
    of: Population, first: np.ndarray, conditions: Sequence[Condition], settings: FailureSettings
) -> tuple[list[_Tried], int]:
    """Rules to be tested, and how many were looked at."""
    labelled = _labelled(of, first)
    found = slices.candidates(labelled, rules.matrix(conditions, of.values, first), conditions, settings)
    every = [_Tried(tuple(conditions[k] for k in rule)) for rule in found.rules]
    return _apart(labelled, every, found.member, np.zeros(len(first), bool), settings), found.n_examined


def _balls(
    of: Population,
    in_first: np.ndarray,
    first: np.ndarray,
    known: Sequence[_Tried],
    settings: FailureSettings,
    rng: np.random.Generator,
) -> tuple[list[_Tried], int]:
    """Balls to be tested, and how many were looked at."""
    if of.space is None:
        return [], 0
    is_placed = np.isfinite(of.space[:, 0])
    # Unlabelled masks shape the clusters too.
    fitted = np.flatnonzero(in_first & is_placed)
    if len(fitted) > 10 * settings.most_clustered:
        fitted = rng.choice(fitted, 10 * settings.most_clustered, replace=False)
    fits = neighbours.fits(of.space[fitted], of.is_bad[fitted] == 1, settings, rng)
    labelled = _labelled(of, first)
    tried = [_Tried(None, balls, k) for balls in fits for k in range(len(balls.radii))]
    if not tried:
        return [], 0
    member = np.concatenate([balls.member(of.space[first]) for balls in fits], axis=1)
    told = contrasts(labelled, member)
    is_kept = (
        (told.t >= settings.least_t)
        & (told.difference >= settings.least_difference)
        & (told.n_images >= settings.least_images)
        & (told.n_masks >= settings.least_masks)
    )
    order = np.argsort(-np.nan_to_num(told.t), kind="stable")
    order = order[is_kept[order]]
    # Small masks look alike: neighbours must fail for more than what a rule says already.
    held = np.zeros(len(first), bool)
    for group in known:
        held |= group.holds(of, first)
    return _apart(labelled, [tried[k] for k in order], member[:, order], held, settings), len(tried)


def _apart(
    of: Labelled, tried: Sequence[_Tried], member: np.ndarray, held: np.ndarray, settings: FailureSettings
) -> list[_Tried]:
    """Which candidates, clearest first, are worth a test: those that fail outside what is `held` (n,) and what the ones
    before them hold, or tell clearly inside one of them; `member` (n, R) says which masks are theirs.
    """
    kept: list[_Tried] = []
    chosen: list[int] = []
    held = held.copy()
    for k in range(len(tried)):
        if len(chosen) == settings.most_tested:
            break
        ours = member[:, k]
        if any(_jaccard(ours, member[:, other]) >= settings.same_jaccard for other in chosen):
            continue
        inside = None
        if not _tells(of, ours, ~held, settings, settings.least_t):
            inside = next(
                (
                    place
                    for place, other in enumerate(chosen)
                    if not (ours & ~member[:, other]).any()
                    and _tells(of, ours, member[:, other], settings, settings.least_gain_t)
                ),
                None,
            )
            if inside is None:
                continue
        kept.append(replace(tried[k], inside=None if inside is None else kept[inside]))
        chosen.append(k)
        held |= ours
    return kept


def _tells(
    of: Labelled, ours: np.ndarray, among: np.ndarray, settings: FailureSettings, least_t: float
) -> bool:
    """Whether the group fails more than the others `among` these masks (n,)."""
    if not (ours & among).any():
        return False
    found = contrasts(of[among], ours[among][:, None])
    return bool(
        found.t[0] >= least_t
        and found.difference[0] >= settings.least_difference
        and found.n_images[0] >= settings.least_images
    )


def _tested(
    of: Population, last: np.ndarray, tried: Sequence[_Tried], settings: FailureSettings
) -> tuple[list[Group], int]:
    """Groups that fail on the other half too, most certain first, and how many were tested there.

    A group that overlaps one that fails does so too, for that reason alone. So the p-value is the larger of two: against all
    others, and outside (or inside) the groups that were tried before it (intersection-union test; Berger, Technometrics
    24, 1982).
    """
    labelled = _labelled(of, last)
    member = np.zeros((len(last), len(tried)), bool)
    for k, one in enumerate(tried):
        member[:, k] = one.holds(of, last)
    found = contrasts(labelled, member)
    # What cannot be tested is told by what is known before any label is looked at, so it takes no power from the rest.
    kept = np.flatnonzero((found.n_images >= settings.least_images) & (found.n_masks >= settings.least_masks))
    found = replace(found, p_value=np.maximum(found.p_value, _p_beyond(of, last, labelled, tried, member)))
    q = np.ones(len(tried))
    q[kept] = q_values(found.p_value[kept])
    # Where the difference has no bounds (too few images outside the group) nothing is told.
    is_told = (q <= settings.most_false) & (found.difference >= settings.least_difference)
    is_told &= np.isfinite(found.difference_low)
    low, high = bounds(labelled, member)
    groups = [_group(of, tried[k], k, found, (low, high), q) for k in np.flatnonzero(is_told)]
    # Of two that are as certain the one with a rule comes first.
    groups.sort(key=lambda group: (group.p_value, group.kind != SLICE, group.words))
    return groups, len(kept)


def _p_beyond(
    of: Population, last: np.ndarray, labelled: Labelled, tried: Sequence[_Tried], member: np.ndarray
) -> np.ndarray:
    """p-value of each group (R,) among the masks that it must tell among; 1 where it has none of them."""
    p = np.ones(len(tried))
    held = np.zeros(len(last), bool)
    for k, one in enumerate(tried):
        among = ~held if one.inside is None else one.inside.holds(of, last)
        if (member[:, k] & among).any():
            p[k] = contrasts(labelled[among], member[among][:, [k]]).p_value[0]
        held |= member[:, k]
    return p


def _group(
    of: Population,
    tried: _Tried,
    k: int,
    found: Contrasts,
    share: tuple[np.ndarray, np.ndarray],
    q: np.ndarray,
) -> Group:
    return Group(
        kind=EMBEDDING if tried.conditions is None else SLICE,
        words="" if tried.conditions is None else rules.rule_words(tried.conditions),
        conditions=tried.conditions,
        member=np.flatnonzero(tried.holds(of, np.arange(len(of)))),
        bad_share=float(found.share[k]),
        bad_share_low=float(share[0][k]),
        bad_share_high=float(share[1][k]),
        rest_bad_share=float(found.rest_share[k]),
        difference=float(found.difference[k]),
        difference_low=float(found.difference_low[k]),
        difference_high=float(found.difference_high[k]),
        n_labelled_masks=int(found.n_masks[k]),
        n_labelled_images=int(found.n_images[k]),
        p_value=float(found.p_value[k]),
        q_value=float(q[k]),
    )


def _once(groups: Sequence[Group], settings: FailureSettings) -> list[Group]:
    """Groups without those whose masks are nearly those of one before them."""
    kept: list[Group] = []
    for group in groups:
        if all(shared(group.member, other.member) < settings.same_jaccard for other in kept):
            kept.append(group)
    return kept


def shared(a: np.ndarray, b: np.ndarray) -> float:
    """Jaccard index of two sets of different numbers; 0 where both are empty."""
    n_both = len(np.intersect1d(a, b, assume_unique=True))
    return n_both / max(len(a) + len(b) - n_both, 1)


def _jaccard(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / max((a | b).sum(), 1)


def _described(
    of: Population, group: Group, conditions: Sequence[Condition], rng: np.random.Generator
) -> Group:
    """A group of neighbours with words: what most of its masks are and most others are not."""
    if group.conditions is not None:
        return group
    inside = rng.choice(group.member, min(len(group.member), MOST_COMPARED), replace=False)
    other = rng.choice(len(of), min(len(of), MOST_COMPARED), replace=False)
    other = other[~np.isin(other, group.member)]
    met = rules.matrix(conditions, of.values, inside).mean(axis=0)
    lift = met - (rules.matrix(conditions, of.values, other).mean(axis=0) if len(other) else 0)
    words, subjects = [], set()
    for k in np.argsort(-lift, kind="stable"):
        subject = conditions[k].attribute.subject
        if (
            lift[k] >= LEAST_LIFT
            and met[k] >= LEAST_MET
            and subject not in subjects
            and len(words) < MOST_WORDS
        ):
            words.append(conditions[k].words)
            subjects.add(subject)
    return replace(group, words="look alike: " + (", ".join(words) or "no measure tells how"))
