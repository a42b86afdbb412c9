"""Conditions that rules are made of: cut points of numbers, flags, and frequent values of categories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from curation.failures.attributes import Attribute

#: Quantiles at which numbers are cut, with what goes before the words of that end.
LOW_CUTS, HIGH_CUTS = ((0.1, "very "), (0.25, "")), ((0.9, "very "), (0.75, ""))
#: Most frequent values of a category that are looked at.
MOST_VALUES = 12


@dataclass(frozen=True)
class Category:
    """Values of N masks as places in `names`, -1 where not known."""

    names: tuple[str, ...]
    codes: np.ndarray


#: Of N masks: numbers float64 with NaN, flags bool, or a category.
Values = np.ndarray | Category


@dataclass(frozen=True)
class Condition:
    """One condition on one attribute; `operator` is <, >= or =, `value` a number, True, or a name of a category."""

    attribute: Attribute
    operator: str
    value: float | bool | str
    words: str

    @property
    def sql(self) -> str:
        sql = self.attribute.sql
        of = sql if sql.isidentifier() else f"({sql})"  # people read and type it
        if self.value is True:
            return of
        if isinstance(self.value, str):
            text = self.value.replace("'", "''")
            return f"CAST({of} AS VARCHAR) = '{text}'"
        return f"{of} {self.operator} {self.value!r}"

    def holds(self, values: Mapping[str, Values], at: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Whether it holds for the masks `at` these places, bool (n,); not where the value is not known."""
        found = values[self.attribute.name]
        if isinstance(found, Category):
            code = found.names.index(self.value) if self.value in found.names else -2
            return found.codes[at] == code
        if self.value is True:
            return found[at]
        with np.errstate(invalid="ignore"):
            return found[at] < self.value if self.operator == "<" else found[at] >= self.value


def conditions(
    attributes: Sequence[Attribute], values: Mapping[str, Values], at: np.ndarray
) -> list[Condition]:
    """Conditions that hold for some of the masks `at` these places and not for all; attributes without values are
    left out.

    Cut points are quantiles over these masks, rounded to three digits, so that they can be read and typed.
    """
    found = [
        condition
        for attribute in attributes
        if attribute.name in values
        for condition in _of_attribute(attribute, values[attribute.name], at)
    ]
    kept, seen = [], set()
    for condition in found:
        holds = condition.holds(values, at)
        # Two cuts of a number with few values, or a folder that is a run: the first one stands for both.
        print_ = holds.tobytes()
        if holds.any() and not holds.all() and print_ not in seen:
            seen.add(print_)
            kept.append(condition)
    return kept


def matrix(of: Sequence[Condition], values: Mapping[str, Values], at: np.ndarray) -> np.ndarray:
    """Which of the masks `at` these places meet which condition, bool (n, K)."""
    found = np.zeros((len(at), len(of)), bool)
    for k, condition in enumerate(of):
        found[:, k] = condition.holds(values, at)
    return found


def rule_sql(of: Sequence[Condition]) -> str:
    return " AND ".join(condition.sql for condition in of)


def rule_words(of: Sequence[Condition]) -> str:
    return ", ".join(condition.words for condition in of)


def _of_attribute(attribute: Attribute, values: Values, at: np.ndarray) -> list[Condition]:
    if attribute.kind == "flag":
        return [Condition(attribute, "=", True, attribute.words)]
    if attribute.kind == "category":
        counts = np.bincount(values.codes[at] + 1, minlength=len(values.names) + 1)[1:]
        frequent = [k for k in np.argsort(-counts, kind="stable")[:MOST_VALUES] if counts[k]]
        return [
            Condition(attribute, "=", values.names[k], attribute.words.format(value=values.names[k]))
            for k in sorted(frequent)
        ]
    known = values[at]
    known = known[np.isfinite(known)]
    if not len(known):
        return []
    ends = (("<", attribute.low, LOW_CUTS), (">=", attribute.high, HIGH_CUTS))
    return [
        Condition(attribute, operator, float(f"{np.quantile(known, quantile):.3g}"), f"{degree}{words}")
        for operator, words, cuts in ends
        if words
        for quantile, degree in cuts
    ]
