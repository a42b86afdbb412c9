"""Which shards of a run are still to do, and what an older contract left of them."""

from dataclasses import dataclass

import duckdb

from curation import shards
from curation.errors import LakeError
from curation.lake import Lake
from curation.measures import MEASURES
from curation.schemas import TABLES
from curation.shards import Shard

#: About 10,000 masks at SA-1B's 100 an image: two row groups a file, seconds of work a commit.
IMAGES_PER_SHARD = 100

RUNS_SQL = "SELECT run_id FROM runs WHERE kind <> 'gold' ORDER BY run_id"
GOLD_RUNS_SQL = "SELECT run_id FROM runs WHERE kind = 'gold' AND finished_at IS NOT NULL ORDER BY run_id"
DONE_SHARDS_SQL = "SELECT shard FROM shards WHERE run_id = $run_id AND work = $work"
DATA_SHARDS_SQL = """
    SELECT first_image, stop_image
    FROM shards
    WHERE run_id = $run_id AND work = (SELECT kind FROM runs WHERE run_id = $run_id)
    ORDER BY first_image
"""
OUTDATED_SQL = """
    FROM shards
    WHERE
        run_id = $run_id
        AND shard IN (SELECT unnest($names))
        AND (work = $name OR starts_with(work, $name || ':v'))
        AND work <> $work
"""
#: Rows of a run and of its corrections, which have no shards of their own.
_OF_RUN = """
    run_id = $run_id OR run_id IN (SELECT run_id FROM runs WHERE kind = 'correct' AND parent_run_id = $run_id)
"""


@dataclass(frozen=True)
class Job:
    """One kind of work on the masks of a run; `tables` are what it fills, for one gold run where it is given."""

    name: str
    tables: tuple[str, ...]
    gold_run_id: int | None = None

    @property
    def work(self) -> str:
        """Its name in `shards`. It tells the versions of its tables, so that a new contract makes it undone."""
        return f"{self.name}:v{sum(TABLES[table].version for table in self.tables)}"

    def todo(self, lake: Lake, run_id: int) -> list[Shard]:
        """Shards of a run that are still to do; while it grows, only those whose images are all there."""
        rows = lake.con.execute(DONE_SHARDS_SQL, {"run_id": run_id, "work": self.work}).fetchall()
        done = {name for (name,) in rows}
        planned = shards.plan(run_id, self.work, _n_images_ready(lake, run_id), IMAGES_PER_SHARD)
        return [shard for shard in planned if shard.name not in done]

    def drop_outdated(self, lake: Lake, todo: list[Shard]) -> int:
        """Take out of the lake what older contracts left of these shards, and return how many they were.

        One transaction a run: killed afterwards, the shards are as if they had never been done, and are done next.
        """
        n_dropped = 0
        for run_id in sorted({shard.run_id for shard in todo}):
            names = [shard.name for shard in todo if shard.run_id == run_id]
            of_run = {"run_id": run_id, "names": names, "name": self.name, "work": self.work}
            (n_outdated,) = lake.con.execute(f"SELECT count(*) {OUTDATED_SQL}", of_run).fetchone()
            if n_outdated:
                lake.commit(
                    lambda con, of_run=of_run: self._drop(con, of_run), f"{self.name} run {run_id}: outdated"
                )
            n_dropped += n_outdated
        return n_dropped

    def _drop(self, con: duckdb.DuckDBPyConnection, of_run: dict) -> None:
        of_gold = "" if self.gold_run_id is None else f"AND gold_run_id = {self.gold_run_id}"
        for table in self.tables:
            con.execute(
                f"""
                DELETE FROM "{table}" WHERE ({_OF_RUN}) {of_gold} AND image_id IN (
                    SELECT images.image_id
                    FROM images
                    INNER JOIN (SELECT first_image, stop_image {OUTDATED_SQL}) AS outdated
                        ON images.image_number >= outdated.first_image
                        AND images.image_number < outdated.stop_image
                    WHERE images.run_id = $run_id
                )
                """,
                of_run,
            )
        con.execute(
            f"""
            DELETE FROM problems
            WHERE run_id = $run_id AND (work, shard) IN (SELECT (work, shard) {OUTDATED_SQL})
            """,
            of_run,
        )
        con.execute(f"DELETE {OUTDATED_SQL}", of_run)


MEASURE = Job("measure", tuple(MEASURES))
APPEARANCE = Job("appearance", ("mask_appearance",))


def match_job(gold_run_id: int) -> Job:
    return Job(f"match:{gold_run_id}", ("gold_matches",), gold_run_id)


def measurable_runs(lake: Lake) -> list[int]:
    """Runs that made, imported or retuned masks, gold aside."""
    return [run_id for (run_id,) in lake.con.execute(RUNS_SQL).fetchall()]


def gold_runs(lake: Lake) -> list[int]:
    """Gold runs whose import is complete."""
    return [run_id for (run_id,) in lake.con.execute(GOLD_RUNS_SQL).fetchall()]


def measure_shards(lake: Lake, run_id: int) -> list[Shard]:
    """Shards of a run that are still to measure. Raises LakeError where the number names no run with masks."""
    _require(run_id, measurable_runs(lake))
    return MEASURE.todo(lake, run_id)


def appearance_shards(lake: Lake, run_id: int) -> list[Shard]:
    """Shards of a run whose masks' appearance is still to measure. Raises LakeError as `measure_shards`."""
    _require(run_id, measurable_runs(lake))
    return APPEARANCE.todo(lake, run_id)


def match_shards(lake: Lake, run_id: int, gold_run_id: int) -> list[Shard]:
    """Shards of a run, of gold or not, that are still to match with a gold run.

    Raises LakeError where a number names no such (finished) run, or both are the same.
    """
    golds = gold_runs(lake)
    if gold_run_id not in golds:
        raise LakeError(
            f"gold run {gold_run_id}: no finished import of gold has this number; finished are: {_numbers(golds)}"
        )
    if run_id == gold_run_id:
        raise LakeError(f"run {run_id}: it cannot be matched with itself; name the run of another annotator")
    _require(run_id, sorted({*measurable_runs(lake), *golds} - {gold_run_id}))
    return match_job(gold_run_id).todo(lake, run_id)


def _require(run_id: int, allowed: list[int]) -> None:
    if run_id not in allowed:
        raise LakeError(f"run {run_id}: no run with masks has this number; there are: {_numbers(allowed)}")


def _n_images_ready(lake: Lake, run_id: int) -> int:
    """Images from number 0 on that are all there; of a run that still grows, only whole shards of them."""
    n_ready = 0
    for first, stop in lake.con.execute(DATA_SHARDS_SQL, {"run_id": run_id}).fetchall():
        if first > n_ready:
            break
        n_ready = stop
    finished_sql = "SELECT finished_at IS NOT NULL FROM runs WHERE run_id = $run_id"
    (is_finished,) = lake.con.execute(finished_sql, {"run_id": run_id}).fetchone()
    return n_ready if is_finished else n_ready - n_ready % IMAGES_PER_SHARD


def _numbers(run_ids: list[int]) -> str:
    return ", ".join(map(str, run_ids)) or "none"
