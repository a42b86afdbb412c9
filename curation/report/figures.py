"""The kinds of charts of the report: intervals, histograms, calibration, funnel, heat map, course of cycles.

Each takes rows (dicts) and the whole width in px, axes and words included, so that a chart fits its place on a screen
or a phone exactly. Rows hold finished words; `low` and `high` of None draw no interval.
"""

from collections.abc import Sequence
from typing import Any

from curation.report.charts import STEPS, altair, colour

#: Mean width of a character of 12 px, and room for the words of an axis.
CHARACTER_PX = 6.6
AXIS_PX = 44
#: Around a chart in a file of its own, and for its title.
MARGIN_PX, TITLE_PX = 16, 52
ROW_PX, STACKED_ROW_PX = 36, 54
#: Below this width the words of a row stand above it, and its dots keep clear of the edge.
STACKED_PX, INSET_PX = 500, 8
#: Times an even spread: where a step of the heat map begins, and what the legend calls each.
DENSITY_BOUNDS = (0.25, 0.5, 1, 1.5, 2, 3)
DENSITY_NAMES = ("under ¼", "¼ – ½", "½ – 1", "1 – 1½", "1½ – 2", "2 – 3", "over 3")
Rows = Sequence[dict[str, Any]]


def intervals(
    rows: Rows, width: int, x_title: str, domain: tuple[float, float] = (0, 1), axis_format: str = ".0%"
) -> Any:
    """A row each: dot and interval at `value`, `low`, `high`; `text` beside it; a diamond at `reference`.

    Narrow charts have the words of a row above its dot, wide ones at its sides. `reference` may be left out.
    """
    alt = altair()
    is_stacked = width < STACKED_PX
    left = INSET_PX if is_stacked else _room(rows, "label", width * 0.4)
    right = INSET_PX if is_stacked else _room(rows, "text", width * 0.3)
    axis = alt.Axis(title=x_title, format=axis_format, tickCount=5, labelFlush=False, grid=not is_stacked)
    scale = alt.Scale(domain=list(domain), nice=False, zero=False)
    base = _rows(alt, rows, is_stacked, left)
    # A track under each row: lines from top to bottom would run through the words above the dots.
    track = base.mark_rule(color=colour("line"), strokeWidth=3, strokeCap="round").encode(
        x=alt.value(0), x2=alt.value(width - left - right)
    )
    layers = [
        *([track] if is_stacked else []),
        base.mark_rule(strokeWidth=3, strokeCap="round", opacity=0.55, color=colour("data")).encode(
            alt.X("low:Q", scale=scale, axis=axis), alt.X2("high:Q")
        ),
        base.mark_point(filled=True, size=110, opacity=1, color=colour("data")).encode(
            alt.X("value:Q", scale=scale, axis=axis)
        ),
        *_words_of_row(alt, base, is_stacked, width - left - right),
    ]
    if any(row.get("reference") is not None for row in rows):
        layers += _reference(alt, base, scale, axis, is_stacked)
    row_px = STACKED_ROW_PX if is_stacked else ROW_PX
    return _framed(alt.layer(*layers), (width, row_px * len(rows)), left, right)


def funnel(rows: Rows, width: int) -> Any:
    """A bar each: what is left after the step (`remaining`), pale what it dropped (`before`); `text` beside it."""
    alt = altair()
    is_stacked = width < STACKED_PX
    left = INSET_PX if is_stacked else _room(rows, "label", width * 0.4)
    right = INSET_PX if is_stacked else _room(rows, "text", width * 0.3)
    scale = alt.Scale(domain=[0, max(row["before"] for row in rows) or 1], nice=False)
    base = _rows(alt, rows, is_stacked, left)
    bars = [
        base.mark_bar(color=colour(role), height=16).encode(alt.X(f"{name}:Q", scale=scale, axis=None))
        for name, role in (("before", "pale"), ("remaining", "data"))
    ]
    words = _words_of_row(alt, base, is_stacked, width - left - right)
    row_px = STACKED_ROW_PX if is_stacked else ROW_PX - 4
    return _framed(alt.layer(*bars, *words), (width, row_px * len(rows)), left, right, bottom=6)


def histogram(rows: Rows, width: int, x_title: str, y_title: str, height: int = 210) -> Any:
    """Bars from `start` to `stop` as high as the share `value`, with the interval `low` to `high`."""
    alt = altair()
    axis = alt.Axis(title=x_title, tickCount=5, grid=False, labelFlush=False)
    scale = alt.Scale(domain=[0, max(row["stop"] for row in rows)], nice=False)
    y_axis = alt.Axis(title=y_title, format="%", tickCount=4)
    middles = [{**row, "middle": (row["start"] + row["stop"]) / 2} for row in rows]
    base = alt.Chart(alt.Data(values=middles))
    bars = base.mark_bar(color=colour("bar"), binSpacing=1.5).encode(
        alt.X("start:Q", axis=axis, scale=scale, bin="binned"),
        alt.X2("stop:Q"),
        alt.Y("value:Q", axis=y_axis),
    )
    whiskers = _whiskers(alt, base).encode(alt.X("middle:Q", axis=axis, scale=scale))
    return _framed(alt.layer(bars, whiskers), (width, height), 54, 12)


def columns(rows: Rows, width: int, x_title: str, y_title: str, height: int = 210) -> Any:
    """Bars beside each other, one a `label`, as high as the share `value`, with intervals."""
    alt = altair()
    axis = alt.Axis(title=x_title, labelAngle=0, labelOverlap=False, labelFontSize=12 if width > 350 else 10)
    x = alt.X("label:N", sort=None, axis=axis)
    base = alt.Chart(alt.Data(values=list(rows))).encode(x)
    bars = base.mark_bar(color=colour("bar"), width={"band": 0.7}).encode(
        alt.Y("value:Q", axis=alt.Axis(title=y_title, format="%", tickCount=4))
    )
    return _framed(alt.layer(bars, _whiskers(alt, base)), (width, height), 54, 12)


def calibration(rows: Rows, width: int) -> Any:
    """Predicted against true: points (`x`, `y`) with intervals, larger where `n` is; on the diagonal all is well."""
    alt = altair()
    lowest = min(v for row in rows for v in (row["x"], row["y"], row["low"]) if v is not None)
    start = min(0.5, int(lowest * 10) / 10)
    scale = alt.Scale(domain=[start, 1], nice=False, zero=False)
    x = alt.X("x:Q", scale=scale, axis=alt.Axis(title="predicted IoU", format=".1f", tickCount=5))
    y_axis = alt.Axis(title="IoU with gold", format=".1f", tickCount=5)
    y = alt.Y("y:Q", scale=scale, axis=y_axis)
    ends = alt.Chart(alt.Data(values=[{"x": start, "y": start}, {"x": 1, "y": 1}]))
    diagonal = ends.mark_line(color=colour("soft"), strokeDash=[4, 4], strokeWidth=1.2).encode(x, y)
    base = alt.Chart(alt.Data(values=list(rows))).encode(x)
    whiskers = base.mark_rule(strokeWidth=2.5, opacity=0.5, color=colour("data")).encode(
        alt.Y("low:Q", scale=scale, axis=y_axis), alt.Y2("high:Q")
    )
    size = alt.Size("n:Q", scale=alt.Scale(range=[40, 320], zero=True), legend=None)
    points = base.mark_point(filled=True, opacity=1, color=colour("data")).encode(y, size)
    return _framed(alt.layer(diagonal, whiskers, points), (width, width - 54 - 14), 54, 14)


def heat_map(rows: Rows, width: int, title: str) -> Any:
    """Cells `column`, `row` (0 at the upper left) in steps of `value`, where 1 is even; the legend names the steps."""
    alt = altair()
    steps = [DENSITY_NAMES[sum(row["value"] >= bound for bound in DENSITY_BOUNDS)] for row in rows]
    values = [{**row, "step": step} for row, step in zip(rows, steps, strict=True)]
    legend = alt.Legend(
        title=title,
        orient="bottom",
        columns=4,
        symbolType="square",
        symbolSize=180,
        symbolStrokeWidth=0,
        titleLimit=width,
    )
    scale = alt.Scale(domain=list(DENSITY_NAMES), range=[paper for paper, _ in STEPS])
    cells = alt.Chart(alt.Data(values=values)).mark_rect(stroke=colour("paper"), strokeWidth=1.5)
    cells = cells.encode(
        alt.X("column:O", axis=None),
        alt.Y("row:O", axis=None),
        alt.Color("step:N", scale=scale, legend=legend),
    )
    return _framed(cells, (width, round(width * 0.62)), 2, 2, bottom=80)


def course(rows: Rows, width: int, axis_format: str = ".0%", height: int = 170) -> Any:
    """A point a `label` (stage and cycle), in the order of the rows, joined by a line, with intervals."""
    alt = altair()
    room = (width - 60) // max(len(rows), 1)
    x = alt.X("label:N", sort=None, axis=alt.Axis(title=None, labelAngle=0, labelLimit=room, grid=False))
    scale = alt.Scale(zero=False)
    axis = alt.Axis(title=None, format=axis_format, tickCount=4)
    base = alt.Chart(alt.Data(values=list(rows))).encode(x)
    whiskers = base.mark_rule(strokeWidth=3, opacity=0.5, color=colour("data"), strokeCap="round").encode(
        alt.Y("low:Q", scale=scale, axis=axis), alt.Y2("high:Q")
    )
    y = alt.Y("value:Q", scale=scale, axis=axis)
    line = base.mark_line(color=colour("data"), strokeWidth=1.5, opacity=0.6).encode(y)
    points = base.mark_point(filled=True, opacity=1, size=90, color=colour("data")).encode(y)
    return _framed(alt.layer(whiskers, line, points), (width, height), 48, 12, bottom=28)


def narrowing(rows: Rows, width: int, x_title: str, axis_format: str = ".0%", height: int = 210) -> Any:
    """A figure over what is behind it: line `value` over `x`, and the band of its interval from `low` to `high`."""
    alt = altair()
    x = alt.X("x:Q", scale=alt.Scale(nice=False), axis=alt.Axis(title=x_title, tickCount=5, grid=False))
    axis = alt.Axis(title=None, format=axis_format, tickCount=4)
    y_scale = alt.Scale(zero=False, nice=False)
    base = alt.Chart(alt.Data(values=list(rows))).encode(x)
    band = base.mark_area(color=colour("pale"), interpolate="monotone").encode(
        alt.Y("low:Q", scale=y_scale, axis=axis), alt.Y2("high:Q")
    )
    line = base.mark_line(color=colour("data"), strokeWidth=2, interpolate="monotone").encode(
        alt.Y("value:Q", scale=y_scale, axis=axis)
    )
    return _framed(alt.layer(band, line), (width, height), 48, 16)


def titled(chart: Any, title: str) -> Any:
    """A chart of this module with its title above, for a file of its own; on the page the words around it are HTML."""
    alt = altair()
    left, right = (chart.padding[side] + MARGIN_PX for side in ("left", "right"))
    padding = {**chart.padding, "left": left, "right": right, "top": TITLE_PX}
    head = alt.TitleParams(title, frame="group", anchor="start", dx=MARGIN_PX - left, offset=18)
    return chart.properties(title=head, padding=padding)


def _rows(alt: Any, rows: Rows, is_stacked: bool, room: float) -> Any:
    """The rows below each other, named by an axis at the left where their words do not stand above them."""
    axis = None
    if not is_stacked:
        axis = alt.Axis(
            title=None, labelLimit=room - 12, labelPadding=12, labelColor=colour("ink"), grid=False
        )
    return alt.Chart(alt.Data(values=list(rows))).encode(y=alt.Y("label:N", sort=None, axis=axis))


def _words_of_row(alt: Any, base: Any, is_stacked: bool, plot_px: float) -> list:
    """`text` right of the plot; where rows are stacked, `label` and `text` above the dot, at the plot's two ends."""
    if not is_stacked:
        return [base.mark_text(align="left", dx=14).encode(alt.Text("text:N"), x=alt.value(plot_px))]
    return [
        base.mark_text(align="left", dy=-18, dx=-INSET_PX).encode(alt.Text("label:N"), x=alt.value(0)),
        base.mark_text(align="right", dy=-18, dx=INSET_PX).encode(alt.Text("text:N"), x=alt.value(plot_px)),
    ]


def _reference(alt: Any, base: Any, scale: Any, axis: Any, is_stacked: bool) -> list:
    """A hollow diamond at `reference`, and its name `reference_text` above, or below where words stand above."""
    x = alt.X("reference:Q", scale=scale, axis=axis)
    diamond = base.mark_point(
        shape="diamond", size=90, strokeWidth=1.8, color=colour("ink"), fill=colour("paper"), opacity=1
    )
    words = base.mark_text(
        dy=14 if is_stacked else -13, fontSize=11, color=colour("soft"), align="right", dx=6
    )
    return [diamond.encode(x), words.encode(x, alt.Text("reference_text:N"))]


def _whiskers(alt: Any, base: Any) -> Any:
    """Intervals on bars, which the bars' own axis measures."""
    return base.mark_rule(color=colour("ink"), strokeWidth=1.2).encode(alt.Y("low:Q"), alt.Y2("high:Q"))


def _framed(chart: Any, size: tuple[float, float], left: float, right: float, bottom: float = AXIS_PX) -> Any:
    """The chart with the whole width `size[0]`; `size[1]` is the height of the plot alone."""
    padding = {"left": left, "right": right, "top": 16, "bottom": bottom}
    return chart.properties(width=size[0] - left - right, height=size[1], padding=padding, autosize="none")


def _room(rows: Rows, key: str, most: float) -> float:
    """Room in px for the longest word of a column."""
    longest = max((len(str(row[key])) for row in rows), default=0)
    return min(longest * CHARACTER_PX + 22, most)
