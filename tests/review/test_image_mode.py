"""Who has which image open, and answers about regions that no mask covers."""

from uuid import uuid4

import pytest
from samples import NOON, later, run_with_masks

from curation.errors import InputError
from curation.review import image_mode
from curation.review.image_mode import Answer
from curation.settings import REVIEW


@pytest.fixture
def images(lake) -> list[tuple[int, int]]:
    """Run and number of two images."""
    run_id, rows = run_with_masks(lake, 2, 1)
    return [(run_id, row["image_id"]) for row in rows]


def names(lake, now=NOON) -> list[tuple[str, int]]:
    return [(one.rater, one.image_id) for one in image_mode.open_images(lake, now)]


def test_who_opens_an_image_is_told_who_has_it_open(lake, images):
    first, second = images
    assert image_mode.lease(lake, "ann", *first, NOON) == []
    assert image_mode.lease(lake, "bob", *first, NOON, only_free=True) == ["ann"]
    assert names(lake) == [("ann", first[1])]
    assert image_mode.lease(lake, "bob", *first, NOON) == ["ann"]
    assert image_mode.stay(lake, "ann", *first, NOON) == ["bob"]
    assert image_mode.lease(lake, "ann", *second, later(1)) == []
    assert names(lake, later(2)) == [("bob", first[1]), ("ann", second[1])]
    image_mode.leave(lake, "bob", later(3))
    assert names(lake, later(4)) == [("ann", second[1])]


def test_a_closed_laptop_gives_its_image_back_and_an_open_page_keeps_it(lake, images):
    image_mode.lease(lake, "ann", *images[0], NOON)
    image_mode.lease(lake, "bob", *images[1], NOON)
    image_mode.stay(lake, "ann", *images[0], later(REVIEW.lease_s - 1))
    after = later(REVIEW.lease_s + 1)
    assert names(lake, after) == [("ann", images[0][1])]
    assert image_mode.stay(lake, "bob", *images[1], after) == []  # awake again
    assert len(names(lake, after)) == 2


def region(image: tuple[int, int], **changes) -> Answer:
    return Answer(**{"answer_id": str(uuid4()), "rater": "ann", "run_id": image[0], "image_id": image[1],
                     "bbox_xywh": [1, 2, 30, 40], "share": 0.25, **changes})  # fmt: skip


def test_an_answer_is_kept_once_and_is_its_raters(lake, images):
    given = region(images[0])
    for _ in range(2):
        image_mode.answer(lake, given, NOON)
    (row,) = lake.query("FROM uncovered_answers").to_pylist()
    assert (row["answer"], row["rater"], row["share"]) == ("nothing_missing", "ann", 0.25)
    assert image_mode.answered(lake, "ann", *images[0]) == [[1, 2, 30, 40]]
    assert image_mode.answered(lake, "bob", *images[0]) == image_mode.answered(lake, "ann", *images[1]) == []
    with pytest.raises(InputError, match="another rater"):
        image_mode.answer(lake, region(images[0], answer_id=given.answer_id, rater="bob"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answer_id": "x"}, "no UUID"),
        ({"image_id": 5}, "no image 5"),
        ({"share": 1.5}, "share 1.5"),
        ({"bbox_xywh": [1, 2]}, "x, y, width, height"),
        ({"bbox_xywh": [1, 2, float("nan"), 4]}, "x, y, width, height"),
    ],
)
def test_what_names_no_region_is_refused(lake, images, changes, message):
    version = lake.version()
    with pytest.raises(InputError, match=message):
        image_mode.answer(lake, region(images[0], **changes))
    assert lake.version() == version
