"""A workspace copied whole, with its history, while others write to it; and put back where every byte is as it was.

A backup is a folder: `catalog/`, `data/` (every file that any version of the lake reads), `rest/` (trained models,
releases and whatever else lies in the workspace) and `manifest.json` with the SHA-256 of each file and of the content
of each table. The catalog is copied while no one may commit, which takes seconds at most; data files never change, so
they are copied after that while work goes on. What is committed meanwhile is not in the backup.

Pictures are in it only where they lie in the folder of the workspace.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import duckdb

from curation import __version__, locks
from curation.engine import backup_catalog, content_hashes, manifest
from curation.engine.content_hashes import TableHash
from curation.engine.manifest import FileHash, Manifest
from curation.engine.steps import OnStep, untold
from curation.errors import InputError, LakeError
from curation.events import without_secrets
from curation.lake import DEFAULT_CATALOG, WORKSPACE_FILE, Lake
from curation.schemas import TABLES
from curation.storage import Storage, s3_filesystem

#: Folders of a backup.
CATALOG, DATA, REST = "catalog", "data", "rest"
CHUNK_BYTES = 1 << 22


@dataclass(frozen=True)
class Told:
    """What was copied: the version of the lake that is its newest, files and bytes."""

    folder: Path
    version: int
    n_files: int
    n_bytes: int


def back_up(lake: Lake, out: Path, on_step: OnStep = untold) -> Told:
    """Copy the workspace of `lake` into the folder `out`, which is there whole or not at all.

    Raises InputError where `out` holds something, LakeError where a data file is missing or cannot be copied.
    """
    out = out.expanduser().absolute()
    if out.is_relative_to(lake.root):
        raise InputError(f"{out} lies in the workspace itself: choose a folder elsewhere")
    with _unfinished(out) as folder:
        catalog = folder / CATALOG
        catalog.mkdir()
        with on_step("catalog", None), locks.writers_lock(lake.root, lake.catalog):
            backup_catalog.copy_out(lake.catalog, catalog)
        held = backup_catalog.read(catalog)
        files = [*manifest.hash_files(catalog, _no_step)]
        files = [FileHash(f"{CATALOG}/{file.path}", file.n_bytes, file.sha256) for file in files]
        with on_step("data files", len(held.data_files)) as on_file:
            for path in held.data_files:
                files.append(_copied_in(lake.storage, held.data_path, path, folder))
                on_file()
        rest = list(_rest(lake))
        with on_step("other files", len(rest)) as on_file:
            for path in rest:
                name = f"{REST}/{path.relative_to(lake.root).as_posix()}"
                with path.open("rb") as source:
                    files.append(_copied(source.read, folder / name, name))
                on_file()
        tables = _table_hashes(lake.root, held.version, on_step)
        manifest.write(
            folder, Manifest(_head(lake, held), tuple(sorted(files, key=lambda f: f.path)), tables)
        )
    return Told(out, held.version, len(files), sum(file.n_bytes for file in files))


def restore(
    source: Path, to: Path, catalog: str | None = None, data: str | None = None, on_step: OnStep = untold
) -> Told:
    """Make a workspace in the folder `to` from a backup: every file is checked before the first is written, and the
    content of every table after the last.

    `catalog` and `data` are as for `curation init`; the catalog must be of the kind that was backed up, and without a
    lake. Raises InputError where `to` holds something or `source` is no backup, LakeError where it is damaged.
    """
    held = manifest.read(source)
    if "data_path" not in held.head:
        raise InputError(f"{source}: its manifest is of a release, not of a backup")
    places = {"catalog": catalog or DEFAULT_CATALOG, "data": data or "data"}
    backup_catalog.check_kind(source / CATALOG, places["catalog"])
    _verify_files(source, held, on_step)
    to = to.expanduser().absolute()
    with _unfinished(to) as folder:
        _put_files(source, held, folder, places["data"], on_step)
        (folder / WORKSPACE_FILE).write_text(json.dumps(places, indent=2) + "\n")
        base = places["data"] if places["data"].startswith("s3://") else str(to / places["data"])
        with on_step("catalog", None):
            backup_catalog.put_back(
                source / CATALOG, places["catalog"], folder, held.head["data_path"], f"{base.rstrip('/')}/"
            )
    tables = _table_hashes(to, held.head["snapshot_id"], on_step, held.tables)
    differing = [was.table for was, now in zip(held.tables, tables, strict=True) if was != now]
    if differing:
        raise LakeError(
            f"{to}: restored, but the content of {', '.join(differing)} is not what was backed up; do not use it, and "
            "restore again from another copy"
        )
    n_bytes = sum(file.n_bytes for file in held.files)
    return Told(to, held.head["snapshot_id"], len(held.files), n_bytes)


@contextmanager
def _unfinished(out: Path) -> Iterator[Path]:
    """A new folder beside `out` that takes its name at the end; on an error it is taken away."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already and not empty: choose another folder")
    folder = out.with_name(f".{out.name}.unfinished-{os.getpid()}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
        with suppress(FileNotFoundError):
            out.rmdir()
        os.rename(folder, out)
    except OSError as error:
        raise LakeError(
            f"{out}: cannot be written ({error}); check space and rights, then start again"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _head(lake: Lake, held: backup_catalog.Catalog) -> dict:
    return {
        "workspace": str(lake.root),
        "catalog": without_secrets(lake.catalog),
        "data_path": held.data_path,
        "snapshot_id": held.version,
        "backed_up_at": datetime.now(timezone.utc).isoformat(),
        "curation_version": __version__,
        "duckdb_version": duckdb.__version__,
    }


def _copied_in(storage: Storage, data_path: str, path: str, folder: Path) -> FileHash:
    """One data file, by its place below the lake's data."""
    name = f"{DATA}/{path.removeprefix(data_path)}"
    if not path.startswith(data_path) or ".." in Path(name).parts:
        raise LakeError(
            f"{path} is a data file outside of {data_path}: it cannot be backed up with the workspace"
        )
    try:
        if storage.is_s3:
            with s3_filesystem().open_input_stream(path.removeprefix("s3://")) as source:
                return _copied(source.read, folder / name, name)
        with open(path, "rb") as source:
            return _copied(source.read, folder / name, name)
    except FileNotFoundError as error:
        raise LakeError(
            f"{path}: the catalog names this data file, and it is not there: see `curation doctor`; an older version may "
            "need it, and `curation maintain` forgets those"
        ) from error


def _copied(read: Callable[[int], bytes], to: Path, name: str) -> FileHash:
    """Write what `read` gives, and hash it on the way."""
    to.parent.mkdir(parents=True, exist_ok=True)
    digest, n_bytes = hashlib.sha256(), 0
    with to.open("wb") as file:
        while chunk := read(CHUNK_BYTES):
            file.write(chunk)
            digest.update(chunk)
            n_bytes += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    return FileHash(name, n_bytes, digest.hexdigest())


def _rest(lake: Lake) -> Iterator[Path]:
    """Files of the workspace that are neither catalog nor data; unfinished ones (hidden folders) and links are left."""
    catalog = Path(lake.catalog.removeprefix("sqlite:"))
    for folder, folders, names in os.walk(lake.root):
        folders[:] = [
            name for name in folders if not name.startswith(".") and f"{folder}/{name}/" != lake.storage.base
        ]
        for name in names:
            path = Path(folder, name)
            is_catalog = path.parent == catalog.parent and name.startswith(catalog.name)
            if not is_catalog and name != WORKSPACE_FILE and path.is_file() and not path.is_symlink():
                yield path


def _table_hashes(
    root: Path, version: int, on_step: OnStep, wanted: tuple[TableHash, ...] | None = None
) -> tuple[TableHash, ...]:
    """Content of the tables at a version; of the tables and columns of `wanted` where they are given."""
    asked = [(table, None) for table in TABLES] if wanted is None else [(w.table, w.columns) for w in wanted]
    with (
        on_step("content of tables", len(asked)) as on_table,
        Lake.open(root, at=version) as frozen,
        content_hashes.bounded_memory(frozen),
    ):
        found = []
        for table, columns in asked:
            try:
                found.append(content_hashes.of_table(frozen, table, columns))
            except duckdb.Error as error:
                raise LakeError(
                    f"{root}: table {table} cannot be read: {error}; see `curation doctor`"
                ) from error
            on_table()
    return tuple(found)


def _verify_files(source: Path, held: Manifest, on_step: OnStep) -> None:
    """Raises LakeError that names what is damaged or missing."""
    wrong = []
    with on_step("checking files", len(held.files)) as on_file:
        for file in held.files:
            path = source / file.path
            if not path.is_file():
                wrong.append(f"{file.path} is missing")
            elif path.stat().st_size != file.n_bytes:
                wrong.append(f"{file.path} has {path.stat().st_size:,} bytes instead of {file.n_bytes:,}")
            elif manifest.hash_file(path) != file.sha256:
                wrong.append(f"{file.path} has other content")
            on_file()
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise LakeError(
            f"{source}: this backup is damaged: {wrong[0]}{more}; nothing was restored: use another copy"
        )


def _put_files(source: Path, held: Manifest, folder: Path, data: str, on_step: OnStep) -> None:
    files = [file for file in held.files if not file.path.startswith(f"{CATALOG}/")]
    with on_step("files", len(files)) as on_file:
        for file in files:
            part, _, name = file.path.partition("/")
            with (source / file.path).open("rb") as opened:
                if part == DATA and data.startswith("s3://"):
                    _upload(opened.read, f"{data.rstrip('/')}/{name}")
                else:
                    _copied(opened.read, folder / data / name if part == DATA else folder / name, file.path)
            on_file()
    if not data.startswith("s3://"):
        (folder / data).mkdir(parents=True, exist_ok=True)


def _upload(read: Callable[[int], bytes], uri: str) -> None:
    try:
        with s3_filesystem().open_output_stream(uri.removeprefix("s3://")) as file:
            while chunk := read(CHUNK_BYTES):
                file.write(chunk)
    except OSError as error:
        raise LakeError(f"{uri}: cannot be written ({error}); check the bucket and its rights") from error


def _no_step() -> None:
    """Nobody counts the few files of the catalog."""
