"""Figures of a dataset by name, each with its interval, as the reports in `queries/` give them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from curation import queries
from curation.lake import Lake

# Without a choice, runs for which no newer one stands on all of their images.
RUNS_SQL = "SELECT DISTINCT run_id, stage, cycle FROM current_images"
RUN_SQL = "SELECT run_id, stage, cycle FROM runs WHERE run_id = $run_id AND kind <> 'gold'"


@dataclass(frozen=True)
class Measured:
    """One figure of one subject. `low` and `high` bound it at 95 %; None where nothing tells how far it varies."""

    subject: str
    estimate: float | None
    low: float | None
    high: float | None
    n_images: int

    @property
    def complement(self) -> "Measured":
        """The share of the others."""

        def other(share: float | None) -> float | None:
            return None if share is None else 1 - share

        return Measured(self.subject, other(self.estimate), other(self.high), other(self.low), self.n_images)


@dataclass(frozen=True)
class Selection:
    """Which run and gold run (None: every current run, all gold), and the IoU that a figure is asked at."""

    run_id: int | None = None
    gold_run_id: int | None = None
    iou: float | None = None


@dataclass(frozen=True)
class Figure:
    """`iou` is the default of figures that are asked at one, None for all others."""

    about: str
    read: Callable[[Lake, Selection], Iterator[Measured]]
    iou: float | None = None


def _agreement(name: str, lake: Lake, chosen: Selection) -> Iterator[Measured]:
    run_ids = {row["run_id"] for row in _runs(lake, chosen.run_id)}
    rows = queries.get("gold_agreement").run(lake, run_id=chosen.run_id, gold_run_id=chosen.gold_run_id)
    for row in rows.to_pylist():
        is_asked = row["figure"] == name and row["iou_threshold"] in (None, chosen.iou)
        if is_asked and row["run_id"] in run_ids:
            yield _measured(row, "estimate", f"run {row['run_id']}, gold run {row['gold_run_id']}")


def _bad_share(lake: Lake, chosen: Selection) -> Iterator[Measured]:
    for measured in _agreement("best_iou_over", lake, chosen):
        yield measured.complement


def _of_run(report: str, column: str, lake: Lake, chosen: Selection) -> Iterator[Measured]:
    run_ids = {row["run_id"] for row in _runs(lake, chosen.run_id)}
    for row in queries.get(report).run(lake, run_id=chosen.run_id).to_pylist():
        if row["run_id"] in run_ids:
            yield _measured(row, column, f"run {row['run_id']}")


def _covered_share(lake: Lake, chosen: Selection) -> Iterator[Measured]:
    run_ids = {row["run_id"] for row in _runs(lake, chosen.run_id)}
    for row in queries.get("coverage").run(lake, run_id=chosen.run_id).to_pylist():
        if row["figure"] == "mean_covered_share" and row["run_id"] in run_ids:
            yield _measured(row, "estimate", f"run {row['run_id']}")


def _near_duplicates(lake: Lake, chosen: Selection) -> Iterator[Measured]:
    run_ids = {row["run_id"] for row in _runs(lake, chosen.run_id)}
    report = queries.get("near_duplicates")
    for row in report.run(lake, run_id=chosen.run_id, iou_thresholds=[chosen.iou]).to_pylist():
        if row["run_id"] in run_ids:
            yield _measured(row, "extra_share", f"run {row['run_id']}")


def _accepted_share(lake: Lake, chosen: Selection) -> Iterator[Measured]:
    """Of samples of all masks of one run; what was drawn from some masks alone says nothing of a dataset."""
    for run in _runs(lake, chosen.run_id):
        for row in queries.get("quality_estimate").run(lake, run_id=run["run_id"]).to_pylist():
            if row["figure"] == "accept" and row["frame_where"] is None and row["estimate"] is not None:
                bounds = (row["images_low"], row["images_high"])
                yield Measured(
                    f"run {run['run_id']}, sample {row['sample']}", row["estimate"], *bounds, row["n_images"]
                )


def _problem_share(lake: Lake, chosen: Selection) -> Iterator[Measured]:
    """All inputs were tried: the share is known and has no interval but itself."""
    run_ids = {row["run_id"] for row in _runs(lake, chosen.run_id)}
    for row in queries.get("stage_summary").run(lake, run_id=chosen.run_id).to_pylist():
        if row["run_id"] in run_ids and row["n_planned_images"]:
            share = row["n_problems"] / row["n_planned_images"]
            yield Measured(f"run {row['run_id']}", share, share, share, row["n_planned_images"])


def _criterion(name: str, lake: Lake, chosen: Selection) -> Iterator[Measured]:
    stages = {(row["stage"], row["cycle"]) for row in _runs(lake, chosen.run_id)}
    for row in queries.get("readiness").run(lake, gold_run_id=chosen.gold_run_id).to_pylist():
        if row["criterion"] == name and (row["stage"], row["cycle"]) in stages:
            yield _measured(row, "estimate", f"{row['stage']}, cycle {row['cycle']}")


#: What a check can ask for. Figures of `readiness` are of a stage and cycle, all others of a run.
FIGURES: Mapping[str, Figure] = MappingProxyType(
    {
        "bad_share": Figure(
            "share of masks whose best IoU with gold is not above the threshold", _bad_share, 0.75
        ),
        "share_over": Figure(
            "share of masks whose best IoU with gold is above the threshold",
            partial(_agreement, "best_iou_over"),
            0.75,
        ),
        "mean_gold_iou": Figure("mean best IoU with gold", partial(_agreement, "mean_best_iou")),
        "precision": Figure(
            "share of masks with a gold partner, one to one", partial(_agreement, "precision"), 0.5
        ),
        "recall": Figure(
            "share of gold masks with a partner, one to one", partial(_agreement, "recall"), 0.5
        ),
        "accepted_share": Figure(
            "share of masks that people accept, from a sample of all masks drawn by chance", _accepted_share
        ),
        "small_object_recall": Figure(
            "the same of small gold masks, at 0.5 IoU", partial(_criterion, "small_object_recall")
        ),
        "calibration_error": Figure(
            "mean gap between predicted IoU and IoU with gold", partial(_criterion, "calibration_error")
        ),
        "auto_accept_rate": Figure(
            "share of masks that pass without a person", partial(_criterion, "auto_accept_rate")
        ),
        "label_diversity": Figure("evenness of the labels, 0..1", partial(_criterion, "label_diversity")),
        "masks_per_image": Figure("masks an image", partial(_of_run, "stage_summary", "masks_per_image")),
        "small_share": Figure(
            "share of masks under 32 x 32 px", partial(_of_run, "stage_summary", "small_share")
        ),
        "covered_share": Figure("share of the image under masks, mean over images", _covered_share),
        "near_duplicate_share": Figure(
            "share of masks that an earlier one repeats above the IoU", _near_duplicates, 0.9
        ),
        "problem_share": Figure("share of the inputs that could not be used", _problem_share),
    }
)


def _runs(lake: Lake, run_id: int | None) -> list[dict]:
    rows = lake.query(RUNS_SQL) if run_id is None else lake.query(RUN_SQL, {"run_id": run_id})
    return rows.to_pylist()


def _measured(row: dict, column: str, subject: str) -> Measured:
    bounds = ("low", "high") if column == "estimate" else (f"{column}_low", f"{column}_high")
    return Measured(subject, row[column], row[bounds[0]], row[bounds[1]], row["n_images"])
