"""Small workspaces whose pictures show exactly what their masks say."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import lakes
import numpy as np
import PIL.Image

from curation import masks, runs
from curation.ids import image_id
from curation.lake import Lake
from curation.schemas import TABLES

WIDTH_PX, HEIGHT_PX = 80, 60
GROUND_RGB, SHAPE_RGB = (60, 70, 80), (200, 190, 60)


def shapes(seed: int, n_masks: int = 3, width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX) -> np.ndarray:
    """`n_masks` ellipses (N, H, W), bool. The first touches the right and the bottom border."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height_px, :width_px]
    found = []
    for number in range(n_masks):
        centre = (
            (width_px - 8, height_px - 8) if number == 0 else rng.uniform((10, 10), (width_px, height_px))
        )
        radius = rng.uniform(4, 14, 2)
        found.append(((x - centre[0]) / radius[0]) ** 2 + ((y - centre[1]) / radius[1]) ** 2 <= 1)
    return np.array(found).reshape(n_masks, height_px, width_px)


def paint(path: Path, pixels: np.ndarray) -> Path:
    """A PNG of the masks (N, H, W) in one colour on another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.where(pixels.any(0)[..., None], np.uint8(SHAPE_RGB), np.uint8(GROUND_RGB))
    PIL.Image.fromarray(picture.astype(np.uint8)).save(path)
    return path


def add_run(lake: Lake, pictures: Mapping[Path, np.ndarray], uris: Sequence[str] = (), **changes) -> int:
    """Import a run of `pictures` (path -> masks (N, H, W)); `uris` say otherwise where they lie. Its number.

    Other `changes` go into the rows of `masks`.
    """
    spec = lakes.spec(image_set_sha256=str(len(lake.query("FROM runs"))).zfill(64), n_images=len(pictures))
    run = runs.start(lake, spec)
    images, rows = [], []
    for number, (path, pixels) in enumerate(pictures.items()):
        height_px, width_px = pixels.shape[1:]
        uri = uris[number] if uris else str(path)
        image = lakes.image_row(run.run_id, number, uri, width_px, height_px)
        if path.exists():
            image["size_bytes"] = path.stat().st_size
        images.append(image)
        encoded = masks.encode(pixels)
        scores = {"predicted_iou": 0.9, "stability_score": 0.95}
        rows += lakes.mask_rows(run.run_id, number, image, encoded, **{**scores, **changes})
    tables = {"images": TABLES["images"].table(images)}
    if rows:
        tables["masks"] = TABLES["masks"].table(rows)
    lake.append(tables, "import")
    runs.finish(lake, run.run_id)
    return run.run_id


def add_gold_ious(lake: Lake, run_id: int, ious: Mapping[int, float]) -> None:
    """Say how well masks (mask_id -> IoU) of a run agree with gold."""
    of_image = dict(lake.con.execute("SELECT mask_id, image_id FROM masks").fetchall())
    rows = [
        {
            "run_id": run_id,
            "gold_run_id": 99,
            "image_id": of_image[mask_id],
            "mask_id": mask_id,
            "best_gold_mask_id": 7,
            "gold_iou": iou,
        }
        for mask_id, iou in ious.items()
    ]
    lake.append({"gold_matches": TABLES["gold_matches"].table(rows)}, "match")


def picture_id(path: Path) -> int:
    return image_id(str(path))
