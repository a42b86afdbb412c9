"""Pictures of bright shapes on a dark ground, with masks and gold of the shapes in a lake."""

from datetime import datetime, timezone
from pathlib import Path

import lakes
import numpy as np
import PIL.Image

from curation import runs
from curation.formats.images import image_row, read_head
from curation.ids import mask_id
from curation.lake import Lake
from curation.masks import Runs, encode
from curation.schemas import TABLES

HEIGHT, WIDTH = 96, 128


def shapes(seed: int) -> np.ndarray:
    """Three rectangles that do not touch, bool (3, HEIGHT, WIDTH)."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((3, HEIGHT, WIDTH), bool)
    for number, left in enumerate((4, 46, 88)):
        top, foot = rng.integers(4, 40), rng.integers(56, 92)
        masks[number, top:foot, left : left + rng.integers(16, 36)] = True
    return masks


def draw(folder: Path, n_images: int, chosen: tuple[int, ...] = (0, 1, 2)) -> list[tuple[Path, Runs]]:
    """Write the pictures; each with the masks of its shapes, or of those chosen."""
    drawn = []
    for seed in range(n_images):
        masks = shapes(seed)
        pixels = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
        for number, mask in enumerate(masks):
            pixels[mask] = np.roll((220, 120, 40), number)
        path = folder / f"{seed}.png"
        PIL.Image.fromarray(pixels).save(path)
        drawn.append((path, encode(masks[list(chosen)])))
    return drawn


def gold_lake(lake: Lake, folder: Path, n_images: int, chosen: tuple[int, ...] = (0, 1, 2)) -> int:
    """Add a gold run of the pictures; its number."""
    drawn = draw(folder, n_images, chosen)
    spec = lakes.spec(
        kind="gold", n_images=n_images, stage=None, cycle=None, annotator="ann", is_anchored=False
    )
    run_id = runs.start(lake, spec).run_id
    rows = _rows(run_id, drawn)
    gold = [
        {name: value for name, value in row.items() if name not in ("stage", "cycle")}
        | {"gold_mask_id": row["mask_id"], "annotator": "ann", "is_anchored": False}
        for row in rows["masks"]
    ]
    for row in gold:
        del row["mask_id"]
    tables = {
        "images": TABLES["images"].table(rows["images"]),
        "gold_masks": TABLES["gold_masks"].table(gold),
    }
    lake.append(tables, "gold")
    runs.finish(lake, run_id)
    return run_id


def masks_run(
    lake: Lake, folder: Path, n_images: int, kind: str = "generate", parent: int | None = None
) -> int:
    """Add a run with the shapes as its masks; its number."""
    drawn = draw(folder, n_images)
    run_id = runs.start(lake, lakes.spec(kind=kind, n_images=n_images, parent_run_id=parent)).run_id
    rows = _rows(run_id, drawn)
    names = ("masks",) if kind == "correct" else ("images", "masks")
    lake.append({name: TABLES[name].table(rows[name]) for name in names}, "masks")
    runs.finish(lake, run_id)
    return run_id


def judge(lake: Lake, run_id: int, decision: str, numbers: list[int], index: int = 0) -> None:
    """One rater's verdict on mask `index` of these images of a run."""
    now = datetime.now(timezone.utc)
    masks = {r["mask_id"]: r["image_id"] for r in lake.query("FROM masks").to_pylist()}
    rows = []
    for number in numbers:
        mask = mask_id(run_id, number, index)
        rows.append(
            {
                "verdict_id": f"{mask}-{decision}",
                "sample": "all",
                "mask_id": mask,
                "run_id": run_id,
                "image_id": masks[mask],
                "rater": "ann",
                "purpose": "review",
                "decision": decision,
                "reasons": [],
                "took_s": 1.0,
                "given_at": now,
                "committed_at": now,
            }
        )
    lake.append({"verdicts": TABLES["verdicts"].table(rows)}, "verdicts")


def _rows(run_id: int, drawn: list[tuple[Path, Runs]]) -> dict[str, list[dict]]:
    images = [image_row(read_head(str(path)), run_id, number) for number, (path, _) in enumerate(drawn)]
    masks = [
        row
        for number, (_, runs_) in enumerate(drawn)
        for row in lakes.mask_rows(run_id, number, images[number], runs_)
    ]
    return {"images": images, "masks": masks}
