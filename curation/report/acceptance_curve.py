"""The operating characteristic of an acceptance plan as a picture: how likely a lot of each defect rate is
accepted.
"""

from pathlib import Path

from curation.report.charts import altair, colour, save
from curation.sampling.planner import Acceptance

WIDTH_PX, HEIGHT_PX = 520, 300


def draw(plan: Acceptance, path: Path) -> None:
    """Draw the curve with both agreed points. Raises InputError for an ending that is no picture's."""
    alt = altair()
    x = alt.X("defect_rate:Q", axis=alt.Axis(title="defect rate of the lot", format="%", grid=False))
    y = alt.Y("accepted:Q", axis=alt.Axis(title="chance to be accepted", format="%", tickCount=5))
    agreed = [
        {"defect_rate": plan.acceptable, "accepted": 1 - plan.producers_risk, "says": "acceptable"},
        {"defect_rate": plan.limit, "accepted": plan.consumers_risk, "says": "limit"},
    ]
    line = alt.Chart(alt.Data(values=plan.curve().to_pylist())).mark_line().encode(x, y)
    base = alt.Chart(alt.Data(values=agreed)).encode(x, y)
    points = base.mark_point(filled=True, size=70, color=colour("second"), opacity=1)
    words = base.mark_text(align="left", dx=9, dy=-7).encode(text="says:N")
    title = alt.TitleParams(
        f"Judge {plan.n_masks:,} masks, accept with at most {plan.most_bad} bad",
        subtitle=f"acceptable {100 * plan.acceptable:g} %: refused {100 * plan.producers_risk:.1f} % of the time; "
        f"limit {100 * plan.limit:g} %: accepted {100 * plan.consumers_risk:.1f} %",
        anchor="start",
        offset=16,
    )
    chart = alt.layer(line, points, words).properties(
        width=WIDTH_PX, height=HEIGHT_PX, title=title, padding=20
    )
    save(chart, path)
