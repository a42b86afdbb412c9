"""The pages that draw without a browser, and what their routes take and refuse."""

import uuid

import drawn
import numpy as np
import pytest
import served

from apps.review import data, drawing
from apps.review.access import Person
from curation import masks
from curation.errors import CurationError, InputError
from curation.lake import Lake

testing = pytest.importorskip("streamlit.testing.v1", reason="streamlit is not installed")
CARA = Person("Cara", "rater")


def script(view: str) -> None:
    import importlib

    from apps.review.access import Person

    importlib.import_module(f"apps.review.views.{view}").show(Person("Cara", "curator"))


@pytest.fixture
def opened(monkeypatch):
    def let_go() -> None:
        data.secret.cache_clear()
        data.close_idle()  # connections of other tests' workspaces

    def open_view(root, view: str):
        monkeypatch.setenv("CURATION_WORKSPACE", str(root))
        let_go()
        return testing.AppTest.from_function(script, default_timeout=60, kwargs={"view": view}).run()

    yield open_view
    let_go()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return drawn.make_workspace(tmp_path_factory.mktemp("pages") / "workspace", 2)


@pytest.fixture
def lake(root):
    with Lake.open(root) as lake:
        yield lake


@pytest.mark.parametrize(("view", "title"), [("correct", "Nothing to mend yet"), ("image", "No images yet")])
def test_an_empty_workspace_says_what_to_do(opened, tmp_path, view, title):
    Lake.create(tmp_path / "workspace").close()
    page = opened(tmp_path / "workspace", view)
    assert not page.exception
    assert page.title[0].value == title


@pytest.mark.parametrize("view", ["correct", "image"])
def test_a_page_opens(opened, root, view):
    page = opened(root, view)
    assert not page.exception
    assert not page.title


def test_masks_to_mend_come_with_what_is_wrong_and_without_scores(lake):
    answer = drawing.corrections(lake, CARA, {"sample": served.SAMPLE, "starts": True})
    assert answer["n_waiting"] == 2
    for task in answer["tasks"]:
        assert set(task) == {
            *("task_id", "mask", "image", "run_id", "width", "height", "box", "rle", "label", "reasons")
        }
        assert task["reasons"] == ["wrong_hole"]
    again = drawing.corrections(lake, CARA, {"sample": served.SAMPLE, "starts": True})
    assert {task["task_id"] for task in again["tasks"]} == {task["task_id"] for task in answer["tasks"]}
    others = drawing.corrections(lake, Person("Dan", "rater"), {"sample": served.SAMPLE, "starts": True})
    assert others["tasks"] == []


def body(lake, pixels: np.ndarray, **changes) -> dict:
    (row,) = lake.query("SELECT * FROM masks ORDER BY mask_id LIMIT 1").to_pylist()
    return {
        "drawn_id": str(uuid.uuid4()),
        "image": str(row["image_id"]),
        "run_id": row["run_id"],
        "segmentation": masks.to_coco(masks.encode(pixels[None])),
        "supersedes": str(row["mask_id"]),
        "task_id": None,
        "tools": ["brush"],
        "n_actions": 1,
        "took_s": 3,
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"segmentation": {"size": [240, 320], "counts": [240 * 320]}}, "empty"),
        ({"segmentation": {"size": [320, 240], "counts": [0, 240 * 320]}}, "full size"),
        ({"segmentation": {"size": [240, 320], "counts": "~~"}}, "COCO RLE"),
        ({"segmentation": [1, 2, 1, 4]}, "segmentation: "),
        ({"supersedes": 12}, "must be the digits of an id"),
        ({"image": "-1"}, "must be the digits of an id"),
        ({"took_s": None}, "took_s: None came"),
        ({"tools": ["axe"]}, "allowed: brush"),
    ],
)
def test_what_cannot_be_used_is_refused(lake, changes, message):
    version = lake.version()
    with pytest.raises(InputError, match=message):
        drawing.save(lake, CARA, body(lake, drawn.square(5, 5, 9), **changes))
    assert lake.version() == version


def test_clicks_are_checked_before_a_model_sees_them():
    from apps.review.drawing_routes import points_of

    for points in ([], [[1, 2]], [[1, 2, "1"]], "x", [[1, 2, 1]] * 101):
        with pytest.raises(CurationError, match="points: "):
            points_of({"points": points})


def test_a_rejected_mask_covers_nothing_and_a_drawn_one_does(lake):
    image = drawing.image(lake, CARA, {"run_id": 1, "image": None, "seen": []})
    assert [mask["decision"] for mask in image["masks"]] == [None, None]
    covered = masks.union(masks.encode(np.stack([drawn.flawed(), drawn.disc(180, 40, 15)])))
    share = 1 - masks.areas(covered)[0] / (drawn.HEIGHT * drawn.WIDTH)
    hole = drawn.disc(*drawn.DISC, drawn.HOLE).sum() / (
        drawn.HEIGHT * drawn.WIDTH
    )  # too small to be asked about
    assert [region["share"] for region in image["regions"]] == pytest.approx([share - hole])
    whole = np.ones((drawn.HEIGHT, drawn.WIDTH), bool)
    shown = {"run_id": 1, "image": image["image"]}
    drawing.save(lake, CARA, body(lake, whole, supersedes=None, image=image["image"]))
    assert drawing.uncovered(lake, CARA, shown)["regions"] == []
    again = drawing.image(lake, CARA, shown)
    assert [mask["is_drawn"] for mask in again["masks"]] == [True, False, False]


def test_the_next_image_is_one_that_is_not_seen(lake):
    first = drawing.image(lake, CARA, {"run_id": 1, "image": None, "seen": []})
    second = drawing.image(lake, CARA, {"run_id": 1, "image": None, "seen": [first["image"]]})
    assert {first["n_images"], second["n_images"]} == {2}
    assert second["image"] != first["image"]
    both = [first["image"], second["image"]]
    assert drawing.image(lake, CARA, {"run_id": 1, "image": None, "seen": both})["image"] is None
    with pytest.raises(InputError, match="has no image 7"):
        drawing.image(lake, CARA, {"run_id": 1, "image": "7"})
