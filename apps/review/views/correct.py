"""How should this mask be? One mask at a time, mended at full resolution with brush, polygon and clicks."""

import streamlit as st

from apps.review import access, data, drawing, drawing_page

_component = drawing_page.component("curation_correct")


def show(person: access.Person) -> None:
    with data.lake() as lake:
        waiting = drawing.samples_to_mend(lake, person)
    mask = st.query_params.get("mask")
    chosen = st.query_params.get("sample")
    # What waits stands first: batches, then samples with masks to fix.
    samples = list(dict.fromkeys([*waiting, *(row["sample"] for row in data.samples(person.rater))]))
    if not waiting and mask is None and chosen not in samples:
        _nothing()
        return
    _component(
        key="correct",
        data={
            **drawing_page.told(person, "correct.js"),
            "samples": [{"sample": name, "n_masks": waiting.get(name, 0)} for name in samples],
            "sample": chosen if chosen in samples else next(iter(waiting), None),
            "mask": mask,
        },
    )


def _nothing() -> None:
    st.title("Nothing to mend yet", anchor=False)
    st.write(
        "Masks that reviewers judge **Fix** in Review come here, and batches that a curator opens. Or mend any mask by its number:"
    )
    with st.form("mask", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input("Number of the mask", placeholder="mask_id", width=260)
        if st.form_submit_button("Mend it", type="primary") and text.strip():
            st.query_params["mask"] = text.strip()
            st.rerun()
