"""Whether people log in here, and which role they have now."""

import streamlit as st

from apps.review import access, data


def is_team_mode() -> bool:
    """Whether secrets configure a login."""
    try:
        return "auth" in st.secrets
    except FileNotFoundError:
        return False


def as_of_now(held: access.Person) -> access.Person | None:
    """Whom a token names, with the role that the workspace gives now; None where it gives none any more."""
    if not is_team_mode():
        return held
    role = data.rules().role_of(held.rater)
    return None if role is None else access.Person(held.rater, role)
