"""What the server of `curation app` spends on the next mask: the picture, and its part of a request for tasks.

Asked over HTTP on loopback, as the component asks: 13 tasks at once, then the picture of each, then the verdicts.
Per mask: the milliseconds of its picture's request and a 13th of those of the request for tasks, both until the last
byte is here. Cold: the picture lies on disk only, and the server has never been asked for it. Warm: asked again.
The server's very first request, which opens the workspace, is not counted; people wait for it at login.
"""

import json
import os
import time
import urllib.request
import uuid
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from apps.review import access
from benchmarks.claims import Claim
from curation.lake import Lake

#: The server must stay below these at the 90th percentile (issue 6, section 1).
CEILING_MS = {"warm": 25.0, "cold": 60.0}
#: Tasks in one request: the component keeps 8 to 20 ahead.
AT_ONCE = 13


def server_claims(url: str, root: Path, sample: str, n_masks: int) -> list[Claim]:
    """Claims that the next mask takes the server no longer than the ceilings; times are in milliseconds."""
    ask = _Asker(url, access.issue(access.Person("Benchmark server", "rater"), access.server_secret(root)))
    ask.tasks(sample, 1)
    _drop_from_memory(root)
    took: dict[str, list[float]] = {"cold": [], "warm": []}
    per_request = []
    while len(took["warm"]) < n_masks:
        tasks, tasks_ms = ask.tasks(sample, AT_ONCE)
        if not tasks:
            raise SystemExit(f"sample {sample!r} has fewer than {n_masks} masks for one rater")
        per_request.append(tasks_ms)
        for task in tasks:
            share_ms = tasks_ms / len(tasks)
            if task["image"] not in ask.pictures:
                took["cold"].append(share_ms + ask.picture(task["image"]))
            took["warm"].append(share_ms + ask.picture(task["image"]))
        ask.judge(tasks)
    print(
        f"requests for {AT_ONCE} tasks: p50 {np.median(per_request):.0f} ms, p90 {np.percentile(per_request, 90):.0f} ms"
    )
    return [
        Claim(
            f"next mask in the review app, server, {name}, p90",
            f"ceiling of {CEILING_MS[name]:g} ms",
            float(np.percentile(found, 90)),
            CEILING_MS[name],
            1.0,
        )
        for name, found in took.items()
    ]


class _Asker:
    """The requests of one rater's page."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self.pictures: set[str] = set()

    def tasks(self, sample: str, n: int) -> tuple[list[dict], float]:
        """Tasks, and the milliseconds until they were here."""
        content, took_ms = self._ask("review/tasks", {"sample": sample, "n": n})
        return json.loads(content)["tasks"], took_ms

    def picture(self, image: str) -> float:
        """Milliseconds until all of a picture was here."""
        self.pictures.add(image)
        return self._ask(f"review/pictures/{image}")[1]

    def judge(self, tasks: list[dict]) -> None:
        given = [
            {"verdict_id": str(uuid.uuid4()), "task_id": task["task_id"], "decision": "accept", "took_s": 1.0}
            for task in tasks
        ]
        self._ask("review/verdicts", {"verdicts": given})

    def _ask(self, path: str, body: Mapping | None = None) -> tuple[bytes, float]:
        sent = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, sent, self._headers)
        started = time.perf_counter()
        with urllib.request.urlopen(request, timeout=60) as answer:
            content = answer.read()
        return content, 1000 * (time.perf_counter() - started)


def _drop_from_memory(root: Path) -> None:
    """Let the system forget the pictures' pages, so that they are read from the disk."""
    with Lake.open(root, read_only=True) as lake:
        uris = lake.query("SELECT DISTINCT uri FROM images")["uri"].to_pylist()
    for uri in uris:
        with open(uri, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
