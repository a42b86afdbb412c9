"""The contact sheet shows the masks where they are, and says what it shows."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from curation import masks, runs
from curation.errors import InputError, QueryError
from curation.generation.scenes import render
from curation.report.contact_sheet import draw_sheet, mask_colour, overlay
from curation.schemas import TABLES
from tests.lakes import image_row, mask_rows, spec

GREY = np.full((60, 80, 3), 120, np.uint8)


def two_masks() -> masks.Runs:
    dense = np.zeros((2, 60, 80), bool)
    dense[0, 10:40, 10:50] = True
    dense[1, 20:30, 20:30] = True
    return masks.encode(dense)


def test_pixels_change_under_masks_only():
    drawn = overlay(GREY, two_masks(), (80, 60))
    changed = (drawn != GREY).any(axis=2)
    assert np.array_equal(changed, masks.decode(masks.union(two_masks()))[0])


def test_the_picture_shines_through_and_outlines_stand_out():
    drawn = overlay(GREY, two_masks(), (80, 60)).astype(int)
    inside, edge = drawn[35, 15], drawn[10, 30]
    assert abs(inside - 120).max() < 110  # translucent
    assert abs(edge - 120).sum() > abs(inside - 120).sum()


def test_a_part_shows_on_its_whole():
    drawn = overlay(GREY, two_masks(), (80, 60)).astype(int)
    assert abs(drawn[25, 25] - drawn[35, 15]).max() > 30


def test_masks_are_scaled_with_the_picture():
    for size in ((40, 30), (200, 150), (33, 47)):
        drawn = overlay(GREY, two_masks()[0], size)
        assert drawn.shape == (size[1], size[0], 3)
        rows, columns = np.nonzero((drawn != 120).any(axis=2))
        sx, sy = size[0] / 80, size[1] / 60
        assert abs(columns.min() - 10 * sx) <= 1
        assert abs(columns.max() + 1 - 50 * sx) <= 1
        assert abs(rows.min() - 10 * sy) <= 1
        assert abs(rows.max() + 1 - 40 * sy) <= 1


@pytest.mark.parametrize("n", [0, 1])
def test_no_masks_and_an_empty_mask_change_nothing(n):
    runs_ = masks.encode(np.zeros((n, 60, 80), bool)) if n else masks.Runs.empty(60, 80)
    assert np.array_equal(overlay(GREY, runs_, (80, 60)), GREY)


def test_a_one_pixel_mask_does_not_break_a_small_sheet():
    dense = np.zeros((1, 600, 800), bool)
    dense[0, 599, 799] = True
    big = np.full((600, 800, 3), 120, np.uint8)
    assert overlay(big, masks.encode(dense), (80, 60)).shape == (60, 80, 3)


def test_colours_of_neighbours_differ():
    colours = [mask_colour(i) for i in range(20)]
    assert len(set(colours)) == 20
    assert all(np.abs(np.subtract(a, b)).max() > 60 for a, b in pairwise(colours))


@pytest.fixture
def filled_lake(lake, tmp_path):
    """A run of three rendered scenes with their wholes as masks."""
    run = runs.start(lake, spec(n_images=3, model="painter", preset="exact"))
    images, rows = [], []
    for number in range(3):
        scene = render(1, number, (160, 120))
        path = tmp_path / f"scene_{number}.jpg"
        path.write_bytes(scene.jpeg())
        images.append(image_row(run.run_id, number, str(path), 160, 120))
        rows += mask_rows(run.run_id, number, images[-1], scene.wholes)
    tables = {"images": TABLES["images"].table(images), "masks": TABLES["masks"].table(rows)}
    lake.append(tables, "three scenes")
    return lake


def test_draws_every_image_with_its_masks(filled_lake, tmp_path):
    out = tmp_path / "new" / "sheet.png"
    sheet = draw_sheet(filled_lake, out, 12)
    n_masks = filled_lake.con.execute("SELECT count(*) FROM masks").fetchone()[0]
    assert (sheet.n_images, sheet.n_masks, sheet.unreadable) == (3, n_masks, ())
    picture = np.asarray(Image.open(out))
    assert picture.shape[1] > picture.shape[0] / 2
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 5_000
    assert [p.name for p in out.parent.iterdir()] == ["sheet.png"]


def test_fewer_images_are_spread_over_the_run(filled_lake, tmp_path):
    assert draw_sheet(filled_lake, tmp_path / "sheet.png", 2).n_images == 2


def test_where_chooses_masks(filled_lake, tmp_path):
    sheet = draw_sheet(filled_lake, tmp_path / "sheet.png", 12, where="area_px < 200")
    n_small = filled_lake.con.execute("SELECT count(*) FROM masks WHERE area_px < 200").fetchone()[0]
    assert sheet.n_masks == n_small > 0


def test_an_unreadable_picture_is_told_of(filled_lake, tmp_path):
    (tmp_path / "scene_1.jpg").unlink()
    sheet = draw_sheet(filled_lake, tmp_path / "sheet.png", 12)
    assert sheet.n_images == 3
    assert len(sheet.unreadable) == 1
    assert "scene_1.jpg" in sheet.unreadable[0]


def test_a_changed_picture_is_told_of(filled_lake, tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "scene_1.jpg")
    assert "the masks are for 160x120 px" in draw_sheet(filled_lake, tmp_path / "s.png", 12).unreadable[0]


def test_refuses_what_shows_nothing(filled_lake, lake, tmp_path):
    with pytest.raises(InputError, match="no images to show"):
        draw_sheet(filled_lake, tmp_path / "sheet.png", 12, where="area_px < 0")
    with pytest.raises(QueryError, match="nonsense"):
        draw_sheet(filled_lake, tmp_path / "sheet.png", 12, where="nonsense > 3")
    with pytest.raises(QueryError, match="no such run"):
        draw_sheet(filled_lake, tmp_path / "sheet.png", 12, run_id=99)
    with pytest.raises(InputError, match="at least 1"):
        draw_sheet(filled_lake, tmp_path / "sheet.png", 0)
    assert not (tmp_path / "sheet.png").exists()


def test_an_empty_lake_says_what_to_do(lake, tmp_path):
    with pytest.raises(QueryError, match="curation generate"):
        draw_sheet(lake, tmp_path / "sheet.png", 12)
