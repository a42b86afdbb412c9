"""Charts of the report on a page of the app, in its light or its dark colours."""

import json
import re
from typing import Any

import streamlit as st

from apps.review import tables
from curation.report.charts import COLOURS, STEPS
from curation.report.page.blocks import Figure

#: Width of a chart, in px: two stand beside each other on a screen of 1280 px, three on one of 1920.
WIDTH = 540

_DARK = dict([*COLOURS.values(), *STEPS])
_COLOUR = re.compile("|".join(map(re.escape, _DARK)))


def draw(chart: Any, alt: str, is_wide: bool = False) -> None:
    """The chart as wide as it was made, or as wide as its place; `alt` says in words what it shows."""
    text = json.dumps(chart.to_dict())
    if st.context.theme.type == "dark":
        text = _COLOUR.sub(lambda found: _DARK[found[0]], text)
    spec = json.loads(text)
    if is_wide:
        autosize = {"type": "fit", "contains": "padding"}
        padding = {"left": 4, "right": 12, "top": 8, "bottom": 4}
        spec |= {"width": "container", "autosize": autosize, "padding": padding}
    st.vega_lite_chart(spec=spec, theme=None, width="stretch" if is_wide else "content", alt=alt)


def show(figure: Figure) -> None:
    """A chart of the report with its title above and what is behind it below, as one piece of a row that wraps."""
    with st.container(width=WIDTH, gap=None):
        st.text(figure.title)
        draw(figure.draw(WIDTH), figure.alt)
        st.caption(tables.literal(figure.note))
