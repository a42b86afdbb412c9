"""SA-1B records into the lake: the plan of them, and reading one."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import ClassVar

from curation.errors import InputError
from curation.formats import contents, listing, mask_import, sa1b
from curation.formats.images import IMAGE_SUFFIXES
from curation.formats.mask_import import SHARD_SIZE, GoldOrigin, Import, RecordPlan, StageOrigin
from curation.formats.plan import Item, write_plan
from curation.formats.records import Record
from curation.lake import Lake

RECORD_SUFFIXES = frozenset({".json"})


class ImportWork(mask_import.ImportWork):
    """Reads SA-1B's records, one JSON file an image."""

    format: ClassVar[str] = "sa1b"

    def read(self, item: Item) -> Record:
        return sa1b.parse_record(contents.read_bytes(item, sa1b.MAX_FILE_BYTES))


def plan_records(paths: Sequence[str], images_folder: str | None, folder: Path) -> RecordPlan:
    """List every *.json of `paths` (folders, tars, globs, lists, files, s3:// prefixes) into Parquet files in `folder`.

    Raises InputError if there are none.
    """
    records = write_plan(
        chain.from_iterable(listing.entries(path, RECORD_SUFFIXES) for path in paths),
        folder / "records.parquet",
    )
    if records.n_items == 0:
        raise InputError(f"{', '.join(paths)}: no *.json is there; SA-1B has one beside each picture")
    archives = [path for path in (*paths, images_folder) if path and path.lower().endswith(".tar")]
    if not archives:
        return RecordPlan(records, None)
    entries = chain.from_iterable(listing.entries(path, IMAGE_SUFFIXES) for path in archives)
    return RecordPlan(records, write_plan(entries, folder / "images.parquet"))


def start(
    lake: Lake,
    plan: RecordPlan,
    source: str,
    origin: GoldOrigin | StageOrigin,
    images_folder: str | None = None,
    shard_size: int = SHARD_SIZE,
) -> Import:
    """Find the run of these records and this origin, or number a new one: `mask_import.start`."""
    images_folder = None if images_folder is None else listing.canonical_uri(images_folder)
    return mask_import.start(lake, ImportWork(plan, origin, images_folder), source, shard_size)
