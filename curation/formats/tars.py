"""Members of a plain tar, found once and then read by their place in the file."""

import os
import re
import tarfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from curation.errors import InputError


class Member(NamedTuple):
    """One file of a tar; `fault` says why it cannot be read, if so."""

    name: str
    offset: int
    size_bytes: int
    fault: str | None = None


def members(path: str) -> Iterator[Member]:
    """Every file of the tar at `path`, in the order in which they lie, with bounded memory.

    Folders are left out. A damaged header ends the walk with a member of an empty name whose `fault`
    says where, since what lies after it cannot be found.
    """
    file_size = os.path.getsize(path)
    try:
        with tarfile.open(path, "r:") as tar:
            while (header := tar.next()) is not None:
                tar.members.clear()  # tarfile keeps every header that it has read
                if not header.isdir():
                    yield _member(header, file_size)
            if _is_cut(path, tar.offset):
                yield Member("", tar.offset, 0, _damage(path, tar.offset))
    except tarfile.ReadError as error:
        yield Member("", 0, 0, f"{path} is no plain tar, or is damaged ({error}); fetch or pack it again")


def find(path: str, name: str) -> Member | None:
    """The last member called `name`, as unpacking would leave it; None if there is none."""
    return _index(path, os.path.getmtime(path)).get(name)


def split_uri(uri: str) -> tuple[str, str] | None:
    """The tar's path and the member's name of a URI such as /data/a.tar!b/c.jpg; None for other URIs."""
    mark = re.search(r"(?<=\.tar)!", uri, re.IGNORECASE)
    return (uri[: mark.start()], uri[mark.end() :]) if mark else None


def read(path: str, offset: int, size_bytes: int) -> bytes:
    """`size_bytes` from `offset` on. Raises InputError if the tar ends before."""
    with open(path, "rb") as file:
        file.seek(offset)
        data = file.read(size_bytes)
    if len(data) != size_bytes:
        raise InputError(f"the tar ends after {len(data)} of {size_bytes} bytes; fetch it again")
    return data


def normal_name(name: str) -> str:
    """`name` without "." parts and doubled slashes: "./a//b.jpg" is "a/b.jpg"."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def refuse_compressed(path: Path) -> None:
    """Raises InputError for archives that allow no random access."""
    if path.name.lower().endswith((".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".zip")):
        raise InputError(
            f"{path} is a compressed archive; images are read from a plain .tar at their place in it, which "
            f"compression does not allow. Unpack it, or repack it as .tar (JPEGs gain nothing from compression)"
        )


def _member(header: tarfile.TarInfo, file_size: int) -> Member:
    fault = None
    if header.name.startswith("/") or ".." in header.name.split("/"):
        fault = "its name leaves the archive's own folder; only names below it are allowed"
    elif not header.isreg() or header.issparse():
        fault = "it is a link, a device or a sparse file; only plain files are read from a tar"
    elif header.offset_data + header.size > file_size:
        fault = f"the archive ends inside it, at byte {file_size}; fetch the archive again"
    return Member(normal_name(header.name), header.offset_data, header.size, fault)


def _is_cut(path: str, offset: int) -> bool:
    """Whether something else than zeros (the end mark) stands at `offset`; a missing end mark is fine."""
    with open(path, "rb") as file:
        file.seek(offset)
        return any(file.read(tarfile.BLOCKSIZE))


def _damage(path: str, offset: int) -> str:
    return f"{path} is damaged at byte {offset}: what lies after it cannot be found; fetch or pack it again"


@lru_cache(maxsize=4)
def _index(path: str, _modified_at: float) -> dict[str, Member]:
    return {member.name: member for member in members(path)}
