"""Is this mask good? One mask at a time, judged with the keyboard."""

import streamlit as st

from apps.review import access, data


def show(person: access.Person) -> None:
    samples = data.samples()
    if not samples:
        st.info("Nothing to judge yet. Draw a sample: `curation sample draw NAME --design srs --size 200`")
        return
    st.dataframe(samples)
