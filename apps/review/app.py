"""The page around every view: who is here, and which views their role opens."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import streamlit as st
from streamlit.navigation.page import StreamlitPage as Page

from apps.review import access, identity
from curation.errors import CurationError
from curation.review import rules


@dataclass(frozen=True)
class View:
    """A module of `apps.review.views` with `show(person)`; its name is the page's address."""

    name: str
    title: str
    icon: str

    def page(self, show: Callable[[], None], is_listed: bool, **options: str | bool) -> Page:
        visibility = "visible" if is_listed else "hidden"
        words = {"title": self.title, "icon": self.icon, "url_path": self.name, "visibility": visibility}
        return st.Page(show, **{**words, **options})

    def show(self, person: access.Person) -> None:
        try:
            importlib.import_module(f"apps.review.views.{self.name}").show(person)
        except CurationError as error:  # what a person can mend is told, not traced
            st.error(str(error))

    def refuse(self, person: access.Person) -> None:
        if person.role is None:
            st.error(f"{person.rater} has no role here; ask for one in {rules.FILE} of the workspace")
        else:
            st.error(
                f"{person.rater}: the role {person.role} does not open {self.title}; ask the workspace's curator"
            )


#: In the order of the navigation; the first that the role may open is shown at the start.
VIEWS = (
    View("review", "Review", ":material/rate_review:"),
    View("correct", "Correct", ":material/ink_pen:"),
    View("image", "Image", ":material/photo_library:"),
    View("queue", "Queue", ":material/checklist:"),
    View("failures", "Failures", ":material/troubleshoot:"),
    View("stage", "Stage", ":material/monitoring:"),
    View("raters", "Raters", ":material/groups:"),
    View("sql", "SQL", ":material/database:"),
)


#: Streamlit leaves a sixth of a laptop's screen free above a page.
STYLE = "<style>.stMainBlockContainer { padding-top: 5rem; }</style>"


def main() -> None:
    st.set_page_config(
        page_title="curation",
        page_icon=":material/select_all:",
        layout="wide",
        initial_sidebar_state="collapsed",
    )
    st.html(STYLE)
    if not identity.is_known():
        # Each page asks by itself, so that an address stays the one that was called.
        st.navigation(_pages([(view, identity.ask, False) for view in VIEWS]), position="hidden").run()
        return
    person = identity.person()
    shown = [(view, partial(view.show, person), True) for view in VIEWS if person.may_open(view.name)]
    # An address that Streamlit does not know gets a dialog over the whole page, with "Log out" under it.
    closed = [(view, partial(view.refuse, person), False) for view in VIEWS if not person.may_open(view.name)]
    st.navigation(_pages([*shown, *closed]), position="top").run()


def _pages(views: list[tuple[View, Callable[[], None], bool]]) -> list[Page]:
    """A page each, with what it shows and whether it is listed; the first is what the app starts with.

    Streamlit serves that one without a name, and knows its name no more: it gets a second page, under its name.
    """
    first, show, is_listed = views[0]
    start = first.page(show, is_listed, url_path="start", default=True)
    return [start, first.page(show, False), *(view.page(show, listed) for view, show, listed in views[1:])]


main()
