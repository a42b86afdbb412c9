"""Masks as one COCO file, written while they are read, so that its size is no matter.

    {"images": [{"id", "width", "height", "file_name"}],
     "annotations": [{"id", "image_id", "category_id", "iscrowd", "area", "bbox": [x, y, w, h],
                      "segmentation": {"size": [h, w], "counts": "…"}, "mask_id": "…", "score"}],
     "categories": [{"id", "name"}]}

Ids count from 1, because the lake's have 63 bits and many tools keep 53; `mask_id` is the lake's, as text. A mask without
a label has `category_id` null, and `score` (the predicted IoU) is there where it is known. `area` and `bbox` are the
mask's own.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import orjson

from curation.formats import sa1b_export
from curation.formats.sa1b_export import ExportedRun
from curation.lake import Lake

#: The one file of an exported run.
FILE_NAME = "instances.json"


class CocoWriter:
    """Writes a COCO file whole or not at all: `with CocoWriter(path) as coco: coco.add(image, rows)`.

    Annotations wait in a file beside it, since the list of images comes first; nothing is held in memory but the names
    of the categories.
    """

    def __init__(self, path: Path, about: Mapping[str, object] | None = None) -> None:
        self.path = path
        self.about = dict(about or {})
        self.n_images = 0
        self.n_masks = 0
        self._categories: dict[str, int] = {}

    def __enter__(self) -> "CocoWriter":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._folder = tempfile.mkdtemp(dir=self.path.parent, prefix=f".{self.path.name[:100]}.")
        self._images = open(os.path.join(self._folder, "images"), "w+b")
        self._annotations = open(os.path.join(self._folder, "annotations"), "w+b")
        self._images.write(b'{"info":' + orjson.dumps(self.about) + b',\n"images":[')
        return self

    def __exit__(self, failed: type | None, *_: object) -> None:
        try:
            if failed is None:
                self._finish()
        finally:
            self._images.close()
            self._annotations.close()
            shutil.rmtree(self._folder)

    def add(self, image: Mapping[str, Any], file_name: str, rows: list[Mapping[str, Any]]) -> None:
        """One image (width_px, height_px) and its masks: rows of `masks` or `gold_masks`, with their number in `id`."""
        self.n_images += 1
        size = [image["height_px"], image["width_px"]]
        entry = {"id": self.n_images, "width": size[1], "height": size[0], "file_name": file_name}
        _write(self._images, self.n_images, entry)
        for row in rows:
            self.n_masks += 1
            _write(self._annotations, self.n_masks, self._annotation(size, row))

    def _annotation(self, size: list[int], row: Mapping[str, Any]) -> dict[str, Any]:
        annotation = {
            "id": self.n_masks,
            "image_id": self.n_images,
            "category_id": self._category(row["label"]),
            "iscrowd": int(row["is_crowd"]),
            "area": row["area_px"],
            "bbox": row["bbox_xywh"],
            "segmentation": {"size": size, "counts": row["rle_counts"]},
            "mask_id": str(row["id"]),
        }
        score = row.get("predicted_iou")
        return annotation if score is None else annotation | {"score": score}

    def _category(self, label: str | None) -> int | None:
        return None if label is None else self._categories.setdefault(label, len(self._categories) + 1)

    def _finish(self) -> None:
        self._images.write(b'],\n"annotations":[')
        self._annotations.seek(0)
        shutil.copyfileobj(self._annotations, self._images)
        named = [{"id": number, "name": name} for name, number in self._categories.items()]
        self._images.write(b'],\n"categories":' + orjson.dumps(named) + b"}\n")
        self._images.flush()
        os.replace(self._images.name, self.path)


def _write(file: IO[bytes], number: int, entry: Mapping[str, Any]) -> None:
    """One element of a list, the `number`th."""
    file.write((b",\n" if number > 1 else b"\n") + orjson.dumps(entry))


def export(lake: Lake, run: ExportedRun, out: Path, on_image: Callable[[], None] | None = None) -> int:
    """Write the current masks of a run as `out`/instances.json; returns how many. As `sa1b_export.export` otherwise.

    `file_name` is the picture's path below the deepest folder that all pictures of the run share.
    """
    with CocoWriter(out / FILE_NAME, {"description": f"run {run.run_id}"}) as coco:
        for image, name, rows in sa1b_export.images_with_masks(lake, run):
            coco.add(image, str(name.with_name(image["file_name"])), rows)
            if on_image is not None:
                on_image()
    return coco.n_masks
