"""A workspace that has something for every view: masks, gold, a cycle, samples, verdicts of two people, a run under way."""

from datetime import datetime, timedelta, timezone
from pathlib import Path
from uuid import uuid4

import lakes
import numpy as np
import served

from curation import masks, runs
from curation.lake import Lake
from curation.measures import work
from curation.review import queue, verdicts
from curation.sampling import samples
from curation.sampling.frame import Scope
from curation.schemas import TABLES

#: A rater's name that a page must not take for HTML or Markdown.
HOSTILE = "<b>Bea</b> *x*"
SIZE = (240, 320)


def fill(root: Path) -> Path:
    """The workspace of `served.make_workspace`, with all of the above."""
    served.make_workspace(root, size_px=SIZE)
    with Lake.open(root) as lake:
        add_shards(lake, [shard_row(1, "import", 0, 8)])
        runs.finish(lake, 1)
        add_gold(lake)
        add_running(lake)
        request = {"size": 12, "by": "worst", "risk": "area_px", "scope": Scope(1)}
        samples.draw(lake, samples.Request("worst", "purposive", **request))
        judge(lake, served.SAMPLE)
        lake.tag("judged")
    return root


def add_gold(lake: Lake) -> None:
    """Gold for run 1: its masks, each moved further to the right than the one before it."""
    spec = lakes.spec(kind="gold", n_images=8, stage=None, cycle=None, annotator="Gil", is_anchored=False)
    gold = runs.start(lake, spec).run_id
    images = lake.query("SELECT * FROM images WHERE run_id = 1 ORDER BY image_number").to_pylist()
    rows = []
    for image in images:
        image["run_id"] = gold
        held = lake.query(
            "SELECT rle_counts FROM masks WHERE image_id = ? ORDER BY mask_id", [image["image_id"]]
        )
        dense = masks.decode(masks.parse_strings(held["rle_counts"].to_pylist(), *SIZE))
        moved = masks.encode(np.array([np.roll(one, 9 * k, axis=1) for k, one in enumerate(dense)]))
        for row in lakes.mask_rows(gold, image["image_number"], image, moved):
            kept = {name: value for name, value in row.items() if name in TABLES["gold_masks"].arrow.names}
            rows.append({**kept, "gold_mask_id": row["mask_id"], "annotator": "Gil", "is_anchored": False})
    lake.append(
        {"images": TABLES["images"].table(images), "gold_masks": TABLES["gold_masks"].table(rows)}, "gold"
    )
    add_shards(lake, [shard_row(gold, "gold", 0, 8)])
    runs.finish(lake, gold)
    work.measure(lake, work.measure_shards(lake, 1))
    work.match(lake, gold, work.match_shards(lake, 1, gold))


def add_running(lake: Lake) -> None:
    """A generation of 8 images of which 4 are done, 10 s each."""
    spec = lakes.spec(kind="generate", model="sam2-tiny", n_images=8, cycle=1, settings={"a": "b"})
    run_id = runs.start(lake, spec).run_id
    add_shards(
        lake, [shard_row(run_id, "generate", first, first + 2, took_s=20.0 + first) for first in (0, 2)]
    )


def add_shards(lake: Lake, rows: list[dict]) -> None:
    lake.append({"shards": TABLES["shards"].table(rows)}, "shards")


def shard_row(run_id: int, kind: str, first: int, stop: int, took_s: float = 20.0) -> dict:
    """A finished shard of 15 masks an image; later shards ended later."""
    return {
        "run_id": run_id,
        "work": kind,
        "shard": f"{first:010d}",
        "first_image": first,
        "stop_image": stop,
        "n_images": stop - first,
        "n_masks": 15 * (stop - first),
        "n_problems": 0,
        "took_s": took_s,
        "finished_at": datetime.now(timezone.utc) - timedelta(seconds=60 - 25 * first),
    }


def judge(lake: Lake, sample: str) -> None:
    """Ann and another judge the sample, and do not always agree."""
    now = datetime.now(timezone.utc) - timedelta(hours=1)
    for turn in range(3):
        for rater, often in (("Ann", 3), (HOSTILE, 2)):
            tasks = queue.next_tasks(lake, rater, sample, n=10, now=now)
            given = []
            for k, task in enumerate(tasks):
                now += timedelta(seconds=4)
                is_bad = (task.mask_id + k) % often == 0
                given.append(
                    verdicts.Verdict(
                        str(uuid4()),
                        rater,
                        "fix" if is_bad else "accept",
                        task_id=task.task_id,
                        rating=3 if is_bad else 9,
                        reasons=["missed_part", "poor_edge"] if is_bad else [],
                        note=HOSTILE,
                        took_s=4.0,
                        given_at=now,
                    )
                )
            refused = verdicts.give(lake, given, now=now).refused
            assert not refused, (turn, refused)
