"""Scoring whole runs with a verifier: shards of images, read from the lake and written back to it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import duckdb
import numpy as np

from curation import shards
from curation.errors import LakeError
from curation.ids import mask_id_range
from curation.lake import Lake
from curation.measures import schedule
from curation.measures import stored as stored_masks
from curation.shards import LOCAL, Done, Engine, Result, Shard, Summary
from curation.verifier import features, stored
from curation.verifier.crossfit import Model

#: Masks that the verifier has scored are left as they are: those that it learned from come with the fit.
_UNSCORED = """
    SELECT masks.mask_id, masks.image_id
    FROM masks
    ANTI JOIN (
        SELECT mask_id FROM verifier_scores
        WHERE run_id = $run_id AND verifier = $verifier AND mask_id >= $first_id AND mask_id < $stop_id
    ) AS scored USING (mask_id)
    WHERE masks.run_id = $run_id AND masks.mask_id >= $first_id AND masks.mask_id < $stop_id
    ORDER BY masks.mask_id
"""
#: A group of columns -> the table that holds it.
_TABLE_OF_GROUP = {
    "measures": "mask_features",
    "appearance": "mask_appearance",
    features.EMBEDDING: "mask_embeddings",
}
_COMMAND_OF_GROUP = {
    "measures": "`curation measure` computes them",
    "appearance": "`curation measure --appearance` computes it",
    features.EMBEDDING: "they come with `curation generate`; imported masks have none",
}


@dataclass(frozen=True)
class ScoreWork:
    """Score the masks of a shard's images that the verifier has not scored yet."""

    root: Path
    verifier: str

    def __call__(self, shard: Shard) -> Result:
        lake = stored_masks.reader(self.root)
        first_id, stop_id = mask_id_range(shard.run_id, shard.first, shard.stop)
        params = {"run_id": shard.run_id, "verifier": self.verifier, "first_id": first_id, "stop_id": stop_id}
        rows = lake.query(_UNSCORED, params)
        mask_id, image_id = rows["mask_id"].to_numpy(), rows["image_id"].to_numpy()
        run_id = np.full(len(mask_id), shard.run_id)
        model = _model(self.root, self.verifier)
        seen = features.read(lake, run_id, mask_id, model.n_dims)
        scored = stored.score_rows(self.verifier, run_id, mask_id, image_id, model.score(seen, image_id))
        return Result({"verifier_scores": scored}, len(np.unique(image_id)), len(mask_id))


def shards_to_score(lake: Lake, verifier: str, run_id: int) -> list[Shard]:
    """Shards of a run that are still to score. Raises LakeError where there is no such verifier or no run with masks."""
    stored.get(lake, verifier)
    runs = schedule.measurable_runs(lake)
    if run_id not in runs:
        there = ", ".join(map(str, runs)) or "none"
        raise LakeError(f"run {run_id}: no run with masks has this number; there are: {there}")
    return schedule.Job(_work(verifier), ("verifier_scores",)).todo(lake, run_id)


def score(
    lake: Lake,
    verifier: str,
    todo: list[Shard],
    workers: int | None = None,
    on_done: Callable[[Done], None] | None = None,
    engine: Engine = LOCAL,
) -> Summary:
    """Do `shards_to_score` and commit each."""
    return shards.run(lake, ScoreWork(lake.root, verifier), todo, workers, on_done, engine)


def unknown(lake: Lake, verifier: str, run_id: int) -> list[str]:
    """What the verifier learned from and no mask of the run has, in words with what to do; none where all is there."""
    learned = set(stored.get(lake, verifier)["columns"])
    lacking = []
    for group, table in _TABLE_OF_GROUP.items():
        columns = {group} if group == features.EMBEDDING else set(features.GROUPS[group])
        of_run = f"SELECT 1 FROM {table} WHERE run_id = ? LIMIT 1"
        if columns & learned and not lake.con.execute(of_run, [run_id]).fetchone():
            lacking.append(f"{group}: {_COMMAND_OF_GROUP[group]}")
    return lacking


def forget(lake: Lake, verifier: str, run_id: int) -> int:
    """Drop all scores of a run, so that `score` makes them anew, and return how many they were.

    For masks that were measured since. Those of images that the verifier learned from come back from the fold that left
    them out, so they stay held out.
    """

    def drop(con: duckdb.DuckDBPyConnection) -> int:
        con.execute(
            "DELETE FROM shards WHERE run_id = ? AND starts_with(work, ?)", [run_id, f"{_work(verifier)}:v"]
        )
        of_run = "FROM verifier_scores WHERE run_id = ? AND verifier = ?"
        (n_dropped,) = con.execute(f"SELECT count(*) {of_run}", [run_id, verifier]).fetchone()
        con.execute(f"DELETE {of_run}", [run_id, verifier])
        return n_dropped

    stored.get(lake, verifier)
    return lake.commit(drop, f"scores of run {run_id} by {verifier} dropped")


def _work(verifier: str) -> str:
    return f"verify:{verifier}"


@lru_cache(maxsize=1)
def _model(root: Path, verifier: str) -> Model:
    """The verifier, loaded once a process."""
    return stored.load(stored_masks.reader(root), verifier)
