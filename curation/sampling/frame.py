"""The frame of a sample: the masks of one snapshot that could be drawn, as columns; no pixels are read."""

from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from curation import conditions
from curation.errors import InputError, QueryError
from curation.lake import Lake

#: Words for strata besides columns and SQL expressions.
STRATA = {"run": "run_id"}
#: Stratum of a frame that is one.
ALL = "all"
VIEW = "frame_masks"


@dataclass(frozen=True)
class Scope:
    """Which masks: of one run, or of the newest run of each image of a stage and cycle; that meet a condition.

    What people corrected or drew counts among the masks of the run that it corrects.
    """

    run_id: int | None = None
    where: str | None = None


@dataclass(frozen=True)
class Frame:
    """N masks, sorted by id: mask_id, run_id, image_id (N,), and the values that were asked for by name (N,)."""

    mask_id: np.ndarray
    run_id: np.ndarray
    image_id: np.ndarray
    values: dict[str, pa.Array]

    def __len__(self) -> int:
        return len(self.mask_id)


def read(
    lake: Lake,
    scope: Scope,
    expressions: dict[str, tuple[str, str]] | None = None,
    masks: str = "current_masks",
) -> Frame:
    """The frame as `lake` shows it (open it at a version), with a value a mask for each of `expressions`.

    `masks`: `current_masks`, or `masks`, which has those too that a correction has superseded.

    Expressions are name -> (option that it was given to, SQL), over the columns of `conditions.create_view`.
    Raises QueryError for a run that is not there and for SQL that is no expression, InputError where no mask
    is left.
    """
    expressions = expressions or {}
    asked = [scope.where or "", *(sql for _, sql in expressions.values()), "image_run_id"]
    conditions.create_view(lake.con, VIEW, asked, masks)
    if scope.run_id is None:
        chosen = (
            "SEMI JOIN (SELECT run_id AS image_run_id, image_id FROM current_images) AS newest "
            "USING (image_run_id, image_id) WHERE $run_id IS NULL"
        )
    else:
        _check_run(lake, scope.run_id)
        chosen = "WHERE $run_id IN (run_id, image_run_id)"
    if scope.where is not None:
        conditions.check_condition(lake.con, "--where", scope.where, VIEW)
        chosen += f" AND ({scope.where}\n)"
    for option, sql in expressions.values():
        conditions.check_expression(lake.con, option, sql, VIEW)
    values = "".join(f', ({sql}\n) AS "{name}"' for name, (_, sql) in expressions.items())
    try:
        rows = lake.query(
            f"SELECT mask_id, run_id, image_id{values} FROM {VIEW} {chosen} ORDER BY mask_id",
            {"run_id": scope.run_id},
        )
    except duckdb.Error as error:  # what only the values show, such as a text that is no number
        raise QueryError(f"the frame cannot be read: {error}") from error
    if not rows.num_rows:
        raise InputError(_empty(lake, scope))
    columns = [rows[name].to_numpy() for name in ("mask_id", "run_id", "image_id")]
    return Frame(*columns, {name: rows[name].combine_chunks() for name in expressions})


def strata(frame: Frame, name: str) -> tuple[list[str], np.ndarray]:
    """Names of the strata, sorted, and the number of each mask's (N,); what is not known is `unknown`."""
    texts = frame.values[name].cast(pa.string()).fill_null("unknown").dictionary_encode()
    names = texts.dictionary.to_pylist()
    order = sorted(range(len(names)), key=names.__getitem__)
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    return [names[i] for i in order], rank[texts.indices.to_numpy()]


def numbers(frame: Frame, name: str) -> np.ndarray:
    """Values as float64 (N,), NaN for null. Raises InputError where they are no numbers."""
    try:
        return frame.values[name].cast(pa.float64()).fill_null(float("nan")).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid as error:
        raise InputError(f"{name}: its values are {frame.values[name].type}; numbers are needed") from error


def embeddings(lake: Lake, found: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Places (n,) in the frame of the masks that have an embedding of the most frequent length, and these, float16
    (n, D); without any n is 0.
    """
    lake.con.register("wanted", pa.table({"run_id": found.run_id, "mask_id": found.mask_id}))
    rows = lake.query("""
        WITH held AS (SELECT mask_id, n_dims, embedding FROM mask_embeddings SEMI JOIN wanted USING (run_id, mask_id))
        SELECT mask_id, embedding FROM held WHERE n_dims = (SELECT mode(n_dims) FROM held) ORDER BY mask_id
    """)
    lake.con.unregister("wanted")
    vectors = np.frombuffer(b"".join(rows["embedding"].to_pylist()), "<f2")
    return np.searchsorted(found.mask_id, rows["mask_id"].to_numpy()), vectors.reshape(
        max(rows.num_rows, 1), -1
    )


def _check_run(lake: Lake, run_id: int) -> None:
    kinds = dict(lake.con.execute("SELECT run_id, kind FROM runs ORDER BY run_id").fetchall())
    if run_id not in kinds:
        there = ", ".join(str(number) for number in kinds) or "none"
        raise QueryError(f"--run {run_id}: there is no such run; there are: {there}")
    if kinds[run_id] == "gold":
        raise QueryError(f"--run {run_id} is gold, which is not sampled; name a run of masks")


def _empty(lake: Lake, scope: Scope) -> str:
    of = f"run {scope.run_id}" if scope.run_id is not None else "the newest run of each image"
    that = f" of which {scope.where}" if scope.where else ""
    return f"{lake.root}: {of} has no masks{that}: there is nothing to draw from"
