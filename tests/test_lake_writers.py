"""A generator, an importer and two readers at once, on both kinds of catalog."""

import multiprocessing
import time

import pytest
from lakes import NumberedMasks, spec

from curation import runs, shards
from curation.lake import Lake

N_IMAGES = 6
N_MASKS = 3


def write(root: str, name: str) -> None:
    with Lake.open(root) as lake:
        run = runs.start(lake, spec(settings={"name": name}))
        shards.run(lake, NumberedMasks(N_MASKS), shards.plan(run.run_id, "import", N_IMAGES, 1))
        runs.finish(lake, run.run_id)


def read(root: str, faults, stop) -> None:
    """Look again and again: a shard's images and masks must always be there together."""
    n_reads = 0
    while not stop.is_set() or n_reads == 0:
        with Lake.open(root, read_only=True) as lake:
            row = lake.query("""
                SELECT (SELECT count(*) FROM images) AS n_images, (SELECT count(*) FROM mask_embeddings) AS n_masks
            """).to_pylist()[0]
        if row["n_masks"] != N_MASKS * row["n_images"]:
            faults.put(row)
        n_reads += 1
        time.sleep(0.05)


@pytest.fixture(params=["sqlite", "postgres"])
def shared_lake(request, tmp_path):
    catalog = None
    if request.param == "postgres":
        catalog = request.getfixturevalue("postgres_url")
    Lake.create(tmp_path / "w", catalog=catalog).close()
    return str(tmp_path / "w")


def test_two_writers_and_two_readers_at_once_lose_nothing(shared_lake):
    spawn = multiprocessing.get_context("spawn")
    faults, stop = spawn.Queue(), spawn.Event()
    readers = [spawn.Process(target=read, args=(shared_lake, faults, stop)) for _ in range(2)]
    # "same" twice: two people start the same run at the same moment.
    writers = [
        spawn.Process(target=write, args=(shared_lake, name)) for name in ("generator", "same", "same")
    ]
    for process in readers + writers:
        process.start()
    for process in writers:
        process.join(120)
    stop.set()
    for process in readers:
        process.join(60)
    assert [p.exitcode for p in writers + readers] == [0] * 5
    assert faults.empty()
    with Lake.open(shared_lake, read_only=True) as lake:
        counted = lake.query("""
            SELECT count(*) AS n_masks, count(DISTINCT mask_id) AS n_different, count(DISTINCT run_id) AS n_runs
            FROM mask_embeddings
        """).to_pylist()[0]
        n_unfinished = lake.query("SELECT count(*) AS n FROM runs WHERE finished_at IS NULL")["n"][0].as_py()
    assert counted == {"n_masks": 2 * N_IMAGES * N_MASKS, "n_different": 2 * N_IMAGES * N_MASKS, "n_runs": 2}
    assert n_unfinished == 0
