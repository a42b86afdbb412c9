"""Whether people log in here, and which role they have now."""

import streamlit as st

from apps.review import access, data


def is_team_mode() -> bool:
    """Whether secrets configure a login."""
    try:
        return "auth" in st.secrets
    except FileNotFoundError:
        return False


def as_of_now(held: access.Person) -> access.Person:
    """Whom a token names, with the role that the workspace gives now. Raises AccessError for who has logged out."""
    if not is_team_mode():
        return held
    if access.has_logged_out(data.root(), held):
        raise access.AccessError("you have logged out: load the page again")
    return access.Person(held.rater, data.rules().role_of(held.rater), held.since)
