"""What people corrected shows in the place of what it corrects: in the App, on sheets and in exports."""

import json
from datetime import timedelta

import numpy as np
import pytest
from PIL import Image
from samples import HEIGHT, NOON, WIDTH, run_with_masks
from test_drawing import correction, square
from typer.testing import CliRunner

from curation import conditions, queries
from curation.browse import selection
from curation.cli import app
from curation.errors import InputError, QueryError
from curation.formats import sa1b_export
from curation.report import contact_sheet
from curation.review import drawing
from curation.schemas import TABLES


@pytest.fixture
def corrected(lake):
    """Rows of a run's masks, and the mask that stands for the first of them after two corrections."""
    run_id, rows = run_with_masks(lake, 2, 3)
    lake.con.execute(f"UPDATE masks SET predicted_iou = 0.5 + mask_index / 10 WHERE run_id = {run_id}")
    drawing.save(lake, correction(rows[0], "ann", square(0, 0, 20)), NOON)
    second = drawing.save(lake, correction(rows[0], "bob", square(0, 0, 25)), NOON)
    new = drawing.save(lake, correction(rows[0], "bob", square(50, 20, 10), supersedes=None), NOON)
    return rows, second.mask_id, new.mask_id


def chosen(lake, **choice) -> list[int]:
    selection.choose(lake, selection.Choice(**choice))
    return lake.query("SELECT mask_id FROM chosen ORDER BY mask_id")["mask_id"].to_pylist()


def test_a_run_is_browsed_with_its_corrections(lake, corrected):
    rows, last, new = corrected
    ids = [r["mask_id"] for r in rows[1:]]
    assert chosen(lake, run_id=rows[0]["run_id"]) == [*ids, last, new]
    assert chosen(lake) == [*ids, last, new]
    assert selection.lost_images(lake) == []
    shown = lake.query("SELECT DISTINCT file_name FROM chosen_images ORDER BY file_name")
    assert shown["file_name"].to_pylist() == ["0.jpg", "1.jpg"]


def test_a_correction_is_chosen_where_the_mask_that_it_corrects_would_be(lake, corrected):
    rows, last, _ = corrected
    assert chosen(lake, where="predicted_iou < 0.55") == [rows[3]["mask_id"], last]
    assert chosen(lake, where="area_px = 625") == [last]
    assert lake.query("SELECT DISTINCT file_name FROM chosen_images")["file_name"].to_pylist() == ["0.jpg"]
    assert chosen(lake, where="file_name = '0.jpg' AND area_px < 300") == [corrected[2]]


def test_an_export_holds_the_correction_instead(lake, corrected, tmp_path):
    rows, last, new = corrected
    n_masks = sa1b_export.export(lake, sa1b_export.choose_run(lake), tmp_path)
    assert n_masks == 7
    record = json.loads((tmp_path / "0.json").read_text())
    assert [a["id"] for a in record["annotations"]] == [rows[1]["mask_id"], rows[2]["mask_id"], last, new]
    assert record["annotations"][2]["area"] == 625
    assert len(json.loads((tmp_path / "1.json").read_text())["annotations"]) == 3


@pytest.mark.parametrize("where", ["area_px < 400", "verdict IS DISTINCT FROM 'accept' AND area_px >= 100"])
def test_an_export_may_leave_masks_out(lake, corrected, tmp_path, where):
    rows, last, new = corrected
    asked = ["--workspace", str(lake.root), "--where", where]
    assert CliRunner().invoke(app, ["export", "coco", str(tmp_path), *asked]).exit_code == 0
    told = json.loads((tmp_path / "instances.json").read_text())
    ids = {int(one["mask_id"]) for one in told["annotations"]}
    kept = {rows[1]["mask_id"], rows[2]["mask_id"], *(row["mask_id"] for row in rows[3:]), last, new}
    areas = dict(lake.con.execute("SELECT mask_id, area_px FROM masks").fetchall())
    assert ids == {m for m in kept if (areas[m] < 400 if where.startswith("area") else areas[m] >= 100)}
    assert [image["file_name"] for image in told["images"]] == ["0.jpg", "1.jpg"]


def test_a_condition_that_is_none_exports_nothing(lake, corrected, tmp_path):
    for where in ("area_px <", "nothing = 1"):
        chosen = sa1b_export.choose_run(lake, where=where)
        with pytest.raises(QueryError, match="--where"):
            sa1b_export.export(lake, chosen, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="gold"):
        sa1b_export.choose_run(lake, is_gold=True, where="area_px < 4")


def test_who_was_to_redraw_a_mask_says_what_it_is_where_no_review_did(lake):
    _, rows = run_with_masks(lake, 1, 3)
    said = [
        (0, "correct", "accept"),
        (1, "correct", "reject"),
        (2, "correct", "accept"),
        (2, "review", "reject"),
    ]
    verdicts = [
        {
            **{key: rows[k][key] for key in ("mask_id", "run_id", "image_id")},
            "verdict_id": str(place),
            "sample": purpose,
            "rater": "ann",
            "purpose": purpose,
            "decision": decision,
            "reasons": [],
            "took_s": 1.0,
            "given_at": NOON - timedelta(seconds=place),
            "committed_at": NOON - timedelta(seconds=place),
        }
        for place, (k, purpose, decision) in enumerate(said)
    ]
    lake.append({"verdicts": TABLES["verdicts"].table(verdicts)}, "said")
    conditions.create_view(lake.con, "seen", ["is_bad", "verdict"])
    seen = lake.query("SELECT is_bad, verdict FROM seen ORDER BY mask_id").to_pylist()
    assert [tuple(row.values()) for row in seen] == [(False, "accept"), (True, "reject"), (True, "reject")]


def test_the_newest_run_of_a_sheet_is_never_one_of_corrections(lake, corrected, tmp_path):
    rows, *_ = corrected
    for row in rows[:1]:
        Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(tmp_path / "0.jpg")
        assert row["run_id"] == 1
    sheet = contact_sheet.draw_sheet(lake, tmp_path / "sheet.png", 2)
    assert sheet.n_masks == 7


def test_reports_stay_as_they_are(lake):
    """Corrections are judgements about a run, and must not change what it made, nor stand beside it as a run."""
    _, rows = run_with_masks(lake, 2, 3)
    # These list all runs, current masks, or the people who correct and what they drew.
    told = {"run_provenance", "worst_masks", "review_throughput", "rater_quality", "rater_agreement"}
    told |= {"stage_evolution", "cycle_changes"}

    def found() -> dict[str, list[dict]]:
        reports = {name: report for name, report in queries.load().items() if name not in told}
        return {name: report.run(lake).to_pylist() for name, report in reports.items()}

    before = found()
    drawing.save(lake, correction(rows[0], "ann", square(0, 0, 20)), NOON)
    assert found() == before
