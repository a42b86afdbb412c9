"""A search from the lake to what is kept, and back."""

import json
import shutil
import uuid

import pytest

from curation import conditions
from curation.errors import InputError, QueryError
from curation.failures import clusters, tickets
from curation.failures.finding import Request, find
from curation.lake import Lake
from curation.review import opening, queue, verdicts
from curation.review.verdicts import Verdict
from curation.sampling.frame import Scope
from tests.failures.planted_lake import START, fill


@pytest.fixture(scope="module")
def searched(empty_workspace, tmp_path_factory):
    """A workspace with one search, and what it found."""
    root = tmp_path_factory.mktemp("searched") / "workspace"
    shutil.copytree(empty_workspace, root)
    with Lake.open(root) as lake:
        fill(lake, n_images=80)
        return root, find(lake, Request())


@pytest.fixture
def searched_lake(searched, tmp_path):
    shutil.copytree(searched[0], tmp_path / "searched")
    with Lake.open(tmp_path / "searched") as lake:
        yield lake


def of_rule(lake: Lake) -> dict:
    """The planted slice. A quantile of the size may stand for the band."""
    rows = clusters.newest(lake).to_pylist()
    return next(row for row in rows if row["kind"] == "slice" and "touches the border" in row["words"])


def held(lake: Lake, row: dict) -> tuple[list[int], int]:
    """Masks that the rule of a cluster holds for, and how many of them are bad."""
    conditions.create_view(lake.con, "described", "*")
    found = lake.query(f"SELECT mask_id, is_bad FROM described WHERE {row['rule']} ORDER BY mask_id")
    return found["mask_id"].to_pylist(), sum(one is True for one in found["is_bad"].to_pylist())


def test_what_was_planted_is_kept_with_its_figures_and_masks(searched, searched_lake):
    assert {row["kind"] for row in searched[1].clusters.to_pylist()} == {"slice", "embedding"}
    row = of_rule(searched_lake)
    assert row["words"] == "small (under 32² px), touches the border"
    assert row["rule"] == "(area_px < 1024) AND (n_borders_touched > 0)"
    mask_ids, n_bad = held(searched_lake, row)
    members = clusters.members(searched_lake, row["cluster"])
    assert members["mask_id"].to_pylist() == mask_ids
    assert row["n_masks"] == len(mask_ids)
    assert row["n_bad_low"] < n_bad < row["n_bad_high"]
    assert row["difference_low"] > 0
    assert row["failure_mode"] == "fine_grained"
    assert sum(json.loads(row["failure_mode_shares"]).values()) == pytest.approx(1, abs=0.01)
    assert members["x"].null_count == 0
    assert row["status"] == "found"


def test_the_search_says_what_it_did(searched):
    found = searched[1]
    told = json.loads(found.clusters["search"][0].as_py())
    assert told == found.told
    assert (told["n_masks"], told["n_images"], told["n_labelled_masks"]) == (1600, 80, 1600)
    assert told["n_examined"] > told["n_tested"] >= told["n_reported"] == found.clusters.num_rows
    assert any("gold: all 1,600 masks of 80 images" in words for words in told["design"])
    assert "noise to none" in told["embeddings"]


def test_clusters_keep_their_number_and_what_was_fixed_comes_back(searched_lake):
    before = {row["words"]: row["cluster"] for row in clusters.newest(searched_lake).to_pylist()}
    clusters.set_status(searched_lake, of_rule(searched_lake)["cluster"], "fixed", by="ann")
    again = find(searched_lake, Request(seed=3))
    assert again.search_id == 2
    known = [row for row in again.clusters.to_pylist() if row["cluster"] in before.values()]
    assert {row["kind"] for row in known} == {"slice", "embedding"}
    assert of_rule(searched_lake)["status"] == "came_back"


def test_what_people_threw_out_of_a_batch_does_not_come_back(searched_lake):
    row = of_rule(searched_lake)
    n_before = json.loads(row["search"])["n_masks"]
    members = clusters.members(searched_lake, row["cluster"]).to_pylist()
    opening.open_batch(searched_lake, opening.Request("mend", cluster=row["cluster"]))
    while tasks := queue.next_tasks(searched_lake, "ann", "mend", 100, purposes={"correct"}):
        given = [Verdict(str(uuid.uuid4()), "ann", "reject", task.task_id, given_at=START) for task in tasks]
        assert not verdicts.give(searched_lake, given).refused
    clusters.set_status(searched_lake, row["cluster"], "fixed", by="ann")
    again = find(searched_lake, Request())
    assert again.told["n_masks"] == n_before - len(members)
    assert f"{len(members):,} masks that people threw out of a batch are left out" in again.told["design"]
    assert clusters.one(searched_lake, row["cluster"])["status"] == "fixed"


def test_a_new_generation_fails_in_the_same_clusters(searched_lake):
    """Other masks on the same images: the rule is asked anew, and neighbours lie where they lay."""
    before = {row["kind"]: row["cluster"] for row in clusters.newest(searched_lake).to_pylist()}
    fill(searched_lake, n_images=80, run_id=2, seed=9)
    again = find(searched_lake, Request(Scope(2)))
    after = {row["kind"]: row["cluster"] for row in again.clusters.to_pylist()}
    assert after["slice"] == before["slice"]
    assert after["embedding"] == before["embedding"]
    members = clusters.members(searched_lake, after["slice"])
    assert set(members["run_id"].to_pylist()) == {2}


def test_more_of_a_cluster_is_drawn_with_known_chances(searched_lake):
    row = of_rule(searched_lake)
    drawn = tickets.draw(searched_lake, row["cluster"], "more", 30, drawn_by="ann")
    members = set(clusters.members(searched_lake, row["cluster"])["mask_id"].to_pylist())
    assert set(drawn["mask_id"].to_pylist()) <= members
    assert drawn["inclusion_probability"].to_pylist() == [30 / len(members)] * 30
    with pytest.raises(InputError, match="no such cluster"):
        tickets.draw(searched_lake, 77, "none", 5)


def test_without_embeddings_slices_are_found_and_it_is_said(lake):
    fill(lake, n_images=80, has_look=False)
    found = find(lake, Request())
    assert {row["kind"] for row in found.clusters.to_pylist()} == {"slice"}
    assert "slices only" in found.told["embeddings"]
    assert clusters.members(lake, 1)["x"].null_count == found.clusters["n_masks"][0].as_py()


def test_masks_without_labels_belong_too_and_the_design_says_so(lake):
    fill(lake, n_images=100, gold_images=70)
    found = find(lake, Request())
    row = of_rule(lake)
    told = found.told
    assert told["n_labelled_images"] == 70
    assert (
        "they speak for 70 % of the searched masks; the others are taken to be like these" in told["design"]
    )
    images = clusters.members(lake, row["cluster"])["image_id"].unique()
    assert len(images) > 70 * 0.5
    assert row["n_masks"] == len(held(lake, row)[0])


def test_an_own_attribute_and_an_own_word_of_what_is_bad(lake):
    fill(lake, n_images=60, has_look=False)
    request = Request(
        bad="area_px < 500 OR stability_score < 0.85",
        own={"half": "CASE WHEN predicted_iou < 0.8 THEN 'low' ELSE 'high' END"},
    )
    found = find(lake, request)
    words = " ".join(found.clusters["words"].to_pylist())
    assert "tiny" in words or "small" in words
    assert "low stability" in words
    assert found.told["design"][0].startswith("bad where area_px < 500")


def test_what_cannot_be_searched_is_said_with_what_to_do(lake):
    fill(lake, n_images=12, gold_images=0, has_look=False)
    with pytest.raises(InputError, match=r"of none of the 240 searched masks .* gold match.*sample draw"):
        find(lake, Request())
    with pytest.raises(InputError, match="all 240 labelled masks are good: there is nothing to look for"):
        find(lake, Request(bad="area_px < 0"))
    with pytest.raises(InputError, match=r"12 images have labelled masks, .* on about \d+ more images"):
        find(lake, Request(bad="area_px < 500"))
    with pytest.raises(InputError, match="--labels all-of-them: allowed are all, gold"):
        Request(labels="all-of-them")
    with pytest.raises(InputError, match="needs --verifier"):
        Request(labels="verifier")
    with pytest.raises(InputError, match="--verifier v1: it has scored nothing here; there are: none"):
        find(lake, Request(verifier="v1"))
    with pytest.raises(InputError, match="--attribute level: give it a name"):
        find(lake, Request(own={"level": "1"}))
    with pytest.raises(QueryError, match="--bad"):
        find(lake, Request(bad="no_such_column > 1"))
    assert clusters.newest(lake).num_rows == 0
