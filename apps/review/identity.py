"""Who is who: a name asked once (local mode), or a login (team mode)."""

import time
from urllib.parse import quote, unquote

import streamlit as st

from apps.review import access, data
from apps.review.login import is_team_mode
from curation.errors import InputError

COOKIE = "curation_rater"
YEAR_S = 365 * 86_400

#: Keeps the name in the browser. It proves nothing: in local mode only this machine reaches the app.
_remember = st.components.v2.component(
    "curation_remember",
    js="export default ({data}) => { document.cookie = data.cookie; }",
)


def is_known() -> bool:
    """Whether the person at this browser has said who they are, and has not logged out since, here or in another page."""
    if is_team_mode():
        return bool(st.user.is_logged_in) and not access.has_logged_out(data.root(), _logged_in())
    return bool(_held_name())


def ask() -> None:
    """Ask for a login, or for a name; the page runs anew once it is known."""
    st.title("Who is judging?")
    if is_team_mode():
        st.write("Log in to judge masks.")
        st.button("Log in", on_click=st.login, type="primary")
    else:
        _ask_name()


def person() -> access.Person:
    """Who is at this browser, once that is known, with a button to leave."""
    if is_team_mode():
        found = _logged_in()
        with st.sidebar:
            st.text(f"{found.rater} · {found.role or 'no role'}")
            st.button("Log out", on_click=_log_out, args=[found.rater])
        return found
    return _named()


def _logged_in() -> access.Person:
    # An address that the provider has not verified may be somebody else's.
    is_verified = st.user.get("email_verified") is not False
    rater = str((is_verified and st.user.get("email")) or st.user.get("sub"))
    since = st.session_state.setdefault("since", time.time())
    return access.Person(rater, data.rules().role_of(rater), since)


def _log_out(rater: str) -> None:
    access.log_out(data.root(), rater)
    st.logout()


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
