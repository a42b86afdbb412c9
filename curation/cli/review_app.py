"""app: the review app in the browser."""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from curation.cli.options import Workspace, open_lake
from curation.errors import InputError, MissingExtraError
from curation.settings import files

#: Names under which only this machine reaches the app.
LOOPBACK = ("127.0.0.1", "localhost")
SECRETS_FILE = "secrets.toml"


def register(app: typer.Typer) -> None:
    app.command("app")(open_app)


def open_app(
    workspace: Workspace,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the app.")] = 8501,
    host: Annotated[str, typer.Option(help="Address to serve at; others than this machine need a login.")] = (
        "127.0.0.1"
    ),
    opens_browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the app in a browser here.")
    ] = True,
) -> None:
    """Judge, correct and follow masks in the browser, until Ctrl-C."""
    if importlib.util.find_spec("streamlit") is None:
        raise MissingExtraError("the review app", "app", "streamlit")
    open_lake(
        workspace
    ).close()  # says what is wrong before a server starts, and brings the contracts up to date
    workspace = workspace.expanduser().resolve()
    if host not in LOOPBACK and not has_login(workspace):
        raise InputError(
            f"--host {host}: others could judge under any name; allowed without a login is {LOOPBACK[0]}. "
            f"Configure OIDC in {workspace / SECRETS_FILE} ([auth], see the README) or leave --host out"
        )
    # Only apps/ knows streamlit, and Ctrl-C or a signal must reach the server itself: this process becomes it.
    os.environ |= {
        "CURATION_WORKSPACE": str(workspace),
        "CURATION_OPEN_IN_BROWSER": f"http://{LOOPBACK[0]}:{port}" if opens_browser else "",
        "PYTHONPATH": os.pathsep.join([str(files("apps").parent), *python_path()]),
    }
    words = [sys.executable, *streamlit_words(workspace, host, port)]
    os.execv(sys.executable, words)  # nosec B606  # this Python, no shell


def has_login(workspace: Path) -> bool:
    """Whether the secrets beside the workspace, or Streamlit's own places for them, configure `st.login`."""
    places = (workspace, Path.cwd() / ".streamlit", Path.home() / ".streamlit")
    return any("auth" in _tables(place / SECRETS_FILE) for place in places)


def streamlit_words(workspace: Path, host: str, port: int) -> list[str]:
    """What follows `python` on the command line that serves the app."""
    options = {
        "server.address": host,
        "server.port": str(port),
        # Else Streamlit offers its makers' tools to whoever it takes for a developer, over the page; so the server
        # itself opens the browser.
        "server.headless": "true",
        # The code of an installed app does not change; watching it costs time at every start.
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
    }
    if (workspace / SECRETS_FILE).is_file():
        options["secrets.files"] = str(workspace / SECRETS_FILE)
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return ["-m", "streamlit", "run", str(files("apps") / "review" / "server.py"), *words]


def python_path() -> list[str]:
    return [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]


def _tables(path: Path) -> dict[str, object]:
    """The top of a TOML file; empty where it is not there. Raises InputError where it is no TOML."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is no TOML ({error}): mend it, or take it away") from error
