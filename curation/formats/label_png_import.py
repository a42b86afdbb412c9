"""Label PNGs into the lake: each matched to the picture with its stem."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import ClassVar

import duckdb
import pyarrow.parquet as pq

from curation.errors import InputError, RecordError
from curation.formats import contents, label_png, listing, mask_import
from curation.formats.images import IMAGE_SUFFIXES
from curation.formats.mask_import import SHARD_SIZE, GoldOrigin, Import, RecordPlan, StageOrigin
from curation.formats.plan import Item, Plan, write_plan
from curation.formats.records import Record
from curation.lake import Lake

SUFFIXES = frozenset({".png"})

#: A picture's stem is its name without folder and last suffix; labels and pictures meet by it.
_MATCH_SQL = r"""
    COPY (
        WITH pictures AS (
            SELECT regexp_extract(file_name, '^(.+?)(\.[^.]*)?$', 1) AS stem, min(uri) AS uri, max(uri) AS other, count(*) AS n
            FROM read_parquet($pictures) GROUP BY stem
        )
        SELECT labels.number, pictures.uri AS picture_uri,
               CASE
                   WHEN pictures.n IS NULL THEN 'no picture is called ' || stem || '.*'
                   WHEN pictures.n > 1 THEN pictures.n || ' pictures are called ' || stem || '.*: ' || pictures.uri
                       || ' and ' || pictures.other
               END AS unmatched
        FROM (
            SELECT number, regexp_extract(file_name, '^(.+?)(\.[^.]*)?$', 1) AS stem FROM read_parquet($labels)
        ) AS labels LEFT JOIN pictures USING (stem)
        ORDER BY labels.number
    ) TO '{out}' (FORMAT parquet, ROW_GROUP_SIZE 10240)
"""


@dataclass(frozen=True)
class LabelItem(Item):
    """A label file and the picture it belongs to; `unmatched` says why there is none."""

    picture_uri: str | None = None
    unmatched: str | None = None


@dataclass(frozen=True)
class LabelPlan:
    """Label files, numbered, with their pictures (picklable; reads from the plan's files)."""

    labels: Plan
    matches: Path
    sha256: str

    @property
    def n_items(self) -> int:
        return self.labels.n_items

    @property
    def n_repeated(self) -> int:
        return self.labels.n_repeated

    def items(self, first: int, stop: int) -> list[LabelItem]:
        found = self.labels.items(first, stop)
        in_slice = [("number", ">=", first), ("number", "<", stop)]
        matches = pq.read_table(self.matches, filters=in_slice).sort_by("number").to_pylist()
        return [
            LabelItem(
                i.number,
                i.uri,
                i.file_name,
                i.size_bytes,
                i.offset,
                i.fault,
                m["picture_uri"],
                m["unmatched"],
            )
            for i, m in zip(found, matches, strict=True)
        ]


@dataclass(frozen=True)
class ImportWork(mask_import.ImportWork):
    """Reads label PNGs; `ignored` labels are no masks."""

    format: ClassVar[str] = "label_png"

    ignored: tuple[int, ...] = ()

    @property
    def settings(self) -> dict[str, object]:
        return {**super().settings, "ignored": list(self.ignored)}

    def read(self, item: LabelItem) -> Record:
        if item.unmatched:
            raise RecordError(
                f"{item.unmatched} in {self.images_folder}; labels need one picture with their stem"
            )
        data = contents.read_bytes(item, label_png.MAX_FILE_BYTES)
        return label_png.parse_record(data, os.path.basename(item.picture_uri), self.ignored)

    def picture_uri(self, item: LabelItem, record: Record) -> str:
        return item.picture_uri


def plan_labels(paths: Sequence[str], images_folder: str, folder: Path) -> RecordPlan:
    """List every *.png of `paths` and match each with the picture of `images_folder` that has its stem.

    Raises InputError where there are no label files or no pictures; a label file without its picture becomes a
    problem.
    """
    entries = chain.from_iterable(listing.entries(path, SUFFIXES) for path in paths)
    labels = write_plan(entries, folder / "labels.parquet")
    if labels.n_items == 0:
        raise InputError(f"{', '.join(paths)}: no *.png is there; labels are one PNG a picture")
    pictures = write_plan(listing.entries(images_folder, IMAGE_SUFFIXES), folder / "images.parquet")
    if pictures.n_items == 0:
        raise InputError(
            f"{images_folder} holds no pictures; name the folder of those that the labels belong to"
        )
    matches = folder / "matches.parquet"
    with duckdb.connect() as con:
        con.execute("SET enable_progress_bar = false")
        con.execute(
            _MATCH_SQL.replace("{out}", str(matches).replace("'", "''")),
            {"pictures": str(pictures.path), "labels": str(labels.path)},
        )
    digest = hashlib.sha256(f"{labels.sha256}\n{_matched_sha256(matches)}".encode())
    return RecordPlan(LabelPlan(labels, matches, digest.hexdigest()), pictures)


def start(
    lake: Lake,
    plan: RecordPlan,
    source: str,
    origin: GoldOrigin | StageOrigin,
    images_folder: str,
    ignored: Sequence[int] = (),
    shard_size: int = SHARD_SIZE,
) -> Import:
    """Find the run of these labels and this origin, or number a new one. Raises InputError for a label out of range."""
    wrong = [label for label in ignored if not 0 <= label <= label_png.LARGEST_LABEL]
    if wrong:
        raise InputError(f"--ignore {wrong[0]}: a PNG's labels are 0 to {label_png.LARGEST_LABEL:,}")
    images_folder = listing.canonical_uri(images_folder)
    work = ImportWork(plan, origin, images_folder, tuple(sorted(set(ignored))))
    return mask_import.start(lake, work, source, shard_size)


def _matched_sha256(matches: Path) -> str:
    """Over which picture each label file has: pictures that come or go change the masks' images."""
    digest = hashlib.sha256()
    with pq.ParquetFile(matches) as file:
        for batch in file.iter_batches(columns=["picture_uri", "unmatched"]):
            digest.update(repr(batch.to_pylist()).encode())
    return digest.hexdigest()
