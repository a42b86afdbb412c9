"""What the drawing tools do to pixels, against this project's codec, SciPy, scikit-image and a plain definition."""

import numpy as np
import pytest
from drawn import swept
from scipy import ndimage

from curation import masks

pytestmark = pytest.mark.slow
RUN = """
async (cases) => {
    const tools = await import("/draw_bitmap.js");
    const bitmap = ({rle, width, height}) => tools.Bitmap.fromRle(rle, width, height);
    const work = {
        rle: (made) => made,
        region: (made, {x, y}) => {
            const value = made.pixels[y * made.width + x];
            const found = tools.region(made, x, y);
            const only = new tools.Bitmap(made.width, made.height);
            tools.paintRegion(only, found, 1);
            return [only, {value, isOpen: found.isOpen, n: found.n, rect: found.rect}];
        },
        polygon: (made, {points, value}) => [made, tools.polygon(made, points, value)],
        stroke: (made, {from, to, diameter}) => [made, tools.stroke(made, from, to, diameter, 1)],
        undo: (made, {other}) => {
            const after = bitmap({...other, width: made.width, height: made.height});
            const runs = tools.changes(made, after, [0, 0, made.width, made.height]);
            const rect = tools.turnOver(made, runs);
            return [made, {rect, ...tools.gainedAndLost(made, after)}];
        },
    };
    return cases.map((item) => {
        const answer = work[item.do](bitmap(item), item);
        const [made, told] = Array.isArray(answer) ? answer : [answer, null];
        return {rle: tools.toRle(made), told};
    });
}
"""


@pytest.fixture(scope="module")
def run(browser, component):
    """Runs cases {do, pixels, …} in the browser; (pixels, what was told) of each."""
    page = browser.new_page()

    def fulfill(route) -> None:
        name = route.request.url.rsplit("/", 1)[-1]
        body = (component / name).read_text() if name else "<p>"
        route.fulfill(body=body, content_type="text/javascript" if name else "text/html")

    page.route("**/*", fulfill)
    page.goto("http://localhost/")

    def run_cases(cases: list[dict]) -> list[tuple[np.ndarray, object]]:
        shapes = [case["pixels"].shape for case in cases]
        sent = [
            {
                **{key: value for key, value in case.items() if key != "pixels"},
                **rle(case["pixels"]),
                "height": height,
                "width": width,
            }
            for case, (height, width) in zip(cases, shapes, strict=True)
        ]
        came = page.evaluate(RUN, sent)
        found = []
        for case, answer, (height, width) in zip(cases, came, shapes, strict=True):
            runs = masks.parse_strings([answer["rle"]], height, width)
            assert masks.to_strings(runs) == [answer["rle"]], (
                f"{case['do']}: not the string that pycocotools writes"
            )
            found.append((masks.decode(runs)[0], answer["told"]))
        return found

    yield run_cases
    page.close()


def rle(pixels: np.ndarray) -> dict:
    return {"rle": masks.to_strings(masks.encode(pixels[None]))[0]}


def noise(n: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.random(rng.integers(1, 30, 2)) < rng.uniform(0.2, 0.8) for _ in range(n)]


def test_run_lengths_are_those_of_the_codec(run):
    shapes = [*noise(40), np.zeros((3, 4), bool), np.ones((3, 4), bool), np.eye(300, 200, dtype=bool)]
    for pixels, (came, _) in zip(shapes, run([{"do": "rle", "pixels": p} for p in shapes]), strict=True):
        np.testing.assert_array_equal(came, pixels)


def test_regions_are_those_of_scipy(run):
    """Pieces are 8-connected, holes 4-connected."""
    rng = np.random.default_rng(1)
    cases = [
        {"do": "region", "pixels": p, "x": int(rng.integers(p.shape[1])), "y": int(rng.integers(p.shape[0]))}
        for p in noise(80, 1)
    ]
    for case, (came, told) in zip(cases, run(cases), strict=True):
        pixels, x, y = case["pixels"], case["x"], case["y"]
        is_mask = pixels[y, x]
        labels, _ = ndimage.label(pixels if is_mask else ~pixels, np.ones((3, 3)) if is_mask else None)
        expected = labels == labels[y, x]
        np.testing.assert_array_equal(came, expected)
        rows, columns = np.nonzero(expected)
        left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        assert told["rect"] == [left, top, right, bottom]
        assert told["n"] == expected.sum()
        height, width = pixels.shape
        assert told["isOpen"] == (left == 0 or top == 0 or right == width or bottom == height)


def test_polygons_hold_the_centres_inside_them(run):
    measure = pytest.importorskip("skimage.measure", reason="scikit-image is not installed")
    rng = np.random.default_rng(2)
    cases = [
        {
            "do": "polygon",
            "pixels": np.zeros((24, 31), bool),
            "value": 1,
            "points": (rng.random((rng.integers(3, 8), 2)) * 44 - 6).tolist(),
        }
        for _ in range(60)
    ]
    columns, rows = np.meshgrid(np.arange(31) + 0.5, np.arange(24) + 0.5)
    centres = np.stack([columns.ravel(), rows.ravel()], 1)
    for case, (came, rect) in zip(cases, run(cases), strict=True):
        expected = measure.points_in_poly(centres, np.array(case["points"])).reshape(24, 31)
        np.testing.assert_array_equal(came, expected)
        if expected.any():
            left, top, right, bottom = rect
            assert came[top:bottom, left:right].sum() == came.sum()


def test_a_stroke_is_all_within_its_radius(run):
    rng = np.random.default_rng(3)
    cases = [
        {
            "do": "stroke",
            "pixels": np.zeros((240, 320), bool),
            "from": (rng.random(2) * (340, 260) - 10).tolist(),
            "to": (rng.random(2) * (300, 220) + 10).tolist(),
            "diameter": int(rng.integers(2, 60)),
        }
        for _ in range(20)
    ]
    for case, (came, _) in zip(cases, run(cases), strict=True):
        np.testing.assert_array_equal(came, swept([case["from"], case["to"]], case["diameter"]))


def test_a_brush_of_one_pixel_never_misses(run):
    spots = [(3.02, 4.97), (7.5, 7.5), (0.0, 0.0), (9.99, 0.01)]
    cases = [
        {"do": "stroke", "pixels": np.zeros((10, 10), bool), "from": s, "to": s, "diameter": 1} for s in spots
    ]
    for (x, y), (came, _) in zip(spots, run(cases), strict=True):
        assert came[int(y), int(x)]
        assert came.sum() == 1


def test_undo_turns_over_what_differs(run):
    pairs = [(a, np.random.default_rng(4).random(a.shape) < 0.5) for a in noise(30, 4)]
    cases = [{"do": "undo", "pixels": a, "other": rle(b)} for a, b in pairs]
    for (before, after), (came, told) in zip(pairs, run(cases), strict=True):
        np.testing.assert_array_equal(came, after)  # the change on top of what was there is what is there now
        rows, columns = np.nonzero(before != after)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if len(rows) else None
        assert told == {"rect": box, "gained": 0, "lost": 0}
