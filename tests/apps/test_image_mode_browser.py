"""Image mode in a real browser: judge all masks of an image, draw what was missed, answer for what is uncovered."""

import drawn
import numpy as np
import pytest
import served
from drawn import SQUARE, Drawer, pixels_of, square

from curation.lake import Lake

pytestmark = pytest.mark.slow
OPEN = '.draw[data-image]:not([data-image=""])'


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    pytest.importorskip("streamlit", reason="streamlit is not installed")
    running = served.App(drawn.make_workspace(tmp_path_factory.mktemp("image") / "workspace", 2)).start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def drawer(app, browser):
    drawer = Drawer(browser, app.url + "image", "Ines")
    drawer.wait(OPEN)
    yield drawer
    drawer.close()


def corners(x: int, y: int, side: int) -> list[tuple[int, int]]:
    return [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]


def draw_square(drawer, *place: int) -> None:
    drawer.press("d", "p")
    drawer.wait('.draw[data-mode="draw"]')
    drawer.see_pixels()
    for corner in corners(*place):
        drawer.click(*corner)
    drawer.press("Enter")
    drawer.done(1)
    drawer.press("Enter")


def rows(app, sql: str) -> list[dict]:
    with Lake.open(app.root) as lake:
        return lake.query(sql).to_pylist()


def test_each_mask_is_judged_with_the_keyboard(app, drawer):
    items = drawer.page.locator(".masks li")
    ring, small = (int(items.nth(k).get_attribute("data-mask")) for k in (0, 1))
    drawer.press("a", "r")
    drawer.wait('.saved[data-pending="0"]')
    given = rows(app, "FROM current_verdicts WHERE rater = 'Ines'")
    assert {row["mask_id"]: row["decision"] for row in given} == {ring: "accept", small: "reject"}
    assert {row["purpose"] for row in given} == {"image"}
    drawer.press("z")  # the reject is taken back, and given again
    drawer.wait('.masks li[data-decision="open"]')
    drawer.press("r")
    drawer.wait('.saved[data-pending="0"]')
    given = rows(app, "FROM current_verdicts WHERE rater = 'Ines' ORDER BY mask_id")
    assert [row["decision"] for row in given] == ["accept", "reject"]


def test_a_missed_object_is_drawn(app, drawer):
    draw_square(drawer, *SQUARE)
    drawer.wait('.masks li[data-decision="drawn"]')
    new = int(drawer.page.locator('.masks li[data-decision="drawn"]').get_attribute("data-mask"))
    row, pixels = pixels_of(app.root, new)
    np.testing.assert_array_equal(pixels, square(*SQUARE))
    assert row["supersedes"] is None


def test_a_drawn_object_is_taken_back_and_drawn_anew(app, drawer):
    (before,) = rows(app, "SELECT mask_id FROM current_drawn_masks")
    drawer.press("z")
    drawer.wait('.masks:not(:has([data-decision="drawn"]))')
    assert rows(app, "FROM current_drawn_masks") == []
    assert before["mask_id"] not in [row["mask_id"] for row in rows(app, "SELECT mask_id FROM current_masks")]
    draw_square(drawer, *SQUARE)
    drawer.wait('.masks li[data-decision="drawn"]')
    assert len(rows(app, "FROM drawn_masks")) == 2


def test_a_double_is_warned_about(app, drawer):
    draw_square(drawer, SQUARE[0] + 5, SQUARE[1], SQUARE[2])
    drawer.wait('.draw[data-mode="sure"]')
    both = SQUARE[2] * (SQUARE[2] - 5)
    assert (
        f"overlaps mask 3 with an IoU of {both / (2 * SQUARE[2] ** 2 - both):.2f}, over 0.5"
        in drawer.text(".question")
    )
    drawer.press("Escape")
    drawer.wait('.draw[data-mode="draw"]')
    drawer.press("Escape", "Escape")
    drawer.wait('.draw[data-mode="look"]')
    assert len(rows(app, "FROM current_drawn_masks")) == 1


def test_what_is_uncovered_is_asked_about_before_the_next_image(app, drawer):
    first = drawer.data("image")
    drawer.wait('.saved[data-pending="0"]')
    drawer.press("Enter")
    drawer.wait('.draw[data-mode="ask"]')
    assert "A large region is unmasked" in drawer.text(".question")
    while drawer.data("mode") == "ask":
        drawer.press("g")
        drawer.page.wait_for_timeout(100)
    drawer.wait(f'{OPEN}:not([data-image="{first}"])')
    answers = rows(app, "FROM uncovered_answers")
    assert {(row["rater"], row["image_id"], row["answer"]) for row in answers} == {
        ("Ines", int(first), "nothing_missing")
    }
    drawer.press("Enter")
    assert "not judged yet" in drawer.text(".saying")
    drawer.press("Shift+A")
    drawer.wait('.saved[data-pending="0"]')
    # What was accepted at once shares the time that it took: nobody judges a million masks an hour.
    given = rows(app, f"FROM current_verdicts WHERE rater = 'Ines' AND image_id <> {first} ORDER BY given_at")
    gap_s = (given[-1]["given_at"] - given[0]["given_at"]).total_seconds()
    assert len(given) > 1
    assert gap_s == pytest.approx(sum(row["took_s"] for row in given[1:]), abs=0.01)


def test_people_on_one_image_hear_of_each_other_and_answers_are_not_asked_for_again(app, drawer):
    first = str(rows(app, "FROM uncovered_answers")[0]["image_id"])
    about = {"run_id": 1, "image": first}
    assert app.ask("review/image", about, app.token("Dan"))[1]["others"] == []
    drawer.press("p")
    drawer.wait(f'.draw[data-image="{first}"] .others:not([hidden])')
    assert "Dan has it open too" in drawer.text(".others")
    assert app.ask("review/image_leases", about, app.token("Dan"))[1]["others"] == ["Ines"]
    drawer.press("Enter")  # nothing is asked that was answered
    drawer.wait(f'.draw:not([data-image="{first}"])')
