"""Rows that name rows of other tables: whether these are there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import duckdb

from curation.engine.doctor_finding import Finding, Repair
from curation.lake import Lake

#: Ids of everything that a person can be shown or a gold mask be matched with.
_MASKS = "SELECT mask_id FROM masks"
_ANY_MASKS = "SELECT mask_id FROM masks UNION ALL SELECT gold_mask_id FROM gold_masks"
_GOLD_MASKS = "SELECT gold_mask_id FROM gold_masks"
_RUNS = "SELECT run_id FROM runs"
#: A run of corrections has its images in the run that it corrects.
_IMAGES = """
    SELECT run_id, image_id FROM images
    UNION ALL
    SELECT runs.run_id, images.image_id
    FROM runs INNER JOIN images ON images.run_id = runs.parent_run_id
    WHERE runs.kind = 'correct'
"""
#: What can be computed again from masks, images and models.
_AGAIN = "it can be computed again where its mask comes back; --fix takes it out"
_NEVER = "restore the masks from a backup, or go back to a version that has them; it is never deleted"


@dataclass(frozen=True)
class Link:
    """Columns of a table that name a row of another; nulls name none. `is_derived` rows may be taken out."""

    table: str
    columns: tuple[str, ...]
    named: str
    of: str
    is_derived: bool = False

    @property
    def condition(self) -> str:
        """SQL that chooses the rows whose row is not there."""
        names = ", ".join(f'"{name}"' for name in self.columns)
        is_given = " AND ".join(f'"{name}" IS NOT NULL' for name in self.columns)
        key = names if len(self.columns) == 1 else f"({names})"
        of = self.of if len(self.columns) == 1 else f"SELECT (run_id, image_id) FROM ({self.of})"
        return f"{is_given} AND {key} NOT IN ({of})"

    @property
    def repair(self) -> Repair | None:
        if not self.is_derived:
            return None

        def delete(con: duckdb.DuckDBPyConnection) -> int:
            return con.execute(f'DELETE FROM "{self.table}" WHERE {self.condition}').fetchone()[0]

        return delete


LINKS = (
    *(Link(table, ("run_id",), "a run", _RUNS) for table in ("images", "shards", "candidates", "problems")),
    Link("masks", ("run_id", "image_id"), "an image of its run", _IMAGES),
    Link("gold_masks", ("run_id", "image_id"), "an image of its run", _IMAGES),
    Link("masks", ("supersedes",), "a mask to correct", _MASKS),
    Link("image_coverage", ("run_id", "image_id"), "an image", _IMAGES, is_derived=True),
    *(
        Link(table, ("mask_id",), "a mask", _MASKS, is_derived=True)
        for table in (
            "mask_features",
            "mask_nesting",
            "mask_appearance",
            "mask_embeddings",
            "overlaps",
            "verifier_scores",
            "routes",
        )
    ),
    Link("overlaps", ("other_mask_id",), "a mask", _MASKS, is_derived=True),
    Link("gold_matches", ("mask_id",), "a mask", _ANY_MASKS, is_derived=True),
    Link("gold_matches", ("gold_mask_id",), "a gold mask", _GOLD_MASKS, is_derived=True),
    Link("cluster_members", ("mask_id",), "a mask", _MASKS),
    *(
        Link(table, ("mask_id",), "a mask", _ANY_MASKS)
        for table in ("samples", "tasks", "verdicts", "drawn_masks", "mined")
    ),
    Link("verdicts", ("task_id",), "a task", "SELECT task_id FROM tasks"),
    Link("verdicts", ("sample",), "a sample", "SELECT sample FROM samples"),
    Link("verdicts", ("replaces",), "a verdict", "SELECT verdict_id FROM verdicts"),
    Link("tags", ("snapshot_id",), "a version", "SELECT snapshot_id FROM lake.snapshots()"),
)


def examine(lake: Lake, advance: Callable[[int], None]) -> Iterator[Finding]:
    """One anti-join a link."""
    for link in LINKS:
        advance(1)
        # DuckLake asks its catalog about each column of an empty table: ten times as slow as to find it empty.
        if lake.con.execute(f'SELECT 1 FROM "{link.table}" LIMIT 1').fetchone() is None:
            continue
        first = f'min("{link.columns[-1]}")'
        (n, example) = lake.con.execute(
            f'SELECT count(*), {first} FROM "{link.table}" WHERE {link.condition}'
        ).fetchone()
        if n:
            yield Finding(
                "link",
                link.table,
                n,
                f"it names {link.named} that is not there, such as {link.columns[-1]} {example}",
                remedy=_AGAIN if link.is_derived else _NEVER,
                repair=link.repair,
            )
    yield from _packed_ids(lake)


def _packed_ids(lake: Lake) -> Iterator[Finding]:
    """A mask's id tells its run, so that shards of a run are ranges of ids."""
    for table, column in (
        ("masks", "mask_id"),
        ("gold_masks", "gold_mask_id"),
        ("candidates", "candidate_id"),
    ):
        n, example = lake.con.execute(
            f"SELECT count(*), min({column}) FROM {table} WHERE {column} >> 47 <> run_id"
        ).fetchone()
        if n:
            yield Finding(
                "link",
                table,
                n,
                f"its id was packed for another run than it stands in, such as {column} {example}",
                remedy="it was written past curation; import it again",
            )
