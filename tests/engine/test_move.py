"""Moving a workspace to PostgreSQL and S3 and back: every version, tag and row as it was."""

from datetime import datetime, timezone

import pytest
from team_lake import add_run, mask_ids, places
from typer.testing import CliRunner

from curation.cli import app
from curation.engine import content_hashes, moving
from curation.engine.moving import Target
from curation.errors import LakeError
from curation.lake import Lake
from curation.schemas import TABLES


def described(root, at=None) -> dict[str, str]:
    with Lake.open(root, at=at, read_only=True) as lake:
        return {
            table: content_hashes.of_table(lake, table).sha256
            for table in ("masks", "tags", "mask_embeddings")
        }


@pytest.fixture
def source(lake):
    """Two runs, a tag between them, deleted rows, a problem that lies in the catalog, and a trained model's file."""
    add_run(lake, "a")
    lake.tag("first", "before the second run")
    add_run(lake, "b")
    lake.commit(lambda con: con.execute("DELETE FROM mask_embeddings WHERE mask_id % 2 = 0"), "half of them")
    event = {"stage": "fully_automatic", "cycle": 0, "event": "open", "run_ids": [1, 2], "note": "it's ünï"}
    rest = {"snapshot_id": lake.version(), "event_at": datetime.now(timezone.utc)}
    lake.append({"cycles": TABLES["cycles"].table([event | rest])}, "cycle")
    (lake.root / "models").mkdir()
    (lake.root / "models" / "mine.json").write_text("{}")
    return lake


def test_to_a_team_and_back_is_the_same(source, request, tmp_path):
    shown = {at: mask_ids(source.root, at) for at in ("first", None)}
    there = moving.move(source, Target(tmp_path / "team", **places("team", request)))
    before = source.snapshots().to_pylist()
    assert (there.n_tags, there.n_versions) == (1, len(before))
    assert there.n_copied == there.n_files > 6
    with Lake.open(tmp_path / "team") as team:
        assert team.storage.is_s3
        assert team.snapshots().to_pylist() == before
        assert (team.root / "models" / "mine.json").read_text() == "{}"
        add_run(team, "c")  # it can be worked on: small rows, files, a tag
        team.tag("second")
        back = moving.move(team, Target(tmp_path / "back"))
    assert back.n_tags == 2
    for root in ("team", "back"):
        assert mask_ids(tmp_path / root, "first") == shown["first"]
    assert described(tmp_path / "back") == described(tmp_path / "team")
    with Lake.open(tmp_path / "back") as lake:
        assert lake.query("SELECT note FROM cycles")["note"].to_pylist() == ["it's ünï"]
        add_run(lake, "d")
    assert mask_ids(source.root) == shown[None]


def test_an_interrupted_move_goes_on(source, tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(moving, "_copy_catalog", fail)
        with pytest.raises(KeyboardInterrupt):
            moving.move(source, Target(tmp_path / "moved"))
    with pytest.raises(LakeError, match="no workspace"):
        Lake.open(tmp_path / "moved")
    moved = moving.move(source, Target(tmp_path / "moved"))
    assert 0 <= moved.n_copied < moved.n_files
    assert described(tmp_path / "moved") == described(source.root)


def test_a_copy_that_is_not_equal_is_no_workspace(source, tmp_path, monkeypatch):
    copy = moving._copy_catalog

    def lose(source: Lake, made: Lake) -> None:
        copy(source, made)
        with moving._catalogs(target=made.catalog) as con:
            con.execute("DELETE FROM target.ducklake_data_file WHERE begin_snapshot > 8")

    monkeypatch.setattr(moving, "_copy_catalog", lose)
    with pytest.raises(LakeError, match="after moving; the source is as it was"):
        moving.move(source, Target(tmp_path / "moved"))
    assert not (tmp_path / "moved" / "workspace.json").exists()


def test_places_that_are_taken_are_refused(source, tmp_path):
    with Lake.create(tmp_path / "other"):
        pass
    with pytest.raises(LakeError, match="is a workspace already"):
        moving.move(source, Target(tmp_path / "other"))
    with pytest.raises(LakeError, match="holds another lake"):
        moving.move(source, Target(tmp_path / "new", catalog=f"sqlite:{tmp_path}/other/catalog.sqlite"))
    with pytest.raises(LakeError, match="lies in, or around"):
        moving.move(source, Target(source.root / "inside"))


def test_the_command_says_what_was_moved(source, tmp_path):
    to = tmp_path / "moved"
    shown = CliRunner().invoke(app, ["workspace", "move", str(to), "--workspace", str(source.root)])
    assert shown.exit_code == 0, shown.output
    assert "1 tags" in shown.stdout
    assert mask_ids(to, "first") == mask_ids(source.root, "first")
