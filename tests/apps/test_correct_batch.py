"""A re-annotation batch in the Correct view: every mask of it, for its annotators, accepted, rejected or redrawn."""

from datetime import datetime, timezone

import drawn
import pytest
import served
from drawn import DISC, Drawer

from apps.review import drawing
from apps.review.access import Person
from curation.errors import InputError
from curation.lake import Lake
from curation.review import batch_status, opening

CARA, DAN = Person("Cara", "rater"), Person("Dan", "rater")
OPEN = '.draw[data-mask]:not([data-mask=""])'


def make_workspace(root, n_images: int):
    rows = drawn.make_pictures(root, n_images)[::2]
    request = opening.Request(
        "outlines",
        purpose="holes in discs",
        mask_ids=[row["mask_id"] for row in rows],
        annotators=("Cara",),
        due_at=datetime(2030, 1, 2, tzinfo=timezone.utc),
    )
    with Lake.open(root) as lake:
        opening.open_batch(lake, request)
    return root


def decisions(root) -> list[str]:
    with Lake.open(root) as lake:
        found = lake.query(
            "SELECT decision FROM current_verdicts WHERE sample = 'outlines' ORDER BY committed_at"
        )
    return found["decision"].to_pylist()


def test_a_batch_comes_to_its_annotators_alone(tmp_path):
    with Lake.open(make_workspace(tmp_path / "workspace", 3)) as lake:
        assert drawing.samples_to_mend(lake, CARA) == {"outlines": 3}
        assert drawing.samples_to_mend(lake, DAN) == {}
        answer = drawing.corrections(lake, CARA, {"sample": "outlines", "starts": True})
        assert answer["batch"] == {"purpose": "holes in discs", "due": "2030-01-02T00:00:00+00:00"}
        assert (len(answer["tasks"]), answer["n_waiting"]) == (2, 3)
        with pytest.raises(InputError, match="is for Cara"):
            drawing.corrections(lake, DAN, {"sample": "outlines", "starts": True})


@pytest.mark.slow
def test_a_batch_is_done_by_keys(tmp_path, browser):
    pytest.importorskip("streamlit", reason="streamlit is not installed")
    app = served.App(make_workspace(tmp_path / "workspace", 3)).start()
    try:
        drawer = Drawer(browser, app.url + "correct", "Cara")
        drawer.wait(OPEN)
        assert drawer.page.locator(".draw select").input_value() == "outlines"
        assert "holes in discs" in drawer.text(".about")
        for key in ("a", "r"):
            before = drawer.data("mask")
            drawer.press(key)
            drawer.wait(f'{OPEN}:not([data-mask="{before}"])')
        drawer.see_pixels()
        drawer.press("h")
        drawer.click(*DISC)
        drawer.done(1)
        drawer.press("a")  # a changed mask is not good as it was
        assert "is changed" in drawer.text(".saying")
        drawer.press("Enter")
        drawer.wait(".message h2:has-text('Nothing left to mend')")
        drawer.close()
    finally:
        app.stop()
    assert sorted(decisions(app.root)) == ["accept", "fix", "reject"]
    with Lake.open(app.root) as lake:
        row = batch_status.status(lake, "outlines").to_pylist()[0]
    assert (row["state"], row["n_corrected"], row["n_accepted"], row["n_rejected"]) == ("done", 1, 1, 1)
    assert row["s_per_mask"] > 0
