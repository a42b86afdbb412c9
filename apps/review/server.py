"""The server: Streamlit's pages beside the routes that the component talks to. `curation app` starts it."""

import asyncio
import os
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from streamlit import config

from apps.review import drawing_routes, headers, routes
from curation import events

#: A page elsewhere may point its own name to this machine (DNS rebinding); its name is not in this list.
LOCAL_HOSTS = ["127.0.0.1", "localhost"]


def hosts() -> list[str]:
    """Names under which the app answers: this machine's, or those that a team's server has."""
    if config.get_option("server.address") in LOCAL_HOSTS:
        return LOCAL_HOSTS
    return config.get_option("server.allowedHosts") or ["*"]


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """Open the app in a browser here, where it was asked for, once the server listens."""
    events.append_to_file_of_environment()
    url = os.environ.get("CURATION_OPEN_IN_BROWSER")
    if url:
        asyncio.get_running_loop().call_later(1, webbrowser.open, url)
    yield


app = st.App(
    Path(__file__).with_name("app.py"),
    routes=[*routes.ROUTES, *drawing_routes.ROUTES],
    lifespan=lifespan,
    middleware=[
        Middleware(headers.Headers),
        Middleware(TrustedHostMiddleware, allowed_hosts=hosts(), www_redirect=False),
    ],
)
