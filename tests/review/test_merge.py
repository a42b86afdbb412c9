"""Batches sent out as files and merged back: nothing overwritten, nothing lost, nothing resolved in silence."""

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from samples import HEIGHT, NOON, WIDTH, later, run_with_masks
from test_drawing import correction, square

from curation import masks
from curation.errors import InputError
from curation.formats import coco_import
from curation.formats.mask_import import StageOrigin
from curation.review import batch_status, drawing, opening, queue
from curation.review import merge as batch_merge
from curation.review.batch_export import COCO_FILE, MANIFEST, export
from curation.review.merge import merge
from curation.review.opening import Request


@pytest.fixture
def rows(lake):
    """Masks of three images: squares of 30 px at (0, k) on images of 80x60 px."""
    return run_with_masks(lake, 3, 3)[1]


@pytest.fixture
def sent(lake, rows, tmp_path) -> Path:
    """The batch `b` of all masks as a COCO file."""
    opening.open_batch(lake, Request("b", where="true", double_share=0.0), NOON)
    export(lake, "b", tmp_path / "out")
    return tmp_path / "out" / COCO_FILE


def edited(path: Path, changes: dict[int, dict | None]) -> Path:
    """A file as an annotator sends it back: other outlines by mask, None for a mask that was deleted."""
    document = json.loads(path.read_text())
    kept = []
    for annotation in document["annotations"]:
        mask_id = int(annotation["mask_id"])
        if mask_id in changes and changes[mask_id] is None:
            continue
        if mask_id in changes:
            annotation["segmentation"] = changes[mask_id]
        kept.append(annotation)
    document["annotations"] = kept
    path.unlink()
    back = path.with_name("back.json")
    back.write_text(json.dumps(document))
    return back


def rows_of(lake, table: str) -> list[dict]:
    return lake.query(f"FROM {table}").to_pylist()


def test_a_coco_file_is_read_by_pycocotools_and_imported_again(lake, rows, sent, tmp_path):
    coco = COCO(sent)
    assert len(coco.imgs) == 3
    by_id = {row["mask_id"]: row for row in rows}
    for annotation in coco.anns.values():
        row = by_id[int(annotation["mask_id"])]
        runs = masks.parse_strings([row["rle_counts"]], HEIGHT, WIDTH)
        assert np.array_equal(coco.annToMask(annotation), masks.decode(runs)[0])
        assert (annotation["area"], annotation["bbox"]) == (row["area_px"], row["bbox_xywh"])
        assert annotation["category_id"] is None
    plan = coco_import.plan_files([str(sent)], None, tmp_path / "plan")
    job = coco_import.start(lake, plan, "again", StageOrigin("fully_automatic", 0))
    job.finish(lake)
    assert job.n_problems(lake) == 0
    again = lake.query("SELECT rle_counts, label FROM masks WHERE run_id = ?", [job.run.run_id]).to_pylist()
    assert sorted(row["rle_counts"] for row in again) == sorted(row["rle_counts"] for row in rows)
    assert {row["label"] for row in again} == {None}


def test_labels_become_categories(lake, rows, tmp_path):
    lake.commit(lambda con: con.execute("UPDATE masks SET label = 'cat' WHERE mask_index = 1"), "labels")
    opening.open_batch(lake, Request("b", where="true"), NOON)
    export(lake, "b", tmp_path)
    document = json.loads((tmp_path / COCO_FILE).read_text())
    assert document["categories"] == [{"id": 1, "name": "cat"}]
    assert sorted(a["category_id"] or 0 for a in document["annotations"]) == [0] * 6 + [1] * 3


def test_corrected_confirmed_and_deleted_masks_are_told_apart(lake, rows, sent):
    back = edited(sent, {rows[0]["mask_id"]: square(0, 0, 20), rows[4]["mask_id"]: None})
    found = merge(lake, "b", back, "ann", now=NOON)
    assert (found.n_corrected, found.n_confirmed, found.n_unresolved) == (1, 7, 0)
    assert (found.deleted, found.missing, found.problems) == ([rows[4]["mask_id"]], [], [])
    assert found.ious == [pytest.approx(400 / 900)]
    (drawn,) = rows_of(lake, "drawn_masks")
    assert (drawn["supersedes"], drawn["rater"], drawn["sample"]) == (rows[0]["mask_id"], "ann", "b")
    assert drawn["took_s"] == 0
    measured = [(row["mask_id"], row["area_px"]) for row in rows_of(lake, "mask_features")]
    assert measured == [(drawn["mask_id"], 400)]
    said = lake.query(
        "SELECT decision, purpose, count(*) AS n FROM current_verdicts GROUP BY ALL ORDER BY ALL"
    )
    assert said.to_pylist() == [
        {"decision": "accept", "purpose": "correct", "n": 7},
        {"decision": "fix", "purpose": "correct", "n": 1},
    ]
    old = lake.query("SELECT rle_counts FROM masks WHERE mask_id = ?", [rows[0]["mask_id"]])
    assert old["rle_counts"][0].as_py() == rows[0]["rle_counts"]
    again = merge(lake, "b", back, "ann", deleted="reject", now=later(1))
    assert (again.n_corrected, again.n_confirmed, again.n_already, again.n_rejected) == (0, 0, 8, 1)
    assert not queue.next_tasks(lake, "eve", "b", 9, later(2), purposes={"correct"})


def test_merging_again_writes_nothing(lake, rows, sent):
    back = edited(sent, {row["mask_id"]: square(1, 1, 25) for row in rows})
    first = merge(lake, "b", back, "ann", now=NOON)
    assert first.n_corrected == 9
    tables = {name: rows_of(lake, name) for name in ("masks", "drawn_masks", "verdicts", "tasks")}
    again = merge(lake, "b", back, "ann", now=later(60))
    assert (again.n_corrected, again.n_already) == (0, 9)
    assert tables == {name: rows_of(lake, name) for name in tables}


def test_the_same_annotator_may_correct_again_and_the_later_stands(lake, rows, sent):
    mask_id = rows[0]["mask_id"]
    back = edited(sent, {mask_id: square(0, 0, 20)})
    merge(lake, "b", back, "ann", now=NOON)
    merge(lake, "b", edited(back, {mask_id: square(0, 0, 24)}), "ann", now=later(60))
    drawn = lake.query(
        "SELECT mask_id, supersedes, shown_mask_id FROM drawn_masks ORDER BY mask_id"
    ).to_pylist()
    assert [row["supersedes"] for row in drawn] == [mask_id, drawn[0]["mask_id"]]
    assert {row["shown_mask_id"] for row in drawn} == {mask_id}
    assert lake.query("SELECT * FROM current_masks").num_rows == 9


def test_a_merge_that_is_killed_goes_on_where_it_was(lake, rows, sent, monkeypatch):
    monkeypatch.setattr(batch_merge, "CHUNK_IMAGES", 1)
    back = edited(sent, {row["mask_id"]: square(1, 1, 25) for row in rows})
    commit, n_commits = lake.commit, 0

    def killed(work, message):
        nonlocal n_commits
        n_commits += 1
        if n_commits == 2:
            raise KeyboardInterrupt
        return commit(work, message)

    monkeypatch.setattr(lake, "commit", killed)
    with pytest.raises(KeyboardInterrupt):
        merge(lake, "b", back, "ann", now=NOON)
    assert len(rows_of(lake, "drawn_masks")) == len(rows_of(lake, "verdicts")) == 3
    found = merge(lake, "b", back, "ann", now=later(60))
    assert (found.n_corrected, found.n_already) == (6, 3)
    assert len(rows_of(lake, "drawn_masks")) == len(rows_of(lake, "verdicts")) == 9


@pytest.mark.parametrize(("choice", "resolved"), [(None, None), ("keep", "kept"), ("newest", "superseded")])
def test_a_conflict_is_shown_and_resolved_only_as_told(lake, rows, sent, choice, resolved):
    theirs = drawing.save(lake, correction(rows[0], "eve", square(0, 0, 26)), NOON)
    back = edited(sent, {rows[0]["mask_id"]: square(0, 0, 20), rows[1]["mask_id"]: square(0, 0, 20)})
    found = merge(lake, "b", back, "ann", on_conflict=choice, now=later(5))
    (conflict,) = found.conflict_rows.to_pylist()
    assert (conflict["mask_id"], conflict["corrected_by"]) == (rows[0]["mask_id"], "eve")
    assert conflict["other_mask_id"] == theirs.mask_id
    assert conflict["iou_with_other"] == pytest.approx(400 / 676)
    assert conflict["resolved"] == resolved
    assert found.n_unresolved == (choice is None)
    assert found.n_corrected == (2 if choice == "newest" else 1)
    current = set(lake.query("SELECT mask_id FROM current_masks")["mask_id"].to_pylist())
    assert (theirs.mask_id in current) == (choice != "newest")


def test_of_a_mask_for_two_the_partners_correction_is_no_conflict(lake, rows, tmp_path):
    opening.open_batch(lake, Request("b", mask_ids=[rows[0]["mask_id"]], double_share=1.0), NOON)
    export(lake, "b", tmp_path)
    for rater, side in (("ann", 20), ("bob", 20)):
        copy = tmp_path / rater
        copy.mkdir()
        (copy / COCO_FILE).write_text((tmp_path / COCO_FILE).read_text())
        back = edited(copy / COCO_FILE, {rows[0]["mask_id"]: square(0, 0, side)})
        found = merge(lake, "b", back, rater, now=NOON)
        assert (found.n_corrected, found.conflicts) == (1, [])
    status = batch_status.status(lake, "b").to_pylist()[0]
    assert (status["state"], status["n_answers"], status["iou_of_two"]) == ("done", 2, 1.0)
    back = edited(tmp_path / COCO_FILE, {rows[0]["mask_id"]: square(0, 0, 15)})
    assert merge(lake, "b", back, "eve", now=NOON).n_unresolved == 1


def test_bad_records_are_problems_and_the_rest_is_merged(lake, rows, sent):
    document = json.loads(sent.read_text())
    first, second, third, fourth, fifth, *_ = document["annotations"]
    first["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": "~~~"}
    second["mask_id"] = "77"
    del third["mask_id"]
    fourth["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}
    document["annotations"].append(fifth)
    sent.write_text(json.dumps(document))
    found = merge(lake, "b", sent, "ann", deleted="reject", now=NOON)
    assert found.n_confirmed == 5
    reasons = [reason for _, _, reason in found.problems]
    assert len(reasons) == 5
    for words in ("COCO RLE", "has no such mask", "nothing came", "is empty", "came at"):
        assert any(words in reason for reason in reasons), words
    assert found.n_rejected == 0  # what could not be read is not deleted
    kept = rows_of(lake, "problems")
    assert {row["work"] for row in kept} == {"merge"}
    merge(lake, "b", sent, "ann", now=later(1))
    assert rows_of(lake, "problems") == kept


def test_sa1b_records_come_back_too_and_images_that_do_not_are_missing(lake, rows, tmp_path):
    opening.open_batch(lake, Request("b", where="true", annotators=("ann",)), NOON)
    sent = export(lake, "b", tmp_path, "sa1b", "ann")
    assert (sent.n_masks, sent.n_images) == (9, 3)
    records = sorted(tmp_path.glob("*.json"))
    document = json.loads(records[0].read_text())
    document["annotations"][0]["segmentation"] = square(0, 0, 20)
    records[0].write_text(json.dumps(document))
    records[1].unlink()
    found = merge(lake, "b", tmp_path, "ann", now=NOON)
    assert (found.n_corrected, found.n_confirmed, len(found.missing), found.deleted) == (1, 5, 3, [])
    assert (tmp_path / MANIFEST).is_file()
    rest = export(lake, "b", tmp_path / "rest", "coco", "ann")
    assert (rest.n_masks, rest.n_done) == (3, 6)


def test_strangers_and_files_that_are_none_are_refused(lake, rows, tmp_path):
    opening.open_batch(lake, Request("b", where="true", annotators=("ann",)), NOON)
    (tmp_path / "x.json").write_text("[")
    with pytest.raises(InputError, match="is for ann"):
        merge(lake, "b", tmp_path / "x.json", "eve")
    with pytest.raises(InputError, match="no batch 'c'"):
        merge(lake, "c", tmp_path / "x.json", "ann")
    with pytest.raises(InputError, match=r"\*.json"):
        merge(lake, "b", tmp_path / "nothing", "ann")
    with pytest.raises(InputError, match=r"x\.json"):
        merge(lake, "b", tmp_path / "x.json", "ann")
    with pytest.raises(InputError, match="allowed are newest, keep"):
        merge(lake, "b", tmp_path / "x.json", "ann", on_conflict="mine")
