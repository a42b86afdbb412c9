"""Measures against OpenCV on full canvases: one run, one core, the same masks, from RLE strings to values.

    python -m benchmarks.measures [--images 2] [--masks 100]

Masks are those of `benchmarks.masks`, 100 an image of about 1500 x 2250 px, as in SA-1B; gold is the same masks a few
pixels aside. Times are processor time. What both sides compute is compared before it is timed, for every mask that
the peer measures. The peer is as short as OpenCV allows:

- features: decode, area, box, pieces and holes with their areas, hull, moments. `curation` computes perimeter,
  border gaps, smoothness of the outline and the Arrow table besides, and checks the RLE.
- boundary IoU: mask_to_boundary and boundary_iou of boundary-iou-api (Cheng et al. 2021), decoding included.
- IoU of all pairs: pycocotools.mask.iou.

A ratio above 1 means that `curation` is faster; ends with 1 where a floor of issue 3 is missed.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np
from pycocotools import mask as coco

from benchmarks.claims import Claim, tell
from benchmarks.masks import best_seconds, blobs, opencv_shape
from curation import masks
from curation.measures import MEASURES, ImageMasks, features, match_gold
from curation.settings import GOLD

cv2.setNumThreads(1)

FLOORS = {"features": 200.0, "boundary IoU": 50.0, "IoU of all pairs": 2.0}
PEERS = {
    "features": "decode + OpenCV on the canvas",
    "boundary IoU": "boundary-iou-api, dense",
    "IoU of all pairs": "pycocotools",
}
SHIFT_PX = 3
#: Masks of an image that the slow peers measure; their time is scaled to all.
N_PEER = 12


def opencv_features(rle: dict) -> dict[str, float]:
    """What OpenCV has of `mask_features`, on the mask's full canvas."""
    mask = coco.decode(rle)
    n_components, largest_px, n_holes, holes_px, hull_area_px = opencv_shape(mask)
    area_px = cv2.countNonZero(mask)
    x, y, w, h = cv2.boundingRect(mask)
    height, width = mask.shape
    of_mask = cv2.moments(mask, binaryImage=True)
    a, b, c = (of_mask[name] / area_px for name in ("mu20", "mu02", "mu11"))
    spread = np.hypot((a - b) / 2, c)
    return {
        "area_px": area_px,
        "bbox_xywh": [x, y, w, h],
        "relative_size": np.sqrt(area_px / mask.size),
        "n_borders_touched": (x == 0) + (y == 0) + (x + w == width) + (y + h == height),
        "n_components": n_components,
        "largest_component_px": largest_px,
        "n_holes": n_holes,
        "holes_px": holes_px,
        "hull_area_px": hull_area_px,
        "concavity": 1 - area_px / hull_area_px,
        "elongation": 1 - np.sqrt(max((a + b) / 2 - spread, 0) / ((a + b) / 2 + spread)),
        "center_xy": [
            (of_mask["m10"] / area_px + 0.5) / width,
            (of_mask["m01"] / area_px + 0.5) / height,
        ],
        "stray_share": 1 - largest_px / area_px,
    }


def official_boundary_iou(rle: dict, other: dict) -> float:
    """boundary_iou(gt, dt) of boundary_utils.py, decoding included."""
    first, second = mask_to_boundary(coco.decode(rle)), mask_to_boundary(coco.decode(other))
    return ((first * second) > 0).sum() / ((first + second) > 0).sum()


def mask_to_boundary(mask: np.ndarray) -> np.ndarray:
    """boundary_utils.py of bowenc0221/boundary-iou-api, as it is."""
    height, width = mask.shape
    dilation = max(1, round(GOLD.boundary_ratio * np.sqrt(height**2 + width**2)))
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=dilation)
    return mask - eroded[1 : height + 1, 1 : width + 1]


def image_of(strings: list[str], height: int, width: int, run_id: int = 1) -> ImageMasks:
    runs = masks.parse_strings(strings, height, width)
    return ImageMasks(run_id, 7, width, height, np.arange(len(strings)), runs)


def our_boundary_ious(strings: list[str], others: list[str], height: int, width: int) -> np.ndarray:
    distance_px = masks.boundary_distance_px(height, width, GOLD.boundary_ratio)
    first, second = (masks.parse_strings(side, height, width) for side in (strings, others))
    return masks.paired_iou(masks.boundaries(first, distance_px), masks.boundaries(second, distance_px))


def compare(seed: int, n_masks: int) -> dict[str, tuple[float, float | None]]:
    """Seconds (ours, peer's) of each measure on one image's masks; None where there is no peer."""
    rng = np.random.default_rng(seed)
    height, width = int(rng.integers(1400, 1600)), int(rng.integers(2150, 2350))
    pixels = blobs(height, width, n_masks, seed)
    pixels = pixels[pixels.any(axis=(1, 2))]
    aside = np.roll(pixels, (SHIFT_PX, -SHIFT_PX), axis=(1, 2))
    strings, others = (masks.to_strings(masks.encode(side)) for side in (pixels, aside))
    rles, other_rles = (
        [{"size": [height, width], "counts": text} for text in side] for side in (strings, others)
    )
    step = max(1, len(strings) // N_PEER)
    few, few_others = rles[::step], other_rles[::step]

    check_features(features(image_of(strings, height, width)).to_pylist()[::step], few)
    official = [official_boundary_iou(*pair) for pair in zip(few, few_others, strict=True)]
    assert np.array_equal(our_boundary_ious(strings, others, height, width)[::step], official), "boundary IoU"
    image, gold = image_of(strings, height, width), image_of(others, height, width, run_id=2)
    not_crowd = [0] * len(rles)
    assert np.array_equal(masks.iou(image.runs, gold.runs), coco.iou(rles, other_rles, not_crowd)), "IoU"

    scale = len(rles) / len(few)
    seconds: dict[str, tuple[float, float | None]] = {
        "features": (
            best_seconds(lambda: features(image_of(strings, height, width))),
            scale * best_seconds(lambda: [opencv_features(rle) for rle in few]),
        ),
        "boundary IoU": (
            best_seconds(lambda: our_boundary_ious(strings, others, height, width)),
            scale * best_seconds(lambda: list(map(official_boundary_iou, few, few_others))),
        ),
        "IoU of all pairs": (
            best_seconds(lambda: masks.iou(image.runs, gold.runs)),
            best_seconds(lambda: coco.iou(rles, other_rles, not_crowd)),
        ),
    }
    for name, measure in MEASURES.items():
        # Made anew each time: an image remembers its areas and intersections.
        alone = best_seconds(lambda measure=measure: measure(image_of(strings, height, width)))
        seconds[f"table {name}"] = (alone, None)
    matched = best_seconds(
        lambda: match_gold(image_of(strings, height, width), image_of(others, height, width, run_id=2))
    )
    seconds["table gold_matches"] = (matched, None)
    return seconds


def check_features(ours: list[dict], rles: list[dict]) -> None:
    for index, (row, rle) in enumerate(zip(ours, rles, strict=True)):
        for name, wanted in opencv_features(rle).items():
            np.testing.assert_allclose(
                row[name], wanted, rtol=1e-6, atol=1e-9, err_msg=f"{name} of mask {index}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--masks", type=int, default=100)
    options = parser.parse_args()
    images = [compare(seed, options.masks) for seed in range(options.images)]
    print(
        f"{options.images} images of about 1500 x 2250 px, {options.masks} masks each; processor ms an image"
    )
    told = []
    for name in images[0]:
        ours_s = sum(image[name][0] for image in images) / len(images)
        if images[0][name][1] is None:
            print(f"{name:24}{ours_s * 1e3:10.2f}")
            continue
        peer_s = sum(image[name][1] for image in images) / len(images)
        print(f"{name:24}{ours_s * 1e3:10.2f}{peer_s * 1e3:12.1f}")
        told.append(Claim(f"measures: {name}", PEERS[name], ours_s, peer_s, FLOORS[name]))
    raise SystemExit(not tell(*told))


if __name__ == "__main__":
    main()
