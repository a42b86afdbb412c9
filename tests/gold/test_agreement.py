"""Agreement with gold against brute force, against COCO's own evaluation, and against the reports."""

import contextlib
import io
import json
import math

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from typer.testing import CliRunner

from curation import queries
from curation.cli import app
from curation.errors import InputError, LakeError
from curation.gold import agreement as of_gold
from curation.lake import Lake
from curation.measures import work
from tests.gold import people

N_IMAGES = 8


@pytest.fixture(scope="module")
def drawn():
    """Gold, a model's masks and their scores, image by image."""
    gold = [people.rectangles(seed, 6 + seed) for seed in range(N_IMAGES)]
    masks = [people.shaken(one, 100 + seed) for seed, one in enumerate(gold)]
    rng = np.random.default_rng(9)
    return gold, masks, [rng.uniform(0.6, 1, len(one)).tolist() for one in masks]


@pytest.fixture(scope="module")
def matched(tmp_path_factory, drawn):
    """A lake with run 1 of a model, gold runs 2 (ann) and 3 (eve), all matched."""
    gold, masks, scores = drawn
    with Lake.create(tmp_path_factory.mktemp("agreement") / "workspace") as lake:
        run_id = people.add_run(lake, masks, scores=scores)
        golds = [
            people.add_run(lake, gold, "ann"),
            people.add_run(lake, [people.shaken(g, 7) for g in gold], "eve"),
        ]
        for gold_run_id in golds:
            people.match(lake, run_id, gold_run_id)
        for a, b in (golds, golds[::-1]):
            people.match(lake, a, b)
        work.measure(lake, work.measure_shards(lake, run_id))
        yield lake


def estimate(groups, name: str, **at) -> float:
    rows = of_gold.rows(groups).to_pylist()
    found = [r for r in rows if r["figure"] == name and all(r[key] == value for key, value in at.items())]
    assert len(found) == 1
    return found[0]["estimate"]


def test_the_figures_are_what_their_names_say(matched):
    rows = matched.query("FROM gold_matches WHERE run_id = 1 AND gold_run_id = 2").to_pylist()
    masks = [row for row in rows if row["mask_id"] is not None]
    gold = [row for row in rows if row["gold_mask_id"] is not None]
    groups = of_gold.agreement(matched, gold_run_id=2)
    assert len(groups) == 1
    assert estimate(groups, "mean_best_iou") == pytest.approx(np.mean([r["gold_iou"] for r in masks]))
    boundary = [r["gold_boundary_iou"] or 0 for r in masks]
    assert estimate(groups, "mean_boundary_iou") == pytest.approx(np.mean(boundary))
    for t in (0.5, 0.75, 0.9):
        n_right = sum((r["matched_iou"] or 0) >= t for r in masks)
        over = np.mean([r["gold_iou"] > t for r in masks])
        assert estimate(groups, "best_iou_over", iou_threshold=t) == pytest.approx(over)
        assert estimate(groups, "precision", iou_threshold=t) == pytest.approx(n_right / len(masks))
        assert estimate(groups, "recall", iou_threshold=t) == pytest.approx(n_right / len(gold))
        f1 = 2 * n_right / (len(masks) + len(gold))
        assert estimate(groups, "f1", iou_threshold=t) == pytest.approx(f1)
    missed = np.mean([r["mask_id"] is None for r in gold])
    assert estimate(groups, "error_kind", error_kind="miss") == pytest.approx(missed)
    for kind in ("none", "spill", "spurious"):
        share = np.mean([r["error_kind"] == kind for r in masks])
        assert estimate(groups, "error_kind", error_kind=kind) == pytest.approx(share)


def test_average_recall_is_that_of_coco(matched, drawn):
    gold, masks, scores = drawn

    def annotations(parts, scores=None):
        found = []
        for image, part in enumerate(parts):
            for k, mask in enumerate(part):
                rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
                one = {
                    "image_id": image,
                    "category_id": 1,
                    "id": len(found) + 1,
                    "segmentation": rle,
                    "iscrowd": 0,
                }
                one |= {"area": int(mask.sum()), "bbox": coco_mask.toBbox(rle).tolist()}
                found.append(one | ({"score": scores[image][k]} if scores else {}))
        return found

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        images = [{"id": k, "width": people.WIDTH_PX, "height": people.HEIGHT_PX} for k in range(N_IMAGES)]
        truth.dataset = {"images": images, "categories": [{"id": 1}], "annotations": annotations(gold)}
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(annotations(masks, scores)), "segm")
        evaluation.params.maxDets = [1, 10, 1000]
        evaluation.evaluate()
        evaluation.accumulate()
    groups = of_gold.agreement(matched, gold_run_id=2)
    for place, k in enumerate(evaluation.params.maxDets):
        theirs = evaluation.eval["recall"][:, 0, 0, place].mean()
        assert estimate(groups, "average_recall", max_masks=k) == pytest.approx(theirs)


def test_the_report_has_the_design_based_intervals(matched):
    ours = {
        (r["gold_run_id"], r["figure"], r["iou_threshold"], r["max_masks"]): r
        for r in of_gold.rows(of_gold.agreement(matched)).to_pylist()
        if r["figure"] != "error_kind"
    }
    rows = queries.get("gold_agreement").run(matched).to_pylist()
    assert len(rows) == len(ours) == 2 * 18
    for row in rows:
        one = ours[row["gold_run_id"], row["figure"], row["iou_threshold"], row["max_masks"]]
        for theirs, name in (("estimate", "estimate"), ("low", "design_low"), ("high", "design_high")):
            assert row[theirs] == pytest.approx(one[name], abs=2e-5)
        for name in ("n_images", "n_masks"):
            assert row[name] == one[name]
        assert row["effective_n"] == pytest.approx(one["effective_n"])


@pytest.mark.parametrize("by", ["size", "border", "crowdedness", "score", "level"])
def test_slices_are_those_of_the_report(matched, by):
    ours = {
        (r["slice"], r["figure"]): r
        for r in of_gold.rows(of_gold.agreement(matched, by, gold_run_id=2)).to_pylist()
        if r["iou_threshold"] in (None, 0.5) and r["max_masks"] in (None, 100)
    }
    rows = queries.get("gold_agreement_by_slice").run(matched, slice_by=by, gold_run_id=2).to_pylist()
    assert {name for name, _ in ours} == {row["slice"] for row in rows}
    for row in rows:
        for theirs, name in (("over_50", "best_iou_over"), ("recall", "recall"), ("f1", "f1")):
            one = ours.get((row["slice"], name), dict.fromkeys(("estimate", "design_low", "design_high")))
            for part, bound in (("", "estimate"), ("_low", "design_low"), ("_high", "design_high")):
                assert row[theirs + part] == pytest.approx(one[bound], abs=2e-5)
    assert ("f1" in {name for _, name in ours}) == (by in ("size", "border", "crowdedness"))
    ranked = {name: one["estimate"] for (name, figure), one in ours.items() if figure == "average_recall"}
    assert bool(ranked) == (by in ("size", "border", "crowdedness"))
    assert {row["slice"]: row["average_recall"] for row in rows} == pytest.approx(
        ranked or dict.fromkeys([row["slice"] for row in rows])
    )


def test_runs_of_one_stage_are_pooled_and_images_stay_the_clusters(matched):
    groups = of_gold.agreement(matched, "stage")
    assert [group.keys for group in groups] == [{"stage": "fully_automatic"}]
    assert groups[0].gold == "ann, eve, drawn from scratch"
    n_masks = matched.con.execute("SELECT count(mask_id) FROM gold_matches WHERE run_id = 1").fetchone()[0]
    assert groups[0].estimates.n_units[0] == n_masks
    assert groups[0].estimates.n_images[0] == N_IMAGES


def test_people_among_themselves_are_no_run_of_masks(matched):
    assert {group.keys["run_id"] for group in of_gold.agreement(matched)} == {1}
    assert {row["run_id"] for row in queries.get("error_kinds").run(matched).to_pylist()} == {1}


def test_matches_of_an_older_curation_have_no_average_recall(matched):
    with_ranks = of_gold.agreement(matched, gold_run_id=2)
    matched.con.execute("BEGIN")
    try:
        matched.con.execute("UPDATE gold_matches SET coco_found = NULL, error_kind = NULL")
        groups = of_gold.agreement(matched, gold_run_id=2)
    finally:
        matched.con.execute("ROLLBACK")
    names = {row["figure"] for row in of_gold.rows(groups).to_pylist()}
    assert "average_recall" not in names
    assert estimate(groups, "mean_best_iou") == estimate(with_ranks, "mean_best_iou")


def test_what_cannot_be_answered_says_what_to_do(lake, matched):
    with pytest.raises(LakeError, match=r"no mask is matched with gold.*gold match"):
        of_gold.agreement(lake)
    with pytest.raises(LakeError, match="no mask run 9 is matched"):
        of_gold.agreement(matched, run_id=9)
    with pytest.raises(InputError, match="--by colour: allowed are run, stage"):
        of_gold.agreement(matched, "colour")


def curation(lake, *words: str):
    return CliRunner().invoke(app, [*words, "--workspace", str(lake.root)])


def test_the_command_tells_figures_intervals_and_how_they_were_come_by(matched):
    alone = curation(matched, "gold", "agreement", "--gold", "2")
    assert alone.exit_code == 0
    for words in (
        "IoU over 0.90",
        "bootstrap",
        "deff",
        "Gold run 2: ann, drawn from scratch",
        "seed 0",
    ):
        assert words in alone.stdout
    sliced = curation(matched, "gold", "agreement", "--gold", "2", "--by", "score")
    assert "0.95 and more" in sliced.stdout
    rows = curation(matched, "gold", "agreement", "--gold", "2", "--format", "json")
    first = json.loads(rows.stdout.splitlines()[0])
    assert first["low"] < first["estimate"] < first["high"]
    assert math.isclose(first["n_masks"] / first["effective_n"], first["design_effect"])
