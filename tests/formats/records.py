"""SA-1B records made for tests: random masks, written as SAM writes them."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import PIL.Image

from curation.masks import areas, boxes, encode, to_strings

HEIGHT_PX, WIDTH_PX = 30, 40


def random_masks(seed: int, n_masks: int) -> np.ndarray:
    """Rectangles with noise, bool (N, 30, 40)."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((n_masks, HEIGHT_PX, WIDTH_PX), bool)
    for mask in masks:
        y, x = rng.integers(0, HEIGHT_PX - 2), rng.integers(0, WIDTH_PX - 2)
        mask[y : y + rng.integers(1, 20), x : x + rng.integers(1, 20)] = True
    return masks & (rng.random(masks.shape) < 0.95)


def record(number: int, masks: np.ndarray, file_name: str | None = None) -> dict:
    """A record as SAM's generator writes it: boxes with inclusive maxima."""
    runs = encode(masks)
    rows = zip(to_strings(runs), areas(runs).tolist(), boxes(runs).tolist(), strict=True)
    annotations = [
        {
            "id": 1000 * number + index,
            "segmentation": {"size": [HEIGHT_PX, WIDTH_PX], "counts": counts},
            "bbox": [float(x), float(y), float(max(w - 1, 0)), float(max(h - 1, 0))],
            "area": area_px,
            "predicted_iou": 0.9 + index / 1000,
            "stability_score": 0.95,
            "crop_box": [0.0, 0.0, float(WIDTH_PX), float(HEIGHT_PX)],
            "point_coords": [[x + 0.5, y + 0.5]],
        }
        for index, (counts, area_px, (x, y, w, h)) in enumerate(rows)
    ]
    image = {
        "image_id": number,
        "width": WIDTH_PX,
        "height": HEIGHT_PX,
        "file_name": file_name or f"sa_{number}.jpg",
    }
    return {"image": image, "annotations": annotations}


def jpeg(number: int, width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (width_px, height_px), (number % 256, 80, 80)).save(buffer, "JPEG")
    return buffer.getvalue()


def files(n_records: int, n_masks: int = 4, with_images: bool = True) -> dict[str, bytes]:
    """Names and bytes of a small SA-1B."""
    found = {}
    for number in range(n_records):
        found[f"sa_{number}.json"] = json.dumps(record(number, random_masks(number, n_masks))).encode()
        if with_images:
            found[f"sa_{number}.jpg"] = jpeg(number)
    return found


def write_folder(folder: Path, contents: dict[str, bytes]) -> Path:
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def write_tar(path: Path, contents: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in contents.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return path
