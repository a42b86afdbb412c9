"""What the pages that draw have in common: the component, its styles, and what a page tells it."""

from collections.abc import Callable

import streamlit as st

from apps.review import access, data, routes
from apps.review.views.review import LOADER, STYLE


def component(name: str) -> Callable[..., object]:
    """A component of this app, with the styles of the review and those of drawing. Made once a module."""
    styles = [(routes.COMPONENT / file).read_text("utf-8") for file in ("review.css", "draw.css")]
    return st.components.v2.component(name, css="\n".join(styles), js=LOADER)


def told(person: access.Person, module: str) -> dict[str, object]:
    """What every such page needs: its module, a token, and names to keep unsaved work under."""
    st.html(STYLE)
    base = st.get_option("server.baseUrlPath").strip("/")
    base = f"/{base}/" if base else "/"
    return {
        "module": f"{base}review/component/{routes.component_version()}/{module}",
        "base": base,
        "token": access.issue(person, data.secret()),
        "workspace": access.workspace_key(data.root()),
        "rater": person.rater,
    }
