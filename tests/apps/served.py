"""Workspaces to judge, and `curation app` as people start it."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime, timezone
from pathlib import Path

import lakes
import numpy as np
import PIL.Image

from apps.review import access
from curation import masks, runs
from curation.lake import Lake
from curation.schemas import TABLES

RUN = "from curation.cli import main; main()"
SAMPLE = "first"


def make_workspace(
    root: Path, n_images: int = 8, masks_per_image: int = 5, size_px: tuple[int, int] = (240, 320)
) -> Path:
    """A workspace with one sample of all its masks: ellipses on pictures of noise, (height, width) = `size_px`."""
    rng = np.random.default_rng(4)
    with Lake.create(root) as lake:
        run = runs.start(lake, lakes.spec(n_images=n_images))
        images, rows = [], []
        for number in range(n_images):
            path = root / "pictures" / f"{number}.jpg"
            write_picture(path, rng, size_px)
            image = lakes.image_row(run.run_id, number, str(path), size_px[1], size_px[0])
            images.append(image)
            encoded = masks.encode(ellipses(rng, masks_per_image, size_px))
            rows += lakes.mask_rows(run.run_id, number, image, encoded, predicted_iou=0.91)
        tables = {"images": images, "masks": rows, "samples": sample_rows(rows, n_images)}
        lake.append({name: TABLES[name].table(some) for name, some in tables.items()}, "masks and a sample")
    return root


def ellipses(rng: np.random.Generator, n: int, size_px: tuple[int, int]) -> np.ndarray:
    """Masks (n, H, W), bool, each over 24² pixels."""
    y, x = np.mgrid[: size_px[0], : size_px[1]]
    centres = rng.uniform(0.2, 0.8, (n, 2)) * size_px
    radii = rng.uniform(0.08, 0.2, (n, 2)) * size_px
    return np.array(
        [
            ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1
            for (cy, cx), (ry, rx) in zip(centres, radii, strict=True)
        ]
    )


def write_picture(path: Path, rng: np.random.Generator, size_px: tuple[int, int], **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)
    PIL.Image.fromarray(coarse).resize(size_px[::-1], PIL.Image.Resampling.BICUBIC).save(path, **options)


def sample_rows(rows: list[dict], n_images: int, name: str = SAMPLE) -> list[dict]:
    """Rows of `samples` for a simple random sample that took every mask."""
    return [
        {
            "sample": name,
            "position": position,
            **{key: row[key] for key in ("mask_id", "run_id", "image_id")},
            "design": "srs",
            "stratum": "all",
            "stratum_n_masks": len(rows),
            "stratum_n_images": n_images,
            "image_n_masks": len(rows) // n_images,
            "inclusion_probability": 1.0,
            "n_draws": 1,
            "snapshot_id": 1,
            "seed": 7,
            "drawn_at": datetime.now(timezone.utc),
        }
        for position, row in enumerate(rows)
    ]


def add_sample(root: Path, name: str, most: int | None = None) -> None:
    """One more sample of all masks of a workspace, or of the first ones, so that a test finds masks that nobody has judged."""
    with Lake.open(root) as lake:
        rows = lake.query("SELECT mask_id, run_id, image_id FROM masks ORDER BY mask_id").to_pylist()[:most]
        n_images = len({row["image_id"] for row in rows})
        lake.append({"samples": TABLES["samples"].table(sample_rows(rows, n_images, name))}, f"sample {name}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class App:
    """`curation app` of a workspace, in a process of its own.

    It finds no model unless `has_model`: each picture that is opened would be encoded for clicks that no one makes.
    """

    def __init__(self, root: Path, port: int | None = None, has_model: bool = False) -> None:
        self.root = root
        self.has_model = has_model
        self.port = port or free_port()
        self.process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self, patience_s: float = 240, opens_browser: bool = False) -> "App":
        words = ["app", "--workspace", str(self.root), "--port", str(self.port)]
        words += ["--browser" if opens_browser else "--no-browser"]
        self.log = (self.root / "app.log").open("ab")
        env = os.environ | ({} if self.has_model else {"CURATION_CACHE": str(self.root / "no models")})
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, *words], stdout=self.log, stderr=self.log, env=env
        )
        try:
            self._wait(time.monotonic() + patience_s)
        except BaseException:
            self.kill()
            raise
        return self

    def _wait(self, deadline: float) -> None:
        while self.ask("_stcore/health")[0] != 200:
            assert self.process.poll() is None, (self.root / "app.log").read_text()
            assert time.monotonic() < deadline, "the app never answered"
            time.sleep(0.1)

    def kill(self) -> None:
        """End it at once, in whatever it is doing."""
        self.process.kill()
        self.stop()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(90)  # a picture that is being encoded for SAM is encoded to its end
        self.log.close()

    def token(self, rater: str = "Ann", role: str = "rater", now: float | None = None) -> str:
        return access.issue(access.Person(rater, role), access.server_secret(self.root), now)

    def ask(
        self, path: str, body: object = None, token: str | None = None, **headers: str
    ) -> tuple[int, object, dict[str, str]]:
        """Status, content (bytes, or what JSON says) and headers of an answer; status 0 where nobody answers."""
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        sent = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, sent, headers)
        try:
            answer = urllib.request.urlopen(request, timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        except OSError:
            return 0, None, {}
        with answer:
            content = answer.read()
            is_json = answer.headers.get_content_type() == "application/json"
            return answer.status, json.loads(content) if is_json else content, dict(answer.headers)
