"""A small random SAM, and a lake of pictures with gold of the shapes in them."""

import shutil
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason='the torch backend: pip install "curation[train]"')
pytest.importorskip("onnx", reason='ONNX decoders: pip install "curation[train]"')

sys.path.insert(0, str(Path(__file__).parents[1] / "generation"))  # small random SAMs stand there

from networks import small_sam  # noqa: E402
from school import gold_lake  # noqa: E402

from curation.lake import Lake  # noqa: E402


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Networks this small only lose time over several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def embeddings(tmp_path, monkeypatch) -> Path:
    """A cache of the test's own for embeddings; models are taken from the person's cache."""
    folder = tmp_path / "cache" / "embeddings"
    monkeypatch.setattr("curation.training.embeddings.cache_dir", lambda: folder.parent)
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> str:
    """A SAM of 256 px squares whose weights are random."""
    path = tmp_path_factory.mktemp("weights") / "small.pth"
    torch.save(small_sam().state_dict(), path)
    return str(path)


@pytest.fixture(scope="session")
def school(tmp_path_factory, empty_workspace) -> Path:
    """A workspace with gold of six pictures, to copy."""
    root = tmp_path_factory.mktemp("school") / "workspace"
    shutil.copytree(empty_workspace, root)
    with Lake.open(root) as lake:
        gold_lake(lake, tmp_path_factory.mktemp("pictures"), n_images=6)
    return root


@pytest.fixture
def taught(school, tmp_path):
    """A lake with gold of six pictures."""
    shutil.copytree(school, tmp_path / "workspace")
    with Lake.open(tmp_path / "workspace") as lake:
        yield lake
