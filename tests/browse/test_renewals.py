"""New values of masks that FiftyOne holds already: set where they lie, with no mask encoded again."""

from datetime import datetime, timezone

import pytest
import shown
from fiftyone_reading import detections_by_id

from curation.browse import documents
from curation.browse.selection import Choice
from curation.browse.sync import plan, sync, write
from curation.lake import Lake
from curation.schemas import TABLES

pytestmark = pytest.mark.usefixtures("mongo")


@pytest.fixture
def never_encoded(monkeypatch):
    """Call it, and from then on a mask that is encoded fails the test."""

    def fail(*_):
        raise AssertionError("a mask was encoded again")

    return lambda: monkeypatch.setattr(documents, "detections", fail)


def load(name: str):
    import fiftyone as fo

    dataset = fo.load_dataset(name)
    dataset.reload()
    return dataset


def score(lake: Lake, verifier: str, scores: dict[int, float]) -> None:
    """Scores (mask_id -> score) of a verifier fitted now."""
    fitted = {
        **dict.fromkeys(("n_masks", "n_images"), 9),
        **dict.fromkeys(("n_bad", "snapshot_id", "seed"), 0),
        **dict.fromkeys(("settings", "versions"), "{}"),
        "verifier": verifier,
        "method": "gradient_boosting",
        "columns": ["predicted_iou"],
        "fitted_at": datetime.now(timezone.utc),
    }
    masks = lake.query("SELECT run_id, mask_id, image_id FROM masks").to_pylist()
    rows = [
        {**mask, "verifier": verifier, "score": scores[mask["mask_id"]], "is_held_out": True}
        for mask in masks
        if mask["mask_id"] in scores
    ]
    tables = {"verifiers": [fitted], "verifier_scores": rows}
    lake.append({name: TABLES[name].table(some) for name, some in tables.items()}, "scores")


def mask_ids(lake: Lake) -> list[int]:
    return lake.query("SELECT mask_id FROM masks ORDER BY mask_id")["mask_id"].to_pylist()


def pixels(name: str) -> dict[int, bytes]:
    return {i: d.mask.tobytes() for i, d in detections_by_id(load(name)).items()}


def test_a_number_that_changes_on_every_mask_is_all_that_is_written(workspace, name, never_encoded):
    lake, _ = workspace
    ids = mask_ids(lake)
    sync(lake, Choice(), name)
    before = pixels(name)
    load(name).select_labels(ids=[detections_by_id(load(name))[ids[0]].id]).tag_labels("mine")
    never_encoded()
    for verifier in ("first", "second"):
        scores = {i: (n + len(verifier)) / 32 for n, i in enumerate(ids)}
        score(lake, verifier, scores)
        done = sync(lake, Choice(), name)
        assert (done.n_changed, done.n_masks_written, done.n_images_written) == (9, 9, 3)
        found = detections_by_id(load(name))
        assert {i: d.verifier_score for i, d in found.items()} == scores
        assert sync(lake, Choice(), name).n_changed == 0
    assert pixels(name) == before
    assert sorted(found[ids[0]].tags) == ["fully_automatic", "mine"]


def test_one_mask_that_changes_is_the_only_one_written(workspace, name, never_encoded):
    lake, run_id = workspace
    first, second, *_ = mask_ids(lake)
    sync(lake, Choice(), name)
    never_encoded()
    score(lake, "one", {first: 0.25})
    assert sync(lake, Choice(), name).n_masks_written == 1
    shown.add_gold_ious(lake, run_id, {second: 0.5})
    assert sync(lake, Choice(), name).n_masks_written == 1
    found = detections_by_id(load(name))
    assert (found[first].verifier_score, found[second].gold_iou) == (0.25, 0.5)
    assert load(name).count_values("worst_gold_iou") == {0.5: 1, None: 2}


def test_labels_that_people_drew_or_deleted_move_no_number_to_another_mask(workspace, name):
    import fiftyone as fo

    lake, _ = workspace
    ids = mask_ids(lake)
    sync(lake, Choice(), name)
    sample = load(name).first()
    sample.masks.detections.insert(1, fo.Detection(label="mine", bounding_box=[0, 0, 0.5, 0.5]))
    sample.save()
    score(lake, "first", {i: n / 16 for n, i in enumerate(ids)})
    todo = plan(lake, Choice(), name)
    # between reading and writing, the places of all masks behind it change
    load(name).delete_labels(ids=[load(name).first().masks.detections[0].id])
    write(lake, todo)
    found = {d.mask_id: d for s in load(name) for d in s.masks.detections if d.label != "mine"}
    assert len(found) == 8
    assert all(found[str(i)].verifier_score == n / 16 for n, i in enumerate(ids) if str(i) in found)
    assert load(name).first().masks.detections[0].label == "mine"
    assert not load(name).first().masks.detections[0].has_field("verifier_score")
    assert sync(lake, Choice(), name).n_new == 1
    found = {d.mask_id: d for s in load(name) for d in s.masks.detections if d.label != "mine"}
    assert {int(i): d.verifier_score for i, d in found.items()} == {i: n / 16 for n, i in enumerate(ids)}


def test_a_verdict_changes_tags_and_encodes_nothing(workspace, name, never_encoded):
    lake, _ = workspace
    first, *_ = mask_ids(lake)
    sync(lake, Choice(), name)
    (mask,) = lake.query("SELECT mask_id, run_id, image_id FROM masks WHERE mask_id = ?", [first]).to_pylist()
    now = datetime.now(timezone.utc)
    verdict = {**mask, "verdict_id": "one", "sample": "test", "rater": "ann", "purpose": "review"}
    verdict |= {"decision": "fix", "reasons": [], "took_s": 1.5, "given_at": now, "committed_at": now}
    lake.append({"verdicts": TABLES["verdicts"].table([verdict])}, "a verdict")
    never_encoded()
    assert sync(lake, Choice(), name).n_masks_written == 1
    found = detections_by_id(load(name))[first]
    assert (found.verdict, found.is_bad) == ("fix", True)
    assert sorted(found.tags) == ["fully_automatic", "verdict: fix"]
