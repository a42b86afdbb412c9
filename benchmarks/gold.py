"""Matching and scoring against gold, from RLE strings: one run, one core, the same masks and scores.

    python -m benchmarks.gold [--images 3] [--masks 100] [--fiftyone-masks 40]

Gold are the blobs of `benchmarks.masks` on images of about 1500 x 2250 px; the masks are gold moved aside, cut in half,
or merged with another, some left out and some that show nothing, each with a score. Times are processor time.

- faster-coco-eval: `COCOeval_faster` without categories and area ranges, for the best 1, 10, 100 and 1,000 masks, one
  thread; datasets are given as dicts, so that no JSON is read. Both sides end with COCO's average precision and recall
  at IoU 0.50 to 0.95, which must be equal. `curation` makes the rows of `gold_matches` for it, and so has one-to-one
  partners, boundary IoU and the kind of error of every mask besides.
- FiftyOne: `evaluate_detections(use_masks=True, classwise=False)` on the first masks of one image, at its default IoU
  of 0.50; the dataset is made before. True positives, false positives and misses must be equal. Its MongoDB's own time
  is not counted.

A profile (cProfile) of `curation`, 11 ms an image: boundary IoU 4, intersections 2, kinds of errors 3, parsing 0.7; the greedy
matching itself 0.15. Matrix products of (N, M) by (N, N) had taken half: BLAS started its threads for them, and rows with
two candidates are few. Of faster-coco-eval, 16 ms: 11 for IoU, 3 to parse, 1 to match. FiftyOne draws both masks of each
pair whose boxes meet on canvases of float64.

A ratio above 1 means that `curation` is faster; ends with 1 where a floor of issue 6 is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import process_time
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pyarrow as pa
from faster_coco_eval import COCO, COCOeval_faster
from pycocotools import mask as coco

from benchmarks.claims import Claim, tell
from benchmarks.masks import best_seconds, blobs, both_seconds
from curation import masks
from curation.browse import database
from curation.measures import ImageMasks, match_gold
from curation.measures.partners import COCO_THRESHOLDS, MOST_MASKS

if TYPE_CHECKING:
    import fiftyone as fo

FASTER_COCO_EVAL_FLOOR = 1.2
FIFTYONE_FLOOR = 300.0
#: Recalls at which COCO reads the precision, as pycocotools.cocoeval.Params makes them.
RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Scene:
    """RLE strings of one image's masks and of its gold; `scores` float64 (N,), all different."""

    number: int
    height: int
    width: int
    strings: list[str]
    gold: list[str]
    scores: np.ndarray

    def first(self, n_masks: int) -> Scene:
        """The same image with fewer masks and as many of gold."""
        return Scene(
            self.number,
            self.height,
            self.width,
            self.strings[:n_masks],
            self.gold[:n_masks],
            self.scores[:n_masks],
        )


def scene(seed: int, n_masks: int) -> Scene:
    rng = np.random.default_rng(seed)
    height, width = int(rng.integers(1400, 1600)), int(rng.integers(2150, 2350))
    pixels = blobs(height, width, n_masks, seed)
    pixels = pixels[pixels.any(axis=(1, 2))]
    found = np.concatenate(
        [list(_found(rng, pixels.view(np.uint8))), blobs(height, width, n_masks // 10, seed + 1000)]
    )
    found = found[found.any(axis=(1, 2))]
    strings, gold = (masks.to_strings(masks.encode(side.astype(bool))) for side in (found, pixels))
    scores = rng.permutation(len(strings)) / len(strings)
    order = rng.permutation(len(strings))
    return Scene(seed + 1, height, width, [strings[k] for k in order], gold, scores)


def _found(rng: np.random.Generator, pixels: np.ndarray) -> Iterator[np.ndarray]:
    """What a model could make of gold masks uint8 (N, H, W): one in ten not found, one merged, one cut, all moved aside."""
    for mask in pixels:
        kind = rng.integers(10)
        if kind == 0:
            continue
        step = 0.03 * np.sqrt(np.count_nonzero(mask))
        shift = np.float32([[1, 0, rng.normal(0, step)], [0, 1, rng.normal(0, step)]])
        moved = cv2.warpAffine(mask, shift, mask.shape[::-1], flags=cv2.INTER_NEAREST)
        if kind == 1:
            moved |= pixels[rng.integers(len(pixels))]
        elif kind == 2:
            moved[: int(np.flatnonzero(mask.any(axis=1)).mean())] = 0
        yield moved


# ------------------------------------------------------------------------------------------ curation


def matches(of: Scene) -> pa.Table:
    image, gold = (
        ImageMasks(
            run_id,
            of.number,
            of.width,
            of.height,
            np.arange(len(strings)),
            masks.parse_strings(strings, of.height, of.width),
            scores,
        )
        for run_id, strings, scores in ((1, of.strings, of.scores), (2, of.gold, None))
    )
    return match_gold(image, gold)


def our_scores(scenes: Sequence[Scene]) -> tuple[np.ndarray, np.ndarray]:
    """Average precision by threshold (10,), and average recall of the best MOST_MASKS masks (4,), from `gold_matches`."""
    tables = [matches(of) for of in scenes]
    bits = np.concatenate([table["coco_matched"].to_numpy()[: len(of.scores)] for table, of in zip(tables, scenes, strict=True)])  # fmt: skip
    n_gold = sum(len(of.gold) for of in scenes)
    found = sum(_found_by(table) for table in tables)
    by_score = np.argsort(-np.concatenate([of.scores for of in scenes]), kind="stable")
    is_right = bits[by_score].astype(np.int64)[:, None] >> np.arange(len(COCO_THRESHOLDS)) & 1
    return _average_precision(is_right, n_gold), found / (n_gold * len(COCO_THRESHOLDS))


def _found_by(table: pa.Table) -> np.ndarray:
    counts = table["coco_found"].drop_null().combine_chunks().flatten().to_numpy()
    return counts.reshape(-1, len(MOST_MASKS)).sum(axis=0)


def _average_precision(is_right: np.ndarray, n_gold: int) -> np.ndarray:
    """As COCOeval.accumulate has it, of masks by falling score, (N, 10)."""
    n_right = is_right.cumsum(axis=0)
    precision = n_right / np.arange(1, len(is_right) + 1)[:, None]
    best_after = np.maximum.accumulate(precision[::-1])[::-1]
    padded = np.concatenate([best_after, np.zeros((1, is_right.shape[1]))])
    places = [np.searchsorted(column / n_gold, RECALLS, side="left") for column in n_right.T]
    return np.array([padded[place, k].mean() for k, place in enumerate(places)])


# ------------------------------------------------------------------------------------------ faster-coco-eval


def coco_datasets(scenes: Sequence[Scene]) -> tuple[dict, dict]:
    """Gold and masks as COCO has them."""
    shared = {
        "images": [{"id": of.number, "height": of.height, "width": of.width} for of in scenes],
        "categories": [{"id": 1, "name": "mask"}],
    }
    gold, found = [], []
    for of in scenes:
        for strings, rows in ((of.gold, gold), (of.strings, found)):
            runs = masks.parse_strings(strings, of.height, of.width)
            for text, area_px, box in zip(
                strings, masks.areas(runs).tolist(), masks.boxes(runs).tolist(), strict=True
            ):
                rle = {"size": [of.height, of.width], "counts": text}
                row = {"id": len(rows) + 1, "image_id": of.number, "category_id": 1, "segmentation": rle}
                rows.append(row | {"area": area_px, "bbox": box, "iscrowd": 0})
        for row, score in zip(found[-len(of.scores) :], of.scores.tolist(), strict=True):
            row["score"] = score
    return {**shared, "annotations": gold}, {**shared, "annotations": found}


def their_scores(gold: dict, found: dict) -> tuple[np.ndarray, np.ndarray]:
    """As `our_scores`, by faster-coco-eval."""
    sides = COCO(), COCO()
    for side, dataset in zip(sides, (gold, found), strict=True):
        side.dataset = dataset
        side.createIndex()
    evaluation = COCOeval_faster(*sides, "segm", rle_iou_max_workers=1)
    evaluation.params.useCats = 0
    evaluation.params.maxDets = list(MOST_MASKS)
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.evaluate()
    evaluation.accumulate()
    precision, recall = (evaluation.eval[name] for name in ("precision", "recall"))
    return precision[:, :, 0, 0, -1].mean(axis=1), recall[:, 0, 0, :].mean(axis=0)


# ------------------------------------------------------------------------------------------ FiftyOne


def fiftyone_dataset(fo: object, of: Scene, name: str) -> fo.Dataset:
    def detections(strings: list[str], scores: Sequence[float | None]) -> fo.Detections:
        labels = []
        for index, (text, score) in enumerate(zip(strings, scores, strict=True)):
            rle = {"size": [of.height, of.width], "counts": text}
            x, y, w, h = (int(side) for side in coco.toBbox(rle))
            labels.append(
                fo.Detection(
                    label="mask",
                    bounding_box=[x / of.width, y / of.height, w / of.width, h / of.height],
                    mask=coco.decode(rle)[y : y + h, x : x + w].astype(bool),
                    confidence=score,
                    index=index,
                )
            )
        return fo.Detections(detections=labels)

    dataset = fo.Dataset(name)
    metadata = fo.ImageMetadata(width=of.width, height=of.height, num_channels=3)
    sample = fo.Sample(f"/{of.number}.jpg", metadata=metadata)
    sample["gold"] = detections(of.gold, [None] * len(of.gold))
    sample["found"] = detections(of.strings, of.scores.tolist())
    dataset.add_samples([sample], progress=False)
    return dataset


def fiftyone_seconds(of: Scene) -> float:
    """Processor time of FiftyOne's evaluation, whose verdict on every mask must be that of `match_gold`."""
    fo = database.connect()
    name = f"benchmark-gold-{uuid.uuid4().hex}"
    try:
        dataset = fiftyone_dataset(fo, of, name)
        started = process_time()
        dataset.evaluate_detections(
            "found", gt_field="gold", eval_key="eval", use_masks=True, classwise=False, progress=False
        )
        took_s = process_time() - started
        verdicts, of_gold = (dataset.values(f"{side}.detections.eval")[0] for side in ("found", "gold"))
    finally:
        if fo.dataset_exists(name):
            fo.delete_dataset(name)
    rows = matches(of).to_pylist()
    wanted = ["tp" if row["coco_matched"] & 1 else "fp" for row in rows if row["mask_id"] is not None]
    assert verdicts == wanted, "FiftyOne judges other masks to be right"
    assert of_gold.count("tp") == wanted.count("tp"), "FiftyOne finds other gold masks"
    return took_s


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--masks", type=int, default=100, help="gold masks an image")
    parser.add_argument("--fiftyone-masks", type=int, default=40, help="of one image, for FiftyOne")
    options = parser.parse_args()
    scenes = [scene(seed, options.masks) for seed in range(options.images)]
    gold, found = coco_datasets(scenes)
    with contextlib.redirect_stdout(io.StringIO()):
        for ours, theirs in zip(our_scores(scenes), their_scores(gold, found), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
        our_s, their_s = both_seconds(lambda: our_scores(scenes), lambda: their_scores(gold, found), 2)
    few = scenes[0].first(options.fiftyone_masks)
    matched_s = best_seconds(lambda: matches(few))
    fiftyone_s = fiftyone_seconds(few)

    precision, recall = our_scores(scenes)
    print(
        f"{options.images} images of about 1500 x 2250 px, {options.masks} gold masks each; "
        f"AP {precision.mean():.3f}, AR at {MOST_MASKS[-1]:,} {recall[-1]:.3f}, the same on both sides"
    )
    print(f"ms an image: curation {our_s / len(scenes) * 1e3:.1f}, faster-coco-eval {their_s / len(scenes) * 1e3:.1f}")  # fmt: skip
    print(f"ms for {len(few.strings)} masks: curation {matched_s * 1e3:.1f}, FiftyOne {fiftyone_s * 1e3:,.0f}")  # fmt: skip
    work = "matching and scoring against gold"
    is_kept = tell(
        Claim(work, "FiftyOne evaluate_detections, masks", matched_s, fiftyone_s, FIFTYONE_FLOOR),
        Claim(work, "faster-coco-eval", our_s, their_s, FASTER_COCO_EVAL_FLOOR),
    )
    raise SystemExit(not is_kept)


if __name__ == "__main__":
    main()
