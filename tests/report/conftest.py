"""One reported workspace and one page of it for all tests: both take seconds to make."""

import pytest
import reported
from typer.testing import CliRunner

from curation.cli import app
from curation.lake import Lake


@pytest.fixture(scope="session")
def workspace(tmp_path_factory):
    """A workspace with two cycles and gold; run 2 is the newest with masks, run 3 the gold."""
    root = tmp_path_factory.mktemp("reported")
    with Lake.create(root / "workspace") as lake:
        reported.fill(lake, root / "pictures")
    return root / "workspace"


@pytest.fixture(scope="session")
def written(workspace, tmp_path_factory):
    """The page of that workspace, with five pictures; its charts lie in the folder beside it."""
    out = tmp_path_factory.mktemp("page") / "report.html"
    words = [
        "report",
        "--workspace",
        workspace,
        "--out",
        out,
        "--charts",
        out.parent / "charts",
        "--n-worst",
        5,
    ]
    ended = CliRunner().invoke(app, [str(word) for word in words])
    assert ended.exit_code == 0, ended.output
    return out
