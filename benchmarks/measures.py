"""Measures against their peers on full canvases and on RLE: one run, one core, the same masks, from RLE strings to values.

    python -m benchmarks.measures [--images 2] [--masks 100]

Masks are those of `benchmarks.masks`, 100 an image of about 1500 x 2250 px, as in SA-1B; gold is the same masks a few
pixels aside. Times are processor time. What both sides compute is compared before it is timed, for every mask that
a slow peer measures: every eighth by area, whose time is scaled to all.

- features: `mask_features`, with perimeter, border gaps, smoothness of the outline, the Arrow table and the check of RLE.
  OpenCV: decode, area, box, pieces and holes with their areas, hull, moments, all of them equal. scikit-image: decode,
  `label` for the pieces, and of regionprops area, box, centre, axes, Euler number, which are equal, and filled area,
  hull area and perimeter, which it defines otherwise (the first two on the raster, the perimeter as an estimate).
- self-IoU and coverage: the tables `overlaps` and `image_coverage`, with the largest uncovered region and crowdedness.
  pycocotools: iou of all masks with all, merge, area.
- boundary IoU: mask_to_boundary and boundary_iou of boundary-iou-api (Cheng et al. 2021), decoding included; and of
  faster-coco-eval its own kernel for boundaries, `toBoundary`, and `iou`, which is what COCOeval with iouType "boundary"
  spends its time with.

Profiles (cProfile) of an image of 68,000 runs: features 4.5 ms, of which smoothness 1.9, pieces, holes and hull 1.0, parsing and
checking 0.35, cutting runs at columns 0.2, moments 0.15, NumPy and Arrow 0.9. Boundary IoU 4 ms, half of it erosion of
both sides. Self-IoU and coverage 2.8 ms: union 0.65, intersections 0.75, parsing 0.35, Arrow and NumPy 0.6.

A ratio above 1 means that `curation` is faster; ends with 1 where a floor of issue 6 is missed.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np
import pyarrow as pa
from faster_coco_eval.core import mask as faster_coco
from faster_coco_eval.mask_api_new_cpp import toBoundary
from pycocotools import mask as coco
from skimage.measure import label, regionprops

from benchmarks.claims import Claim, tell
from benchmarks.masks import best_seconds, blobs, both_seconds, opencv_shape
from curation import masks
from curation.measures import MEASURES, ImageMasks, coverage, features, match_gold, overlaps
from curation.settings import GOLD

cv2.setNumThreads(1)

#: Least ratio by (work, peer): issue 6, section 1.
FLOORS = {
    ("mask features", "decode + OpenCV on the canvas"): 500.0,
    ("mask features", "decode + scikit-image regionprops"): 800.0,
    ("self-IoU and coverage", "pycocotools"): 4.0,
    ("boundary IoU", "boundary-iou-api, dense"): 100.0,
    ("boundary IoU", "faster-coco-eval"): 40.0,
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


def skimage_features(rle: dict) -> dict[str, float]:
    """What regionprops has of `mask_features`; those of `not_ours` are other definitions of the same."""
    mask = coco.decode(rle)
    (region,) = regionprops(mask)
    pieces = label(region.image, connectivity=2)
    top, left, bottom, right = region.bbox
    y, x = region.centroid
    height, width = mask.shape
    return {
        "area_px": region.area,
        "bbox_xywh": [left, top, right - left, bottom - top],
        "center_xy": [(x + 0.5) / width, (y + 0.5) / height],
        "elongation": _elongation(region.axis_major_length, region.axis_minor_length),
        "n_components": pieces.max(),
        "largest_component_px": np.bincount(pieces.ravel())[1:].max(),
        "n_holes": pieces.max() - region.euler_number,
        "not_ours": (region.area_filled, region.area_convex, region.perimeter),
    }


def _elongation(major: float, minor: float) -> float:
    return 1 - minor / major if major else 0.0


def official_boundary_ious(rles: list[dict], others: list[dict]) -> list[float]:
    """boundary_iou(gt, dt) of boundary_utils.py, decoding included."""
    found = []
    for rle, other in zip(rles, others, strict=True):
        first, second = mask_to_boundary(coco.decode(rle)), mask_to_boundary(coco.decode(other))
        found.append(((first * second) > 0).sum() / ((first + second) > 0).sum())
    return found


def mask_to_boundary(mask: np.ndarray) -> np.ndarray:
    """boundary_utils.py of bowenc0221/boundary-iou-api, as it is."""
    height, width = mask.shape
    dilation = max(1, round(GOLD.boundary_ratio * np.sqrt(height**2 + width**2)))
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=dilation)
    return mask - eroded[1 : height + 1, 1 : width + 1]


def faster_boundary_ious(rles: list[dict], others: list[dict]) -> list[float]:
    first, second = (toBoundary(side, GOLD.boundary_ratio) for side in (rles, others))
    return [faster_coco.iou([one], [other], [0])[0, 0] for one, other in zip(first, second, strict=True)]


def coco_overlaps(rles: list[dict]) -> tuple[np.ndarray, int, float]:
    """IoU of all masks with all, covered px, and mean depth of a covered pixel."""
    covered_px = int(coco.area(coco.merge(rles)))
    return coco.iou(rles, rles, [0] * len(rles)), covered_px, coco.area(rles).sum() / covered_px


def image_of(strings: list[str], height: int, width: int, run_id: int = 1) -> ImageMasks:
    runs = masks.parse_strings(strings, height, width)
    return ImageMasks(run_id, 7, width, height, np.arange(len(strings)), runs)


def our_boundary_ious(strings: list[str], others: list[str], height: int, width: int) -> np.ndarray:
    distance_px = masks.boundary_distance_px(height, width, GOLD.boundary_ratio)
    first, second = (masks.parse_strings(side, height, width) for side in (strings, others))
    return masks.paired_iou(masks.boundaries(first, distance_px), masks.boundaries(second, distance_px))


def our_overlaps(strings: list[str], height: int, width: int) -> tuple:
    image = image_of(strings, height, width)
    return overlaps(image), coverage(image)


def compare(seed: int, n_masks: int) -> dict[tuple[str, str], tuple[float, float]]:
    """Seconds (ours, peer's) of each (work, peer) on one image's masks, and of each table alone (ours, nan)."""
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
    chosen = np.argsort(coco.area(rles), kind="stable")[step // 2 :: step]
    few, few_others = ([side[k] for k in chosen] for side in (rles, other_rles))

    check_features(features(image_of(strings, height, width)).take(chosen).to_pylist(), few)
    check_overlaps(*our_overlaps(strings, height, width), *coco_overlaps(rles))
    boundary_ious = our_boundary_ious(strings, others, height, width)[chosen]
    for peer in (official_boundary_ious, faster_boundary_ious):
        assert np.array_equal(boundary_ious, peer(few, few_others)), peer.__name__

    scale = len(rles) / len(few)
    slow = {
        ("mask features", "decode + OpenCV on the canvas"): lambda: list(map(opencv_features, few)),
        ("mask features", "decode + scikit-image regionprops"): lambda: list(map(skimage_features, few)),
        ("boundary IoU", "boundary-iou-api, dense"): lambda: official_boundary_ious(few, few_others),
        ("boundary IoU", "faster-coco-eval"): lambda: faster_boundary_ious(few, few_others),
    }
    ours = {
        "mask features": best_seconds(lambda: features(image_of(strings, height, width)), 1),
        "boundary IoU": best_seconds(lambda: our_boundary_ious(strings, others, height, width)),
    }
    seconds = {of: (ours[of[0]], scale * best_seconds(peer)) for of, peer in slow.items()}
    seconds["self-IoU and coverage", "pycocotools"] = both_seconds(
        lambda: our_overlaps(strings, height, width), lambda: coco_overlaps(rles)
    )
    # Made anew each time: an image remembers its areas and intersections.
    for name, measure in MEASURES.items():
        alone = best_seconds(lambda measure=measure: measure(image_of(strings, height, width)))
        seconds[f"table {name}", ""] = (alone, float("nan"))
    matched = best_seconds(
        lambda: match_gold(image_of(strings, height, width), image_of(others, height, width, run_id=2))
    )
    seconds["table gold_matches", ""] = (matched, float("nan"))
    return seconds


def check_features(ours: list[dict], rles: list[dict]) -> None:
    for index, (row, rle) in enumerate(zip(ours, rles, strict=True)):
        for peer in (opencv_features, skimage_features):
            for name, wanted in peer(rle).items():
                if name != "not_ours":
                    message = f"{name} of mask {index}, {peer.__name__}"
                    np.testing.assert_allclose(row[name], wanted, rtol=1e-6, atol=1e-9, err_msg=message)


def check_overlaps(
    pairs: pa.Table, covered: pa.Table, ious: np.ndarray, covered_px: int, mean_depth: float
) -> None:
    ours = np.eye(len(ious))
    ours[pairs["mask_id"], pairs["other_mask_id"]] = pairs["iou"]
    ours[pairs["other_mask_id"], pairs["mask_id"]] = pairs["iou"]
    assert np.array_equal(ours, ious), "IoU"
    (row,) = covered.to_pylist()
    assert (row["covered_px"], row["mean_depth"]) == (covered_px, mean_depth), "coverage"


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
    for (work, peer), both in {
        of: np.mean([image[of] for image in images], axis=0) for of in images[0]
    }.items():
        if peer:
            print(f"{work:24}{both[0] * 1e3:10.2f}{both[1] * 1e3:12.1f}  {peer}")
            told.append(Claim(work, peer, *both.tolist(), FLOORS[work, peer]))
        else:
            print(f"{work:24}{both[0] * 1e3:10.2f}")
    raise SystemExit(not tell(*told))


if __name__ == "__main__":
    main()
