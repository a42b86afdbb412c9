"""The plan of an import of COCO files: where each image and its annotations lie, found without holding a file's objects."""

import hashlib
import mmap
import os
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation import ids
from curation.errors import InputError, RecordError
from curation.formats import coco, contents, json_slices, listing
from curation.formats.images import IMAGE_SUFFIXES
from curation.formats.mask_import import RecordPlan
from curation.formats.plan import Item, write_plan
from curation.formats.records import load, told

SUFFIXES = frozenset({".json"})
#: A file in a bucket or a tar is copied to the disk first; the largest in use, LVIS, has about 1 GB.
MAX_FILE_BYTES = 8 << 30
IMAGES_PER_GROUP = 4096


@dataclass(frozen=True)
class CocoFile:
    """A file: its canonical URI, the local file with its bytes, and their SHA-256."""

    uri: str
    path: str
    sha256: str


@dataclass(frozen=True)
class CocoItem(Item):
    """One image: where its entry and its annotations lie, as slices [start, stop) of files of the plan."""

    image_file: int = 0
    image_slice: tuple[int, int] = (0, 0)
    file: int = 0
    annotation_indexes: Sequence[int] = ()
    annotation_slices: Sequence[int] = ()


@dataclass(frozen=True)
class CocoPlan:
    """Images of all files, numbered in the order of the files' lists (picklable; reads from `path`).

    An annotation whose image is not listed takes a number too, with its fault: it becomes a problem.
    """

    path: Path
    files: tuple[CocoFile, ...]
    names: tuple[Mapping[int | str, str], ...]
    n_items: int
    sha256: str
    n_repeated: int = 0

    def items(self, first: int, stop: int) -> list[CocoItem]:
        """Images first..stop-1; reads only the row groups that hold them."""
        stop = min(stop, self.n_items)
        if first >= stop:
            return []
        with pq.ParquetFile(self.path) as file:
            start = first // IMAGES_PER_GROUP
            rows = file.read_row_groups(range(start, -(-stop // IMAGES_PER_GROUP)))
        rows = rows.slice(first - start * IMAGES_PER_GROUP, stop - first).to_pylist()
        return [CocoItem(first + k, file_name="", **row) for k, row in enumerate(rows)]


def plan_files(
    paths: Sequence[str], images_folder: str | None, folder: Path, instances: str | None = None
) -> RecordPlan:
    """Find the images and annotations of every COCO file of `paths`; the plan is written into `folder`.

    `instances` names the file that lists the images of results, which are bare lists of annotations. A file of several
    that is no COCO file takes a number with its fault, as what is wrong inside a list does: it becomes a problem.
    Raises InputError where it is the only one.
    """
    uris = sorted({entry.uri for entry in chain.from_iterable(listing.entries(p, SUFFIXES) for p in paths)})
    if not uris:
        raise InputError(f"{', '.join(paths)}: no *.json is there; COCO has one file for many images")
    folder.mkdir(parents=True, exist_ok=True)
    listed = None if instances is None else _file(listing.canonical_uri(instances), folder)
    path = folder / "coco.parquet"
    files: list[CocoFile] = []
    names: list[Mapping[int | str, str]] = []
    with _ItemWriter(path) as writer:
        for uri in uris:
            files.append(CocoFile(uri, "", ""))
            try:
                files[-1] = _file(uri, folder)
                names.append(_plan_file(files, listed, len(uris), writer))
            except InputError as error:
                if len(uris) == 1:
                    raise
                names.append({})
                writer.add(uri=uri, fault=_without_uri(error, uri))
    if listed is not None:
        files.append(listed)
    digest = hashlib.sha256("".join(f"{file.uri}\n{file.sha256}\n" for file in files).encode())
    records = CocoPlan(path, tuple(files), tuple(names), writer.n_items, digest.hexdigest())
    return RecordPlan(records, _tar_images(images_folder, folder))


@dataclass
class _ItemWriter:
    """Writes items to a Parquet file in row groups of IMAGES_PER_GROUP."""

    path: Path
    n_items: int = 0
    _waiting: list[dict] = field(default_factory=list)
    _schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("uri", pa.string()),
            ("fault", pa.string()),
            ("image_file", pa.int32()),
            ("image_slice", pa.list_(pa.int64())),
            ("file", pa.int32()),
            ("annotation_indexes", pa.list_(pa.int64())),
            ("annotation_slices", pa.list_(pa.int64())),
        ]
    )

    def __enter__(self) -> "_ItemWriter":
        self._writer = pq.ParquetWriter(self.path, self._schema)
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._writer.close()

    def add(self, **row: object) -> None:
        self._waiting.append(row)
        self.n_items += 1
        if len(self._waiting) == IMAGES_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self.n_items > 1 << ids.IMAGE_BITS:
            raise InputError(
                f"{self.n_items:,} images came; one run takes {1 << ids.IMAGE_BITS:,}: split them"
            )
        if self._waiting:
            self._writer.write_table(pa.Table.from_pylist(self._waiting, self._schema))
            self._waiting.clear()


def _plan_file(
    files: Sequence[CocoFile], listed: CocoFile | None, listed_number: int, writer: _ItemWriter
) -> Mapping[int | str, str]:
    """Write the images of the last of `files` to the plan; returns the names of its categories.

    `listed` is the file that lists the images of results, and `listed_number` the place that it will have.
    """
    number, file = len(files) - 1, files[-1]
    data = np.frombuffer(mapped(file), np.uint8)
    if json_slices.is_list(data):
        if listed is None:
            raise InputError(
                f"{file.uri}: a bare list came. COCO results and lists of annotations do not say which images they "
                'belong to: give an object with "images" and "annotations", or name the instances file that lists '
                "the images (`curation import coco … --instances FILE`)"
            )
        annotations = _list(file, data)
        owner, owner_number, parts = listed, listed_number, _members(listed)
    else:
        owner, owner_number, parts = file, number, _members(file)
        annotations = _list(file, data, parts, "annotations")
    images = _list(owner, np.frombuffer(mapped(owner), np.uint8), parts, "images")
    names = _names(owner, parts)
    _write_items(file, number, owner, owner_number, images, annotations, writer)
    return names


def _names(file: CocoFile, parts: Mapping[str, tuple[int, int]]) -> Mapping[int | str, str]:
    if "categories" not in parts:
        return {}
    try:
        return coco.parse_categories(read_slice(file, parts["categories"]))
    except RecordError as error:
        raise InputError(f"{file.uri}: {error}") from error


def _write_items(
    file: CocoFile,
    number: int,
    owner: CocoFile,
    owner_number: int,
    images: np.ndarray,
    annotations: np.ndarray,
    writer: _ItemWriter,
) -> None:
    """`owner` lists the images of `file`; the numbers are their places among the plan's files."""
    place_of, faults = _image_places(mapped(owner), images)
    owners, orphans = _owners(mapped(file), annotations, place_of)
    order = np.argsort(owners, kind="stable")
    bounds = np.searchsorted(owners[order], np.arange(len(images) + 1))
    for place, image_slice in enumerate(images.tolist()):
        mine = order[bounds[place] : bounds[place + 1]]
        fault = faults.get(place)
        if fault and len(mine):
            fault += f"; its {len(mine)} annotations are left out with it"
        writer.add(
            uri=f"{owner.uri}#images[{place}]",
            fault=fault,
            image_file=owner_number,
            image_slice=image_slice,
            file=number,
            annotation_indexes=mine,
            annotation_slices=annotations[mine].reshape(-1),
        )
    for index, fault in orphans:
        writer.add(uri=f"{file.uri}#annotations[{index}]", fault=fault)


def _image_places(data: mmap.mmap, images: np.ndarray) -> tuple[dict[int | str, int], dict[int, str]]:
    """Place in the list of each image id, and what is wrong with the entries that have none of their own."""
    place_of: dict[int | str, int] = {}
    faults: dict[int, str] = {}
    for place, (start, stop) in enumerate(images.tolist()):
        try:
            entry = load(data[start:stop])
        except RecordError as error:
            faults[place] = str(error)
            continue
        image_id = entry.get("id") if isinstance(entry, dict) else None
        if not coco.is_id(image_id):
            faults[place] = f"id: {told(image_id)} came; an image needs an id that annotations name"
        elif image_id in place_of:
            faults[place] = (
                f"id: {image_id!r} is that of images[{place_of[image_id]}] too; the first was kept"
            )
        else:
            place_of[image_id] = place
    return place_of, faults


def _owners(
    data: mmap.mmap, annotations: np.ndarray, place_of: Mapping[int | str, int]
) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """Place of each annotation's image, len(place_of) … for none, and (index, reason) of those."""
    owners = array("q")
    orphans: list[tuple[int, str]] = []
    for index, (start, stop) in enumerate(annotations.tolist()):
        place, fault = _owner(data[start:stop], place_of)
        owners.append(place)
        if fault:
            orphans.append((index, fault))
    return np.frombuffer(owners, np.int64) if owners else np.empty(0, np.int64), orphans


#: Sorts behind every image of a file.
_NOWHERE = 1 << 62


def _owner(data: bytes, place_of: Mapping[int | str, int]) -> tuple[int, str | None]:
    try:
        annotation = load(data)
    except RecordError as error:
        return _NOWHERE, str(error)
    image_id = annotation.get("image_id") if isinstance(annotation, dict) else None
    if not coco.is_id(image_id) or image_id not in place_of:
        return _NOWHERE, f"image_id: {told(image_id)} came; images has no such id"
    return place_of[image_id], None


def _file(uri: str, folder: Path) -> CocoFile:
    """The file with its bytes at hand; what lies in a bucket or a tar is copied into `folder`."""
    path = uri
    if not os.path.isfile(uri):
        data = contents.read_bytes(contents.item(uri), MAX_FILE_BYTES)
        path = str(folder / f"{hashlib.sha256(uri.encode()).hexdigest()}.json")
        Path(path).write_bytes(data)
    if os.path.getsize(path) == 0:
        raise InputError(f"{uri}: the file is empty (0 bytes); fetch it again")
    with open(path, "rb") as file:
        return CocoFile(uri, path, _sha256(file))


def _without_uri(error: InputError, uri: str) -> str:
    """The message for a row of `problems`, which has the file in a column of its own."""
    return str(error).removeprefix(f"{uri}: ")


def _sha256(file) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(1 << 22):
        digest.update(chunk)
    return digest.hexdigest()


def _members(file: CocoFile) -> dict[str, tuple[int, int]]:
    try:
        return json_slices.members(np.frombuffer(mapped(file), np.uint8))
    except RecordError as error:
        raise InputError(f"{file.uri}: {error}") from error


def _required(file: CocoFile, parts: Mapping[str, tuple[int, int]], name: str) -> tuple[int, int]:
    if name not in parts:
        raise InputError(
            f"{file.uri}: an object with {', '.join(map(repr, list(parts)[:6])) or 'no keys'} came; a COCO file has "
            '"images" and "annotations"'
            + ('. SA-1B\'s records have "image": import them as sa1b' if "image" in parts else "")
        )
    return parts[name]


def _list(
    file: CocoFile, data: np.ndarray, parts: Mapping[str, tuple[int, int]] | None = None, name: str = ""
) -> np.ndarray:
    """Elements of the list that lies in the part `name`, or that the whole file is."""
    bounds = () if parts is None else _required(file, parts, name)
    try:
        return json_slices.elements(data, *bounds)
    except RecordError as error:
        where = f'{file.uri}: "{name}"' if name else file.uri
        raise InputError(f"{where}: {error}") from error


@lru_cache(maxsize=8)
def mapped(file: CocoFile) -> mmap.mmap:
    """The file's bytes, read by the operating system where they are touched; kept open for a process's few files."""
    with open(file.path, "rb") as opened:
        return mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)


def read_slice(file: CocoFile, bounds: Sequence[int]) -> bytes:
    return mapped(file)[bounds[0] : bounds[1]]


def _tar_images(images_folder: str | None, folder: Path):
    if images_folder is None or not images_folder.lower().endswith(".tar"):
        return None
    return write_plan(listing.entries(images_folder, IMAGE_SUFFIXES), folder / "images.parquet")
