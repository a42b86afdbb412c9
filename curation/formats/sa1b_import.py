"""SA-1B records into the lake, shard by shard: tables `images`, `masks` or `gold_masks`, and `problems`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

import duckdb

from curation import ids, runs, shards
from curation.errors import ImageError, InputError, RecordError
from curation.formats import contents, images, listing, sa1b, tars
from curation.formats.images import IMAGE_SUFFIXES, ImageHead
from curation.formats.plan import Item, Plan, write_plan
from curation.formats.sa1b import Record, RecordImage
from curation.lake import Lake, insert
from curation.masks import areas, boxes, to_strings
from curation.runs import Run, RunSpec
from curation.schemas import TABLES
from curation.shards import Done, Result, Shard, Summary, problem

RECORD_SUFFIXES = frozenset({".json"})
#: Records a commit. SA-1B's have about 100 masks each: 25,000 masks, 15 MB in memory, five row groups.
SHARD_SIZE = 256


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
    """The records to import, and the pictures that lie in tars, whose places a worker must look up."""

    records: Plan
    tar_images: Plan


@dataclass(frozen=True)
class _Parsed:
    """A record that was read, and the canonical URI at which its picture lies or would lie."""

    item: Item
    record: Record
    picture_uri: str


@dataclass(frozen=True)
class ImportWork:
    """Reads the records of a shard (picklable, for `shards.run`).

    A bad annotation or file becomes a problem and takes nothing else with it. So does a picture that cannot
    be read: its masks are kept, as if it were not there. A record whose picture has another size is refused,
    since its masks cannot lie on that picture.
    """

    plan: RecordPlan
    origin: GoldOrigin | StageOrigin
    images_folder: str | None = None

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
        tar_images = self.plan.tar_images.find([one.picture_uri for one in parsed])
        image_rows: list[dict] = []
        columns: dict[str, list] = {name: [] for name in TABLES[self.table].arrow.names}
        for one in parsed:
            try:
                head = _head(one, tar_images.get(one.picture_uri))
            except ImageError as error:
                head = _absent(one)
                problems.append(
                    problem(shard, one.picture_uri, error, image_id=ids.image_id(one.picture_uri))
                )
            try:
                _check_size(one, head)
            except RecordError as error:
                problems.append(problem(shard, one.item.uri, error, image_id=ids.image_id(one.picture_uri)))
                continue
            row = images.image_row(head, shard.run_id, one.item.number, one.record.image.source_image_id)
            image_rows.append(row)
            self._append(columns, row, one.record)
        tables = {
            "images": TABLES["images"].table(image_rows),
            self.table: TABLES[self.table].table(columns),
            "problems": TABLES["problems"].table(problems),
        }
        return Result(tables, len(image_rows), len(columns["run_id"]))

    def _parsed(self, shard: Shard, problems: list[dict]) -> Iterable[_Parsed]:
        """The usable records of a shard; what is not usable goes to `problems`."""
        claimed: dict[str, str] = {}
        for item in self.plan.records.items(shard.first, shard.stop):
            try:
                record = sa1b.parse_record(contents.read_bytes(item, sa1b.MAX_FILE_BYTES))
                picture_uri = self._picture_uri(item.uri, record.image.file_name)
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

    def _picture_uri(self, record_uri: str, file_name: str) -> str:
        if self.images_folder is None:
            return listing.beside(record_uri, file_name)
        return listing.inside(self.images_folder, file_name)

    def _append(self, columns: dict[str, list], image: dict, record: Record) -> None:
        """Add a record's masks to the columns of the table."""
        found = record.annotations
        n_masks = len(found.mask_index)
        mask_ids = [ids.mask_id(image["run_id"], image["image_number"], index) for index in found.mask_index]
        values: dict[str, Iterable] = {
            "mask_index": found.mask_index,
            "area_px": areas(found.runs).tolist(),
            "bbox_xywh": boxes(found.runs).tolist(),
            "label": found.label,
            "source_mask_id": found.source_mask_id,
            "source_bbox_xywh": found.source_bbox_xywh,
            "rle_counts": to_strings(found.runs),
        }
        constants = {name: image[name] for name in ("run_id", "image_id", "width_px", "height_px")}
        constants |= {"is_crowd": False} | vars(self.origin)
        if self.table == "gold_masks":
            values |= {"gold_mask_id": mask_ids, "nesting": found.nesting}
        else:
            values |= {
                "mask_id": mask_ids,
                "predicted_iou": found.predicted_iou,
                "stability_score": found.stability_score,
                "point_xy": found.point_xy,
                "crop_box_xywh": found.crop_box_xywh,
            }
        for name, column in columns.items():
            column.extend(values[name] if name in values else repeat(constants.get(name), n_masks))


@dataclass(frozen=True)
class Import:
    """One import: its run, the work and its shards. Started again with the same inputs, it is the same run."""

    run: Run
    work: ImportWork
    shard_size: int

    def finish(self, lake: Lake, workers: int = 1, on_done: Callable[[Done], None] | None = None) -> Summary:
        """Do what is not done yet. Killed at any moment and called again, the lake ends up the same."""
        records = self.work.plan.records
        todo = shards.plan(self.run.run_id, self.work.kind, records.n_items, self.shard_size)
        summary = shards.run(lake, self.work, todo, workers=workers, on_done=on_done)
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
    """Find the run of these records and this origin, or number a new one.

    `shard_size` is part of what makes a run: shards of two sizes would hold the same records twice.
    """
    images_folder = None if images_folder is None else listing.canonical_uri(images_folder)
    work = ImportWork(plan, origin, images_folder)
    spec = RunSpec(
        kind=work.kind,
        source=source,
        settings={"format": "sa1b", "images": images_folder, "shard_size": shard_size},
        image_set_sha256=plan.records.sha256,
        n_images=plan.records.n_items,
        **vars(origin),
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
