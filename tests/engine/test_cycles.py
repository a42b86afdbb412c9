"""Cycles: opened and closed once, with figures that change from one to the next."""

from datetime import datetime, timedelta, timezone

import pytest
from gold_lake import write_run
from lakes import image_row, spec
from typer.testing import CliRunner

from curation import queries, runs
from curation.cli import app
from curation.engine import cycles
from curation.engine.cycles import Rates
from curation.errors import InputError
from curation.lake import Lake
from curation.schemas import TABLES

STAGE = "semi_automatic"
NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def add_run(
    lake: Lake, cycle: int, best: float, n_images: int = 12, gold: int | None = None
) -> tuple[int, int]:
    """A run of masks of which the last on each image is as good as `best` and a little more."""
    ious = {k: [0.95, 0.4, best + k / 100] for k in range(n_images)}
    return write_run(lake, ious, gold, stage=STAGE, cycle=cycle)


def judge(lake: Lake, run_id: int, took_s: list[float], gaps_s: list[float], rater: str = "ann") -> None:
    """Verdicts of one person on the first image; `gaps_s` before each."""
    image, at, rows = image_row(run_id, 0), NOON, []
    for k, (took, gap) in enumerate(zip(took_s, gaps_s, strict=True)):
        at += timedelta(seconds=gap)
        rows.append(
            {
                "verdict_id": f"{run_id} {rater} {k}", "mask_id": run_id << 47, "run_id": run_id,
                "image_id": image["image_id"], "rater": rater, "purpose": "image", "decision": "accept",
                "reasons": [], "took_s": took, "given_at": at, "committed_at": at,
            }
        )  # fmt: skip
    lake.append({"verdicts": TABLES["verdicts"].table(rows)}, "verdicts")


def test_cycles_count_from_0_and_each_is_opened_once(lake):
    assert cycles.open_cycle(lake, STAGE) == 0
    with pytest.raises(InputError, match="cycle 0 is open: close it first"):
        cycles.open_cycle(lake, STAGE)
    assert cycles.open_cycle(lake, "fully_automatic", 3) == 3  # another stage has cycles of its own
    add_run(lake, 0, 0.6)
    cycles.close_cycle(lake, STAGE)
    with pytest.raises(InputError, match="leave --cycle out for the next one, 1"):
        cycles.open_cycle(lake, STAGE, 0)
    assert cycles.open_cycle(lake, STAGE) == 1


def test_a_cycle_that_has_runs_already_can_be_opened_by_its_number(lake):
    add_run(lake, 4, 0.6)
    assert cycles.open_cycle(lake, STAGE, 4) == 4
    (cycle,) = cycles.read(lake)
    assert (cycle.state, cycle.run_ids) == ("open", (1,))


@pytest.mark.parametrize(
    ("stage", "cycle", "message"), [("third", None, "allowed are"), (STAGE, -1, "count from 0")]
)
def test_what_is_no_cycle_is_refused(lake, stage, cycle, message):
    with pytest.raises(InputError, match=message):
        cycles.open_cycle(lake, stage, cycle)


def test_only_an_open_cycle_with_finished_runs_is_closed(lake):
    with pytest.raises(InputError, match="no cycle is open: open one"):
        cycles.close_cycle(lake, STAGE)
    cycles.open_cycle(lake, STAGE)
    with pytest.raises(InputError, match="cycle 0 has no run"):
        cycles.close_cycle(lake, STAGE)
    run = runs.start(lake, spec(stage=STAGE, cycle=0))
    with pytest.raises(InputError, match=f"run {run.run_id} of cycle 0 is not finished"):
        cycles.close_cycle(lake, STAGE)
    runs.finish(lake, run.run_id)
    assert cycles.close_cycle(lake, STAGE).state == "closed"
    with pytest.raises(InputError, match=r"cycle 0 is open \(it is closed\)"):
        cycles.close_cycle(lake, STAGE, 0)


def test_figures_are_those_of_the_reports_with_the_change_since_the_cycle_before(lake):
    _, gold = add_run(lake, 0, 0.6)
    add_run(lake, 1, 0.8, gold=gold)
    cycles.open_cycle(lake, STAGE, 0)
    first = cycles.close_cycle(lake, STAGE)
    cycles.open_cycle(lake, STAGE, 1)
    second = cycles.close_cycle(lake, STAGE)
    assert first.figures["recall"]["change"] is None
    evolution = queries.get("stage_evolution").run(lake).to_pylist()
    for cycle, row in zip((first, second), evolution, strict=True):
        for figure, column in (("auto_accept_rate", "auto_accept_share"), ("recall", "recall"), ("boundary_iou", "boundary_iou"), ("precision", "precision"), ("masks_per_image", "masks_per_image"), ("manual_per_image", "manual_per_image")):  # fmt: skip
            bounds = (row[column], row[f"{column}_low"], row[f"{column}_high"])
            told = cycle.figures.get(figure) or {"estimate": None, "low": None, "high": None}
            assert (told["estimate"], told["low"], told["high"]) == pytest.approx(bounds), figure
    readiness = {
        row["criterion"]: row for row in queries.get("readiness").run(lake).to_pylist() if row["cycle"] == 1
    }
    for figure, criterion in (
        ("calibration_error", "calibration_error"),
        ("auto_accept_rate", "auto_accept_rate"),
    ):
        told = second.figures[figure]
        assert told["estimate"] == pytest.approx(readiness[criterion]["estimate"])
    gain, change = readiness["gain"], second.figures["mean_gold_iou"]
    assert (change["change"], change["change_low"], change["change_high"]) == pytest.approx(
        (gain["estimate"], gain["low"], gain["high"])
    )
    assert change["change"] == pytest.approx(0.2 / 3)
    assert change["n_paired_images"] == 12
    assert "image as cluster" in change["design"]


def test_pairing_narrows_the_change_on_the_same_images(lake):
    """Images differ a lot, and each gains the same: unpaired, the change would drown in the images' differences."""
    hard = {k: [0.1 + 0.04 * k] * 3 for k in range(12)}
    easier = {k: [iou + 0.05 for iou in ious] for k, ious in hard.items()}
    _, gold = write_run(lake, hard, stage=STAGE, cycle=0)
    write_run(lake, easier, gold, stage=STAGE, cycle=1)
    first, second = cycles.read(lake)
    change = second.figures["mean_gold_iou"]
    assert change["change"] == pytest.approx(0.05)
    width = first.figures["mean_gold_iou"]["high"] - first.figures["mean_gold_iou"]["low"]
    assert width > 0.1
    assert change["change_high"] - change["change_low"] < 0.001


def test_only_shared_images_can_be_compared(lake):
    _, gold = write_run(lake, {k: [0.9] for k in range(6)}, stage=STAGE, cycle=0)
    write_run(lake, {k: [0.9 if k < 6 else 0.1] for k in range(20)}, gold, stage=STAGE, cycle=1)
    rows = queries.get("cycle_changes").run(lake, shared_only=True).to_pylist()
    recall = {row["cycle"]: row for row in rows if row["figure"] == "mean_gold_iou"}
    assert (recall[1]["n_images"], recall[1]["change"]) == (6, pytest.approx(0))
    assert "every cycle read" in recall[1]["design"]


def test_hours_leave_pauses_out_and_cost_follows_the_rates(lake):
    run_id, _ = add_run(lake, 0, 0.6)
    cycles.open_cycle(lake, STAGE, 0)
    # The first counts the 10 s that it took, the next its gap; after the night 20 s; the mask that was left
    # open over lunch, at most a break.
    judge(lake, run_id, [10, 25, 20, 4000], [0, 30, 40_000, 5000])
    judge(lake, run_id, [8, 8], [0, 10], rater="bob")
    closed = cycles.close_cycle(lake, STAGE, rates=Rates(person_hour=36, machine_hour=0, currency="EUR"))
    seconds = 10 + 30 + 20 + 120 + 8 + 10
    assert closed.hours == pytest.approx(seconds / 3600)
    assert (closed.cost, closed.currency) == (pytest.approx(seconds / 100), "EUR")
    time = closed.figures["person_s_per_image"]
    assert (time["estimate"], time["n_images"], time["unit"]) == (
        pytest.approx(seconds / 12),
        12,
        "s an image",
    )
    assert time["high"] > time["estimate"]


def test_machine_hours_are_of_shards_and_of_models_trained_since(lake):
    run_id, _ = add_run(lake, 0, 0.6)
    cycles.open_cycle(lake, STAGE, 0)
    shard = {
        "run_id": run_id, "work": "measure", "shard": "0", "first_image": 0, "stop_image": 12, "n_images": 12,
        "n_masks": 36, "n_problems": 0, "took_s": 1800.0, "finished_at": NOON,
    }  # fmt: skip
    model = {
        "base_model": "b", "base_sha256": "0", "weights_sha256": "1", "path": "p", "masks_from": ["gold"],
        "n_train_images": 1, "n_train_masks": 1, "n_held_out_images": 0, "n_steps": 1, "settings": "{}",
        "versions": "{}", "snapshot_id": 1, "seed": 0, "took_s": 3600.0,
    }  # fmt: skip
    models = [
        {**model, "model": "before", "trained_at": NOON},
        {**model, "model": "since", "trained_at": datetime.now(timezone.utc)},
    ]
    lake.append(
        {"shards": TABLES["shards"].table([shard]), "trained_models": TABLES["trained_models"].table(models)},
        "work",
    )
    closed = cycles.close_cycle(lake, STAGE, rates=Rates(machine_hour=2))
    assert (closed.machine_hours, closed.cost) == (pytest.approx(1.5), pytest.approx(3))


def test_what_was_closed_stays_as_it_was(lake):
    run_id, gold = add_run(lake, 0, 0.6)
    cycles.open_cycle(lake, STAGE, 0)
    closed = cycles.close_cycle(lake, STAGE, note="done")
    write_run(lake, {k: [0.1] for k in range(12)}, gold, stage=STAGE, cycle=0, settings={"later": 1})
    (again,) = cycles.read(lake)
    assert again == closed
    assert (again.run_ids, again.note) == ((run_id,), "done")


def test_the_commands_tell_a_story(lake):
    def call(*words: str) -> str:
        result = CliRunner().invoke(app, [*words, "-w", str(lake.root)], env={"COLUMNS": "200"})
        assert result.exit_code == 0, result.output
        return result.output

    _, gold = add_run(lake, 0, 0.6)
    assert "cycle 0 is open" in call(
        "cycle", "open", "--stage", STAGE, "--cycle", "0", "--model", "sam2-tiny"
    )
    assert "cycle 0 is closed" in call("cycle", "close", "--stage", STAGE)
    assert "cycle 1 is open" in call("cycle", "open", "--stage", STAGE)
    add_run(lake, 1, 0.8, gold=gold)
    printed = call("cycle", "close", "--stage", STAGE, "--person-hour", "20")
    assert "mean_gold_iou" in printed
    assert "0.0667 [" in printed
    assert "state closed" in call("cycle", "status")
    rows = [line for line in call("cycle", "status", "--format", "csv").splitlines() if '"recall"' in line]
    assert len(rows) == 2
    assert "Ready to leave semi_automatic, cycle 1?" in call("stage", "status")


def test_an_empty_lake_has_no_cycles(lake):
    assert cycles.read(lake) == []
    assert CliRunner().invoke(app, ["cycle", "status", "-w", str(lake.root)]).exit_code == 0
