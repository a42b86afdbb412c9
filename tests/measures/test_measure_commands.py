"""`curation measure` and `curation gold match` as a person types them."""

import pytest
from stored_blobs import stored_run
from typer.testing import CliRunner

from curation.cli import app
from curation.errors import LakeError


def curation(lake, *words: str):
    return CliRunner().invoke(app, [*words, "--workspace", str(lake.root)])


def test_measuring_counts_what_it_did_and_finds_nothing_new_the_second_time(lake):
    stored_run(lake, n_images=2)
    first, second = curation(lake, "measure"), curation(lake, "measure")
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "10 masks of 2 images measured" in first.stdout
    assert "nothing new" in second.stdout


def test_bad_masks_end_the_command_with_1(lake):
    stored_run(lake, n_images=1, damage="~not RLE~")
    assert curation(lake, "measure").exit_code == 1


def test_matching_takes_all_gold_there_is(lake):
    stored_run(lake, n_images=2)
    without_gold = curation(lake, "gold", "match")
    assert isinstance(without_gold.exception, LakeError)
    assert "holds no gold" in str(without_gold.exception)
    stored_run(lake, n_images=2, kind="gold")
    matched = curation(lake, "gold", "match")
    assert "10 masks matched on the 2 images that have gold" in matched.stdout
    with pytest.raises(LakeError, match="gold run 9"):
        raise curation(lake, "gold", "match", "--gold", "9").exception


def test_appearance_needs_the_pictures_and_tells_of_those_that_are_missing(lake):
    stored_run(lake, n_images=2)
    result = curation(lake, "measure", "--appearance")
    assert result.exit_code == 1
    assert "appearance: 0 masks of 0 images measured" in result.stdout
    problems = lake.con.execute("SELECT source, kind FROM problems ORDER BY source").fetchall()
    assert problems == [("/images/0.jpg", "image"), ("/images/1.jpg", "image")]


def test_appearance_reads_the_pictures_where_they_lie(lake, tmp_path):
    stored_run(lake, n_images=2, folder=tmp_path)
    result = curation(lake, "measure", "--appearance", "--workers", "2")
    assert result.exit_code == 0
    assert "appearance: 10 masks of 2 images measured" in result.stdout
    colours = "SELECT DISTINCT mean_rgb_inside FROM mask_appearance WHERE mean_rgb_inside IS NOT NULL"
    assert lake.con.execute(colours).fetchall() == [([200.0, 30.0, 90.0],)]
    assert "appearance: nothing new to measure" in curation(lake, "measure", "--appearance").stdout
