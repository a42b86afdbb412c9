"""The server: Streamlit's pages beside the routes that the component talks to. `curation app` starts it."""

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from streamlit import config

from apps.review import drawing_routes, routes

#: A page elsewhere may point its own name to this machine (DNS rebinding); its name is not in this list.
LOCAL_HOSTS = ["127.0.0.1", "localhost"]


def hosts() -> list[str]:
    """Names under which the app answers: this machine's, or those that a team's server has."""
    if config.get_option("server.address") in LOCAL_HOSTS:
        return LOCAL_HOSTS
    return config.get_option("server.allowedHosts") or ["*"]


app = st.App(
    Path(__file__).with_name("app.py"),
    routes=[*routes.ROUTES, *drawing_routes.ROUTES],
    middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts(), www_redirect=False)],
)
