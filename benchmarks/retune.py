"""Replaying the filters over a ledger, against segment-anything's own filters over the same rows.

    python -m benchmarks.retune [--images 1000] [--settings 8]

A synthetic ledger of 32 x 32 points (3,072 candidates an image, a third above the predicted IoU that was measured) lies in a
lake. `curation` reads it and replays every setting; the peer reads the same rows, and per image and setting applies
the thresholds, `is_box_near_crop_edge` and torchvision's `batched_nms`, as SamAutomaticMaskGenerator does after its
network. Both must keep the same candidates; ends with 1 where they do not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow as pa
import torch
from segment_anything.utils.amg import is_box_near_crop_edge
from torchvision.ops.boxes import batched_nms

from benchmarks.claims import Claim, tell
from curation import runs
from curation.generation import replay
from curation.generation.generator import Candidates
from curation.generation.grid import crops, layer_points
from curation.generation.ledger import Ledger
from curation.generation.presets import GenerationSettings
from curation.generation.work import candidate_columns
from curation.ids import image_id, mask_id
from curation.lake import Lake
from curation.masks import Runs
from curation.measures.stored import StoredImage
from curation.schemas import TABLES

WIDTH, HEIGHT = 1500, 1000
BASE = GenerationSettings(predicted_iou_threshold=0.7, stability_threshold=0.0)
IMAGES_AT_ONCE = 100


def random_ledger(rng: np.random.Generator) -> Ledger:
    """Boxes around their points, of sizes from 10 px to the whole image; several candidates show one thing."""
    ledger = Ledger.of(crops(HEIGHT, WIDTH, 0, 0.0), layer_points(BASE))
    n = len(ledger)
    things = rng.uniform(0, 1, (120, 4)) * [WIDTH, HEIGHT, WIDTH / 3, HEIGHT / 3] + [0, 0, 5, 5]
    thing = things[rng.integers(0, len(things), n)] * rng.normal(1, 0.03, (n, 4))
    x0, y0 = (
        np.clip(thing[:, 0] - thing[:, 2], 0, WIDTH - 2),
        np.clip(thing[:, 1] - thing[:, 3], 0, HEIGHT - 2),
    )
    x1, y1 = (
        np.clip(thing[:, 0] + thing[:, 2], x0 + 1, WIDTH - 1),
        np.clip(thing[:, 1] + thing[:, 3], y0 + 1, HEIGHT - 1),
    )
    made = rng.random(n) < 1 / 3
    ledger.predicted_iou[:] = np.where(made, rng.uniform(0.7001, 1, n), rng.uniform(0, 0.7, n))
    ledger.box_xyxy[made] = np.stack([x0, y0, x1, y1], axis=1).astype(np.int64)[made]
    widths = ledger.box_xyxy[:, 2:] - ledger.box_xyxy[:, :2] + 1
    ledger.area_px[made] = (0.7 * widths[:, 0] * widths[:, 1]).astype(np.int64)[made]
    ledger.stability_score[made] = rng.uniform(0.7, 1, n).astype(np.float32)[made]
    return ledger


def write_lake(root: Path, n_images: int) -> Lake:
    lake = Lake.create(root)
    settings = {name: getattr(BASE, name) for name in vars(BASE)}
    run_id = runs.start(
        lake, runs.RunSpec("generate", "synthetic", settings, "0" * 64, n_images, "fully_automatic", 0)
    ).run_id
    rng = np.random.default_rng(0)
    nothing = np.empty(0, np.int64)
    for first in range(0, n_images, IMAGES_AT_ONCE):
        images, candidates = [], []
        for number in range(first, min(first + IMAGES_AT_ONCE, n_images)):
            image = StoredImage(run_id, image_id(str(number)), number, str(number), WIDTH, HEIGHT)
            images.append({**vars(image), "file_name": str(number)})
            made = Candidates(
                random_ledger(rng), nothing, Runs.empty(HEIGHT, WIDTH), nothing, nothing, nothing
            )
            candidates.append(
                TABLES["candidates"].table(candidate_columns(run_id, mask_id(run_id, number, 0), image, made))
            )
        lake.append(
            {"images": TABLES["images"].table(images), "candidates": pa.concat_tables(candidates)},
            "synthetic",
        )
    runs.finish(lake, run_id)
    return lake


def ours(lake: Lake, settings: list[GenerationSettings]) -> list[list[int]]:
    run = replay.source_run(lake, 1)
    return [
        stored.replay(one).kept.tolist()
        for first in range(0, run.n_images, IMAGES_AT_ONCE)
        for stored in replay.ledgers(lake, run, first, first + IMAGES_AT_ONCE)
        for one in settings
    ]


def theirs(lake: Lake, settings: list[GenerationSettings], n_images: int) -> list[list[int]]:
    kept = []
    whole = [0, 0, WIDTH, HEIGHT]
    for number in range(n_images):
        first_id = mask_id(1, number, 0)
        rows = lake.query(
            "SELECT candidate_index, predicted_iou, stability_score, bbox_xywh FROM candidates "
            "WHERE run_id = 1 AND candidate_id >= $1 AND candidate_id < $2 AND area_px IS NOT NULL ORDER BY candidate_id",
            [first_id, first_id + (1 << 17)],
        )
        index = torch.tensor(rows["candidate_index"].to_numpy())
        predicted_iou = torch.tensor(rows["predicted_iou"].to_numpy())
        stability = torch.tensor(rows["stability_score"].to_numpy())
        boxes = torch.as_tensor(np.array(rows["bbox_xywh"].to_pylist(), np.int64))
        boxes[:, 2:] += boxes[:, :2] - 1
        for one in settings:
            keep = (predicted_iou > one.predicted_iou_threshold) & (stability >= one.stability_threshold)
            keep &= ~is_box_near_crop_edge(boxes, whole, whole)
            unique = batched_nms(
                boxes[keep].float(),
                predicted_iou[keep],
                torch.zeros(int(keep.sum())),
                iou_threshold=one.box_nms_threshold,
            )
            kept.append(sorted(index[keep][unique].tolist()))
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--settings", type=int, default=8, help="settings that are tried at once")
    arguments = parser.parse_args()
    thresholds = np.linspace(0.7, 0.95, arguments.settings)
    settings = [
        GenerationSettings(predicted_iou_threshold=float(t), stability_threshold=0.85) for t in thresholds
    ]
    with tempfile.TemporaryDirectory() as folder, write_lake(Path(folder) / "lake", arguments.images) as lake:
        ours(lake, settings[:1])  # compiles the kernels
        started = perf_counter()
        our_kept = ours(lake, settings)
        our_s = perf_counter() - started
        started = perf_counter()
        their_kept = theirs(lake, settings, arguments.images)
        their_s = perf_counter() - started
    identical = our_kept == their_kept
    print(
        f"{arguments.images:,} images, {3072 * arguments.images:,} candidates, {arguments.settings} settings; one process"
    )
    print(f"{'':18}{'seconds':>9}{'images/s a setting':>20}")
    for name, seconds in (("curation", our_s), ("official filters", their_s)):
        print(f"{name:18}{seconds:9.2f}{arguments.images * arguments.settings / seconds:20,.0f}")
    print(f"same candidates kept: {'yes' if identical else 'NO'}")
    tell(Claim("replaying thresholds over a ledger", "segment-anything's filters, same rows", our_s, their_s))
    return int(not identical)


if __name__ == "__main__":
    sys.exit(main())
