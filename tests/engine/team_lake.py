"""Workspaces of both kinds: SQLite with a folder, and PostgreSQL with a bucket, on real servers."""

import uuid
from pathlib import Path

import pytest
from lakes import NumberedMasks, spec

from curation import runs, shards
from curation.lake import Lake


def bucket(s3_url: str) -> str:
    """URL of a prefix in a new bucket."""
    import boto3

    name = f"lake-{uuid.uuid4().hex}"
    boto3.client("s3", endpoint_url=s3_url).create_bucket(Bucket=name)
    return f"s3://{name}/w"


def places(kind: str, request: pytest.FixtureRequest) -> dict[str, str | None]:
    """`catalog` and `data` of a new workspace of a kind: local or team."""
    if kind == "local":
        return {"catalog": None, "data": None}
    catalog, s3_url = (request.getfixturevalue(name) for name in ("postgres_url", "s3_server"))
    return {"catalog": catalog, "data": bucket(s3_url)}


def add_run(lake: Lake, name: str, n_shards: int = 3, n_masks: int = 4) -> int:
    """A finished run with one image a shard."""
    run = runs.start(lake, spec(settings={"name": name}, n_images=n_shards))
    shards.run(lake, NumberedMasks(n_masks), shards.plan(run.run_id, "import", n_shards, 1))
    runs.finish(lake, run.run_id)
    return run.run_id


def mask_ids(root: Path, at: str | int | None = None) -> list[int]:
    with Lake.open(root, at=at, read_only=True) as lake:
        return lake.query("SELECT mask_id FROM mask_embeddings ORDER BY mask_id")["mask_id"].to_pylist()
