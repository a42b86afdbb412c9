"""Scenes as a folder of SA-1B: sa_<index>.jpg, and sa_<index>.json with every gold mask."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from curation import masks
from curation.errors import InputError
from curation.formats.sa1b import to_record, write_record
from curation.whole_files import write_whole

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
            write_whole(out / f"sa_{index}.jpg", scene.jpeg())
            write_record(path, sa1b_record(scene, path.stem) | {"scene": drawn_from})
            n_written += 1
        if on_done is not None:
            on_done(path.stem)
    return n_written


def sa1b_record(scene: Scene, name: str) -> dict:
    """The scene as an SA-1B record, wholes first, with `nesting` and `label` besides the usual keys.

    Scores are 1: the masks are exact. The point of a mask is one that lies inside it.
    """
    height, width = scene.pixels.shape[:2]
    runs = masks.Runs.concat([scene.wholes, scene.parts])
    labels = scene.whole_names + scene.part_names
    columns = zip(
        masks.to_strings(runs), masks.areas(runs).tolist(), masks.boxes(runs).tolist(), labels, strict=True
    )
    rows = [
        {
            "id": i + 1,
            "rle_counts": counts,
            "area_px": area_px,
            "bbox_xywh": bbox_xywh,
            "predicted_iou": 1.0,
            "stability_score": 1.0,
            "crop_box_xywh": [0.0, 0.0, float(width), float(height)],
            "point_xy": _point_inside(runs[i]),
            "label": label,
            "nesting": "whole" if i < len(scene.wholes) else "part",
        }
        for i, (counts, area_px, bbox_xywh, label) in enumerate(columns)
    ]
    image = {"image_id": scene.index, "source_image_id": None, "width_px": width, "height_px": height}
    return to_record(image | {"file_name": f"{name}.jpg"}, rows)


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
