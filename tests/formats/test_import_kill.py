"""An import that is killed again and again ends as if it had never been killed."""

import json
import os
import random
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import processes
import pytest

from curation.lake import Lake
from tests.formats.records import files, random_masks, record, write_folder

N_RECORDS = 24
TABLES = ("images", "masks", "problems")


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """24 records, one of them no JSON, one with a bad annotation, two that name one image."""
    contents = files(N_RECORDS)
    contents["sa_7.json"] = b"{"
    bad = json.loads(contents["sa_9.json"])
    bad["annotations"][1]["bbox"] = "none"
    contents["sa_9.json"] = json.dumps(bad).encode()
    contents["zz.json"] = json.dumps(record(99, random_masks(99, 2), "sa_3.jpg")).encode()
    return write_folder(tmp_path_factory.mktemp("source"), contents)


def start(source: Path, workspace: Path, workers: int = 1) -> BaseProcess:
    options = ["--workspace", str(workspace), "--shard-size", "2", "--workers", str(workers)]
    return processes.start("import", "sa1b", str(source), *options)


def finish(source: Path, workspace: Path, patience_s: float = 60) -> float:
    """Seconds that an undisturbed command takes."""
    begun = time.monotonic()
    process = start(source, workspace)
    process.join(patience_s)
    assert process.exitcode == 1  # it has problems
    return time.monotonic() - begun


def content(workspace: Path) -> dict[str, list]:
    with Lake.open(workspace, read_only=True) as lake:
        found = {name: lake.con.execute(f"FROM {name} ORDER BY ALL").fetchall() for name in TABLES}
        found["shards"] = lake.con.execute(
            "SELECT * EXCLUDE (took_s, finished_at) FROM shards ORDER BY ALL"
        ).fetchall()
        found["runs"] = lake.con.execute(
            "SELECT run_id, run_key, finished_at IS NOT NULL FROM runs"
        ).fetchall()
        doubled = lake.con.execute("SELECT mask_id FROM masks GROUP BY 1 HAVING count(*) > 1").fetchall()
        assert doubled == []
    return found


def n_shards(workspace: Path) -> int:
    with Lake.open(workspace, read_only=True) as lake:
        return lake.con.execute("SELECT count(*) FROM shards").fetchone()[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "n_kills", [2, pytest.param(20, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
def test_killed_at_random_moments_nothing_is_lost_or_doubled(source, tmp_path, n_kills):
    warm, undisturbed = tmp_path / "warm", tmp_path / "undisturbed"
    for workspace in (warm, undisturbed):
        Lake.create(workspace).close()
    finish(source, warm, 200)  # before times are taken: the server starts, and kernels are compiled
    work_s, start_s = finish(source, undisturbed), finish(source, undisturbed)
    expected = content(undisturbed)
    assert len(expected["images"]) == N_RECORDS - 1

    moments = random.Random(0)
    kills, kills_between_shards, workspaces = 0, 0, 0
    while kills < n_kills or kills_between_shards < max(1, n_kills // 4):
        workspaces += 1
        workspace = tmp_path / f"killed{workspaces}"
        Lake.create(workspace).close()
        while kills < n_kills or kills_between_shards < max(1, n_kills // 4):
            process = start(source, workspace, workers=2 if kills % 7 == 3 else 1)
            process.join(moments.uniform(0.8 * start_s, start_s + 0.6 * (work_s - start_s)))
            if process.exitcode is not None:
                break  # it came to its end
            os.killpg(process.pid, signal.SIGKILL)
            process.join()
            kills += 1
            kills_between_shards += 0 < n_shards(workspace) < len(expected["shards"])
        finish(source, workspace)
        assert content(workspace) == expected
