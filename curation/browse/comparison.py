"""What FiftyOne lacks of the masks that `selection.choose` chose: SQL over the lake, in temporary tables.

`compare` takes what FiftyOne holds and counts what is to do. Of that, `pending` streams masks to be written whole, image
by image, and alone reads RLE; `renewals` streams the new values of masks that are there already.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pyarrow as pa

from curation.conditions import (
    APPEARANCE_COLUMNS,
    FAILURE_COLUMNS,
    GOLD_COLUMNS,
    LABEL_COLUMNS,
    MEASURE_COLUMNS,
    NESTING_COLUMNS,
    VERDICT_COLUMNS,
)
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
