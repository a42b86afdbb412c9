"""Shards on a real Ray cluster of several nodes: the same as here, whatever dies."""

import hashlib
import os
import time
from pathlib import Path

import pytest
from lakes import NumberedMasks, spec

from curation import runs, shards
from curation.engine import content_hashes
from curation.errors import CurationError, InputError
from curation.lake import Lake
from curation.shards import Engine, Result, Shard

RAY = Engine("ray")


class SlowMasks(NumberedMasks):
    """Masks that take a while, and a word about each time that a shard was computed."""

    def __init__(self, seconds: float, log: Path) -> None:
        super().__init__(20)
        self.seconds, self.log = seconds, log

    def __call__(self, shard: Shard) -> Result:
        time.sleep(self.seconds)
        with self.log.open("a") as file:
            file.write(f"{shard.name}\n")
        return super().__call__(shard)


class Deadly(NumberedMasks):
    """The fourth shard ends the process that computes it."""

    def __call__(self, shard: Shard) -> Result:
        if shard.first == 3:
            os._exit(1)
        return super().__call__(shard)


class Refusing(NumberedMasks):
    def __call__(self, shard: Shard) -> Result:
        raise InputError(f"shard {shard.name} cannot be done")


def start(root: Path, n_shards: int) -> tuple[Lake, list[Shard]]:
    lake = Lake.create(root)
    run = runs.start(lake, spec(n_images=n_shards))
    return lake, list(shards.plan(run.run_id, "import", n_shards, 1))


def files(root: Path) -> dict[str, str]:
    """SHA-256 of every data file by its path in the workspace."""
    found = sorted((root / "data").rglob("*.parquet"))
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def hashes(lake: Lake) -> dict[str, str]:
    """Of the tables of results: `shards` and `runs` tell times."""
    return {table: content_hashes.of_table(lake, table).sha256 for table in ("images", "mask_embeddings")}


@pytest.fixture(scope="module")
def cluster():
    """A head that computes nothing, and two nodes with one CPU each."""
    pytest.importorskip("ray", reason="ray is not installed")
    import ray
    from ray.cluster_utils import Cluster

    # Workers import this file and `lakes` from where pytest found them.
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([*folders, *filter(None, [before])])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    ray.init(address=cluster.address, configure_logging=False)
    yield cluster, nodes
    ray.shutdown()
    cluster.shutdown()
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


def test_engines_are_named_and_only_ray_has_an_address():
    with pytest.raises(InputError, match="allowed are local, ray"):
        Engine("spark")
    with pytest.raises(InputError, match="only engine 'ray'"):
        Engine("local", "somewhere:6379")


@pytest.mark.soak
def test_a_killed_node_loses_and_doubles_nothing_and_the_files_are_equal(cluster, tmp_path):
    cluster, nodes = cluster
    n_shards = 24
    here, todo = start(tmp_path / "here", n_shards)
    shards.run(here, SlowMasks(0, tmp_path / "here.log"), todo)

    there, todo = start(tmp_path / "there", n_shards)
    added = []

    def lose_a_node(done: shards.Done) -> None:
        added.append(done.shard.name)
        if len(added) == 3:
            cluster.remove_node(nodes.pop(), allow_graceful=False)
        if len(added) == 8:
            nodes.append(cluster.add_node(num_cpus=1))

    work = SlowMasks(0.5, tmp_path / "there.log")
    summary = shards.run(there, work, todo, on_done=lose_a_node, engine=RAY)

    assert (summary.n_shards, summary.n_skipped) == (n_shards, 0)
    assert sorted(added) == [shard.name for shard in todo]
    assert hashes(there) == hashes(here)
    assert files(there.root) == files(here.root)
    n_computed = len((tmp_path / "there.log").read_text().splitlines())
    assert n_shards <= n_computed <= n_shards + 2, "what was out at the node was done again, and nothing else"
    here.close()
    there.close()


@pytest.mark.soak
def test_the_number_of_workers_may_change_between_runs(cluster, tmp_path):
    lake, todo = start(tmp_path / "w", 9)
    work = NumberedMasks(5)
    assert shards.run(lake, work, todo[:3], workers=1, engine=RAY).n_shards == 3
    assert shards.run(lake, work, todo[:6], workers=2, engine=RAY).n_skipped == 3
    assert shards.run(lake, work, todo).n_shards == 3
    other, todo = start(tmp_path / "other", 9)
    shards.run(other, work, todo)
    assert hashes(lake) == hashes(other)
    lake.close()
    other.close()


@pytest.mark.soak
def test_an_exception_of_the_work_comes_out_as_it_does_here(cluster, tmp_path):
    lake, todo = start(tmp_path / "w", 3)
    with pytest.raises(InputError, match="cannot be done"):
        shards.run(lake, Refusing(), todo, engine=RAY)
    assert lake.query("SELECT 1 FROM shards").num_rows == 0
    lake.close()


@pytest.mark.soak
def test_a_shard_that_kills_every_worker_ends_the_run_and_the_others_stay(cluster, tmp_path):
    lake, todo = start(tmp_path / "w", 4)
    with pytest.raises(CurationError, match="shard 0000000003 lost its worker 6 times"):
        shards.run(lake, Deadly(2), todo, engine=RAY)
    assert lake.query("SELECT 1 FROM shards").num_rows == 3
    lake.close()
