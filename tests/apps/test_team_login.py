"""Team mode with a real OpenID provider and a real browser: who logs in may do what `review.toml` says, and no more."""

import pytest
import served

pytest.importorskip("streamlit", reason="streamlit is not installed")
pytest.importorskip("authlib", reason="authlib is not installed")

from openid import Provider

from apps.review import drawing_routes, routes

pytestmark = pytest.mark.slow
PATIENCE_MS = 200_000
ROLES = """
[roles]
curator = ["cleo@example.org"]
analyst = ["ana@example.org"]
rater = ["*@example.org"]
"""
ROUTES = [route for route in (*routes.ROUTES, *drawing_routes.ROUTES) if "component" not in route.path]


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    provider = Provider().start()
    root = served.make_workspace(tmp_path_factory.mktemp("team") / "workspace", 2, 3)
    app = served.App(root)
    (root / "secrets.toml").write_text(provider.secrets(f"{app.url}oauth2callback"))
    (root / "review.toml").write_text(ROLES)
    yield app.start()
    app.stop()
    provider.stop()


class Visitor:
    """Somebody with a browser of their own."""

    def __init__(self, browser, app: served.App, email: str, view: str = "") -> None:
        self.app = app
        self.context = browser.new_context(viewport={"width": 1920, "height": 1000})
        self.context.set_default_timeout(PATIENCE_MS)
        self.page = self.context.new_page()
        self.tokens: list[str] = []
        self.page.on("request", self._note)
        self.page.goto(app.url + view)
        self.page.get_by_role("button", name="Log in").click()
        self.page.get_by_label("Address").fill(email)
        self.page.get_by_role("button", name="Go").click()
        self.page.wait_for_url(f"{app.url}**")

    def _note(self, request) -> None:
        token = request.headers.get("authorization", "")
        if "/review/" in request.url and token:
            self.tokens.append(token.removeprefix("Bearer "))

    def see(self, selector: str) -> None:
        self.page.wait_for_selector(selector)

    def open_sidebar(self) -> None:
        self.page.get_by_test_id("stExpandSidebarButton").click()

    @property
    def views(self) -> list[str]:
        links = self.page.get_by_test_id("stTopNavLink").all_inner_texts()
        return [text.split("\n")[-1].strip() for text in links]  # an icon is a word, too


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_who_has_not_logged_in_is_told_nothing(app, route):
    path = route.path.lstrip("/").replace("{image_id:int}", "1")
    body = {"sample": served.SAMPLE, "n": 5} if "POST" in route.methods else None
    for token, status in ((None, 401), ("x.y", 401), (app.token("eve@elsewhere.org", "curator"), 403)):
        answered, content, _ = app.ask(path, body, token)
        assert answered == status
        assert set(content) == {"error"}


def test_nobody_drives_the_app_without_a_browser(app):
    assert app.ask("_stcore/agent/interact", {})[0] in (403, 404)
    assert app.ask("_stcore/agent/mcp", {})[0] >= 400


@pytest.mark.soak
def test_a_rater_logs_in_judges_and_logs_out(app, browser):
    rita = Visitor(browser, app, "rita@example.org")
    rita.see(".review canvas")
    assert rita.views == ["Review", "Correct", "Image", "Raters"]
    rita.see('.review[data-task]:not([data-task=""])')  # her page holds the sample's masks now
    token = rita.tokens[-1]
    status, content, _ = app.ask("review/tasks", {"sample": served.SAMPLE, "n": 2, "starts": True}, token)
    assert status == 200
    assert content["tasks"]
    # The server, not the page, knows the role: it is lost with the next request.
    (app.root / "review.toml").write_text(ROLES.replace("*@example.org", "nobody@example.org"))
    assert app.ask("review/tasks", {"sample": served.SAMPLE, "n": 2}, token)[0] == 403
    (app.root / "review.toml").write_text(ROLES)
    rita.page.goto(f"{app.url}queue")
    rita.see('[data-testid="stAlert"]')
    assert "does not open Queue" in rita.page.locator('[data-testid="stMain"]').inner_text()
    rita.page.goto(f"{app.url}review")  # the start has an address of its own, too
    rita.see(".review canvas")
    rita.open_sidebar()
    assert "rita@example.org · rater" in rita.page.get_by_test_id("stSidebar").inner_text()
    rita.page.get_by_role("button", name="Log out").click()
    rita.see('button:has-text("Log in")')
    rita.page.reload()
    rita.see('button:has-text("Log in")')
    assert app.ask("review/tasks", {"sample": served.SAMPLE, "n": 2}, token)[0] == 401
    rita.context.close()


@pytest.mark.soak
def test_a_curator_sees_every_view_and_an_analyst_may_not_judge(app, browser):
    cleo = Visitor(browser, app, "Cleo@example.org")
    cleo.see(".review canvas")
    assert cleo.views == ["Review", "Correct", "Image", "Queue", "Failures", "Stage", "Raters", "SQL"]
    cleo.context.close()
    assert (
        app.ask("review/tasks", {"sample": served.SAMPLE, "n": 2}, app.token("ana@example.org", "curator"))[0]
        == 403
    )


@pytest.mark.soak
@pytest.mark.parametrize("email", ["eve@elsewhere.org", "rita@unverified.org"])
def test_who_has_no_role_sees_nothing(app, browser, email):
    eve = Visitor(browser, app, email, "sql")
    eve.see('[data-testid="stAlert"]')
    assert "has no role here" in eve.page.locator('[data-testid="stMain"]').inner_text()
    assert eve.views == []
    assert eve.tokens == []
    eve.open_sidebar()
    eve.page.get_by_role("button", name="Log out").click()
    eve.see('button:has-text("Log in")')
    eve.context.close()
