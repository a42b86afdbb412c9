"""Fetching files from a real HTTP server that cuts connections, ignores ranges, and changes its mind."""

import functools
import hashlib
import http.server
import multiprocessing
import threading
from dataclasses import dataclass, field

import pytest

from curation.errors import DownloadError
from curation.generation.download import fetch, file_sha256

CONTENT = bytes(range(256)) * 4000  # about 1 MB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Served:
    """How the server behaves, and the Range headers it was sent."""

    content: bytes = CONTENT
    etag: str | None = '"v1"'
    takes_ranges: bool = True
    says_length: bool = True
    cuts: list[int] = field(default_factory=list)  # bytes of the body after which an answer is cut
    errors: list[int] = field(default_factory=list)  # statuses of the first answers
    ranges: list[str | None] = field(default_factory=list)


class Handler(http.server.BaseHTTPRequestHandler):
    def __init__(self, served: Served, *args):
        self.served = served
        super().__init__(*args)

    def do_GET(self):
        served = self.served
        asked = self.headers.get("Range")
        served.ranges.append(asked)
        if served.errors:
            self.send_error(served.errors.pop(0))
            return
        first = 0
        if asked and served.takes_ranges and self.headers.get("If-Range") in (None, served.etag):
            first = int(asked.removeprefix("bytes=").removesuffix("-"))
        if first >= len(served.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(served.content)}")
            self.end_headers()
            return
        body = served.content[first:]
        self.send_response(206 if first else 200)
        if first:
            last = len(served.content) - 1
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(served.content)}")
        if served.says_length:
            self.send_header("Content-Length", str(len(body)))
        if served.etag:
            self.send_header("ETag", served.etag)
        self.end_headers()
        self.wfile.write(body[: served.cuts.pop(0)] if served.cuts else body)

    def log_message(self, *args):
        """Quiet."""


@pytest.fixture
def served():
    return Served()


@pytest.fixture
def url(served):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, served))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/weights.pth"
    server.shutdown()
    server.server_close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "models" / "weights.pth"


def get(url, path, sha256=SHA256, on_progress=None):
    return fetch(url, path, sha256, on_progress, pause_s=0.001)


def leftovers(path):
    return sorted(p.name for p in path.parent.iterdir() if p.name != path.name and p.suffix != ".lock")


def test_fetches_and_tells_progress(url, path):
    told = []
    assert get(url, path, on_progress=lambda *args: told.append(args)) == path
    assert path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert leftovers(path) == []


def test_a_file_that_is_there_and_right_is_not_fetched_again(served, url, path):
    get(url, path)
    get(url, path)
    assert len(served.ranges) == 1


def test_a_file_that_is_there_and_wrong_is_replaced(url, path):
    path.parent.mkdir()
    path.write_bytes(b"something else")
    assert file_sha256(get(url, path)) == SHA256


def test_cut_connections_are_resumed(served, url, path):
    served.cuts = [1000, 300_000, 0, 5]
    get(url, path)
    assert path.read_bytes() == CONTENT
    assert served.ranges == [None, "bytes=1000-", "bytes=301000-", "bytes=301000-", "bytes=301005-"]


def test_what_a_killed_process_left_is_resumed(served, url, path):
    served.cuts = [400_000] + [0] * 5
    with pytest.raises(DownloadError, match="400,000 bytes"):
        get(url, path)
    get(url, path)
    assert served.ranges[-1] == "bytes=400000-"
    assert path.read_bytes() == CONTENT


def test_a_server_without_ranges_starts_over(served, url, path):
    served.takes_ranges, served.cuts = False, [500_000]
    get(url, path)
    assert path.read_bytes() == CONTENT


def test_a_file_that_changed_in_between_starts_over(served, url, path):
    served.cuts = [500_000] + [0] * 5
    with pytest.raises(DownloadError):
        get(url, path)
    served.content, served.etag = CONTENT[::-1], '"v2"'
    get(url, path, hashlib.sha256(CONTENT[::-1]).hexdigest())
    assert path.read_bytes() == CONTENT[::-1]


def test_a_file_that_changed_without_a_tag_starts_over(served, url, path):
    served.etag, served.cuts = None, [500_000] + [0] * 5
    with pytest.raises(DownloadError):
        get(url, path)
    served.content = CONTENT[::-1]
    get(url, path, hashlib.sha256(CONTENT[::-1]).hexdigest())
    assert path.read_bytes() == CONTENT[::-1]


def test_a_part_that_is_whole_already_is_taken(served, url, path):
    path.parent.mkdir()
    path.with_name("weights.pth.part").write_bytes(CONTENT)
    path.with_name("weights.pth.part.json").write_text(f'{{"url": "{url}", "validator": null}}')
    get(url, path)
    assert path.read_bytes() == CONTENT


def test_a_server_that_tells_no_length_is_believed_to_its_end(served, url, path):
    served.says_length = False
    get(url, path)
    assert path.read_bytes() == CONTENT


def test_a_wrong_hash_is_refused_and_deleted(url, path):
    with pytest.raises(DownloadError, match=f"SHA-256 {SHA256} came, {'0' * 64} is expected"):
        get(url, path, "0" * 64)
    assert not path.exists()
    assert leftovers(path) == []


def test_passing_errors_of_the_server_are_waited_out(served, url, path):
    served.errors = [503, 429, 500]
    get(url, path)
    assert path.read_bytes() == CONTENT


def test_a_final_error_ends_at_once_and_says_which(served, url, path):
    served.errors = [404]
    with pytest.raises(DownloadError, match="404"):
        get(url, path)
    assert len(served.ranges) == 1


def test_no_server_says_so(path):
    with pytest.raises(DownloadError, match=r"refused.*HTTPS_PROXY"):
        get("http://127.0.0.1:9/weights.pth", path)


def test_two_processes_fetch_a_file_once(served, url, path):
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=fetch, args=(url, path, SHA256)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert path.read_bytes() == CONTENT
    assert len(served.ranges) == 1
