"""What a curator does about a failure cluster: flag it, draw more of it to be judged, send it back to be corrected."""

from collections.abc import Callable
from datetime import date, datetime, time, timezone

import streamlit as st

from apps.review import access, data, reports, tables
from curation.errors import CurationError
from curation.failures import clusters, tickets
from curation.lake import Lake
from curation.report.page.words import counted
from curation.review import opening
from curation.sampling import samples

#: Masks of a sample where nobody says otherwise.
USUAL_SIZE = 50
#: What the last button did, until the page has told it: (whether it could, in words).
SAID = "clusters_said"


def show(person: access.Person, cluster: int, n_current: int) -> None:
    """Forms for who may act, nothing for others; `n_current` of its masks have not been corrected since."""
    if not person.may_open("queue"):
        return
    flag, sample, batch = st.tabs(["Flag", "Sample more", "Open a batch"])
    with flag:
        _flag_form(person, cluster)
    with sample:
        _sample_form(person, cluster, n_current)
    with batch:
        _batch_form(person, cluster)
    if SAID in st.session_state:
        is_done, words = st.session_state.pop(SAID)
        (st.success if is_done else st.error)(tables.literal(words))


def _flag_form(person: access.Person, cluster: int) -> None:
    key = f"cluster_{cluster}_note"
    with st.form(f"cluster_{cluster}_flag", border=False):
        st.caption("Say that this cluster shall be dealt with; the flag and its note stand in its history.")
        st.text_input("Note", key=key, max_chars=500, placeholder="why it matters, who should look")
        st.form_submit_button("Flag", icon=":material/flag:", on_click=_flag, args=(person, cluster, key))


def _flag(person: access.Person, cluster: int, key: str) -> None:
    note = st.session_state[key].strip() or None

    def work(lake: Lake) -> str:
        if clusters.flag(lake, cluster, by=person.rater, note=note) != "flagged":
            return f"Cluster {cluster} is in re-annotation already: its history has the note."
        return f"Cluster {cluster} is flagged."

    if _do(work):
        st.session_state[key] = ""


def _sample_form(person: access.Person, cluster: int, n_masks: int) -> None:
    if not n_masks:
        st.caption("All of its masks have been corrected since: there is nothing to draw.")
        return
    # A new name, once this one is taken, is a new field.
    name = _free_name(f"cluster-{cluster}")
    keys = f"cluster_{cluster}_sample_{name}", f"cluster_{cluster}_size_{n_masks}"
    with st.form(f"cluster_{cluster}_sample", border=False):
        st.caption(
            "Draw masks of it at random for Review. Each has the same known chance, so that the verdicts count in rates."
        )
        with st.container(horizontal=True):
            st.text_input("Name of the sample", name, max_chars=80, key=keys[0])
            st.number_input("Masks", 1, n_masks, min(n_masks, USUAL_SIZE), key=keys[1], width=140)
        st.form_submit_button(
            "Draw", icon=":material/colorize:", on_click=_sample, args=(person, cluster, *keys)
        )


def _sample(person: access.Person, cluster: int, name_key: str, size_key: str) -> None:
    name, size = st.session_state[name_key].strip(), st.session_state[size_key]

    def work(lake: Lake) -> str:
        drawn = tickets.draw(lake, cluster, name, size, drawn_by=person.rater)
        n_images = len(drawn["image_id"].unique())
        return f"{counted(drawn.num_rows, 'mask')} of {counted(n_images, 'image')} drawn as {name}: judge them in Review."

    _do(work)


def _batch_form(person: access.Person, cluster: int) -> None:
    name = _free_name(f"mend-{cluster}")
    keys = f"cluster_{cluster}_batch_{name}", f"cluster_{cluster}_annotators", f"cluster_{cluster}_due"
    with st.form(f"cluster_{cluster}_batch", border=False):
        st.caption(
            "Send all of its masks back: each is corrected, accepted as it is, or rejected in Correct."
        )
        with st.container(horizontal=True):
            st.text_input("Name of the batch", name, max_chars=80, key=keys[0])
            st.date_input("Due", None, key=keys[2], width=160, help="the end of that day, UTC")
        st.text_input("Annotators", key=keys[1], placeholder="everybody; or names with commas: ann, bob")
        st.form_submit_button(
            "Open the batch", icon=":material/outbox:", on_click=_batch, args=(person, cluster, *keys)
        )


def _batch(person: access.Person, cluster: int, name_key: str, annotators_key: str, due_key: str) -> None:
    name, text = st.session_state[name_key].strip(), st.session_state[annotators_key].strip()
    annotators = tuple(one.strip() for one in text.split(",")) if text else ()
    due_at = _end_of(st.session_state[due_key])

    def work(lake: Lake) -> str:
        request = opening.Request(
            name, cluster=cluster, annotators=annotators, due_at=due_at, opened_by=person.rater
        )
        return _opened_words(opening.open_batch(lake, request))

    _do(work)


def _opened_words(opened: opening.Opened) -> str:
    batch = opened.batch
    words = (
        f"Batch {batch.batch}: {counted(batch.n_masks, 'mask')} of {counted(opened.n_images, 'image')}, "
        f"{opened.n_two_people:,} for two people, for {', '.join(batch.annotators) or 'everybody'}"
    )
    if opened.n_superseded:
        words += f"; {opened.n_superseded:,} were corrected already and are left out"
    return f"{words}. It waits in Correct."


def _end_of(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(23, 59, 59), timezone.utc)


def _do(work: Callable[[Lake], str]) -> bool:
    """Write, and keep for the page what to tell; whether it could."""
    try:
        with data.lake() as lake:
            words = work(lake)
    except CurationError as error:
        st.session_state[SAID] = False, str(error)
        return False
    reports.forget()
    st.session_state[SAID] = True, words
    return True


def _free_name(stem: str) -> str:
    """The stem, or the first of stem-2, stem-3, … that no sample and no batch has."""
    taken = set(reports.ask(samples.summaries)["sample"].to_pylist())
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return name
