"""The page around the component, without a browser."""

from pathlib import Path

import pytest
import served

from apps.review import access, data
from curation.lake import Lake

testing = pytest.importorskip("streamlit.testing.v1", reason="streamlit is not installed")
SCRIPT = Path(__file__).parents[2] / "apps" / "review" / "app.py"


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The app's page on an empty workspace."""
    root = tmp_path / "workspace"
    Lake.create(root).close()
    monkeypatch.setenv("CURATION_WORKSPACE", str(root))
    data.secret.cache_clear()
    data.close_idle()  # connections of other tests' workspaces
    yield testing.AppTest.from_file(str(SCRIPT), default_timeout=60)
    data.secret.cache_clear()
    data.close_idle()


def test_it_asks_for_a_name_once(page):
    page.session_state.rater = ""  # AppTest has no cookies to look for a name in
    page.run()
    assert page.title[0].value == "Who is judging?"
    page.text_input[0].set_value("  ")
    page.button[0].click().run()
    assert "printable" in page.error[0].value
    page.text_input[0].set_value("Ann")
    page.button[0].click().run()
    assert not page.exception
    assert page.session_state.rater == "Ann"
    assert not page.text_input
    assert page.sidebar.text[0].value == "Ann"


def test_without_a_sample_it_says_how_to_draw_one(page):
    page.session_state.rater = "Ann"
    page.run()
    assert not page.exception
    assert page.title[0].value == "Nothing to judge yet"
    assert "curation sample draw" in page.code[0].value


def test_a_name_is_shown_as_text(page):
    page.session_state.rater = "<b>Ann</b>"
    page.run()
    assert not page.exception
    assert page.sidebar.text[0].value == "<b>Ann</b>"


def test_a_bad_file_of_rules_is_told_and_not_traced(page):
    root = data.root()
    served.make_workspace(root)
    (root / "review.toml").write_text("speed = 3")
    page.session_state.rater = "Ann"
    page.run()
    assert not page.exception
    assert "unknown entry 'speed'" in page.error[0].value


def test_the_component_is_given_the_sample_and_a_token(page):
    served.make_workspace(data.root())
    page.session_state.rater = "Ann"
    page.run()
    assert not page.exception
    assert not page.error
    served.add_sample(data.root(), "second")
    assert [row["sample"] for row in data.samples("Ann")] == ["second", served.SAMPLE]
    (data.root() / "review.toml").write_text('first = ["f*"]')
    assert [row["sample"] for row in data.samples("Ann")] == [served.SAMPLE, "second"]
    assert not any(row["is_done"] or row["is_batch"] for row in data.samples("Ann"))


AUTH = {"redirect_uri": "http://localhost/oauth2callback", "cookie_secret": "c" * 32, "client_id": "id"}


def test_with_a_login_configured_nobody_says_a_name(page, monkeypatch):
    page.secrets["auth"] = AUTH
    monkeypatch.setattr("streamlit.user", User({}, is_logged_in=False))
    page.run()
    assert not page.exception
    assert [button.label for button in page.button] == ["Log in"]
    assert not page.text_input


@pytest.mark.parametrize(
    ("user", "told"),
    [
        ({"email": "ann@example.org"}, "ann@example.org · rater"),
        ({"email": "boss@example.org"}, "boss@example.org · curator"),
        ({"email": "boss@example.org", "email_verified": False, "sub": "17"}, "17 · no role"),
        ({"email": "eve@elsewhere.org"}, "eve@elsewhere.org · no role"),
    ],
)
def test_roles_of_people_who_log_in_come_from_the_workspace(page, monkeypatch, user, told):
    rules = '[roles]\ncurator = ["boss@example.org"]\nrater = ["*@example.org"]\n'
    (data.root() / "review.toml").write_text(rules)
    page.secrets["auth"] = AUTH
    monkeypatch.setattr("streamlit.user", User(user, is_logged_in=True))
    page.run()
    assert not page.exception
    assert page.sidebar.text[0].value == told
    assert bool(page.error) == ("no role" in told)
    # Who logs out is asked anew, in every page that was open.
    access.log_out(data.root(), told.split(" · ")[0])
    page.run()
    assert [button.label for button in page.button] == ["Log in"]


class User(dict):
    """What `st.user` is, which AppTest does not have."""

    def __init__(self, claims: dict, is_logged_in: bool) -> None:
        super().__init__(claims)
        self.is_logged_in = is_logged_in
