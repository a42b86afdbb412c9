"""Who is who: a name asked once (local mode), or a login (team mode)."""

from urllib.parse import quote, unquote

import streamlit as st

from apps.review import access, data
from apps.review.login import is_team_mode
from curation.errors import InputError
from curation.review import rules

COOKIE = "curation_rater"
YEAR_S = 365 * 86_400

#: Keeps the name in the browser. It proves nothing: in local mode only this machine reaches the app.
_remember = st.components.v2.component(
    "curation_remember",
    js="export default ({data}) => { document.cookie = data.cookie; }",
)


def is_known() -> bool:
    """Whether the person at this browser has said who they are."""
    return bool(st.user.is_logged_in) if is_team_mode() else bool(_held_name())


def ask() -> None:
    """Ask for a login, or for a name; the page runs anew once it is known."""
    st.title("Who is judging?")
    if is_team_mode():
        st.write("Log in to judge masks.")
        st.button("Log in", on_click=st.login, type="primary")
    else:
        _ask_name()


def person() -> access.Person:
    """Who is at this browser, once that is known. Somebody without a role is told so, and this run of the page ends."""
    return _logged_in() if is_team_mode() else _named()


def _logged_in() -> access.Person:
    # An address that the provider has not verified may be somebody else's.
    is_verified = st.user.get("email_verified") is not False
    rater = str((is_verified and st.user.get("email")) or st.user.get("sub"))
    role = data.rules().role_of(rater)
    with st.sidebar:
        st.text(f"{rater} · {role or 'no role'}")
        st.button("Log out", on_click=st.logout)
    if role is None:
        st.error(f"{rater} has no role here; ask for one in {rules.FILE} of the workspace")
        st.stop()
    return access.Person(rater, role)


def _named() -> access.Person:
    held = _held_name()
    _remember(data={"cookie": _cookie(held, YEAR_S)}, key="remember")
    with st.sidebar:
        st.text(held)
        st.button("Change name", on_click=_forget)
    # Alone on the machine one is everything at once.
    return access.Person(held, "curator")


def _held_name() -> str:
    """The name that this browser gave, now or in an earlier session; empty where it gave none."""
    held = st.session_state.get("rater")
    return unquote(st.context.cookies.get(COOKIE, "")) if held is None else held


def _ask_name() -> None:
    st.write(
        "Your name goes with every verdict that you give, so that people can be compared with themselves."
    )
    with st.form("name", border=False, width=420):
        text = st.text_input("Your name", max_chars=access.MAX_NAME, autocomplete="name")
        if st.form_submit_button("Start", type="primary"):
            try:
                st.session_state.rater = access.checked_name(text)
            except InputError as error:
                st.error(str(error))
            else:
                st.rerun()


def _forget() -> None:
    st.session_state.rater = ""


def _cookie(rater: str, max_age_s: int) -> str:
    return f"{COOKIE}={quote(rater)}; path=/; max-age={max_age_s}; SameSite=Strict"
