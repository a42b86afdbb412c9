"""A lake of squares that are too large, corrections of them, and gold of the right size."""

from datetime import datetime, timezone
from uuid import uuid4

import numpy as np
from lakes import image_row, mask_rows, spec

from curation import masks, runs
from curation.ids import mask_id, unpack_mask_id
from curation.lake import Lake, insert
from curation.review import drawing
from curation.review.drawing import DrawnMask
from curation.schemas import TABLES

HEIGHT, WIDTH = 60, 80


def square(top: int, side: int) -> masks.Runs:
    pixels = np.zeros((1, HEIGHT, WIDTH), np.uint8)
    pixels[0, top : top + side, :side] = 1
    return masks.encode(pixels)


def add_run(lake: Lake, n_images: int, n_masks: int, side: int) -> list[dict]:
    """Rows of the masks of a run: squares at (0, k) on every image."""
    run = runs.start(lake, spec(n_images=n_images))
    squares = masks.Runs.concat([square(k, side) for k in range(n_masks)])
    images = [image_row(run.run_id, number, None, WIDTH, HEIGHT) for number in range(n_images)]
    rows = [row for image in images for row in mask_rows(run.run_id, image["image_number"], image, squares)]
    lake.append({"images": TABLES["images"].table(images), "masks": TABLES["masks"].table(rows)}, "masks")
    runs.finish(lake, run.run_id)
    return rows


def add_gold(lake: Lake, rows: list[dict], side: int) -> None:
    """Gold squares of `side` px at the places of the masks."""
    run = runs.start(lake, spec(kind="gold", stage=None, cycle=None, annotator="eve", is_anchored=False))
    gold = [
        {
            "run_id": run.run_id,
            "gold_mask_id": mask_id(run.run_id, number, 0),
            **{name: row[name] for name in ("image_id", "width_px", "height_px", "mask_index", "is_crowd")},
            "area_px": side**2,
            "bbox_xywh": [0, row["mask_index"], side, side],
            "annotator": "eve",
            "is_anchored": False,
            "rle_counts": masks.to_strings(square(row["mask_index"], side))[0],
        }
        for number, row in enumerate(rows)
    ]
    lake.append({"gold_masks": TABLES["gold_masks"].table(gold)}, "gold")


def correct(lake: Lake, rows: list[dict], side: int) -> None:
    """Ann draws the masks at another size, all in one commit."""

    def work(con) -> None:
        run_id = drawing.correct_run(con, rows[0]["run_id"])
        first = {row["image_id"]: drawing.next_index(con, run_id, _number(row)) for row in rows}
        made, told = [], []
        for row in rows:
            image = {**row, "image_number": _number(row)}
            shape = square(row["mask_index"], side)
            mask = drawing.mask_row(run_id, first[row["image_id"]], image, shape, {**row, "label": None})
            first[row["image_id"]] += 1
            drawn = DrawnMask(str(uuid4()), "ann", row["image_id"], row["run_id"], {}, row["mask_id"])
            made.append(mask)
            told.append(drawing.drawn_row(drawn, mask, shape, row, datetime.now(timezone.utc)))
        insert(con, {"masks": TABLES["masks"].table(made), "drawn_masks": TABLES["drawn_masks"].table(told)})

    lake.commit(work, "corrections")


def _number(row: dict) -> int:
    return unpack_mask_id(row["mask_id"])[1]
