"""MongoDB goes away in the middle of a sync: it is told, nothing is lost, and the next sync goes on."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import free_port, wait_until_served

pytestmark = pytest.mark.usefixtures("mongo")

#: In a process of its own, since FiftyOne knows one database a process. `when` names the moment: MongoDB is killed after the
#: first image was handed over, or once everything is planned.
SYNC = """
    import os, signal, sys
    from pathlib import Path
    from curation.browse import sync
    from curation.browse.selection import Choice
    from curation.errors import CurationError
    from curation.lake import Lake

    root, mongod, when = sys.argv[1:]

    def kill():
        os.kill(int(mongod), signal.SIGKILL)

    with Lake.open(root, read_only=True) as lake:
        try:
            todo = sync.plan(lake, Choice(), "outage")
            if when == "planned":
                kill()
            summary = sync.write(lake, todo, on_image=lambda n: kill() if when == "image" else None)
            print("written", summary.n_masks_written)
        except CurationError as error:
            print("told", error)
"""


@pytest.fixture
def mongod(tmp_path):
    """Starts a MongoDB over the same folder each time that it is called; (process, URI)."""
    from fiftyone.core.service import DatabaseService

    program, port = DatabaseService.find_mongod(), free_port()
    (tmp_path / "db").mkdir()
    options = [
        "--dbpath",
        tmp_path / "db",
        "--logpath",
        tmp_path / "log",
        "--port",
        port,
        "--bind_ip",
        "127.0.0.1",
    ]
    started = []

    def start() -> tuple[subprocess.Popen, str]:
        words = [program, "--nounixsocket", *map(str, options)]
        started.append(subprocess.Popen(words, stdout=subprocess.DEVNULL))
        wait_until_served(port)
        return started[-1], f"mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=500"

    yield start
    for process in started:
        process.kill()
        process.wait()


def sync_in_a_process(root: Path, server: subprocess.Popen, uri: str, when: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SYNC), str(root), str(server.pid), when],
        env=os.environ | {"FIFTYONE_DATABASE_URI": uri},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.soak
@pytest.mark.parametrize("when", ["planned", "image"])
def test_a_mongodb_that_goes_away_is_told_and_the_next_sync_goes_on(workspace, mongod, when):
    lake, _ = workspace
    server, uri = mongod()
    told = sync_in_a_process(lake.root, server, uri, when)
    assert told.startswith("told FiftyOne's MongoDB failed")
    assert "sync again" in told
    server.wait(30)
    server, uri = mongod()
    assert sync_in_a_process(lake.root, server, uri, "never") == "written 9\n"
