"""The gate of a release: checks that judge the bound of a figure, not its estimate."""

import json
import math
import sys
import xml.etree.ElementTree as ElementTree  # nosec B405  # written here, never read
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from curation.engine.figures import FIGURES, Measured, Selection
from curation.errors import InputError
from curation.lake import Lake

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PASSED, FAILED, CANNOT_JUDGE = "passed", "failed", "cannot judge"
#: Keys of a `[[check]]` in checks.toml.
KEYS = ("figure", "iou", "min", "max", "min_images", "run", "gold")


@dataclass(frozen=True)
class Check:
    """One limit on one figure: `largest` holds its upper bound, `least` its lower one. Raises InputError.

    Fewer than `min_images` images cannot judge anything.
    """

    figure: str
    least: float | None = None
    largest: float | None = None
    iou: float | None = None
    min_images: int = 2
    run_id: int | None = None
    gold_run_id: int | None = None

    def __post_init__(self) -> None:
        if self.figure not in FIGURES:
            raise InputError(
                f"check {self.figure!r}: there is no such figure; allowed are {', '.join(FIGURES)}"
            )
        if (self.least is None) == (self.largest is None):
            raise InputError(
                f"check {self.figure}: give one limit, min (for the lower bound) or max (for the upper)"
            )
        default = FIGURES[self.figure].iou
        if default is None and self.iou is not None:
            raise InputError(f"check {self.figure}: this figure is not asked at an IoU; leave it out")
        object.__setattr__(self, "iou", self.iou if self.iou is not None else default)

    @property
    def name(self) -> str:
        at = "" if self.iou is None else f" at {self.iou:g} IoU"
        if self.largest is not None:
            return f"{self.figure}{at}: upper bound at most {self.largest:g}"
        return f"{self.figure}{at}: lower bound at least {self.least:g}"

    def judge(self, lake: Lake) -> list["Verdict"]:
        """A verdict for every run (and gold run) that the figure is known of; one that cannot judge where there is none."""
        chosen = Selection(self.run_id, self.gold_run_id, self.iou)
        found = list(FIGURES[self.figure].read(lake, chosen))
        if not found:
            nothing = Measured("no run", None, None, None, 0)
            return [
                Verdict.of(
                    self,
                    nothing,
                    CANNOT_JUDGE,
                    "no run has this figure: gold (`curation gold match`), `curation measure` or a judged sample "
                    "(`curation sample draw`) gives it",
                )
            ]
        return [self._judged(measured) for measured in found]

    def _judged(self, measured: Measured) -> "Verdict":
        bound = measured.low if self.largest is None else measured.high
        if measured.estimate is None or bound is None:
            return Verdict.of(self, measured, CANNOT_JUDGE, "too few images to give it a bound")
        if measured.n_images < self.min_images:
            lacking = self.min_images - measured.n_images
            return Verdict.of(self, measured, CANNOT_JUDGE, f"{lacking} images short of {self.min_images}")
        if self._allows(bound):
            return Verdict.of(self, measured, PASSED, "")
        if self._allows(measured.estimate):
            n = self._more_images(measured, bound)
            return Verdict.of(
                self,
                measured,
                FAILED,
                f"the estimate keeps it, the bound does not: about {n:,} images more "
                "would settle it if the estimate stays"
                if n
                else "the estimate lies on the limit",
            )
        return Verdict.of(self, measured, FAILED, "the estimate breaks it too")

    def _allows(self, value: float) -> bool:
        return value >= self.least if self.largest is None else value <= self.largest

    def _more_images(self, measured: Measured, bound: float) -> int | None:
        """The interval narrows with the root of the number of images."""
        limit = self.least if self.largest is None else self.largest
        room = abs(measured.estimate - limit)
        return (
            math.ceil(measured.n_images * ((bound - measured.estimate) ** 2 / room**2 - 1)) if room else None
        )


@dataclass(frozen=True)
class Verdict:
    """What became of one check on one subject; `limit` is what the bound was held against."""

    check: str
    subject: str
    estimate: float | None
    low: float | None
    high: float | None
    limit: float
    n_images: int
    verdict: str
    reason: str

    @classmethod
    def of(cls, check: Check, measured: Measured, verdict: str, reason: str) -> "Verdict":
        limit = check.least if check.largest is None else check.largest
        figures = (measured.estimate, measured.low, measured.high)
        return cls(check.name, measured.subject, *figures, limit, measured.n_images, verdict, reason)


def judge(lake: Lake, checks: Iterable[Check]) -> list[Verdict]:
    """Every verdict of every check, in order. Raises InputError without any check."""
    verdicts = [verdict for check in checks for verdict in check.judge(lake)]
    if not verdicts:
        raise InputError("no check came: name a limit, such as --max bad_share=0.06, or a file with --checks")
    return verdicts


def read(path: Path, else_: Mapping[str, int] = MappingProxyType({})) -> list[Check]:
    """Checks of a TOML file. Raises InputError that says where it is wrong.

    `min_images`, `run` and `gold` at its top hold for all, or those of `else_` that it leaves out; each `[[check]]`
    has a figure, and `min` or `max`.
    """
    try:
        file = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: {error}") from error
    listed = file.pop("check", [])
    if not isinstance(listed, list) or not listed:
        raise InputError(f"{path}: it holds no [[check]]; each needs a figure, and min or max")
    _require_keys(path, "top", file, ("min_images", "run", "gold"))
    return [_check(path, number, {**else_, **file, **one}) for number, one in enumerate(listed, start=1)]


def _check(path: Path, number: int, keys: Mapping[str, Any]) -> Check:
    where = f"check {number}"
    _require_keys(path, where, keys, KEYS)
    if not isinstance(keys.get("figure"), str):
        raise InputError(f"{path}: {where}: figure is missing; allowed are {', '.join(FIGURES)}")
    try:
        return Check(
            keys["figure"],
            keys.get("min"),
            keys.get("max"),
            keys.get("iou"),
            keys.get("min_images", 2),
            keys.get("run"),
            keys.get("gold"),
        )
    except InputError as error:
        raise InputError(f"{path}: {where}: {error}") from error


def _require_keys(path: Path, where: str, keys: Mapping[str, Any], allowed: Iterable[str]) -> None:
    unknown = sorted(set(keys) - set(allowed))
    if unknown:
        raise InputError(
            f"{path}: {where}: unknown key(s) {', '.join(unknown)}; allowed: {', '.join(allowed)}"
        )
    for name, value in keys.items():
        if name != "figure" and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise InputError(f"{path}: {where}: {name} is {value!r}; it must be a number")


def to_json(verdicts: list[Verdict]) -> str:
    """One object: whether all passed, counts by verdict, and every verdict."""
    counts = {kind: sum(v.verdict == kind for v in verdicts) for kind in (PASSED, FAILED, CANNOT_JUDGE)}
    told = {
        "passed": counts[PASSED] == len(verdicts),
        "counts": counts,
        "checks": [asdict(v) for v in verdicts],
    }
    return json.dumps(told, indent=2) + "\n"


def to_junit(verdicts: list[Verdict]) -> str:
    """JUnit XML as CI services read it: a check that cannot be judged is an error, one that fails a failure."""
    n_failed = sum(v.verdict == FAILED for v in verdicts)
    n_errors = sum(v.verdict == CANNOT_JUDGE for v in verdicts)
    counts = {"tests": str(len(verdicts)), "failures": str(n_failed), "errors": str(n_errors)}
    suite = ElementTree.Element("testsuite", name="curation check", **counts)
    for verdict in verdicts:
        case = ElementTree.SubElement(suite, "testcase", classname=verdict.subject, name=verdict.check)
        if verdict.verdict != PASSED:
            kind = "failure" if verdict.verdict == FAILED else "error"
            ElementTree.SubElement(case, kind, message=verdict.reason).text = json.dumps(asdict(verdict))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
