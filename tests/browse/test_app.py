"""The FiftyOne App in a real browser: masks are drawn where they are, and nowhere else."""

import contextlib
import io
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import PIL.Image
import pytest
import shown
from conftest import free_port

from curation.browse.selection import Choice
from curation.browse.sync import sync
from curation.lake import Lake

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LAUNCH = "from curation.cli import main; main()"
#: Lines and the label that the App draws around a box, in pixels of the screen.
STROKE_PX, LABEL_PX = 6, 40

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")]


def corner() -> np.ndarray:
    """One mask shaped as an L (1, 240, 320): its box has a large part that is not mask."""
    pixels = np.zeros((1, 240, 320), bool)
    pixels[0, 80:200, 60:110] = True
    pixels[0, 160:200, 60:260] = True
    return pixels


@pytest.fixture
def app_url(mongo, tmp_path, name):
    """URL of `curation browse launch`, serving one picture of one colour with one mask."""
    pixels = corner()
    picture = shown.paint(tmp_path / "plain.png", np.zeros_like(pixels))
    with Lake.create(tmp_path / "workspace") as lake:
        shown.add_run(lake, {picture: pixels})
        sync(lake, Choice(), name)
    command = ["browse", "launch", "--dataset", name, "--port", str(free_port()), "--no-browser"]
    with subprocess.Popen([sys.executable, "-c", LAUNCH, *command], stdout=subprocess.PIPE, text=True) as app:
        try:
            yield read_url(app)
        finally:
            app.terminate()


def read_url(app: subprocess.Popen, patience_s: float = 120) -> str:
    """The URL that `launch` prints once the App answers."""
    impatience = threading.Timer(patience_s, app.kill)
    impatience.start()
    try:
        for line in app.stdout:
            if "http://" in line:
                return next(word for word in line.split() if word.startswith("http://"))
    finally:
        impatience.cancel()
    raise AssertionError(f"launch ended with {app.wait()} and told no URL")


@pytest.fixture
def page():
    with playwright().sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield browser.new_page(viewport={"width": 1400, "height": 900})
        browser.close()


@pytest.mark.timeout(600)
def test_the_app_draws_each_mask_where_it_is(page, app_url, tmp_path):
    page.add_init_script(
        "localStorage.setItem('fiftyone-enterprise-tooltip-seen', 'true')"
    )  # it hides the grid
    page.goto(app_url)
    open_sample(page)
    with_masks = wait_for(page, lambda picture: is_drawn(picture).mean() > 0.02, tmp_path / "masks.png")
    is_inside, is_outside = expected(is_drawn(with_masks).shape)
    drawn = is_drawn(with_masks)
    assert drawn[is_inside].mean() > 0.99, "the mask is not drawn where it is"
    assert drawn[is_outside].mean() < 0.01, "something is drawn where no mask is"
    page.locator('[data-cy="modal"] [data-cy="checkbox-masks"]').click(timeout=60_000)
    wait_for(page, lambda picture: not is_drawn(picture).any(), tmp_path / "no_masks.png")


def open_sample(page) -> None:
    """Open the first sample of the grid. A click is lost where the grid is drawn anew just then."""
    for _ in range(3):
        page.locator('[data-cy="looker"]').first.click(timeout=60_000)
        with contextlib.suppress(playwright().TimeoutError):
            page.wait_for_selector('[data-cy="modal"]', timeout=20_000)
            return
    raise AssertionError("the App opened no sample in three clicks")


def playwright():
    return pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


def wait_for(page, is_reached, path, patience_s: float = 90) -> np.ndarray:
    """The picture as the App shows it (H, W, 3), once `is_reached`; the screenshot is kept at `path`."""
    deadline = time.monotonic() + patience_s
    while True:
        if not page.locator(
            '[data-cy="modal"]'
        ).count():  # the App closes it again where it draws the grid anew
            open_sample(page)
        page.mouse.move(5, 5)
        screenshot = PIL.Image.open(io.BytesIO(page.screenshot(path=path))).convert("RGB")
        picture = crop_to_picture(np.asarray(screenshot))
        if picture.size and is_reached(picture):
            return picture
        assert time.monotonic() < deadline, f"the App never showed it; last seen: {path}"
        time.sleep(0.5)


def crop_to_picture(screen: np.ndarray) -> np.ndarray:
    """The part of a screenshot that the picture takes: its ground is of one colour, and no mask touches its border."""
    is_ground = ~is_drawn(screen)
    rows, columns = (np.flatnonzero(is_ground.mean(axis) > 0.2) for axis in (1, 0))
    if not len(rows) or not len(columns):
        return screen[:0]
    return screen[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def is_drawn(picture: np.ndarray) -> np.ndarray:
    """Where (H, W) the colour is not that of the picture's ground."""
    return np.abs(picture.astype(int) - shown.GROUND_RGB).max(-1) > 3


def expected(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Where the mask must be drawn, and where nothing may be, as (H, W) of the screen.

    Left out of both: pixels beside an edge of the mask, and the box's lines and label.
    """
    rows = np.arange(shape[0]) * 240 // shape[0]
    columns = np.arange(shape[1]) * 320 // shape[1]
    is_mask = corner()[0][np.ix_(rows, columns)]
    y, x = np.flatnonzero(is_mask.any(1)), np.flatnonzero(is_mask.any(0))
    is_frame = np.zeros(shape, bool)
    is_frame[y[0] - LABEL_PX : y[-1] + STROKE_PX, x[0] - STROKE_PX : x[-1] + STROKE_PX] = True
    is_frame[y[0] + STROKE_PX : y[-1] - STROKE_PX, x[0] + STROKE_PX : x[-1] - STROKE_PX] = False
    is_edge = is_mask ^ np.roll(is_mask, 3, 0) | is_mask ^ np.roll(is_mask, -3, 0)
    is_edge |= is_mask ^ np.roll(is_mask, 3, 1) | is_mask ^ np.roll(is_mask, -3, 1)
    return is_mask & ~is_edge & ~is_frame, ~is_mask & ~is_edge & ~is_frame
