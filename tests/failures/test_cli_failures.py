"""`curation failures` as people type it."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from curation.cli import app
from curation.failures import clusters
from curation.lake import Lake
from tests.failures.planted_lake import fill


@pytest.fixture(scope="module")
def root(empty_workspace, tmp_path_factory):
    root = tmp_path_factory.mktemp("failures") / "workspace"
    shutil.copytree(empty_workspace, root)
    with Lake.open(root) as lake:
        fill(lake, n_images=80)
    return root


def run(root, *words: str, exits: int = 0) -> str:
    done = CliRunner().invoke(app, ["failures", *words, "--workspace", str(root)], catch_exceptions=False)
    assert done.exit_code == exits, done.output
    return done.output.replace("\n", " ")


def test_from_finding_to_flagging(root, tmp_path):
    out = tmp_path / "found.json"
    said = run(root, "find", "--least-difference", "0.1", "--out", str(out), "--format", "json")
    assert "gold: all 1,600 masks of 80 images with gold" in said
    assert "false discovery rate of 0.05 and a difference of 0.1 or more" in said.replace("  ", " ")
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert "centroid" not in found[0]
    number = str(next(row["cluster"] for row in found if "touches the border" in row["words"]))
    assert "small (under 32² px), touches the border" in run(root, "list").replace("  ", " ")
    assert "5 masks" in run(root, "sample", number, "more", "--size", "5")
    run(root, "flag", number, "--note", "ask Ann")
    shown = run(root, "show", number)
    for words in ("flagged", "ask Ann", "n_borders_touched > 0", "fine_grained", "image as cluster"):
        assert words in shown
    assert "flagged" in run(root, "list", "--status", "flagged")
    assert "0 rows" in run(root, "list", "--status", "fixed")


def test_the_sheet_shows_masks_close_up_and_names_pictures_that_are_not_there(root, tmp_path):
    with Lake.open(root) as lake:
        if not clusters.newest(lake).num_rows:
            run(root, "find")
        number = clusters.newest(lake)["cluster"][0].as_py()
    out = tmp_path / "sheet.png"
    assert "12 pictures could not be drawn" in run(root, "sheet", str(number), str(out), "--n", "12", exits=1)
    with Image.open(out) as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    assert pixels.shape[1] > 6 * 220
    # The outline of the masks, and the grey of pictures that are not there.
    assert (abs(pixels - (255, 64, 180)).max(axis=2) < 12).sum() > 12 * 100
    assert (pixels == 200).all(axis=2).any()


def test_a_search_without_a_find_says_so(root):
    with Lake.open(root) as lake:
        before = clusters.newest(lake)
    said = run(root, "find", "--bad", "hash(mask_id) % 7 = 0")
    assert "nothing is kept of this search" in said
    with Lake.open(root) as lake:
        assert clusters.newest(lake) == before
