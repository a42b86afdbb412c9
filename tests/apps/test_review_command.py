"""`curation app`: what it refuses, and what it starts."""

import os
import time

import pytest
import served
from typer.testing import CliRunner

from curation.cli import app, review_app
from curation.errors import CurationError, InputError, MissingExtraError
from curation.lake import Lake


@pytest.fixture
def root(tmp_path, monkeypatch):
    Lake.create(tmp_path / "workspace").close()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "workspace"


@pytest.fixture
def started(monkeypatch) -> list[list[str]]:
    """Command lines that would take this process's place."""
    lines: list[list[str]] = []
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(os, "execv", lambda program, words: lines.append(words))
    return lines


def run(*words: object) -> None:
    result = CliRunner().invoke(app, ["app", *map(str, words)])
    if isinstance(result.exception, CurationError):
        raise result.exception
    assert result.exit_code == 0, result.output


def test_it_serves_this_machine_only(root, started):
    run("-w", root, "--port", 8600, "--no-browser")
    (words,) = started
    assert words[words.index("--server.address") + 1] == "127.0.0.1"
    assert words[words.index("--server.port") + 1] == "8600"
    assert os.environ["CURATION_WORKSPACE"] == str(root)
    assert os.environ["CURATION_OPEN_IN_BROWSER"] == ""


def test_the_server_opens_a_browser_where_it_is_asked_to(root, monkeypatch, tmp_path):
    """A program that stands in for a browser writes down what it was asked to open."""
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    app = served.App(root)
    app.start(opens_browser=True)
    try:
        deadline = time.monotonic() + 30
        while not opened.is_file():
            assert time.monotonic() < deadline, "no browser was opened"
            time.sleep(0.1)
        assert opened.read_text().strip() == app.url.rstrip("/")
    finally:
        app.stop()


def test_others_are_let_in_with_a_login_only(root, started):
    with pytest.raises(InputError, match=r"secrets\.toml"):
        run("-w", root, "--host", "0.0.0.0")
    (root / "secrets.toml").write_text("[auth]\nclient_id = 'x'\n")
    run("-w", root, "--host", "0.0.0.0")
    (words,) = started
    assert words[words.index("--secrets.files") + 1] == str(root / "secrets.toml")


def test_secrets_that_are_no_toml_are_told(root, started):
    (root / "secrets.toml").write_text("[auth")
    with pytest.raises(InputError, match="no TOML"):
        run("-w", root, "--host", "0.0.0.0")


def test_without_streamlit_it_says_what_to_install(root, started, monkeypatch):
    monkeypatch.setattr(review_app.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"curation\[app\]"):
        run("-w", root)


def test_a_folder_that_is_no_workspace_is_told_before_anything_starts(tmp_path, started):
    with pytest.raises(CurationError, match="no workspace"):
        run("-w", tmp_path)
    assert started == []
