"""Generation as work for shards: read an image, generate, and turn the outcome into rows."""

import functools
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from curation import ids
from curation.errors import InputError
from curation.formats.images import Image, ImagePlan, image_row, read_image
from curation.generation.devices import available, claim
from curation.generation.generator import Candidates, generate_image
from curation.generation.ledger import Fate, Ledger, Pass
from curation.generation.models import LocalModel
from curation.generation.presets import GenerationSettings
from curation.generation.segmenters import Segmenter
from curation.masks import areas, boxes, to_strings
from curation.measures.stored import StoredImage
from curation.schemas import TABLES
from curation.shards import Result, Shard, problem

WORK = "generate"
_TABLES = ("images", "candidates", "masks", "mask_embeddings")


@dataclass(frozen=True)
class GenerateWork:
    """Masks for the images of a shard. Every process that works loads the model once, on a device of its own.

    `slots` names a device for every worker, `locks` is a folder where they are claimed (devices.claim). Without `locks`
    the engine shows every process a device of its own, and the one slot is what `--device` said.
    `threads` is how many CPU threads a process may use.
    """

    plan: ImagePlan
    model: LocalModel
    settings: GenerationSettings
    stage: str
    cycle: int
    slots: tuple[str, ...]
    locks: Path | None
    keep_rle_above: float | None = None
    threads: int | None = None

    def __call__(self, shard: Shard) -> Result:
        segmenter = _segmenter(self.model, self.slots, self.locks, self.threads)
        parts: dict[str, list[pa.Table]] = {name: [] for name in _TABLES}
        problems, n_masks = [], 0
        for item in self.plan.items(shard.first, shard.stop):
            try:
                image = read_image(item)
                candidates = generate_image(
                    segmenter,
                    image.pixels,
                    self.settings,
                    keep_rle_above=self.keep_rle_above,
                    on_note=_tell,
                )
            except InputError as error:
                problems.append(problem(shard, item.uri, error, image_id=ids.image_id(item.uri)))
                continue
            for name, table in self._tables(shard.run_id, item.number, image, candidates).items():
                parts[name].append(table)
            n_masks += len(candidates.kept)
        tables = {name: pa.concat_tables(tables) for name, tables in parts.items() if tables}
        tables["problems"] = TABLES["problems"].table(problems)
        return Result(tables, n_images=len(parts["images"]), n_masks=n_masks)

    def _tables(self, run_id: int, number: int, image: Image, candidates: Candidates) -> dict[str, pa.Table]:
        first_id = ids.mask_id(run_id, number, 0)
        return {
            "images": TABLES["images"].table([image_row(image, run_id, number)]),
            "candidates": TABLES["candidates"].table(candidate_columns(run_id, first_id, image, candidates)),
            "masks": TABLES["masks"].table(
                mask_columns(run_id, first_id, image, candidates) | self._stage(len(candidates.kept))
            ),
            "mask_embeddings": TABLES["mask_embeddings"].table(
                _embedding_columns(run_id, first_id, candidates)
            ),
        }

    def _stage(self, n: int) -> dict[str, list]:
        return {"stage": [self.stage] * n, "cycle": [self.cycle] * n}


def candidate_columns(
    run_id: int, first_id: int, image: Image | StoredImage, candidates: Candidates
) -> Mapping[str, object]:
    """Columns of `candidates` for one image; `first_id` is the id of its candidate 0."""
    ledger = candidates.ledger
    n = len(ledger)
    layers = np.array([crop.layer for crop in ledger.crops], np.int8)
    is_duplicate = ledger.duplicate_of >= 0
    was_made = ledger.area_px >= 0
    rle_counts = np.full(n, None, object)
    rle_counts[candidates.near_misses] = to_strings(candidates.raw_masks(candidates.near_misses))
    return {
        "run_id": np.full(n, run_id, np.int32),
        "candidate_id": first_id + np.arange(n),
        "image_id": np.full(n, image.image_id),
        "candidate_index": np.arange(n, dtype=np.int32),
        "crop_box_xywh": _lists(_crop_boxes_xywh(ledger)),
        "crop_layer": layers[ledger.crop_number],
        "point_xy": _lists(ledger.point_xy),
        "multimask_slot": ledger.slot,
        "predicted_iou": ledger.predicted_iou,
        "stability_score": pa.array(ledger.stability_score, mask=np.isnan(ledger.stability_score)),
        "area_px": pa.array(ledger.area_px, mask=~was_made),
        "bbox_xywh": _lists(ledger.bbox_xywh, is_null=~was_made),
        "fate": _names(Fate)[ledger.fate].tolist(),
        "duplicate_of": pa.array(first_id + ledger.duplicate_of, mask=~is_duplicate),
        "duplicate_pass": pa.array(_names(Pass)[ledger.duplicate_pass], mask=~is_duplicate),
        "rle_counts": pa.array(rle_counts, pa.string()),
    }


def mask_columns(
    run_id: int, first_id: int, image: Image | StoredImage, candidates: Candidates
) -> dict[str, object]:
    """Columns of `masks` for one image, without stage and cycle."""
    order = np.argsort(candidates.kept)
    kept, masks, ledger = candidates.kept[order], candidates.masks[order], candidates.ledger
    n = len(kept)
    stability = ledger.stability_score[kept].astype(np.float64)
    return {
        "run_id": np.full(n, run_id, np.int32),
        "mask_id": first_id + kept,
        "image_id": np.full(n, image.image_id),
        "mask_index": kept.astype(np.int32),
        "width_px": np.full(n, image.width_px, np.int32),
        "height_px": np.full(n, image.height_px, np.int32),
        "area_px": areas(masks),
        "bbox_xywh": _lists(boxes(masks)),
        "predicted_iou": ledger.predicted_iou[kept].astype(np.float64),
        "stability_score": pa.array(stability, mask=np.isnan(stability)),
        "point_xy": _lists(ledger.point_xy[kept]),
        "crop_box_xywh": _lists(_crop_boxes_xywh(ledger)[kept].astype(np.float64)),
        "multimask_slot": ledger.slot[kept],
        "is_crowd": [False] * n,
        "rle_counts": to_strings(masks),
    }


def _embedding_columns(run_id: int, first_id: int, candidates: Candidates) -> dict[str, object]:
    """A mask without a pixel has no mean, and no row."""
    has_mean = np.flatnonzero(areas(candidates.masks) > 0)
    rows = has_mean[np.argsort(candidates.kept[has_mean])]
    means = candidates.embeddings[rows].astype("<f2")
    return {
        "run_id": np.full(len(rows), run_id, np.int32),
        "mask_id": first_id + candidates.kept[rows],
        "n_dims": np.full(len(rows), means.shape[1], np.int16),
        "embedding": [mean.tobytes() for mean in means],
    }


def _crop_boxes_xywh(ledger: Ledger) -> np.ndarray:
    boxes_xywh = [[crop.x, crop.y, crop.width, crop.height] for crop in ledger.crops]
    return np.array(boxes_xywh, np.int32)[ledger.crop_number]


def _lists(rows: np.ndarray, is_null: np.ndarray | None = None) -> pa.ListArray:
    """A list column from an array (N, k)."""
    n, k = rows.shape
    offsets = pa.array(np.arange(0, (n + 1) * k, k, dtype=np.int32))
    mask = None if is_null is None else pa.array(is_null)
    return pa.ListArray.from_arrays(offsets, pa.array(rows.ravel()), mask=mask)


def _names(codes: type[Fate] | type[Pass]) -> np.ndarray:
    return np.array([code.name.lower() for code in codes], object)


@functools.lru_cache(maxsize=1)
def _segmenter(
    model: LocalModel, slots: tuple[str, ...], locks: Path | None, threads: int | None
) -> Segmenter:
    device = available(slots[0], model.backend)[0] if locks is None else claim(slots, locks)
    return model.load(device, threads)


def _tell(note: str) -> None:
    print(f"curation: {note}", file=sys.stderr, flush=True)
