"""How far can the verdicts be trusted? Each rater against gold and themselves; raters against each other."""

import pyarrow as pa
import streamlit as st

from apps.review import access, charts, reports, tables
from curation.report import figures
from curation.report.page.blocks import Figure
from curation.report.page.dots import dot, told
from curation.report.page.words import Said, number, plain, share
from curation.review import agreement, raters
from curation.sampling import samples


def points(value: float | None, low: float | None, high: float | None) -> str:
    """A change of a share, in points."""
    if value is None:
        return "–"
    interval = "no interval" if low is None or high is None else f"{100 * low:+.0f} to {100 * high:+.0f}"
    return f"{100 * value:+.0f} ({interval})".replace("-", "−")


def rate(value: float | None, low: float | None, high: float | None) -> str:
    """A number an hour, whole."""
    return number(*(None if v is None else round(v) for v in (value, low, high)))


#: Figure of `raters.quality` -> head of its column, how it is said, what it means.
FIGURES: dict[str, tuple[str, Said, str]] = {
    "verdicts_per_hour": ("verdicts / h", rate, "verdicts an hour of active time, pauses left out"),
    "gold_agreement": (
        "right on gold",
        share,
        "hidden checks that were answered as gold says: good masks accepted, bad ones not",
    ),
    "repeat_equal": ("same again", share, "hidden repeats with the same decision as the first time"),
    "accept_share": ("accepts", share, "share of first and second opinions that accept"),
    "accept_drift": (
        "drift of accepts",
        points,
        "change of the accept share over 100 verdicts, in points; drift where the interval leaves out 0",
    ),
    "gold_drift": ("drift on gold", points, "change of being right on gold over 100 verdicts, in points"),
    "gold_good_accepted": ("good accepted", share, "good masks among the hidden checks that were accepted"),
    "gold_bad_refused": ("bad refused", share, "bad masks among the hidden checks that were not accepted"),
    "repeat_equal_accept": (
        "accepted again",
        share,
        "hidden repeats that were accepted again, or again were not",
    ),
}
#: Figures of `raters.quality` alone; of the others report `rater_quality` has intervals that hold for few images too.
OVER_TIME = ("verdicts_per_hour", "accept_drift", "gold_drift")
#: Figures that are drawn as dots, with their title.
DRAWN = {"gold_agreement": "Right on hidden gold checks", "repeat_equal": "Same decision on hidden repeats"}
#: Figure of `agreement.agreement` -> what it is called.
BETWEEN = {
    "cohen_kappa": "Cohen's kappa",
    "krippendorff_alpha": "Krippendorff's alpha",
    "equal_share": "equal decisions",
    "human_ceiling": "against the majority of the others",
    "iou": "IoU of corrections",
    "boundary_iou": "boundary IoU of corrections",
}
EVERYONE = "all"


def show(person: access.Person) -> None:
    head, right = st.columns([3, 1], vertical_alignment="bottom")
    head.title("Raters", anchor=False)
    names = [row["sample"] for row in reports.ask(samples.summaries).to_pylist()[::-1]]
    with right:
        sample = st.selectbox(
            "Sample",
            [None, *names],
            format_func=lambda name: "all samples" if name is None else name,
            key="raters_sample",
        )
    if not person.may_open("queue"):
        _own(person, sample)
        return
    rows = _rows(sample)
    if not rows:
        st.info("Nobody has given a verdict yet. Draw a sample in Queue, and judge it in Review.")
        return
    _quality(rows)
    _agreement(sample)
    _confusion(sample)


def _own(person: access.Person, sample: str | None) -> None:
    """What somebody who is no curator sees: themselves."""
    rows = _rows(sample, person.rater)
    if not rows:
        st.info("You have given no verdict here yet: open Review. Only curators see other people's rows.")
        return
    _table(rows)
    st.caption("Only you and the curators see this.")


def _rows(sample: str | None, rater: str | None = None) -> list[dict]:
    """A row a rater and figure; of one rater where one is named."""
    over_time = reports.ask(raters.quality, sample, rater).to_pylist()
    shares = reports.rows("rater_quality", sample=sample)
    return [row for row in over_time if row["figure"] in OVER_TIME] + [
        row for row in shares if row["estimate"] is not None and rater in (None, row["rater"])
    ]


# -- each rater ----------------------------------------------------------------------------------


def _quality(rows: list[dict]) -> None:
    st.subheader("Each rater", anchor=False)
    _table(rows)
    drawn = {name: [row for row in rows if row["figure"] == name] for name in DRAWN}
    with st.container(horizontal=True, gap="medium"):
        for name, of_figure in drawn.items():
            if of_figure:
                charts.show(_dots(name, of_figure))
    if not all(drawn.values()):
        st.caption(
            "Hidden gold checks come where gold was matched (`curation gold match`), hidden repeats once a rater has "
            "judged enough masks."
        )


def _table(rows: list[dict]) -> None:
    """A row a rater, a column a figure that anything is known of; how many verdicts are behind it stands with it."""
    names = sorted({row["rater"] for row in rows})
    held = {(row["rater"], row["figure"]): row for row in rows}
    columns: dict[str, list[str]] = {"rater": names}
    about = {"rater": "who judges"}
    for figure, (head, said, meaning) in FIGURES.items():
        if not any(row["figure"] == figure for row in rows):
            continue
        found = [held.get((name, figure)) for name in names]
        columns[head] = [_cell(row, said) for row in found]
        about[head] = f"{meaning}; in brackets its 95 % interval, behind the dot the number of verdicts"
    tables.show(pa.table(columns), about, key="raters_quality", alt="Raters with their figures")
    designs = sorted({row["design"] for row in rows})
    st.caption(f"95 % intervals; {'; '.join(designs)}.")


def _cell(row: dict | None, said: Said) -> str:
    if row is None:
        return "–"
    return f"{said(row['estimate'], row['low'], row['high'])} · {row['n_verdicts']:,}"


def _dots(name: str, rows: list[dict]) -> Figure:
    dots = [
        dot(row["rater"], row["estimate"], row["low"], row["high"])
        for row in rows
        if row["estimate"] is not None
    ]
    counts = ", ".join(plain(row["n_verdicts"]) for row in rows)
    return Figure(
        name,
        DRAWN[name],
        alt=told(DRAWN[name], dots),
        note=f"95 % intervals; verdicts: {counts}; {rows[0]['design']}.",
        draw=lambda width: figures.intervals(dots, width, "share of verdicts"),
    )


# -- between raters ------------------------------------------------------------------------------


def _agreement(sample: str | None) -> None:
    st.subheader("Between raters", anchor=False)
    rows = reports.ask(agreement.agreement, sample).to_pylist()
    known = [row for row in rows if row["estimate"] is not None]
    if not known:
        st.info("No two people have judged the same masks yet: second opinions come by themselves in Review.")
        return
    shown = pa.table(
        {
            "figure": [BETWEEN.get(row["figure"], row["figure"].replace("_", " ")) for row in known],
            "of": [row["of"].replace("_", " ") for row in known],
            "raters": [_pair(row) for row in known],
            "estimate": [number(row["estimate"], row["low"], row["high"]) for row in known],
            "n_masks": [row["n_masks"] for row in known],
            "n_images": [row["n_images"] for row in known],
        }
    )
    about = {
        "figure": "kappa and alpha: 1 is full agreement, 0 what chance gives",
        "of": "what is compared: the decision, accepting or not, ratings, corrections",
        "raters": "two raters, one against the rest, or all",
        "estimate": "with its 95 % interval",
        "n_masks": "masks that they judged in common",
        "n_images": "images that these lie on",
    }
    tables.show(shown, about, key="raters_agreement", alt="Agreement between raters")
    st.caption(f"95 % intervals; {known[0]['design']}.")


def _pair(row: dict) -> str:
    if row["rater"] is None:
        return EVERYONE
    return f"{row['rater']} – {row['other']}" if row["other"] else f"{row['rater']} – the others"


def _confusion(sample: str | None) -> None:
    rows = reports.ask(raters.reason_confusion, sample)
    if not rows.num_rows:
        return
    st.subheader("Reasons", anchor=False)
    st.caption("Where a rater named a reason, what another named on the same mask.")
    about = {
        "rater": "who named the reason",
        "reason": "reason that the rater named",
        "other_reason": "what another rater named on the same mask; empty for none",
        "n_masks": "pairs of opinions",
        "share": "of the pairs with this reason of this rater, 0..1",
    }
    config = {
        "share": st.column_config.ProgressColumn(
            help=about["share"], format="percent", min_value=0, max_value=1
        )
    }
    tables.show(rows, about, key="raters_reasons", alt="Reasons that raters name together", config=config)
