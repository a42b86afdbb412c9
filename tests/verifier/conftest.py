"""Fixtures of the verifier's tests."""

import shutil

import pytest
from verified_lake import fill, install_plugin

from curation.lake import Lake
from curation.sampling.frame import Scope
from curation.verifier import learning


@pytest.fixture(scope="session")
def verified_workspace(empty_workspace, tmp_path_factory):
    """A folder with a workspace to copy and a plug-in: verifier `v`, by a method that needs no package, of 12 images with gold."""
    root = tmp_path_factory.mktemp("verified")
    shutil.copytree(empty_workspace, root / "workspace")
    with Lake.open(root / "workspace") as lake, pytest.MonkeyPatch.context() as patch:
        install_plugin(root, patch)
        fill(lake)
        learning.fit(lake, learning.Request("v", Scope(), "line"))
    return root


@pytest.fixture
def learned(verified_workspace, tmp_path, monkeypatch):
    """A lake of its own with that verifier, and the plug-in on the path."""
    monkeypatch.syspath_prepend(str(verified_workspace))
    shutil.copytree(verified_workspace / "workspace", tmp_path / "learned")
    with Lake.open(tmp_path / "learned") as lake:
        yield lake
