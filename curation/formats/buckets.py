"""Objects of an S3 bucket, listed page by page and read whole, through s3fs.

Credentials and endpoint come from the environment as for every AWS tool (AWS_PROFILE, AWS_ENDPOINT_URL, …).
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from curation.errors import CurationError, InputError, MissingExtraError

if TYPE_CHECKING:
    from s3fs import S3FileSystem

SCHEME = "s3://"


def is_bucket_uri(uri: str) -> bool:
    return uri.startswith(SCHEME)


def objects(source: str) -> Iterator[tuple[str, int]]:
    """(uri, size in bytes) of every object, in the order of their keys.

    A prefix is a folder: s3://bucket/photos does not take photos2/. "*", "?" and "**" work as in a shell.
    """
    bucket, _, prefix = source.removeprefix(SCHEME).partition("/")
    if not bucket:
        raise InputError(f"{source} names no bucket; write s3://BUCKET/PREFIX")
    pattern = None
    if re.search(r"[*?]", prefix):
        pattern, prefix = _pattern(prefix), re.split(r"[*?]", prefix, maxsplit=1)[0]
    folder = prefix if pattern else f"{prefix.rstrip('/')}/".lstrip("/")
    for page in _pages(source, bucket, folder):
        for item in page.get("Contents", []):
            key = item["Key"]
            if not key.endswith("/") and (pattern is None or pattern.fullmatch(key)):
                yield f"{SCHEME}{bucket}/{key}", item["Size"]
    if not pattern and prefix and not prefix.endswith("/") and (size := size_bytes(source)) is not None:
        yield source, size


def read(uri: str) -> bytes:
    """All bytes of one object.

    Raises InputError if that object is missing or forbidden, CurationError if the bucket does not answer:
    that is no fault of the object, and a rerun goes on from there.
    """
    try:
        return _file_system().cat_file(uri.removeprefix(SCHEME))
    except (FileNotFoundError, PermissionError) as error:
        raise InputError(f"{uri}: the object is missing or may not be read ({error})") from error
    except _outages() as error:
        raise _unanswered(uri, error) from error


def size_bytes(uri: str) -> int | None:
    """Size of one object; None if it is not there."""
    bucket, _, key = uri.removeprefix(SCHEME).partition("/")
    try:
        return _file_system().call_s3("head_object", Bucket=bucket, Key=key)["ContentLength"]
    except FileNotFoundError:
        return None
    except _outages() as error:
        raise _unanswered(uri, error) from error


def _pages(source: str, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    # s3fs's own find() keeps a whole listing in memory; the pages do not
    token: dict[str, str] = {}
    while True:
        try:
            page = _file_system().call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, **token)
        except FileNotFoundError as error:
            raise InputError(f"{source}: there is no bucket {bucket!r} ({error}); check its name") from error
        except _outages() as error:
            raise _unanswered(source, error) from error
        yield page
        if not page.get("IsTruncated"):
            return
        token = {"ContinuationToken": page["NextContinuationToken"]}


def _pattern(glob: str) -> re.Pattern[str]:
    """A shell's pattern over keys: "*" and "?" stay inside one folder, "**/" crosses folders."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile(
        "".join(parts.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*\*|\*|\?)", glob))
    )


def _file_system() -> "S3FileSystem":
    try:
        import s3fs
    except ModuleNotFoundError as error:
        raise MissingExtraError("Reading s3:// sources", extra="s3", package="s3fs") from error
    return s3fs.S3FileSystem()  # fsspec keeps one instance a process


def _outages() -> tuple[type[Exception], ...]:
    from botocore.exceptions import BotoCoreError, ClientError

    return OSError, BotoCoreError, ClientError


def _unanswered(where: str, error: Exception) -> CurationError:
    return CurationError(
        f"{where}: the bucket did not answer ({type(error).__name__}: {error}); "
        f"check credentials, AWS_ENDPOINT_URL and network, then run the same command again: it goes on from there"
    )
