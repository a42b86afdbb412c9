"""The bytes of one input, wherever it lies."""

import os
import stat

from curation.errors import InputError
from curation.formats import buckets, listing, tars
from curation.formats.plan import Item


def item(uri: str) -> Item:
    """An item for a URI that comes from no plan."""
    uri = listing.canonical_uri(uri)
    return Item(0, uri, listing.Entry(uri, None).file_name)


def read_bytes(item: Item, max_bytes: int) -> bytes:
    """All bytes of an input.

    Raises InputError if it is missing, unreadable or larger than `max_bytes`, and CurationError if its bucket
    does not answer, which is no fault of the input.
    """
    if item.fault:
        raise InputError(f"{item.uri}: {item.fault}")
    _check_size(item.uri, item.size_bytes, max_bytes)
    if buckets.is_bucket_uri(item.uri):
        return buckets.read(item.uri)
    try:
        in_tar = tars.split_uri(item.uri)
        if in_tar and not os.path.exists(item.uri):
            return _read_member(item, *in_tar, max_bytes)
        return _read_local(item.uri, max_bytes)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name; InputError is one too
        raise InputError(f"{item.uri} cannot be read: {error}") from error


def exists(uri: str) -> bool:
    """Whether a file or an object lies at `uri` (not for members of a tar)."""
    return buckets.size_bytes(uri) is not None if buckets.is_bucket_uri(uri) else os.path.exists(uri)


def _read_member(item: Item, tar_path: str, name: str, max_bytes: int) -> bytes:
    if item.offset is not None and item.size_bytes is not None:
        return tars.read(tar_path, item.offset, item.size_bytes)
    member = tars.find(tar_path, tars.normal_name(name))
    if member is None:
        raise InputError(f"the tar has no member {name!r}; check the name")
    if member.fault:
        raise InputError(member.fault)
    _check_size(item.uri, member.size_bytes, max_bytes)
    return tars.read(tar_path, member.offset, member.size_bytes)


def _read_local(path: str, max_bytes: int) -> bytes:
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for ever
        raise InputError("it is a folder, a pipe or a device; only files are read")
    _check_size(path, found.st_size, max_bytes)
    with open(path, "rb") as file:
        return file.read()


def _check_size(uri: str, size_bytes: int | None, max_bytes: int) -> None:
    if size_bytes is not None and size_bytes > max_bytes:
        raise InputError(
            f"{uri} has {size_bytes:,} bytes; at most {max_bytes:,} are read. Leave it out or split it"
        )
