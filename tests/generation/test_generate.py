"""`curation generate`: what it writes, and that a kill at any moment changes nothing of it."""

import json
import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.process import BaseProcess
from pathlib import Path

import PIL.Image
import processes
import pyarrow as pa
import pytest
import torch
from networks import picture, small_sam
from typer.testing import CliRunner

from curation.cli import app
from curation.generation.segmenters.sam import SamSegmenter
from curation.lake import Lake
from curation.masks import areas, boxes, parse_strings

CHANGES = (
    "points_per_side=4",
    "predicted_iou_threshold=0.5",
    "stability_threshold=0.2",
    "stability_offset=0.5",
)
SETS = [word for change in CHANGES for word in ("--set", change)]
CONTENT_TABLES = ("images", "candidates", "masks", "mask_embeddings")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.pth"
    torch.save(small_sam(side=8).state_dict(), path)
    return path


def write_images(folder: Path, n: int) -> Path:
    folder.mkdir()
    for number in range(n):
        PIL.Image.fromarray(picture(60 + number, 80, number)).save(folder / f"{number:02}.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def words(images: Path, checkpoint: Path, workspace: Path, *more: str) -> list[str]:
    return ["generate", str(images), "-w", str(workspace), "--model", str(checkpoint), *SETS, *more]


def content(workspace: Path) -> dict[str, pa.Table]:
    """Every row that a generation writes, without times."""
    columns = {
        "shards": "run_id, work, shard, first_image, stop_image, n_images, n_masks, n_problems",
        "runs": "run_id, run_key, settings, n_images, finished_at IS NOT NULL",
        "problems": "*",
    }
    with Lake.open(workspace, read_only=True) as lake:
        return {
            name: lake.query(f"SELECT {columns.get(name, '*')} FROM {name} ORDER BY ALL")
            for name in (*CONTENT_TABLES, *columns)
        }


@pytest.fixture
def workspace(tmp_path) -> Path:
    Lake.create(tmp_path / "workspace").close()
    return tmp_path / "workspace"


def test_generate_writes_images_masks_ledger_and_provenance(tmp_path, checkpoint, workspace):
    images = write_images(tmp_path / "images", 2)
    result = CliRunner().invoke(
        app, words(images, checkpoint, workspace, "--cycle", "3", "--keep-rle", "above=0")
    )
    assert result.exit_code == 1  # for the broken picture
    with Lake.open(workspace, read_only=True) as lake:
        run = lake.query("SELECT * FROM runs").to_pylist()[0]
        masks = lake.query("SELECT * FROM masks ORDER BY mask_id").to_pylist()
        ledger = lake.query("SELECT * FROM candidates").to_pylist()
        kept = lake.query("SELECT candidate_id FROM candidates WHERE fate = 'kept' ORDER BY ALL")
        near_misses = lake.query(
            "SELECT count(*) AS n FROM candidates WHERE (predicted_iou > 0 AND fate <> 'kept') <> (rle_counts IS NOT NULL)"
        )
        embeddings = lake.query("SELECT * FROM mask_embeddings").to_pylist()
        problem = lake.query("SELECT * FROM problems").to_pylist()[0]
    assert (run["model"], run["preset"], run["stage"], run["cycle"]) == (
        "small.pth",
        "sam-default",
        "fully_automatic",
        3,
    )
    assert (run["device"], len(run["weights_sha256"])) == ("cpu", 64)
    assert run["finished_at"]
    assert json.loads(run["settings"])["points_per_side"] == 4
    assert "crop_overlap_ratio" in json.loads(run["settings"])
    assert len(ledger) == 2 * 4 * 4 * 3
    assert kept["candidate_id"].to_pylist() == [mask["mask_id"] for mask in masks]
    assert len(masks) > 2
    assert near_misses["n"].to_pylist() == [0]
    for mask in masks:
        runs = parse_strings([mask["rle_counts"]], mask["height_px"], mask["width_px"])
        assert areas(runs).tolist() == [mask["area_px"]]
        assert boxes(runs).tolist() == [mask["bbox_xywh"]]
    assert {len(row["embedding"]) for row in embeddings} == {2 * 32}
    assert Path(problem["source"]).name == "broken.jpg"
    assert problem["kind"] == "image"


def test_generate_again_resumes_and_does_nothing(tmp_path, checkpoint, workspace, monkeypatch):
    images = write_images(tmp_path / "images", 3)
    CliRunner().invoke(app, words(images, checkpoint, workspace))
    before = content(workspace)
    monkeypatch.setattr(SamSegmenter, "load", lambda *_, **__: pytest.fail("nothing is left to do"))
    result = CliRunner().invoke(app, words(images, checkpoint, workspace))
    assert result.exit_code == 1
    assert content(workspace) == before


def test_several_processes_write_what_one_writes(tmp_path, checkpoint, workspace):
    images = write_images(tmp_path / "images", 5)
    CliRunner().invoke(app, words(images, checkpoint, workspace))
    Lake.create(tmp_path / "other").close()
    CliRunner().invoke(app, words(images, checkpoint, tmp_path / "other", "--workers", "2"))
    ours, theirs = content(workspace), content(tmp_path / "other")
    assert ours == theirs


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--preset", "best"], "sam-default"),
        (["--set", "grid=3"], "points_per_side"),
        (["--keep-rle", "0.5"], "above=X"),
        (["--stage", "manual"], "assisted_manual"),
        (["--device", "cuda:9"], "this machine has"),
        (["--precision", "float16"], "float32, bfloat16"),
    ],
)
def test_a_wrong_option_says_what_is_allowed(tmp_path, checkpoint, workspace, more, message):
    images = write_images(tmp_path / "images", 1)
    result = CliRunner().invoke(app, words(images, checkpoint, workspace, *more))
    assert result.exit_code != 0
    assert message in str(result.exception)


@pytest.mark.slow
@pytest.mark.parametrize(
    "n_kills", [2, pytest.param(10, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
def test_kills_at_random_moments_change_nothing(tmp_path, checkpoint, n_kills):
    """SIGKILLs in two workspaces: while a shard is computed, written, committed. Nothing lost, nothing doubled."""
    n_images = 4 + 6 * n_kills  # a process does a few before it is killed, and must not come to its end
    images = write_images(tmp_path / "images", n_images)
    workspaces = [tmp_path / name for name in ("undisturbed", "killed", "killed_too")]
    for workspace in workspaces:
        Lake.create(workspace).close()
    CliRunner().invoke(app, words(images, checkpoint, workspaces[0], "--shard-size", "1"))
    with ThreadPoolExecutor(2) as pool:
        done = pool.map(
            lambda w: kill_then_finish(words(images, checkpoint, w, "--shard-size", "1"), w, n_kills),
            workspaces[1:],
        )
        assert list(done) == [n_kills, n_kills]
    undisturbed = content(workspaces[0])
    assert undisturbed["images"].num_rows == n_images
    for workspace in workspaces[1:]:
        assert content(workspace) == undisturbed


def kill_then_finish(arguments: list[str], workspace: Path, n_kills: int) -> int:
    """How many of so many processes were killed in their work, before one did what was left of it."""
    # Two runs at once with every core each would only wait for one another.
    one_thread = {"OMP_NUM_THREADS": "1"}
    rng = random.Random(workspace.name)
    n_killed = 0
    for number in range(n_kills):
        process = processes.start(*arguments, **one_thread)
        if number % 5 == 0:
            time.sleep(rng.uniform(0.1, 1))  # while it starts
        else:
            wait_for_a_file(workspace, process)
            time.sleep(rng.uniform(0, 0.1))
        if process.is_alive():
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
        n_killed += process.exitcode == -signal.SIGKILL
    assert processes.run(*arguments, **one_thread) == 1
    return n_killed


def wait_for_a_file(workspace: Path, process: BaseProcess) -> None:
    """Until the process has written a data file: it is then between its first shard and its last."""
    before = {p for p in workspace.rglob("*.parquet") if "candidates" in p.parts}
    while process.is_alive():
        if {p for p in workspace.rglob("*.parquet") if "candidates" in p.parts} - before:
            return
        time.sleep(0.005)
