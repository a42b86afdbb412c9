"""A proxy before an S3 server that answers late, with errors, or not at all."""

import http.client
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

#: What becomes of the n-th request: "" (it is passed on), "slow", "busy" (503), "broken" (500) or "cut" (no answer).
Plan = Callable[[int], str]
SLOW_S = 0.3
_BUSY = b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>'


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        server: _Server = self.server
        body = self._body()
        fate = server.next_fate()
        if fate == "cut":
            self.close_connection = True
            self.connection.close()
            return
        if fate in ("busy", "broken"):
            self._answer(503 if fate == "busy" else 500, [("Content-Type", "application/xml")], _BUSY)
            return
        if fate == "slow":
            time.sleep(SLOW_S)
        self._pass_on(server.target, body)

    def _body(self) -> bytes:
        """The request's body; chunks are joined, since what is passed on says its length."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        del self.headers["Transfer-Encoding"]
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        body = b"".join(chunks)
        self.headers["Content-Length"] = str(len(body))
        return body

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

    def _pass_on(self, target: str, body: bytes) -> None:
        place = urlsplit(target)
        upstream = http.client.HTTPConnection(place.hostname, place.port, timeout=30)
        # The Host header stays that of the proxy: it is part of what was signed.
        upstream.request(self.command, self.path, body, dict(self.headers))
        answer = upstream.getresponse()
        kept = [
            (k, v)
            for k, v in answer.getheaders()
            if k.lower() not in ("transfer-encoding", "connection", "content-length")
        ]
        data = answer.read()
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        self._answer(answer.status, [*kept, ("Content-Length", length or "0")], data, with_length=False)
        upstream.close()

    def _answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes, with_length: bool = True
    ) -> None:
        self.send_response_only(status)
        for name, value in headers + ([("Content-Length", str(len(body)))] if with_length else []):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, target: str, plan: Plan) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target, self.plan, self.n_requests = target, plan, 0
        self._lock = threading.Lock()

    def next_fate(self) -> str:
        with self._lock:
            self.n_requests += 1
            return self.plan(self.n_requests)


@contextmanager
def faulty(target: str, plan: Plan) -> Iterator[_Server]:
    """The proxy on a port of its own; `server.plan` can be changed while it runs."""
    server = _Server(target, plan)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
