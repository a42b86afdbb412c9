"""Which masks are learned from, and which images never are."""

import numpy as np
import pytest
from school import gold_lake, judge, masks_run

from curation.errors import InputError, QueryError
from curation.ids import mask_id
from curation.lake import insert
from curation.schemas import TABLES
from curation.training import targets
from curation.training.request import Request


def mask_ids(found: targets.Targets) -> set[int]:
    return {int(mask) for image in found.images for mask in image.mask_ids}


def test_accepted_masks_are_those_that_people_settled_on(lake, tmp_path):
    run_id = masks_run(lake, tmp_path, 4)
    judge(lake, run_id, "accept", [0, 1, 2, 3])
    judge(lake, run_id, "reject", [0, 1, 2, 3], index=1)
    found = targets.read(lake, Request("student", masks_from=("accepted",)))
    assert mask_ids(found) == {mask_id(run_id, number, 0) for number in range(4)}
    assert not any(image.is_complete for image in found.images)


def test_a_routing_accepts_what_nobody_turned_down(lake, tmp_path):
    run_id = masks_run(lake, tmp_path, 2)
    judge(lake, run_id, "reject", [0])
    rows = lake.query(
        "SELECT run_id, mask_id, image_id, 'strict' AS routing, 'accept' AS route FROM masks"
    ).to_pylist()
    routing = {
        "routing": "strict",
        "score": "predicted_iou",
        "method": "seeds",
        "n_calibration_masks": 0,
        "n_calibration_images": 0,
        "settings": "{}",
        "snapshot_id": 0,
        "routed_at": lake.query("SELECT now() AS now").to_pylist()[0]["now"],
    }
    tables = {"routes": TABLES["routes"].table(rows), "routings": TABLES["routings"].table([routing])}
    lake.commit(lambda con: insert(con, tables), "routed")
    with pytest.raises(InputError, match="0 images"):
        targets.read(lake, Request("student", masks_from=("accepted",)))
    found = targets.read(lake, Request("student", masks_from=("accepted",), routing="strict"))
    assert mask_ids(found) == {mask_id(run_id, n, i) for n in range(2) for i in range(3)} - {
        mask_id(run_id, 0, 0)
    }
    with pytest.raises(QueryError, match="no such routing"):
        targets.read(lake, Request("student", routing="loose"))


def test_corrected_masks_are_learned_from_with_their_run(lake, tmp_path):
    parent = masks_run(lake, tmp_path, 3)
    corrected = masks_run(lake, tmp_path, 3, kind="correct", parent=parent)
    found = targets.read(lake, Request("student", masks_from=("corrected",), run_id=parent))
    assert mask_ids(found) == {mask_id(corrected, number, index) for number in range(3) for index in range(3)}
    judge(lake, corrected, "reject", [0, 1, 2])
    left = targets.read(lake, Request("student", masks_from=("corrected",)))
    assert len(mask_ids(left)) == 6


def test_a_condition_narrows_masks_and_image_ids_everything(taught, tmp_path):
    run_id = masks_run(taught, tmp_path, 4)
    judge(taught, run_id, "accept", [0, 1, 2, 3])
    largest = taught.query("SELECT max(area_px) AS a FROM masks WHERE mask_index = 0").to_pylist()[0]["a"]
    narrowed = targets.read(
        taught, Request("student", masks_from=("accepted",), where=f"area_px < {largest}")
    )
    assert len(narrowed.images) == 3
    two = tuple(image.image_id for image in targets.read(taught, Request("student")).images[:2])
    found = targets.read(taught, Request("student", image_ids=two))
    assert tuple(image.image_id for image in found.images) == two
    with pytest.raises(QueryError, match="--where"):
        targets.read(taught, Request("student", where="colour = 'red'"))


def test_held_out_images_are_judged_by_gold(lake, tmp_path):
    run_id = masks_run(lake, tmp_path, 4)
    judge(lake, run_id, "accept", [0, 1, 2, 3])
    gold_run_id = gold_lake(lake, tmp_path, 4)
    found = targets.read(lake, Request("student", masks_from=("accepted",), held_out_share=0.5))
    assert {mask_id(gold_run_id, 0, 0) >> 47} == {int(m) >> 47 for i in found.held_out for m in i.mask_ids}
    assert {run_id} == {int(mask) >> 47 for image in found.learned for mask in image.mask_ids}
    with pytest.raises(QueryError, match="--gold 1"):
        targets.read(lake, Request("student", gold_run_ids=(1,)))


def test_an_image_keeps_its_part_while_others_come_in():
    rng = np.random.default_rng(0)
    image_ids = [int(i) for i in rng.integers(0, 2**62, 400)]
    first, all_ = targets.held_out_ids(image_ids[:200], 0.2), targets.held_out_ids(image_ids, 0.2)
    assert first == all_ & set(image_ids[:200])
    assert 0.12 < len(all_) / 400 < 0.28


@pytest.mark.parametrize("share", [0.01, 0.5, 0.89])
def test_of_two_images_one_is_held_out(share):
    for seed in range(20):
        pair = [seed, seed + 1000]
        assert len(targets.held_out_ids(pair, share)) == 1


def test_no_masks_and_one_image_are_refused(lake, tmp_path):
    with pytest.raises(
        InputError, match="0 images with accepted or corrected or gold masks came; at least two"
    ):
        targets.read(lake, Request("student"))
    gold_lake(lake, tmp_path, 1)
    with pytest.raises(InputError, match=r"1 image with .* at least two"):
        targets.read(lake, Request("student"))


def test_a_bad_mask_goes_to_problems_once(taught):
    taught.commit(
        lambda con: con.execute("UPDATE gold_masks SET rle_counts = 'nonsense' WHERE mask_index = 1"), "rot"
    )
    found = targets.read(taught, Request("student"))
    assert len(found.problems) == 6
    assert len(mask_ids(found)) == 12
    targets.write_problems(taught, found.problems)
    targets.write_problems(taught, found.problems)
    rows = taught.query("SELECT work, kind FROM problems").to_pylist()
    assert rows == [{"work": "train", "kind": "rle"}] * 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "sam2-tiny"}, "another name"),
        ({"name": "two words"}, "starts with a letter"),
        ({"masks_from": ("rejected",)}, "allowed are accepted, corrected, gold"),
        ({"held_out_share": 1.0}, "0..1"),
        ({"n_steps": 0}, "above 0"),
    ],
)
def test_a_wrong_request_says_what_is_allowed(changes, message):
    with pytest.raises(InputError, match=message):
        Request(**({"name": "student"} | changes))
