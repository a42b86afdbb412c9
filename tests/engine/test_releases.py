"""Releases: whole or not at all, and every change since is found."""

import json
import re
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from gold_lake import write_run
from typer.testing import CliRunner

from curation import lake as lakes
from curation.cli import app
from curation.engine import content_hashes, maintenance, release_proof, releases
from curation.engine.maintenance import Keep
from curation.engine.manifest import FILE_NAME
from curation.engine.release_proof import Difference
from curation.engine.releases import Draft, Request
from curation.errors import ChecksFailedError, InputError
from curation.lake import Lake
from curation.report.page import Report
from curation.schemas import TABLES

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
IOUS = {k: [0.95] * 4 + [0.3 if k % 4 == 0 else 0.92] for k in range(30)}
PASSING = '[[check]]\nfigure = "recall"\nmin = 0.5\n'
FAILING = '[[check]]\nfigure = "recall"\nmin = 0.999\n'


def write_words(lake: Lake, draft: Draft) -> None:
    (draft.folder / "words.md").write_text(f"{draft.n_masks} masks of version {draft.version}")


DOCUMENTS = {"words.md": write_words}
#: Hashing an empty table still takes some 20 ms; one test takes them all.
FEW = {name: TABLES[name] for name in ("masks", "images", "gold_matches", "runs", "tags", "releases")}


@pytest.fixture(autouse=True)
def few_tables(monkeypatch):
    monkeypatch.setattr(releases, "TABLES", FEW)


@pytest.fixture(scope="module")
def workspace(empty_workspace, tmp_path_factory) -> Path:
    """A workspace with one run and its gold, and the release v1 of it."""
    root = tmp_path_factory.mktemp("released") / "workspace"
    shutil.copytree(empty_workspace, root)
    checks = root.parent / "checks.toml"
    checks.write_text(PASSING)
    with Lake.open(root) as lake, pytest.MonkeyPatch.context() as patched:
        patched.setattr(releases, "TABLES", FEW)
        write_run(lake, IOUS)
        releases.make(lake, Request("v1", "ann", checks=checks, note="first"), DOCUMENTS)
    return root


@pytest.fixture
def released(workspace, tmp_path):
    """A copy of it to change."""
    shutil.copytree(workspace, tmp_path / "workspace")
    with Lake.open(tmp_path / "workspace") as lake:
        yield lake


@pytest.fixture
def filled(lake):
    write_run(lake, IOUS)
    return lake


def folder_of(lake: Lake, name: str = "v1") -> Path:
    return lake.root / releases.FOLDER / name


def differences(lake: Lake) -> list[Difference]:
    return release_proof.verify(lake, "v1")[1]


def leftovers(lake: Lake, name: str) -> list:
    """What a release that was not made must not leave."""
    folder = lake.root / releases.FOLDER
    there = [path.name for path in folder.iterdir()] if folder.exists() else []
    rows = lake.con.execute("SELECT release FROM releases WHERE release = ?", [name]).fetchall()
    tags = lake.con.execute("SELECT name FROM tags WHERE name = ?", [name]).fetchall()
    return [*there, *rows, *tags]


def test_a_release_holds_masks_checks_documents_and_the_hashes_of_them_all(released):
    folder = folder_of(released)
    held = json.loads((folder / FILE_NAME).read_text())
    files = {file["path"] for file in held["files"]}
    assert {"checks.json", "checks.toml", "checks.xml", "words.md", "masks/run_1/0.json"} <= files
    assert len(files) == 4 + len(IOUS)
    assert {table["table"] for table in held["tables"]} == set(FEW)
    (row,) = released.query("FROM releases").to_pylist()
    assert (row["n_images"], row["n_masks"], row["checks_passed"]) == (30, 150, True)
    assert (row["tag"], row["folder"], row["note"], row["released_by"]) == (
        "v1",
        "releases/v1",
        "first",
        "ann",
    )
    assert (folder / "words.md").read_text() == f"150 masks of version {row['snapshot_id']}"
    record = json.loads((folder / "masks/run_1/3.json").read_text())
    assert len(record["annotations"]) == 5


def test_nothing_has_changed(released):
    assert differences(released) == []


def test_later_commits_change_nothing_of_it(released):
    write_run(released, {k: [0.5] for k in range(40)}, settings={"another": 1})
    released.commit(lambda con: con.execute("UPDATE masks SET predicted_iou = 0.1"), "a change")
    released.commit(lambda con: con.execute("DELETE FROM gold_matches"), "a loss")
    assert differences(released) == []


def test_maintenance_changes_nothing_of_it(released):
    maintenance.apply(released, Keep())
    assert differences(released) == []


def test_one_flipped_bit_a_missing_a_longer_and_an_additional_file_are_found(released):
    folder = folder_of(released)
    path = folder / "masks/run_1/7.json"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert differences(released) == [
        Difference("file", "masks/run_1/7.json", "changed: other content of the same length")
    ]
    (folder / "masks/run_1/0.json").unlink()
    (folder / "words.md").write_text("more words than there were before, so many more")
    (folder / "masks/new.json").write_text("{}")
    assert [(d.name, d.change.split(":")[0]) for d in differences(released)] == [
        ("masks/run_1/0.json", "missing"),
        ("masks/run_1/7.json", "changed"),
        ("words.md", "changed"),
        ("masks/new.json", "additional"),
    ]


def test_a_changed_manifest_is_found_also_where_it_hides_a_changed_file(released):
    path, held = folder_of(released) / "words.md", folder_of(released) / FILE_NAME
    before = releases.manifest.hash_file(path)
    path.write_text("9" + path.read_text()[1:])
    held.write_text(held.read_text().replace(before, releases.manifest.hash_file(path)))
    assert [(d.what, d.name) for d in differences(released)] == [("manifest", FILE_NAME)]


@pytest.mark.parametrize("text", ["{", "[]", '{"manifest_format": 9}'])
def test_a_manifest_that_cannot_be_read_is_refused(released, text):
    (folder_of(released) / FILE_NAME).write_text(text)
    with pytest.raises(InputError, match="manifest"):
        differences(released)


def test_one_changed_value_in_the_lakes_files_is_found(released):
    (path,) = Path(released.storage.base).rglob("masks/**/*.parquet")
    table = pq.read_table(path)
    column = table["predicted_iou"]
    changed = pc.if_else(pc.equal(table["mask_index"], 4), 0.31, column)
    pq.write_table(table.set_column(table.schema.get_field_index("predicted_iou"), "predicted_iou", changed), path)  # fmt: skip
    (found,) = differences(released)
    assert (found.what, found.name) == ("table", "masks")


def test_a_lost_file_of_the_lake_is_found(released):
    (path,) = Path(released.storage.base).rglob("masks/**/*.parquet")
    path.unlink()
    (found,) = differences(released)
    assert (found.what, found.name) == ("table", "masks")
    assert "cannot be read" in found.change


def test_a_release_can_be_moved(released, tmp_path):
    folder = shutil.move(folder_of(released), tmp_path / "elsewhere")
    assert release_proof.verify(released, "v1", Path(folder))[1] == []
    with pytest.raises(InputError, match="no manifest; name the release's folder with --folder"):
        differences(released)


def test_what_is_not_there_is_named(released):
    with pytest.raises(InputError, match="no release 'v2'; there are: v1"):
        release_proof.verify(released, "v2")


def test_a_failing_check_makes_nothing_unless_it_is_said(filled, tmp_path):
    file = tmp_path / "checks.toml"
    file.write_text(PASSING + FAILING)
    with pytest.raises(ChecksFailedError, match=r"1 of 2 checks are not passed(.|\n)*at least 0.999"):
        releases.make(filled, Request("v1", checks=file), DOCUMENTS)
    assert leftovers(filled, "v1") == []
    made = releases.make(filled, Request("v1", checks=file, even_if_failing=True), DOCUMENTS)
    assert made.checks_passed is False
    held = json.loads((made.folder / FILE_NAME).read_text())
    assert (held["checks_passed"], held["even_if_failing"]) == (False, True)
    assert filled.query("SELECT checks_passed FROM releases").to_pylist() == [{"checks_passed": False}]


def test_a_name_is_taken_once(released):
    with pytest.raises(InputError, match=r"'v1' was made on .* never changes: choose another name"):
        releases.make(released, Request("v1"), DOCUMENTS)
    released.tag("v2")
    with pytest.raises(InputError, match="tag 'v2' already names version"):
        releases.make(released, Request("v2"), DOCUMENTS)
    with pytest.raises(InputError, match="start with a letter"):
        releases.make(released, Request("../v3"), DOCUMENTS)


def test_a_folder_that_holds_something_else_is_left_alone(filled, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    with pytest.raises(InputError, match="is there already, and is not this release"):
        releases.make(filled, Request("v1", folder=tmp_path / "mine"), DOCUMENTS)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]


def test_an_older_version_is_released_by_its_tag(filled):
    version = filled.tag("before")
    write_run(filled, {k: [0.5] for k in range(30)}, settings={"another": 1})
    made = releases.make(filled, Request("v1", tag="before"), DOCUMENTS)
    assert (made.version, made.n_masks) == (version, 150)
    assert filled.tags()["name"].to_pylist() == ["before"]
    assert differences(filled) == []
    with pytest.raises(InputError, match="no such tag; there are: before"):
        releases.make(filled, Request("v2", tag="after"), DOCUMENTS)


def test_an_image_is_released_once_with_its_newest_run(filled):
    write_run(filled, {k: [0.5, 0.6] for k in range(10)}, settings={"another": 1}, cycle=1)
    made = releases.make(filled, Request("v1"), DOCUMENTS)
    assert (made.n_images, made.n_masks) == (30, 20 * 5 + 10 * 2)
    counts = [len(list(folder.iterdir())) for folder in sorted((made.folder / "masks").iterdir())]
    assert counts == [20, 10]


def test_what_people_have_rejected_is_not_released(filled):
    ids = filled.query("SELECT mask_id, run_id, image_id FROM masks ORDER BY mask_id LIMIT 3").to_pylist()
    given = {"task_id": "t", "sample": "s", "rater": "ann", "reasons": [], "took_s": 1.0}
    given |= {"given_at": NOW, "committed_at": NOW}
    said = (("correct", "reject"), ("review", "reject"), ("review", "fix"))
    rows = [
        {**given, **one, "verdict_id": str(k), "purpose": purpose, "decision": decision}
        for k, (one, (purpose, decision)) in enumerate(zip(ids, said, strict=True))
    ]
    filled.append({"verdicts": TABLES["verdicts"].table(rows)}, "verdicts")
    made = releases.make(filled, Request("v1"), DOCUMENTS)
    assert (made.n_images, made.n_masks) == (30, 148)
    record = json.loads((made.folder / "masks/run_1/0.json").read_text())
    assert len(record["annotations"]) == 3
    assert differences(filled) == []


def test_masks_are_released_as_coco(filled):
    made = releases.make(filled, Request("v1", format="coco"), {})
    held = json.loads((made.folder / "masks/run_1/instances.json").read_text())
    assert (len(held["images"]), len(held["annotations"]), made.n_masks) == (30, 150, 150)
    assert {image["file_name"] for image in held["images"]} == {f"{k}.jpg" for k in IOUS}
    assert differences(filled) == []
    with pytest.raises(InputError, match="--format voc: allowed are sa1b, coco"):
        releases.make(filled, Request("v2", format="voc"), {})


def test_an_empty_lake_can_be_released_with_every_table(lake, monkeypatch):
    monkeypatch.setattr(releases, "TABLES", TABLES)
    made = releases.make(lake, Request("v1"), {})
    assert (made.n_images, made.n_masks, made.n_files) == (0, 0, 0)
    held = json.loads((made.folder / FILE_NAME).read_text())
    assert {table["table"] for table in held["tables"]} == set(TABLES)
    assert differences(lake) == []


KILLED = """
import os, signal, sys
from curation.engine import releases
from curation.lake import Lake
def stop(lake, draft):
    os.kill(os.getpid(), signal.SIGKILL)
with Lake.open(sys.argv[1]) as lake:
    releases.make(lake, releases.Request("v1"), {"stop": stop})
"""


def test_a_killed_call_leaves_nothing_and_the_next_one_works(filled):
    ended = subprocess.run([sys.executable, "-c", KILLED, str(filled.root)], timeout=60)
    assert ended.returncode == -9
    assert leftovers(filled, "v1") == [".v1.unfinished"]
    releases.make(filled, Request("v1"), DOCUMENTS)
    assert leftovers(filled, "v1") == ["v1", ("v1",), ("v1",)]
    assert differences(filled) == []


def test_what_lacks_only_its_commit_is_ended(filled, monkeypatch):
    def stopped(self, work, message):
        self.con.execute("BEGIN")
        work(self.con)
        self.con.execute("ROLLBACK")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Lake, "commit", stopped)
        with pytest.raises(KeyboardInterrupt):
            releases.make(filled, Request("v1"), DOCUMENTS)
    assert leftovers(filled, "v1") == ["v1"]
    made = releases.make(filled, Request("v1"), DOCUMENTS)
    assert made.is_recovered
    assert differences(filled) == []


def test_a_hash_knows_rows_and_not_how_they_are_kept(empty_workspace, tmp_path):
    rows = [
        {"name": f"t{k}", "snapshot_id": k, "note": None if k % 3 else "n", "tagged_at": 1_000_000 * k}
        for k in range(300)
    ]

    def hashed(name: str, parts: list[list[dict]]) -> content_hashes.TableHash:
        shutil.copytree(empty_workspace, tmp_path / name)
        with Lake.open(tmp_path / name) as lake:
            for part in parts:
                lake.append({"tags": TABLES["tags"].table(part)}, "part")
            with content_hashes.bounded_memory(lake):
                return content_hashes.of_table(lake, "tags")

    whole = hashed("whole", [rows])
    assert whole.n_rows == 300
    assert (
        hashed("parts", [rows[200:], rows[:7], rows[7:200]]) == whole
    )  # a file, rows in the catalog, a file
    for k, (column, value) in enumerate(
        [("name", "other"), ("snapshot_id", 7_000), ("note", ""), ("tagged_at", 1)]
    ):
        changed = [*rows[:-1], {**rows[-1], column: value}]
        assert hashed(f"changed{k}", [changed]).sha256 != whole.sha256, column


def test_a_value_cannot_move_from_one_column_to_the_next(lake):
    found = {}
    for first, second in (("ab", "c"), ("a", "bc"), ("a", None), ('a","b', "c")):
        row = {"name": first, "snapshot_id": 1, "note": second, "tagged_at": 1}
        lake.commit(lambda con: con.execute("DELETE FROM tags"), "empty")
        lakes.insert(lake.con, {"tags": TABLES["tags"].table([row])})
        found[first, second] = content_hashes.of_table(lake, "tags").sha256
    assert len(set(found.values())) == 4


def page(lake: Lake, out: Path, request: Request) -> Report:
    """In the place of the report, which has tests of its own and takes seconds."""
    out.write_text(f"<html>{request.at}, version {lake.version()}")
    return Report(out, 0, 0, ())


def test_the_commands_write_report_and_card_and_prove_them(filled, tmp_path, monkeypatch):
    pytest.importorskip("altair")
    monkeypatch.setattr("curation.report.page.write_report", page)
    checks = tmp_path / "checks.toml"
    checks.write_text(PASSING)
    words = ["-w", str(filled.root), "--checks", str(checks), "--n-worst", "0", "--note", "for *tests* | <b>"]
    result = CliRunner().invoke(app, ["release", "v1", *words])
    assert result.exit_code == 0, result.output
    card = (folder_of(filled) / "data_card.md").read_text()
    assert "Licence:" in card
    assert r"for \*tests\* | \<b\>" in card
    assert re.search(r"\| run 1, gold run 2 \| recall[^|]*\| \d+[^|]*%[^|]*\|", card)
    (row,) = filled.query("FROM releases").to_pylist()
    report = (folder_of(filled) / "report.html").read_text()
    assert report == f"<html>v1, version {row['snapshot_id']}"
    verify = ["verify-release", "v1", "-w", str(filled.root)]
    result = CliRunner().invoke(app, verify)
    assert result.exit_code == 0, result.output
    assert "is as it was made" in result.output
    (folder_of(filled) / "data_card.md").write_text(card.replace("95 %", "99 %"))
    result = CliRunner().invoke(app, verify)
    assert result.exit_code == 1
    assert "data_card.md" in result.output


def test_the_command_is_refused_with_1_where_a_check_fails(filled, tmp_path):
    pytest.importorskip("altair")
    checks = tmp_path / "checks.toml"
    checks.write_text(FAILING)
    result = CliRunner().invoke(app, ["release", "v1", "-w", str(filled.root), "--checks", str(checks)])
    assert result.exit_code == 1, result.output
    assert leftovers(filled, "v1") == []
