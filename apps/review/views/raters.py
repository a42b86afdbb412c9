"""."""

import streamlit as st

from apps.review import access


def show(person: access.Person) -> None:
    st.title("raters")
