"""Small lakes and rows for tests."""

from datetime import datetime, timezone

from curation import runs
from curation.ids import image_id, mask_id
from curation.lake import Lake
from curation.masks import Runs, areas, boxes, to_strings
from curation.schemas import TABLES
from curation.shards import Result, Shard


def spec(**changes) -> runs.RunSpec:
    """A run of four images; change what matters to the test."""
    values = {
        "kind": "import",
        "source": "test",
        "settings": {},
        "image_set_sha256": "0" * 64,
        "n_images": 4,
        "stage": "fully_automatic",
        "cycle": 0,
    }
    return runs.RunSpec(**{**values, **changes})


def image_row(
    run_id: int, number: int, uri: str | None = None, width_px: int = 8, height_px: int = 6
) -> dict:
    uri = uri or f"/images/{number}.jpg"
    return {
        "run_id": run_id,
        "image_id": image_id(uri),
        "image_number": number,
        "uri": uri,
        "file_name": uri.rsplit("/", 1)[-1],
        "width_px": width_px,
        "height_px": height_px,
    }


def mask_rows(run_id: int, number: int, image: dict, masks: Runs, **changes) -> list[dict]:
    """Rows of `masks` for the masks of one image."""
    return [
        {
            "run_id": run_id,
            "mask_id": mask_id(run_id, number, index),
            "image_id": image["image_id"],
            "mask_index": index,
            "stage": "fully_automatic",
            "cycle": 0,
            "width_px": masks.width,
            "height_px": masks.height,
            "area_px": area,
            "bbox_xywh": box,
            "is_crowd": False,
            "rle_counts": counts,
            **changes,
        }
        for index, (area, box, counts) in enumerate(
            zip(areas(masks).tolist(), boxes(masks).tolist(), to_strings(masks), strict=True)
        )
    ]


class NumberedMasks:
    """Work for `shards.run`: each image of the shard gets `n_masks` embeddings that name it."""

    def __init__(self, n_masks: int = 3) -> None:
        self.n_masks = n_masks

    def __call__(self, shard: Shard) -> Result:
        rows = [
            {
                "run_id": shard.run_id,
                "mask_id": mask_id(shard.run_id, number, index),
                "n_dims": 1,
                "embedding": b"ab",
            }
            for number in range(shard.first, shard.stop)
            for index in range(self.n_masks)
        ]
        images = [image_row(shard.run_id, number) for number in range(shard.first, shard.stop)]
        tables = {
            "mask_embeddings": TABLES["mask_embeddings"].table(rows),
            "images": TABLES["images"].table(images),
        }
        return Result(tables, n_images=len(images), n_masks=len(rows))


def new_lake(root) -> Lake:
    return Lake.create(root)


def judge(lake: Lake, sample: str, decide) -> None:
    """Verdicts of ann on every mask of a sample: what `decide` says of its position."""
    masks = lake.query(
        "SELECT mask_id, run_id, image_id, position FROM samples WHERE sample = ?", [sample]
    ).to_pylist()
    same = {"sample": sample, "rater": "ann", "purpose": "review", "reasons": [], "took_s": 1.0}
    same |= dict.fromkeys(("given_at", "committed_at"), datetime(2026, 1, 1, tzinfo=timezone.utc))
    rows = [
        {**mask, **same, "verdict_id": f"{sample} {position}", "decision": decide(position)}
        for mask in masks
        for position in [mask.pop("position")]
    ]
    lake.append({"verdicts": TABLES["verdicts"].table(rows)}, "verdicts")
