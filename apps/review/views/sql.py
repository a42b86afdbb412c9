"""What do the numbers say? Every report with its parameters as controls, and SQL that only reads."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import streamlit as st

from apps.review import access, data, reports, tables
from curation import prompt
from curation.errors import CurationError
from curation.queries import NO_DEFAULT, Parameter, Query
from curation.schemas import TABLES
from curation.settings import PROMPT
from curation.views import VIEWS

FIRST_QUESTION = """SELECT stage, cycle, count(*) AS n_masks
FROM current_masks
GROUP BY ALL
ORDER BY ALL"""
#: View of every lake -> what it holds; its columns can be asked with DESCRIBE.
VIEWS_ABOUT = {
    "current_masks": "masks, without those that a correction has superseded or that were taken back",
    "current_drawn_masks": "how masks were drawn, without those that were taken back",
    "drawn_on_runs": "masks that people drew or corrected, under the run that they were drawn on",
    "current_images": "the newest run of each image, a row a stage and cycle",
    "gold_comparisons": "gold_matches, with whether the mask counts: one in crowd gold is neither right nor wrong",
    "current_verdicts": "verdicts, without what was taken back or said anew",
    "settled_verdicts": "the verdict that counts, a row a judged mask of a sample",
}
INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")


@dataclass(frozen=True)
class Shown:
    """Rows on the page, as they were asked: they stay until something else is asked."""

    asked: str
    name: str
    rows: pa.Table
    about: dict[str, str]
    took_s: float
    is_cut: bool = False


def show(person: access.Person) -> None:
    head, right = st.columns([3, 1], vertical_alignment="bottom")
    head.title("SQL", anchor=False)
    with right:
        at = reports.choose_snapshot(
            "sql_at", "Reports and questions see the lake as it was then. `curation tag` names a version."
        )
    by_report, by_prompt = st.tabs(["Reports", "Prompt"])
    with by_report:
        _reports(at)
    with by_prompt:
        _prompt(at)


# -- reports -------------------------------------------------------------------------------------


def _reports(at: str | None) -> None:
    known = reports.known()
    name = st.selectbox(
        "Report",
        known,
        format_func=lambda name: f"{known[name].title} · {name}",
        key="sql_report",
        bind="query-params",
    )
    query = known[name]
    st.markdown(_prose(query.about))
    st.caption(f"A row: {query.grain}.")
    with st.form(f"form_{name}", border=bool(query.params)):
        with st.container(horizontal=True):
            given = {parameter.name: _control(name, parameter, at) for parameter in query.params}
        is_asked = st.form_submit_button("Run", type="primary", icon=":material/play_arrow:")
    held = "sql_report_shown"
    if is_asked:
        st.session_state[held] = _asked(query, given, at)
    _show_held(held, f"{name} {at}")


def _asked(query: Query, given: dict[str, Any], at: str | None) -> Shown | str:
    """The answer, or why there is none."""
    given = {
        name: value for name, value in given.items() if value is not None or _has_null_default(query, name)
    }
    try:
        with st.spinner("Asking …"), reports.lake(at) as lake:
            answer = reports.run(lake, query.name, tuple(given.items()))
    except CurationError as error:
        return str(error)
    return Shown(f"{query.name} {at}", query.name, answer.rows, tables.about(query), answer.took_s)


def _has_null_default(query: Query, name: str) -> bool:
    return next(p.default is None for p in query.params if p.name == name)


def _control(report: str, parameter: Parameter, at: str | None) -> Any:
    """The control that fits a parameter; its value as the report takes it, None where it was left empty."""
    default = None if parameter.default is NO_DEFAULT else parameter.default
    words = {
        "label": parameter.name,
        "help": parameter.about,
        "key": f"{report}.{parameter.name}",
        "width": 200,
    }
    if parameter.name.endswith("run_id"):
        return _run(parameter, at, words)
    if parameter.type in INTEGERS:
        return st.number_input(value=default, step=1, placeholder="null", **words)
    if parameter.type == "DOUBLE":
        value = None if default is None else float(default)
        return st.number_input(value=value, step=0.01, format="%g", placeholder="null", **words)
    if parameter.type == "BOOLEAN":
        return st.checkbox(value=bool(default), **words)
    if parameter.type.endswith("[]"):
        words["width"] = 280
        text = st.text_input(value=", ".join(map(str, default or ())), placeholder="null", **words)
        return f"[{text.strip('[] ')}]" if text.strip() else None
    return st.text_input(value=default, placeholder="null", **words) or None


def _run(parameter: Parameter, at: str | None, words: dict[str, Any]) -> int | None:
    """A run by its number; gold runs where the parameter asks for gold, else the others."""
    is_gold = parameter.name.startswith("gold")
    there = {
        run["run_id"]: run
        for run in reports.ask(reports.runs, at=at)
        if (run["kind"] == "gold") == is_gold and run["kind"] != "correct"
    }
    nothing = "all" if parameter.default is None and "all" in parameter.about else "none"
    return st.selectbox(
        options=[None, *there],
        format_func=lambda run_id: nothing if run_id is None else _run_words(there[run_id]),
        **words,
    )


def _run_words(run: dict) -> str:
    told = (
        run["run_id"],
        run["kind"],
        run["model"] or run["annotator"],
        run["cycle"] and f"cycle {run['cycle']}",
    )
    return " · ".join(str(word) for word in told if word)


# -- prompt --------------------------------------------------------------------------------------


def _prompt(at: str | None) -> None:
    question, contents = st.columns([2, 1], gap="medium")
    with contents:
        _contents()
    held = "sql_prompt_shown"
    with question, st.form("prompt", border=False):
        text = st.text_area("One SELECT over the lake", FIRST_QUESTION, height=260, key="sql_text")
        st.caption(
            f"Reads tables of the lake only: no files, no network, no writing. At most {PROMPT.rows:,} rows and "
            f"{PROMPT.seconds:g} s; Ctrl+Enter asks."
        )
        is_asked = st.form_submit_button("Run", type="primary", icon=":material/play_arrow:")
    if is_asked:
        with st.spinner("Asking …"):
            st.session_state[held] = _answered(text, at)
    _show_held(held, str(at))


def _answered(text: str, at: str | None) -> Shown | str:
    """The answer, or why there is none."""
    try:
        answer = prompt.ask_apart(data.root(), text, at)
    except CurationError as error:
        return str(error)
    return Shown(str(at), "answer", tables.distinct(answer.rows), {}, answer.took_s, answer.is_cut)


def _contents() -> None:
    """What can stand after FROM, and the columns of the table that is chosen."""
    about = {**{name: table.about for name, table in TABLES.items()}, **{n: VIEWS_ABOUT[n] for n in VIEWS}}
    name = st.selectbox("Tables and views", about, index=list(about).index("masks"), key="sql_table")
    st.caption(about[name])
    if name in TABLES:
        columns = [
            {"column": c.name, "type": c.type, "unit": c.unit, "about": c.about} for c in TABLES[name].columns
        ]
        st.dataframe(columns, hide_index=True, height=260, placeholder="")
    else:
        st.code(f"DESCRIBE {name}", language="sql")


# -- both ----------------------------------------------------------------------------------------


def _show_held(held: str, asked: str) -> None:
    """The rows of the last question, where it is the one that the controls show."""
    shown = st.session_state.get(held)
    if shown is None:
        return
    if isinstance(shown, str):
        st.error(_literal(shown))
        return
    if shown.asked != asked:
        return
    n = shown.rows.num_rows
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.text(f"{n:,} row{'' if n == 1 else 's'} · {shown.took_s:.2f} s")
        tables.downloads(shown.rows, shown.name)
    if shown.is_cut:
        st.warning(
            f"Cut after {PROMPT.rows:,} rows: there are more. Ask for less, count in SQL, or use `curation sql`."
        )
    tables.show(shown.rows, shown.about, alt=f"Rows of {shown.name}")
    if not n:
        st.info("No rows: the lake holds nothing that this asks for.")


def _prose(text: str) -> str:
    """Words of a report's header as one paragraph, with `code` as it stands and nothing else of Markdown."""
    return " ".join(text.split()).replace("$", r"\$").replace("*", r"\*").replace("~", r"\~")


def _literal(text: str) -> str:
    """Words of an error, shown as they are: DuckDB points at a column with spaces and a caret."""
    fence = "```"
    return f"{fence}text\n{text.replace(fence, '')}\n{fence}"
