"""The next mask in `curation app`: on its server, and from a key to the screen, against two peers in the same browser.

    python -m benchmarks.review [--masks 100] [--pause 0.7]

Masks lie on 1500 x 2250 px pictures of about 1.5 MB, five a picture, shown in a real Chromium (1280 x 800) from the same
machine, one side after the other. The reviewer presses one key every `--pause` seconds (0.7 s are 5,000 masks an hour), or
later where the next mask is not there yet. The time runs from the key event to the end of the frame in which the next mask
is painted.

- Ceilings (issue 6, section 1): on the server, per mask, 25 ms warm and 60 ms cold at the 90th percentile, measured by
  `review_server.py`; in the browser 150 ms at the 95th.
- What Streamlit offers by itself: a button with a shortcut, a run of the page on the server, which draws the overlay
  (Pillow) and sends it as a picture.
- The FiftyOne App opening samples of the same pictures with the same masks, measured by `fiftyone_app.py`: its median
  against our 95th percentile.

What a profile said of a request for 13 tasks (a query of the lake is some 10 ms of planning, whatever it finds): 12
queries; counting how far the sample is was two thirds of it and is now asked by itself, three times a minute; DuckDB with
one thread instead of two took half the processor time. Times grow with what else the machine does: a line says its load.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import PIL.Image

from benchmarks.claims import Claim, tell
from benchmarks.fiftyone_app import opening_times
from benchmarks.review_server import server_claims
from curation import ids, masks, runs
from curation.lake import Lake
from curation.schemas import TABLES

HEIGHT_PX, WIDTH_PX = 1500, 2250
MASKS_PER_IMAGE = 5
#: The app must stay below this at the 95th percentile.
CEILING_MS = 150.0
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
#: Masks at the start that are not counted: both caches are cold then, and nobody judges in the first second.
WARM_UP = 5
#: Samples that the FiftyOne App opens, and masks that the server is asked for.
N_OPENED, N_ON_SERVER = 5, 60

PEER = """
import numpy as np, PIL.Image, streamlit as st
from curation.lake import Lake
from curation.masks import decode, parse_strings

@st.cache_resource
def rows():
    with Lake.open({root!r}, read_only=True) as lake:
        return lake.query("SELECT uri, masks.* FROM masks JOIN images USING (run_id, image_id)").to_pylist()

row = rows()[st.session_state.setdefault("at", 0)]
def judge():
    st.session_state.at += 1
st.button("accept", on_click=judge, shortcut="a")
pixels = np.asarray(PIL.Image.open(row["uri"])).copy()
mask = decode(parse_strings([row["rle_counts"]], row["height_px"], row["width_px"]))[0]
pixels[mask] = pixels[mask] // 2 + np.uint8([127, 22, 69])
st.image(pixels, output_format="JPEG")
"""
#: Time from each key to the frame after the picture has changed and is decoded.
WATCH = """
() => {
    let since = null;
    window.addEventListener("keydown", (event) => { since = event.timeStamp; }, { capture: true });
    new MutationObserver(async () => {
        const image = document.querySelector("img");
        if (since === null || !image || image.src === window.shown) return;
        window.shown = image.src;
        const start = since;
        await image.decode();
        requestAnimationFrame(() => {
            const channel = new MessageChannel();
            channel.port1.onmessage = () => performance.measure("next mask", { start, end: performance.now() });
            channel.port2.postMessage(null);
        });
    }).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ["src"] });
}
"""


def fill(root: Path, n_masks: int) -> None:
    """A workspace with two samples of the same `n_masks` ragged masks; the app shows the newer one first."""
    n_images = -(-n_masks // MASKS_PER_IMAGE)
    rng = np.random.default_rng(0)
    with Lake.create(root) as lake:
        run_id = runs.start(lake, runs.RunSpec("import", "benchmark", {}, "0" * 64, n_images)).run_id
        images, rows = [], []
        for number in range(n_images):
            image = image_row(run_id, number, root / "pictures" / f"{number}.jpg", rng)
            images.append(image)
            rows += mask_rows(run_id, number, image["image_id"], rng)
        rows = rows[:n_masks]
        samples = [*sample_rows("server", rows, n_images), *sample_rows("benchmark", rows, n_images)]
        tables = {"images": images, "masks": rows, "samples": samples}
        lake.append({name: TABLES[name].table(some) for name, some in tables.items()}, "benchmark")


def image_row(run_id: int, number: int, path: Path, rng: np.random.Generator) -> dict:
    """A picture with detail of every size, about 1.5 MB as JPEG, and its row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    layers = [
        PIL.Image.fromarray(rng.integers(0, 255, (HEIGHT_PX // s, WIDTH_PX // s, 3), dtype=np.uint8)).resize(
            (WIDTH_PX, HEIGHT_PX), PIL.Image.Resampling.BILINEAR
        )
        for s in (150, 6)
    ]
    PIL.Image.blend(*layers, 0.25).save(path, quality=90)
    return {
        "run_id": run_id,
        "image_id": ids.image_id(str(path)),
        "image_number": number,
        "uri": str(path),
        "file_name": path.name,
        "width_px": WIDTH_PX,
        "height_px": HEIGHT_PX,
    }


def mask_rows(run_id: int, number: int, image_id: int, rng: np.random.Generator) -> list[dict]:
    """Blobs with rough edges, from 1 to 20 % of the picture."""
    y, x = np.ogrid[:HEIGHT_PX, :WIDTH_PX]
    rough = rng.normal(0, 0.06, (HEIGHT_PX // 5, WIDTH_PX // 5)).astype(np.float32).repeat(5, 0).repeat(5, 1)
    drawn = []
    for _ in range(MASKS_PER_IMAGE):
        cy, cx = rng.uniform(0.25, 0.75, 2) * (HEIGHT_PX, WIDTH_PX)
        ry, rx = rng.uniform(0.06, 0.25, 2) * (HEIGHT_PX, WIDTH_PX)
        drawn.append(rough <= np.float32(1) - ((y - cy) / ry) ** 2 - ((x - cx) / rx) ** 2)
    encoded = masks.encode(np.array(drawn))
    found = zip(
        masks.areas(encoded).tolist(), masks.boxes(encoded).tolist(), masks.to_strings(encoded), strict=True
    )
    return [
        {
            "run_id": run_id,
            "mask_id": ids.mask_id(run_id, number, index),
            "image_id": image_id,
            "mask_index": index,
            "stage": "fully_automatic",
            "cycle": 0,
            "width_px": WIDTH_PX,
            "height_px": HEIGHT_PX,
            "area_px": area,
            "bbox_xywh": box,
            "is_crowd": False,
            "rle_counts": counts,
        }
        for index, (area, box, counts) in enumerate(found)
    ]


def sample_rows(name: str, rows: Sequence[dict], n_images: int) -> list[dict]:
    order = np.random.default_rng(1).permutation(len(rows)).tolist()
    return [
        {
            "sample": name,
            "position": position,
            **{name: rows[at][name] for name in ("mask_id", "run_id", "image_id")},
            "design": "srs",
            "stratum": "all",
            "stratum_n_masks": len(rows),
            "stratum_n_images": n_images,
            "image_n_masks": MASKS_PER_IMAGE,
            "inclusion_probability": 1.0,
            "n_draws": 1,
            "snapshot_id": 1,
            "seed": 1,
            "drawn_at": datetime.now(timezone.utc),
        }
        for position, at in enumerate(order)
    ]


@contextmanager
def serving(*words: str) -> Iterator[str]:
    """A server in a process of its own; its URL. `{port}` in its words is where it must listen."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, *(word.format(port=port) for word in words)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_until_served(f"http://127.0.0.1:{port}/_stcore/health", server)
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.send_signal(signal.SIGTERM)


def serving_app(root: Path) -> AbstractContextManager[str]:
    """`curation app` of a workspace; its URL."""
    main = "from curation.cli import main; main()"
    return serving("-c", main, "app", "-w", str(root), "--port", "{port}", "--no-browser")


def wait_until_served(url: str, server: subprocess.Popen, patience_s: float = 60) -> None:
    deadline = time.monotonic() + patience_s
    while server.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{url} never answered")


def app_times(page, root: Path, n_masks: int, pause_s: float) -> np.ndarray:
    """Milliseconds to each next mask in `curation app`."""
    with serving_app(root) as url:
        page.goto(url)
        page.get_by_label("Your name").fill("Benchmark")
        page.keyboard.press("Enter")
        page.wait_for_selector('.review[data-task]:not([data-task=""])', timeout=60_000)
        time.sleep(3)
        return times(page, n_masks, pause_s)


def peer_times(page, root: Path, n_masks: int, pause_s: float) -> np.ndarray:
    """Milliseconds to each next mask in a page that asks its server."""
    script = root / "peer.py"
    script.write_text(PEER.format(root=str(root)))
    options = ("--server.port", "{port}", "--server.headless", "true", "--browser.gatherUsageStats", "false")
    with serving("-m", "streamlit", "run", str(script), *options) as url:
        page.goto(url)
        page.wait_for_selector("img", timeout=60_000)
        page.evaluate(WATCH)
        time.sleep(3)
        return times(page, n_masks, pause_s)


def times(page, n_masks: int, pause_s: float) -> np.ndarray:
    """Press a key for every mask, never before the last one is shown; the times that the page itself measured."""
    for n_shown in range(1, n_masks + WARM_UP + 1):
        started = time.monotonic()
        page.keyboard.press("a")
        page.wait_for_function("n => performance.getEntriesByName('next mask').length >= n", arg=n_shown)
        time.sleep(max(0.0, pause_s - (time.monotonic() - started)))
    found = page.evaluate("performance.getEntriesByName('next mask').map((entry) => entry.duration)")
    return np.array(found[WARM_UP:])


def line(name: str, found: np.ndarray) -> str:
    p50, p95 = np.percentile(found, [50, 95])
    return f"{name:<34} {len(found):>4} masks   p50 {p50:6.0f} ms   p95 {p95:6.0f} ms   most {found.max():6.0f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--masks", type=int, default=100, help="masks that the app shows (100)")
    parser.add_argument(
        "--peer-masks", type=int, default=20, help="masks that the page shows which asks its server (20)"
    )
    parser.add_argument("--pause", type=float, default=0.7, help="seconds between two keys (0.7)")
    options = parser.parse_args()
    if CHROMIUM is None:
        raise SystemExit("no Chromium on PATH: install it, then run this again")
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        root = Path(folder) / "workspace"
        fill(root, options.masks + 2 * WARM_UP)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        own = app_times(page, root, options.masks, options.pause)
        print(line("curation app", own), flush=True)
        peer = peer_times(page, root, options.peer_masks, options.pause)
        print(line("asking the server for each mask", peer), flush=True)
        opened = opening_times(browser.new_page(viewport={"width": 1280, "height": 800}), root, N_OPENED)
        print(line("FiftyOne App, opening a sample", opened), flush=True)
        browser.close()
        with serving_app(root) as url:
            on_server = server_claims(url, root, "server", min(N_ON_SERVER, options.masks))
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    p95, work = float(np.percentile(own, 95)), "next mask in the review app, p95"
    is_kept = tell(
        *on_server,
        Claim(work, f"ceiling of {CEILING_MS:g} ms", p95, CEILING_MS, 1.0),
        Claim(work, "asking the server for each mask", p95, float(np.percentile(peer, 95))),
        Claim(work, "FiftyOne App opening a sample, median", p95, float(np.median(opened)), 1.0),
    )
    raise SystemExit(not is_kept)


if __name__ == "__main__":
    main()
