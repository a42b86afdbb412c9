"""Routes of a lake: which labels thresholds are chosen on, what is written, and what is refused."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from curation.cli import app, route_tables
from curation.errors import InputError, QueryError
from curation.lake import Lake
from curation.sampling import samples
from curation.sampling.frame import Scope
from curation.schemas import TABLES
from curation.verifier import learning, routed, routing, routing_labels
from curation.verifier.routing import Request
from tests.sampling.judged_lake import fill, judge

N_IMAGES, PER_IMAGE = 300, 4
GOOD_FROM = 0.75


def truth(lake: Lake) -> dict[int, bool]:
    """Whether a mask is good: by its predicted IoU."""
    rows = lake.query("SELECT mask_id, predicted_iou FROM masks").to_pylist()
    return {row["mask_id"]: row["predicted_iou"] >= GOOD_FROM for row in rows}


def sample(lake: Lake, name: str, design: str = "srs", size: int = 600, **options) -> None:
    """A sample that is judged rightly."""
    samples.draw(lake, samples.Request(name, design, size, **options))
    good = truth(lake)
    masks = lake.query("SELECT mask_id FROM samples WHERE sample = ?", [name])["mask_id"].to_pylist()
    judge(lake, name, {mask: ["accept" if good[mask] else "fix"] for mask in masks})


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    with Lake.create(tmp_path_factory.mktemp("routing") / "workspace") as lake:
        fill(lake, [PER_IMAGE] * N_IMAGES)
        sample(lake, "audit")
        yield lake


def routes(lake: Lake, name: str) -> dict[int, tuple]:
    rows = lake.query("SELECT mask_id, route, score FROM routes WHERE routing = ?", [name]).to_pylist()
    return {row["mask_id"]: (row["route"], row["score"]) for row in rows}


def test_every_mask_is_routed_and_the_promise_holds(judged):
    found = routing.route(judged, Request(name="first", score="predicted_iou", max_bad=0.05, routed_by="ann"))
    row, good, by_mask = found.row, truth(judged), routes(judged, "first")
    assert set(by_mask) == set(good)
    assert GOOD_FROM - 0.05 < row["accept_from"] < 0.85
    assert row["reject_below"] <= row["accept_from"]
    for route, score in by_mask.values():
        if score >= row["accept_from"]:
            assert route == "accept"
        else:
            assert route == ("reject" if score < row["reject_below"] else "review")
    accepted = [good[mask] for mask, (route, _) in by_mask.items() if route == "accept"]
    rejected = [good[mask] for mask, (route, _) in by_mask.items() if route == "reject"]
    assert np.mean(accepted) >= 0.95
    assert np.mean(rejected) <= 0.10
    assert found.n_masks == {
        "accept": len(accepted),
        "review": 1_200 - len(accepted) - len(rejected),
        "reject": len(rejected),
    }
    assert (row["n_calibration_masks"], row["routed_by"], row["more_reviews"]) == (600, "ann", None)
    assert row["bad_share"] <= row["bad_share_bound"] <= 0.05
    assert row["good_lost_share"] <= row["good_lost_bound"] <= 0.10
    assert "sample audit" in row["design"]


def test_these_masks_need_fewer_labels_than_images_like_these(judged):
    images = routing.route(judged, Request(name="images", score="predicted_iou"))
    frame = routing.route(judged, Request(name="frame", score="predicted_iou", population="frame"))
    exact = routing.route(judged, Request(name="exact", score="predicted_iou", is_exact=True))
    assert frame.n_masks["accept"] >= images.n_masks["accept"]
    assert images.n_masks["accept"] >= exact.n_masks["accept"]
    assert "mask as the unit" in frame.row["design"]


def test_without_labels_nothing_is_accepted(lake):
    fill(lake, [3, 2])
    found = routing.route(lake, Request())
    assert found.row["routing"] == "routing-1"
    assert found.row["accept_from"] is found.row["reject_below"] is None
    assert found.row["more_reviews"] == 149
    assert found.n_masks == {"accept": 0, "review": 5, "reject": 0}


def test_the_preset_of_the_seeds_is_fixed(judged):
    found = routing.route(judged, Request(name="seeds", score="predicted_iou", preset="seeds"))
    assert (found.row["accept_from"], found.row["reject_below"], found.row["max_bad"]) == (0.9, 0.7, None)
    assert found.row["bad_share"] == 0
    assert found.row["good_lost_share"] == 0
    assert 0 < found.row["bad_share_bound"] < 0.1
    by_mask = routes(judged, "seeds")
    assert {route for route, score in by_mask.values() if 0.7 <= score < 0.9} == {"review"}


def test_masks_without_a_score_are_reviewed(judged):
    score = "CASE WHEN area_px > 1000 THEN predicted_iou WHEN area_px = 300 THEN 'nan'::DOUBLE END"
    found = routing.route(judged, Request(name="partial", score=score, preset="seeds"))
    unscored = [route for route, score in routes(judged, "partial").values() if score is None]
    assert len(unscored) > 400
    assert set(unscored) == {"review"}
    assert any("without a held-out score" in text for text in found.left_out)


def test_labels_of_purpose_or_of_some_masks_are_left_out(lake):
    fill(lake, [4] * 20)
    sample(lake, "worst", "purposive", 20, by="worst", risk="1 - predicted_iou")
    sample(lake, "small", "srs", 10, scope=Scope(where="area_px < 1000"))
    score = routed.choose_score(lake, None, "predicted_iou")
    found = routing_labels.read(lake, score, None, "images")
    assert len(found.labelled) == 0
    assert len(found.left_out) == 2
    sample(lake, "all", "srs", 30)
    assert len(routing_labels.read(lake, score, None, "images").labelled) == 30


def test_unequal_chances_are_weighted(lake):
    """Ten times as many large masks are judged as they are frequent; the weights take that back."""
    fill(lake, [10] * 100)
    sample(lake, "strata", "stratified", 400, strata="area_px > 10000", allocation="equal")
    score = routed.choose_score(lake, None, "predicted_iou")
    labelled = routing_labels.read(lake, score, None, "images").labelled
    good = truth(lake)
    share = labelled.weight @ labelled.is_bad / labelled.weight.sum()
    assert share == pytest.approx(1 - np.mean(list(good.values())), abs=0.08)
    assert len(np.unique(labelled.weight)) == 2
    assert labelled.weight.mean() == pytest.approx(1, abs=0.01)


def test_corrected_masks_still_count_as_bad(lake):
    """A mask that was redrawn is out of use; without it only good ones would be left."""
    fill(lake, [5] * 10)
    sample(lake, "census", size=50)
    bad = [mask for mask, is_good in truth(lake).items() if not is_good]
    parent = lake.query("SELECT * FROM masks WHERE mask_id = ?", [bad[0]]).to_pylist()[0]
    redrawn = {**parent, "run_id": 2, "mask_id": 2**50, "supersedes": bad[0]}
    run = lake.query("SELECT * FROM runs").to_pylist()[0] | {
        "run_id": 2,
        "run_key": "2",
        "kind": "correct",
        "parent_run_id": 1,
    }
    lake.append({"masks": TABLES["masks"].table([redrawn]), "runs": TABLES["runs"].table([run])}, "corrected")
    found = routing.route(lake, Request(name="r", score="predicted_iou", preset="seeds"))
    assert found.row["n_calibration_masks"] == 50
    assert bad[0] not in routes(lake, "r")
    assert sum(found.n_masks.values()) == 49
    learned = learning.labelled(lake, Scope())
    assert len(learned.mask_id) == 50
    assert not learned.is_good[learned.mask_id == bad[0]].any()


def verify(lake: Lake, name: str, is_held_out: bool = True) -> None:
    lake.append(
        {
            "verifier_scores": TABLES["verifier_scores"].table(
                [
                    {**row, "verifier": name, "is_held_out": is_held_out}
                    for row in lake.query(
                        "SELECT run_id, mask_id, image_id, 0.2 + 0.8 * (predicted_iou - 0.6) / 0.4 AS score FROM masks"
                    ).to_pylist()
                ]
            )
        },
        "scores",
    )


def test_only_held_out_scores_of_a_verifier_are_trusted(lake):
    fill(lake, [4] * 200)
    sample(lake, "audit", size=500)
    verify(lake, "own", is_held_out=False)
    assert routing.route(lake, Request(name="own")).row["n_calibration_masks"] == 0
    verify(lake, "other")
    found = routing.route(lake, Request(name="other", verifier="other", max_bad=0.1))
    assert found.row["n_calibration_masks"] == 500
    assert (found.row["verifier"], found.row["score"]) == ("other", "verifier")
    assert found.n_masks["accept"] > 0


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"max_bad": 0}, InputError, "above 0 and below 1"),
        ({"confidence": 1.0}, InputError, "--confidence"),
        ({"preset": "mine"}, InputError, "seeds"),
        ({"name": "1st"}, InputError, "start with a letter"),
        ({"run_id": 7}, QueryError, "there are: 1"),
        ({"score": "no_such"}, QueryError, "--score"),
        ({"score": "file_name"}, QueryError, "--score"),
        ({"score": "1 - is_bad::INT"}, InputError, "only labelled masks have"),
        ({"score": "predicted_iou", "verifier": "v"}, InputError, "one of them"),
        ({"verifier": "v"}, InputError, "with scores are: none"),
        ({"population": "all"}, InputError, "images, frame"),
    ],
)
def test_what_does_not_fit_is_refused(judged, changes, error, message):
    with pytest.raises(error, match=message):
        routing.route(judged, Request(**changes))
    assert "routing-1" not in judged.query("SELECT routing FROM routings")["routing"].to_pylist()


def test_what_is_missing_is_told_with_as_many_digits_as_a_forecast_has(judged):
    row = routing.route(judged, Request(score="predicted_iou", max_bad=0.0001)).row
    told = " ".join(route_tables.of_promise(row | {"more_reviews": 75_163}))
    assert "About 75,000 more reviews" in told


def test_names_are_taken_once_and_an_empty_lake_is_refused(judged, lake):
    routing.route(judged, Request(name="taken", preset="seeds"))
    with pytest.raises(InputError, match="such a routing already"):
        routing.route(judged, Request(name="taken", preset="seeds"))
    with pytest.raises(InputError, match="has no masks"):
        routing.route(lake, Request())


def test_the_command_says_what_is_promised_and_ends_with_1_where_nothing_is(lake):
    fill(lake, [4] * 100)
    root, runner = ["--workspace", str(lake.root)], CliRunner()
    refused = runner.invoke(app, ["route", *root])
    assert refused.exit_code == 1
    assert "Cannot promise that yet" in refused.output
    assert "149" in refused.output
    sample(lake, "audit", size=300)
    promised = runner.invoke(
        app, ["route", *root, "--max-bad", "0.1", "--population", "frame", "--name", "r2"]
    )
    assert promised.exit_code == 0, promised.output
    assert "Promised with 95 %" in promised.output
    rows = runner.invoke(app, ["route", *root, "--preset", "seeds", "--format", "json"])
    first = json.loads(rows.stdout.splitlines()[0])
    assert (first["stage"], first["route"]) == ("all", "accept")
