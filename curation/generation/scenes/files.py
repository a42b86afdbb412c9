"""Scenes as a folder of SA-1B: sa_<index>.jpg, and sa_<index>.json with every gold mask."""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from curation import masks
from curation.errors import InputError

from .scene import DEFAULT_SIZE, Scene, render

#: Raise it when a seed starts to draw something else, so that an older folder is not mixed with new scenes.
RENDERER_VERSION = 1


def write_scenes(
    out: Path,
    n: int,
    seed: int,
    size: tuple[int, int] = DEFAULT_SIZE,
    on_done: Callable[[str], None] | None = None,
) -> int:
    """Write scenes 1 to n of `seed` that `out` does not hold yet, and return how many were written.

    A scene's JSON appears last and in one step, so a killed call leaves whole scenes only, and the next
    call goes on after them. Raises InputError when `out` holds a scene drawn from something else.
    """
    if n < 0:
        raise InputError(f"scenes: n is {n}; it must be 0 or more")
    out.mkdir(parents=True, exist_ok=True)
    n_written = 0
    for index in range(1, n + 1):
        drawn_from = {"seed": seed, "index": index, "size": list(size), "renderer": RENDERER_VERSION}
        path = out / f"sa_{index}.json"
        if path.exists():
            _check_same(path, drawn_from)
        else:
            scene = render(seed, index, size)
            _write(out / f"sa_{index}.jpg", scene.jpeg())
            _write(path, json.dumps(sa1b_record(scene, path.stem) | {"scene": drawn_from}).encode())
            n_written += 1
        if on_done is not None:
            on_done(path.stem)
    return n_written


def sa1b_record(scene: Scene, name: str) -> dict:
    """The scene as an SA-1B record, wholes first, with `nesting` and `label` besides the usual keys.

    As in SA-1B, a box is one pixel short in width and height. Scores are 1: the masks are exact.
    """
    height, width = scene.pixels.shape[:2]
    runs = masks.Runs.concat([scene.wholes, scene.parts])
    labels = scene.whole_names + scene.part_names
    nesting = ["whole"] * len(scene.wholes) + ["part"] * len(scene.parts)
    columns = zip(masks.to_strings(runs), masks.areas(runs), masks.boxes(runs), labels, nesting, strict=True)
    annotations = [
        {
            "id": i + 1,
            "segmentation": {"size": [height, width], "counts": counts},
            "bbox": [float(x), float(y), float(w - 1), float(h - 1)],
            "area": int(area_px),
            "predicted_iou": 1.0,
            "stability_score": 1.0,
            "crop_box": [0.0, 0.0, float(width), float(height)],
            "point_coords": [_point_inside(runs[i])],
            "label": label,
            "nesting": level,
        }
        for i, (counts, area_px, (x, y, w, h), label, level) in enumerate(columns)
    ]
    image = {"image_id": scene.index, "width": width, "height": height, "file_name": f"{name}.jpg"}
    return {"image": image, "annotations": annotations}


def _point_inside(one: masks.Runs) -> list[float]:
    """The mask's pixel that is nearest to its centre of mass, [x, y]."""
    x, y, w, h = (int(v) for v in masks.boxes(one)[0])
    rows, columns = np.nonzero(masks.decode(one, crop_xywh=(x, y, w, h))[0])
    nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return [float(x + columns[nearest]), float(y + rows[nearest])]


def _check_same(path: Path, drawn_from: dict) -> None:
    try:
        found = json.loads(path.read_bytes()).get("scene")
    except (ValueError, AttributeError):
        found = None
    if found != drawn_from:
        raise InputError(
            f"{path}: holds {found or 'no scene'}, not {drawn_from}; name an empty folder, or the one of this seed and size"
        )


def _write(path: Path, data: bytes) -> None:
    """Write all of `data` or nothing."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
