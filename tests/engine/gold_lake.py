"""A lake with masks and gold of known agreement."""

from lakes import image_row, spec

from curation import runs
from curation.lake import Lake
from curation.schemas import TABLES


def write_run(
    lake: Lake, ious: dict[int, list[float]], gold_run: int | None = None, **changes
) -> tuple[int, int]:
    """A finished run whose masks on image k have the best IoU `ious[k]`; (run, gold run)."""
    run_id = runs.start(lake, spec(n_images=len(ious), **changes)).run_id
    if gold_run is None:
        gold_spec = spec(
            kind="gold", stage=None, cycle=None, annotator="ann", is_anchored=False, settings={"of": run_id}
        )
        gold_run = runs.start(lake, gold_spec).run_id
    images = [image_row(run_id, number) for number in ious]
    masks, matches = [], []
    for image, of_image in zip(images, ious.values(), strict=True):
        for index, iou in enumerate(of_image):
            mask_id = (run_id << 47) + (image["image_number"] << 17) + index
            masks.append(
                {
                    "run_id": run_id, "mask_id": mask_id, "image_id": image["image_id"], "mask_index": index,
                    "stage": changes.get("stage", "fully_automatic"), "cycle": changes.get("cycle", 0),
                    "width_px": 8, "height_px": 6, "area_px": 4, "bbox_xywh": [0, 0, 2, 2], "is_crowd": False,
                    "predicted_iou": iou, "rle_counts": "0",
                }
            )  # fmt: skip
            matches.append(
                {
                    "run_id": run_id, "gold_run_id": gold_run, "image_id": image["image_id"], "mask_id": mask_id,
                    "gold_iou": iou, "best_gold_mask_id": index, "gold_mask_id": mask_id, "matched_iou": iou,
                }
            )  # fmt: skip
    rows = {"images": images, "masks": masks, "gold_matches": matches}
    lake.append({name: TABLES[name].table(listed) for name, listed in rows.items()}, "test")
    runs.finish(lake, run_id)
    return run_id, gold_run
