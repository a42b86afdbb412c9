"""The card: against people, single scores and earlier rounds; and the commands."""

from datetime import timedelta

import numpy as np
import pytest
from typer.testing import CliRunner
from verified_lake import START, fill, judge, score_rows

from curation.cli import app
from curation.errors import InputError
from curation.lake import Lake
from curation.report import verifier_card
from curation.schemas import TABLES
from curation.verifier import card, judged, scoring, stored


@pytest.fixture(scope="module")
def found(verified_workspace):
    """The card of that verifier."""
    with Lake.open(verified_workspace / "workspace", read_only=True) as lake:
        return card.card(lake, "v")


def figure(found, name, of="verifier", slice_by=None, slice_=None):
    rows = [
        row
        for row in found.rows.to_pylist()
        if (row["figure"], row["of"], row["slice_by"], row["slice"]) == (name, of, slice_by, slice_)
    ]
    return rows[0] if rows else None


def score_all(lake, run_id):
    return scoring.score(lake, "v", scoring.shards_to_score(lake, "v", run_id))


def test_it_beats_single_scores_on_held_out_images_and_says_by_how_much(found):
    auc = figure(found, "roc_auc")
    assert auc["n_images"] == 12
    assert auc["n_masks"] == 240
    for name in card.ALONE:
        alone, gain = figure(found, "roc_auc", name), figure(found, "roc_auc_gain", name)
        assert gain["estimate"] == pytest.approx(auc["estimate"] - alone["estimate"])
        assert gain["low"] > 0.05
    assert (
        figure(found, "spearman_gold_iou")["estimate"]
        > figure(found, "spearman_gold_iou", "predicted_iou")["estimate"]
    )
    assert "image as cluster" in auc["design"]


def test_slices_part_all_masks(found):
    for by in ("size", "border", "score", "stage", "label", "cycle", "image"):
        parts = [
            row for row in found.rows.to_pylist() if row["slice_by"] == by and row["figure"] == "roc_auc"
        ]
        assert sum(row["n_masks"] for row in parts) == 240, by
    assert {row["slice"] for row in found.rows.to_pylist() if row["slice_by"] == "border"} == {
        "touches the border",
        "inside",
    }


def test_it_tells_how_it_ages_from_cycle_to_cycle(learned):
    """In the later cycle its column tells nothing any more."""
    fill(learned, run_id=2, cycle=1, first_image=100)
    learned.con.execute("UPDATE mask_features SET solidity = hash(mask_id) % 100 / 100.0 WHERE run_id = 2")
    score_all(learned, 2)
    found = card.card(learned, "v")
    before = figure(found, "roc_auc", slice_by="cycle", slice_="fully_automatic, cycle 0")
    after = figure(found, "roc_auc", slice_by="cycle", slice_="fully_automatic, cycle 1")
    assert before["estimate"] > 0.8 > 0.65 > after["estimate"]
    assert figure(found, "ece", slice_by="image", slice_="new")["estimate"] > 0.15
    assert not any("How it ages" in note for note in found.notes)


def test_people_are_held_out_against_the_majority_of_the_others(lake):
    """Four masks, three raters; the verifier says good, good, bad, bad.

    Majorities of the two others exist where they agree. Mask 0 (+ + +): three pairs, all right, verifier right. Mask 1 (+ + −):
    only the third has a majority (good), he is wrong, the verifier right. Mask 2 (− − −): three pairs, all right. Mask 3 (+ + +):
    three pairs, people right, the verifier wrong. People 9 / 10, verifier 7 / 10.
    """
    fill(lake, n_images=2, n_masks=2, has_gold=False)
    rows = lake.query("SELECT run_id, mask_id, image_id FROM masks ORDER BY mask_id").to_pylist()
    ids = [row["mask_id"] for row in rows]
    words = {"+": "accept", "-": "reject"}
    said = ["+++", "++-", "---", "+++"]
    judge(lake, {m: {f"r{k}": words[c] for k, c in enumerate(of)} for m, of in zip(ids, said, strict=True)})
    scores = {tuple(row.values()): score for row, score in zip(rows, (0.9, 0.8, 0.2, 0.1), strict=True)}
    lake.append({"verifier_scores": TABLES["verifier_scores"].table(score_rows("v", scores))}, "scores")
    pairs = judged.held_out(judged.opinions(lake, "v"), least_others=2)
    assert len(pairs.mask_id) == 10
    assert (pairs.of_person == pairs.of_rest).sum() == 9
    assert ((pairs.score >= 0.5) == pairs.of_rest).sum() == 7
    assert len(judged.held_out(judged.opinions(lake, "v"), least_others=3).mask_id) == 0


def test_without_second_opinions_it_cannot_tell_how_good_a_person_is(learned):
    masks = learned.query("SELECT mask_id FROM masks ORDER BY mask_id LIMIT 60")["mask_id"].to_pylist()
    judge(learned, {m: {"ann": "accept" if k % 3 else "fix"} for k, m in enumerate(masks)}, rating=7)
    found = card.card(learned, "v")
    assert figure(found, "accuracy_settled")["n_masks"] == 60
    assert figure(found, "accuracy_held_out", "person") is None
    assert any("A person's own accuracy: cannot tell" in note for note in found.notes)
    assert figure(found, "roc_auc", slice_by="label", slice_="verdict")["n_masks"] == 60
    assert figure(found, "spearman_rating")["estimate"] is None  # all rated alike
    judge(learned, {m: {"bob": "accept"} for m in masks[:30]}, at=START + timedelta(days=1))
    held = figure(card.card(learned, "v"), "accuracy_held_out", "person")
    assert (held["n_masks"], "one other person" in held["design"]) == (30, True)


def test_verdicts_since_the_fit_stand_apart(learned):
    fitted_at = stored.get(learned, "v")["fitted_at"]
    masks = learned.query("SELECT mask_id FROM masks ORDER BY mask_id LIMIT 20")["mask_id"].to_pylist()
    judge(learned, {m: {"ann": "accept"} for m in masks[:5]}, at=fitted_at - timedelta(days=1))
    judge(learned, {m: {"ann": "fix"} for m in masks[5:]}, at=fitted_at + timedelta(days=1))
    found = card.card(learned, "v")
    since = figure(found, "good_share", slice_by="verdict", slice_="since the fit")
    assert (since["n_masks"], since["estimate"]) == (15, 0)
    assert figure(found, "good_share", slice_by="verdict", slice_="before the fit")["n_masks"] == 5


def test_masks_without_predicted_iou_are_left_out_of_that_comparison(learned):
    learned.con.execute("UPDATE masks SET predicted_iou = NULL WHERE mask_id % 2 = 0")
    found = card.card(learned, "v")
    assert figure(found, "roc_auc", "predicted_iou")["n_masks"] == 120
    assert figure(found, "roc_auc")["n_masks"] == 240
    assert any("120 of 240 masks have no predicted_iou" in note for note in found.notes)


def test_scoring_leaves_what_is_scored_and_resumes(learned):
    before = learned.query("SELECT * FROM verifier_scores ORDER BY mask_id")
    fill(learned, run_id=2, first_image=6, has_gold=False)
    assert score_all(learned, 1).n_masks == 0
    assert score_all(learned, 2).n_masks == 240
    assert scoring.shards_to_score(learned, "v", 2) == []
    after = learned.query("SELECT * FROM verifier_scores WHERE run_id = 1 ORDER BY mask_id")
    assert after.equals(before)
    # Six of the images taught the verifier, in another run: their masks are scored by the fold that left them out.
    model = stored.load(learned, "v")
    assert (
        len(
            np.intersect1d(
                model.images, learned.query("SELECT image_id FROM images WHERE run_id = 2")["image_id"]
            )
        )
        == 6
    )
    scores = learned.query("SELECT score FROM verifier_scores WHERE run_id = 2 ORDER BY mask_id")
    assert scoring.forget(learned, "v", 2) == 240
    assert score_all(learned, 2).n_masks == 240
    assert learned.query("SELECT score FROM verifier_scores WHERE run_id = 2 ORDER BY mask_id").equals(scores)


def test_a_card_of_nothing_says_what_to_do(learned):
    fill(learned, run_id=2, first_image=100, has_gold=False)
    with pytest.raises(
        InputError, match="scored no mask of run 2 that people or gold judged: `curation verifier score v`"
    ):
        card.card(learned, "v", 2)


def test_the_card_is_the_same_in_markdown_and_html(found):
    auc = verifier_card.told(figure(found, "roc_auc"))
    text, page = verifier_card.markdown(found), verifier_card.page(found)
    for part in (text, page):
        assert auc in part
        assert "Against single scores" in part
        assert "How it ages: cannot tell yet" in part
    assert page.count("<svg") == 3
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_the_commands_fit_score_show_and_list(learned, monkeypatch):
    monkeypatch.setenv("CURATION_WORKSPACE", str(learned.root))
    fill(learned, run_id=2, first_image=100, cycle=1, has_measures=False)
    learned.close()
    run = CliRunner().invoke
    told = run(app, ["verifier", "fit", "w", "--method", "line", "--run", "1"])
    assert told.exit_code == 0, told.output
    assert "learned from 240 masks of 12 images" in told.output
    told = run(app, ["verifier", "score", "w"])
    assert "run 2 has none of what w learned from: measures" in told.output.replace("\n", " ")
    assert "240 masks of 12 images scored" in told.output
    assert "240 scores dropped" in run(app, ["verifier", "score", "w", "--run", "2", "--anew"]).output
    shown = run(app, ["verifier", "card", "w"], env={"COLUMNS": "160"}).output
    assert "predicted IoU" in shown
    assert "From round to round" in shown
    file = learned.root / "card.md"
    assert run(app, ["verifier", "card", "w", "--out", str(file)]).exit_code == 0
    assert file.read_text().startswith("# Verifier w")
    listed = run(app, ["verifier", "list", "--format", "csv"]).output.splitlines()
    assert [line.split(",")[0] for line in listed[1:]] == ['"v"', '"w"']
