"""Masks into FiftyOne's MongoDB, and one number changed on each: `curation browse sync` against FiftyOne's own ways.

    python -m benchmarks.browse [--images 40] [--masks 100]

Masks are blobs with ragged edges, 100 an image of 1500 x 2250 px, as in SA-1B. Both sides write the same masks and
fields of one lake into a real MongoDB, from one process; before times are told, all that FiftyOne reads back is
compared: pixels bit by bit, and every field.

- The peer's way in is what FiftyOne's documentation shows: decode each mask (pycocotools), cut it to its box, make an
  `fo.Detection` with all its attributes, give the samples to `dataset.add_samples`. Its time is that of decoding,
  building and adding; a second line leaves decoding out. Ours is all of `sync`: choosing, comparing, reading the lake,
  packing, declaring fields, indexes, saved views.
- One number: a new verifier scores every mask. `dataset.set_values` is handed the numbers; ours is the same step, numbers
  at hand: `Writer.renew`, which also keeps what later syncs compare with. A line without a floor tells all of `sync`,
  from choosing masks in the lake to saved views. Best of three rounds on both sides, after one that is not counted.

Both sides are warmed up with a few masks first.

What profiles say (py-spy, cProfile; CPU time a mask): packing was 315 us (pixels decoded, then zlib) and is 28, from runs
of columns to runs of rows to deflate; one BSON document 55 us, reading its row 40, MongoDB 40; and 0.7 s a sync whatever
its size: planning SQL over some twenty tables, FiftyOne's declarations. One number is 10 us a mask, nearly all in
mongod, which rewrites a sample of 100 masks (0.2 MB) in 1 ms; `set_values` makes it rewrite that sample once a mask.
"""

from __future__ import annotations

import argparse
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
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
from curation.browse.comparison import ATTRIBUTES, compare, pending, renewals
from curation.browse.selection import Choice, choose
from curation.browse.sync import plan, sync
from curation.browse.writer import Writer
from curation.lake import Lake
from curation.measures import ImageMasks, features
from curation.schemas import TABLES

if TYPE_CHECKING:
    import fiftyone as fo

HEIGHT_PX, WIDTH_PX = 1500, 2250
#: Least ratios that the lines must reach (issue 6, section 1).
FLOORS = {"decode + add_samples": 25.0, "add_samples": 8.0, "set_values": 30.0}
#: Rounds in which a number changes, besides the first, which is not counted.
N_ROUNDS = 3


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


def read_back(fo: object, name: str) -> dict[str, tuple]:
    """All that FiftyOne reads of every mask of a dataset, by its mask_id: pixels, box, all fields."""
    dataset = fo.load_dataset(name)
    names = ["mask_id", "mask", "bounding_box", "label", "confidence", "tags", *(c.name for c in ATTRIBUTES)]
    of_samples = dataset.values([f"masks.detections.{name}" for name in names])
    columns = [[value for of_sample in column for value in of_sample] for column in of_samples]
    return {
        mask_id: (mask.shape, np.packbits(mask).tobytes(), np.round(box, 12).tolist(), *fields)
        for mask_id, mask, box, *fields in zip(*columns, strict=True)
    }


def score(lake: Lake, number: int) -> None:
    """Scores of a new verifier for every mask, as `curation verifier score` keeps them."""
    verifier = {
        **dict.fromkeys(("n_masks", "n_images"), 1),
        **dict.fromkeys(("n_bad", "snapshot_id", "seed"), 0),
        **dict.fromkeys(("settings", "versions"), "{}"),
        "verifier": f"benchmark {number}",
        "method": "gradient_boosting",
        "columns": ["predicted_iou"],
        "fitted_at": datetime.now(timezone.utc),
    }
    scored = lake.query("SELECT run_id, mask_id, image_id FROM masks")
    scored = scored.append_column("verifier", pa.array([verifier["verifier"]] * len(scored)))
    scored = scored.append_column(
        "score", pa.array(np.random.default_rng(number).random(len(scored)), pa.float32())
    )
    scored = scored.append_column("is_held_out", pa.array([True] * len(scored)))
    lake.append({"verifiers": TABLES["verifiers"].table([verifier]), "verifier_scores": scored}, "scores")


def renew_seconds(fo: object, lake: Lake, name: str) -> tuple[float, float]:
    """Seconds to write a new score of every mask that `sync` wrote: (numbers at hand, all of `sync`)."""
    at_hand, whole = [], []
    for number in range(2 * (N_ROUNDS + 1)):
        score(lake, number)
        if number % 2:
            whole.append(seconds(lambda: sync(lake, Choice(), name)))
        else:
            todo = plan(lake, Choice(), name)
            found = list(renewals(lake))
            writer = Writer(todo.dataset, on_too_large=lambda sample: None)
            at_hand.append(seconds(lambda writer=writer, found=found: writer.renew(found)))
        wanted = lake.query(
            "SELECT score FROM verifier_scores WHERE verifier = ? ORDER BY mask_id", [f"benchmark {number}"]
        )
        assert scores_of(fo.load_dataset(name)) == wanted["score"].to_pylist()
    return min(at_hand[1:]), min(whole[1:])


def set_values_seconds(dataset: fo.Dataset) -> float:
    """Seconds of `set_values` for a new number of every mask that the loop wrote."""
    lengths = [len(mask_ids) for mask_ids in dataset.values("masks.detections.mask_id")]
    rng, took = np.random.default_rng(0), []
    for _ in range(N_ROUNDS + 1):
        values = [rng.random(n).tolist() for n in lengths]
        took.append(
            seconds(lambda values=values: dataset.set_values("masks.detections.verifier_score", values))
        )
        assert dataset.values("masks.detections.verifier_score") == values
    return min(took[1:])


def scores_of(dataset: fo.Dataset) -> list[float]:
    """Score of each mask, in the order of their ids."""
    found = dataset.values(["masks.detections.mask_id", "masks.detections.verifier_score"], unwind=True)
    return [
        value for _, value in sorted((int(mask_id), value) for mask_id, value in zip(*found, strict=True))
    ]


def seconds(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--masks", type=int, default=100, help="masks an image")
    options = parser.parse_args()
    n_masks = options.images * options.masks
    with tempfile.TemporaryDirectory() as folder, Lake.create(Path(folder) / "workspace") as lake:
        fo = database.connect()
        fill(lake, Path(folder), options.images, options.masks)
        names = {
            part: f"benchmark-{part}-{uuid.uuid4().hex}"
            for part in ("loop", "sync", "warm loop", "warm sync")
        }
        try:
            claims = compare_ways(fo, lake, names)
        finally:
            for name in names.values():
                if fo.dataset_exists(name):
                    fo.delete_dataset(name)
    print(
        f"{n_masks} masks on {options.images} images of {HEIGHT_PX} x {WIDTH_PX} px, {n_masks / claims[0].ours:,.0f} a "
        "second from the lake to saved views; FiftyOne reads the same back"
    )
    raise SystemExit(not tell(*claims))


def compare_ways(fo: object, lake: Lake, names: Mapping[str, str]) -> list[Claim]:
    """Both datasets, written, compared and written again. Raises AssertionError where FiftyOne reads them differently."""
    choose(lake, Choice())
    compare(lake, [])
    images = list(pending(lake))
    crops = {row["mask_id"]: crop(row) for row in images[0][1]}
    plain_loop(fo, images[:1], crops, names["warm loop"])  # imports, kernels, connections
    sync(lake, Choice(where="mask_index = 0"), names["warm sync"])
    decode_s = seconds(
        lambda: crops.update({row["mask_id"]: crop(row) for _, rows in images for row in rows})
    )
    add_s = seconds(lambda: plain_loop(fo, images, crops, names["loop"]))
    crops.clear()
    sync_s = seconds(lambda: sync(lake, Choice(), names["sync"]))
    assert read_back(fo, names["loop"]) == read_back(fo, names["sync"]), "FiftyOne reads other masks"
    assert sync(lake, Choice(), names["sync"]).n_masks_written == 0
    set_s = set_values_seconds(fo.load_dataset(names["loop"]))
    renew_s, resync_s = renew_seconds(fo, lake, names["sync"])
    into, number = "RLE to a FiftyOne dataset, read back equal", "one number changed on every mask"
    return [
        Claim(into, "decode + add_samples", sync_s, decode_s + add_s, FLOORS["decode + add_samples"]),
        Claim(into, "add_samples alone, crops at hand", sync_s, add_s, FLOORS["add_samples"]),
        Claim(number, "set_values", renew_s, set_s, FLOORS["set_values"]),
        Claim(f"{number}, found in the lake", "set_values, numbers at hand", resync_s, set_s),
    ]


if __name__ == "__main__":
    main()
