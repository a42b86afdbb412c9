"""What a workspace says about its review, in `review.toml`: who may do what, how often raters are checked, when is enough,
and which samples come first.
"""

import fnmatch
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from curation.errors import InputError
from curation.settings import REVIEW

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "review.toml"
ROLES = ("rater", "curator", "analyst")
#: About 700 masks of a simple random sample; who plans to know more closely says so in `review.toml`.
ENOUGH_HALF_WIDTH = 0.05
#: Hidden checks leave most of a rater's time to masks of the sample.
MOST_CHECKS = 0.5


@dataclass(frozen=True)
class Shares:
    """Shares of a rater's tasks, 0..1: hidden checks against gold, hidden repeats; and of the masks, second opinions."""

    gold_check: float = REVIEW.gold_check_share
    repeat: float = REVIEW.repeat_share
    double_review: float = REVIEW.double_review_share


@dataclass(frozen=True)
class Rules:
    """Role -> patterns of raters, minutes of judging after which a pause is asked for, how closely the share of
    accepted masks must be known (± 0..1) before the page says that enough is judged, the shares of checks, and
    patterns of samples that come before others, the most urgent first.
    """

    roles: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"rater": ("*",)})
    break_after_min: float = REVIEW.break_after_min
    enough_half_width: float = ENOUGH_HALF_WIDTH
    shares: Shares = Shares()
    first: tuple[str, ...] = ()

    def urgency(self, sample: str) -> int:
        """Place of the first pattern that fits a sample, from 0; one more than the last where none does."""
        fits = (fnmatch.fnmatchcase(sample, pattern) for pattern in self.first)
        return next((place for place, fit in enumerate(fits) if fit), len(self.first))

    def role_of(self, rater: str) -> str | None:
        """The first role, from curator down to rater, with a pattern that fits; None for a stranger."""
        for role in ("curator", "analyst", "rater"):
            if any(fnmatch.fnmatchcase(rater.lower(), p.lower()) for p in self.roles.get(role, ())):
                return role
        return None


def read(root: Path) -> Rules:
    """The rules of a workspace; without a file everybody who logs in is a rater. Raises InputError."""
    path = root / FILE
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Rules()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no TOML ({error}): mend it") from error
    _refuse_strangers(
        path, "entry", tables, ("roles", "break_after_min", "enough_half_width", "shares", "first")
    )
    return Rules(
        _roles(path, tables.get("roles", {"rater": ["*"]})),
        _number(
            path, tables, "break_after_min", REVIEW.break_after_min, 24 * 60.0, "minutes, 0 for no pauses"
        ),
        _number(path, tables, "enough_half_width", ENOUGH_HALF_WIDTH, 0.5, "a share such as 0.02"),
        _shares(path, tables.get("shares", {})),
        _patterns(path, "first", tables.get("first", [])),
    )


def _roles(path: Path, table: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    _refuse_strangers(path, "role", table, ROLES)
    return {role: _patterns(path, role, patterns) for role, patterns in table.items()}


def _patterns(path: Path, what: str, patterns: object) -> tuple[str, ...]:
    if not isinstance(patterns, list) or not all(isinstance(p, str) for p in patterns):
        raise InputError(f'{path}: {what} is {patterns!r}; write a list of names, such as ["*@example.org"]')
    return tuple(patterns)


def _shares(path: Path, table: Mapping[str, object]) -> Shares:
    if not isinstance(table, dict):
        raise InputError(f"{path}: shares is {table!r}; write a table [shares]")
    names = tuple(Shares.__dataclass_fields__)
    _refuse_strangers(path, "share", table, names)
    shares = Shares(
        **{n: _number(path, table, n, getattr(Shares, n), 1.0, "a share from 0 to 1") for n in names}
    )
    if shares.gold_check + shares.repeat > MOST_CHECKS:
        raise InputError(
            f"{path}: gold_check and repeat are {shares.gold_check + shares.repeat:g} together; at most {MOST_CHECKS:g} "
            "of a rater's masks may be hidden checks"
        )
    return shares


def _number(
    path: Path, tables: Mapping[str, object], name: str, default: float, most: float, allowed: str
) -> float:
    value = tables.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise InputError(f"{path}: {name} is {value!r}; write {allowed}")
    return float(value)


def _refuse_strangers(path: Path, what: str, found: Mapping[str, object], allowed: tuple[str, ...]) -> None:
    strangers = sorted(set(found) - set(allowed))
    if strangers:
        raise InputError(f"{path}: unknown {what} {strangers[0]!r}; allowed are {', '.join(allowed)}")
