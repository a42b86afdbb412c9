"""Generations and imports that are under way: how far, how fast, and how long it may still take."""

from dataclasses import dataclass
from datetime import datetime

from curation import queries
from curation.lake import Lake

#: How the time left is estimated, for those who show it.
DESIGN = "images left take as long as those so far; 95 %, shards are independent"

_UNFINISHED = """
    SELECT
        runs.run_id,
        runs.kind,
        runs.stage,
        runs.cycle,
        runs.model,
        runs.source,
        runs.n_images AS n_planned_images,
        count(shards.shard) AS n_shards,
        coalesce(sum(shards.stop_image - shards.first_image), 0)::BIGINT AS n_done_images,
        coalesce(sum(shards.n_masks), 0)::BIGINT AS n_masks,
        coalesce(sum(shards.n_problems), 0)::BIGINT AS n_problems,
        runs.started_at,
        max(shards.finished_at) AS last_shard_at
    FROM runs
    LEFT JOIN shards ON runs.run_id = shards.run_id AND runs.kind = shards.work
    WHERE runs.finished_at IS NULL AND runs.kind <> 'correct'
    GROUP BY ALL
    ORDER BY runs.run_id DESC
"""


@dataclass(frozen=True)
class RunProgress:
    """One run that is not finished; it may also have been stopped: `last_shard_at` tells.

    `n_done_images` counts those that could not be read too. Rates are an hour of the time in which at least one
    worker worked. `left_s` and its 95 % bounds, in seconds, are None before the first shard; bounds need two.
    """

    run_id: int
    kind: str
    stage: str | None
    cycle: int | None
    model: str | None
    source: str
    n_planned_images: int
    n_shards: int
    n_done_images: int
    n_masks: int
    n_problems: int
    started_at: datetime
    last_shard_at: datetime | None
    images_per_hour: float | None
    masks_per_hour: float | None
    left_s: float | None
    left_s_low: float | None
    left_s_high: float | None

    @property
    def done_share(self) -> float:
        """Part of the plan that is done, 0..1; an empty plan is done."""
        return self.n_done_images / self.n_planned_images if self.n_planned_images else 1.0


def running(lake: Lake) -> list[RunProgress]:
    """Every run without an end, the newest first; none where all are finished."""
    return [RunProgress(**run, **_speed(lake, run)) for run in lake.query(_UNFINISHED).to_pylist()]


def _speed(lake: Lake, run: dict) -> dict[str, float | None]:
    rows = queries.get("throughput").run(lake, run_id=run["run_id"]).to_pylist()
    row = next((row for row in rows if row["work"] == run["kind"]), {})
    n_left = run["n_planned_images"] - run["n_done_images"]
    workers = row.get("mean_workers")
    left = {
        f"left_s{bound}": n_left * row[f"working_s_per_image{bound}"] / workers
        if workers and row[f"working_s_per_image{bound}"] is not None
        else None
        for bound in ("", "_low", "_high")
    }
    return {name: row.get(name) for name in ("images_per_hour", "masks_per_hour")} | left
