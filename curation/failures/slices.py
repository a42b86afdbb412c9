"""Described slices: rules of a few conditions whose masks are bad more often, by beam search.

As in subgroup discovery (Herrera et al., Knowledge and Information Systems 29, 2011) rules grow by one condition at a
time. Their quality is the t of the cluster-robust contrast, so that many masks of a few images do not win, and a
condition stays only where it tells inside the rest of its rule, so that a rule says no more than it must.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curation.failures.rules import Condition
from curation.failures.significance import Contrasts, Labelled, contrasts
from curation.settings import FailureSettings

#: A cut point that means the same in every search is worth more than a quantile of this one, which may say nearly the same.
QUANTILE_DISCOUNT = 0.95
#: Places of conditions, ascending.
Rule = tuple[int, ...]


@dataclass(frozen=True)
class Candidates:
    """Rules that fail more than the rest on the discovery half, clearest first: `t` (R,), `member` (n, R).

    `n_examined`: rules that were looked at.
    """

    rules: tuple[Rule, ...]
    t: np.ndarray
    member: np.ndarray
    n_examined: int


def candidates(
    of: Labelled, matrix: np.ndarray, conditions: Sequence[Condition], settings: FailureSettings
) -> Candidates:
    """Rules over the K `conditions`, which the n masks meet as `matrix` (n, K) says."""
    search = _Search(of, matrix, [condition.attribute.subject for condition in conditions], settings)
    found: dict[Rule, float] = {}
    level: dict[Rule, float] = search.singles()
    n_examined = matrix.shape[1]
    for size in range(1, settings.most_conditions + 1):
        found |= level
        if size == settings.most_conditions:
            break
        beam = sorted(level, key=lambda rule: (-level[rule], rule))[: settings.beam]
        level, n_tried = search.refined(beam, found)
        n_examined += n_tried
    kept = search.told(found)
    worth = {
        rule: t * QUANTILE_DISCOUNT ** sum(conditions[k].operator != "=" for k in rule)
        for rule, t in kept.items()
    }
    rules = tuple(sorted(kept, key=lambda rule: (-worth[rule], rule)))
    member = np.zeros((len(of), len(rules)), bool)
    for k, rule in enumerate(rules):
        member[:, k] = search.members(rule)
    return Candidates(rules, np.array([kept[rule] for rule in rules]), member, n_examined)


class _Search:
    """Rules over one matrix, each with its contrast against all masks outside it."""

    def __init__(
        self, of: Labelled, matrix: np.ndarray, subjects: Sequence[str], settings: FailureSettings
    ) -> None:
        self.of, self.matrix, self.settings = of, matrix, settings
        self.subjects = np.array(subjects)

    def members(self, rule: Rule) -> np.ndarray:
        return self.matrix[:, list(rule)].all(axis=1)

    def is_enough(self, found: Contrasts) -> np.ndarray:
        return (found.n_images >= self.settings.least_images) & (found.n_masks >= self.settings.least_masks)

    def singles(self) -> dict[Rule, float]:
        """Each condition alone, also those that tell little: with another they may tell more."""
        found = contrasts(self.of, self.matrix)
        is_kept = self.is_enough(found) & (found.t > 0)
        return {(int(k),): float(found.t[k]) for k in np.flatnonzero(is_kept)}

    def refined(self, beam: Sequence[Rule], known: dict[Rule, float]) -> tuple[dict[Rule, float], int]:
        """Rules with one condition more that tells inside them, and how many were tried."""
        tried: set[Rule] = set()
        for rule in beam:
            rows = np.flatnonzero(self.members(rule))
            others = np.flatnonzero(~np.isin(self.subjects, self.subjects[list(rule)]))
            inside = contrasts(self.of[rows], self.matrix[np.ix_(rows, others)])
            is_kept = self.is_enough(inside) & (inside.t >= self.settings.least_gain_t)
            tried |= {tuple(sorted((*rule, int(k)))) for k in others[is_kept]}
        fresh = sorted(tried - known.keys())
        member = np.stack([self.members(rule) for rule in fresh], axis=1) if fresh else self.matrix[:, :0]
        found = contrasts(self.of, member)
        n_tried = sum(int((~np.isin(self.subjects, self.subjects[list(rule)])).sum()) for rule in beam)
        return {
            rule: float(t)
            for rule, t, is_kept in zip(fresh, found.t, self.is_enough(found) & (found.t > 0), strict=True)
            if is_kept
        }, n_tried

    def told(self, found: dict[Rule, float]) -> dict[Rule, float]:
        """The rules that are worth a test, without conditions that tell nothing inside the others."""
        enough = [rule for rule, t in found.items() if t >= self.settings.least_t]
        shortened = {self.shortened(rule) for rule in enough}
        rules = sorted(shortened)
        member = np.stack([self.members(rule) for rule in rules], axis=1) if rules else self.matrix[:, :0]
        of_all = contrasts(self.of, member)
        is_kept = (
            self.is_enough(of_all)
            & (of_all.t >= self.settings.least_t)
            & (of_all.difference >= self.settings.least_difference)
        )
        return {rule: float(t) for rule, t, keep in zip(rules, of_all.t, is_kept, strict=True) if keep}

    def shortened(self, rule: Rule) -> Rule:
        while len(rule) > 1:
            gains = [self.gain(rule, k) for k in rule]
            weakest = int(np.argmin(gains))
            if gains[weakest] >= self.settings.least_gain_t:
                break
            rule = rule[:weakest] + rule[weakest + 1 :]
        return rule

    def gain(self, rule: Rule, k: int) -> float:
        """t of the condition inside the rest of its rule; below any where nothing can be told."""
        rows = np.flatnonzero(self.members(tuple(c for c in rule if c != k)))
        return float(np.nan_to_num(contrasts(self.of[rows], self.matrix[rows][:, [k]]).t, nan=-np.inf)[0])
