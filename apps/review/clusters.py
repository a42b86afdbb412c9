"""Failure clusters on a page: ranked, on a map, each with what is known of it, its history and its pictures."""

import json
from statistics import median
from typing import Any

import pyarrow as pa
import streamlit as st

from apps.review import access, charts, cluster_work, gallery, reports, tables
from apps.review.gallery import Group
from curation.failures import clusters
from curation.lake import Lake
from curation.report.charts import SERIES, altair, colour
from curation.report.page.words import THIN, counted, day, number, percent, plain, share

#: Points on the map, all clusters together: as many as a browser draws at once without a pause.
MOST_POINTS = 3_000
#: Height of the ranked list and of the map beside it, in px.
HEIGHT_PX = 440
#: Marks of the map: beyond the colours of SERIES these tell clusters apart, also without colours.
SHAPES = ("circle", "triangle-up", "square", "diamond", "cross", "triangle-down")
#: Status -> in words, and the colour of its badge.
STATUSES = {
    "found": ("found", "blue"),
    "flagged": ("flagged", "orange"),
    "in_re_annotation": ("in re-annotation", "violet"),
    "fixed": ("fixed", "green"),
    "came_back": ("came back", "red"),
}
#: Smaller false discovery rates are told as smaller than this.
LEAST_Q = 0.001

NOTHING = (
    "No failure clusters yet. `curation failures find` looks for groups of masks that fail alike, in masks that were "
    "matched with gold (`curation gold match`) or judged as a drawn sample (Queue, then Review)."
)
#: Bad masks first, then those of which nobody knows; in no order of images.
BAD_FIRST = "coalesce(CAST(is_bad AS INTEGER), 0.5) DESC, hash(mask_id)"


def are_there(lake: Lake) -> bool:
    return bool(lake.con.execute("SELECT count(*) FROM clusters").fetchone()[0])


def show(person: access.Person) -> None:
    """The ranked list beside the map; below, the cluster that was chosen."""
    rows = {row["cluster"]: row for row in reports.ask(ranked)}
    if not rows:
        st.info(NOTHING)
        return
    places = st.columns(2, gap="medium")
    with places[0]:
        chosen = rows[_choose(rows)]
    with places[1]:
        _map(chosen, rows)
    _detail(person, chosen)


def ranked(lake: Lake) -> list[dict]:
    """Clusters with the most bad masks first: rows of `clusters.newest`, without what only searches compare."""
    return clusters.newest(lake).drop_columns("centroid").to_pylist()


# -- list ----------------------------------------------------------------------------------------


def _choose(rows: dict[int, dict]) -> int:
    """The number of the chosen cluster; arrow keys go through the list."""
    with st.container(height=HEIGHT_PX, border=False):
        return st.radio(
            "Clusters, most bad masks first",
            rows,
            format_func=lambda number_: _label(rows[number_]),
            captions=[tables.literal(_summary(row)) for row in rows.values()],
            key="clusters_chosen",
        )


def _label(row: dict) -> str:
    """Number, words and status, as Markdown."""
    status, badge = STATUSES[row["status"]]
    words = tables.literal(f"{row['cluster']} · {row['words']}")
    return f"{words} :{badge}-badge[{status}]"


def _summary(row: dict) -> str:
    """What ranks a cluster, in a line."""
    told = (
        f"about {_n_bad(row)} bad masks",
        f"{_bad_share(row)} bad",
        _q(row["q_value"]),
        f"{counted(row['n_masks'], 'mask')} of {counted(row['n_images'], 'image')}",
    )
    return " · ".join(told)


def _n_bad(row: dict) -> str:
    return number(*(round(row[name]) for name in ("n_bad", "n_bad_low", "n_bad_high")))


def _bad_share(row: dict) -> str:
    return share(row["bad_share"], row["bad_share_low"], row["bad_share_high"])


def _q(value: float) -> str:
    return f"q{THIN}<{THIN}{LEAST_Q}" if value < LEAST_Q else f"q{THIN}{value:.3f}"


# -- map -----------------------------------------------------------------------------------------


def _map(chosen: dict, rows: dict[int, dict]) -> None:
    found = reports.ask(points, chosen["search_id"])
    if not found:
        st.caption("No map: the masks of this search have no embeddings. `curation generate` stores them.")
        return
    shown = [number_ for number_ in rows if any(point["cluster"] == number_ for point in found)]
    charts.draw(chart(found, shown, chosen["cluster"]), _map_words(found, shown), is_wide=True)
    st.caption(
        "A point is a mask; what lies close together looks and measures alike. The chosen cluster is drawn large. "
        f"At most {MOST_POINTS:,} points, the same at every visit."
    )


def points(lake: Lake, search_id: int) -> list[dict]:
    """Places (x, y) of masks of the clusters of a search, as many of each cluster as there is room for, by hash."""
    return lake.query(
        """
        SELECT cluster, CAST(mask_id AS VARCHAR) AS mask_id, x, y
        FROM cluster_members
        WHERE search_id = $search_id AND x IS NOT NULL AND y IS NOT NULL
        QUALIFY row_number() OVER (PARTITION BY cluster ORDER BY hash(mask_id), mask_id)
            <= $most / (SELECT count(DISTINCT cluster) FROM clusters WHERE search_id = $search_id)
        ORDER BY cluster, hash(mask_id), mask_id
        """,
        {"search_id": search_id, "most": MOST_POINTS},
    ).to_pylist()


def chart(found: list[dict], shown: list[int], chosen: int) -> Any:
    """Points by cluster, in the colours and shapes of `shown`, the most important first; `chosen` above the others."""
    alt = altair()
    looks = [(SERIES[k % len(SERIES)], SHAPES[k // len(SERIES) % len(SHAPES)]) for k in range(len(shown))]
    legend = alt.Legend(orient="bottom", columns=8, symbolOpacity=1, symbolStrokeWidth=0)
    of_cluster = {"title": "cluster", "legend": legend, "sort": None}
    colours = alt.Scale(domain=shown, range=[colour(role) for role, _ in looks])
    shapes = alt.Scale(domain=shown, range=[shape for _, shape in looks])
    axis = {"format": ".1~f", "tickCount": 5}
    base = (
        alt.Chart(alt.Data(values=found))
        .mark_point(filled=True, strokeWidth=0)
        .encode(
            alt.X("x:Q", axis=alt.Axis(title="first axis, in standard deviations", **axis)),
            alt.Y("y:Q", axis=alt.Axis(title="second axis", **axis)),
            alt.Color("cluster:N", scale=colours, **of_cluster),
            alt.Shape("cluster:N", scale=shapes, **of_cluster),
            tooltip=[alt.Tooltip("cluster:N"), alt.Tooltip("mask_id:N", title="mask")],
        )
    )
    is_chosen = f"datum.cluster === {int(chosen)}"
    others = base.transform_filter(f"!({is_chosen})").encode(size=alt.value(24), opacity=alt.value(0.4))
    above = base.transform_filter(is_chosen).encode(size=alt.value(70), opacity=alt.value(0.85))
    return alt.layer(others, above).properties(height=HEIGHT_PX - 90)


def _map_words(found: list[dict], shown: list[int]) -> str:
    """Where the clusters lie, for those who cannot see the map."""
    told = []
    for number_ in shown:
        of = [point for point in found if point["cluster"] == number_]
        x, y = (median(point[axis] for point in of) for axis in ("x", "y"))
        told.append(f"cluster {number_} around {plain(x)} and {plain(y)} ({counted(len(of), 'point')})")
    return f"Map of {counted(len(found), 'mask')} by look and measures, in standard deviations: {'; '.join(told)}."


# -- one cluster ---------------------------------------------------------------------------------


def _detail(person: access.Person, row: dict) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(
            tables.literal(f"Cluster {row['cluster']}: {row['words']}"), anchor=False, width="content"
        )
        words, badge = STATUSES[row["status"]]
        st.badge(words, color=badge)
    group = Group(clusters.membership_sql(row["cluster"], row["search_id"]), BAD_FIRST)
    n_current = reports.ask(gallery.count, group)
    told, work = st.columns(2, gap="medium")
    with told:
        _facts(row)
        _history(row)
    with work:
        cluster_work.show(person, row["cluster"], n_current)
    words = f"{counted(n_current, 'mask')}, bad ones first"
    if n_current < row["n_masks"]:
        words += f"; {counted(row['n_masks'] - n_current, 'other')} corrected since the search"
    gallery.show(group, words, f"clusters_{row['cluster']}")


def _facts(row: dict) -> None:
    """What the search says of the cluster, each number with what is behind it."""
    searched = json.loads(row["search"])
    if not row["is_in_last_search"]:
        st.info(f"Found last by search {row['search_id']} on {day(row['searched_at'])}; newer ones did not.")
    difference = (100 * row[name] for name in ("difference", "difference_low", "difference_high"))
    lines = [
        f"{_bad_share(row)} of its masks are bad, {percent(row['rest_bad_share'])} of all others: "
        f"{'{:+.0f} points ({:+.0f} to {:+.0f})'.format(*difference).replace('-', '−')}, {_q(row['q_value'])}.",
        f"95 % intervals, image as cluster, from {counted(row['n_labelled_masks'], 'labelled mask')} on "
        f"{counted(row['n_labelled_images'], 'image')} that the search had not looked at when it found the cluster.",
        *(f"{words[:1].upper()}{words[1:]}." for words in searched.get("design", [])),
        f"Its bad masks are: {_modes(row)}.",
    ]
    st.markdown("  \n".join(map(tables.literal, lines)))
    if row["rule"] is not None:
        st.code(row["rule"], language="sql", wrap_lines=True)


def _modes(row: dict) -> str:
    """The shares of the seeds' failure modes, the largest first."""
    shares = sorted(json.loads(row["failure_mode_shares"]).items(), key=lambda pair: -pair[1])
    return ", ".join(f"{name.replace('_', '-')} {100 * part:.0f} %" for name, part in shares if part >= 0.005)


def _history(row: dict) -> None:
    """What became of the cluster, oldest first."""
    rows = reports.ask(history, row["cluster"])
    told = [f"{event['status']} {day(event['at'])}" for event in rows.to_pylist()]
    about = {
        "at": "when",
        "status": "what became of it",
        "by": "who; nobody where a search did",
        "batch": "batch that it was sent in, or that proved it",
        "note": "why, or the proof in words",
    }
    tables.show(rows, about, key=f"clusters_history_{row['cluster']}", alt=f"History: {', '.join(told)}")


def history(lake: Lake, cluster: int) -> pa.Table:
    """The events of a cluster as people read them."""
    rows = clusters.events(lake, cluster)
    status = pa.array([STATUSES[status][0] for status in rows["status"].to_pylist()], pa.string())
    columns = [rows["at_utc"], status, *(rows[name] for name in ("by_whom", "batch", "note"))]
    return pa.table(columns, names=["at", "status", "by", "batch", "note"])
