"""Figures with their intervals as rows of a chart, made from the rows of reports."""

from collections.abc import Sequence

from curation.report import figures
from curation.report.page.blocks import Figure
from curation.report.page.words import Said, basis, number, share


def dot(label: str, value: float, low: float | None, high: float | None, said: Said = share) -> dict:
    """A row of `figures.intervals`: the figure, its interval, and both in words."""
    return {"label": label, "value": value, "low": low, "high": high, "text": said(value, low, high)}


def dot_of(label: str, row: dict, name: str, said: Said = share) -> dict:
    """The dot of a report's column `name`, whose bounds lie in `name_low` and `name_high`."""
    return dot(label, row[name], row[f"{name}_low"], row[f"{name}_high"], said)


def share_of(row: dict, name: str) -> str:
    """The share in a report's column `name`, with its interval."""
    return share(row[name], row[f"{name}_low"], row[f"{name}_high"])


def number_of(row: dict, name: str) -> str:
    """The mean in a report's column `name`, with its interval."""
    return number(row[name], row[f"{name}_low"], row[f"{name}_high"])


def told(what: str, dots: Sequence[dict]) -> str:
    """What a chart of dots shows, for those who cannot see it."""
    return f"{what}: " + "; ".join(f"{row['label']} {row['text']}" for row in dots) + "."


def dots_figure(
    name: str, title: str, dots: Sequence[dict], row: dict, about: str, axis: str = "share of masks"
) -> Figure:
    """Shares as dots with intervals, about half a column wide; `row` of the report says what is behind them."""
    return Figure(
        name,
        title,
        alt=told(title, dots),
        note=f"{about} 95 % intervals. {basis(row)}; {row['design']}.",
        draw=lambda width: figures.intervals(dots, width, axis),
    )
