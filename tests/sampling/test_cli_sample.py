"""`curation sample` from drawing to the estimate, as people type it."""

import json

import pytest
from typer.testing import CliRunner

from curation.cli import app
from curation.lake import Lake
from tests.sampling.judged_lake import by_position, fill, judge


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("cli") / "workspace"
    with Lake.create(root) as lake:
        fill(lake, [12] * 12)
    return root


def run(root, *words: str) -> str:
    done = CliRunner().invoke(app, ["sample", *words, "--workspace", str(root)], catch_exceptions=False)
    assert done.exit_code in (0, 1), done.output
    return done.output


def rows(root, folder, *words: str) -> list[dict]:
    """The rows that a command writes."""
    out = folder / "rows.json"
    run(root, *words, "--format", "json", "--out", str(out))
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_from_drawing_to_the_estimate(root, tmp_path):
    options = ["--design", "two-stage", "--size", "40", "--masks-per-image", "4", "--seed", "2"]
    assert "40 masks of 10 images" in run(root, "draw", "week", *options)
    assert "no verdict yet" in run(root, "enough", "week", "--half-width", "0.1")
    with Lake.open(root) as lake:
        ids = by_position(lake, "week")
        judge(lake, "week", {m: ["reject" if k % 10 == 0 else "accept"] for k, m in enumerate(ids)})
    accept = next(r for r in rows(root, tmp_path, "estimate", "week") if r["figure"] == "accept")
    assert accept["low"] < accept["estimate"] < accept["high"]
    assert (accept["n_masks"], accept["n_images"]) == (40, 10)
    shown = run(root, "estimate", "week", "--by", "size_band")
    assert "two stages, images then masks in them" in shown.replace("\n", " ")
    (listed,) = rows(root, tmp_path, "list")
    assert (listed["sample"], listed["n_judged"]) == ("week", 40)
    assert "masks_per_image" in run(root, "show", "week")
    (plan,) = rows(root, tmp_path, "plan", "--half-width", "0.05", "--masks-per-image", "4")
    assert plan["images"] > 10


def test_plans_have_a_curve(root, tmp_path):
    picture = tmp_path / "curve.svg"
    told = run(root, "plan", "--acceptable", "0.01", "--limit", "0.05", "--chart", str(picture))
    assert "Judge 132 masks and accept the lot when at most 3 are bad" in told.replace("\n", " ")
    assert picture.read_text().startswith("<svg")
    assert "2995" in run(root, "plan").replace(",", "")
