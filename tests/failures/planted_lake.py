"""A lake of measured masks with gold, in which small masks at the border, and those of one look, are bad."""

from datetime import datetime, timezone

import numpy as np

from curation.ids import image_id, mask_id
from curation.lake import Lake
from curation.masks import encode, to_strings
from curation.schemas import TABLES

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
N_DIMS = 16
SIDE_PX = 400
MASKS_PER_IMAGE = 20


def fill(
    lake: Lake,
    n_images: int = 60,
    run_id: int = 1,
    seed: int = 0,
    gold_images: int | None = None,
    has_look: bool = True,
) -> None:
    """A run; gold run 100 tells of the masks on the first `gold_images` images. Bad: half of what is planted, 8 % of
    the rest. Without `has_look` no mask has an embedding.
    """
    rng = np.random.default_rng(seed)
    tables: dict[str, list[dict]] = {
        name: []
        for name in ("images", "masks", "mask_features", "mask_embeddings", "gold_matches", "image_coverage")
    }
    # What things look like is the same in every run.
    looks = np.random.default_rng(0).normal(size=(6, N_DIMS))
    size = {"width_px": SIDE_PX, "height_px": SIDE_PX}
    for number in range(n_images):
        uri = f"/images/{number}.jpg"
        image = {"run_id": run_id, "image_id": image_id(uri)}
        tables["images"].append(
            {**image, **size, "image_number": number, "uri": uri, "file_name": f"{number}.jpg"}
        )
        tables["image_coverage"].append(_coverage(image, float(rng.uniform(0, 14))))
        for index in range(MASKS_PER_IMAGE):
            one = {**image, "mask_id": mask_id(run_id, number, index)}
            is_small, at_border, look = rng.random() < 0.3, rng.random() < 0.3, int(rng.integers(6))
            side = int(rng.integers(10, 30) if is_small else rng.integers(40, 120))
            x = 0 if at_border else int(rng.integers(5, 200))
            tables["masks"].append(
                {
                    **one,
                    **size,
                    "mask_index": index,
                    "stage": "fully_automatic",
                    "cycle": 0,
                    "area_px": side * side,
                    "bbox_xywh": [x, 100, side, side],
                    "predicted_iou": float(rng.uniform(0.6, 1)),
                    "stability_score": float(rng.uniform(0.8, 1)),
                    "is_crowd": False,
                    "rle_counts": _square(x, 100, side),
                }
            )
            tables["mask_features"].append(_features(one, x, side, rng))
            if has_look:
                vector = looks[look] + 0.2 * rng.normal(size=N_DIMS)
                tables["mask_embeddings"].append(
                    {
                        "run_id": run_id,
                        "mask_id": one["mask_id"],
                        "n_dims": N_DIMS,
                        "embedding": vector.astype("<f2").tobytes(),
                    }
                )
            is_bad = rng.random() < (0.5 if (is_small and at_border) or look == 0 else 0.08)
            if gold_images is None or number < gold_images:
                tables["gold_matches"].append(
                    {
                        **one,
                        "gold_run_id": 100,
                        "gold_iou": 0.4 if is_bad else 0.95,
                        "error_kind": "spill" if is_bad else "none",
                        "coco_ignored": 0,
                    }
                )
    run = {
        "run_id": run_id,
        "run_key": str(run_id),
        "kind": "generate",
        "source": "test",
        "stage": "fully_automatic",
        "cycle": 0,
        "settings": "{}",
        "image_set_sha256": "0" * 64,
        "n_images": n_images,
        "versions": "{}",
        "started_at": START,
    }
    tables["runs"] = [run]
    lake.append({name: TABLES[name].table(rows) for name, rows in tables.items()}, "masks")


def _coverage(image: dict, crowdedness: float) -> dict:
    return {
        **image,
        "n_masks": MASKS_PER_IMAGE,
        "covered_px": 100,
        "covered_share": 0.5,
        "largest_uncovered_px": 100,
        "largest_uncovered_bbox_xywh": [0, 0, 10, 10],
        "mean_depth": 1.0,
        "crowdedness": crowdedness,
    }


def _features(one: dict, x: int, side: int, rng: np.random.Generator) -> dict:
    return {
        **one,
        "area_px": side * side,
        "bbox_xywh": [x, 100, side, side],
        "image_share": side * side / SIDE_PX**2,
        "relative_size": side / SIDE_PX,
        "n_borders_touched": int(x == 0),
        "touches_left": x == 0,
        "touches_top": False,
        "touches_right": False,
        "touches_bottom": False,
        "n_components": 1,
        "largest_component_px": side * side,
        "n_holes": 0,
        "holes_px": 0,
        "perimeter_px": 4 * side,
        "hull_area_px": float(side * side),
        "solidity": float(rng.uniform(0.7, 1)),
        "concavity": 0.0,
        "elongation": float(rng.uniform(0, 0.5)),
        "center_xy": [(x + side / 2) / SIDE_PX, (100 + side / 2) / SIDE_PX],
    }


def _square(x: int, y: int, side: int) -> str:
    pixels = np.zeros((1, SIDE_PX, SIDE_PX), bool)
    pixels[0, y : y + side, x : x + side] = True
    return to_strings(encode(pixels))[0]
