"""Outlines that the browser draws are the masks, pixel by pixel: against this project's own codec."""

import numpy as np
import pytest

from curation.masks import encode, to_strings

pytestmark = pytest.mark.slow
DRAWN = """
async ({text, height, width}) => {
    const { maskPath, runLengths, loops } = await import("/outline.js");
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d");
    context.fill(maskPath(text, height), "evenodd");
    const data = context.getImageData(0, 0, width, height).data;
    return {
        pixels: Array.from({length: width * height}, (_, at) => data[4 * at + 3]),
        n_corners: loops(runLengths(text), height).reduce((n, loop) => n + loop.length / 2, 0),
    };
}
"""


@pytest.fixture(scope="module")
def page(browser, component):
    page = browser.new_page()
    page.route("**/*", lambda route: route.fulfill(**answer(route.request.url, component)))
    page.goto("http://localhost/")
    yield page
    page.close()


def answer(url: str, component) -> dict:
    name = url.rsplit("/", 1)[-1]
    if not name:
        return {"body": "<p>", "content_type": "text/html"}
    return {"body": (component / name).read_text(), "content_type": "text/javascript"}


def patterns() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    shapes = {
        "empty": np.zeros((5, 7), bool),
        "full": np.ones((5, 7), bool),
        "one pixel": np.eye(6, dtype=bool)[:1],
        "corners that touch": np.eye(6, dtype=bool),
        "chequers": np.indices((7, 8)).sum(0) % 2 == 0,
        "rows": np.indices((7, 8))[0] % 2 == 0,
        "hole": np.pad(np.zeros((2, 3), bool), 2, constant_values=True),
    }
    for seed in range(12):
        height, width = rng.integers(1, 40, 2)
        shapes[f"noise {seed}"] = rng.random((height, width)) < rng.uniform(0.1, 0.9)
    large = np.zeros((300, 200), bool)
    large[20:280, 10:190] = rng.random((260, 180)) < 0.99
    return shapes | {"large": large}


@pytest.mark.parametrize("name", patterns())
def test_the_path_fills_the_mask_and_nothing_else(page, name):
    pixels = patterns()[name]
    text = to_strings(encode(pixels[None]))[0]
    drawn = page.evaluate(DRAWN, {"text": text, "height": pixels.shape[0], "width": pixels.shape[1]})
    assert np.array_equal(np.array(drawn["pixels"]).reshape(pixels.shape), 255 * pixels)


def test_straight_edges_have_no_corners(page):
    pixels = np.zeros((50, 60), bool)
    pixels[10:40, 20:50] = True
    text = to_strings(encode(pixels[None]))[0]
    assert page.evaluate(DRAWN, {"text": text, "height": 50, "width": 60})["n_corners"] == 4
