"""The kinds of charts of the report: intervals, histograms, calibration, funnel, heat map, course of cycles.

Each takes rows (dicts) and the whole width in px, axes and words included, so that a chart fits its place on a screen
or a phone exactly. Rows hold finished words; `low` and `high` of None draw no interval.
"""

from collections.abc import Sequence
from typing import Any

from curation.report.charts import STEPS, altair, colour

#: Mean width of a character of 12 px, and room for the words of an axis.
CHARACTER_PX = 6.4
AXIS_PX = 44
ROW_PX = 36
Rows = Sequence[dict[str, Any]]


def intervals(rows: Rows, width: int, x_title: str, domain=(0, 1), axis_format: str = ".0%") -> Any:
    """A row each: dot and interval at `value`, `low`, `high`; `text` at the right; a diamond at `reference`.

    `series` colours the rows. All rows have the same keys; `reference` and `series` may be left out.
    """
    alt = altair()
    left = _room(rows, "label", width * 0.4)
    right = _room(rows, "text", width * 0.36)
    y = alt.Y("label:N", sort=None, axis=alt.Axis(title=None, labelLimit=left - 6, labelColor=colour("ink")))
    x_axis = alt.Axis(
        title=x_title, format=axis_format, tickCount=_ticks(width - left - right), labelFlush=False
    )
    scale = alt.Scale(domain=list(domain), nice=False, zero=False)
    tint = _tint(alt, rows)
    base = alt.Chart(alt.Data(values=list(rows))).encode(y=y)
    layers = [
        base.mark_rule(strokeWidth=3, strokeCap="round", opacity=0.55).encode(
            alt.X("low:Q", scale=scale, axis=x_axis), alt.X2("high:Q"), tint
        ),
        base.mark_point(filled=True, size=110, opacity=1).encode(
            alt.X("value:Q", scale=scale, axis=x_axis), tint
        ),
        base.mark_text(align="left", dx=12).encode(alt.Text("text:N"), x=alt.value(width - left - right)),
    ]
    if any(row.get("reference") is not None for row in rows):
        layers += _reference(alt, base, scale, x_axis)
    return _framed(alt.layer(*layers), (width, ROW_PX * len(rows)), left, right)


def histogram(rows: Rows, width: int, x_title: str, y_title: str, height: int = 200) -> Any:
    """Bars from `start` to `stop` as high as the share `value`, with the interval `low` to `high`."""
    alt = altair()
    axis = alt.Axis(title=x_title, tickCount=_ticks(width), grid=False)
    y_axis = alt.Axis(title=y_title, format="%", tickCount=4)
    base = alt.Chart(alt.Data(values=[{**row, "middle": (row["start"] + row["stop"]) / 2} for row in rows]))
    bars = base.mark_bar(color=colour("data"), binSpacing=1.5).encode(
        alt.X("start:Q", axis=axis, scale=alt.Scale(nice=False, zero=False), bin="binned"),
        alt.X2("stop:Q"),
        alt.Y("value:Q", axis=y_axis),
    )
    whiskers = base.mark_rule(color=colour("ink"), strokeWidth=1.2).encode(
        alt.X("middle:Q", axis=axis), alt.Y("low:Q", axis=y_axis), alt.Y2("high:Q")
    )
    return _framed(alt.layer(bars, whiskers), (width, height), 54, 10)


def columns(rows: Rows, width: int, x_title: str, y_title: str, height: int = 200) -> Any:
    """Bars beside each other, one a `label`, as high as the share `value`, with intervals."""
    alt = altair()
    x = alt.X("label:N", sort=None, axis=alt.Axis(title=x_title, labelAngle=0, labelOverlap=False))
    y_axis = alt.Axis(title=y_title, format="%", tickCount=4)
    base = alt.Chart(alt.Data(values=list(rows)))
    bars = base.mark_bar(color=colour("data"), width={"band": 0.7}).encode(x, alt.Y("value:Q", axis=y_axis))
    whiskers = base.mark_rule(color=colour("ink"), strokeWidth=1.2).encode(
        x, alt.Y("low:Q", axis=y_axis), alt.Y2("high:Q")
    )
    return _framed(alt.layer(bars, whiskers), (width, height), 54, 10)


def calibration(rows: Rows, width: int) -> Any:
    """Predicted against true: points (`x`, `y`) with intervals, larger where `n` is; on the diagonal all is well."""
    alt = altair()
    side = min(width, 420)
    low = min([0.5, *(row["x"] for row in rows), *(row["low"] or row["y"] for row in rows)])
    scale = alt.Scale(domain=[max(0.0, int(low * 10) / 10), 1], nice=False, zero=False)
    x = alt.X("x:Q", scale=scale, axis=alt.Axis(title="predicted IoU", format=".1f", tickCount=5))
    y_axis = alt.Axis(title="IoU with gold", format=".1f", tickCount=5)
    ends = [{"x": scale.domain[0], "y": scale.domain[0]}, {"x": 1, "y": 1}]
    diagonal = alt.Chart(alt.Data(values=ends)).mark_line(
        color=colour("soft"), strokeDash=[4, 4], strokeWidth=1.2
    )
    base = alt.Chart(alt.Data(values=list(rows))).encode(x)
    whiskers = base.mark_rule(strokeWidth=2.5, opacity=0.5, color=colour("data"), clip=True).encode(
        alt.Y("low:Q", scale=scale, axis=y_axis), alt.Y2("high:Q")
    )
    points = base.mark_point(filled=True, opacity=1, color=colour("data")).encode(
        alt.Y("y:Q", scale=scale, axis=y_axis),
        alt.Size("n:Q", scale=alt.Scale(range=[40, 320], zero=True), legend=None),
    )
    layers = alt.layer(diagonal.encode(x, alt.Y("y:Q", scale=scale, axis=y_axis)), whiskers, points)
    return _framed(layers, (side, side - 2 * AXIS_PX), 54, 14)


def funnel(rows: Rows, width: int) -> Any:
    """A bar each: what is left after the step (`remaining`), pale what it dropped (`before`); `text` at the right."""
    alt = altair()
    left, right = _room(rows, "label", width * 0.42), _room(rows, "text", width * 0.36)
    y = alt.Y("label:N", sort=None, axis=alt.Axis(title=None, labelLimit=left - 6, labelColor=colour("ink")))
    scale = alt.Scale(domain=[0, max(row["before"] for row in rows) or 1], nice=False)
    base = alt.Chart(alt.Data(values=list(rows))).encode(y=y)
    bars = [
        base.mark_bar(color=colour(role), height={"band": 0.62}).encode(
            alt.X(f"{name}:Q", scale=scale, axis=None)
        )
        for name, role in (("before", "pale"), ("remaining", "data"))
    ]
    words = base.mark_text(align="left", dx=12).encode(alt.Text("text:N"), x=alt.value(width - left - right))
    return _framed(alt.layer(*bars, words), (width, 32 * len(rows)), left, right, bottom=6)


def heat_map(rows: Rows, width: int, title: str) -> Any:
    """Cells `column`, `row` (0 at the upper left) in steps of `value`, where 1 is even; the legend names the steps."""
    alt = altair()
    bounds = [0.25, 0.5, 1, 1.5, 2, 3]
    names = ["under 0.25", "0.25", "0.5", "1", "1.5", "2", "3 and more"]
    values = [{**row, "step": names[sum(row["value"] >= bound for bound in bounds)]} for row in rows]
    legend = alt.Legend(
        title=title, orient="bottom", columns=4, symbolType="square", symbolSize=180, titleLimit=width
    )
    cells = alt.Chart(alt.Data(values=values)).mark_rect(stroke=colour("paper"), strokeWidth=1.5)
    cells = cells.encode(
        alt.X("column:O", axis=None),
        alt.Y("row:O", axis=None),
        alt.Color(
            "step:N", scale=alt.Scale(domain=names, range=[paper for paper, _ in STEPS]), legend=legend
        ),
    )
    return _framed(cells, (width, round(width * 0.62)), 4, 4, bottom=84)


def course(rows: Rows, width: int, y_title: str, axis_format: str = ".0%", height: int = 180) -> Any:
    """A point a `label` (stage and cycle), in the order of the rows, joined by a line, with intervals."""
    alt = altair()
    x = alt.X(
        "label:N", sort=None, axis=alt.Axis(title=None, labelAngle=0, labelLimit=width // max(len(rows), 1))
    )
    axis = alt.Axis(title=y_title, format=axis_format, tickCount=4)
    y = alt.Y("value:Q", scale=alt.Scale(zero=False), axis=axis)
    base = alt.Chart(alt.Data(values=list(rows))).encode(x)
    whiskers = base.mark_rule(strokeWidth=3, opacity=0.5, color=colour("data")).encode(
        alt.Y("low:Q", scale=alt.Scale(zero=False), axis=axis), alt.Y2("high:Q")
    )
    line = base.mark_line(color=colour("data"), strokeWidth=1.5, opacity=0.6).encode(y)
    points = base.mark_point(filled=True, opacity=1, size=90, color=colour("data")).encode(y)
    return _framed(alt.layer(whiskers, line, points), (width, height), 60, 10)


def _reference(alt, base, scale, axis) -> list:
    """A hollow diamond at `reference`, and its name `reference_text` above."""
    x = alt.X("reference:Q", scale=scale, axis=axis)
    diamond = base.mark_point(
        shape="diamond", size=90, strokeWidth=1.8, color=colour("ink"), fill=colour("paper"), opacity=1
    )
    words = base.mark_text(dy=-13, fontSize=10.5, color=colour("soft"), align="right", dx=5)
    return [diamond.encode(x), words.encode(x, alt.Text("reference_text:N"))]


def _tint(alt, rows: Rows):
    """The colour of a row: by `series` where rows have one, else all alike."""
    if not any("series" in row for row in rows):
        return alt.ColorValue(colour("data"))
    return alt.Color("series:N", sort=None, legend=alt.Legend(title=None))


def _framed(chart: Any, size: tuple[int, int], left: float, right: float, bottom: float = AXIS_PX) -> Any:
    """The chart with the whole width `size[0]`; `size[1]` is the height of the plot alone."""
    padding = {"left": left, "right": right, "top": 16, "bottom": bottom}
    return chart.properties(width=size[0] - left - right, height=size[1], padding=padding, autosize="none")


def _room(rows: Rows, key: str, most: float) -> float:
    """Room in px for the longest word of a column."""
    longest = max((len(str(row[key])) for row in rows), default=0)
    return min(longest * CHARACTER_PX + 16, most)


def _ticks(width: float) -> int:
    return 5 if width > 260 else 3
