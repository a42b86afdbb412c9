"""A small lake that has something for every section of the report: pictures, masks, gold, measures, problems."""

from pathlib import Path

import lakes
import numpy as np

from curation import masks, runs, shards
from curation.generation.scenes import render
from curation.lake import Lake
from curation.measures import work
from curation.sampling import samples
from curation.sampling.frame import Scope
from curation.schemas import TABLES

SIZE = (160, 120)
N_IMAGES = 4
#: What a file name, a label or a reason may hold, and a page must not take for HTML.
HOSTILE = "<img src=x onerror=alert(1)>&\"'"
HOSTILE_FRAME = "'<b>week</b>' <> ''"
HOSTILE_ANNOTATOR = "<script>alert('ann')</script>"


class Scenes:
    """Work for `shards.run`: rendered scenes. As gold their exact masks; else these, each moved a little further."""

    def __init__(self, folder: Path, is_gold: bool) -> None:
        self.folder, self.is_gold = folder, is_gold

    def __call__(self, shard: shards.Shard) -> shards.Result:
        images, rows = [], []
        for number in range(shard.first, shard.stop):
            scene = render(1, number, SIZE)
            path = self.folder / f"{HOSTILE} {number}.jpg"
            path.write_bytes(scene.jpeg())
            image = lakes.image_row(shard.run_id, number, str(path), *SIZE)
            images.append(image)
            made = scene.wholes if self.is_gold else moved(scene.wholes)
            rows += lakes.mask_rows(shard.run_id, number, image, made, **({} if self.is_gold else SCORES))
        name = "gold_masks" if self.is_gold else "masks"
        rows = [_gold_row(row) if self.is_gold else row for row in rows]
        tables = {"images": TABLES["images"].table(images), name: TABLES[name].table(rows)}
        return shards.Result(tables, len(images), len(rows))


SCORES = {"predicted_iou": 0.93, "stability_score": 0.96}


def moved(runs_: masks.Runs) -> masks.Runs:
    """Each mask two pixels further to the right than the one before it, so that they agree less and less."""
    dense = masks.decode(runs_)
    return masks.encode(np.array([np.roll(one, 2 * k, axis=1) for k, one in enumerate(dense)]))


def _gold_row(row: dict) -> dict:
    kept = {name: value for name, value in row.items() if name in TABLES["gold_masks"].arrow.names}
    return {
        **kept,
        "gold_mask_id": row["mask_id"],
        "annotator": HOSTILE_ANNOTATOR,
        "is_anchored": False,
        "label": HOSTILE,
    }


def fill(lake: Lake, folder: Path, cycles: int = 2) -> None:
    """Runs 1 to `cycles` of one cycle each, and gold as the run after them; measured, matched, with a problem."""
    folder.mkdir()
    run_ids = [
        add_run(lake, folder, cycle=cycle, image_set_sha256=str(cycle) * 64) for cycle in range(cycles)
    ]
    gold = {
        "kind": "gold",
        "annotator": HOSTILE_ANNOTATOR,
        "is_anchored": False,
        "stage": None,
        "cycle": None,
    }
    gold_run_id = add_run(lake, folder, **gold)
    for run_id in run_ids:
        work.measure(lake, work.measure_shards(lake, run_id))
        work.match(lake, gold_run_id, work.match_shards(lake, run_id, gold_run_id))
    samples.draw(lake, samples.Request("week", "srs", 20, Scope(run_ids[-1], HOSTILE_FRAME)))
    lakes.judge(lake, "week", lambda position: "accept" if position % 4 else "reject")
    problem = {
        "run_id": run_ids[-1],
        "work": "import",
        "shard": "0000000000",
        "source": HOSTILE,
        "record": "",
        "kind": "image",
        "reason": f"broken {HOSTILE}",
    }
    lake.append({"problems": TABLES["problems"].table([problem])}, "a problem")


def add_run(lake: Lake, folder: Path, **changes) -> int:
    """A finished run of the scenes; `changes` go into its spec."""
    spec = lakes.spec(**{"n_images": N_IMAGES, "source": HOSTILE, **changes})
    run_id = runs.start(lake, spec).run_id
    shards.run(
        lake, Scenes(folder, spec.kind == "gold"), shards.plan(run_id, spec.kind, N_IMAGES, per_shard=2)
    )
    runs.finish(lake, run_id)
    return run_id
