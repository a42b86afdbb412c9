"""Opening a re-annotation batch: which masks go back to people, in which order, and to how many."""

import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone

import duckdb
import numpy as np
import pyarrow as pa

from curation import conditions, ids
from curation.errors import InputError
from curation.lake import Lake, insert
from curation.review.batches import ONE, TWO, Batch
from curation.sampling.samples import check_exists, check_is_free
from curation.schemas import TABLES
from curation.settings import REVIEW

_VIEW = "batch_masks"


@dataclass(frozen=True)
class Request:
    """What is asked for: one of `cluster`, `where` (SQL), `sample` and `mask_ids`.

    `run_id` goes with `where`: masks of that run and their corrections, else of the newest run of each image.
    `double_share`: None is the share of second opinions in reviews, and 0 where one annotator is named.
    """

    name: str
    purpose: str = ""
    cluster: int | None = None
    where: str | None = None
    run_id: int | None = None
    sample: str | None = None
    mask_ids: Sequence[int] | None = None
    annotators: Sequence[str] = ()
    double_share: float | None = None
    due_at: datetime | None = None
    opened_by: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", self.name):
            raise InputError(
                f"batch {self.name!r}: start with a letter, then letters, digits, '.', '_' or '-'"
            )
        given = [self.cluster, self.where, self.sample, self.mask_ids]
        if sum(value is not None for value in given) != 1:
            raise InputError("a batch takes one of --cluster, --where, --sample and --mask-ids")
        if self.run_id is not None and self.where is None:
            raise InputError("--run goes with --where; all of a run: --where true")
        if len(set(self.annotators)) != len(self.annotators) or not all(a.strip() for a in self.annotators):
            raise InputError(f"--annotators {','.join(self.annotators)}: name each once")
        if not 0 <= self.double_portion <= 1:
            raise InputError(f"--double-share {self.double_share}: it must lie in 0..1")
        if self.double_portion and len(self.annotators) == 1:
            raise InputError("--double-share needs two annotators; name another, or leave it out")

    @property
    def double_portion(self) -> float:
        """The share of masks that two people correct, 0..1."""
        if self.double_share is not None:
            return self.double_share
        return 0.0 if len(self.annotators) == 1 else REVIEW.double_review_share

    @property
    def told(self) -> str:
        """Where the masks come from, in words."""
        if self.cluster is not None:
            return f"cluster {self.cluster}"
        if self.where is not None:
            of = "" if self.run_id is None else f" of run {self.run_id}"
            return f"masks{of} of which {self.where}"
        return f"sample {self.sample}" if self.sample is not None else "a list of masks"


@dataclass(frozen=True)
class Opened:
    """A new batch; `n_superseded` masks were left out because somebody has corrected them already."""

    batch: Batch
    n_images: int
    n_two_people: int
    n_superseded: int


def open_batch(lake: Lake, request: Request, now: datetime | None = None) -> Opened:
    """Write a batch, its sample, and the new status of its cluster, in one commit.

    Masks that were corrected already are left out. Raises InputError for a name that is taken, for masks, a sample or a
    cluster that are not there, and where no mask is left; QueryError for a bad condition.
    """
    now = now or datetime.now(timezone.utc)
    check_is_free(lake.con, request.name)
    search_id = None if request.cluster is None else _search_of(lake, request.cluster)
    wanted = _wanted(lake, request, search_id)

    def work(con: duckdb.DuckDBPyConnection) -> Opened:
        check_is_free(con, request.name)
        found = _standing(con, wanted)
        current = found.filter(found["is_current"])
        if not current.num_rows:
            raise InputError(_nothing(request, found.num_rows))
        version = con.execute("SELECT id FROM lake.current_snapshot()").fetchone()[0]
        rows = _sample_rows(request, current, version, now)
        batch = Batch(
            batch=request.name,
            purpose=request.purpose or request.told,
            cluster=request.cluster,
            search_id=search_id,
            annotators=tuple(request.annotators),
            double_share=request.double_portion,
            due_at=request.due_at,
            n_masks=current.num_rows,
            snapshot_id=version,
            opened_by=request.opened_by,
            opened_at=now,
        )
        insert(con, {"samples": rows, "batches": TABLES["batches"].table([asdict(batch)])})
        if request.cluster is not None:
            insert(con, {"cluster_events": TABLES["cluster_events"].table([_event(batch)])})
        n_two = sum(stratum == TWO for stratum in rows["stratum"].to_pylist())
        n_images = len(current["image_id"].unique())
        return Opened(batch, n_images, n_two, found.num_rows - current.num_rows)

    return lake.commit(work, f"batch {request.name} opened")


def _event(batch: Batch) -> dict:
    return {
        "cluster": batch.cluster,
        "status": "in_re_annotation",
        "at_utc": batch.opened_at,
        "by_whom": batch.opened_by,
        "search_id": batch.search_id,
        "batch": batch.batch,
        "note": f"{batch.n_masks:,} masks sent to be corrected",
    }


def _search_of(lake: Lake, cluster: int) -> int:
    """The newest search that found the cluster."""
    sql = "SELECT max(search_id) FROM clusters WHERE cluster = ?"
    search_id = lake.con.execute(sql, [cluster]).fetchone()[0]
    if search_id is None:
        there = lake.query("SELECT DISTINCT cluster FROM clusters ORDER BY cluster")["cluster"].to_pylist()
        raise InputError(
            f"--cluster {cluster}: there is no such cluster; there are: {', '.join(map(str, there)) or 'none'}. "
            "`curation failures find` finds them"
        )
    return search_id


def _wanted(lake: Lake, request: Request, search_id: int | None) -> np.ndarray:
    """Ids of the masks that were asked for, int64 (n,), each once."""
    if request.cluster is not None:
        sql = "SELECT mask_id FROM cluster_members WHERE search_id = ? AND cluster = ?"
        found = lake.query(sql, [search_id, request.cluster])
    elif request.sample is not None:
        check_exists(lake, request.sample)
        found = lake.query("SELECT mask_id FROM samples WHERE sample = ?", [request.sample])
    elif request.where is not None:
        found = _meeting(lake, request.where, request.run_id)
    else:
        return np.unique(np.array(list(request.mask_ids), np.int64))
    return np.unique(found["mask_id"].to_numpy())


def _meeting(lake: Lake, where: str, run_id: int | None) -> pa.Table:
    """Current masks, corrected ones too, of a run or of the newest run of each image, that meet a condition."""
    conditions.create_view(lake.con, _VIEW, [where, "image_run_id"])
    conditions.check_condition(lake.con, "--where", where, _VIEW)
    return lake.query(
        f"""
        SELECT mask_id FROM {_VIEW}
        SEMI JOIN (SELECT run_id, image_id FROM {"current_images" if run_id is None else "images"}) AS chosen
            ON chosen.run_id = {_VIEW}.image_run_id AND chosen.image_id = {_VIEW}.image_id
        WHERE coalesce({_VIEW}.image_run_id = $run_id, TRUE) AND ({where}
        )
        """,
        {"run_id": run_id},
    )


def _standing(con: duckdb.DuckDBPyConnection, mask_ids: np.ndarray) -> pa.Table:
    """The masks with run, image, and whether nobody has corrected or withdrawn them. Raises InputError for one that is not there."""
    run_ids = sorted({ids.unpack_mask_id(mask_id)[0] for mask_id in mask_ids.tolist()})
    con.register("wanted", pa.table({"mask_id": mask_ids}))
    found = con.execute(
        """
        SELECT
            mask_id,
            run_id,
            image_id,
            mask_id NOT IN (
                SELECT supersedes FROM masks ANTI JOIN withdrawn_masks USING (mask_id) WHERE supersedes IS NOT NULL
                UNION ALL
                SELECT mask_id FROM withdrawn_masks
            ) AS is_current
        FROM masks
        SEMI JOIN wanted USING (mask_id)
        WHERE list_contains($run_ids, run_id)
        ORDER BY mask_id
        """,
        {"run_ids": run_ids},
    ).to_arrow_table()
    con.unregister("wanted")
    lost = np.setdiff1d(mask_ids, found["mask_id"].to_numpy())
    if len(lost):
        raise InputError(f"{len(lost):,} masks are not in this workspace, such as {lost[0]}: check the list")
    return found


def _nothing(request: Request, n_superseded: int) -> str:
    if n_superseded:
        return f"{request.told}: all {n_superseded:,} masks are corrected already; nothing is left to send"
    return f"{request.told}: it has no masks; nothing is there to send"


def _sample_rows(request: Request, masks: pa.Table, version: int, now: datetime) -> pa.Table:
    """Rows of `samples`: images in random order, the masks of each together."""
    rng = np.random.default_rng(zlib.crc32(request.name.encode()))
    n = masks.num_rows
    image_ids, image, n_of_image = np.unique(
        masks["image_id"].to_numpy(), return_inverse=True, return_counts=True
    )
    order = np.argsort(rng.permutation(len(image_ids))[image], kind="stable")
    position = np.empty(n, np.int64)
    position[order] = np.arange(n)
    is_double = np.zeros(n, bool)
    is_double[rng.choice(n, round(request.double_portion * n), replace=False)] = True
    _, stratum = np.unique(is_double, return_inverse=True)
    n_images = [len(np.unique(image[stratum == k])) for k in range(stratum.max() + 1)]
    rows = {
        "position": position,
        "mask_id": masks["mask_id"],
        "run_id": masks["run_id"],
        "image_id": masks["image_id"],
        "stratum": np.where(is_double, TWO, ONE).tolist(),
        "stratum_n_masks": np.bincount(stratum)[stratum],
        "stratum_n_images": np.array(n_images)[stratum],
        "image_n_masks": n_of_image[image],
    }
    constants = {
        "sample": request.name,
        "design": "purposive",
        "n_draws": 1,
        "frame_where": request.where,
        "frame_run_id": request.run_id,
        "options": json.dumps({"batch": request.name, "of": request.told}, ensure_ascii=False),
        "snapshot_id": version,
        "seed": zlib.crc32(request.name.encode()),
        "drawn_by": request.opened_by,
        "drawn_at": now,
    }
    return TABLES["samples"].table(rows | {name: [value] * n for name, value in constants.items()})
