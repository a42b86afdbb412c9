"""Many writers at once, and maintenance beside them: nothing lost, nothing doubled, no error."""

import multiprocessing
import shutil
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from lakes import NumberedMasks, spec
from team_lake import mask_ids, places

from curation import runs, shards
from curation.engine import maintenance
from curation.engine.maintenance import Keep
from curation.lake import Lake

#: Versions go at once, files stay: a worker may be about to commit them.
BESIDE_WRITERS = Keep(timedelta(0), timedelta(hours=1))


def write(root: Path, name: str, n_shards: int) -> None:
    with Lake.open(root) as lake:
        run = runs.start(lake, spec(settings={"name": name}, n_images=n_shards))
        shards.run(lake, NumberedMasks(2), shards.plan(run.run_id, "import", n_shards, 1))
        runs.finish(lake, run.run_id)


def require_whole(root: Path, n_writers: int, n_shards: int) -> None:
    with Lake.open(root, read_only=True) as lake:
        counted = lake.query("""
            SELECT
                (SELECT count(*) FROM shards) AS n_shards,
                (SELECT count(DISTINCT (run_id, shard)) FROM shards) AS n_different,
                (SELECT count(*) FROM images) AS n_images,
                (SELECT count(*) FROM runs WHERE finished_at IS NOT NULL) AS n_finished
        """).to_pylist()[0]
    n = n_writers * n_shards
    assert counted == {"n_shards": n, "n_different": n, "n_images": n, "n_finished": n_writers}
    found = mask_ids(root)
    assert len(found) == len(set(found)) == 2 * n


def test_maintenance_beside_writers_loses_nothing(empty_workspace, tmp_path):
    root = tmp_path / "w"
    shutil.copytree(empty_workspace, root)
    faults = []

    def guarded(name: str) -> None:
        try:
            write(root, name, 4)
        except Exception as error:  # noqa: BLE001  (told by the test, whatever it is)
            faults.append(error)

    writers = [threading.Thread(target=guarded, args=(name,)) for name in "ab"]
    for writer in writers:
        writer.start()
    with Lake.open(root) as lake:
        maintenance.apply(lake, BESIDE_WRITERS)
        for writer in writers:
            writer.join()
        lake.tag("all")
        shown = mask_ids(root)
        maintenance.apply(lake, BESIDE_WRITERS)
    assert faults == []
    assert mask_ids(root) == mask_ids(root, "all") == shown
    require_whole(root, 2, 4)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_eight_writers_and_a_thousand_commits_on_postgres_and_s3(request, tmp_path):
    n_writers, n_shards = 8, 125
    root = tmp_path / "w"
    Lake.create(root, **places("team", request)).close()
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=write, args=(root, f"writer {k}", n_shards)) for k in range(n_writers)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * n_writers
    require_whole(root, n_writers, n_shards)
