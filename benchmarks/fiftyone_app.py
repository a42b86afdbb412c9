"""The FiftyOne App opening samples of a workspace in a browser: the peer of `benchmarks/review.py`.

The time runs from the click on a sample in the grid to the last frame in which the modal's canvas changed: then the
picture stands there with its masks over it. Samples are opened one after the other, each for the first time, in a
viewport as large as the reviewer's.
"""

import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from curation.browse import database
from curation.browse.selection import Choice
from curation.browse.sync import sync
from curation.lake import Lake

#: A canvas that has not changed for so long stands still.
STILL_MS = 1_500
#: Notes when the sample was clicked and when the modal's canvas changed last, as a coarse copy of it shows.
WATCH = """
() => {
    const small = document.createElement("canvas");
    small.width = small.height = 48;
    const context = small.getContext("2d", { willReadFrequently: true });
    window.opened = { clicked: null, changed: null, seen: null };
    window.addEventListener("click", (event) => {
        window.opened = { clicked: event.timeStamp, changed: null, seen: null };
    }, { capture: true });
    const look = () => {
        const canvas = document.querySelector('[data-cy="modal"] canvas');
        if (canvas && canvas.width && window.opened.clicked !== null) {
            context.clearRect(0, 0, 48, 48);
            context.drawImage(canvas, 0, 0, 48, 48);
            const seen = context.getImageData(0, 0, 48, 48).data.join();
            if (seen !== window.opened.seen) Object.assign(window.opened, { seen, changed: performance.now() });
        }
        requestAnimationFrame(look);
    };
    look();
}
"""
IS_STILL = """
(stillMs) => {
    const { seen, changed } = window.opened;
    return seen !== null && /[1-9]/.test(seen) && performance.now() - changed > stillMs;
}
"""


def opening_times(page, root: Path, n_samples: int) -> np.ndarray:
    """Milliseconds to open each of the first samples of a workspace's dataset."""
    with _app(root) as url:
        page.add_init_script(
            "localStorage.setItem('fiftyone-enterprise-tooltip-seen', 'true')"
        )  # it hides the grid
        return np.array([_opening_time(page, url, number) for number in range(n_samples + 1)][1:])


def _opening_time(page, url: str, number: int) -> float:
    page.goto(url)
    page.wait_for_selector('[data-cy="looker"]', timeout=120_000)
    page.wait_for_timeout(3_000)  # the grid is drawn anew a few times
    page.evaluate(WATCH)
    page.locator('[data-cy="looker"]').nth(number).click(timeout=60_000)
    page.wait_for_selector('[data-cy="modal"] canvas', timeout=60_000)
    page.wait_for_function(IS_STILL, arg=STILL_MS, timeout=60_000)
    return page.evaluate("window.opened.changed - window.opened.clicked")


@contextmanager
def _app(root: Path) -> Iterator[str]:
    """URL of `curation browse launch`, with a dataset of all masks of the workspace."""
    fo = database.connect()
    name = f"benchmark-app-{uuid.uuid4().hex}"
    try:
        with Lake.open(root, read_only=True) as lake:
            sync(lake, Choice(), name)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = ["browse", "launch", "--dataset", name, "--port", str(port), "--no-browser"]
        launch = [sys.executable, "-c", "from curation.cli import main; main()", *command]
        with subprocess.Popen(launch, stdout=subprocess.PIPE, text=True) as app:
            try:
                yield _url(app)
            finally:
                app.terminate()
    finally:
        if fo.dataset_exists(name):
            fo.delete_dataset(name)


def _url(app: subprocess.Popen, patience_s: float = 120) -> str:
    impatience = threading.Timer(patience_s, app.kill)
    impatience.start()
    try:
        for line in app.stdout:
            if "http://" in line:
                return next(word for word in line.split() if word.startswith("http://"))
    finally:
        impatience.cancel()
    raise SystemExit("the FiftyOne App told no address")
