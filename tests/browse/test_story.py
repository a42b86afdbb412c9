"""The whole review, as people do it: a sample, two raters, two corrections, a decision, the estimate, FiftyOne."""

import itertools
import shutil

import drawn
import pytest
import served
from drawn import DISC, Drawer
from fiftyone_reading import detections_by_id
from test_review_browser import Reviewer
from typer.testing import CliRunner

from curation import queries
from curation.browse.selection import Choice
from curation.browse.sync import sync
from curation.cli import app
from curation.generation.models import MODELS
from curation.lake import Lake

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH"),
]


@pytest.fixture
def root(tmp_path):
    """Twenty pictures with a flawed mask and one of nothing each."""
    drawn.make_pictures(tmp_path / "workspace", n_images=20)
    return tmp_path / "workspace"


@pytest.fixture
def running(root):
    pytest.importorskip("streamlit", reason="streamlit is not installed")
    running = served.App(root, has_model=True).start()
    yield running
    running.stop()


@pytest.fixture
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def curation(root, *words: str) -> str:
    result = CliRunner().invoke(app, [*words, "--workspace", str(root)])
    assert result.exit_code == 0, f"{result.output}\n{result.exception!r}"
    return result.output


def query(root, sql: str) -> list[dict]:
    with Lake.open(root) as lake:
        return lake.query(sql).to_pylist()


def test_from_a_sample_to_an_estimate(root, running, chromium, mongo, name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    curation(root, "sample", "draw", "story", "--design", "srs", "--size", "40", "--seed", "3")
    judge_all(chromium, f"{running.url}?sample=story")
    first = query(root, "SELECT rater, decision FROM verdicts WHERE sample = 'story' AND purpose = 'review'")
    assert len(first) == 40
    assert {row["rater"] for row in first} == {"Ann", "Bob"}

    corrected = correct_two(chromium, running)
    decide(chromium, f"{running.url}?sample=story")

    with Lake.open(root) as lake:
        estimates = queries.get("quality_estimate").run(lake, sample="story").to_pylist()
    figure = next(row for row in estimates if row["figure"] == "accept")
    settled = query(
        root, "SELECT avg(is_accepted::INT) AS share FROM settled_verdicts WHERE sample = 'story'"
    )
    assert figure["estimate"] == pytest.approx(settled[0]["share"])
    assert figure["images_low"] < figure["estimate"] < figure["images_high"]
    assert "accept" in curation(root, "sample", "estimate", "story")
    assert "kappa" in curation(root, "review", "agreement", "--sample", "story")

    with Lake.open(root) as lake:
        assert sync(lake, Choice(), name).n_chosen == 40
    import fiftyone as fo

    shown = detections_by_id(fo.load_dataset(name))
    accepted = query(root, "SELECT mask_id FROM settled_verdicts WHERE decision = 'accept'")
    assert all("verdict: accept" in shown[row["mask_id"]].tags for row in accepted)
    for mask_id in corrected:
        assert "drawn" in shown[mask_id].tags
        assert shown[mask_id].drawn_by == "Cara"
    superseded = query(root, "SELECT supersedes FROM drawn_masks")
    assert not {row["supersedes"] for row in superseded} & set(shown)


def judge_all(browser, url: str) -> None:
    """Ann accepts everything, Bob would mend everything, at once, until nothing is left."""
    keys = {Reviewer(browser, url, "Ann"): ("a",), Reviewer(browser, url, "Bob"): ("Shift+F",)}
    for reviewer in itertools.islice(itertools.cycle(keys), 120):
        if reviewer.task:
            reviewer.judge(*keys[reviewer])
        if not any(each.task for each in keys):
            break
    for reviewer in keys:
        reviewer.wait_until_saved()
        reviewer.close()


def correct_two(browser, running) -> list[int]:
    """Cara mends one mask with the brush and one with a click of SAM; returns the new masks."""
    drawer = Drawer(browser, running.url + "correct", "Cara")
    made = []
    drawer.wait('.draw[data-mask]:not([data-mask=""])')
    drawer.see_pixels()
    drawer.press("b")
    drawer.stroke((160, 100), (190, 120))
    made.append(save(drawer))
    if MODELS["sam2-tiny"].is_there:
        drawer.wait('.sam[data-state="ready"]')
        drawer.see_pixels()
        drawer.press("s")
        drawer.click(DISC[0] + 30, DISC[1])
        made.append(save(drawer))
    drawer.close()
    return made


def save(drawer: Drawer) -> int:
    drawer.done(1)
    before = drawer.page.locator(".last").get_attribute("data-mask") or ""
    drawer.press("Enter")
    drawer.wait(f'.last[data-mask]:not([data-mask=""]):not([data-mask="{before}"])')
    return int(drawer.page.locator(".last").get_attribute("data-mask"))


def decide(browser, url: str) -> None:
    """Dora decides every mask on which Ann and Bob are at odds."""
    dora = Reviewer(browser, url, "Dora", waits=False)
    dora.page.get_by_label("disagreements first").check()
    dora.wait_for_mask()
    while dora.task:
        dora.judge("a")
    dora.wait_until_saved()
    dora.close()
