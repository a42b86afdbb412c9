"""How far is the data engine, how fast, and how good are its masks? Looks again by itself."""

from datetime import datetime, timezone

import pyarrow as pa
import streamlit as st

from apps.review import access, charts, reports, tables
from curation.engine import progress
from curation.engine.progress import RunProgress
from curation.report.page.engine import COURSES, course
from curation.report.page.words import counted, number, plain, seconds, share, stage

#: Seconds between two looks at what is under way, and at the figures of finished work.
RUNNING_S, FIGURES_S = 5, 30
VERDICT_MARKS = {"met": "✓ met", "not met": "✗ not met", "cannot tell yet": "? cannot tell yet"}
STAGE_COLUMNS = (
    "stage",
    "cycle",
    "run_id",
    "kind",
    "model",
    "preset",
    "is_finished",
    "n_images",
    "n_masks",
    "n_problems",
)
#: Figures of `stage_summary` that are shown with their interval.
STAGE_FIGURES = {"masks_per_image": number, "mean_predicted_iou": number, "small_share": share}
#: Report -> its columns that are shown.
SPEEDS = {
    "throughput": (
        "run_id",
        "work",
        "model",
        "n_images",
        "n_masks",
        "wall_s",
        "images_per_hour",
        "masks_per_hour",
        "working_s_per_image",
        "working_s_per_image_low",
        "working_s_per_image_high",
        "device",
    ),
}


def show(person: access.Person) -> None:
    st.title("Stage dashboard", anchor=False)
    _running()
    if not reports.ask(reports.runs):
        st.info(
            "Nothing is here yet. Make masks with `curation generate`, or bring some with `curation import`."
        )
        return
    _engine()


# -- under way -----------------------------------------------------------------------------------


@st.fragment(run_every=RUNNING_S)
def _running() -> None:
    """Runs that are not finished."""
    st.subheader("Under way", anchor=False)
    running = reports.ask(progress.running)
    if not running:
        st.caption("No generation or import is under way.")
        return
    for run in running:
        _run(run)
    st.caption(f"Rates are an hour of working time. Time left: {progress.DESIGN}.")


def _run(run: RunProgress) -> None:
    words = " · ".join(
        str(w) for w in (f"run {run.run_id}", run.kind, run.model, stage(run.stage, run.cycle)) if w
    )
    with st.container(border=True):
        st.text(words)
        st.progress(
            min(run.done_share, 1.0),
            f"{run.n_done_images:,} of {counted(run.n_planned_images, 'image')}, {counted(run.n_shards, 'shard')}",
        )
        columns = st.columns(4)
        columns[0].metric("Images an hour", plain(_rounded(run.images_per_hour)))
        columns[1].metric("Masks an hour", plain(_rounded(run.masks_per_hour)))
        columns[2].metric("Time left (95 %)", seconds(run.left_s), help=progress.DESIGN)
        columns[2].caption(_left_interval(run))
        columns[3].metric(
            "Last shard", _ago(run.last_shard_at), help="long ago: the run was stopped; start it again"
        )
        if run.n_problems:
            columns[3].caption(f"{counted(run.n_problems, 'problem')}; see report `problems`")


def _rounded(rate: float | None) -> int | None:
    return None if rate is None else round(rate)


def _left_interval(run: RunProgress) -> str:
    if run.left_s_low is None:
        return "no interval before two shards"
    return f"{seconds(max(run.left_s_low, 0))} – {seconds(run.left_s_high)}"


def _ago(moment: datetime | None) -> str:
    if moment is None:
        return "none yet"
    passed = (datetime.now(timezone.utc) - moment).total_seconds()
    return f"{seconds(float(round(max(passed, 0))))} ago" if passed >= 1 else "now"


# -- the engine ----------------------------------------------------------------------------------


@st.fragment(run_every=FIGURES_S)
def _engine() -> None:
    """Figures of runs, cycles and stages."""
    _evolution()
    _readiness()
    _summary()
    _throughput()


def _evolution() -> None:
    rows = reports.rows("stage_evolution")
    if not rows:
        return
    st.subheader("Cycle by cycle", anchor=False)
    with st.container(horizontal=True, gap="medium"):
        for name in COURSES:
            if any(row[name] for row in rows):
                charts.show(course([row for row in rows if row[name] is not None], name))


def _readiness() -> None:
    """The criteria of the newest cycle."""
    answer = reports.report("readiness")
    rows = answer.rows.to_pylist()
    if not rows:
        return
    newest = (rows[-1]["stage"], rows[-1]["cycle"])
    ours = [row for row in rows if (row["stage"], row["cycle"]) == newest]
    n_met = sum(row["verdict"] == "met" for row in ours)
    st.subheader("Ready for the next stage?", anchor=False)
    st.caption(
        f"{stage(*newest).capitalize()}: {n_met} of {len(ours)} criteria are met. A criterion is met where its whole 95 % "
        "interval (image as cluster) lies beyond the limit."
    )
    table = pa.table(
        {
            "criterion": [row["criterion"].replace("_", " ") for row in ours],
            "verdict": [VERDICT_MARKS.get(row["verdict"], row["verdict"]) for row in ours],
            "needed": [row["needed"] for row in ours],
            "estimate": [number(row["estimate"], row["low"], row["high"]) for row in ours],
            "n_images": [row["n_images"] for row in ours],
            "n_units": [row["n_units"] for row in ours],
            "more_images": [row["more_images"] for row in ours],
            "more_reviews": [row["more_reviews"] for row in ours],
        }
    )
    tables.show(table, tables.about(answer.query), key="stage_readiness", alt="Criteria of readiness")


def _summary() -> None:
    answer = reports.report("stage_summary")
    rows = answer.rows.to_pylist()
    st.subheader("Runs", anchor=False)
    columns = {name: [row[name] for row in rows] for name in STAGE_COLUMNS}
    for name, said in STAGE_FIGURES.items():
        columns[name] = [said(row[name], row[f"{name}_low"], row[f"{name}_high"]) for row in rows]
    tables.show(
        pa.table(columns), tables.about(answer.query), key="stage_summary", alt="Runs with their masks"
    )
    if rows:
        st.caption(f"In brackets: 95 % intervals; {rows[0]['design']}.")


def _throughput() -> None:
    st.subheader("Throughput", anchor=False)
    for name, columns in SPEEDS.items():
        if name not in reports.known():
            continue
        answer = reports.report(name)
        shown = answer.rows.select([c for c in columns if c in answer.rows.column_names])
        config = {
            c: tables.whole(tables.about(answer.query)[c])
            for c in shown.column_names
            if c.endswith("_per_hour")
        }
        tables.show(
            shown, tables.about(answer.query), key=f"stage_{name}", alt=answer.query.title, config=config
        )
        st.caption(" ".join(answer.query.about.split(". ")[0].split()) + ".")
