"""Re-annotation batches: masks that go back to people, each to be corrected, accepted as it is, or rejected.

A batch is a purposive sample with a row in `batches`. Each of its masks is wanted of one person, some of two, who both
start from the same mask and do not see each other's work. Where annotators are named, each has an equal share, images
kept together; who is done with the own share helps the one who has most left.
"""

import json
import math
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone

import duckdb
import numpy as np
import pyarrow as pa

from curation import conditions, ids
from curation.errors import InputError
from curation.lake import Lake, insert
from curation.review.state import State
from curation.sampling.samples import check_exists, check_is_free
from curation.schemas import TABLES
from curation.settings import REVIEW

#: Strata of a batch's sample: how many people each mask is wanted of.
ONE, TWO = "one_person", "two_people"
#: Masks of one image that go to one annotator together: the picture is opened and encoded once for them, and an
#: image with a hundred masks still does not fall to one person.
TOGETHER = 10
VIEW = "batch_masks"

_WAITING = """
    WITH answered AS (
        SELECT sample, mask_id, count(DISTINCT rater) AS n, bool_or(rater = $rater) AS is_mine
        FROM current_verdicts
        WHERE purpose = 'correct' AND decision <> 'skip'
        GROUP BY sample, mask_id
    )

    SELECT batch, count(*) AS n_masks
    FROM batches
    INNER JOIN samples ON samples.sample = batches.batch
    LEFT JOIN answered ON answered.sample = samples.sample AND answered.mask_id = samples.mask_id
    WHERE
        (len(annotators) = 0 OR list_contains(annotators, $rater))
        AND coalesce(answered.n, 0) < CASE WHEN stratum = $two THEN 2 ELSE 1 END
        AND NOT coalesce(is_mine, FALSE)
        AND NOT EXISTS (
            SELECT 1 FROM drawn_masks AS drawn
            WHERE drawn.supersedes = samples.mask_id AND drawn.sample IS DISTINCT FROM batches.batch
        )
    GROUP BY batch, due_at, batches.opened_at
    ORDER BY due_at NULLS LAST, batches.opened_at, batch
"""


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
class Batch:
    """A row of `batches`."""

    batch: str
    purpose: str
    cluster: int | None
    search_id: int | None
    annotators: tuple[str, ...]
    double_share: float
    due_at: datetime | None
    n_masks: int
    snapshot_id: int
    opened_by: str | None
    opened_at: datetime

    def check_annotator(self, rater: str) -> None:
        """Raise InputError for somebody whom the batch is not for."""
        if self.annotators and rater not in self.annotators:
            raise InputError(
                f"batch {self.batch} is for {', '.join(self.annotators)}; {rater!r} is none of them"
            )


@dataclass(frozen=True)
class Opened:
    """A new batch; `n_superseded` masks were left out because somebody has corrected them already."""

    batch: Batch
    n_images: int
    n_two_people: int
    n_superseded: int


@dataclass(frozen=True)
class Place:
    """One mask of a batch, in the order of the work, and how many people are to correct it."""

    mask_id: int
    run_id: int
    image_id: int
    n_people: int


# -- opening ---------------------------------------------------------------------------------------


def open(lake: Lake, request: Request, now: datetime | None = None) -> Opened:
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
    conditions.create_view(lake.con, VIEW, [where, "image_run_id"])
    conditions.check_condition(lake.con, "--where", where, VIEW)
    return lake.query(
        f"""
        SELECT mask_id FROM {VIEW}
        SEMI JOIN (SELECT run_id, image_id FROM {"current_images" if run_id is None else "images"}) AS chosen
            ON chosen.run_id = {VIEW}.image_run_id AND chosen.image_id = {VIEW}.image_id
        WHERE coalesce({VIEW}.image_run_id = $run_id, TRUE) AND ({where}
        )
        """,
        {"run_id": run_id},
    )


def _standing(con: duckdb.DuckDBPyConnection, mask_ids: np.ndarray) -> pa.Table:
    """The masks with run, image, and whether nobody has corrected them. Raises InputError for one that is not there."""
    run_ids = sorted({ids.unpack_mask_id(mask_id)[0] for mask_id in mask_ids.tolist()})
    con.register("wanted", pa.table({"mask_id": mask_ids}))
    found = con.execute(
        """
        SELECT
            mask_id,
            run_id,
            image_id,
            mask_id NOT IN (SELECT supersedes FROM masks WHERE supersedes IS NOT NULL) AS is_current
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


# -- reading ---------------------------------------------------------------------------------------


def find(con: duckdb.DuckDBPyConnection, name: str) -> Batch | None:
    """The batch of that name; None for a sample that is none."""
    rows = con.execute("SELECT * FROM batches WHERE batch = ?", [name]).to_arrow_table().to_pylist()
    return Batch(**{**rows[0], "annotators": tuple(rows[0]["annotators"])}) if rows else None


def get(lake: Lake, name: str) -> Batch:
    """The batch of that name. Raises InputError with those that there are."""
    found = find(lake.con, name)
    if found is None:
        there = lake.query("SELECT batch FROM batches ORDER BY opened_at, batch")["batch"].to_pylist()
        raise InputError(f"no batch {name!r}; there are: {', '.join(there) or 'none'}")
    return found


def places(con: duckdb.DuckDBPyConnection, name: str) -> list[Place]:
    """The masks of a batch in the order of the work."""
    rows = con.execute(
        "SELECT mask_id, run_id, image_id, stratum FROM samples WHERE sample = ? ORDER BY position", [name]
    ).fetchall()
    return [Place(*row, n_people=2 if stratum == TWO else 1) for *row, stratum in rows]


def corrected_elsewhere(con: duckdb.DuckDBPyConnection, name: str) -> set[int]:
    """Masks of a batch that somebody has corrected outside of it."""
    rows = con.execute(
        """
        SELECT DISTINCT drawn.supersedes
        FROM drawn_masks AS drawn
        INNER JOIN samples ON samples.mask_id = drawn.supersedes
        WHERE samples.sample = $name AND drawn.sample IS DISTINCT FROM $name
        """,
        {"name": name},
    ).fetchall()
    return {mask_id for (mask_id,) in rows}


def names(lake: Lake) -> set[str]:
    """All batches."""
    return set(lake.query("SELECT batch FROM batches")["batch"].to_pylist())


def waiting(lake: Lake, rater: str) -> dict[str, int]:
    """Batches with masks that this person may still answer, and how many; the one that is due first stands first."""
    rows = lake.query(_WAITING, {"rater": rater, "two": TWO})
    return dict(zip(rows["batch"].to_pylist(), rows["n_masks"].to_pylist(), strict=True))


# -- who does what ---------------------------------------------------------------------------------


def shares(of: Sequence[Place], annotators: Sequence[str]) -> dict[int, tuple[str, ...]]:
    """The annotators of each mask: up to TOGETHER masks of an image to whoever has least so far, equal loads in the end.

    A mask wanted of two people has two of them. Without annotators nobody owns anything.
    """
    if not annotators:
        return {}
    load: Counter[str] = Counter(dict.fromkeys(annotators, 0))
    owners: dict[int, tuple[str, ...]] = {}
    group: tuple[int | None, int] = (None, 0)
    first = annotators[0]
    for place in of:
        image_id, n = group
        is_new = place.image_id != image_id or n == TOGETHER
        if is_new:
            first = min(annotators, key=lambda name: load[name])
        group = (place.image_id, 1 if is_new else n + 1)
        chosen = [first]
        if place.n_people == 2:
            chosen.append(min((a for a in annotators if a != first), key=lambda name: load[name]))
        load.update(chosen)
        owners[place.mask_id] = tuple(chosen)
    return owners


@dataclass(frozen=True)
class Offer:
    """Masks that somebody may be given now, in this order, and how many of them to hold at once, those held included."""

    mask_ids: Sequence[int]
    n_most: int


def offered(con: duckdb.DuckDBPyConnection, state: State, batch: Batch) -> Offer:
    """What this rater may be given now, in the order of the work: the own share; else, and without shares, what is left.

    None that the rater has answered, skipped or holds, none that as many others as are wanted hold or have answered,
    none that was corrected outside of the batch. Of what is nobody's own, an equal part at once: nobody hoards the
    last ones. Raises InputError for somebody whom the batch is not for.
    """
    batch.check_annotator(state.rater)
    of = places(con, batch.batch)
    gone = corrected_elsewhere(con, batch.batch)
    gone |= {mask_id for mask_id, purpose, _ in state.own if purpose == "correct"}
    free = [
        place
        for place in of
        if place.mask_id not in gone
        and state.rater not in (at_it := state.mending.get(place.mask_id, set()))
        and len(at_it) < place.n_people
    ]
    owners = shares(of, batch.annotators)
    mine = [place.mask_id for place in free if state.rater in owners.get(place.mask_id, ())]
    if mine:
        return Offer(mine, len(mine) + state.n_mending)
    left = _to_help(free, owners, state) if owners else [place.mask_id for place in free]
    n_people = len(batch.annotators) or len(state.active | {state.rater})
    return Offer(left, max(1, math.ceil((len(left) + state.n_mending) / n_people)))


def _to_help(free: Sequence[Place], owners: dict[int, tuple[str, ...]], state: State) -> list[int]:
    """Masks of whoever has most left, from the end of their share, so that both do not meet."""
    left: dict[str, list[int]] = {}
    for place in free:
        for owner in owners[place.mask_id]:
            if owner not in state.mending.get(place.mask_id, ()):
                left.setdefault(owner, []).append(place.mask_id)
    return max(left.values(), key=len)[::-1] if left else []
