"""Masks a second into FiftyOne's MongoDB: `curation browse sync` against a plain loop and `dataset.add_samples`.

    python benchmarks/browse.py [--images 20] [--masks 100]

The loop is what FiftyOne's documentation shows: decode each mask (pycocotools), cut it to its box, make an
`fo.Detection` with all its attributes, and give the samples to `dataset.add_samples`. Both write the same masks
and fields of one lake into a real MongoDB, in one process, and what FiftyOne reads back is compared. For the
loop only decoding, building and adding are timed, and the ratio without decoding is told too; for `sync` all of
it: choosing, comparing, reading the lake, decoding, declaring fields, indexes, saved views.
"""

from __future__ import annotations

import argparse
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
import pyarrow as pa
from pycocotools import mask as coco

from benchmarks.claims import Claim, tell
from benchmarks.masks import blobs
from curation import ids, masks, runs
from curation.browse import database
from curation.browse.selection import ATTRIBUTES, Choice, choose, compare, pending
from curation.browse.sync import sync
from curation.lake import Lake
from curation.measures import ImageMasks, features
from curation.schemas import TABLES

if TYPE_CHECKING:
    import fiftyone as fo

HEIGHT_PX, WIDTH_PX = 1500, 2250
#: Least ratio that the line must reach (issue 2, section 8).
FLOOR = 3.0


def fill(lake: Lake, pictures: Path, n_images: int, n_masks: int) -> None:
    """One run of `n_images` pictures with `n_masks` masks each, and their features, as an import commits them."""
    run_id = runs.start(lake, runs.RunSpec("import", "benchmark", {}, "0" * 64, n_images)).run_id
    images, rows, measured = [], [], []
    for number in range(n_images):
        path = pictures / f"{number}.jpg"
        PIL.Image.new("RGB", (WIDTH_PX, HEIGHT_PX)).save(path)
        image = {
            "run_id": run_id,
            "image_id": ids.image_id(str(path)),
            "image_number": number,
            "uri": str(path),
            "file_name": path.name,
            "width_px": WIDTH_PX,
            "height_px": HEIGHT_PX,
        }
        drawn = masks.encode(blobs(HEIGHT_PX, WIDTH_PX, n_masks, seed=number))
        mask_ids = np.array([ids.mask_id(run_id, number, index) for index in range(n_masks)], np.int64)
        images.append(image)
        rows.append(TABLES["masks"].table(mask_rows(image, mask_ids, drawn)))
        measured.append(features(ImageMasks(run_id, image["image_id"], WIDTH_PX, HEIGHT_PX, mask_ids, drawn)))
    tables = {
        "images": TABLES["images"].table(images),
        "masks": pa.concat_tables(rows),
        "mask_features": pa.concat_tables(measured),
    }
    lake.append(tables, "benchmark")


def mask_rows(image: Mapping, mask_ids: np.ndarray, drawn: masks.Runs) -> dict[str, Sequence]:
    def same(value: object) -> list:
        return [value] * len(drawn)

    return {
        "run_id": same(image["run_id"]),
        "mask_id": mask_ids,
        "image_id": same(image["image_id"]),
        "mask_index": np.arange(len(drawn)),
        "stage": same("fully_automatic"),
        "cycle": same(0),
        "width_px": same(WIDTH_PX),
        "height_px": same(HEIGHT_PX),
        "area_px": masks.areas(drawn),
        "bbox_xywh": masks.boxes(drawn).tolist(),
        "predicted_iou": same(0.9),
        "stability_score": same(0.95),
        "is_crowd": same(False),
        "rle_counts": masks.to_strings(drawn),
    }


def crop(row: Mapping) -> np.ndarray:
    """The mask of a row, cut to its box, by way of pycocotools."""
    pixels = coco.decode({"size": [HEIGHT_PX, WIDTH_PX], "counts": row["rle_counts"].encode()})
    x, y, w, h = row["bbox_xywh"]
    return pixels[y : y + h, x : x + w].astype(bool)


def plain_loop(
    fo: object,
    images: Sequence[tuple[Mapping, Sequence[Mapping]]],
    crops: Mapping[int, np.ndarray],
    name: str,
) -> fo.Dataset:
    """The same masks and fields, as FiftyOne's documentation adds them. `crops` holds masks by mask_id."""
    dataset = fo.Dataset(name)
    samples = []
    for image, rows in images:
        detections = []
        for row in rows:
            x, y, w, h = row["bbox_xywh"]
            detections.append(
                fo.Detection(
                    label="mask",
                    bounding_box=[x / WIDTH_PX, y / HEIGHT_PX, w / WIDTH_PX, h / HEIGHT_PX],
                    mask=crops[row["mask_id"]],
                    confidence=row["predicted_iou"],
                    tags=[row["stage"]],
                    mask_id=str(row["mask_id"]),
                    **{column.name: row[column.name] for column in ATTRIBUTES},
                )
            )
        metadata = fo.ImageMetadata(width=WIDTH_PX, height=HEIGHT_PX, num_channels=3)
        masks_of_image = fo.Detections(detections=detections)
        samples.append(
            fo.Sample(image["uri"], metadata=metadata, masks=masks_of_image, image_id=str(image["image_id"]))
        )
    dataset.add_samples(samples, progress=False)
    return dataset


def pixels_by_id(dataset: fo.Dataset) -> dict[str, bytes]:
    """Every mask that FiftyOne reads from a dataset, by its mask_id."""
    ids_of, found = dataset.values(["masks.detections.mask_id", "masks.detections.mask"])
    return {
        mask_id: np.packbits(mask).tobytes() + repr(mask.shape).encode()
        for image_ids, image_masks in zip(ids_of, found, strict=True)
        for mask_id, mask in zip(image_ids, image_masks, strict=True)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--masks", type=int, default=100, help="masks an image")
    options = parser.parse_args()
    n_masks = options.images * options.masks
    with tempfile.TemporaryDirectory() as folder, Lake.create(Path(folder) / "workspace") as lake:
        fo = database.connect()
        fill(lake, Path(folder), options.images, options.masks)
        names = {part: f"benchmark-{part}-{uuid.uuid4().hex}" for part in ("loop", "sync")}
        try:
            choose(lake, Choice())
            compare(lake, [])
            images = [(image, list(rows)) for image, rows in pending(lake)]
            started = perf_counter()
            crops = {row["mask_id"]: crop(row) for _, rows in images for row in rows}
            decode_s = perf_counter() - started
            started = perf_counter()
            looped = plain_loop(fo, images, crops, names["loop"])
            add_s = perf_counter() - started
            started = perf_counter()
            sync(lake, Choice(), names["sync"])
            sync_s = perf_counter() - started
            started = perf_counter()
            again = sync(lake, Choice(), names["sync"])
            again_s = perf_counter() - started
            assert pixels_by_id(looped) == pixels_by_id(fo.load_dataset(names["sync"])), "the masks differ"
            assert again.n_masks_written == 0
        finally:
            for name in names.values():
                if fo.dataset_exists(name):
                    fo.delete_dataset(name)
    print(
        f"{n_masks} masks on {options.images} images of {HEIGHT_PX} x {WIDTH_PX} px; FiftyOne reads the same back"
    )
    print(
        f"{n_masks / sync_s:,.0f} masks/s, from the lake to saved views; again, with nothing to write: {again_s:.2f} s"
    )
    work = "RLE to a FiftyOne dataset, read back equal"
    is_kept = tell(
        Claim(work, "decode + add_samples", sync_s, decode_s + add_s),
        Claim(work, "add_samples alone, crops at hand", sync_s, add_s, FLOOR),
    )
    raise SystemExit(not is_kept)


if __name__ == "__main__":
    main()
