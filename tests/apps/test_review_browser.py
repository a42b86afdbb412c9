"""Judging in a real browser, with the keyboard alone."""

import json
import re
from uuid import uuid4

import pytest
import served

from curation.lake import Lake
from curation.review import queue, rules
from curation.review.verdicts import Verdict, give

pytestmark = pytest.mark.slow
NOTE = "<img src=x onerror=alert(1)> thin edge"
SHOWN = '.review[data-task]:not([data-task=""])'


class Reviewer:
    """A rater at a browser of their own."""

    def __init__(self, browser, url: str, name: str, waits: bool = True) -> None:
        self.context = browser.new_context(viewport={"width": 1280, "height": 800})
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.errors.append(dialog.message), dialog.dismiss()))
        self.page.goto(url)
        self.page.get_by_label("Your name").fill(name)
        self.page.keyboard.press("Enter")
        if waits:
            self.wait_for_mask()

    def wait_for_mask(self) -> None:
        self.page.wait_for_selector(SHOWN, timeout=60_000)

    @property
    def task(self) -> str:
        return self.page.locator(".review").get_attribute("data-task")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def judge(self, *keys: str) -> str | None:
        """Judge the mask that is shown, wait for the next one (or the end), and return its task."""
        task = self.task
        self.press(*keys)
        self.page.wait_for_selector(f'.review:not([data-task="{task}"])', timeout=30_000)
        self.page.wait_for_selector(f"{SHOWN}, .message h2", timeout=20_000)
        return self.task or None

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    @property
    def n_pending(self) -> int:
        return int(self.page.locator(".saved").get_attribute("data-pending"))

    def wait_until_saved(self, patience_s: float = 60) -> None:
        self.page.wait_for_selector('.saved[data-pending="0"]', timeout=1000 * patience_s)

    def close(self) -> None:
        self.context.close()
        assert self.errors == []


def ask_anew(reviewers):
    """What one rater judged may be the other's to judge too: a page that has nothing asks only now and then."""
    for reviewer in reviewers:
        reviewer.wait_until_saved()
    for reviewer in reviewers:
        reviewer.page.reload()
        reviewer.page.wait_for_selector(f"{SHOWN}, .message h2:has-text('Nothing left to judge')")


@pytest.fixture(scope="module")
def judged(app, browser):
    """Verdicts of two raters who judged the whole sample at once: one decides, one rates."""
    url = f"{app.url}?sample={served.SAMPLE}"
    ann, bob = Reviewer(browser, url, "Ann"), Reviewer(browser, url, "Bob")
    bob.press("m")
    plans = {
        ann: [("a",), ("r", "3"), ("f", "Enter"), ("u",), ("Shift+R",)],
        bob: [("0",), ("1", "5"), ("8",)],
    }
    n_given = dict.fromkeys(plans, 0)
    while any(reviewer.task for reviewer in plans):
        for reviewer, plan in plans.items():
            if reviewer.task:
                reviewer.judge(*plan[n_given[reviewer] % len(plan)])
                n_given[reviewer] += 1
        if not any(reviewer.task for reviewer in plans):
            ask_anew(plans)
    for reviewer in plans:
        reviewer.wait_until_saved()
        reviewer.close()
    with Lake.open(app.root) as lake:
        rows = lake.query("FROM verdicts WHERE sample = ? ORDER BY given_at", [served.SAMPLE]).to_pylist()
    return rows, {"Ann": n_given[ann], "Bob": n_given[bob]}


def test_two_raters_judge_a_sample_and_no_mask_is_judged_twice_by_chance(judged):
    rows, n_given = judged
    assert len(rows) == sum(n_given.values())
    first = [row["mask_id"] for row in rows if row["purpose"] == "review"]
    assert len(first) == len(set(first)) == 40
    second = {row["mask_id"]: row["rater"] for row in rows if row["purpose"] == "double_review"}
    assert all(row["rater"] != second.get(row["mask_id"]) for row in rows if row["purpose"] == "review")
    assert min(n_given.values()) >= 5


def test_keys_mean_what_the_page_says(judged):
    rows, _ = judged
    decided = {(r["decision"], r["rating"], tuple(r["reasons"])) for r in rows if r["rater"] == "Ann"}
    assert decided == {
        ("accept", None, ()),
        ("reject", None, ("merged",)),
        ("fix", None, ()),
        ("unsure", None, ()),
        ("reject", None, ()),
    }
    rated = {(r["decision"], r["rating"], tuple(r["reasons"])) for r in rows if r["rater"] == "Bob"}
    assert rated == {("accept", 10, ()), ("reject", 1, ("wrong_hole",)), ("accept", 8, ())}
    assert all(0 < row["took_s"] < 60 for row in rows)


@pytest.fixture
def url(app, request) -> str:
    """Address of a sample that nobody has judged."""
    name = re.sub(r"\W+", "-", request.node.name)
    served.add_sample(app.root, name)
    return f"{app.url}?sample={name}"


@pytest.fixture
def own_app(tmp_path):
    """An app that a test may kill."""
    own = served.App(served.make_workspace(tmp_path / "workspace", n_images=5, masks_per_image=4)).start()
    yield own
    own.stop()


def test_undo_note_reload_and_a_killed_server_lose_and_double_nothing(own_app, browser):
    ann = Reviewer(browser, own_app.url, "Ann")
    first = ann.task
    ann.press("n")
    ann.page.keyboard.type(NOTE)
    ann.press("Enter")
    assert ann.judge("f", "7") != first
    assert ann.judge("z") == first
    assert "fix · poor edge" in ann.text(".banner")
    assert ann.page.get_by_label("Note").input_value() == NOTE
    ann.judge("a")
    back = ann.judge("z")
    assert back == first
    ann.judge("Escape")
    ann.wait_until_saved()

    own_app.kill()
    seen = []
    for keys in (("a",), ("r", "1"), ("s",)):
        seen.append(ann.task)
        ann.judge(*keys)
    assert ann.n_pending == 3
    ann.page.wait_for_selector(".saved:has-text('kept here')")

    own_app.start()
    ann.page.goto(own_app.url)  # the browser, too, is told anew: what it kept is sent, the name is known
    ann.wait_for_mask()
    assert ann.task not in seen
    ann.wait_until_saved()
    ann.close()

    with Lake.open(own_app.root) as lake:
        rows = lake.query("FROM verdicts ORDER BY given_at").to_pylist()
        current = lake.query("SELECT task_id, decision, reasons, note FROM current_verdicts").to_pylist()
    assert [row["decision"] for row in rows] == ["fix", "accept", "accept", "reject", "skip"]
    assert rows[1]["replaces"] == rows[0]["verdict_id"]
    assert {row["task_id"] for row in current} == {first, *seen}
    (kept,) = [row for row in current if row["task_id"] == first]
    assert (kept["decision"], kept["note"]) == ("accept", NOTE)


def test_looking_changes_nothing_but_the_look(url, browser):
    ann = Reviewer(browser, url, "Ann")
    task = ann.task
    titles = []
    for _ in range(5):
        titles.append(ann.text(".view-title"))
        ann.press("v")
    assert sorted(titles) == ["Image", "Mask alone", "Overlay", "Zoomed, no mask", "Zoomed, with mask"]
    before = pixels(ann)
    for key in ("e", "+", "ArrowLeft", "o", ".", "c", "k"):
        ann.press(key)
        after = pixels(ann)
        assert after != before or key == "c", key
        before = after
    assert ann.page.locator(".stage canvas.picture").evaluate("c => c.style.filter") == "contrast(1.5)"
    ann.page.keyboard.down(" ")
    assert ann.text(".view-title") == "Mask hidden"
    ann.page.keyboard.up(" ")
    ann.press("?")
    assert ann.page.get_by_role("dialog").is_visible()
    ann.press("a", "Escape")
    assert ann.task == task
    kept = ann.page.evaluate("JSON.parse(localStorage.getItem('curation/preferences'))")
    assert kept["contrast"] == 1.5
    ann.close()


def pixels(reviewer: Reviewer) -> str:
    return reviewer.page.locator(".stage").evaluate(
        "stage => [...stage.querySelectorAll('canvas')].map(c => c.toDataURL()).join()"
    )


def test_the_page_is_told_nothing_that_colours_a_judgement(url, browser):
    context = browser.new_context()
    page = context.new_page()
    bodies = []
    page.on(
        "response",
        lambda response: bodies.append(response.text()) if "/review/tasks" in response.url else None,
    )
    page.goto(url)
    page.get_by_label("Your name").fill("Cy")
    page.keyboard.press("Enter")
    page.wait_for_selector(SHOWN, timeout=60_000)
    page.wait_for_timeout(200)
    told = " ".join(bodies)
    assert json.loads(bodies[0])["tasks"]
    assert not re.search("purpose|predicted|score|stability|gold|mask_id|rater|verdict_id", told)
    context.close()


def test_what_goes_wrong_is_told_and_nothing_is_lost(url, browser, app):
    """A picture that is not there; a session that is over; a verdict taken back; a pause."""
    flo = Reviewer(browser, url, "Flo")
    first = flo.task
    flo.page.route("**/review/verdicts", lambda route: refuse(route, 401, "the session is over"))
    flo.judge("a")
    flo.page.wait_for_selector(".saved.is-refused:has-text('1 kept here')")
    flo.page.unroute("**/review/verdicts")

    flo.page.route("**/review/pictures/*", lambda route: refuse(route, 404, "<i>the file is gone</i>"))
    flo.page.reload()
    flo.page.wait_for_selector(".message:has-text('<i>the file is gone</i>')", timeout=60_000)
    flo.wait_until_saved()
    flo.press("a")  # nothing is judged that was not seen
    assert flo.n_pending == 0
    flo.page.unroute("**/review/pictures/*")
    flo.press("Enter")
    flo.wait_for_mask()

    second = flo.task
    flo.judge("a")
    assert flo.judge("z") == second
    flo.press("Backspace")
    flo.page.wait_for_selector(".banner", state="hidden")
    flo.wait_until_saved()
    assert current_tasks(app.root, "Flo") == {first}

    (app.root / "review.toml").write_text("break_after_min = 0.0001")
    flo.page.reload()
    flo.wait_for_mask()
    flo.press("a")
    flo.page.wait_for_selector(".message:has-text('Time for a pause')")
    flo.press("a", "Enter")
    flo.wait_until_saved()
    assert len(current_tasks(app.root, "Flo")) == 2
    (app.root / "review.toml").unlink()
    flo.close()


def refuse(route, status: int, reason: str) -> None:
    route.fulfill(status=status, content_type="application/json", body=json.dumps({"error": reason}))


def current_tasks(root, rater: str) -> set[str]:
    with Lake.open(root) as lake:
        return set(
            lake.query("SELECT task_id FROM current_verdicts WHERE rater = ?", [rater])["task_id"].to_pylist()
        )


def test_another_sample_is_chosen_and_stays(url, browser, app):
    served.add_sample(app.root, "other")
    gil = Reviewer(browser, url, "Gil")
    first = gil.task
    gil.page.get_by_label("Sample", exact=True).select_option("other")
    gil.page.wait_for_url("**sample=other")
    gil.page.wait_for_selector(f'{SHOWN}:not([data-task="{first}"])')
    gil.page.reload()
    gil.wait_for_mask()
    assert gil.page.get_by_label("Sample", exact=True).input_value() == "other"
    gil.close()
    with Lake.open(app.root) as lake:
        open_tasks = lake.query(
            "SELECT DISTINCT sample FROM tasks WHERE rater = 'Gil' AND lease_until > now()"
        )
    assert open_tasks["sample"].to_pylist() == ["other"]


def test_who_is_done_with_a_sample_goes_on_with_the_next(url, browser, app):
    served.add_sample(app.root, "short", most=1)
    zoe = Reviewer(browser, f"{app.url}?sample=short", "Zoe")
    zoe.press("a")
    zoe.page.wait_for_selector(".message:not([hidden]) button", timeout=60_000)
    zoe.press("Enter")
    zoe.wait_for_mask()
    assert zoe.page.get_by_label("Sample", exact=True).input_value() == url.partition("sample=")[2]
    zoe.close()


def disagree(root, sample: str) -> None:
    """Ann and Bob judge every mask, and of one they do not think alike."""
    (root / rules.FILE).write_text("[shares]\ngold_check = 0\nrepeat = 0\ndouble_review = 1")
    with Lake.open(root) as lake:
        (odd,) = lake.query("SELECT min(mask_id) FROM samples WHERE sample = ?", [sample])[0].to_pylist()
        for rater in ("Ann", "Bob"):
            while tasks := queue.next_tasks(lake, rater, sample, 20):
                words = ["reject" if rater == "Bob" and t.mask_id == odd else "accept" for t in tasks]
                give(
                    lake,
                    [
                        Verdict(str(uuid4()), rater, word, task_id=task.task_id, took_s=3.0)
                        for task, word in zip(tasks, words, strict=True)
                    ],
                )
    (root / rules.FILE).unlink()


def test_a_curator_decides_where_raters_disagree(url, app, browser):
    sample = url.partition("sample=")[2]
    disagree(app.root, sample)
    with Lake.open(app.root) as lake:
        wanted = "SELECT count(*) FROM settled_verdicts WHERE sample = ? AND needs_adjudication"
        assert lake.query(wanted, [sample])[0][0].as_py() == 1
    hal = Reviewer(browser, url, "Hal", waits=False)
    hal.page.get_by_label("disagreements first").check()
    hal.wait_for_mask()
    hal.judge("a")
    hal.wait_until_saved()
    hal.close()
    with Lake.open(app.root) as lake:
        (row,) = lake.query("SELECT purpose, sample FROM verdicts WHERE rater = 'Hal'").to_pylist()
    assert row == {"purpose": "adjudicate", "sample": sample}


def test_it_fits_the_window_and_has_names_for_everything(url, browser):
    di = Reviewer(browser, url, "Di")
    di.press("m")
    for width, scheme in ((1280, "light"), (1920, "dark")):
        di.page.emulate_media(color_scheme=scheme)
        di.page.set_viewport_size({"width": width, "height": 800})
        di.page.wait_for_timeout(300)
        assert di.page.evaluate("document.querySelector('.stMain').scrollHeight") <= 800
        for element in di.page.locator(".review button:visible, .review select, .review textarea").all():
            assert (element.get_attribute("aria-label") or element.inner_text()).strip()
            box = element.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width + 1
    di.close()
