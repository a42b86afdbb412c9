"""Who is who: a name asked once (local mode), or a login (team mode)."""

from urllib.parse import quote, unquote

import streamlit as st

from apps.review import access, data
from curation.errors import InputError

COOKIE = "curation_rater"
YEAR_S = 365 * 86_400

#: Keeps the name in the browser. It proves nothing: in local mode only this machine reaches the app.
_remember = st.components.v2.component(
    "curation_remember",
    js="export default ({data}) => { document.cookie = data.cookie; }",
)


def is_team_mode() -> bool:
    """Whether secrets configure a login."""
    try:
        return "auth" in st.secrets
    except FileNotFoundError:
        return False


def person() -> access.Person:
    """Who is at this browser. Where that is not known yet, asks for it and ends this run of the page."""
    return _logged_in() if is_team_mode() else _named()


def _logged_in() -> access.Person:
    if not st.user.is_logged_in:
        _welcome("Log in to judge masks.")
        st.button("Log in", on_click=st.login, type="primary")
        st.stop()
    # An address that the provider has not verified may be somebody else's.
    is_verified = st.user.get("email_verified") is not False
    rater = str((is_verified and st.user.get("email")) or st.user.get("sub"))
    role = data.rules().role_of(rater)
    with st.sidebar:
        st.text(f"{rater} · {role or 'no role'}")
        st.button("Log out", on_click=st.logout)
    if role is None:
        st.error(f"{rater} has no role here; ask for one in {access.SETTINGS_FILE} of the workspace")
        st.stop()
    return access.Person(rater, role)


def _named() -> access.Person:
    held = st.session_state.get("rater")
    if held is None:
        held = unquote(st.context.cookies.get(COOKIE, ""))
    if not held:
        held = _ask_name()
    _remember(data={"cookie": _cookie(held, YEAR_S)}, key="remember")
    with st.sidebar:
        st.text(held)
        st.button("Change name", on_click=_forget)
    # Alone on the machine one is everything at once.
    return access.Person(held, "curator")


def _ask_name() -> str:
    """The name that was written; ends this run of the page until there is one."""
    _welcome(
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
    st.stop()


def _forget() -> None:
    st.session_state.rater = ""


def _cookie(rater: str, max_age_s: int) -> str:
    return f"{COOKIE}={quote(rater)}; path=/; max-age={max_age_s}; SameSite=Strict"


def _welcome(text: str) -> None:
    st.title("Who is judging?")
    st.write(text)
