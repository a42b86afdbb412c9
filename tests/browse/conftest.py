"""A MongoDB of the tests' own, and a small workspace to show."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import pytest
import shown

from curation.lake import Lake


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


PORT = free_port()
FOLDER = Path(tempfile.mkdtemp(prefix="curation-mongo-"))
# FiftyOne reads these when it is imported, and tests import it while they are collected.
os.environ.update(
    FIFTYONE_DATABASE_URI=f"mongodb://127.0.0.1:{PORT}",
    FIFTYONE_DATABASE_NAME="curation-tests",
    FIFTYONE_DATABASE_DIR=str(FOLDER / "unused"),
    FIFTYONE_CONFIG_PATH=str(FOLDER / "config.json"),
    FIFTYONE_SHOW_PROGRESS_BARS="false",
)


@pytest.fixture(autouse=True, scope="module")
def cache():
    """A cache of the tests' own while they run, and no longer: others look for models in the real one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CURATION_CACHE", str(FOLDER / "cache"))
        yield


@pytest.fixture(scope="session")
def mongo():
    """A real mongod of the tests' own, with FiftyOne pointed at it; nobody's own database is touched."""
    fiftyone = pytest.importorskip("fiftyone", reason="fiftyone is not installed")
    from fiftyone.core.odm import database
    from fiftyone.core.service import DatabaseService, ServiceExecutableNotFound

    fiftyone.config.database_uri = os.environ["FIFTYONE_DATABASE_URI"]  # other tests may have imported it
    fiftyone.config.database_name = os.environ["FIFTYONE_DATABASE_NAME"]
    try:
        mongod = DatabaseService.find_mongod()
    except ServiceExecutableNotFound:
        pytest.skip("mongod (fiftyone-db) is not installed")
    options = [
        "--dbpath",
        FOLDER,
        "--logpath",
        FOLDER / "mongo.log",
        "--port",
        PORT,
        "--bind_ip",
        "127.0.0.1",
    ]
    server = subprocess.Popen([mongod, "--nounixsocket", *map(str, options)], stdout=subprocess.DEVNULL)
    wait_until_served(PORT)
    yield os.environ["FIFTYONE_DATABASE_URI"]
    database._disconnect()
    server.terminate()
    server.wait(30)
    shutil.rmtree(FOLDER)


@pytest.fixture
def workspace(tmp_path):
    """(lake, run_id): three pictures with three masks each, committed."""
    pictures = {}
    for number in range(3):
        pixels = shown.shapes(number)
        pictures[shown.paint(tmp_path / "pictures" / f"{number}.png", pixels)] = pixels
    with Lake.create(tmp_path / "workspace") as lake:
        run_id = shown.add_run(lake, pictures)
        yield lake, run_id


@pytest.fixture
def name():
    """A dataset name that no other test uses."""
    return f"test-{uuid.uuid4().hex}"


def wait_until_served(port: int, patience_s: float = 60) -> None:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"nothing serves at port {port} after {patience_s} s")
