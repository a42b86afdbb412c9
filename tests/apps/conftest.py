"""One app and one browser for the tests of a module."""

import shutil
import sys
from pathlib import Path

import pytest
import served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(autouse=True)
def main_module():
    """`AppTest` puts its script in the place of the main module; processes that later tests start would run it."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory):
    """The app of a workspace with a sample of 40 masks on 8 pictures."""
    pytest.importorskip("streamlit", reason="streamlit is not installed")
    served_app = served.App(served.make_workspace(tmp_path_factory.mktemp("apps") / "workspace")).start()
    yield served_app
    served_app.stop()


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def component() -> Path:
    """The folder of the component's modules."""
    return Path(__file__).parents[2] / "apps" / "review" / "component"
