"""Syncs into a real MongoDB, read back by FiftyOne itself."""

import multiprocessing
import tarfile
from datetime import datetime, timezone

import numpy as np
import PIL.Image
import pytest
import shown
from fiftyone_reading import detections_by_id, whole

from curation import masks
from curation.browse import sync as syncing
from curation.browse.dataset import listing
from curation.browse.selection import Choice
from curation.browse.sync import Summary, sync
from curation.errors import InputError, QueryError
from curation.lake import Lake
from curation.schemas import TABLES

pytestmark = pytest.mark.usefixtures("mongo")


def load(name: str):
    import fiftyone as fo

    dataset = fo.load_dataset(name)
    dataset.reload()
    return dataset


def mask_ids(lake: Lake) -> list[int]:
    return [mask_id for (mask_id,) in lake.con.execute("SELECT mask_id FROM masks ORDER BY 1").fetchall()]


def written(summary: Summary) -> tuple[int, int, int]:
    return summary.n_masks_written, summary.n_removed, summary.n_problems


# -- what is written -------------------------------------------------------------------------


def test_fiftyone_reads_genuine_detections_whose_pixels_equal_the_source(workspace, name):
    import fiftyone as fo

    lake, run_id = workspace
    summary = sync(lake, Choice(), name)
    assert summary.n_chosen == 9
    assert written(summary) == (9, 0, 0)
    dataset = load(name)
    assert dataset.persistent
    assert len(dataset) == 3
    stored = {str(r["mask_id"]): r for r in lake.query("FROM masks").to_pylist()}
    for sample in dataset:
        assert sample.n_masks == 3
        assert sample.run_ids == [run_id]
        for detection in sample.masks.detections:
            assert type(detection) is fo.Detection
            row = stored.pop(detection.mask_id)
            assert str(row["image_id"]) == sample.image_id
            assert detection.confidence == row["predicted_iou"]
            assert detection.tags == [row["stage"]]
            segmentation = {"size": [row["height_px"], row["width_px"]], "counts": row["rle_counts"]}
            assert np.array_equal(whole(detection, sample), masks.decode(masks.parse(segmentation))[0])
    assert not stored


def test_every_field_of_a_mask_is_declared_for_the_sidebar(workspace, name):
    lake, _ = workspace
    sync(lake, Choice(), name)
    dataset = load(name)
    declared = dataset.get_field_schema(flat=True)
    assert all(f"masks.detections.{c.name}" in declared for c in syncing.ATTRIBUTES)
    assert dataset.get_dynamic_field_schema() == {}
    assert "masks.detections.mask_id" in dataset.get_index_information()


def test_verdicts_are_fields_and_tags_and_follow_a_changed_mind(workspace, name):
    lake, _ = workspace
    good, bad, unseen, *_ = mask_ids(lake)
    judge(lake, good, "accept", rating=9)
    judge(lake, bad, "reject", reasons=["merged"], verdict_id="first")
    sync(lake, Choice(), name)
    found = detections_by_id(load(name))
    assert (found[good].verdict, found[good].verdict_rating, found[good].n_raters) == ("accept", 9, 1)
    assert (found[bad].verdict, found[bad].verdict_reasons) == ("reject", ["merged"])
    assert found[unseen].verdict is None
    assert "verdict: reject" in found[bad].tags
    assert load(name).load_saved_view("to fix or reject").count("masks.detections") == 1

    load(name).select_labels(ids=found[bad].id).tag_labels("mine")
    judge(lake, bad, "accept", verdict_id="second", replaces="first")
    assert written(sync(lake, Choice(), name)) == (1, 0, 0)
    assert sorted(detections_by_id(load(name))[bad].tags) == ["fully_automatic", "mine", "verdict: accept"]
    assert sync(lake, Choice(where="verdict = 'accept'"), name).n_chosen == 2


def judge(lake: Lake, mask_id: int, decision: str, **changes) -> None:
    """One verdict on a mask of a sample."""
    (mask,) = lake.query(
        "SELECT mask_id, run_id, image_id FROM masks WHERE mask_id = ?", [mask_id]
    ).to_pylist()
    row = {
        **mask,
        "verdict_id": f"of {mask_id}",
        "sample": "test",
        "rater": "ann",
        "purpose": "review",
        "decision": decision,
        "reasons": [],
        "took_s": 1.5,
        "given_at": datetime.now(timezone.utc),
        "committed_at": datetime.now(timezone.utc),
    }
    lake.append({"verdicts": TABLES["verdicts"].table([row | changes])}, "a verdict")


def test_an_empty_mask_and_an_image_without_masks_are_there(mongo, tmp_path, name):
    blank, bare = np.zeros((1, 60, 80), bool), np.zeros((0, 60, 80), bool)
    pictures = {shown.paint(tmp_path / f"{n}.png", p): p for n, p in (("blank", blank), ("bare", bare))}
    with Lake.create(tmp_path / "workspace") as lake:
        shown.add_run(lake, pictures)
        assert written(sync(lake, Choice(), name)) == (1, 0, 0)
        assert written(sync(lake, Choice(), name)) == (0, 0, 0)
    assert sorted(load(name).values("n_masks")) == [0, 1]
    (detection,) = detections_by_id(load(name)).values()
    assert detection.mask is None
    assert detection.bounding_box == [0, 0, 0, 0]


def test_masks_of_two_runs_meet_on_one_sample(mongo, tmp_path, name):
    first, second = shown.shapes(1), shown.shapes(2)
    picture = shown.paint(tmp_path / "one.png", first)
    with Lake.create(tmp_path / "workspace") as lake:
        runs = [shown.add_run(lake, {picture: pixels}) for pixels in (first, second)]
        sync(lake, Choice(runs[0]), name)
        sync(lake, Choice(runs[1]), name)
        (sample,) = load(name)
        assert sample.run_ids == runs
        assert sample.n_masks == 6


def test_images_in_tars_and_of_formats_that_no_browser_shows_become_media(mongo, tmp_path, name):
    pixels = shown.shapes(0)
    picture = shown.paint(tmp_path / "a.png", pixels)
    PIL.Image.open(picture).save(tmp_path / "b.tif")
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        tar.add(picture, "a.png")
    uris = [f"{tmp_path / 'all.tar'}!a.png", str(tmp_path / "b.tif")]
    with Lake.create(tmp_path / "workspace") as lake:
        shown.add_run(lake, {tmp_path / "x": pixels, tmp_path / "y": pixels}, uris)
        assert written(sync(lake, Choice(), name)) == (6, 0, 0)
        for sample in load(name):
            assert sample.filepath.startswith(str(lake.root / "media"))
            with PIL.Image.open(sample.filepath) as copy, PIL.Image.open(picture) as original:
                assert np.array_equal(copy, original)


# -- again -----------------------------------------------------------------------------------


def test_a_second_sync_writes_nothing_and_a_third_only_what_changed(workspace, name):
    lake, run_id = workspace
    sync(lake, Choice(), name)
    before = load(name).values("last_modified_at")
    assert written(sync(lake, Choice(), name)) == (0, 0, 0)
    assert load(name).values("last_modified_at") == before
    changed = mask_ids(lake)[4]
    shown.add_gold_ious(lake, run_id, {changed: 0.25})
    third = sync(lake, Choice(), name)
    assert (third.n_new, third.n_changed, third.n_masks_written, third.n_images_written) == (0, 1, 1, 1)
    found = {i: d.gold_iou for i, d in detections_by_id(load(name)).items()}
    assert found == {i: 0.25 if i == changed else None for i in mask_ids(lake)}


def test_what_people_add_in_fiftyone_survives_a_change(workspace, name):
    lake, run_id = workspace
    sync(lake, Choice(), name)
    dataset = load(name)
    chosen = mask_ids(lake)[0]
    (label_id,) = (d.id for i, d in detections_by_id(dataset).items() if i == chosen)
    dataset.select_labels(ids=label_id).tag_labels("look")
    dataset.select_labels(ids=label_id).set_values("masks.detections.note", [["edge"]])
    shown.add_gold_ious(lake, run_id, {chosen: 0.5})
    assert sync(lake, Choice(), name).n_changed == 1
    detection = detections_by_id(load(name))[chosen]
    assert detection.id == label_id
    assert detection.gold_iou == 0.5
    assert sorted(detection.tags) == ["fully_automatic", "look"]
    assert detection.note == "edge"


def test_a_mask_deleted_in_fiftyone_comes_back(workspace, name):
    lake, _ = workspace
    sync(lake, Choice(), name)
    dataset = load(name)
    dataset.delete_labels(ids=[dataset.first().masks.detections[0].id])
    assert written(sync(lake, Choice(), name)) == (1, 0, 0)
    assert set(detections_by_id(load(name))) == set(mask_ids(lake))


def test_choices_gather_until_pruned(workspace, name):
    lake, _ = workspace
    ids = mask_ids(lake)
    sync(lake, Choice(where=f"mask_id = {ids[0]}"), name)
    second = sync(lake, Choice(where=f"mask_id = {ids[8]}"), name)
    assert second.n_stale == 1
    assert set(detections_by_id(load(name))) == {ids[0], ids[8]}
    assert sync(lake, Choice(where=f"mask_id = {ids[8]}"), name, prune=True).n_removed == 1
    assert set(detections_by_id(load(name))) == {ids[8]}
    assert len(load(name)) == 1


def test_a_superseded_mask_gives_way_to_its_correction(workspace, name):
    lake, _ = workspace
    sync(lake, Choice(), name)
    old = mask_ids(lake)[0]
    (path,) = lake.con.execute("SELECT uri FROM images ORDER BY image_number LIMIT 1").fetchone()
    correction = shown.add_run(lake, {shown.Path(path): shown.shapes(9, 1)}, supersedes=old)
    summary = sync(lake, Choice(), name, prune=True)
    assert (summary.n_new, summary.n_removed) == (1, 1)
    found = detections_by_id(load(name))
    assert old not in found
    assert correction in {d.run_id for d in found.values()}


# -- choosing --------------------------------------------------------------------------------


def test_where_sees_masks_features_gold_and_their_context(workspace, name):
    lake, run_id = workspace
    ids = mask_ids(lake)
    shown.add_gold_ious(lake, run_id, {ids[1]: 0.3, ids[2]: 0.8})
    where = "gold_iou < 0.5 AND solidity IS NULL AND file_name = '0.png' -- a comment"
    assert sync(lake, Choice(where=where), name).n_masks_written == 1
    assert set(detections_by_id(load(name))) == {ids[1]}


def test_a_report_chooses_the_masks_that_it_names(workspace, name):
    lake, run_id = workspace
    ids = mask_ids(lake)
    shown.add_gold_ious(lake, run_id, {ids[1]: 0.3, ids[2]: 0.95, ids[5]: 0.6})
    sync(lake, Choice(run_id, report="worst_masks"), name)
    assert set(detections_by_id(load(name))) == {ids[1], ids[5]}
    with pytest.raises(QueryError, match="names no masks"):
        sync(lake, Choice(report="problems"), name)


def test_nothing_chosen_writes_nothing(workspace, name):
    lake, _ = workspace
    summary = sync(lake, Choice(where="area_px < 0"), name)
    assert summary.n_chosen == 0
    assert written(summary) == (0, 0, 0)
    assert len(load(name)) == 0


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"where": "no_such_column = 1"}, "Columns: .*predicted_iou"),
        ({"where": "area_px <"}, "syntax error"),
        ({"where": "true); SELECT (1"}, "one SQL condition"),
        ({"run_id": 7}, "no such run; there are: 1"),
        ({"report": "no_such_report"}, "no report"),
        ({"where": "true", "report": "problems"}, "one of them"),
    ],
)
def test_a_bad_choice_says_what_is_allowed(workspace, name, choice, said):
    lake, _ = workspace
    with pytest.raises(QueryError, match=said):
        sync(lake, Choice(**choice), name)
    assert len(lake.query("FROM masks")) == 9


def test_a_dataset_of_someone_else_is_not_touched(workspace, name, tmp_path):
    import fiftyone as fo

    lake, _ = workspace
    sync(lake, Choice(), name)
    with Lake.create(tmp_path / "other") as other, pytest.raises(InputError, match="shows the workspace"):
        sync(other, Choice(), name)
    foreign = fo.Dataset(f"{name}-foreign")
    foreign.add_sample(fo.Sample("/no/such.png"))
    with pytest.raises(InputError, match="not made from a workspace"):
        sync(lake, Choice(), foreign.name)
    assert name in listing()["dataset"].to_pylist()
    assert foreign.name not in listing()["dataset"].to_pylist()


# -- problems --------------------------------------------------------------------------------


def test_a_missing_and_a_changed_picture_are_told_and_the_rest_is_written(workspace, name, tmp_path):
    lake, _ = workspace
    (tmp_path / "pictures" / "0.png").unlink()
    (tmp_path / "pictures" / "1.png").write_bytes(b"another picture")
    told = []
    summary = sync(lake, Choice(), name, on_problem=told.append)
    assert written(summary) == (3, 0, 2)
    assert len(load(name)) == 1
    assert sorted((p.source[-5:], p.kind) for p in told) == [("0.png", "image"), ("1.png", "image")]
    assert "15 bytes" in next(p.reason for p in told if p.source.endswith("1.png"))


def test_an_image_with_too_many_masks_keeps_the_largest_and_says_so(workspace, name, monkeypatch):
    lake, _ = workspace
    monkeypatch.setattr(syncing, "MAX_SAMPLE_BYTES", 2_000)
    told = []
    summary = sync(lake, Choice(), name, on_problem=told.append)
    assert summary.n_problems == 3
    assert {p.kind for p in told} == {"too_large"}
    assert summary.n_masks_written + sum(int(p.reason.split()[0]) for p in told) == 9
    for sample in load(name):
        kept = {d.area_px for d in sample.masks.detections}
        of_image = "SELECT area_px FROM masks WHERE image_id = ? ORDER BY 1 DESC"
        areas_px = [a for (a,) in lake.con.execute(of_image, [int(sample.image_id)]).fetchall()]
        assert kept == set(areas_px[: len(kept)])
    monkeypatch.undo()
    assert written(sync(lake, Choice(), name)) == (9 - summary.n_masks_written, 0, 0)


@pytest.mark.soak
def test_a_sample_near_the_limit_of_mongodb_is_written_and_renewed(mongo, tmp_path, name):
    """36 masks of noise pack into some 9 MB, so neither an update nor the sample may hold them twice."""
    noise = np.random.default_rng(0).random((36, 1200, 1600)) < 0.5
    picture = shown.paint(tmp_path / "noise.png", noise[:1])
    with Lake.create(tmp_path / "workspace") as lake:
        run_id = shown.add_run(lake, {picture: noise})
        assert written(sync(lake, Choice(), name)) == (36, 0, 0)
        shown.add_gold_ious(lake, run_id, dict.fromkeys(mask_ids(lake), 0.5))
        assert written(sync(lake, Choice(), name)) == (36, 0, 0)
    assert load(name).values("worst_gold_iou") == [0.5]


# -- at once ---------------------------------------------------------------------------------


def sync_where(root, where: str, name: str) -> None:
    with Lake.open(root, read_only=True) as lake:
        sync(lake, Choice(where=where), name)


def test_two_syncs_at_once_lose_nothing(workspace, name):
    lake, _ = workspace
    ids = mask_ids(lake)
    spawn = multiprocessing.get_context("spawn")
    conditions = [f"mask_id % 2 = {ids[0] % 2} OR mask_id = {ids[1]}", f"mask_id % 2 <> {ids[0] % 2}"]
    processes = [spawn.Process(target=sync_where, args=(lake.root, where, name)) for where in conditions]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [p.exitcode for p in processes] == [0, 0]
    dataset = load(name)
    assert set(detections_by_id(dataset)) == set(ids)
    assert dataset.values("n_masks") == [3, 3, 3]
    assert dataset.count("masks.detections") == 9


# -- views -----------------------------------------------------------------------------------


def test_saved_views_show_stages_and_the_worst_masks_first(workspace, name):
    lake, run_id = workspace
    ids = mask_ids(lake)
    shown.add_gold_ious(lake, run_id, {ids[0]: 0.8, ids[3]: 0.2, ids[6]: 0.95, ids[7]: 0.5})
    sync(lake, Choice(), name)
    dataset = load(name)
    assert dataset.load_saved_view("stage fully automatic").count("masks.detections") == 9
    images = dataset.load_saved_view("worst gold IoU")
    assert images.values("worst_gold_iou") == [0.2, 0.5, 0.8]
    patches = dataset.load_saved_view("worst gold IoU, mask by mask")
    assert patches.values("masks.mask_id") == [str(ids[n]) for n in (3, 7, 0)]
