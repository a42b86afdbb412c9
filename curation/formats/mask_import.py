"""Imported masks into the lake, shard by shard, whatever their format: tables `images`, `masks` or `gold_masks`, `problems`.

A format gives a plan of numbered items, one an image, and a work that reads one of them (`ImportWork.read`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import duckdb
import numpy as np
import pyarrow as pa

from curation import ids, runs, shards
from curation.errors import ImageError, InputError, RecordError
from curation.formats import contents, images, listing, tars
from curation.formats.images import ImageHead
from curation.formats.plan import Item, Plan
from curation.formats.records import Annotations, Record, RecordImage
from curation.lake import Lake, insert
from curation.runs import Run, RunSpec
from curation.schemas import TABLES
from curation.shards import LOCAL, Done, Engine, Result, Shard, Summary, problem

#: Records a commit. SA-1B's have about 100 masks each: 25,000 masks, 15 MB in memory, five row groups.
SHARD_SIZE = 256


class Items(Protocol):
    """Numbered inputs, one an image; `sha256` names them, so that the same command finds its run."""

    n_items: int
    n_repeated: int
    sha256: str

    def items(self, first: int, stop: int) -> list[Item]: ...


@dataclass(frozen=True)
class GoldOrigin:
    """Who drew the masks, and whether corrected from a prediction (anchored) or drawn from scratch."""

    annotator: str
    is_anchored: bool


@dataclass(frozen=True)
class StageOrigin:
    """Which turn of the data engine made the masks."""

    stage: str
    cycle: int


@dataclass(frozen=True)
class RecordPlan:
    """The records to import, and the pictures that lie in tars, if any, whose places a worker must look up."""

    records: Items
    tar_images: Plan | None


@dataclass(frozen=True)
class _Parsed:
    """A record that was read, and the canonical URI at which its picture lies or would lie."""

    item: Item
    record: Record
    picture_uri: str


@dataclass(frozen=True)
class ImportWork(ABC):
    """Reads the records of a shard (picklable, for `shards.run`). Each format has one, with its `read`.

    A bad annotation or file becomes a problem and takes nothing else with it. So does a picture that cannot
    be read: its masks are kept, as if it were not there. A record whose picture has another size is refused,
    since its masks cannot lie on that picture.
    """

    format: ClassVar[str]

    plan: RecordPlan
    origin: GoldOrigin | StageOrigin
    images_folder: str | None = None

    @abstractmethod
    def read(self, item: Item) -> Record:
        """The image of one item and its masks. Raises InputError where the whole record is no use."""

    def picture_uri(self, item: Item, record: Record) -> str:
        """Where the picture lies or would lie: in `images_folder`, else beside the record."""
        if self.images_folder is None:
            return listing.beside(item.uri, record.image.file_name)
        return listing.inside(self.images_folder, record.image.file_name)

    @property
    def settings(self) -> Mapping[str, object]:
        """What besides the inputs and the origin determines the masks."""
        return {"format": self.format, "images": self.images_folder}

    @property
    def kind(self) -> str:
        """Kind of the run, which is also the name of the work."""
        return "gold" if isinstance(self.origin, GoldOrigin) else "import"

    @property
    def table(self) -> str:
        return "gold_masks" if isinstance(self.origin, GoldOrigin) else "masks"

    def __call__(self, shard: Shard) -> Result:
        problems: list[dict] = []
        parsed = list(self._parsed(shard, problems))
        tar_images = self._tar_images(parsed)
        usable: list[tuple[dict, Annotations]] = []
        for one in parsed:
            image_id = ids.image_id(one.picture_uri)
            try:
                head = _head(one, tar_images.get(one.picture_uri))
            except ImageError as error:
                head = _absent(one)
                problems.append(problem(shard, one.picture_uri, error, image_id=image_id))
            try:
                _check_size(one, head)
            except RecordError as error:
                problems.append(problem(shard, one.item.uri, error, image_id=image_id))
                continue
            row = images.image_row(head, shard.run_id, one.item.number, one.record.image.source_image_id)
            usable.append((row, one.record.annotations))
        tables = {
            "images": TABLES["images"].table([row for row, _ in usable]),
            self.table: self._masks(usable),
            "problems": TABLES["problems"].table(problems),
        }
        return Result(tables, len(usable), tables[self.table].num_rows)

    def _parsed(self, shard: Shard, problems: list[dict]) -> Iterable[_Parsed]:
        """The usable records of a shard; what is not usable goes to `problems`."""
        claimed: dict[str, str] = {}
        for item in self.plan.records.items(shard.first, shard.stop):
            try:
                record = self.read(item)
                picture_uri = self.picture_uri(item, record)
                if picture_uri in claimed:
                    raise _repeated(picture_uri, claimed[picture_uri])
            except InputError as error:
                problems.append(problem(shard, item.uri, error, kind=RecordError.kind))
                continue
            claimed[picture_uri] = item.uri
            image_id = ids.image_id(picture_uri)
            for index, error in record.problems:
                problems.append(
                    problem(shard, item.uri, error, record=f"annotations[{index}]", image_id=image_id)
                )
            yield _Parsed(item, record, picture_uri)

    def _tar_images(self, parsed: Sequence[_Parsed]) -> dict[str, Item]:
        if self.plan.tar_images is None:
            return {}
        return self.plan.tar_images.find([one.picture_uri for one in parsed])

    def _masks(self, usable: Sequence[tuple[dict, Annotations]]) -> pa.Table:
        """The masks of images (rows of `images`) as rows of the table they go to."""
        schema = TABLES[self.table]
        if not usable:
            return schema.table([])
        read = pa.Table.from_batches([found.columns for _, found in usable]).combine_chunks()
        n_masks = [found.columns.num_rows for _, found in usable]
        first_ids = [ids.mask_id(row["run_id"], row["image_number"], 0) for row, _ in usable]
        tight = np.concatenate([found.bbox_xywh for _, found in usable])
        columns = {name: read[name] for name in read.column_names if name in schema.arrow.names}
        columns["gold_mask_id" if self.table == "gold_masks" else "mask_id"] = (
            np.repeat(first_ids, n_masks) + read["mask_index"].to_numpy()
        )
        for name in ("image_id", "width_px", "height_px"):
            columns[name] = np.repeat([row[name] for row, _ in usable], n_masks)
        columns["area_px"] = np.concatenate([found.area_px for _, found in usable])
        columns["bbox_xywh"] = pa.ListArray.from_arrays(
            np.arange(0, tight.size + 1, 4, dtype=np.int32), pa.array(tight.reshape(-1))
        )
        columns["rle_counts"] = pa.concat_arrays([found.rle_counts for _, found in usable])
        constants = {"run_id": usable[0][0]["run_id"], **vars(self.origin)}
        if "is_crowd" not in columns:
            constants["is_crowd"] = False
        columns |= {name: pa.repeat(value, read.num_rows) for name, value in constants.items()}
        return schema.table(columns)


@dataclass(frozen=True)
class Import:
    """One import: its run, the work and its shards. Started again with the same inputs, it is the same run."""

    run: Run
    work: ImportWork
    shard_size: int

    def finish(
        self,
        lake: Lake,
        workers: int | None = None,
        on_done: Callable[[Done], None] | None = None,
        engine: Engine = LOCAL,
    ) -> Summary:
        """Do what is not done yet. Killed at any moment and called again, the lake ends up the same."""
        records = self.work.plan.records
        todo = shards.plan(self.run.run_id, self.work.kind, records.n_items, self.shard_size)
        summary = shards.run(lake, self.work, todo, workers, on_done, engine)
        lake.commit(self._drop_repeated, f"run {self.run.run_id}: images that two records name")
        runs.finish(lake, self.run.run_id)
        return summary

    def n_problems(self, lake: Lake) -> int:
        """Problems of the whole run, those of earlier calls too."""
        found = lake.con.execute(
            "SELECT count(*) FROM problems WHERE run_id = ?", [self.run.run_id]
        ).fetchone()
        return found[0]

    def _drop_repeated(self, con: duckdb.DuckDBPyConnection) -> None:
        """Of records in several shards that name one image, keep the first, as inside a shard."""
        run_id = self.run.run_id
        repeated = con.execute(
            """
            SELECT image_number, first_number, uri, image_id
            FROM (
                SELECT *, min(image_number) OVER (PARTITION BY image_id) AS first_number
                FROM images WHERE run_id = $run_id
            )
            WHERE image_number > first_number ORDER BY image_number
            """,
            {"run_id": run_id},
        ).fetchall()
        problems = [self._drop(con, *row) for row in repeated]
        insert(con, {"problems": TABLES["problems"].table(problems)})

    def _drop(
        self, con: duckdb.DuckDBPyConnection, number: int, first_number: int, uri: str, image_id: int
    ) -> dict:
        """Take one image and its masks out of the lake; returns the problem that says so."""
        run_id, table = self.run.run_id, self.work.table
        id_column = "gold_mask_id" if table == "gold_masks" else "mask_id"
        first_id, stop_id = ids.mask_id_range(run_id, number, number + 1)
        con.execute("DELETE FROM images WHERE run_id = ? AND image_number = ?", [run_id, number])
        con.execute(
            f"DELETE FROM {table} WHERE run_id = ? AND {id_column} >= ? AND {id_column} < ?",
            [run_id, first_id, stop_id],
        )
        records = self.work.plan.records
        first_uri, repeated_uri = (records.items(n, n + 1)[0].uri for n in (first_number, number))
        first = number - number % self.shard_size
        shard = Shard(run_id, self.work.kind, f"{first:010d}", first, first + self.shard_size)
        return problem(shard, repeated_uri, _repeated(uri, first_uri), image_id=image_id)


def start(lake: Lake, work: ImportWork, source: str, shard_size: int = SHARD_SIZE) -> Import:
    """Find the run of this work, or number a new one.

    `shard_size` is part of what makes a run: shards of two sizes would hold the same records twice.
    """
    records = work.plan.records
    spec = RunSpec(
        kind=work.kind,
        source=source,
        settings={**work.settings, "shard_size": shard_size},
        image_set_sha256=records.sha256,
        n_images=records.n_items,
        **vars(work.origin),
    )
    return Import(runs.start(lake, spec), work, shard_size)


def _head(one: _Parsed, in_tar: Item | None) -> ImageHead:
    """What the picture's file tells; nulls where there is none. Raises ImageError if it cannot be read."""
    if in_tar is not None:
        return images.read_head(in_tar)
    if tars.split_uri(one.picture_uri) or not contents.exists(one.picture_uri):
        return _absent(one)
    return images.read_head(one.picture_uri)


def _absent(one: _Parsed) -> ImageHead:
    image: RecordImage = one.record.image
    file_name = image.file_name.rpartition("/")[2]
    return ImageHead(one.picture_uri, file_name, image.width_px, image.height_px, None, None, None)


def _check_size(one: _Parsed, head: ImageHead) -> None:
    image = one.record.image
    if (head.width_px, head.height_px) != (image.width_px, image.height_px):
        turned = " after its EXIF rotation" if (head.exif_orientation or 1) > 1 else ""
        raise RecordError(
            f"image: {image.width_px} × {image.height_px} px came, but {one.picture_uri} is {head.width_px} × "
            f"{head.height_px} px{turned}; put the picture there that the masks were drawn on"
        )


def _repeated(picture_uri: str, first_record_uri: str) -> RecordError:
    return RecordError(
        f"image.file_name: it names {picture_uri}, as {first_record_uri} does, and one import takes one record an "
        "image; the first was kept. Join the two, or import them one after the other"
    )
