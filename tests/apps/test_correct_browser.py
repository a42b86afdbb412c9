"""Mending masks in a real browser: what was drawn is what lies in the lake, pixel by pixel."""

import uuid

import drawn
import numpy as np
import pytest
import served
from drawn import DISC, HOLE, ISLAND, RADIUS, Drawer, flawed, pixels_of, square, swept

from curation import masks
from curation.generation.models import MODELS
from curation.lake import Lake

pytestmark = pytest.mark.slow
PENDING = """() => Object.entries(localStorage)
    .filter(([key]) => key.startsWith("curation/drawings/")).map(([, kept]) => JSON.parse(kept).drawing.supersedes)[0]"""
OPEN = '.draw[data-mask]:not([data-mask=""])'


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    pytest.importorskip("streamlit", reason="streamlit is not installed")
    running = served.App(
        drawn.make_workspace(tmp_path_factory.mktemp("correct") / "workspace", 6), has_model=True
    ).start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def drawer(app, browser):
    drawer = Drawer(browser, app.url + "correct", "Cara")
    drawer.wait(OPEN)
    yield drawer
    drawer.close()


def save(drawer) -> int:
    """Save the mask that is open, wait until it is acknowledged, and return the new mask's number."""
    before = drawer.page.locator(".last").get_attribute("data-mask") or ""
    drawer.press("Enter")
    drawer.wait(f'.last[data-mask]:not([data-mask=""]):not([data-mask="{before}"])')
    return int(drawer.page.locator(".last").get_attribute("data-mask"))


def about(app, mask_id: int) -> dict:
    with Lake.open(app.root) as lake:
        (row,) = lake.query("FROM drawn_masks WHERE mask_id = ?", [mask_id]).to_pylist()
    return row


ROUTES = (
    "corrections",
    "drawings",
    "withdrawals",
    "image",
    "uncovered",
    "uncovered_answers",
    "image_leases",
    "overlaps",
    "prepare",
    "clicks",
)


@pytest.mark.parametrize("route", ROUTES)
def test_only_people_who_may_draw_are_answered(app, route):
    assert app.ask(f"review/{route}", {})[0] == 401
    assert app.ask(f"review/{route}", {}, app.token(role="analyst"))[0] == 403
    assert app.ask(f"review/{route}", {}, app.token())[0] == 400


def test_saving_again_doubles_nothing(app):
    with Lake.open(app.root) as lake:
        (row,) = lake.query("SELECT * FROM masks WHERE mask_index = 1 ORDER BY mask_id LIMIT 1").to_pylist()
    about_it = {"image": str(row["image_id"]), "run_id": row["run_id"], "supersedes": str(row["mask_id"])}
    how = {"task_id": None, "tools": ["brush"], "n_actions": 1, "took_s": 3.5}
    shape = {"segmentation": masks.to_coco(masks.encode(square(160, 20, 30)[None]))}
    sent = {"drawn_id": str(uuid.uuid4()), **about_it, **how, **shape}
    first, second = (app.ask("review/drawings", sent, app.token("Dan")) for _ in range(2))
    assert first[0] == 200
    assert first[1] == second[1]
    with Lake.open(app.root) as lake:
        assert lake.query("FROM drawn_masks WHERE rater = 'Dan'").num_rows == 1


def test_brush_and_eraser(app, drawer):
    old = int(drawer.data("mask"))
    assert drawer.text(".chips") == "wrong hole"
    drawer.see_pixels()
    painted, erased, slip = (
        [(160, 100), (190, 120), (190, 160)],
        [(60, 80), (120, 86)],
        [(20, 200), (60, 200)],
    )
    drawer.press("b")
    drawer.stroke(*painted)
    drawer.press("]", "]", "e")
    drawer.stroke(*erased)
    drawer.press("b")
    drawer.stroke(*slip)
    drawer.done(3)
    drawer.press("z")  # the slip is undone, and counts nowhere
    drawer.done(2)
    size = int(drawer.text(".slider output >> nth=0").split()[0])
    new = save(drawer)
    expected = (flawed() | swept(painted, 24)) & ~swept(erased, size)
    row, pixels = pixels_of(app.root, new)
    np.testing.assert_array_equal(pixels, expected)
    assert size == 32
    assert row["supersedes"] == old
    told = about(app, new)
    assert (told["tools"], told["n_actions"], told["rater"]) == (["brush", "eraser"], 2, "Cara")
    assert told["took_s"] > 0
    overlap = masks.paired_iou(masks.encode(expected[None]), masks.encode(flawed()[None]))[0]
    assert told["iou_with_superseded"] == pytest.approx(overlap)
    assert f"{overlap:.3f}" in drawer.text(".last")
    with Lake.open(app.root) as lake:
        (verdict,) = lake.query("FROM current_verdicts WHERE rater = 'Cara'").to_pylist()
        current = lake.query("SELECT mask_id FROM current_masks")["mask_id"].to_pylist()
    assert (verdict["decision"], verdict["mask_id"], verdict["purpose"]) == ("fix", old, "correct")
    assert new in current
    assert old not in current


def test_fill_hole_drop_component_and_polygon(app, drawer):
    drawer.wait(OPEN)
    drawer.see_pixels()
    drawer.press("h")
    drawer.click(300, 230)  # that is no hole: nothing happens
    assert "reaches the border" in drawer.text(".saying")
    drawer.click(*DISC)
    drawer.done(1)
    drawer.press("d")
    drawer.click(ISLAND[0] + 3, ISLAND[1] + 3)
    drawer.done(2)
    drawer.press("Shift+P")
    for corner in ((60, 100), (90, 100), (90, 130), (60, 130)):
        drawer.click(*corner)
    drawer.press("Enter")
    drawer.done(3)
    new = save(drawer)
    _, pixels = pixels_of(app.root, new)
    expected = (flawed() | drawn.disc(*DISC, HOLE)) & ~square(*ISLAND) & ~square(60, 100, 30)
    np.testing.assert_array_equal(pixels, expected)
    assert about(app, new)["tools"] == ["fill_hole", "drop_component", "polygon"]


def test_the_keyboard_alone_draws(app, drawer):
    drawer.wait(OPEN)
    drawer.see_pixels()
    drawer.press("b", "ArrowRight", "Space")  # from the middle of the picture, a dab
    drawer.done(1)
    new = save(drawer)
    _, pixels = pixels_of(app.root, new)
    np.testing.assert_array_equal(
        pixels, flawed() | drawn.disc(drawn.WIDTH / 2 + 4.5, drawn.HEIGHT / 2 + 0.5, 16)
    )


def test_a_saved_mask_is_taken_back_and_saved_anew(app, drawer):
    drawer.wait(OPEN)
    old = int(drawer.data("mask"))
    drawer.see_pixels()
    drawer.press("b")
    drawer.stroke((200, 40), (220, 60))
    drawer.stroke((20, 200), (60, 200))  # a slip, which is seen too late
    drawer.done(2)
    size = int(drawer.text(".slider output >> nth=0").split()[0])
    first = save(drawer)
    drawer.wait(f'.draw[data-mask]:not([data-mask=""]):not([data-mask="{old}"])')
    drawer.press("Backspace")
    drawer.wait(f'.draw[data-mask="{old}"][data-done="2"]')  # with all that was drawn
    with Lake.open(app.root) as lake:
        current = set(lake.query("SELECT mask_id FROM current_masks")["mask_id"].to_pylist())
        verdicts = lake.query("FROM current_verdicts WHERE rater = 'Cara' AND mask_id = ?", [old])
    assert old in current
    assert first not in current
    assert verdicts.num_rows == 0
    drawer.press("z")
    drawer.done(1)
    new = save(drawer)
    _, pixels = pixels_of(app.root, new)
    np.testing.assert_array_equal(pixels, flawed() | swept([(200, 40), (220, 60)], size))
    assert (about(app, new)["supersedes"], about(app, new)["n_actions"]) == (old, 1)


def test_a_mask_that_was_mended_again_is_not_taken_back(app, drawer):
    drawer.wait(OPEN)
    before = about(app, int(drawer.page.locator(".last").get_attribute("data-mask")))
    shape = {"segmentation": masks.to_coco(masks.encode(square(160, 20, 30)[None]))}
    on_top = {"drawn_id": str(uuid.uuid4()), "image": str(before["image_id"]), "run_id": before["run_id"]}
    how = {"task_id": None, "tools": ["brush"], "n_actions": 1, "took_s": 3.5}
    mended = {**on_top, **shape, **how, "supersedes": str(before["mask_id"])}
    assert app.ask("review/drawings", mended, app.token("Dan"))[0] == 200
    drawer.page.click(".last .back")
    drawer.wait('.saying[data-kind="error"]:has-text("corrected since by Dan")')
    with Lake.open(app.root) as lake:
        assert lake.query("FROM withdrawn_masks WHERE mask_id = ?", [before["mask_id"]]).num_rows == 0


def test_a_lost_connection_loses_no_mask_and_doubles_none(app, drawer):
    drawer.wait(OPEN)
    drawer.see_pixels()
    drawer.press("b")
    drawer.stroke((200, 40), (220, 60))
    drawer.done(1)
    size = int(drawer.text(".slider output >> nth=0").split()[0])
    drawer.page.route("**/review/drawings", lambda route: route.abort())
    drawer.press("Enter")
    drawer.wait('.last:has-text("Kept here")')
    drawer.wait('.saved[data-pending="1"]')
    old, said = drawer.page.evaluate(PENDING), []

    def answer_late(route):
        """What is still to be mended, asked before the mask is saved and answered after it."""
        if said:
            return route.continue_()
        answer = route.fetch()
        said.append(answer.text())
        drawer.page.unroute("**/review/drawings")
        drawer.wait('.saved[data-pending="0"]')
        return route.fulfill(response=answer)

    drawer.page.reload(wait_until="commit")  # what the page asked for before is given up
    drawer.page.route("**/review/corrections", answer_late)
    drawer.wait(OPEN)
    drawer.page.unroute("**/review/corrections")
    assert old in said[0]
    assert drawer.data("mask") != old
    with Lake.open(app.root) as lake:
        ids = lake.query("SELECT mask_id FROM drawn_masks WHERE rater = 'Cara' ORDER BY drawn_at")["mask_id"]
    assert len(ids) == 6  # one of them taken back
    _, pixels = pixels_of(app.root, ids[-1].as_py())
    np.testing.assert_array_equal(pixels, flawed() | swept([(200, 40), (220, 60)], size))


def test_sam_clicks(app, drawer):
    if not MODELS["sam2-tiny"].is_there:
        pytest.skip("sam2-tiny is not in the model cache: `curation models fetch sam2-tiny`")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    drawer.wait(OPEN)
    drawer.wait('.sam[data-state="ready"]')
    drawer.see_pixels()
    drawer.press("s")
    drawer.click(*DISC, button="right")  # nothing to take away from yet
    assert "First click on the object" in drawer.text(".saying")
    points = [[130, 120, 1], [drawn.SQUARE[0] + 30, drawn.SQUARE[1] + 30, 0]]
    drawer.click(*points[0][:2])
    drawer.done(1)
    drawer.click(*points[1][:2], button="right")
    drawer.done(2)
    old = int(drawer.data("mask"))
    image = pixels_of(app.root, old)[0]["image_id"]
    new = save(drawer)
    _, pixels = pixels_of(app.root, new)
    whole = drawn.disc(*DISC, RADIUS)
    assert (pixels & whole).sum() / (pixels | whole).sum() > 0.9
    answer = app.ask("review/clicks", {"image": str(image), "points": points}, app.token())[1]
    np.testing.assert_array_equal(pixels, masks.decode(masks.parse(answer))[0])
    assert about(app, new)["tools"] == ["sam"]
    drawer.wait(".message h2")
    assert drawer.text(".message h2") == "Nothing left to mend"
