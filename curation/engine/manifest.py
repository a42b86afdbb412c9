"""The manifest of a release: what its files and the tables of the lake hold, as SHA-256."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from curation.engine.content_hashes import TableHash
from curation.errors import InputError

FILE_NAME = "manifest.json"
#: Version of the manifest's form, and of how the content of a table is hashed.
FORMAT = 1
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class FileHash:
    """A file of the release; `path` is relative to its folder, with slashes."""

    path: str
    n_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """`head` is everything about the release but its content: name, version of the lake, counts, how it was judged."""

    head: dict[str, Any]
    files: tuple[FileHash, ...]
    tables: tuple[TableHash, ...]


def hash_file(path: Path) -> str:
    """SHA-256 (hex) of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def files_of(folder: Path) -> list[Path]:
    """Every file below the folder but the manifest, sorted; links and what is no plain file too, so that none hides."""
    there = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(path for path in there if path != folder / FILE_NAME)


def hash_files(folder: Path, on_file: Callable[[], None]) -> Iterator[FileHash]:
    """Hash every file below the folder but the manifest."""
    for path in files_of(folder):
        yield FileHash(path.relative_to(folder).as_posix(), path.stat().st_size, hash_file(path))
        on_file()


def write(folder: Path, manifest: Manifest) -> str:
    """Write the manifest into the folder, a line a file and a table; returns its SHA-256."""
    path = folder / FILE_NAME
    with path.open("w") as file:
        file.writelines(_lines(manifest))
    return hash_file(path)


def read(folder: Path) -> Manifest:
    """The manifest of a folder. Raises InputError where there is none that can be read."""
    path = folder / FILE_NAME
    try:
        head = json.loads(path.read_text())
        if head["manifest_format"] != FORMAT:
            raise InputError(f"{path}: its form is {head['manifest_format']!r}; this curation reads {FORMAT}")
        files = tuple(FileHash(**entry) for entry in head.pop("files"))
        tables = tuple(
            TableHash(**{**entry, "columns": tuple(entry["columns"])}) for entry in head.pop("tables")
        )
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no manifest; name the release's folder with --folder") from error
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: it is no manifest of a release ({error})") from error
    return Manifest(head, files, tables)


def _lines(manifest: Manifest) -> Iterator[str]:
    yield "{\n"
    for name, value in {"manifest_format": FORMAT, **manifest.head}.items():
        yield f"{json.dumps(name)}: {json.dumps(value)},\n"
    for name, entries in (("files", manifest.files), ("tables", manifest.tables)):
        listed = ",\n".join(f"  {json.dumps(asdict(entry))}" for entry in entries)
        yield f'"{name}": [\n{listed}\n]{"," if name == "files" else ""}\n'
    yield "}\n"
