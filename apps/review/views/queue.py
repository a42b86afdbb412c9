"""How far is the review? Every sample with its work, its raters and its disagreements; and new samples."""

from dataclasses import asdict
from typing import Any

import pyarrow as pa
import streamlit as st

from apps.review import access, data, reports, tables
from curation import conditions
from curation.errors import CurationError
from curation.report.page.words import counted, seconds
from curation.review import adjudication, image_mode, queue, rules
from curation.review.progress import Progress
from curation.sampling import designs, samples
from curation.sampling.frame import Scope
from curation.settings import REVIEW

#: Seconds between two looks at the queue.
REFRESH_S = 5
#: Design -> what it is for, in a sentence.
DESIGNS = {
    "srs": "Simple random: every mask has the same chance. For a rate of all masks.",
    "stratified": "Stratified: simple random in each stratum. For rates of each, and narrower ones of all.",
    "pps": "Proportional to a risk: likely failures come more often. For rates of rare failures.",
    "two_stage": "Two-stage: images, then masks in them. Where opening an image is what costs.",
    "purposive": "On purpose: worst first, or as different as can be. To find and mend; it can never enter a rate.",
}
SAMPLE_COLUMNS = {
    "sample": "name of the sample",
    "design": "how it was drawn",
    "drawn": "masks drawn",
    "judged": "masks with a verdict that counts",
    "judged_share": "judged / drawn, 0..1",
    "open": "masks that raters hold now; a lease that ends gives them back",
    "second_opinions": "masks that two people judged / masks that two people are asked about",
    "disagreements": "masks on which raters disagree, and that nobody has decided yet",
    "time_left": "working time until all verdicts are given, at the speed of those at work",
}
RATER_COLUMNS = {
    "rater": "who judges",
    "verdicts": "verdicts in this sample, hidden checks included",
    "open": "masks held now",
    "verdicts_per_hour": f"verdicts an hour of active time; gaps over {REVIEW.break_gap_s:g} s are pauses",
    "last_verdict": "when the last verdict was given",
}


def show(person: access.Person) -> None:
    st.title("Queue and progress", anchor=False)
    _overview()
    _image_mode()
    closer, drawing = st.columns([3, 2], gap="large")
    with closer:
        _closer()
    with drawing:
        _draw(person)


@st.fragment(run_every=REFRESH_S)
def _overview() -> None:
    """All samples with how far they are."""
    found = _samples()
    if not found:
        st.info("No sample yet. Draw one here, or with `curation sample draw NAME --design srs --size 200`.")
        return
    config = {
        "judged_share": st.column_config.ProgressColumn(
            help=SAMPLE_COLUMNS["judged_share"], format="percent", min_value=0, max_value=1
        )
    }
    rows = pa.Table.from_pylist([_sample_row(row, progress) for row, progress in found])
    alt = "Samples with their progress"
    tables.show(rows, SAMPLE_COLUMNS, key="queue_samples", alt=alt, config=config)
    if len(found) > 1:
        st.caption(
            f"In the order in which raters meet them: the newest first, but for those that `first` in `{rules.FILE}` names."
        )


@st.fragment(run_every=REFRESH_S)
def _image_mode() -> None:
    """Who has an image open in image mode, and how many regions people found nothing missing in."""
    told = reports.ask(image_mode.told, most_age_s=REFRESH_S)
    if told.n_answers or told.open_by:
        at_work = ", ".join(told.open_by) or "nobody"
        st.text(
            f"Image mode: {at_work} at work · nothing missing in {counted(told.n_answers, 'uncovered region')} "
            f"of {counted(told.n_images, 'image')}"
        )


@st.fragment(run_every=REFRESH_S)
def _closer() -> None:
    """One sample: its numbers, its raters, and what waits for a third person."""
    found = {progress.sample: progress for _, progress in _samples()}
    if not found:
        return
    progress = found[st.selectbox("Sample", list(found), key="queue_sample")]
    numbers = (
        (f"Masks judged of {progress.n_drawn:,}", f"{progress.n_judged:,}", SAMPLE_COLUMNS["judged"]),
        (
            f"Verdicts given of {progress.n_verdicts_wanted:,}",
            f"{progress.n_verdicts_given:,}",
            "first and second opinions that the sample asks for",
        ),
        ("Masks open", f"{progress.n_open:,}", SAMPLE_COLUMNS["open"]),
        ("Time left", _left(progress), SAMPLE_COLUMNS["time_left"]),
    )
    for column, (label, value, about) in zip(st.columns(4), numbers, strict=True):
        column.metric(label, value, help=about)
    if progress.raters:
        config = {"verdicts_per_hour": tables.number(RATER_COLUMNS["verdicts_per_hour"])}
        alt = "Raters of the sample"
        tables.show(_rater_rows(progress), RATER_COLUMNS, key="queue_raters", alt=alt, config=config)
    _waiting(progress)


def _samples() -> list[tuple[dict, Progress]]:
    """Samples, each with its progress, in the order in which raters meet them, but for second opinions."""
    drawn = reports.ask(samples.summaries).to_pylist()[::-1]
    found = [(row, reports.ask(queue.progress, row["sample"], most_age_s=REFRESH_S)) for row in drawn]
    urgency = data.rules().urgency
    return sorted(found, key=lambda one: (one[1].n_judged == one[1].n_drawn, urgency(one[1].sample)))


def _sample_row(row: dict, progress: Progress) -> dict[str, Any]:
    return {
        "sample": progress.sample,
        "design": row["design"],
        "drawn": progress.n_drawn,
        "judged": progress.n_judged,
        "judged_share": progress.n_judged / progress.n_drawn,
        "open": progress.n_open,
        "second_opinions": f"{progress.n_double_reviewed} / {progress.n_double_wanted}",
        "disagreements": progress.n_disagreements,
        "time_left": _left(progress),
    }


def _left(progress: Progress) -> str:
    return "done" if progress.left_s == 0 else seconds(progress.left_s)


def _rater_rows(progress: Progress) -> pa.Table:
    names = ("rater", "n_verdicts", "n_open", "verdicts_per_hour", "last_at")
    columns = {
        shown: [asdict(rater)[name] for rater in progress.raters]
        for shown, name in zip(RATER_COLUMNS, names, strict=True)
    }
    columns["last_verdict"] = pa.array(columns["last_verdict"], pa.timestamp("us", "UTC"))
    return pa.table(columns)


def _waiting(progress: Progress) -> None:
    waiting = reports.ask(adjudication.disagreements, progress.sample)
    if not waiting:
        decided = (
            f"; {counted(progress.n_adjudicated, 'mask')} decided so far" if progress.n_adjudicated else ""
        )
        st.caption(f"No disagreement waits for a third person{decided}.")
        return
    st.markdown("**Waiting for a third person**")
    st.caption(
        "Who did not judge the mask decides in Review; only people who are done with it should look here."
    )
    rows = [
        {
            "mask_id": str(one.mask_id),
            **{f"opinion_{k + 1}": _said(opinion) for k, opinion in enumerate(one.opinions)},
        }
        for one in waiting
    ]
    names = sorted({name for row in rows for name in row}, key=lambda name: (name != "mask_id", name))
    table = pa.table({name: [row.get(name) for row in rows] for name in names})
    tables.show(table, {"mask_id": "mask"}, key="queue_waiting", alt="Masks on which raters disagree")


def _said(opinion: adjudication.Opinion) -> str:
    rating = "" if opinion.rating is None else f" {opinion.rating}"
    reasons = f" ({', '.join(opinion.reasons)})" if opinion.reasons else ""
    return f"{opinion.rater}: {opinion.decision}{rating}{reasons}"


# -- drawing -------------------------------------------------------------------------------------


def _draw(person: access.Person) -> None:
    """A form that draws a sample."""
    st.subheader("Draw a sample", anchor=False)
    design = st.selectbox("Design", list(DESIGNS), key="draw_design")
    st.caption(DESIGNS[design])
    with st.form("draw"):
        left, right = st.columns(2)
        given: dict[str, Any] = {"design": design, "drawn_by": person.rater}
        given["name"] = left.text_input(
            "Name", max_chars=80, key="draw_name", help="letters, digits, '.', '_' and '-'"
        )
        given["size"] = right.number_input(
            "Masks", 1, value=200, key="draw_size", help="with pps: draws, which may hit a mask twice"
        )
        run_id = left.selectbox("Run", [None, *_runs()], format_func=_run_words, help=_run_help())
        given["seed"] = right.number_input("Seed", 0, value=0, help="the same seed draws the same masks")
        where = left.text_input("Only masks of which", placeholder="area_px >= 576", help=_columns_help())
        with right:
            at = reports.choose_snapshot("draw_at", "Drawn from the masks that the lake had then.")
        given |= _of_design(design)
        is_asked = st.form_submit_button("Draw", type="primary", icon=":material/colorize:")
    if is_asked:
        _draw_now(given, Scope(run_id, where.strip() or None), at)


def _of_design(design: str) -> dict[str, Any]:
    """Controls that only this design has."""
    if design == "stratified":
        left, right = st.columns(2)
        strata = left.text_input("Strata", "size_band", help=f"a column or SQL expression. {_columns_help()}")
        allocation = right.selectbox(
            "Allocation",
            designs.ALLOCATIONS,
            key="draw_allocation",
            help="how many masks each stratum gets",
        )
        risk = st.text_input(
            "Risk whose spread decides (neyman)",
            placeholder="verdicts, else gold",
            key="draw_risk",
            help=_columns_help(),
        ).strip()
        return {
            "strata": strata,
            "allocation": allocation,
            "risk": risk or None if allocation == "neyman" else None,
        }
    if design == "two_stage":
        return {
            "masks_per_image": st.number_input("Masks an image, at most", 1, value=samples.MASKS_PER_IMAGE)
        }
    if design == "pps":
        risk = "greatest(0.01, 1 - coalesce(predicted_iou, 0))"
        return {"risk": st.text_input("Risk, above 0, larger is worse", risk, help=_columns_help())}
    if design == "purposive":
        left, right = st.columns([1, 2])
        by = left.selectbox("Order", samples.ORDERS, help="worst first; or farthest apart in embeddings")
        risk = right.text_input(
            "Risk, larger is worse (worst)", "1 - coalesce(predicted_iou, 0)", help=_columns_help()
        )
        return {"by": by, "risk": risk if by == "worst" else None}
    return {}


def _draw_now(given: dict[str, Any], scope: Scope, at: str | None) -> None:
    try:
        with data.lake() as lake:
            drawn = samples.draw(lake, samples.Request(scope=scope, **given), at)
    except CurationError as error:
        st.error(tables.literal(str(error)))
        return
    images = len(set(drawn["image_id"].to_pylist()))
    st.success(
        f"{counted(drawn.num_rows, 'mask')} of {counted(images, 'image')} drawn as {given['name']}: judge them in Review."
    )
    reports.forget()


def _runs() -> list[int]:
    return [run["run_id"] for run in reports.ask(reports.runs) if run["kind"] not in ("gold", "correct")]


def _run_words(run_id: int | None) -> str:
    return "newest of each image" if run_id is None else f"run {run_id}"


def _run_help() -> str:
    return "masks of one run; or, of each stage and cycle, those of the newest run that read the image"


def _columns_help() -> str:
    return f"SQL over: {', '.join(f'`{name}`' for name in conditions.COLUMNS)}"
