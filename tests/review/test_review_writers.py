"""Eight raters at once, some of them killed in the middle: nothing acknowledged is lost, nothing is doubled."""

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
from samples import draw, run_with_masks, verdict

from curation.lake import Lake
from curation.review import queue
from curation.review.plan import fraction
from curation.review.verdicts import give

N_RATERS = 8
SECOND_TRY_SHARE = 0.3


def judge(root: str, rater: str, acknowledged: str, n_tasks: int) -> None:
    """Lease and judge until nothing comes any more; every acknowledged id is on disk before the next call."""
    with Lake.open(root) as lake, open(acknowledged, "a") as file:
        chance = random.Random(rater)
        pending = queue.open_tasks(lake, rater, "s")
        n_empty = 0
        while n_empty < 3:
            tasks = pending or queue.next_tasks(lake, rater, "s", n_tasks)
            pending = []
            n_empty = 0 if tasks else n_empty + 1
            for first in range(0, len(tasks), 5):
                sent = [verdict(task, rater, took_s=1.0) for task in tasks[first : first + 5]]
                for _ in range(1 + (chance.random() < SECOND_TRY_SHARE)):  # a lost answer: sent again
                    given = give(lake, sent)
                    assert not given.refused
                for verdict_id in sorted(given.acknowledged):
                    file.write(verdict_id + "\n")
                file.flush()


def check(root: str, files: list[str]) -> None:
    acknowledged = [i for name in files if os.path.exists(name) for i in Path(name).read_text().split("\n")]
    with Lake.open(root, read_only=True) as lake:
        kept = lake.query("SELECT verdict_id FROM verdicts")["verdict_id"].to_pylist()
        assert len(kept) == len(set(kept))
        assert {i for i in acknowledged if len(i) == 36} <= set(kept)
        held = lake.query("""
            SELECT mask_id, list(DISTINCT rater) AS raters, list(DISTINCT purpose) AS purposes, count(*) AS n
            FROM tasks WHERE purpose <> 'repeat'
            GROUP BY mask_id
        """).to_pylist()
        for row in held:
            if fraction("double", "s", row["mask_id"]) < 0.1:
                assert row["n"] <= 2
                assert len(row["raters"]) == row["n"]
            else:
                assert row["n"] == 1
        found = queue.progress(lake, "s")
        assert (found.n_judged, found.n_verdicts_given) == (found.n_drawn, found.n_verdicts_wanted)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.soak)])
def sampled(request, tmp_path):
    """A workspace whose sample `s` holds 120 masks; its folder and how many processes to kill."""
    catalog = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    with Lake.create(tmp_path / "w", catalog=catalog) as lake:
        draw(lake, "s", run_with_masks(lake, 30, 4)[1])
    return str(tmp_path / "w"), 3 if catalog is None else 2


def test_eight_raters_some_killed_lose_nothing_and_double_nothing(sampled, tmp_path):
    root, n_kills = sampled
    spawn = multiprocessing.get_context("spawn")
    raters = [f"rater {k}" for k in range(N_RATERS)]
    files = {rater: str(tmp_path / rater) for rater in raters}

    def start(rater: str):
        process = spawn.Process(target=judge, args=(root, rater, files[rater], 10))
        process.start()
        return process

    at_work = {rater: start(rater) for rater in raters}
    chance = random.Random(3)
    deadline = time.monotonic() + 60
    while n_kills and time.monotonic() < deadline:
        time.sleep(chance.uniform(0.2, 0.8))
        begun = [r for r in raters if os.path.exists(files[r]) and at_work[r].is_alive()]
        if begun:
            rater = chance.choice(begun)
            os.kill(at_work[rater].pid, signal.SIGKILL)
            at_work[rater].join()
            at_work[rater] = start(rater)  # the closed laptop is opened again: its leases still live
            n_kills -= 1
        elif not any(process.is_alive() for process in at_work.values()):
            break
    for process in at_work.values():
        process.join(120)
    assert [process.exitcode for process in at_work.values()] == [0] * N_RATERS
    check(root, list(files.values()))
