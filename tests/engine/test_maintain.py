"""Maintenance: every named version still reads the same, and what nothing shows is gone."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow.fs as pafs
import pytest
from lakes import NumberedMasks
from team_lake import add_run, mask_ids, places
from typer.testing import CliRunner

from curation import shards
from curation.cli import app
from curation.engine import maintenance
from curation.engine.maintenance import Keep
from curation.errors import LakeError
from curation.lake import Lake
from curation.schemas import TABLES
from curation.storage import s3_filesystem

NOTHING_KEPT = Keep(timedelta(0), timedelta(0))


def files(lake: Lake) -> dict[str, int]:
    """Bytes of every file below the data folder."""
    filesystem = s3_filesystem() if lake.storage.is_s3 else pafs.LocalFileSystem()
    base = lake.storage.base.removeprefix("s3://").rstrip("/")
    found = filesystem.get_file_info(pafs.FileSelector(base, recursive=True))
    return {info.path.removeprefix(base): info.size for info in found if info.is_file}


def by_name(steps: list[maintenance.Step]) -> dict[str, maintenance.Step]:
    return {step.step: step for step in steps}


def delete_even_masks(lake: Lake) -> None:
    lake.commit(lambda con: con.execute("DELETE FROM mask_embeddings WHERE mask_id % 2 = 0"), "half of them")


@pytest.mark.parametrize("kind", ["local", pytest.param("team", marks=pytest.mark.soak)])
def test_named_versions_read_the_same_and_the_rest_goes(kind, request, tmp_path):
    root = tmp_path / "w"
    with Lake.create(root, **places(kind, request)) as lake:
        add_run(lake, "a")
        lake.tag("first")
        add_run(lake, "b")
        lake.tag("both")
        delete_even_masks(lake)
        shard = shards.Shard(1, "import", "killed", 0, 1)
        table = TABLES["mask_embeddings"].table(
            [{"run_id": 1, "mask_id": 1, "n_dims": 1, "embedding": b"ab"}]
        )
        orphan = lake.storage.write("mask_embeddings", table, shard.run_id, shard.name).path
        shown = {at: mask_ids(root, at) for at in ("first", "both", None)}
        before, version = files(lake), lake.version()

        planned = by_name(maintenance.plan(lake, NOTHING_KEPT))
        assert lake.version() == version
        assert files(lake) == before
        done = by_name(maintenance.apply(lake, NOTHING_KEPT))
        again = by_name(maintenance.apply(lake, NOTHING_KEPT))

        assert planned["orphans"].n == done["orphans"].n == 1
        assert planned["expire"].n == done["expire"].n > 3
        assert planned["flush"].n == done["flush"].n > 0
        assert planned["merge"].n >= done["merge"].n > 2
        assert done["delete"].n > 0
        assert again["flush"].n == 0
        assert not any(orphan.endswith(path) for path in files(lake))
        versions = lake.snapshots()["snapshot_id"].to_pylist()
    assert any("images/run_id=1/import-" in path for path in before)
    assert not any("images/run_id=1/import-" in path for path in files(lake)), (
        "they were merged, and are gone"
    )
    assert {at: mask_ids(root, at) for at in shown} == shown
    assert len(versions) < version


def test_young_files_and_versions_stay(tmp_path):
    with Lake.create(tmp_path / "w") as lake:
        add_run(lake, "a")
        table = TABLES["mask_embeddings"].table(
            [{"run_id": 1, "mask_id": 1, "n_dims": 1, "embedding": b"ab"}]
        )
        about_to_be_committed = lake.storage.write("mask_embeddings", table, 1, "running")
        versions = lake.snapshots()["snapshot_id"].to_pylist()
        done = by_name(maintenance.apply(lake, Keep()))
        assert (done["expire"].n, done["delete"].n, done["orphans"].n) == (0, 0, 0)
        assert set(versions) <= set(lake.snapshots()["snapshot_id"].to_pylist())
        assert Path(about_to_be_committed.path).exists()


def test_versions_that_rows_refer_to_are_held(lake):
    version = lake.tag("named")
    event = {
        "stage": "fully_automatic",
        "cycle": 0,
        "event": "open",
        "run_ids": [],
        "snapshot_id": version + 1,
    }
    at = {"event_at": datetime.now(timezone.utc)}
    lake.append({"cycles": TABLES["cycles"].table([event | at])}, "cycle")
    held = maintenance.held_versions(lake)
    assert held[version] == "tags named"
    assert held[version + 1].startswith("cycles ")


def test_a_changed_named_version_stops_before_anything_is_deleted(lake, monkeypatch):
    add_run(lake, "a")
    lake.tag("named")

    def lose(lake: Lake, keep: Keep, held: object) -> maintenance.Step:
        lake.con.execute(f"DELETE FROM {maintenance.CATALOG}.ducklake_data_file")
        return maintenance.Step("expire", 0, "versions", 0)

    monkeypatch.setattr(maintenance, "_expire", lose)
    before = files(lake)
    with pytest.raises(LakeError, match=r"named.*no file was deleted"):
        maintenance.apply(lake, NOTHING_KEPT)
    assert set(before) <= set(files(lake))


def test_rows_made_anew_leave_the_older_version_as_it_was(lake):
    """The same shard after its rows were dropped: another file, or the tag would show the new rows."""
    run_id = add_run(lake, "a")
    lake.tag("before")
    shown = mask_ids(lake.root)

    def drop(con) -> None:
        con.execute("DELETE FROM shards")
        con.execute("DELETE FROM mask_embeddings")
        con.execute("DELETE FROM images")

    lake.commit(drop, "dropped")
    shards.run(lake, NumberedMasks(2), shards.plan(run_id, "import", 3, 1))
    assert mask_ids(lake.root, "before") == shown
    assert len(mask_ids(lake.root)) == 6
    maintenance.apply(lake, NOTHING_KEPT)
    assert mask_ids(lake.root, "before") == shown
    assert len(mask_ids(lake.root)) == 6


def test_the_command_shows_first_and_does_when_asked(lake):
    add_run(lake, "a")
    version = lake.version()
    words = ["maintain", "--workspace", str(lake.root), "--format", "csv"]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0
    assert '"merge",6,"files"' in shown.stdout
    assert "add --apply" in shown.stderr
    assert lake.version() == version
    assert '"merge",6,"files"' in CliRunner().invoke(app, [*words, "--apply"]).stdout
    assert lake.version() > version
