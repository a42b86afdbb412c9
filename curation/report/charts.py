"""Charts: Altair specifications, and writing them as PNG, SVG, HTML or JSON."""

from pathlib import Path
from types import ModuleType
from typing import Any

from curation.errors import InputError, MissingExtraError
from curation.whole_files import write_whole

#: Pixels of a PNG for one of the chart: sharp on screens of twice the density.
PNG_SCALE = 2


def altair() -> ModuleType:
    """The package Altair, with this project's theme. Raises MissingExtraError where it is not installed."""
    try:
        import altair as alt
    except ImportError as error:
        raise MissingExtraError("charts need Altair", "app") from error
    return alt


def save(chart: Any, path: Path) -> None:
    """Write a chart to a .png, .svg, .html or .json file. Raises InputError for any other ending."""
    kind = path.suffix.lower()
    if kind not in (".png", ".svg", ".html", ".json"):
        raise InputError(f"{path}: a chart is written as .png, .svg, .html or .json")
    if kind == ".json":
        data = chart.to_json().encode()
    elif kind == ".html":
        data = chart.to_html(inline=True).encode()  # with its scripts: it works without a network
    else:
        data = _static(chart, kind[1:])
    write_whole(path, data)


def _static(chart: Any, kind: str) -> bytes:
    try:
        import vl_convert
    except ImportError as error:
        raise MissingExtraError("pictures of charts need vl-convert", "app") from error
    spec = chart.to_dict()
    if kind == "svg":
        return vl_convert.vegalite_to_svg(spec).encode()
    return vl_convert.vegalite_to_png(spec, scale=PNG_SCALE)
