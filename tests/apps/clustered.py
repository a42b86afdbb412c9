"""A workspace in which two searches have found clusters, with pictures and a point on the map for each mask."""

import json
from pathlib import Path

import numpy as np
import served

from curation.failures import clusters
from curation.lake import Lake
from curation.schemas import TABLES
from tests.failures.found_clusters import row

#: Words of a cluster that a page must not take for HTML or Markdown.
HOSTILE = "<b>small</b>, *x* [y](http://z)"


def fill(root: Path) -> Path:
    """40 masks on 8 pictures; clusters 1 (8 masks), 2 (12), and of the second search alone 3 (4), and 4 (4), all of
    whose masks have been corrected since.
    """
    served.make_workspace(root)
    with Lake.open(root) as lake:
        masks = lake.query("SELECT mask_id, run_id, image_id FROM masks ORDER BY mask_id").to_pylist()
        small = found("small", masks[:8], words=HOSTILE, rule="area_px < 2000", n_bad=6.0)
        thin = found("thin", masks[4:16], words="look alike: thin", rule=None, kind="embedding", n_bad=9.0)
        few = found("few", masks[20:24], words="few", n_bad=2.0)
        mended = found("mended", masks[36:], words="mended", n_bad=1.0)
        record(lake, [small, thin], [None, None])
        record(lake, [thin, few, mended], [2, None, None])
        correct(lake, [mask["mask_id"] for mask in masks[36:]])
    return root


def correct(lake: Lake, mask_ids: list[int]) -> None:
    """The same masks again, each of which names the one that it supersedes."""
    sql = """
        INSERT INTO masks BY NAME
        SELECT * REPLACE (mask_id + 1000 AS mask_id, mask_id AS supersedes) FROM masks
        WHERE list_contains(?, mask_id)
    """
    lake.commit(lambda con: con.execute(sql, [mask_ids]), "corrections")


def found(name: str, masks: list[dict], **changes) -> tuple[dict, list[dict]]:
    """A row of `clusters` and its members, around a place of their own on the map."""
    rng = np.random.default_rng(len(name))
    n_images = len({mask["image_id"] for mask in masks})
    told = json.dumps({"design": ["gold: all 40 masks of 8 images with gold"]})
    of = row(n_masks=len(masks), n_images=n_images, search=told, **changes)
    places = rng.normal(rng.uniform(-1, 1, 2), 0.2, (len(masks), 2)).tolist()
    return of, [{**mask, "x": x, "y": y} for mask, (x, y) in zip(masks, places, strict=True)]


def record(lake: Lake, groups: list[tuple[dict, list[dict]]], known: list[int | None]) -> None:
    """Keep what one search found."""
    members = [
        TABLES["cluster_members"]
        .table([{"search_id": 1, "cluster": 1, **mask} for mask in masks])
        .drop_columns(["search_id", "cluster"])
        for _, masks in groups
    ]
    rows = [of for of, _ in groups]
    lake.commit(lambda con: clusters.record_within(con, rows, members, known), "search")
