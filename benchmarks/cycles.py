"""Three cycles of annotate, train, regenerate and compare, as commands: do the masks get better, and the work less?

The domain is one that SAM 2 Hiera-tiny finds hard, whole objects: rendered scenes in which every object has parts, of
which the gold has none, and, with `--photos`, photographs that people have segmented (BSDS500: NAME.jpg beside
NAME.mat). Each cycle has training images of its own; held-out images are
generated anew in every cycle, and no training ever sees them. The annotator is the gold: it leaves alone what the seeds'
routing accepts unseen (predicted IoU of 0.9 or more), judges the rest, corrects what is near a gold mask, and draws what
was missed, the largest first, up to a budget an image. Then the model is trained on what was accepted and drawn so far.

    python -m benchmarks.cycles WORKSPACE [--train-images 10] [--held-out 18] [--points-per-side 8] [--steps 100]

With these sizes it took 44 minutes on two busy cores (65 CPU minutes); `--train-images 2 --held-out 3 --points-per-side 4
--steps 4` some five. Stopped, it goes on where it was. Ends with a table and WORKSPACE/cycles.png: figures of the
held-out images, each with its 95 % interval (image as cluster), and the change since cycle 0, paired by image.
"""

import argparse
import json
import shlex
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import PIL.Image
from scipy.io import loadmat

from curation import queries
from curation.cli import app
from curation.engine import cycles
from curation.formats.sa1b import write_record
from curation.generation.scenes import write_scenes
from curation.lake import Lake
from curation.report import charts, figures
from curation.review import drawing, verdicts
from curation.review.drawing import DrawnMask
from curation.review.verdicts import Verdict

STAGE, RATER, N_CYCLES = "semi_automatic", "gold", 3
#: SAM 2's own thresholds let few parts of these pictures through (see `curation demo`).
SETTINGS = ("predicted_iou_threshold=0.7", "stability_threshold=0.9")
#: What the seeds' routing accepts without a person.
AUTO_ACCEPT = 0.9
#: From this IoU on the annotator leaves a mask as it is; from this one on it corrects it rather than rejects it.
GOOD_IOU, NEAR_IOU = 0.9, 0.5
#: The seeds' stage 2 has no masks under 100 px.
LEAST_PX = 100
#: Seconds: SAM's annotators took 34 for a mask at first and 14 with the model's help (section 4); a verdict about 3.
DRAW_S, CORRECT_S, JUDGE_S = 34.0, 14.0, 3.0
NAMESPACE = uuid.UUID("0b4f8a52-7d2c-4f0e-9d53-6d3d7a3f1c20")
FIRST_DAY = datetime(2026, 1, 5, 9, tzinfo=timezone.utc)
#: Figures of the held-out images: title, and whether more is better.
SHOWN = {
    "recall": ("Recall at 0.50 IoU", True),
    "precision": ("Precision at 0.50 IoU", True),
    "boundary_iou": ("Mean boundary IoU", True),
    "auto_accept_rate": ("Auto-accepted: predicted IoU over 0.9", True),
    "accepted_precision": ("Right among the auto-accepted", True),
    "calibration_error": ("Calibration error", False),
    "missed_per_image": ("Gold masks missed, an image", False),
    "to_mend_per_image": ("Left to draw or correct, an image", False),
}
PANELS = (
    "recall", "precision", "to_mend_per_image",
    "auto_accept_rate", "accepted_precision", "calibration_error",
)  # fmt: skip
PANEL_PX = 330
SUBTITLE = "Held-out images, never trained on; 95 % intervals, image as cluster"


@dataclass(frozen=True)
class Sizes:
    """How much of everything; `photos` counts those among the images of each part."""

    train_images: int
    held_out: int
    points_per_side: int
    steps: int
    budget: int
    photos: Path | None

    def n_photos(self, n_images: int) -> int:
        return n_images // 2 if self.photos else 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path, nargs="?", default=Path("cycles"))
    parser.add_argument("--train-images", type=int, default=10, help="images of each cycle")
    parser.add_argument("--held-out", type=int, default=18, help="images that are never trained on")
    parser.add_argument("--points-per-side", type=int, default=8)
    parser.add_argument("--steps", type=int, default=100, help="steps of each training at most")
    parser.add_argument("--budget", type=int, default=30, help="masks that people draw an image at most")
    parser.add_argument("--photos", type=Path, help="folder of photographs, NAME.jpg beside NAME.mat")
    given = parser.parse_args()
    sizes = Sizes(
        given.train_images, given.held_out, given.points_per_side, given.steps, given.budget, given.photos
    )
    started = time.monotonic()
    charts.check_installed()
    prepare(given.workspace, sizes)
    for cycle in range(N_CYCLES + 1):
        run_cycle(given.workspace, cycle, sizes)
    call(given.workspace, "cycle", "status")
    call(given.workspace, "stage", "status")
    tell(given.workspace, sizes)
    print(f"{(time.monotonic() - started) / 60:.1f} min")


def call(workspace: Path, *words: str) -> None:
    """Run a command as it is printed. Raises SystemExit where it met problems."""
    told = [*words, "--workspace", str(workspace)]
    print(f"$ curation {shlex.join(told)}", flush=True)
    command = _command_line()
    if command.main(told, prog_name="curation", standalone_mode=False):
        raise SystemExit(f"curation {words[0]} met problems; they are told above")


def _command_line():
    from typer.main import get_command

    return get_command(app)


# --------------------------------------------------------------------------------------------- pictures


def prepare(workspace: Path, sizes: Sizes) -> None:
    """Workspace, pictures and gold. What is there already stays."""
    with Lake.create(workspace):
        pass
    for part, (name, n_images) in enumerate(parts(sizes)):
        folder = workspace / "images" / name
        n_scenes = n_images - sizes.n_photos(n_images)
        print(f"{name}: {n_scenes} scenes, {n_images - n_scenes} photographs", flush=True)
        _draw_scenes(folder, n_scenes, seed=100 + part)
    folders = [str(workspace / "images" / name) for name, _ in parts(sizes)]
    call(workspace, "gold", "import", "sa1b", *folders, "--annotator", "renderer", "--from-scratch")
    if sizes.photos:
        _take_photos(workspace, sizes)
        words = ("--images", str(workspace / "images"), "--annotator", "people", "--from-scratch")
        call(workspace, "gold", "import", "label-png", str(workspace / "labels"), *words)


def parts(sizes: Sizes) -> list[tuple[str, int]]:
    trained = [(f"train-{cycle}", sizes.train_images) for cycle in range(N_CYCLES)]
    return [("held-out", sizes.held_out), *trained]


def _draw_scenes(folder: Path, n: int, seed: int) -> None:
    """Scenes whose records hold their whole objects alone."""
    write_scenes(folder, n, seed)
    for path in folder.glob("sa_*.json"):
        record = json.loads(path.read_bytes())
        wholes = [one for one in record["annotations"] if one["nesting"] == "whole"]
        write_record(path, record | {"annotations": wholes})


def _take_photos(workspace: Path, sizes: Sizes) -> None:
    """The next photographs of the folder for each part, with one person's segments as numbers a pixel."""
    waiting = iter(sorted(path for path in sizes.photos.glob("*.jpg") if path.with_suffix(".mat").exists()))
    for name, n_images in parts(sizes):
        for _ in range(sizes.n_photos(n_images)):
            path = next(waiting, None)
            if path is None:
                raise SystemExit(f"{sizes.photos}: too few photographs; give fewer images, or no --photos")
            labels = workspace / "labels" / f"{path.stem}.png"
            labels.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(_segments(path.with_suffix(".mat"))).save(labels)
            shutil.copyfile(path, workspace / "images" / name / path.name)


def _segments(path: Path) -> np.ndarray:
    """One number a pixel, uint16 (H, W): the person's whose number of segments is the median of all."""
    people = [person["Segmentation"][0, 0] for person in loadmat(path)["groundTruth"][0]]
    return sorted(people, key=lambda segments: segments.max())[len(people) // 2].astype(np.uint16)


# ----------------------------------------------------------------------------------------------- a cycle


def run_cycle(workspace: Path, cycle: int, sizes: Sizes) -> None:
    """One cycle; the one after the last training has held-out images alone."""
    is_last = cycle == N_CYCLES
    state = {one.cycle: one.state for one in _read(workspace, cycles.read) if one.stage == STAGE}.get(cycle)
    print(f"\n== cycle {cycle}{': what the last training brought' if is_last else ''}", flush=True)
    if state == "closed":
        print("it is closed already")
        return
    model = "sam2-tiny" if cycle == 0 else f"tuned-{cycle}"
    number = ("--stage", STAGE, "--cycle", str(cycle))
    if state != "open":
        call(workspace, "cycle", "open", *number, "--model", model)
    for name in ["held-out"] if is_last else ["held-out", f"train-{cycle}"]:
        generate(workspace, name, model, number, sizes)
    call(workspace, "gold", "match")
    if not is_last:
        annotate_and_train(workspace, cycle, model, sizes)
    call(workspace, "cycle", "close", *number)


def generate(workspace: Path, name: str, model: str, number: tuple[str, ...], sizes: Sizes) -> None:
    changes = [f"points_per_side={sizes.points_per_side}", *SETTINGS]
    words = [word for change in changes for word in ("--set", change)]
    images = str(workspace / "images" / name)
    call(workspace, "generate", images, "--model", model, "--preset", "sam2-default", *words, *number)


def annotate_and_train(workspace: Path, cycle: int, model: str, sizes: Sizes) -> None:
    """People work on the training images of the cycle; then the next model learns from all that they drew so far."""
    run_id = _read(workspace, lambda lake: _run_of(lake, cycle))
    routing = f"cycle-{cycle}"
    if routing not in _read(workspace, lambda lake: lake.query("FROM routings")["routing"].to_pylist()):
        call(
            workspace,
            "route",
            "--preset",
            "seeds",
            "--run",
            str(run_id),
            "--score",
            "predicted_iou",
            "--name",
            routing,
        )
    with Lake.open(workspace) as lake:
        annotate(lake, run_id, cycle, sizes.budget)
    words = ("--from", "accepted,corrected", "--routing", routing, "--steps", str(sizes.steps))
    call(workspace, "train", f"tuned-{cycle + 1}", "--model", model, *words)


def _run_of(lake: Lake, cycle: int) -> int:
    """The run of the training images of a cycle: the newest generation in it."""
    sql = "SELECT max(run_id) FROM runs WHERE kind = 'generate' AND stage = ? AND cycle = ?"
    return lake.con.execute(sql, [STAGE, cycle]).fetchone()[0]


def _read(workspace: Path, ask: Callable[[Lake], object]):
    with Lake.open(workspace, read_only=True) as lake:
        return ask(lake)


# ----------------------------------------------------------------------------------------- the annotator


def annotate(lake: Lake, run_id: int, cycle: int, budget: int) -> None:
    """Judge, correct and draw on every image of a run, as gold says; what was done before is not done again."""
    rows = lake.query(
        """
        SELECT
            matches.image_id,
            matches.mask_id,
            matches.gold_mask_id,
            coalesce(matches.matched_iou, 0) AS matched_iou,
            masks.predicted_iou,
            gold.area_px,
            gold.width_px,
            gold.height_px,
            gold.rle_counts
        FROM gold_matches AS matches
        LEFT JOIN masks ON masks.run_id = matches.run_id AND masks.mask_id = matches.mask_id
        LEFT JOIN gold_masks AS gold
            ON gold.run_id = matches.gold_run_id AND gold.gold_mask_id = matches.gold_mask_id
        WHERE matches.run_id = $run_id
        ORDER BY matches.image_id, gold.area_px DESC, matches.mask_id, matches.gold_mask_id
        """,
        {"run_id": run_id},
    ).to_pylist()
    by_image: dict[int, list[dict]] = {}
    for row in rows:
        by_image.setdefault(row["image_id"], []).append(row)
    clock = FIRST_DAY + timedelta(days=cycle)
    n_judged = n_drawn = 0
    for done, (image_id, of_image) in enumerate(by_image.items(), start=1):
        judged, drawn = _decided(of_image, budget)
        clock = _judge(lake, run_id, judged, clock)
        for row, took_s in drawn:
            clock += timedelta(seconds=took_s)
            drawing.save(lake, _drawn(run_id, image_id, row, took_s), clock)
        n_judged, n_drawn = n_judged + len(judged), n_drawn + len(drawn)
        print(
            f"annotator: {done} of {len(by_image)} images, {n_judged} masks judged, {n_drawn} drawn",
            flush=True,
        )


def _decided(rows: list[dict], budget: int) -> tuple[list[tuple[dict, str]], list[tuple[dict, float]]]:
    """Verdicts, and what is drawn with its seconds: corrections first, then what was missed, within the budget."""
    judged, corrected, added = [], [], []
    for row in rows:
        is_seen = row["mask_id"] is not None and (row["predicted_iou"] or 0) < AUTO_ACCEPT
        is_near = row["matched_iou"] >= NEAR_IOU
        if is_seen and row["matched_iou"] >= GOOD_IOU:
            judged.append((row, "accept"))
        elif is_seen and is_near:
            corrected.append((row, CORRECT_S))
        elif is_seen:
            judged.append((row, "reject"))
        if row["gold_mask_id"] is not None and not is_near and row["area_px"] >= LEAST_PX:
            added.append((row | {"mask_id": None}, DRAW_S))
    return judged, [*corrected, *added][:budget]


def _judge(lake: Lake, run_id: int, judged: list[tuple[dict, str]], clock: datetime) -> datetime:
    given = []
    for row, decision in judged:
        clock += timedelta(seconds=JUDGE_S)
        verdict_id = str(uuid.uuid5(NAMESPACE, f"{run_id} {row['mask_id']} {decision}"))
        given.append(
            Verdict(verdict_id, RATER, decision, mask_id=row["mask_id"], took_s=JUDGE_S, given_at=clock)
        )
    refused = verdicts.give(lake, given).refused
    if refused:
        raise SystemExit(f"a verdict was refused: {next(iter(refused.values()))}")
    return clock


def _drawn(run_id: int, image_id: int, row: dict, took_s: float) -> DrawnMask:
    what = f"{run_id} {image_id} {row['mask_id']} {row['gold_mask_id']}"
    return DrawnMask(
        drawn_id=str(uuid.uuid5(NAMESPACE, what)),
        rater=RATER,
        image_id=image_id,
        run_id=run_id,
        segmentation={"size": [row["height_px"], row["width_px"]], "counts": row["rle_counts"]},
        supersedes=row["mask_id"],
        tools=("polygon",),
        n_actions=1,
        took_s=took_s,
    )


# --------------------------------------------------------------------------------------------- outcome


def tell(workspace: Path, sizes: Sizes) -> None:
    """The table, what changed since cycle 0, and the figure."""
    with Lake.open(workspace, read_only=True) as lake:
        rows = queries.get("cycle_changes").run(lake, shared_only=True, against=0).to_pylist()
        work = manual_work(lake)
        by_figure = {name: [row for row in rows if row["figure"] == name] for name in SHOWN}
    print(
        f"\nHeld-out images, never trained on; 95 % intervals, image as cluster ({sizes.held_out} images)\n"
    )
    print("| figure | " + " | ".join(f"cycle {k}" for k in range(N_CYCLES + 1)) + " | change since cycle 0 |")
    print("| --- |" + " --- |" * (N_CYCLES + 2))
    for name, (title, _) in SHOWN.items():
        cells = [_told(row["estimate"], row["low"], row["high"]) for row in by_figure[name]]
        print(f"| {title} | {' | '.join(cells)} | {_change(name, by_figure[name][-1])} |")
    print("\nTraining images: what people did; each cycle has its own, so these are not the same work\n")
    for row in work:
        told = _told(row["e"]["mean"], row["e"]["low"], row["e"]["high"])
        print(
            f"cycle {row['cycle']}: {told} masks drawn or corrected an image ({row['e']['n_images']} images)"
        )
    path = workspace / "cycles.png"
    charts.save(chart(by_figure), path)
    print(f"\n{path}")


def manual_work(lake: Lake) -> list[dict]:
    """Masks that people drew an image of the training images, cycle by cycle: `cycle` and the interval `e`."""
    return lake.query(
        """
        WITH worked AS (
            SELECT runs.parent_run_id AS run_id, masks.image_id, count(*) AS n
            FROM masks INNER JOIN runs USING (run_id)
            WHERE runs.kind = 'correct'
            GROUP BY ALL
        )

        SELECT runs.cycle, mean_interval(ratio_sums(coalesce(worked.n, 0), 1)) AS e
        FROM images
        INNER JOIN runs USING (run_id)
        LEFT JOIN worked USING (run_id, image_id)
        WHERE runs.stage = $stage AND run_id IN (SELECT run_id FROM worked)
        GROUP BY runs.cycle
        ORDER BY runs.cycle
        """,
        {"stage": STAGE},
    ).to_pylist()


def chart(by_figure: dict[str, list[dict]]):
    """The course of the main figures over cycles, three beside each other."""
    panels = [_panel(_dots(by_figure[name]), *SHOWN[name]) for name in PANELS]
    alt = charts.altair()
    rows = [alt.hconcat(*panels[k : k + 3], spacing=36) for k in range(0, len(panels), 3)]
    head = alt.TitleParams(
        "Cycles of annotate, train, regenerate", subtitle=SUBTITLE, anchor="start", offset=16
    )
    return alt.vconcat(*rows, spacing=28, title=head, padding=18)


def _panel(dots: list[dict], title: str, is_better_up: bool):
    """A chart of `report.figures` inside a picture of several, which has the one padding for them all."""
    undefined = charts.altair().Undefined
    course = figures.course(dots, PANEL_PX, ",.2~f")
    course.padding = course.autosize = undefined
    better = "more" if is_better_up else "less"
    head = charts.altair().TitleParams(title, subtitle=f"{better} is better", frame="group", anchor="start")
    return course.properties(title=head)


def _dots(rows: list[dict]) -> list[dict]:
    return [
        {"label": f"cycle {row['cycle']}", "value": row["estimate"], "low": row["low"], "high": row["high"]}
        for row in rows
    ]


def _change(name: str, row: dict) -> str:
    """The change with its interval, and whether it tells anything."""
    told = _told(row["change"], row["change_low"], row["change_high"])
    if row["change_low"] is None or row["change_low"] <= 0 <= row["change_high"]:
        return f"{told}: cannot be told"
    return f"{told}: {'better' if (row['change'] > 0) == SHOWN[name][1] else 'worse'}"


def _told(value: float | None, low: float | None, high: float | None) -> str:
    """Three digits; what rounding alone leaves of a change counts as none."""
    if value is None:
        return "–"
    value, low, high = (None if v is None else round(v, 6) + 0.0 for v in (value, low, high))
    return f"{value:.3g}" if low is None else f"{value:.3g} [{low:.3g}, {high:.3g}]"


if __name__ == "__main__":
    main()
