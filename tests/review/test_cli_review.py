"""`curation review` as a person types it."""

import json
import subprocess
import sys

import pytest
from samples import NOON, draw, later, run_with_masks, verdict

from curation.lake import Lake
from curation.review import queue
from curation.review.verdicts import give


def curation(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "from curation.cli import main; main()", "review", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A workspace in which ann judged ten of forty masks."""
    root = tmp_path_factory.mktemp("review") / "w"
    with Lake.create(root) as lake:
        draw(lake, "s", run_with_masks(lake, 4, 10)[1])
        tasks = queue.next_tasks(lake, "ann", "s", 10, NOON)
        give(lake, [verdict(t, "ann", given_at=later(4 * k)) for k, t in enumerate(tasks)], later(40))
    return root


def test_status_says_how_far_a_sample_is(judged):
    done = curation("status", "s", "-w", judged)
    assert done.returncode == 0, done.stderr
    assert "10 of 40 masks judged" in done.stdout
    assert "ann" in done.stdout


def test_raters_and_agreement_are_rows_with_intervals(judged):
    rows = [json.loads(line) for line in curation("raters", "-w", judged, "-f", "json").stdout.splitlines()]
    speed = next(row for row in rows if row["figure"] == "verdicts_per_hour")
    assert speed["estimate"] == pytest.approx(900)
    assert curation("agreement", "-w", judged, "--sample", "s").returncode == 0
    assert curation("raters", "-w", judged, "--reasons").returncode == 0


def test_an_unknown_sample_is_said(judged):
    done = curation("status", "t", "-w", judged)
    assert done.returncode == 2
    assert "there are: s" in done.stderr
