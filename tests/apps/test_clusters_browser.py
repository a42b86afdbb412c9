"""A failure cluster in a real browser, with the keyboard alone: chosen, flagged, sent back to be corrected."""

import clustered
import pytest
import served
from test_views_browser import fits

from curation.failures import clusters
from curation.lake import Lake

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """The app of a workspace with clusters."""
    pytest.importorskip("streamlit", reason="streamlit is not installed")
    started = served.App(clustered.fill(tmp_path_factory.mktemp("clusters") / "workspace")).start()
    yield started
    started.stop()


@pytest.fixture
def page(app, browser):
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, color_scheme="light")
    context.add_cookies([{"name": "curation_rater", "value": "Ann", "url": app.url}])
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.failed = []
    page.on("pageerror", lambda error: page.failed.append(str(error)))
    page.on("dialog", lambda dialog: (page.failed.append(dialog.message), dialog.dismiss()))
    yield page
    context.close()


def settle(page) -> None:
    """Wait until the page is drawn: what is typed into a form that is about to be replaced is lost."""
    page.wait_for_selector('.stApp[data-test-script-state="notRunning"]')


def test_a_cluster_is_chosen_flagged_and_sent_back_with_the_keyboard(app, page):
    page.goto(f"{app.url}failures")
    page.get_by_role("heading", name="Cluster 2: look alike").wait_for()
    page.get_by_test_id("stVegaLiteChart").locator("canvas, svg").first.wait_for()
    fits(page)

    page.get_by_test_id("stRadio").get_by_role("radio").first.focus()
    page.keyboard.press("ArrowDown")
    page.get_by_role("heading", name=f"Cluster 1: {clustered.HOSTILE}").wait_for()  # as it was written
    settle(page)
    page.get_by_label("Note").focus()
    page.keyboard.type("night pictures")
    page.keyboard.press("Enter")
    page.get_by_text("Cluster 1 is flagged.").wait_for()
    settle(page)

    page.get_by_role("tab", name="Flag").focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.get_by_label("Annotators").focus()
    page.keyboard.type("Ann")
    page.keyboard.press("Enter")
    page.get_by_text("It waits in Correct.").wait_for()
    assert page.get_by_role("tab", name="Open a batch").get_attribute("aria-selected") == "true"

    with Lake.open(app.root, read_only=True) as lake:
        happened = clusters.events(lake, 1).to_pylist()
    assert [event["status"] for event in happened] == ["found", "flagged", "in_re_annotation"]
    assert [event["by_whom"] for event in happened] == [None, "Ann", "Ann"]
    assert (happened[1]["note"], happened[2]["batch"]) == ("night pictures", "mend-1")
    assert page.failed == []
