"""Clusters for tests, without a search."""

import json

from curation.failures import clusters
from curation.lake import Lake
from curation.schemas import TABLES


def row(**changes) -> dict:
    """A row of `clusters` as a search hands it over; change what matters to the test."""
    values = {
        "kind": "slice",
        "words": "small",
        "rule": "area_px < 1024",
        "failure_mode": "fine_grained",
        "failure_mode_shares": json.dumps({"fine_grained": 1.0}),
        "n_masks": 3,
        "n_images": 2,
        "n_labelled_masks": 2,
        "n_labelled_images": 2,
        "bad_share": 0.5,
        "bad_share_low": 0.1,
        "bad_share_high": 0.9,
        "rest_bad_share": 0.1,
        "difference": 0.4,
        "difference_low": 0.1,
        "difference_high": 0.7,
        "n_bad": 1.5,
        "n_bad_low": 0.3,
        "n_bad_high": 2.7,
        "p_value": 0.001,
        "q_value": 0.01,
        "centroid": None,
        "search": "{}",
    }
    return {**values, **changes}


def keep(
    lake: Lake, rows: list[dict], masks: list[list[int]], known: list[int | None]
) -> tuple[int, list[int]]:
    """Record a search that found `rows`, with these masks of run 1 and image 10 as members."""
    names = ("mask_id", "run_id", "image_id", "x", "y")
    schema = TABLES["cluster_members"].arrow
    tables = [
        TABLES["cluster_members"]
        .table([{"search_id": 1, "cluster": 1, "mask_id": m, "run_id": 1, "image_id": 10} for m in of])
        .select([name for name in schema.names if name in names])
        for of in masks
    ]
    return lake.commit(lambda con: clusters.record_within(con, rows, tables, known), "search")
