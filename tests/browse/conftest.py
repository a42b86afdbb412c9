"""A MongoDB of the tests' own, and a small workspace to show."""

import os
import socket
import subprocess
import time
import uuid

import pytest
import shown

from curation.lake import Lake


@pytest.fixture(scope="session")
def mongo(tmp_path_factory):
    """A real mongod on a free port, with FiftyOne pointed at it; nobody's own database is touched."""
    folder = tmp_path_factory.mktemp("mongo")
    port = free_port()
    settings = {
        "FIFTYONE_DATABASE_URI": f"mongodb://127.0.0.1:{port}",
        "FIFTYONE_DATABASE_NAME": "curation-tests",
        "FIFTYONE_DATABASE_DIR": str(folder / "unused"),
        "FIFTYONE_CONFIG_PATH": str(folder / "config.json"),
        "FIFTYONE_SHOW_PROGRESS_BARS": "false",
        "CURATION_CACHE": str(folder / "cache"),
    }
    os.environ.update(settings)
    pytest.importorskip("fiftyone", reason="fiftyone is not installed")
    from fiftyone.core.service import DatabaseService, ServiceExecutableNotFound

    try:
        mongod = DatabaseService.find_mongod()
    except ServiceExecutableNotFound:
        pytest.skip("mongod (fiftyone-db) is not installed")
    arguments = ["--dbpath", folder, "--logpath", folder / "mongo.log", "--port", port, "--bind_ip", "127.0.0.1"]
    server = subprocess.Popen([mongod, "--nounixsocket", *map(str, arguments)], stdout=subprocess.DEVNULL)
    wait_until_served(port)
    yield settings["FIFTYONE_DATABASE_URI"]
    from fiftyone.core.odm import database

    database._disconnect()
    server.terminate()
    server.wait(30)


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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_served(port: int, patience_s: float = 60) -> None:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"nothing serves at port {port} after {patience_s} s")
