"""The report page in a real browser, opened from disk: on a screen, on a phone, on paper."""

import shutil

import pytest

from curation.report.charts import COLOURS, STEPS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")]


@pytest.fixture(scope="module")
def url(written) -> str:
    return f"file://{written}"


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def opened(browser, url: str, width: int, scheme: str = "light"):
    """The page, and what its console and its requests said."""
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on(
        "request",
        lambda request: said.append(request.url) if not request.url.startswith(("file:", "data:")) else 0,
    )
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.goto(url)
    return page, said


@pytest.mark.parametrize("width", [1280, 768, 360])
def test_it_opens_without_a_word_and_fits(browser, url, width):
    page, said = opened(browser, url, width)
    assert said == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    is_phone = width < 700
    assert page.locator(".on-phone svg").first.is_visible() == is_phone
    assert page.locator(".on-screen svg").first.is_visible() == (not is_phone)
    wider = page.evaluate(
        "[...document.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().right > innerWidth).length"
    )
    assert wider == 0


@pytest.mark.parametrize("width", [1280, 360])
def test_words_of_charts_are_readable(browser, url, width):
    page, _ = opened(browser, url, width)
    smallest = page.evaluate(
        """Math.min(...[...document.querySelectorAll('svg')].filter(s => s.checkVisibility()).map(svg => {
            const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
            const sizes = [...svg.querySelectorAll('text')].map(t => parseFloat(getComputedStyle(t).fontSize));
            return scale * Math.min(...sizes);
        }))"""
    )
    assert smallest >= 10


def test_a_dark_screen_gets_dark_paper_and_light_charts(browser, url):
    page, _ = opened(browser, url, 1280, "dark")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == rgb(COLOURS["paper"][1])
    dot = page.locator(f".on-screen svg [fill='{COLOURS['data'][0]}']").first
    assert dot.evaluate("e => getComputedStyle(e).fill") == rgb(COLOURS["data"][1])


def test_it_prints(browser, url, tmp_path):
    page, _ = opened(browser, url, 1280)
    pdf = page.pdf(prefer_css_page_size=True)
    assert pdf.startswith(b"%PDF")
    assert 4 <= pdf.count(b"/Type /Page\n") <= 20
    assert b"/MediaBox [0 0 594.95996 841.91998]" in pdf or b"/MediaBox [0 0 595" in pdf


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("role", ["ink", "soft", "data"])
def test_words_and_dots_stand_out(side, role):
    assert contrast(COLOURS[role][side], COLOURS["paper"][side]) >= 4.5


@pytest.mark.parametrize("side", [0, 1])
def test_steps_go_one_way(side):
    lights = [luminance(pair[side]) for pair in STEPS]
    assert lights == sorted(lights, reverse=side == 0)


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def rgb(colour: str) -> str:
    return f"rgb({', '.join(str(int(colour[k : k + 2], 16)) for k in (1, 3, 5))})"
