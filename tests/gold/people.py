"""Lakes whose gold several people drew, made of rectangles, and matched."""

import numpy as np

from curation import runs, shards
from curation.lake import Lake
from curation.masks import encode
from curation.measures import work
from curation.schemas import TABLES
from tests import lakes

HEIGHT_PX, WIDTH_PX = 40, 48


def rectangles(seed: int, n_masks: int) -> np.ndarray:
    """Masks bool (N, 40, 48) in cells of a grid, so that they rarely overlap."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((n_masks, HEIGHT_PX, WIDTH_PX), bool)
    for mask, cell in zip(masks, rng.permutation(20), strict=False):
        y, x = 10 * (cell // 5), 9 * (cell % 5)
        mask[y : y + rng.integers(4, 10), x : x + rng.integers(4, 9)] = True
    return masks


def shaken(masks: np.ndarray, seed: int) -> np.ndarray:
    """The same rectangles, moved by up to two pixels, some of them gone."""
    rng = np.random.default_rng(seed)
    kept = [np.roll(mask, rng.integers(-2, 3, 2), axis=(0, 1)) for mask in masks if rng.random() < 0.85]
    return np.array(kept).reshape(-1, HEIGHT_PX, WIDTH_PX)


class Drawn:
    """Work for `shards.run`: masks of each image, by its number, as `masks` or as gold of `annotator`."""

    def __init__(
        self, masks: list[np.ndarray], annotator: str | None, scores: list[list[float]] | None = None
    ) -> None:
        self.masks, self.annotator, self.scores = masks, annotator, scores

    def __call__(self, shard: shards.Shard) -> shards.Result:
        images, rows = [], []
        for number in range(shard.first, shard.stop):
            image = lakes.image_row(shard.run_id, number, width_px=WIDTH_PX, height_px=HEIGHT_PX)
            images.append(image)
            found = lakes.mask_rows(shard.run_id, number, image, encode(self.masks[number]))
            for index, row in enumerate(found):
                if self.scores:
                    row["predicted_iou"] = self.scores[number][index]
            rows += found
        table = "masks"
        if self.annotator:
            table = "gold_masks"
            names = TABLES[table].arrow.names
            rows = [
                {name: value for name, value in row.items() if name in names}
                | {"gold_mask_id": row["mask_id"], "annotator": self.annotator, "is_anchored": False}
                for row in rows
            ]
        tables = {"images": TABLES["images"].table(images), table: TABLES[table].table(rows)}
        return shards.Result(tables, len(images), len(rows))


def add_run(lake: Lake, masks: list[np.ndarray], annotator: str | None = None, scores=None) -> int:
    """Number of a new run: gold of `annotator`, or masks without one."""
    kind = "gold" if annotator else "import"
    changes = (
        {"annotator": annotator, "is_anchored": False, "stage": None, "cycle": None} if annotator else {}
    )
    spec = lakes.spec(kind=kind, image_set_sha256=f"{annotator}", n_images=len(masks), **changes)
    run_id = runs.start(lake, spec).run_id
    shards.run(lake, Drawn(masks, annotator, scores), shards.plan(run_id, kind, len(masks), per_shard=100))
    runs.finish(lake, run_id)
    return run_id


def match(lake: Lake, run_id: int, gold_run_id: int) -> None:
    work.match(lake, gold_run_id, work.match_shards(lake, run_id, gold_run_id))
