"""Small lakes with a drawn sample, and masks drawn on them, for the tests of the review."""

from datetime import datetime, timedelta, timezone
from uuid import uuid4

import numpy as np
from lakes import image_row, mask_rows, spec

from curation import masks, runs
from curation.lake import Lake
from curation.review.drawing import DrawnMask
from curation.review.verdicts import Verdict
from curation.schemas import TABLES

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
HEIGHT, WIDTH = 60, 80


def run_with_masks(lake: Lake, n_images: int, n_masks: int, side_px: int = 30) -> tuple[int, list[dict]]:
    """A run whose images have `n_masks` squares each, side `side_px`; its number and rows of masks."""
    run = runs.start(lake, spec(settings={"n": str(uuid4())}, n_images=n_images))
    pixels = np.zeros((n_masks, HEIGHT, WIDTH), np.uint8)
    for k in range(n_masks):
        pixels[k, k % 20 : k % 20 + side_px, k // 20 : k // 20 + side_px] = 1
    squares = masks.encode(pixels)
    images = [image_row(run.run_id, k, f"/{run.run_id}/{k}.jpg", WIDTH, HEIGHT) for k in range(n_images)]
    rows = [row for image in images for row in mask_rows(run.run_id, image["image_number"], image, squares)]
    tables = {"images": TABLES["images"].table(images), "masks": TABLES["masks"].table(rows)}
    lake.append(tables, "masks")
    runs.finish(lake, run.run_id)
    return run.run_id, rows


def sample_rows(name: str, rows: list[dict], seed: int = 7) -> list[dict]:
    order = np.random.default_rng(seed).permutation(len(rows)).tolist()
    return [
        {
            "sample": name,
            "position": position,
            **{key: rows[k][key] for key in ("mask_id", "run_id", "image_id")},
            "design": "srs",
            "stratum": "all",
            "stratum_n_masks": len(rows),
            "stratum_n_images": 1,
            "image_n_masks": 1,
            "inclusion_probability": 1.0,
            "n_draws": 1,
            "snapshot_id": 0,
            "seed": seed,
            "drawn_at": NOON,
        }
        for position, k in enumerate(order)
    ]


def draw(lake: Lake, name: str, rows: list[dict], seed: int = 7) -> None:
    lake.append({"samples": TABLES["samples"].table(sample_rows(name, rows, seed))}, "sample")


def verdict(task, rater: str, decision: str = "accept", **changes) -> Verdict:
    return Verdict(str(uuid4()), rater, decision, task_id=task.task_id, **{"took_s": 3.0, **changes})


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def square(left: int, top: int, side: int) -> dict:
    """A square on images of run_with_masks, as a browser sends it."""
    pixels = np.zeros((1, HEIGHT, WIDTH), np.uint8)
    pixels[0, top : top + side, left : left + side] = 1
    return masks.to_coco(masks.encode(pixels))


def correction(row: dict, rater: str, segmentation: dict, **changes) -> DrawnMask:
    """A mask drawn in place of the mask `row`."""
    values = {
        "drawn_id": str(uuid4()),
        "rater": rater,
        "image_id": row["image_id"],
        "run_id": row["run_id"],
        "segmentation": segmentation,
        "supersedes": row["mask_id"],
        "tools": ("brush", "eraser", "brush"),
        "n_actions": 3,
        "took_s": 12.5,
    }
    return DrawnMask(**{**values, **changes})


def current(lake: Lake, row: dict) -> list[int]:
    """Masks that stand on the image of the mask `row`."""
    sql = "SELECT mask_id FROM current_masks WHERE image_id = ? ORDER BY mask_id"
    return lake.query(sql, [row["image_id"]])["mask_id"].to_pylist()
