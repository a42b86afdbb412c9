"""Fetch a large file over HTTP: resumes, checks SHA-256, and leaves either the right file or none."""

import contextlib
import errno
import fcntl
import hashlib
import http.client
import json
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from curation import events
from curation.errors import DownloadError

#: Bytes had so far, bytes in all (None where the server does not say).
OnProgress = Callable[[int, int | None], None]

CHUNK_BYTES = 1 << 20
#: Tries that bring nothing new before giving up; a try that brought bytes starts the count again.
MAX_IDLE_TRIES = 5
#: First pause between tries; it doubles with every idle try.
PAUSE_S = 0.5
TIMEOUT_S = 60.0
#: HTTP answers that a later try may better; every other 4xx is final.
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


def fetch(
    url: str, path: Path, sha256: str, on_progress: OnProgress | None = None, pause_s: float = PAUSE_S
) -> Path:
    """The file of `url` at `path`, with that SHA-256 (hex).

    A file that is there and right is kept. What a cut connection or a killed process left in `path`.part is gone
    on from, where the server allows it and still has the same file. Raises DownloadError; a file with
    the wrong hash is deleted before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path):
        if path.exists() and file_sha256(path) == sha256:
            return path
        part = _Part(path, url)
        was_resumed = part.size > 0
        _fill(part, on_progress, pause_s)
        came = file_sha256(part.path)
        if came != sha256 and was_resumed:
            # The server may have changed its file without a validator to tell: once more, from the start.
            part.restart()
            _fill(part, on_progress, pause_s)
            came = file_sha256(part.path)
        if came != sha256:
            part.delete()
            raise DownloadError(
                f"{url}: SHA-256 {came} came, {sha256} is expected; the file was deleted. "
                "Fetch it again; if it comes the same, the server's file has changed and must not be used"
            )
        part.become(path)
    return path


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


class _Part:
    """What has come so far, and the validator that says of which version of the file."""

    def __init__(self, path: Path, url: str) -> None:
        self.url = url
        self.path = path.with_name(f"{path.name}.part")
        self._notes = path.with_name(f"{path.name}.part.json")
        try:
            notes = json.loads(self._notes.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            notes = {}
        self.validator = notes.get("validator")
        if notes.get("url") != url:
            self.restart()

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def restart(self, validator: str | None = None) -> None:
        """Forget the bytes, and note which version the next ones are of."""
        self.path.write_bytes(b"")
        self.validator = validator
        self._notes.write_text(json.dumps({"url": self.url, "validator": validator}))

    def become(self, path: Path) -> None:
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(self.path, path)
        self.delete()

    def delete(self) -> None:
        self.path.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)


def _fill(part: _Part, on_progress: OnProgress | None, pause_s: float) -> None:
    """Ask again and again until the file is whole. Raises DownloadError when nothing more comes."""
    idle = 0
    while True:
        before = part.size
        try:
            if _ask(part, on_progress):
                return
            fault = "the connection was cut"
        except urllib.error.HTTPError as error:
            if error.code not in TRANSIENT:
                raise DownloadError(
                    f"{part.url}: the server answers {error.code} {error.reason}; check the address and your proxy"
                ) from error
            fault = f"the server answers {error.code} {error.reason}"
        except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
            if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                raise DownloadError(
                    f"{part.path}: {error}; make room and run the same command again"
                ) from error
            fault = str(getattr(error, "reason", None) or error or type(error).__name__)
        idle = 0 if part.size > before else idle + 1
        if idle >= MAX_IDLE_TRIES:
            raise DownloadError(
                f"{part.url}: {fault}, {idle} times in a row, after {part.size:,} bytes; "
                "check the network or HTTPS_PROXY and run the same command: it goes on from there"
            )
        events.record("download_interrupted", logging.WARNING, url=part.url, fault=fault, n_bytes=part.size)
        time.sleep(pause_s * 2**idle)


def _ask(part: _Part, on_progress: OnProgress | None) -> bool:
    """One request for what is missing; True when the file is whole."""
    request = urllib.request.Request(
        part.url, headers={"User-Agent": "curation", "Accept-Encoding": "identity"}
    )
    if part.size:
        request.add_header("Range", f"bytes={part.size}-")
        if part.validator:
            request.add_header("If-Range", part.validator)
    try:
        # The addresses are those of generation/models.py.
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # nosec B310
            return _take(part, response, on_progress)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        # The bytes asked for lie beyond the end: all had come, or the file is another one now.
        if error.headers.get("Content-Range") == f"bytes */{part.size}":
            return True
        part.restart()
        return False


def _take(part: _Part, response: http.client.HTTPResponse, on_progress: OnProgress | None) -> bool:
    start = _range_start(response)
    if start == 0:
        part.restart(_validator(response))  # the whole file comes, whatever was asked for
    elif start != part.size:
        part.restart()
        return False
    length = response.headers.get("Content-Length")
    total = part.size + int(length) if length else None
    with part.path.open("ab") as file:
        _copy(response, file, total, on_progress)
    # Without a length the end of the stream is the end of the file; the hash will tell.
    return total is None or part.size == total


def _copy(
    response: http.client.HTTPResponse, file: BinaryIO, total: int | None, on_progress: OnProgress | None
) -> None:
    while chunk := response.read1(CHUNK_BYTES):
        file.write(chunk)
        if on_progress:
            on_progress(file.tell(), total)


def _range_start(response: http.client.HTTPResponse) -> int:
    """First byte of what comes: 0 for a whole file, else that of `Content-Range: bytes 5-9/10`."""
    if response.status != 206:
        return 0
    content_range = response.headers.get("Content-Range", "")
    return int(content_range.removeprefix("bytes ").partition("-")[0] or 0)


def _validator(response: http.client.HTTPResponse) -> str | None:
    """What If-Range takes: a strong ETag, else the date of the last change (RFC 9110, 13.1.5)."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time write a file; another waits, and then finds it there."""
    with path.with_name(f"{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
