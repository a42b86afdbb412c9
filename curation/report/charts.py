"""Charts: one look for all of them, and writing them as PNG, SVG, HTML or JSON."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

from curation.errors import InputError, MissingExtraError
from curation.whole_files import write_whole

#: Pixels of a PNG for one of the chart: sharp on screens of twice the density.
PNG_SCALE = 2

#: Role -> colour on paper, colour on a dark screen. The data colours are those of Okabe and Ito (Color Universal
#: Design, 2008), which people with any colour vision tell apart; on the dark screen they are lighter.
COLOURS: dict[str, tuple[str, str]] = {
    "ink": ("#1a2029", "#e8ebef"),
    "soft": ("#5a6472", "#a3acb8"),
    "line": ("#e2e5ea", "#313943"),
    "paper": ("#ffffff", "#12161b"),
    "data": ("#0072b2", "#56b4e9"),
    "second": ("#d55e00", "#f0883e"),
    "third": ("#009e73", "#2fc798"),
    "fourth": ("#a9528a", "#d98cbc"),
    "fifth": ("#b58900", "#e0b53a"),
    "bar": ("#7db8dd", "#2c7fb0"),
    "pale": ("#cfe3f1", "#1d3f55"),
}
#: Colours of several series, in this order.
SERIES = ("data", "second", "third", "fourth", "fifth")
#: Steps of one quantity from little to much, on paper and on a dark screen.
STEPS = (
    ("#f1f5f9", "#171f27"),
    ("#d3e5f2", "#173246"),
    ("#a6cce5", "#18496a"),
    ("#6badd4", "#1b658f"),
    ("#348bbd", "#2f88bb"),
    ("#0c679d", "#63aedb"),
    ("#08456b", "#a9d8f5"),
)


def colour(role: str) -> str:
    """The colour on paper of a role of COLOURS. Pages put their own in its place on a dark screen."""
    return COLOURS[role][0]


def theme() -> dict:
    """The Vega-Lite configuration of every chart: quiet axes, no frame, one font."""
    text = {
        "labelColor": colour("soft"),
        "titleColor": colour("soft"),
        "labelFontSize": 12,
        "titleFontSize": 12,
    }
    return {
        "font": "sans-serif",
        "background": None,
        "view": {"stroke": None},
        "axis": {
            **text,
            "titleFontWeight": "normal",
            "titlePadding": 8,
            "labelPadding": 6,
            "domain": False,
            "ticks": False,
            "gridColor": colour("line"),
        },
        "legend": {**text, "titleFontWeight": "normal", "symbolType": "circle", "orient": "top"},
        "header": {**text, "titleFontWeight": "normal"},
        "title": {
            "color": colour("ink"),
            "subtitleColor": colour("soft"),
            "fontSize": 14,
            "subtitleFontSize": 12,
        },
        "mark": {"color": colour("data")},
        "text": {"color": colour("ink"), "fontSize": 12},
        "range": {
            "category": [colour(role) for role in SERIES],
            "ramp": [paper for paper, _ in STEPS],
            "heatmap": [paper for paper, _ in STEPS],
        },
    }


def altair() -> ModuleType:
    """The package Altair, with this project's theme. Raises MissingExtraError where it is not installed."""
    try:
        import altair as alt
    except ImportError as error:
        raise MissingExtraError("a chart", "report", "Altair") from error
    if alt.theme.active != "curation":
        alt.theme.register("curation", enable=True)(lambda: alt.theme.ThemeConfig(config=theme()))
    return alt


def check_installed() -> None:
    """Raise MissingExtraError where charts or pictures of them cannot be made: before long work, not after it."""
    altair()
    _vl_convert()


def save(chart: Any, path: Path) -> None:
    """Write a chart to a .png, .svg, .html or .json file. Raises InputError for any other ending."""
    kind = path.suffix.lower()
    if kind not in (".png", ".svg", ".html", ".json"):
        raise InputError(f"{path}: a chart is written as .png, .svg, .html or .json")
    if kind == ".json":
        data = chart.to_json().encode()
    elif kind == ".html":
        data = chart.to_html(inline=True).encode()  # with its scripts: it works without a network
    elif kind == ".svg":
        data = svg(chart).encode()
    else:
        # A file of its own is shown on any ground, so it brings white paper along.
        data = _vl_convert().vegalite_to_png(_on_paper(chart), scale=PNG_SCALE)
    write_whole(path, data)


def svg(chart: Any) -> str:
    """The chart as an SVG file on white paper."""
    return _vl_convert().vegalite_to_svg(_on_paper(chart))


def inline_svg(chart: Any, name: str) -> str:
    """The chart as an <svg> for inside a page: without a ground, scaling with its place, ids its own by `name`."""
    text = _vl_convert().vegalite_to_svg({**chart.to_dict(validate=False), "background": "transparent"})
    text = re.sub(r'<svg [^>]*?width="([\d.]+)" height="([\d.]+)" viewBox="([^"]*)">', _head, text, count=1)
    text = re.sub(r'<rect width="[\d.]+" height="[\d.]+" fill="transparent"/>', "", text, count=1)
    return re.sub(r'(id="|url\(#)(?=[\w-])', rf"\g<1>{name}-", text)


def _head(match: re.Match) -> str:
    """Width as it is drawn, at most the whole place; the page's own namespace needs no declaration."""
    width, height, box = match.groups()
    return f'<svg width="{width}" height="{height}" viewBox="{box}" focusable="false" aria-hidden="true">'


def _on_paper(chart: Any) -> dict:
    return {**chart.to_dict(), "background": colour("paper")}


def _vl_convert() -> ModuleType:
    try:
        import vl_convert
    except ImportError as error:
        raise MissingExtraError("a picture of a chart", "report", "vl-convert") from error
    return vl_convert
