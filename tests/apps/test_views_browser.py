"""The plain views in a real browser: one walk through all five, at two widths, light and dark."""

import pytest
import served
import viewed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """The app of a workspace that has something for every view."""
    pytest.importorskip("streamlit", reason="streamlit is not installed")
    started = served.App(viewed.fill(tmp_path_factory.mktemp("walked") / "workspace")).start()
    yield started
    started.stop()


@pytest.fixture(params=[(1280, "light"), (1920, "dark")], ids=lambda param: f"{param[0]}-{param[1]}")
def page(app, browser, request):
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme)
    context.add_cookies([{"name": "curation_rater", "value": "Ann", "url": app.url}])
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.failed = []
    page.on("pageerror", lambda error: page.failed.append(str(error)))
    page.on("dialog", lambda dialog: (page.failed.append(dialog.message), dialog.dismiss()))
    yield page
    context.close()


def test_an_address_is_the_one_that_was_called_after_the_name_too(app, browser):
    page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
    page.goto(f"{app.url}sql?sql_report=border_masks")
    page.get_by_label("Your name").fill("Ida")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="SQL").wait_for(timeout=60_000)
    assert "/sql" in page.url
    page.context.close()


def test_a_walk_through_all_views(app, page):
    page.goto(f"{app.url}sql?sql_report=border_masks")
    page.get_by_test_id("stFormSubmitButton").locator("button").first.click()
    page.get_by_text("8 rows").wait_for()
    with page.expect_download() as loaded:
        page.get_by_test_id("stDownloadButton").locator("button").first.click()
    assert b"touches" in open(loaded.value.path(), "rb").read()  # noqa: SIM115

    go(page, "Stage", "Stage dashboard")
    page.get_by_text("run 3 · generate · sam2-tiny").wait_for()
    page.get_by_text("valid however often one looks").wait_for()
    page.get_by_test_id("stVegaLiteChart").locator("canvas, svg").first.wait_for()
    fits(page)

    go(page, "Queue", "Queue and progress")
    page.get_by_text("Masks judged of").wait_for()
    page.get_by_text("Draw a sample").wait_for()
    fits(page)

    go(page, "Raters", "Raters")
    page.get_by_text("Between raters").wait_for()
    fits(page)

    go(page, "Failures", "Failures")
    page.get_by_role("img", name="Mask ").nth(10).wait_for()
    page.get_by_text("merge ·").or_(page.get_by_text("partial ·")).first.click()
    fits(page)
    assert page.failed == []


def go(page, link: str, title: str) -> None:
    page.get_by_role("link", name=link, exact=False).first.click()
    page.get_by_role("heading", name=title, level=1).wait_for()


def fits(page) -> None:
    """Nothing is wider than the window."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
