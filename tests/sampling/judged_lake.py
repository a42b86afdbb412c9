"""A lake of masks on some images, and verdicts on the masks of a sample."""

import uuid
from datetime import datetime, timedelta, timezone

import numpy as np

from curation.ids import image_id, mask_id
from curation.lake import Lake
from curation.schemas import TABLES

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def fill(lake: Lake, masks_per_image: list[int], run_id: int = 1, stage: str = "fully_automatic") -> None:
    """A run whose images have so many masks; predicted IoU and area differ from mask to mask."""
    run = {
        "run_id": run_id,
        "run_key": str(run_id),
        "kind": "generate",
        "source": "test",
        "stage": stage,
        "cycle": 0,
        "settings": "{}",
        "image_set_sha256": "0" * 64,
        "n_images": len(masks_per_image),
        "versions": "{}",
        "started_at": START,
    }
    images, masks = [], []
    rng = np.random.default_rng(run_id)
    for number, n_masks in enumerate(masks_per_image):
        uri = f"/images/{number}.jpg"
        size = {"width_px": 100, "height_px": 100}
        image = {"run_id": run_id, "image_id": image_id(uri), **size}
        images.append({**image, "image_number": number, "uri": uri, "file_name": f"{number}.jpg"})
        for index in range(n_masks):
            masks.append(
                {
                    **image,
                    "mask_id": mask_id(run_id, number, index),
                    "mask_index": index,
                    "stage": stage,
                    "cycle": 0,
                    "area_px": int(rng.choice([300, 900, 2_000, 20_000])),
                    "bbox_xywh": [0, 0, 10, 10],
                    "predicted_iou": round(float(rng.uniform(0.6, 1)), 3),
                    "is_crowd": False,
                    "rle_counts": "",
                }
            )
    tables = {"runs": [run], "images": images, "masks": masks}
    lake.append({name: TABLES[name].table(rows) for name, rows in tables.items()}, "masks")


def judge(lake: Lake, sample: str, decisions: dict[int, list[str | tuple]], at_s: int = 0) -> None:
    """Verdicts by mask: a decision a rater (r0, r1, …); or (rater, purpose, decision, reasons)."""
    known = lake.query("SELECT mask_id, run_id, image_id FROM samples WHERE sample = ?", [sample]).to_pylist()
    masks = {row["mask_id"]: row for row in known}
    rows = []
    for mask, given in decisions.items():
        for k, one in enumerate(given):
            rater, purpose, decision, reasons = (f"r{k}", "review", one, []) if isinstance(one, str) else one
            rows.append(
                {
                    **masks[mask],
                    "verdict_id": str(uuid.uuid4()),
                    "sample": sample,
                    "rater": rater,
                    "purpose": purpose,
                    "decision": decision,
                    "reasons": reasons,
                    "took_s": 1.0,
                    "given_at": START + timedelta(seconds=at_s + k),
                    "committed_at": START + timedelta(seconds=at_s + k),
                }
            )
    lake.append({"verdicts": TABLES["verdicts"].table(rows)}, "verdicts")


def correct(lake: Lake, ious: dict[int, float]) -> None:
    """Corrections: superseded mask -> IoU with what it was."""
    rows = [
        {
            "mask_id": 10_000 + k,
            "drawn_id": str(k),
            "run_id": 99,
            "image_id": 0,
            "supersedes": mask,
            "rater": "r0",
            "tools": [],
            "n_actions": 1,
            "iou_with_superseded": iou,
            "took_s": 1.0,
            "drawn_at": START,
        }
        for k, (mask, iou) in enumerate(ious.items())
    ]
    lake.append({"drawn_masks": TABLES["drawn_masks"].table(rows)}, "corrections")


def by_position(lake: Lake, sample: str) -> list[int]:
    """Mask ids of a sample in their order."""
    return lake.query("SELECT mask_id FROM samples WHERE sample = ? ORDER BY position", [sample])[
        "mask_id"
    ].to_pylist()
