"""Replaying the ledger keeps what a real rerun keeps, and says so where it cannot know."""

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import PIL.Image
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from lakes import mask_rows
from networks import picture, small_sam
from typer.testing import CliRunner

from curation.cli import app
from curation.errors import InputError, LakeError
from curation.generation import replay, retune
from curation.lake import Lake
from curation.masks import areas, parse_strings
from curation.sampling import retuning
from curation.schemas import TABLES

BASE = {
    "points_per_side": "6",
    "predicted_iou_threshold": "0.5",
    "stability_threshold": "0.2",
    "stability_offset": "0.5",
    "crop_layers": "1",
    "crop_points_downscale": "2",
}
#: What a rerun and a retuning must agree on; unmade candidates have no measures in the rerun.
FATES = "candidate_index, image_id, predicted_iou, fate, duplicate_pass"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.pth"
    torch.save(small_sam(side=8).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number in range(3):
        PIL.Image.fromarray(picture(60 + 7 * number, 80, number)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("lake") / "workspace"
    Lake.create(root).close()
    return root


def cli(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.output + str(result.exception)
    return result.output


def generate(images: Path, checkpoint: Path, workspace: Path, *more: str, **changes: str) -> int:
    sets = [word for name, value in {**BASE, **changes}.items() for word in ("--set", f"{name}={value}")]
    cli("generate", str(images), "-w", str(workspace), "--model", str(checkpoint), *sets, *more)
    return newest_run(workspace)


def newest_run(workspace: Path) -> int:
    with Lake.open(workspace, read_only=True) as lake:
        return lake.query("SELECT max(run_id) AS run_id FROM runs")["run_id"][0].as_py()


@pytest.fixture(scope="module")
def loose_run(images, checkpoint, workspace) -> int:
    return generate(images, checkpoint, workspace, "--keep-rle", "above=0.3")


def rows(workspace: Path, run_id: int, table: str, columns: str) -> pa.Table:
    with Lake.open(workspace, read_only=True) as lake:
        return lake.query(f"SELECT {columns} FROM {table} WHERE run_id = {run_id} ORDER BY ALL")


def assert_same_run(workspace: Path, retuned: int, rerun: int) -> None:
    masks = "* EXCLUDE (run_id, mask_id)"
    assert rows(workspace, rerun, "masks", masks).num_rows > 0
    assert rows(workspace, retuned, "masks", masks) == rows(workspace, rerun, "masks", masks)
    assert rows(workspace, retuned, "candidates", FATES) == rows(workspace, rerun, "candidates", FATES)
    images = "* EXCLUDE (run_id)"
    assert rows(workspace, retuned, "images", images) == rows(workspace, rerun, "images", images)


@pytest.mark.parametrize(
    "changes",
    [
        {"predicted_iou_threshold": "0.6"},
        {"predicted_iou_threshold": "0.35"},
        {"stability_threshold": "0.5", "box_nms_threshold": "0.3"},
        {"crop_nms_threshold": "0.2", "min_area_px": "30", "max_area_share": "0.4"},
        {"min_region_px": "25", "predicted_iou_threshold": "0.4"},
    ],
    ids=lambda changes: ",".join(changes),
)
def test_applying_thresholds_gives_the_masks_of_a_real_rerun(
    images, checkpoint, workspace, loose_run, changes
):
    options = {
        "predicted_iou_threshold": "--predicted-iou",
        "stability_threshold": "--stability",
        "box_nms_threshold": "--nms",
        "crop_nms_threshold": "--crop-nms",
        "min_area_px": "--min-area",
        "max_area_share": "--max-area-share",
        "min_region_px": "--min-region",
    }
    words = [word for name, value in changes.items() for word in (options[name], value)]
    cli("retune", "-w", str(workspace), "--run", str(loose_run), *words, "--apply")
    retuned = newest_run(workspace)
    rerun = generate(images, checkpoint, workspace, **changes)
    assert retuned != rerun
    assert_same_run(workspace, retuned, rerun)
    curve = cli("retune", "-w", str(workspace), "--run", str(loose_run), *words, "--format", "csv")
    n_masks = rows(workspace, rerun, "masks", "mask_id").num_rows
    told = [line for line in curve.splitlines() if line[:1].isdigit()][1]  # after the run's own
    assert f",3,{n_masks}," in told


def test_a_retuned_run_names_its_source_and_keeps_embeddings(workspace, loose_run):
    cli("retune", "-w", str(workspace), "--run", str(loose_run), "--predicted-iou", "0.55", "--apply")
    retuned = newest_run(workspace)
    run = rows(workspace, retuned, "runs", "*").to_pylist()[0]
    source = rows(workspace, loose_run, "runs", "*").to_pylist()[0]
    assert (run["kind"], run["parent_run_id"]) == ("retune", loose_run)
    assert run["finished_at"] is not None
    for same in ("weights_sha256", "image_set_sha256", "stage", "cycle", "model"):
        assert run[same] == source[same]
    kept = rows(workspace, retuned, "masks", "mask_id - run_id * (1::BIGINT << 47) AS place")["place"]
    place = "mask_id - run_id * (1::BIGINT << 47) AS place, n_dims, embedding"
    mine, theirs = (rows(workspace, run_id, "mask_embeddings", place) for run_id in (retuned, loose_run))
    assert mine == theirs.filter(pc.is_in(theirs["place"], kept.combine_chunks()))
    assert mine.num_rows > 0


def test_applying_again_does_nothing(workspace, loose_run):
    words = ("retune", "-w", str(workspace), "--run", str(loose_run), "--stability", "0.45", "--apply")
    cli(*words)
    first = newest_run(workspace)
    before = rows(workspace, first, "masks", "*")
    assert "nothing to do" in cli(*words)
    assert newest_run(workspace) == first
    assert rows(workspace, first, "masks", "*") == before


def test_a_retuned_run_can_be_retuned(images, checkpoint, workspace, loose_run):
    cli(
        "retune",
        "-w",
        str(workspace),
        "--run",
        str(loose_run),
        "--predicted-iou",
        "0.7",
        "--min-region",
        "20",
        "--apply",
    )
    first = newest_run(workspace)
    cli(
        "retune",
        "-w",
        str(workspace),
        "--run",
        str(first),
        "--predicted-iou",
        "0.45",
        "--min-region",
        "0",
        "--apply",
    )
    rerun = generate(images, checkpoint, workspace, predicted_iou_threshold="0.45")
    assert_same_run(workspace, newest_run(workspace) - 1, rerun)


def test_sweep_has_a_row_a_setting_after_the_runs_own(workspace, loose_run, tmp_path):
    out = tmp_path / "curve.svg"
    printed = cli(
        "retune", "-w", str(workspace), "--run", str(loose_run), "--sweep", "predicted_iou=0.4:0.6:0.1",
        "--sweep", "nms=0.5,0.7", "--picture", str(out), "--format", "csv",
    )  # fmt: skip
    lines = [line for line in printed.splitlines() if line[:1].isdigit()]
    assert [line.split(",")[0] for line in lines] == ["0.5", "0.4", "0.4", "0.5", "0.5", "0.6", "0.6"]
    assert lines[0] == lines[4]  # the same setting gives the same row
    assert "predicted IoU threshold" in out.read_text()


def test_gold_figures_are_those_of_matching_the_rerun(images, checkpoint, workspace, loose_run):
    with Lake.open(workspace) as lake:
        gold_run = write_gold(lake, loose_run)
    strict = generate(images, checkpoint, workspace, predicted_iou_threshold="0.58")
    cli("gold", "match", "-w", str(workspace), "--run", str(strict), "--gold", str(gold_run))
    with Lake.open(workspace, read_only=True) as lake:
        source = replay.source_run(lake, loose_run)
        settings = replay.source_run(lake, strict).settings
        retuning = retune.prepare(lake, source, [settings], gold_run)
        curve = retuning.curve(lake, retuning.outcomes(lake, lambda n: None)).to_pylist()[0]
        figures = lake.query(
            """
            SELECT
                avg(gold_iou) FILTER (WHERE is_judged) AS mean_gold_iou,
                count(*) FILTER (WHERE gold_iou > 0.75 AND is_judged) / count(*) FILTER (WHERE is_judged) AS share_over_75,
                count(*) FILTER (WHERE matched_iou >= 0.5) / count(gold_mask_id) AS recall_50,
                count(*) FILTER (WHERE is_judged) AS n_judged
            FROM (SELECT *, mask_id IS NOT NULL AND coco_ignored & 1 = 0 AS is_judged FROM gold_matches)
            WHERE run_id = $1
            """,
            [strict],
        ).to_pylist()[0]
        (n_masks,) = lake.con.execute("SELECT count(*) FROM masks WHERE run_id = $1", [strict]).fetchone()
    assert figures["n_judged"] < n_masks  # some lie in the crowd
    assert source.keep_rle_above == 0.3
    assert {name: curve[name] for name in figures} == pytest.approx(figures)
    assert curve["unknown_share"] == 0


def write_gold(lake: Lake, run_id: int) -> int:
    """Every third mask of a run, as gold of the same images; the largest of an image is a crowd."""
    from lakes import spec

    from curation import runs

    gold = runs.start(
        lake, spec(kind="gold", stage=None, cycle=None, annotator="ann", is_anchored=False)
    ).run_id
    images = lake.query("SELECT * FROM images WHERE run_id = $1 ORDER BY image_number", [run_id]).to_pylist()
    gold_rows = []
    for image in images:
        sql = "SELECT rle_counts FROM masks WHERE run_id = $1 AND image_id = $2 ORDER BY mask_id"
        counts = lake.query(sql, [run_id, image["image_id"]])["rle_counts"]
        masks = parse_strings(counts, image["height_px"], image["width_px"])[::3]
        for row in mask_rows(gold, image["image_number"], image, masks):
            row["gold_mask_id"] = row.pop("mask_id")
            del row["stage"], row["cycle"]
            row["is_crowd"] = row["area_px"] == areas(masks).max()
            gold_rows.append({**row, "annotator": "ann", "is_anchored": False})
    lake.append(
        {
            "images": TABLES["images"].table([{**image, "run_id": gold} for image in images]),
            "gold_masks": TABLES["gold_masks"].table(gold_rows),
        },
        "gold",
    )
    runs.finish(lake, gold)
    return gold


def test_verdicts_are_weighted_and_speak_of_masks_that_the_run_kept(workspace, loose_run):
    with Lake.open(workspace) as lake:
        judge_all(lake, loose_run, "by chance", "pps")
        judge_all(
            lake, loose_run, "a proof", "purposive"
        )  # later; its chances are those among masks of a batch
        source = replay.source_run(lake, loose_run)
        settings = [replace(source.settings, predicted_iou_threshold=x) for x in (0.5, 0.45, 0.6)]
        cleaned = replace(source.settings, min_region_px=10)
        assert retuning.newest_sample(lake, loose_run) == "by chance"
        verdicts = retuning.verdicts(lake, loose_run, "by chance")
        plan = retune.prepare(lake, source, [*settings, cleaned], None, verdicts)
        own, looser, stricter, cleaned = plan.curve(lake, plan.outcomes(lake, lambda n: None)).to_pylist()
        # Bad masks were drawn with half the chance of good ones, so each of them stands for two.
        (truth,) = lake.query(
            """
            SELECT
                sum(weight) FILTER (WHERE is_good) / sum(weight) AS own,
                sum(weight) FILTER (WHERE is_good AND predicted_iou > 0.6)
                / sum(weight) FILTER (WHERE predicted_iou > 0.6) AS stricter
            FROM (SELECT *, mask_id % 2 = 0 AS is_good, if(mask_id % 2 = 0, 1, 2) AS weight FROM masks)
            WHERE run_id = $1
            """,
            [loose_run],
        ).to_pylist()
        with pytest.raises(InputError, match="drawn on purpose"):
            retuning.verdicts(lake, loose_run, "a proof")
    assert own["accept_share"] == pytest.approx(truth["own"])
    assert own["accept_share_low"] < own["accept_share"] < own["accept_share_high"]
    assert own["n_verdicts"] == own["n_masks"]
    assert own["new_share"] == 0
    assert looser["new_share"] > 0
    assert looser["n_verdicts"] < looser["n_masks"]
    assert stricter["accept_share"] == pytest.approx(truth["stricter"], abs=0.1)  # NMS may free others
    assert (cleaned["accept_share"], cleaned["n_verdicts"]) == (None, 0)  # other pixels than raters saw


def judge_all(lake: Lake, run_id: int, sample: str, design: str) -> None:
    """A sample of all masks of a run, good where the id is even and twice as likely drawn, judged by ann."""
    now = datetime.now(timezone.utc)
    masks = lake.query("SELECT mask_id, run_id, image_id FROM masks WHERE run_id = $1", [run_id]).to_pylist()
    of_frame = {"stratum": "all", "stratum_n_masks": len(masks), "stratum_n_images": 3, "image_n_masks": 1}
    samples, verdicts = [], []
    for position, mask in enumerate(masks):
        is_good = mask["mask_id"] % 2 == 0
        chances = dict.fromkeys(("inclusion_probability", "draw_probability"), 0.02 if is_good else 0.01)
        samples.append(
            {**mask, **of_frame, **chances, "sample": sample, "position": position, "n_draws": 1, "seed": 0}
            | {"design": design, "snapshot_id": 1, "drawn_at": now}
        )
        verdicts.append(
            {**mask, "verdict_id": f"{sample} {position}", "sample": sample, "rater": "ann", "took_s": 1}
            | {"purpose": "review", "decision": "accept" if is_good else "reject", "reasons": []}
            | {"given_at": now, "committed_at": now}
        )
    tables = {"samples": samples, "verdicts": verdicts}
    lake.append({name: TABLES[name].table(rows) for name, rows in tables.items()}, "a judged sample")


def test_a_threshold_below_the_ledger_says_what_to_do(workspace, loose_run):
    with Lake.open(workspace, read_only=True) as lake:
        run = replay.source_run(lake, loose_run)
        with pytest.raises(InputError, match=r"--keep-rle above=0\.1"):
            run.check(changed(run, predicted_iou_threshold=0.1))
        with pytest.raises(InputError, match="points_per_side"):
            run.check(changed(run, points_per_side=12))


def changed(run: replay.SourceRun, **changes: float):
    import dataclasses

    return dataclasses.replace(run.settings, **changes)


def test_masks_without_rle_are_refused_before_anything_is_written(images, checkpoint, workspace):
    """Without near misses kept, a looser NMS brings back duplicates that the ledger knows only by their box."""
    run = generate(images, checkpoint, workspace, predicted_iou_threshold="0.52")
    words = ["retune", "-w", str(workspace), "--run", str(run), "--nms", "1.0", "--crop-nms", "1.0"]
    assert CliRunner().invoke(app, words).exit_code == 0  # what would be kept is known all the same
    result = CliRunner().invoke(app, [*words, "--apply"])
    assert "--keep-rle" in str(result.exception)
    assert newest_run(workspace) == run


def test_only_a_finished_generation_can_be_retuned(workspace):
    with Lake.open(workspace, read_only=True) as lake, pytest.raises(LakeError, match="ledger"):
        replay.source_run(lake, 9999)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give another threshold"),
        (["--sweep", "colour=1,2"], "NAME of predicted_iou"),
        (["--sweep", "nms=0.9:0.1:0.1"], "FROM must not be above TO"),
        (["--sweep", "nms=a"], "nms=a"),
        (["--sweep", "nms=0:1:0.0001"], "at most"),
        (["--sweep", "nms=0.5,0.6", "--apply"], "without --sweep"),
        (["--nms", "0.5", "--picture", "x.png"], "--sweep"),
    ],
)
def test_a_wrong_option_says_what_is_allowed(workspace, loose_run, words, message):
    result = CliRunner().invoke(app, ["retune", "-w", str(workspace), "--run", str(loose_run), *words])
    assert message in str(result.exception)
