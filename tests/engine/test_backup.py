"""A backup holds the workspace as it was at one version while others write; restored it is the same, or it is refused."""

import itertools
import json
import shutil
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from curation import runs
from curation.cli import app
from curation.engine import backup, content_hashes
from curation.errors import InputError, LakeError
from curation.lake import Lake
from curation.shards import Shard
from curation.shards import run as run_shards
from tests import lakes


def fill(lake: Lake) -> None:
    """A run with data files, a tag, small commits that stay in the catalog, and a model's folder."""
    run = runs.start(lake, lakes.spec())
    run_shards(lake, lakes.NumberedMasks(), [Shard(run.run_id, "import", "0000000000", 0, 4)])
    lake.tag("before")
    lake.con.execute("DELETE FROM images WHERE image_number = 3")
    runs.finish(lake, run.run_id)
    model = lake.root / "models" / "mine"
    model.mkdir(parents=True)
    (model / "encoder.onnx").write_bytes(b"weights")


def state(root: Path, at: str | int | None = None) -> dict[str, str]:
    with Lake.open(root, at=at, read_only=True) as lake:
        return {
            table: content_hashes.of_table(lake, table).sha256
            for table in ("runs", "images", "mask_embeddings", "shards", "tags")
        }


@pytest.fixture(scope="module")
def backed_up(tmp_path_factory, empty_workspace):
    """A workspace and its backup."""
    folder = tmp_path_factory.mktemp("backup")
    shutil.copytree(empty_workspace, folder / "workspace")
    with Lake.open(folder / "workspace") as lake:
        fill(lake)
        backup.back_up(lake, folder / "backup")
    return folder


def test_what_is_restored_is_what_was_backed_up_with_its_history(backed_up, tmp_path):
    told = backup.restore(backed_up / "backup", tmp_path / "restored")
    assert state(tmp_path / "restored") == state(backed_up / "workspace")
    assert state(tmp_path / "restored", "before") == state(backed_up / "workspace", "before")
    assert (tmp_path / "restored" / "models" / "mine" / "encoder.onnx").read_bytes() == b"weights"
    with Lake.open(tmp_path / "restored") as lake:
        assert lake.version() == told.version
        assert lake.con.execute("SELECT count(*) FROM images").fetchone() == (3,)
        lake.tag("it-can-be-written-to")


def test_it_needs_nothing_of_the_workspace(backed_up, tmp_path):
    shutil.copytree(backed_up / "backup", tmp_path / "backup")
    moved = tmp_path / "gone"
    (backed_up / "workspace").rename(moved)
    try:
        backup.restore(tmp_path / "backup", tmp_path / "restored")
        assert state(tmp_path / "restored") == state(moved)
    finally:
        moved.rename(backed_up / "workspace")


@pytest.mark.parametrize(
    ("pattern", "damage", "reason"),
    [
        ("data/**/*.parquet", lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes instead of"),
        ("data/**/*.parquet", lambda path: path.unlink(), "is missing"),
        ("catalog/catalog.sqlite", lambda path: flip(path, 5000), "other content"),
        ("rest/models/mine/encoder.onnx", lambda path: path.write_bytes(b"Weights"), "other content"),
    ],
)
def test_a_damaged_backup_is_refused_before_anything_is_written(backed_up, tmp_path, pattern, damage, reason):
    shutil.copytree(backed_up / "backup", tmp_path / "backup")
    damage(next((tmp_path / "backup").glob(pattern)))
    with pytest.raises(LakeError, match=f"damaged: .*{reason}.*use another copy"):
        backup.restore(tmp_path / "backup", tmp_path / "restored")
    assert [path.name for path in tmp_path.iterdir()] == ["backup"]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_manifest_that_lies_about_a_table_is_noticed(backed_up, tmp_path):
    """As where the files of a backup are whole but were copied of another version."""
    shutil.copytree(backed_up / "backup", tmp_path / "backup")
    path = tmp_path / "backup" / "manifest.json"
    told = json.loads(path.read_text())
    next(entry for entry in told["tables"] if entry["table"] == "images")["sha256"] = "0" * 64
    path.write_text(json.dumps(told))
    with pytest.raises(LakeError, match="the content of images is not what was backed up"):
        backup.restore(tmp_path / "backup", tmp_path / "restored")


def test_folders_that_hold_something_and_what_is_no_backup_are_refused(backed_up, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with Lake.open(backed_up / "workspace", read_only=True) as lake:
        with pytest.raises(InputError, match="not empty"):
            backup.back_up(lake, tmp_path / "full")
        with pytest.raises(InputError, match="in the workspace itself"):
            backup.back_up(lake, lake.root / "backup")
    with pytest.raises(InputError, match="not empty"):
        backup.restore(backed_up / "backup", tmp_path / "full")
    with pytest.raises(InputError, match="there is no manifest"):
        backup.restore(tmp_path / "full", tmp_path / "restored")
    with pytest.raises(InputError, match="cannot become a PostgreSQL catalog"):
        backup.restore(backed_up / "backup", tmp_path / "restored", catalog="postgres://a@b/c")


def test_writers_go_on_and_what_is_backed_up_is_one_version(lake, tmp_path):
    """Two tables change together in every commit, so that a copy of halves would show."""
    fill(lake)
    stop, has_begun = threading.Event(), threading.Event()

    def write() -> None:
        with Lake.open(lake.root) as own:
            for number in itertools.count():
                run = runs.start(own, lakes.spec(settings={"number": number}))
                run_shards(own, lakes.NumberedMasks(1), [Shard(run.run_id, "import", "0000000000", 0, 2)])
                has_begun.set()
                if stop.wait(0.05):
                    return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert has_begun.wait(60)
        with Lake.open(lake.root, read_only=True) as reader:
            backup.back_up(reader, tmp_path / "backup")
    finally:
        stop.set()
        writer.join()
    told = backup.restore(tmp_path / "backup", tmp_path / "restored")
    assert state(tmp_path / "restored") == state(lake.root, told.version)
    with Lake.open(tmp_path / "restored") as restored:
        halves = restored.con.execute(
            "SELECT run_id FROM shards WHERE work = 'import' AND run_id NOT IN (SELECT run_id FROM mask_embeddings)"
        ).fetchall()
    assert halves == []


def test_postgres_and_a_bucket_are_backed_up_and_restored(postgres_server, postgres_url, s3_server, tmp_path):
    boto3 = pytest.importorskip("boto3")
    client = boto3.client("s3", endpoint_url=s3_server)
    client.create_bucket(Bucket="backup-source")
    client.create_bucket(Bucket="backup-target")
    with Lake.create(tmp_path / "team", postgres_url, "s3://backup-source/lake") as lake:
        fill(lake)
        backup.back_up(lake, tmp_path / "backup")
    postgres_server.psql("CREATE DATABASE restored")
    other = postgres_server.get_uri(database="restored")
    with pytest.raises(InputError, match="holds a lake already"):
        backup.restore(tmp_path / "backup", tmp_path / "no", postgres_url, "s3://backup-target/x")
    backup.restore(tmp_path / "backup", tmp_path / "restored", other, "s3://backup-target/lake")
    for key in client.list_objects_v2(Bucket="backup-source")["Contents"]:
        client.delete_object(Bucket="backup-source", Key=key["Key"])
    with Lake.open(tmp_path / "restored") as lake:
        assert lake.con.execute("SELECT count(*) FROM mask_embeddings").fetchone() == (12,)
        assert lake.con.execute("SELECT count(*) FROM images").fetchone() == (3,)
        lake.tag("after")
    assert state(tmp_path / "restored", "before")["images"] != state(tmp_path / "restored")["images"]


def test_the_commands(backed_up, tmp_path):
    made = CliRunner().invoke(
        app, ["backup", str(tmp_path / "b"), "--workspace", str(backed_up / "workspace")]
    )
    assert made.exit_code == 0, made.output
    put_back = CliRunner().invoke(app, ["restore", str(tmp_path / "b"), str(tmp_path / "w")])
    assert put_back.exit_code == 0, put_back.output
    assert state(tmp_path / "w") == state(backed_up / "workspace")
