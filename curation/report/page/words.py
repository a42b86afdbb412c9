"""Numbers as people read them: with unit, with interval, no more digits than the interval carries."""

from collections.abc import Callable
from datetime import datetime

#: Turns a figure and its bounds into words.
Said = Callable[[float | None, float | None, float | None], str]
#: Between a number and its unit: no line breaks there.
THIN = "\N{NO-BREAK SPACE}"
STAGES = {
    "assisted_manual": "assisted-manual",
    "semi_automatic": "semi-automatic",
    "fully_automatic": "fully automatic",
}


def percent(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """A share 0..1 in per cent; a decimal only where the interval is narrower than 10 points, or where there is none."""
    if value is None:
        return "–"
    return f"{100 * value:.{_decimals(low, high)}f}{THIN}%"


def percent_interval(low: float | None, high: float | None) -> str:
    """The interval of a share, such as 57–84 %."""
    if low is None or high is None:
        return "no interval"
    n = _decimals(low, high)
    return f"{100 * low:.{n}f}–{100 * high:.{n}f}{THIN}%"


def share(value: float | None, low: float | None, high: float | None) -> str:
    """A share with its interval, such as 72 % (57–84 %)."""
    return f"{percent(value, low, high)} ({percent_interval(low, high)})"


def number(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """A mean with its interval, such as 0.76 (0.65–0.86); three significant digits."""
    if value is None:
        return "–"
    if low is None or high is None:
        return f"{plain(value)} (no interval)"
    return f"{plain(value)} ({plain(low)}–{plain(high)})"


def interval(low: float | None, high: float | None) -> str:
    """An interval alone, such as 0.65–0.86."""
    return "none" if low is None or high is None else f"{plain(low)}–{plain(high)}"


def plain(value: float | int | None) -> str:
    """A number alone: counts with separators, measured numbers with two decimals, fewer where they are large."""
    if value is None:
        return "–"
    n_decimals = 0 if isinstance(value, int) or abs(value) >= 1000 else 2 if abs(value) < 10 else 1
    return f"{value:,.{n_decimals}f}".replace("-", "−")


def counted(n: int, noun: str) -> str:
    """A count with its noun, such as 1 image or 2,000 masks."""
    return f"{n:,}{THIN}{noun}{'' if n == 1 else 's'}"


def basis(row: dict, unit: str = "mask") -> str:
    """What is behind a row of a report: masks, images, and what they are worth."""
    told = f"{counted(row['n_masks'], unit)} of {counted(row['n_images'], 'image')}"
    if row.get("effective_n"):
        told += f", worth {plain(round(row['effective_n']))} independent ones"
    return told


def seconds(value: float | None) -> str:
    """A time in the unit that suits it."""
    if value is None:
        return "–"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if value >= 2 * size:
            return f"{value / size:.1f}{THIN}{unit}"
    return f"{plain(float(value))}{THIN}s"


def stage(name: str | None, cycle: int | None) -> str:
    return f"{STAGES.get(name, name or 'no stage')}, cycle {cycle}" if name else "no stage"


def day(moment: datetime) -> str:
    """A date that reads the same everywhere, such as 21 November 2026."""
    return f"{moment.day} {moment:%B %Y}"


def _decimals(low: float | None, high: float | None) -> int:
    return 1 if low is None or high is None or high - low < 0.1 else 0
