"""What lies in a source: a folder, a glob, a list, a tar or an s3:// prefix, as a stream of entries.

Every entry has one canonical URI, from which an image's id is made: an absolute path, an `s3://` URI, or a
tar's absolute path, "!" and the member's name. Symbolic links are followed and not resolved. Hidden files
(".name", such as macOS puts beside pictures) are left out, unless a list names them.
"""

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import InputError
from curation.formats import buckets, tars

LIST_BATCH_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a source. `offset` is its first byte in a tar, `fault` why it cannot be read, if so.

    A file with a fault stays listed: it becomes a problem, not an absence.
    """

    uri: str
    size_bytes: int | None
    offset: int | None = None
    fault: str | None = None

    @property
    def file_name(self) -> str:
        in_tar = tars.split_uri(self.uri)
        return (in_tar[1] if in_tar else self.uri).rpartition("/")[2]


def entries(source: str, suffixes: frozenset[str]) -> Iterator[Entry]:
    """All files of `source` whose suffix (lower case, with dot) is one of `suffixes`, in no set order.

    A list is taken as it stands, whatever its suffixes. Raises InputError for a source that is none.
    """
    if buckets.is_bucket_uri(source):
        return _in_bucket(source, suffixes)
    if "://" in source and not source.startswith("file://"):
        raise InputError(
            f"{source}: only s3:// and local paths are read; copy the files to one of them first"
        )
    path = Path(canonical_uri(source))
    if path.is_dir():
        return _in_folder(path, suffixes)
    if path.is_file():
        return _in_file(path, suffixes)
    if glob.has_magic(source):
        return _in_glob(str(path), suffixes)
    raise InputError(
        f"{source} does not exist; give a folder, a glob, a .txt or .parquet list, a .tar or an s3:// prefix"
    )


def canonical_uri(text: str) -> str:
    """The one way to write where a file lies: an s3:// URI as it is, else an absolute path."""
    if buckets.is_bucket_uri(text):
        return text
    return os.path.abspath(os.path.expanduser(text.removeprefix("file://")))


def beside(uri: str, name: str) -> str:
    """URI of the file called `name` (relative, may have folders) in the folder that `uri` lies in."""
    in_tar = tars.split_uri(uri)
    folder, slash, _ = (in_tar[1] if in_tar else uri).rpartition("/")
    return f"{in_tar[0]}!{folder}{slash}{name}" if in_tar else f"{folder}/{name}"


def inside(folder: str, name: str) -> str:
    """URI of the file called `name` (relative) in a folder, a prefix or a tar."""
    separator = "!" if folder.lower().endswith(".tar") else "/"
    return f"{folder.rstrip('/')}{separator}{name}"


def has_suffix(name: str, suffixes: frozenset[str]) -> bool:
    """Whether `name` ends in one of `suffixes` and is not hidden."""
    base = name.rpartition("/")[2]
    return os.path.splitext(base)[1].lower() in suffixes and not base.startswith(".")


def _in_file(path: Path, suffixes: frozenset[str]) -> Iterator[Entry]:
    tars.refuse_compressed(path)
    suffix = path.suffix.lower()
    if suffix == ".tar":
        return _in_tar(path, suffixes)
    if suffix in (".txt", ".lst"):
        return _in_text_list(path)
    if suffix == ".parquet":
        return _in_parquet_list(path)
    if suffix in suffixes:
        return iter([Entry(str(path), path.stat().st_size)])
    allowed = ", ".join(sorted(suffixes))
    raise InputError(
        f"{path}: files ending in {suffix or 'nothing'} are not read; allowed: .txt, .parquet, .tar, {allowed}"
    )


def _in_folder(root: Path, suffixes: frozenset[str]) -> Iterator[Entry]:
    for folder, folders, names in os.walk(root, followlinks=True, onerror=_raise_unlisted):
        folders[:] = [name for name in folders if not name.startswith(".") and not _is_loop(folder, name)]
        for name in names:
            if has_suffix(name, suffixes):
                yield _local(os.path.join(folder, name))


def _raise_unlisted(error: OSError) -> None:
    raise InputError(
        f"{error.filename} cannot be listed ({error.strerror}); allow reading it or leave it out"
    ) from error


def _is_loop(folder: str, name: str) -> bool:
    """Whether a linked folder leads back to one that it lies in."""
    path = os.path.join(folder, name)
    if not os.path.islink(path):
        return False
    target = os.path.realpath(path)
    return os.path.commonpath([target, os.path.realpath(folder)]) == target


def _in_glob(pattern: str, suffixes: frozenset[str]) -> Iterator[Entry]:
    for path in glob.iglob(pattern, recursive=True):
        if has_suffix(path, suffixes) and os.path.isfile(path):
            yield _local(path)


def _in_tar(path: Path, suffixes: frozenset[str]) -> Iterator[Entry]:
    for member in tars.members(str(path)):
        if not member.name:
            yield Entry(str(path), None, fault=member.fault)
        elif has_suffix(member.name, suffixes):
            name, fault = _readable(member.name, member.fault)
            yield Entry(f"{path}!{name}", member.size_bytes, member.offset, fault)


def _in_bucket(source: str, suffixes: frozenset[str]) -> Iterator[Entry]:
    if source.lower().endswith((".tar", ".txt", ".lst", ".parquet")):
        raise InputError(f"{source}: tars and lists are read from a local disk; copy it there first")
    for uri, size_bytes in buckets.objects(source):
        if has_suffix(uri, suffixes):
            yield Entry(uri, size_bytes)


def _in_text_list(path: Path) -> Iterator[Entry]:
    with open(path, encoding="utf-8-sig") as lines:
        try:
            for line in lines:
                if text := line.strip():
                    yield _listed(path, text, None)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path} is not UTF-8 ({error}); save the list as UTF-8, one path or URI a line"
            ) from error


def _in_parquet_list(path: Path) -> Iterator[Entry]:
    try:
        file = pq.ParquetFile(path)
        column = _uri_column(path, file.schema_arrow)
        sizes = ["size_bytes"] if "size_bytes" in file.schema_arrow.names and column != "size_bytes" else []
        for batch in file.iter_batches(LIST_BATCH_ROWS, columns=[column, *sizes]):
            for row in batch.to_pylist():
                if row[column] is None:
                    raise InputError(f"{path}: column {column} holds a null; every row must name a file")
                yield _listed(path, row[column], row.get("size_bytes"))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # damaged pages are OSErrors
        raise InputError(
            f"{path} is no Parquet file, or a damaged one ({error}); write the list again"
        ) from error


def _uri_column(path: Path, schema: pa.Schema) -> str:
    """Column `uri`, else the first one of strings."""
    texts = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
    if not texts:
        raise InputError(
            f"{path} has no column of strings (columns: {', '.join(schema.names)}); name one `uri`"
        )
    return "uri" if "uri" in texts else texts[0]


def _listed(list_path: Path, text: str, size_bytes: int | None) -> Entry:
    """A line of a list; relative paths start at the list's folder. A missing file stays in, without size."""
    if "://" in text and not text.startswith("file://"):
        is_read = buckets.is_bucket_uri(text)
        fault = None if is_read else "only s3:// and local paths are read; copy the file to one of them first"
        uri, fault = _readable(text, fault)
        return Entry(uri, size_bytes, fault=fault)
    local = text.removeprefix("file://")
    return _local(canonical_uri(os.path.join(list_path.parent, os.path.expanduser(local))))


def _local(path: str) -> Entry:
    try:
        size_bytes = os.stat(path).st_size
    except (OSError, ValueError):  # reading it will tell what is wrong; ValueError: a NUL in the name
        size_bytes = None
    uri, fault = _readable(path, None)
    return Entry(uri, size_bytes, fault=fault)


def _readable(name: str, fault: str | None) -> tuple[str, str | None]:
    """`name`, with bytes that are not UTF-8 written as \\xNN, and then a fault, since tables hold UTF-8."""
    try:
        name.encode()
        return name, fault
    except UnicodeEncodeError:
        written = os.fsencode(name).decode(errors="backslashreplace")
        return written, "its name is not UTF-8; rename it"
