"""Runs of random masks in a lake, to be measured and matched."""

from pathlib import Path

import lakes
from blobs import blobs
from PIL import Image

from curation import runs, shards
from curation.masks import encode
from curation.schemas import TABLES


class StoredBlobs:
    """Work for `shards.run`: each image gets its row and some masks; in `gold_masks` where `is_gold`.

    Pictures are there only where a `folder` is given, to which they are written.
    """

    def __init__(
        self,
        n_masks: int,
        is_gold: bool = False,
        width_px: int = 8,
        damage: str | None = None,
        folder: Path | None = None,
    ) -> None:
        self.n_masks, self.is_gold, self.width_px, self.damage = n_masks, is_gold, width_px, damage
        self.folder = folder

    def __call__(self, shard: shards.Shard) -> shards.Result:
        images, masks = [], []
        for number in range(shard.first, shard.stop):
            uri = None if self.folder is None else str(self.folder / f"{number}.png")
            image = lakes.image_row(shard.run_id, number, uri, width_px=self.width_px)
            if uri is not None:
                Image.new("RGB", (self.width_px, image["height_px"]), (200, 30, 90)).save(uri)
            images.append(image)
            runs_ = encode(blobs(number, self.n_masks, image["height_px"], self.width_px))
            masks += lakes.mask_rows(shard.run_id, number, image, runs_)
        if self.damage:
            masks[1]["rle_counts"] = self.damage
        name = "masks"
        if self.is_gold:
            name = "gold_masks"
            masks = [_gold_row(row) for row in masks]
        tables = {"images": TABLES["images"].table(images), name: TABLES[name].table(masks)}
        return shards.Result(tables, len(images), len(masks))


def _gold_row(row: dict) -> dict:
    kept = {name: value for name, value in row.items() if name in TABLES["gold_masks"].arrow.names}
    return {**kept, "gold_mask_id": row["mask_id"], "annotator": "renderer", "is_anchored": False}


def stored_run(lake, n_images=4, n_masks=5, kind="import", is_finished=True, name="", **changes) -> int:
    spec = lakes.spec(kind=kind, image_set_sha256=f"{kind} {name}", n_images=n_images)
    run_id = runs.start(lake, spec).run_id
    blobs_ = StoredBlobs(n_masks, is_gold=kind == "gold", **changes)
    shards.run(lake, blobs_, shards.plan(run_id, kind, n_images, per_shard=2))
    if is_finished:
        runs.finish(lake, run_id)
    return run_id
