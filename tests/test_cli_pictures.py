"""scenes, photographs and sheet on the command line."""

import pytest
from typer.testing import CliRunner

from curation.cli import app
from curation.errors import InputError

RUNNER = CliRunner()


def invoke(*words: str):
    return RUNNER.invoke(app, [str(word) for word in words])


def test_scenes_can_be_imported_and_drawn(tmp_path):
    scenes, workspace = tmp_path / "scenes", tmp_path / "workspace"
    assert invoke("scenes", scenes, "--n", 2, "--size", "160x120").exit_code == 0
    assert invoke("init", workspace).exit_code == 0
    assert invoke("import", "sa1b", scenes, "--workspace", workspace).exit_code == 0
    drawn = invoke("sheet", tmp_path / "sheet.png", "--workspace", workspace)
    assert drawn.exit_code == 0, drawn.output
    assert (tmp_path / "sheet.png").stat().st_size > 10_000


@pytest.mark.parametrize("size", ["640", "640x", "axb", "640x480x3", "-640x480"])
def test_size_is_checked(tmp_path, size):
    ended = invoke("scenes", tmp_path / "scenes", "--n", 1, f"--size={size}")
    assert isinstance(ended.exception, InputError)
    assert "WIDTHxHEIGHT" in str(ended.exception)


def test_a_sheet_with_a_lost_picture_ends_with_1(tmp_path):
    scenes, workspace = tmp_path / "scenes", tmp_path / "workspace"
    invoke("scenes", scenes, "--n", 2, "--size", "160x120")
    invoke("init", workspace)
    invoke("import", "sa1b", scenes, "--workspace", workspace)
    (scenes / "sa_1.jpg").unlink()
    ended = invoke("sheet", tmp_path / "sheet.png", "--workspace", workspace)
    assert ended.exit_code == 1
    assert "1 picture could not be drawn" in ended.output
