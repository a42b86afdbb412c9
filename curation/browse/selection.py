"""Which masks to browse, and which of them FiftyOne lacks: SQL over the lake, in temporary tables.

`choose` fills `chosen` and `chosen_images`; `compare` takes what FiftyOne holds and counts what is to do. Of that,
`pending` streams masks to be written whole, image by image, and alone reads RLE; `renewals` streams the new values of
masks that are there already.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pyarrow as pa

from curation import conditions, queries, runs
from curation.conditions import (
    APPEARANCE_COLUMNS,
    FAILURE_COLUMNS,
    GOLD_COLUMNS,
    LABEL_COLUMNS,
    MEASURE_COLUMNS,
    NESTING_COLUMNS,
    VERDICT_COLUMNS,
)
from curation.errors import QueryError
from curation.failures import clusters
from curation.lake import Lake
from curation.schemas import TABLES, Column

#: Where FiftyOne keeps what the last sync wrote, to see whether anything changed: of the image, and of each of its masks
#: by mask_id. FiftyOne shows neither.
FINGERPRINT, MASK_FINGERPRINTS = "_fingerprint", "_fingerprints"

_MASK_COLUMNS = (
    "run_id",
    "stage",
    "cycle",
    "stability_score",
    "multimask_slot",
    "area_px",
    "is_crowd",
    "source_mask_id",
)
#: What a mask shows in FiftyOne besides its label, box, pixels, confidence and mask_id, in groups that change together.
GROUPS: dict[str, tuple[Column, ...]] = {
    "mask": tuple(c for c in TABLES["masks"].columns if c.name in _MASK_COLUMNS),
    "measures": (
        *(c for c in TABLES["mask_features"].columns if c.name in MEASURE_COLUMNS),
        *(c for c in TABLES["mask_nesting"].columns if c.name in NESTING_COLUMNS),
        *(c for c in TABLES["mask_appearance"].columns if c.name in APPEARANCE_COLUMNS),
    ),
    "gold": GOLD_COLUMNS,
    "judgement": (*VERDICT_COLUMNS, *LABEL_COLUMNS),
    **{c.name: (c,) for c in FAILURE_COLUMNS},
}
ATTRIBUTES: tuple[Column, ...] = tuple(column for group in GROUPS.values() for column in group)
#: Besides its attributes, what a mask itself determines.
_OF_MASK = ("label", "predicted_iou", "bbox_xywh")
#: Groups that nothing else in a sample follows from: neither tags, nor figures of the image.
PLAIN_GROUPS = GROUPS.keys() - {"mask", "gold", "judgement"}
#: What a mask's tags follow from.
TAG_COLUMNS = ("stage", "verdict", "drawn_by")
#: Characters of a fingerprint for each group, in their order.
_PRINT_CHARS = 16


@dataclass(frozen=True)
class Choice:
    """Which masks: of one run or all, that meet an SQL condition, or that a report names.

    A corrected mask stands for those that it corrects: it belongs to their run, and is chosen where one of them would be.
    Without `where` and `report`, images that have no mask are chosen too.
    """

    run_id: int | None = None
    where: str | None = None
    report: str | None = None

    def __post_init__(self) -> None:
        if self.where and self.report:
            raise QueryError("--where and --report both choose masks: give one of them")

    @property
    def is_filtered(self) -> bool:
        return bool(self.where or self.report)


@dataclass(frozen=True)
class Renewal:
    """New values of masks that a sample holds: `values` has a list for each column, in the order of `mask_ids`.

    `places` are where they lay among its detections while `modified_at` was the time of its last change. `columns` have
    changed; with `is_plain`, they are all that must.
    """

    image_id: int
    uri: str
    n_held: int
    modified_at: datetime | None
    places: Sequence[int]
    mask_ids: Sequence[int]
    fingerprints: Sequence[str]
    values: Mapping[str, Sequence]
    columns: Sequence[str]
    is_plain: bool


@dataclass(frozen=True)
class Difference:
    """How a choice differs from what FiftyOne holds. `n_stale` masks are there and are not chosen."""

    n_images: int
    n_chosen: int
    n_new: int
    n_changed: int
    n_stale: int


def choose(lake: Lake, choice: Choice) -> None:
    """Fill `chosen` (masks) and `chosen_images`. Superseded masks are never chosen.

    Raises QueryError where the run, the condition or the report cannot be used.
    """
    _check_run(lake, choice.run_id)
    conditions.create_view(lake.con, "browsable", "*")
    wanted = ["true"]
    if choice.report:
        wanted.append(_named_by_report(lake, choice))
    if choice.where:
        conditions.check_condition(lake.con, "--where", choice.where, "browsable")
        wanted.append(f"({choice.where}\n)")
    condition = " AND ".join(wanted)
    if choice.is_filtered:
        condition = _or_of_what_it_corrects(lake, condition)
    if choice.run_id is not None:
        numbers = [int(choice.run_id), *runs.corrections_of(lake, choice.run_id)]
        condition = f"run_id IN ({', '.join(map(str, numbers))}) AND ({condition})"
    lake.con.execute(f"CREATE OR REPLACE TEMP TABLE chosen AS SELECT * FROM browsable WHERE {condition}")
    _choose_images(lake, choice)


def compare(lake: Lake, samples: Iterable[Mapping[str, Sequence]]) -> Difference:
    """Find what is new, changed and stale against FiftyOne's `samples`.

    A sample has image_id, fingerprint, size_bytes, modified_at, and mask_ids and fingerprints of its detections; None
    for the id of a detection that is not of the lake, and for a fingerprint that is not known.
    """
    _load_present(lake, samples)
    lake.con.execute(f"""
        CREATE OR REPLACE TEMP TABLE todo AS
        WITH printed AS (SELECT *, {_fingerprint()} AS fingerprint FROM chosen)
        SELECT
            printed.*,
            present.mask_id IS NULL AS is_new,
            {_part("present", "mask")} IS DISTINCT FROM {_part("printed", "mask")}
                OR length(present.fingerprint) <> length(printed.fingerprint) AS is_whole,
            present.place,
            {_changed_groups()} AS changed_groups
        FROM printed LEFT JOIN present USING (mask_id)
        WHERE present.fingerprint IS DISTINCT FROM printed.fingerprint
    """)
    lake.con.execute("""
        CREATE OR REPLACE TEMP TABLE todo_images AS
        SELECT images.*, coalesce(present.size_bytes, 0) AS stored_bytes
        FROM chosen_images AS images
        LEFT JOIN present_images AS present USING (image_id)
        WHERE present.fingerprint IS DISTINCT FROM images.fingerprint
            OR images.image_id IN (SELECT image_id FROM todo WHERE is_whole)
    """)
    counts = lake.con.execute("""
        SELECT
            (SELECT count(*) FROM chosen_images WHERE image_id IN (FROM todo_images SELECT image_id)
                OR image_id IN (FROM todo SELECT image_id)),
            (SELECT count(*) FROM chosen),
            (SELECT count(*) FROM todo WHERE is_new),
            (SELECT count(*) FROM todo WHERE NOT is_new),
            (SELECT count(*) FROM present ANTI JOIN chosen USING (mask_id))
    """).fetchone()
    return Difference(*counts)


def pending(lake: Lake, batch_rows: int = 2_000) -> Iterator[tuple[dict, list[dict]]]:
    """(image, its masks to be written whole, largest first), in the order of the lake's files, streamed.

    Nothing else may use `lake.con` before the last one is taken.
    """
    reader = lake.con.execute("""
        SELECT
            images AS image,
            todo.* EXCLUDE (uri, file_name),
            masks.rle_counts
        FROM todo_images AS images
        LEFT JOIN (FROM todo WHERE is_whole) AS todo USING (image_id)
        LEFT JOIN masks ON masks.run_id = todo.run_id AND masks.mask_id = todo.mask_id
        ORDER BY images.place, images.image_id, todo.area_px DESC, todo.mask_id
    """).to_arrow_reader(batch_rows)
    image, rows = None, []
    for batch in reader:
        for row in batch.to_pylist():
            next_image = row.pop("image")
            if image is not None and next_image["image_id"] != image["image_id"]:
                yield image, rows
                rows = []
            image = next_image
            if row["mask_id"] is not None:
                rows.append(row)
    if image is not None:
        yield image, rows


def renewals(lake: Lake, batch_rows: int = 500) -> Iterator[Renewal]:
    """New values of masks that are there already, sample by sample, those together where the same changed.

    No column is read that did not change, except what tags follow from. Nothing else may use `lake.con` before the last
    one is taken.
    """
    lake.con.execute("""
        CREATE OR REPLACE TEMP TABLE renewed_images AS
        SELECT image_id, list_sort(list_distinct(flatten(list(changed_groups)))) AS groups
        FROM todo WHERE NOT is_whole GROUP BY image_id
    """)
    for (groups,) in lake.con.execute("SELECT DISTINCT groups FROM renewed_images ORDER BY 1").fetchall():
        columns = [column.name for group in groups for column in GROUPS[group]]
        is_plain = PLAIN_GROUPS.issuperset(groups)
        reader = lake.con.execute(_renewals([*columns, *TAG_COLUMNS]), {"groups": groups})
        for batch in reader.to_arrow_reader(batch_rows):
            for row in batch.to_pylist():
                yield Renewal(**row, columns=columns, is_plain=is_plain)


def _renewals(columns: Iterable[str]) -> str:
    """SQL: one row for each image in which just `$groups` changed, with lists of what its masks have now."""
    values = ", ".join(
        f'"{name}" := list(todo."{name}" ORDER BY todo.place)' for name in dict.fromkeys(columns)
    )
    return f"""
        SELECT
            image_id,
            any_value(images.uri) AS uri,
            any_value(held.n_held) AS n_held,
            any_value(held.modified_at) AS modified_at,
            list(todo.place ORDER BY todo.place) AS places,
            list(todo.mask_id ORDER BY todo.place) AS mask_ids,
            list(todo.fingerprint ORDER BY todo.place) AS fingerprints,
            struct_pack({values}) AS values
        FROM todo
        INNER JOIN renewed_images USING (image_id)
        INNER JOIN chosen_images AS images USING (image_id)
        INNER JOIN present_images AS held USING (image_id)
        WHERE NOT todo.is_whole AND renewed_images.groups = $groups
        GROUP BY image_id
        ORDER BY image_id
    """


def stale(lake: Lake) -> Iterator[tuple[int, list[int]]]:
    """(image_id, mask ids) that FiftyOne holds and that are not chosen."""
    rows = lake.con.execute("""
        SELECT image_id, list(mask_id ORDER BY mask_id) FROM present ANTI JOIN chosen USING (mask_id)
        GROUP BY image_id ORDER BY image_id
    """)
    while found := rows.fetchmany(1_000):
        yield from found


def stale_images(lake: Lake) -> list[int]:
    """Images that FiftyOne holds and that are not chosen."""
    rows = lake.con.execute(
        "SELECT image_id FROM present_images ANTI JOIN chosen_images USING (image_id) ORDER BY image_id"
    )
    return [image_id for (image_id,) in rows.fetchall()]


def lost_images(lake: Lake) -> list[tuple[int, int]]:
    """(run_id, image_id) of chosen masks whose image the lake does not know."""
    return lake.con.execute("""
        SELECT DISTINCT run_id, image_id FROM chosen ANTI JOIN chosen_images USING (image_id) ORDER BY ALL
    """).fetchall()


def chosen_stages(lake: Lake) -> list[str]:
    return [stage for (stage,) in lake.con.execute("SELECT DISTINCT stage FROM chosen ORDER BY 1").fetchall()]


def found_clusters(lake: Lake) -> dict[int, tuple[str, str]]:
    """Clusters of the newest search, most bad masks first: number -> its words, and its figures in words."""
    rows = clusters.newest(lake).to_pylist()
    return {row["cluster"]: (row["words"], _cluster_words(row)) for row in rows if row["is_in_last_search"]}


def _cluster_words(row: dict) -> str:
    return (
        f"{100 * row['bad_share']:.0f} % of its masks are bad ({100 * row['bad_share_low']:.0f} to "
        f"{100 * row['bad_share_high']:.0f} %, image as cluster), {100 * row['rest_bad_share']:.0f} % of all others; "
        f"q {row['q_value']:.2g}; search {row['search_id']}; {row['status'].replace('_', ' ')}."
    )


def _check_run(lake: Lake, run_id: int | None) -> None:
    known = lake.con.execute("SELECT run_id, kind FROM runs ORDER BY run_id").fetchall()
    if run_id is None:
        return
    kinds = dict(known)
    if run_id not in kinds:
        there = ", ".join(str(number) for number in kinds) or "none"
        raise QueryError(f"--run {run_id}: there is no such run; there are: {there}")
    if kinds[run_id] == "gold":
        raise QueryError(f"--run {run_id} is gold; name the run whose masks are compared with it")


def _or_of_what_it_corrects(lake: Lake, condition: str) -> str:
    """The condition, or that it holds for a mask that this one corrects: the model's scores stand there alone."""
    lake.con.execute("""
        CREATE OR REPLACE TEMP TABLE lineage AS
        WITH RECURSIVE steps AS (
            SELECT mask_id, supersedes AS ancestor_id FROM current_drawn_masks WHERE supersedes IS NOT NULL
            UNION ALL
            SELECT steps.mask_id, drawn.supersedes
            FROM steps INNER JOIN drawn_masks AS drawn ON drawn.mask_id = steps.ancestor_id
            WHERE drawn.supersedes IS NOT NULL
        )
        SELECT * FROM steps
    """)
    if not lake.con.execute("SELECT count(*) FROM lineage").fetchone()[0]:
        return condition
    superseded = "(SELECT * FROM masks WHERE mask_id IN (SELECT ancestor_id FROM lineage))"
    conditions.create_view(lake.con, "superseded", [condition], superseded)
    lake.con.execute(f"""
        CREATE OR REPLACE TEMP TABLE corrected AS
        SELECT DISTINCT mask_id FROM lineage
        WHERE ancestor_id IN (SELECT mask_id FROM superseded WHERE {condition})
    """)
    return f"({condition}) OR mask_id IN (SELECT mask_id FROM corrected)"


def _named_by_report(lake: Lake, choice: Choice) -> str:
    """Run the report, keep its ids in `named`, and return the condition that picks them."""
    report = queries.get(choice.report)
    given = {}
    if choice.run_id is not None and any(p.name == "run_id" for p in report.params):
        given["run_id"] = choice.run_id
    rows = report.run(lake, **given)
    keys = [name for name in ("mask_id", "image_id") if name in rows.column_names]
    if not keys:
        raise QueryError(
            f"--report {choice.report} names no masks: its columns are {', '.join(rows.column_names)}; "
            "a report with mask_id or image_id does"
        )
    lake.con.register("named_rows", rows.select(keys[:1]))
    lake.con.execute("CREATE OR REPLACE TEMP TABLE named AS SELECT * FROM named_rows")
    lake.con.unregister("named_rows")
    return f"{keys[0]} IN (SELECT {keys[0]} FROM named)"


def _choose_images(lake: Lake, choice: Choice) -> None:
    """The images of the chosen masks, as the newest of their runs saw them."""
    pairs = "SELECT image_run_id AS run_id, image_id FROM chosen"
    if not choice.is_filtered:
        of_run = "" if choice.run_id is None else f"AND run_id = {int(choice.run_id)}"
        pairs += f"""
            UNION SELECT run_id, image_id FROM images
            WHERE run_id IN (SELECT run_id FROM runs WHERE kind <> 'gold') {of_run}
        """
    lake.con.execute(f"""
        CREATE OR REPLACE TEMP TABLE chosen_images AS
        WITH newest AS (
            SELECT DISTINCT ON (images.image_id) images.*, covered_share AS coverage
            FROM images
            SEMI JOIN ({pairs}) AS pairs USING (run_id, image_id)
            LEFT JOIN image_coverage USING (run_id, image_id)
            ORDER BY images.image_id, images.run_id DESC
        )
        SELECT
            * EXCLUDE (run_id, image_number),
            (CAST(run_id AS BIGINT) << 32) + image_number AS place,
            left(md5(CAST(row(uri, file_name, width_px, height_px, sha256, coverage) AS VARCHAR)), 16) AS fingerprint
        FROM newest
    """)


def _fingerprint() -> str:
    """SQL: what is known of a mask, each group for itself, so that the groups that change can be told."""
    parts = []
    for name, columns in GROUPS.items():
        names = [*(_OF_MASK if name == "mask" else ()), *(column.name for column in columns)]
        parts.append(f"left(md5(CAST(row({', '.join(names)}) AS VARCHAR)), {_PRINT_CHARS})")
    return " || ".join(parts)


def _part(table: str, group: str) -> str:
    """SQL: the part of a fingerprint that one group has."""
    first = 1 + _PRINT_CHARS * list(GROUPS).index(group)
    return f"substring({table}.fingerprint, {first}, {_PRINT_CHARS})"


def _changed_groups() -> str:
    """SQL: names of the groups that are not as FiftyOne holds them."""
    names = (
        f"CASE WHEN {_part('present', name)} <> {_part('printed', name)} THEN '{name}' END" for name in GROUPS
    )
    return f"list_filter([{', '.join(names)}], name -> name IS NOT NULL)"


def _load_present(lake: Lake, samples: Iterable[Mapping[str, Sequence]]) -> None:
    """What FiftyOne holds, as `present` and `present_images`."""
    lake.con.execute("""
        CREATE OR REPLACE TEMP TABLE present (
            mask_id BIGINT, image_id BIGINT, fingerprint VARCHAR, place INTEGER
        );
        CREATE OR REPLACE TEMP TABLE present_images (
            image_id BIGINT, fingerprint VARCHAR, size_bytes BIGINT, n_held INTEGER, modified_at TIMESTAMP
        );
    """)
    held = []
    for sample in samples:
        held.append(sample)
        if len(held) == 1_000:
            _insert_present(lake.con, held)
            held.clear()
    _insert_present(lake.con, held)


def _insert_present(con: duckdb.DuckDBPyConnection, samples: Sequence[Mapping]) -> None:
    images = {
        "image_id": pa.array([s["image_id"] for s in samples], pa.int64()),
        "fingerprint": pa.array([s["fingerprint"] for s in samples], pa.string()),
        "size_bytes": pa.array([s["size_bytes"] for s in samples], pa.int64()),
        "n_held": pa.array([len(s["mask_ids"]) for s in samples], pa.int32()),
        "modified_at": pa.array([s["modified_at"] for s in samples], pa.timestamp("us")),
    }
    ours = [
        (mask_id, sample["image_id"], fingerprint, place)
        for sample in samples
        for place, (mask_id, fingerprint) in enumerate(
            zip(sample["mask_ids"], sample["fingerprints"], strict=True)
        )
        if mask_id is not None
    ]
    types = {"mask_id": pa.int64(), "image_id": pa.int64(), "fingerprint": pa.string(), "place": pa.int32()}
    masks = {
        name: pa.array(values, types[name])
        for name, values in zip(types, zip(*ours, strict=True) if ours else [()] * len(types), strict=True)
    }
    for name, columns in (("present_images", images), ("present", masks)):
        con.register("held_rows", pa.table(columns))
        con.execute(f"INSERT INTO {name} BY NAME SELECT * FROM held_rows")
        con.unregister("held_rows")
