"""How far is the data engine, how fast, and how good are its masks? Looks again by itself."""

from datetime import datetime, timezone

import pyarrow as pa
import streamlit as st

from apps.review import access, charts, reports, tables
from curation.engine import progress
from curation.engine.progress import RunProgress
from curation.lake import Lake
from curation.report import figures
from curation.report.page.engine import COURSES
from curation.report.page.engine import course as course_of
from curation.report.page.words import (
    counted,
    number,
    percent,
    percent_interval,
    plain,
    seconds,
    share,
    stage,
)
from curation.review import progress as review_progress
from curation.sampling import course, estimates, judged, samples, stopping

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
    "review_throughput": (
        "given_on",
        "rater",
        "n_verdicts",
        "active_h",
        "verdicts_per_hour",
        "verdicts_per_hour_low",
        "verdicts_per_hour_high",
        "median_took_s",
        "n_drawn",
        "drawn_took_s",
    ),
}
#: Parts of the names of columns that hold measured numbers -> decimals; the first that fits.
DECIMALS = {"_per_hour": 0, "_s_": 1, "_s$": 1, "_h$": 2}
#: Whose rows only curators see.
OF_RATERS = "review_throughput"


def show(person: access.Person) -> None:
    st.title("Stage dashboard", anchor=False)
    _running()
    if not reports.ask(reports.runs):
        st.info(
            "Nothing is here yet. Make masks with `curation generate`, or bring some with `curation import`."
        )
        return
    _quality()
    _engine(person.may_open("queue"))


# -- under way -----------------------------------------------------------------------------------


@st.fragment(run_every=RUNNING_S)
def _running() -> None:
    """Runs that are not finished, and samples that people are judging."""
    st.subheader("Under way", anchor=False)
    running = reports.ask(progress.running)
    for run in running:
        _run(run)
    if running:
        st.caption(f"Rates are an hour of working time. Time left: {progress.DESIGN}.")
    reviewed = reports.ask(review_progress.under_way, most_age_s=RUNNING_S)
    for sample in reviewed:
        _review(reports.ask(review_progress.progress, sample, most_age_s=RUNNING_S))
    if not running and not reviewed:
        st.caption("No generation, import or review is under way.")


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


def _review(found: review_progress.Progress) -> None:
    at_work = [rater for rater in found.raters if rater.n_open]
    speeds = [rater.verdicts_per_hour for rater in at_work if rater.verdicts_per_hour is not None]
    with st.container(border=True):
        st.text(f"review of sample {found.sample}")
        words = f"{found.n_judged:,} of {counted(found.n_drawn, 'mask')} judged"
        st.progress(found.n_judged / found.n_drawn, words)
        columns = st.columns(4)
        columns[0].metric("Raters at work", len(at_work))
        columns[1].metric("Verdicts an hour", plain(_rounded(sum(speeds))) if speeds else "–")
        columns[2].metric("Time left", seconds(found.left_s), help="at the speed of those at work")
        columns[3].metric("Disagreements", found.n_disagreements, help="masks that wait for a third person")


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


# -- quality -------------------------------------------------------------------------------------


@st.fragment(run_every=FIGURES_S)
def _quality() -> None:
    """What people's verdicts say of a frame, and how its interval narrows while they come in."""
    st.subheader("Quality by people's verdicts", anchor=False)
    drawn = {row["sample"]: row for row in reports.ask(samples.summaries).to_pylist()[::-1]}
    names = [name for name, row in drawn.items() if row["design"] != "purposive"]
    names.sort(key=lambda name: not drawn[name]["n_judged"])  # the newest of which something is known
    if not names:
        st.info(
            "No sample that a rate could follow from. Draw one in Queue, or with `curation sample draw NAME --design srs "
            "--size 200`, and judge it in Review."
        )
        return
    figures_ = {figure.name: figure for figure in judged.figures()}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Sample", names, key="stage_sample", width=280)
        figure = st.selectbox(
            "Figure", list(figures_), key="stage_figure", width=280, help="share of the masks of the frame"
        )
        half_width = st.number_input(
            "Wanted ±",
            0.005,
            0.5,
            0.05,
            0.005,
            format="%.3f",
            key="stage_half_width",
            width=140,
            help="judge until the share is known to so much, however often one looks",
        )
    if not drawn[name]["n_judged"]:
        st.info(
            f"Nobody has judged a mask of this sample ({counted(drawn[name]['n_masks'], 'mask')}) yet. Open Review."
        )
        return
    chart, table = st.columns([9, 11], gap="medium")
    with chart:
        _course(name, figures_[figure])
        _enough(name, figure, half_width)
    with table:
        _figures(name)


def _course(name: str, figure: judged.Figure) -> None:
    """The estimate over the number of verdicts, with its band."""
    points = reports.ask(course.course, name, figure.name)
    if not points:
        st.info(
            f"{figure.name} is estimated once {counted(course.LEAST, 'mask')} are judged that tell about it."
        )
        return
    rows = [
        {"x": point.n_judged, "value": point.estimate, "low": point.low, "high": point.high}
        for point in points
    ]
    last = points[-1]
    words = share(last.estimate, last.low, last.high)
    st.markdown(f"**{words}** · {tables.literal(figure.about)}")
    charts.draw(
        figures.narrowing(rows, charts.WIDTH, "masks with a verdict that counts"),
        f"Share of masks: {figure.about}, over the number of judged masks; {words} after {counted(last.n_judged, 'mask')}.",
        is_wide=True,
    )


def _enough(name: str, figure: str, half_width: float) -> None:
    """Whether the sample is judged enough for that half-width."""
    found = reports.ask(enough_for, name, figure, half_width)
    words = f"{found.needed}; {share(found.share, found.low, found.high)}, valid however often one looks."
    if found.is_enough:
        st.success(f"Enough: {words}", icon=":material/check_circle:")
    else:
        st.info(f"Not yet enough: {words}", icon=":material/hourglass_bottom:")


def enough_for(lake: Lake, name: str, figure: str, half_width: float) -> stopping.Enough:
    return stopping.enough(lake, name, figure, half_width=half_width)


def estimate_rows(lake: Lake, name: str) -> list[dict]:
    return estimates.rows(estimates.estimate(lake, name)).to_pylist()


def _figures(name: str) -> None:
    """All figures of the sample that anything is known of."""
    rows = [row for row in reports.ask(estimate_rows, name) if row["estimate"] is not None]
    if not rows:
        return
    abouts = {figure.name: figure.about for figure in judged.figures()}
    shown = pa.table(
        {
            "figure": [abouts[row["figure"]] for row in rows],
            "share": [share(row["estimate"], row["low"], row["high"]) for row in rows],
            "images_like_these": [percent_interval(row["images_low"], row["images_high"]) for row in rows],
            "n_masks": [row["n_masks"] for row in rows],
            "n_images": [row["n_images"] for row in rows],
        }
    )
    about = {
        "figure": "what is counted",
        "share": "share of the masks of the frame, with its 95 % interval",
        "images_like_these": "95 % interval for other images like these, with the image as cluster",
        "n_masks": "masks that tell about it",
        "n_images": "images that they lie on",
    }
    tables.show(shown, about, key="stage_figures", alt=f"Shares by the verdicts on sample {name}")
    st.caption(tables.literal(rows[0]["design"]) + ".")


# -- the engine ----------------------------------------------------------------------------------


@st.fragment(run_every=FIGURES_S)
def _engine(sees_raters: bool) -> None:
    """Figures of runs, cycles and stages, and the speed of machines and people."""
    _evolution()
    _readiness()
    _summary()
    _throughput(sees_raters)


def _evolution() -> None:
    rows = reports.rows("stage_evolution")
    if not rows:
        return
    st.subheader("Cycle by cycle", anchor=False)
    shown = [name for name in COURSES if any(row[name] for row in rows)]
    if len(rows) == 1:
        _only_cycle(rows[0], shown)
        return
    with st.container(horizontal=True, gap="medium"):
        for name in shown:
            charts.show(course_of([row for row in rows if row[name] is not None], name))


def _only_cycle(row: dict, names: list[str]) -> None:
    """The figures of a lake of one cycle, where a chart would show one dot."""
    for column, name in zip(st.columns(max(len(names), 4)), names, strict=False):
        title, is_share = COURSES[name]
        value = percent(row[name]) if is_share else plain(row[name])
        low, high = row[f"{name}_low"], row[f"{name}_high"]
        column.metric(title, value)
        column.caption(percent_interval(low, high) if is_share else f"{plain(low)}–{plain(high)}")
    st.caption(f"{stage(row['stage'], row['cycle']).capitalize()}. 95 % intervals; {row['design']}.")


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


def _throughput(sees_raters: bool) -> None:
    for name, columns in SPEEDS.items():
        if name == OF_RATERS and not sees_raters:
            continue
        answer = reports.report(name)
        st.subheader(answer.query.title, anchor=False)
        about = tables.about(answer.query)
        decimals = {column: _decimals(column) for column in columns}
        config = {c: tables.number(about[c], n) for c, n in decimals.items() if n is not None}
        shown = answer.rows.select(columns)
        tables.show(shown, about, key=f"stage_{name}", alt=answer.query.title, config=config)
        if shown.num_rows:
            st.caption(f"Bounds are of 95 % intervals; {answer.rows['design'][0].as_py()}.")


def _decimals(column: str) -> int | None:
    """Decimals of a column of measured numbers; None for all others."""
    return next((n for part, n in DECIMALS.items() if part in f"{column}$"), None)
