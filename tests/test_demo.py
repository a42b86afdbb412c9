"""The demo, small: every part together, on the real model."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest
from PIL import Image

from curation.cli.demo import REPORTS
from curation.lake import Lake

SMALL = ("--n-scenes", "2", "--n-photographs", "2", "--points-per-side", "5")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def curation(*words: str, timeout_s: float = 900, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", "from curation.cli import main; main()", *words],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=os.environ | {"COLUMNS": "160"} | environment,
    )


def test_refuses_a_workspace_of_another_kind(tmp_path):
    Lake.create(tmp_path / "mine").close()
    ended = curation("demo", "--workspace", str(tmp_path / "mine"))
    assert ended.returncode == 2
    assert "the demo did not make" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """(folder, output of the first run, output of the second run) of a small demo."""
    models = pytest.importorskip("curation.generation.models", reason="onnxruntime is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    if not models.MODELS["sam2-tiny"].is_there:
        pytest.skip("sam2-tiny is not in the cache: `curation models fetch sam2-tiny`")
    folder = tmp_path_factory.mktemp("demo") / "demo"
    # No MongoDB answers at this port: what shows masks is left out, and said to be.
    no_mongo = {"FIFTYONE_DATABASE_URI": "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=500"}
    first = curation("demo", "--workspace", str(folder), *SMALL, **no_mongo)
    second = curation("demo", "--workspace", str(folder), *SMALL, **no_mongo)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr[-4000:] + second.stderr[-4000:]
    return folder, first, second


def test_fills_every_table_of_the_story(shown):
    folder, _, _ = shown
    with Lake.open(folder, read_only=True) as lake:
        rows = {
            name: lake.con.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in TABLES_FILLED
        }
        assert all(rows.values()), rows
        assert lake.con.execute("SELECT count(*) FROM problems").fetchone()[0] == 0
        n_open = lake.con.execute("SELECT count(*) FROM runs WHERE finished_at IS NULL").fetchone()[0]
        assert n_open == 0
        n_matched = lake.con.execute("SELECT count(DISTINCT image_id) FROM gold_matches").fetchone()[0]
        assert n_matched == 2


def test_masks_agree_with_gold(shown):
    with Lake.open(shown[0], read_only=True) as lake:
        median = lake.con.execute(
            "SELECT median(gold_iou) FROM gold_matches WHERE mask_id IS NOT NULL"
        ).fetchone()[0]
    assert median > 0.7


def test_draws_a_contact_sheet(shown):
    assert Image.open(shown[0] / "contact_sheet.png").width > 1000


def test_prints_the_reports_and_what_to_try_next(shown):
    _, first, _ = shown
    for name in REPORTS:
        assert f"curation query {name}" in first.stdout
    assert "curation browse launch" in first.stdout
    assert "curation app" in first.stdout
    assert "Left out: " in first.stderr


def test_prints_commands_that_can_be_typed(shown):
    folder, first, _ = shown
    printed = [shlex.split(line[2:]) for line in first.stdout.splitlines() if line.startswith("$ curation ")]
    assert len(printed) > 10
    query = next(words for words in printed if words[1:3] == ["query", "stage_summary"])
    ended = curation(*query[1:], "--format", "json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[0])
    assert str(folder) in query


def test_a_second_run_resumes_and_adds_nothing(shown):
    folder, first, second = shown
    assert "generate run 1: 4 of 4 images" in first.stderr
    assert "4 done before" in second.stderr
    assert minutes(second) < minutes(first)
    with Lake.open(folder, read_only=True) as lake:
        n_doubled, n_runs, n_images = lake.con.execute(
            """
            SELECT (SELECT count(*) - count(DISTINCT mask_id) FROM masks),
                (SELECT count(*) FROM runs),
                (SELECT count(*) FROM images WHERE run_id = 1)
            """
        ).fetchone()
    assert (n_doubled, n_runs, n_images) == (0, 2, 4)


def minutes(run: subprocess.CompletedProcess) -> float:
    return float(re.search(r"Done in ([0-9.]+) min", run.stdout)[1])


TABLES_FILLED = (
    "images",
    "runs",
    "shards",
    "candidates",
    "masks",
    "mask_embeddings",
    "mask_features",
    "overlaps",
    "image_coverage",
    "gold_masks",
    "gold_matches",
    "samples",
)
