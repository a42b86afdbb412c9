"""What the lake knows of the masks of a batch that came back, before anything is written: what was drawn and said meanwhile."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from curation import ids
from curation.review.batches import Place


@dataclass(frozen=True)
class Knowledge:
    """Rows of masks by id (`old`), of images by (run_id, image_id), each with stage and cycle of its run, and of drawings by
    what they supersede (`later`).

    `drawn_ids` of these images, also those that were taken back; `parents`: run of a correction -> run that it
    corrects, of others themselves; `task_of` and `said`: the annotator's task and decision in the batch, by mask.
    """

    old: Mapping[int, dict]
    images: Mapping[tuple[int, int], dict]
    later: Mapping[int, dict]
    drawn_ids: Collection[str]
    parents: Mapping[int, int]
    task_of: dict[int, str]
    said: Mapping[int, str]

    def image(self, mask: dict) -> dict:
        """The row of the image that a mask lies on."""
        return self.images[self.parents[mask["run_id"]], mask["image_id"]]

    def chain(self, mask_id: int) -> list[dict]:
        """What the mask was corrected to, one after the other: rows of `drawn_masks`."""
        chain = []
        while mask_id in self.later:
            chain.append(self.later[mask_id])
            mask_id = chain[-1]["mask_id"]
        return chain


def knowledge(
    con: duckdb.DuckDBPyConnection,
    batch: str,
    annotator: str,
    places: Mapping[int, Place],
    mask_ids: Collection[int],
) -> Knowledge:
    """What is known of these masks of a batch, of all that was drawn on their images, and of the annotator's answers."""
    images = sorted({places[mask_id].image_id for mask_id in mask_ids})
    drawn = rows_of(
        con, "SELECT * FROM current_drawn_masks WHERE list_contains($images, image_id)", images=images
    )
    taken_back = rows_of(
        con, "SELECT drawn_id FROM withdrawn_masks WHERE list_contains($images, image_id)", images=images
    )
    return Knowledge(
        old=_masks(con, sorted({*mask_ids, *(row["mask_id"] for row in drawn)})),
        images=_images(con, images),
        later={row["supersedes"]: row for row in drawn if row["supersedes"] is not None},
        drawn_ids={row["drawn_id"] for row in (*drawn, *taken_back)},
        parents=_parents(con),
        task_of=_answers(con, "tasks", "task_id", batch, annotator, "leased_at"),
        said=_answers(con, "current_verdicts", "decision", batch, annotator, "committed_at"),
    )


def _masks(con: duckdb.DuckDBPyConnection, wanted: list[int]) -> dict[int, dict]:
    run_ids = sorted({ids.unpack_mask_id(mask_id)[0] for mask_id in wanted})
    con.register("wanted", pa.table({"mask_id": pa.array(wanted, pa.int64())}))
    rows = rows_of(
        con,
        "SELECT * FROM masks SEMI JOIN wanted USING (mask_id) WHERE list_contains($run_ids, run_id)",
        run_ids=run_ids,
    )
    con.unregister("wanted")
    return {row["mask_id"]: row for row in rows}


def _images(con: duckdb.DuckDBPyConnection, images: list[int]) -> dict[tuple[int, int], dict]:
    rows = rows_of(
        con,
        "SELECT images.*, runs.stage, runs.cycle FROM images INNER JOIN runs USING (run_id) "
        "WHERE list_contains($images, image_id)",
        images=images,
    )
    return {(row["run_id"], row["image_id"]): row for row in rows}


def _parents(con: duckdb.DuckDBPyConnection) -> dict[int, int]:
    rows = rows_of(
        con,
        "SELECT run_id, CASE WHEN kind = 'correct' THEN parent_run_id ELSE run_id END AS parent FROM runs",
    )
    return {row["run_id"]: row["parent"] for row in rows}


def _answers(
    con: duckdb.DuckDBPyConnection, table: str, column: str, batch: str, annotator: str, order: str
) -> dict[int, str]:
    """A column of the annotator's tasks or verdicts in the batch, by mask; the last one counts."""
    rows = rows_of(
        con,
        f"SELECT mask_id, {column} FROM {table} WHERE sample = $batch AND rater = $rater AND purpose = 'correct' "
        f"ORDER BY {order}",
        batch=batch,
        rater=annotator,
    )
    return {row["mask_id"]: row[column] for row in rows}


def rows_of(con: duckdb.DuckDBPyConnection, sql: str, **params: object) -> list[dict]:
    """Rows of a statement, inside the open transaction of `con`."""
    return con.execute(sql, params or None).to_arrow_table().to_pylist()
