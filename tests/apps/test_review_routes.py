"""What the routes answer, and whom."""

import io
import time
import uuid
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import served

from apps.review import pictures
from apps.review.access import TOKEN_S
from curation.lake import Lake
from curation.masks import decode, parse_strings

POSTS = ("tasks", "progress", "verdicts", "leases", "release")
WISH = {"sample": served.SAMPLE, "n": 5}


@pytest.mark.parametrize("path", [*(f"review/{name}" for name in POSTS), "review/pictures/1"])
def test_without_a_token_nothing_is_told(app, path):
    body = None if "pictures" in path else WISH
    for token in (None, "x.y", app.token(now=time.time() - TOKEN_S - 1)):
        status, content, _ = app.ask(path, body, token)
        assert status == 401
        assert "load the page again" in content["error"]


def test_pages_elsewhere_and_other_names_of_the_host_are_refused(app):
    assert app.ask("review/tasks", WISH, app.token(), Origin="http://evil.example")[0] == 403
    assert app.ask("review/tasks", WISH, app.token(), Host="evil.example")[0] == 400
    assert app.ask("", Host="evil.example:8501")[0] == 400


def test_a_role_that_does_not_judge_is_refused(app):
    assert app.ask("review/tasks", WISH, app.token(role="analyst"))[0] == 403


def test_tasks_hold_what_the_canvas_needs_and_nothing_that_colours_a_judgement(app):
    status, content, headers = app.ask("review/tasks", WISH, app.token("Blind"))
    assert status == 200
    assert headers["cache-control"] == "no-store"
    assert len(content["tasks"]) == 5
    for task in content["tasks"]:
        assert set(task) == {"task_id", "image", "width", "height", "box", "rle", "is_small"}
        pixels = decode(parse_strings([task["rle"]], task["height"], task["width"]))[0]
        y, x = np.nonzero(pixels)
        assert task["box"] == [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]
    again = app.ask("review/tasks", {**WISH, "starts": True}, app.token("Blind"))[1]
    assert {task["task_id"] for task in again["tasks"]} == {task["task_id"] for task in content["tasks"]}


def test_progress_tells_of_the_rater_and_of_no_other(app):
    status, content, _ = app.ask("review/progress", {"sample": served.SAMPLE}, app.token("Blind"))
    assert status == 200
    assert set(content) == {"n_drawn", "n_judged", "n_mine", "verdicts_per_hour", "enough"}
    assert content["n_mine"] == 0


def test_a_verdict_is_written_once_under_the_tokens_name(app):
    token = app.token("Once")
    task = app.ask("review/tasks", WISH, token)[1]["tasks"][0]
    verdict = {
        "verdict_id": str(uuid.uuid4()),
        "task_id": task["task_id"],
        "rater": "Somebody else",
        "decision": "fix",
        "reasons": ["poor_edge"],
        "note": "<b>edge</b>",
        "took_s": 1.5,
        "given_at": "2026-01-02T03:04:05.678Z",
    }
    for _ in range(2):
        status, content, _ = app.ask("review/verdicts", {"verdicts": [verdict]}, token)
        assert status == 200
        assert content == {"acknowledged": [verdict["verdict_id"]], "refused": {}}
    with Lake.open(app.root) as lake:
        (row,) = lake.query("FROM verdicts WHERE verdict_id = ?", [verdict["verdict_id"]]).to_pylist()
    assert row["rater"] == "Once"
    assert row["given_at"].isoformat() == "2026-01-02T03:04:05.678000+00:00"
    assert row["note"] == "<b>edge</b>"


def test_what_cannot_be_used_is_refused_and_the_rest_is_written(app):
    token = app.token("Half")
    task = app.ask("review/tasks", WISH, token)[1]["tasks"][0]
    good = {"verdict_id": str(uuid.uuid4()), "task_id": task["task_id"], "decision": "accept", "took_s": 1.0}
    bad = {**good, "verdict_id": str(uuid.uuid4()), "decision": "maybe"}
    worse = {**good, "verdict_id": str(uuid.uuid4()), "took_s": "long"}
    content = app.ask("review/verdicts", {"verdicts": [bad, worse, good]}, token)[1]
    assert content["acknowledged"] == [good["verdict_id"]]
    assert set(content["refused"]) == {bad["verdict_id"], worse["verdict_id"]}


@pytest.mark.parametrize("body", [[], {"sample": 3}, {"sample": "none"}, {}])
def test_a_request_that_cannot_be_used_is_refused_with_a_reason(app, body):
    status, content, _ = app.ask("review/tasks", body, app.token())
    assert status == 400
    assert content["error"]


def test_tasks_given_back_come_to_others(app):
    token = app.token("Early")
    mine = {task["task_id"] for task in app.ask("review/tasks", {**WISH, "n": 20}, token)[1]["tasks"]}
    assert app.ask("review/leases", WISH, token)[1]["lease_until"]
    assert app.ask("review/release", WISH, token)[0] == 200
    later = app.ask("review/tasks", {**WISH, "starts": True}, token)[1]["tasks"]
    assert not mine & {task["task_id"] for task in later}


def test_a_picture_comes_whole_and_may_be_kept(app):
    with Lake.open(app.root) as lake:
        image_id, uri = lake.query("SELECT image_id, uri FROM images LIMIT 1").to_pylist()[0].values()
    status, content, headers = app.ask(f"review/pictures/{image_id}", token=app.token())
    assert status == 200
    assert headers["content-type"] == "image/jpeg"
    assert "immutable" in headers["cache-control"]
    assert content == Path(uri).read_bytes()
    status, content, _ = app.ask("review/pictures/1", token=app.token())
    assert status == 404
    assert "in no run" in content["error"]


@pytest.mark.parametrize(
    "path", ["", "_stcore/health", "review/component/v/review.js", "review/tasks", "no/such/page"]
)
def test_every_answer_tells_browsers_how_to_take_it(app, path):
    headers = app.ask(path)[2]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "frame-ancestors 'self'" in headers["content-security-policy"]


def test_files_of_the_component_come_and_no_others(app):
    assert app.ask("review/component/v/review.js")[0] == 200
    for name in ("..%2fdata.py", "data.py", "%2e%2e/data.py", "review.py"):
        assert app.ask(f"review/component/v/{name}")[0] in (400, 404)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_upright(tmp_path, orientation):
    upright = np.zeros((20, 30, 3), np.uint8)
    upright[:10, :15] = 255
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    turned = PIL.Image.fromarray(upright)
    for method in BACK[orientation]:
        turned = turned.transpose(method)
    turned.save(tmp_path / "turned.png", exif=exif)
    content, media_type = pictures.for_browser(str(tmp_path / "turned.png"))
    shown = PIL.Image.open(io.BytesIO(content))
    assert shown.getexif().get(0x0112, 1) == 1
    assert media_type == ("image/png" if orientation == 1 else "image/jpeg")
    assert np.abs(np.asarray(shown.convert("RGB")).astype(int) - upright).mean() < 8


T = PIL.Image.Transpose
#: Orientation -> what turns an upright picture into one that is stored so.
BACK = {
    1: (),
    2: (T.FLIP_LEFT_RIGHT,),
    3: (T.ROTATE_180,),
    4: (T.FLIP_TOP_BOTTOM,),
    5: (T.TRANSPOSE,),
    6: (T.ROTATE_90,),
    7: (T.TRANSVERSE,),
    8: (T.ROTATE_270,),
}


def test_pictures_that_browsers_show_otherwise_are_made_anew(tmp_path):
    PIL.Image.new("CMYK", (8, 6)).save(tmp_path / "print.jpg")
    PIL.Image.new("RGB", (8, 6)).save(tmp_path / "scan.tif")
    PIL.Image.new("RGBA", (8, 6)).save(tmp_path / "clear.png")
    for name in ("print.jpg", "scan.tif", "clear.png"):
        content, media_type = pictures.for_browser(str(tmp_path / name))
        assert media_type == "image/jpeg"
        assert PIL.Image.open(io.BytesIO(content)).mode == "RGB"
