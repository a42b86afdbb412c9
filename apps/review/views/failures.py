"""Where do masks fail? Clusters that a search found, and groups by error against gold, by what reviewers say and by
IoU, each with its pictures.
"""

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from apps.review import access, charts, clusters, data, gallery, reports, tables
from apps.review.gallery import Group
from curation.engine.figures import FIGURES, Measured, Selection
from curation.errors import CurationError
from curation.lake import Lake
from curation.report import figures
from curation.report.page.dots import dot, told
from curation.report.page.failings import KINDS
from curation.report.page.words import basis, counted, share
from curation.sampling import samples
from curation.sampling.frame import Scope
from curation.settings import REVIEW

#: Levels of IoU with gold: COCO's, and the two of which SAM reports shares.
LEVELS = (0.5, 0.75, 0.9)
MOST_IN_SAMPLE = 200
#: The kind of groups that searches find; it has no run of its own.
CLUSTERS = "Clusters"


@dataclass(frozen=True)
class Failing:
    """A group of masks that fail alike: `words` say how many, as a share where the design gives one."""

    name: str
    label: str
    words: str
    group: Group
    dot: dict | None = None


@dataclass(frozen=True)
class Failings:
    """Groups of one kind, and what is behind their numbers."""

    groups: list[Failing]
    note: str


@dataclass(frozen=True)
class Subject:
    """A run and the gold that it is held against; None where it was matched with none."""

    run_id: int
    gold_run_id: int | None


def show(person: access.Person) -> None:
    head, right = st.columns([1, 1], vertical_alignment="bottom")
    head.title("Failures", anchor=False)
    runs = {run["run_id"]: run for run in reports.ask(matched_runs)}
    if not runs:
        st.info("No masks yet. Make some with `curation generate` or bring some with `curation import`.")
        return
    kinds = [*BY]
    kinds.insert(0 if reports.ask(clusters.are_there) else len(kinds), CLUSTERS)
    by = st.segmented_control(
        "Groups",
        kinds,
        default=kinds[0],
        required=True,
        key="failures_by",
        label_visibility="collapsed",
    )
    if by == CLUSTERS:
        clusters.show(person)
        return
    with right:
        subject = _subject(runs)
    _show_groups(person, subject, by)


def _show_groups(person: access.Person, subject: Subject, by: str) -> None:
    """Groups of one kind: the chart of all, the pictures of one."""
    found, nothing = BY[by](subject)
    if found is None or not found.groups:
        st.info(nothing)
        return
    chosen = _choose(found, by)
    if chosen is None:
        return
    st.subheader(chosen.label, anchor=False)
    shown = gallery.show(chosen.group, chosen.words, f"failures_{by}_{chosen.name}_{subject}")
    if not shown:
        return
    ids, draw = st.columns(2, gap="medium")
    with ids:
        st.caption("Ids of the masks on this page")
        st.code("\n".join(map(str, shown)), language=None, height=160)
    with draw:
        if person.may_open("queue"):
            _draw(person, subject, chosen)


def _subject(runs: dict[int, dict]) -> Subject:
    """The run and the gold that were chosen."""
    with st.container(horizontal=True, horizontal_alignment="right"):
        run_id = st.selectbox(
            "Run", runs, format_func=lambda i: _run_words(runs[i]), key="failures_run", width=360
        )
        gold = runs[run_id]["gold_run_ids"]
        if len(gold) < 2:
            return Subject(run_id, gold[0] if gold else None)
        gold_run_id = st.selectbox("Gold run", gold, key="failures_gold", width=160)
    return Subject(run_id, gold_run_id)


def matched_runs(lake: Lake) -> list[dict]:
    """Runs that have masks, those with gold first, then the newest; with the gold runs that each was matched with."""
    return lake.query("""
        SELECT
            runs.run_id,
            runs.kind,
            runs.model,
            runs.stage,
            runs.cycle,
            coalesce(matched.gold_run_ids, []) AS gold_run_ids
        FROM runs
        SEMI JOIN masks USING (run_id)
        LEFT JOIN (
            SELECT run_id, list(DISTINCT gold_run_id ORDER BY gold_run_id) AS gold_run_ids
            FROM gold_matches
            GROUP BY run_id
        ) AS matched USING (run_id)
        WHERE runs.kind <> 'correct'
        ORDER BY matched.gold_run_ids IS NULL, runs.run_id DESC
    """).to_pylist()


def _run_words(run: dict) -> str:
    told = (f"run {run['run_id']}", run["kind"], run["model"], None if run["gold_run_ids"] else "no gold")
    return " · ".join(word for word in told if word)


# -- groups --------------------------------------------------------------------------------------

NO_GOLD = (
    "This run was compared with no gold. Bring some with `curation gold import`, then `curation gold match` "
    "holds the masks against it."
)


def _by_error(subject: Subject) -> tuple[Failings | None, str]:
    if subject.gold_run_id is None:
        return None, NO_GOLD
    rows = reports.rows("error_kinds", run_id=subject.run_id, gold_run_id=subject.gold_run_id)
    rows = [row for row in rows if row["n_kind_masks"] and row["error_kind"] not in ("none", "miss")]
    rows.sort(key=lambda row: -row["n_kind_masks"])
    groups = [
        Failing(
            row["error_kind"],
            KINDS[row["error_kind"]],
            _counted_share(row["n_kind_masks"], row["share"], row["share_low"], row["share_high"]),
            Group(_of_gold(subject, f"error_kind = '{row['error_kind']}'"), "gold_iou"),
            dot(KINDS[row["error_kind"]], row["share"], row["share_low"], row["share_high"]),
        )
        for row in rows
    ]
    note = f"Share of masks, 95 % intervals. {basis(rows[0])}; {rows[0]['design']}." if rows else ""
    return Failings(groups, note), "No mask of this run has an error against gold."


def _by_iou(subject: Subject) -> tuple[Failings | None, str]:
    if subject.gold_run_id is None:
        return None, NO_GOLD
    groups, note = [], ""
    for level in LEVELS:
        measured = reports.ask(bad_share, subject, level)
        if measured is None or not measured.estimate:
            continue
        label = f"IoU with gold of {level:.2f} or less"
        group = Group(_of_gold(subject, f"gold_iou <= {level}"), "gold_iou")
        n_masks = reports.ask(gallery.count, group)
        bounds = (measured.estimate, measured.low, measured.high)
        groups.append(
            Failing(f"iou-{level:.2f}", label, _counted_share(n_masks, *bounds), group, dot(label, *bounds))
        )
        note = f"Share of masks, 95 % intervals. {counted(measured.n_images, 'image')} with gold; image as cluster."
    return Failings(groups, note), f"No mask of this run has an IoU with gold of {LEVELS[-1]:.2f} or less."


def bad_share(lake: Lake, subject: Subject, level: float) -> Measured | None:
    """The share of masks whose best IoU with gold is not above `level`."""
    selection = Selection(subject.run_id, subject.gold_run_id, level)
    return next(FIGURES["bad_share"].read(lake, selection), None)


def _by_reason(subject: Subject) -> tuple[Failings | None, str]:
    counts = dict(reports.ask(reasons, subject.run_id))
    shares = _shares(subject.run_id)
    groups = [
        Failing(
            reason,
            reason.replace("_", " "),
            _reason_words(n, shares.get(reason)),
            Group(
                f"run_id = {subject.run_id} AND mask_id IN "
                f"(SELECT mask_id FROM current_verdicts WHERE list_contains(reasons, '{reason}'))"
            ),
            _reason_dot(reason, shares.get(reason)),
        )
        for reason, n in counts.items()
        if reason in REVIEW.reasons
    ]
    note = "Masks of which a reviewer named this reason, however they were drawn."
    if shares:
        row = next(iter(shares.values()))
        note += f" Shares are of the newest sample of this run, {row['sample']}: {row['design']}."
    return Failings(groups, note), (
        "No reviewer has named a reason on a mask of this run yet. Draw a sample in Queue, and judge it in Review."
    )


def _shares(run_id: int) -> dict[str, dict]:
    """Reason -> its row of `quality_estimate`, by the newest sample that was drawn from this run alone and not on purpose."""
    name = reports.ask(newest_sample, run_id)
    if name is None:
        return {}
    rows = reports.rows("quality_estimate", sample=name)
    return {
        row["figure"].removeprefix("reason:"): row
        for row in rows
        if row["figure"].startswith("reason:") and row["estimate"] is not None
    }


def newest_sample(lake: Lake, run_id: int) -> str | None:
    """The newest judged sample of which every mask is of the run, and from which a rate follows."""
    found = lake.con.execute(
        """
        SELECT sample FROM samples
        WHERE sample IN (SELECT sample FROM settled_verdicts)
        GROUP BY sample
        HAVING min(run_id) = $run_id AND max(run_id) = $run_id AND any_value(design) <> 'purposive'
        ORDER BY min(drawn_at) DESC, sample
        LIMIT 1
        """,
        {"run_id": run_id},
    ).fetchone()
    return found[0] if found else None


def _reason_words(n: int, row: dict | None) -> str:
    words = counted(n, "mask")
    return (
        words if row is None else f"{words}, {share(row['estimate'], row['low'], row['high'])} of the frame"
    )


def _reason_dot(reason: str, row: dict | None) -> dict | None:
    if row is None:
        return None
    return dot(reason.replace("_", " "), row["estimate"], row["low"], row["high"])


def reasons(lake: Lake, run_id: int) -> list[tuple[str, int]]:
    """Reasons that reviewers named, with the masks of the run that have them, the commonest first."""
    return lake.con.execute(
        """
        SELECT reason, count(DISTINCT mask_id) AS n_masks
        FROM (SELECT mask_id, unnest(reasons) AS reason FROM current_verdicts WHERE run_id = ?)
        GROUP BY reason
        ORDER BY n_masks DESC, reason
        """,
        [run_id],
    ).fetchall()


def _of_gold(subject: Subject, condition: str) -> str:
    """Masks that meet a condition on their match with this gold; what lies in crowd gold is not judged."""
    return (
        f"run_id = {subject.run_id} AND mask_id IN (SELECT mask_id FROM gold_matches WHERE run_id = {subject.run_id} "
        f"AND gold_run_id = {subject.gold_run_id} AND coalesce(coco_ignored, 0) & 1 = 0 AND {condition})"
    )


def _counted_share(n: int, value: float, low: float | None, high: float | None) -> str:
    return f"{counted(n, 'mask')}, {share(value, low, high)}"


BY: dict[str, Callable[[Subject], tuple[Failings | None, str]]] = {
    "Error against gold": _by_error,
    "Reviewers' reasons": _by_reason,
    "IoU with gold": _by_iou,
}

# -- page ----------------------------------------------------------------------------------------


def _choose(found: Failings, by: str) -> Failing | None:
    """The group that was chosen, beside the chart of all."""
    by_name = {failing.name: failing for failing in found.groups}
    name = st.pills(
        "Group",
        by_name,
        default=found.groups[0].name,
        format_func=lambda name: f"{by_name[name].label.split(':')[0]} · {by_name[name].words.split(',')[0]}",
        key=f"failures_group_{by}",
        label_visibility="collapsed",
        required=True,
    )
    dots = [failing.dot for failing in found.groups if failing.dot]
    if dots:
        charts.draw(figures.intervals(dots, 2 * charts.WIDTH, "share of masks"), told("Share of masks", dots))
    st.caption(tables.literal(found.note))
    return by_name.get(name)


def _draw(person: access.Person, subject: Subject, chosen: Failing) -> None:
    """A form that draws the worst of the group for review."""
    st.caption("Let people look: a sample on purpose, worst first. It can never enter a rate.")
    with st.form(f"draw_{chosen.name}"), st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input("Name of the sample", f"{chosen.name}-run-{subject.run_id}".replace("_", "-"))
        n_masks = reports.ask(gallery.count, chosen.group)
        size = st.number_input("Masks", 1, n_masks, min(n_masks, MOST_IN_SAMPLE), width=140)
        is_asked = st.form_submit_button("Draw", icon=":material/colorize:")
    if not is_asked:
        return
    risk = "1 - coalesce(gold_iou, predicted_iou, 0)"
    request = {"name": name, "design": "purposive", "size": size, "by": "worst", "risk": risk}
    try:
        scope = Scope(subject.run_id, chosen.group.where)
        with data.lake() as lake:
            drawn = samples.draw(lake, samples.Request(**request, scope=scope, drawn_by=person.rater))
    except CurationError as error:
        st.error(tables.literal(str(error)))
    else:
        reports.forget()
        st.success(f"{counted(drawn.num_rows, 'mask')} drawn as {name}: judge them in Review.")
