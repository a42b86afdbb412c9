"""The curve of a retuning as a picture: what each threshold would keep, and how good it would be."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from curation.errors import InputError
from curation.report.charts import altair, colour, save

#: Figure -> what a person reads beside its axis.
FIGURES = {
    "masks_per_image": "masks an image",
    "small_share": "share of small masks (under 32 × 32 px)",
    "mean_gold_iou": "mean best IoU with gold",
    "share_over_75": "share of masks over 0.75 IoU",
    "share_over_90": "share of masks over 0.90 IoU",
    "recall_50": "recall of gold at 0.50 IoU",
    "accept_share": "share that raters accept",
}
WIDTH_PX, HEIGHT_PX, SPACING_PX = 300, 180, 24


def draw(curve: pa.Table, swept: Sequence[str], path: Path) -> None:
    """Draw the figures of `curve` (generation.retune) along the first of `swept`, a line for each value of the second.

    Row 0 of the curve, the run's own setting, is the dashed line. Raises InputError for more than two swept settings.
    """
    if len(swept) > 2:
        raise InputError(f"a picture shows one or two swept settings; {', '.join(swept)} came")
    alt = altair()
    figures = [name for name in FIGURES if curve[name].null_count < curve.num_rows]
    rows = [
        _long(row, name) | {"is_own": k == 0} for k, row in enumerate(curve.to_pylist()) for name in figures
    ]
    panels = [_panel(alt, [row for row in rows if row["figure"] == name], name, swept) for name in figures]
    n_images, n_gold = curve["n_images"][0].as_py(), curve["n_gold_images"][0].as_py()
    n_verdicts = curve["n_verdicts"][0].as_py() or 0
    subtitle = (
        f"{n_images:,} images, {n_gold:,} of them with gold, {n_verdicts:,} verdicts; bands: 95 % intervals, image as cluster; "
        "dashed: the run's own setting"
    )
    chart = alt.concat(*panels, columns=3, spacing=SPACING_PX).properties(
        title=alt.TitleParams(
            "What other thresholds would keep",
            subtitle=subtitle,
            anchor="start",
            offset=SPACING_PX,
            fontSize=16,
        ),
        padding=SPACING_PX,
    )
    save(chart, path)


def _long(row: dict, name: str) -> dict:
    from curation.generation.replay import RETUNABLE

    settings = {setting: row[setting] for setting in RETUNABLE}
    return settings | {
        "figure": name,
        "value": row[name],
        "low": row[f"{name}_low"],
        "high": row[f"{name}_high"],
    }


def _panel(alt, rows: list[dict], name: str, swept: Sequence[str]):
    own = [row for row in rows if row["is_own"]]
    x_axis = alt.Axis(title=_named(swept[0]), grid=False)
    x = alt.X(f"{swept[0]}:Q", axis=x_axis, scale=alt.Scale(zero=False))
    y_axis, scale = alt.Axis(title=None, tickCount=5), alt.Scale(zero=False)
    legend = alt.Legend(title=_named(swept[-1]), symbolOpacity=1)
    color = [alt.Color(f"{swept[1]}:O", legend=legend)] if len(swept) == 2 else []
    base = alt.Chart(alt.Data(values=[row for row in rows if not row["is_own"]]))
    band = base.mark_area(opacity=0.18).encode(
        x, alt.Y("low:Q", axis=y_axis, scale=scale), alt.Y2("high:Q"), *color
    )
    line = base.mark_line(point=True).encode(x, alt.Y("value:Q", axis=y_axis, scale=scale), *color)
    rule = alt.Chart(alt.Data(values=own)).mark_rule(strokeDash=[5, 4], color=colour("soft")).encode(x)
    title = alt.TitleParams(FIGURES[name], anchor="start", fontSize=13, offset=8)
    return alt.layer(band, line, rule).properties(width=WIDTH_PX, height=HEIGHT_PX, title=title)


def _named(setting: str) -> str:
    return setting.replace("_", " ").replace("iou", "IoU")
