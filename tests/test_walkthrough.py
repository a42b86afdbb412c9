"""The walk-through of README.md, run line by line as it stands there."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from curation.cli import app
from curation.generation.models import MODELS

README = (Path(__file__).parents[1] / "README.md").read_text()
WALK = README.split("## A walk-through", 1)[1].split("\n## ", 1)[0]


def lines() -> list[str]:
    blocks = re.findall(r"^```bash\n(.*?)^```", WALK, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_line_of_the_walk_through_runs(tmp_path, monkeypatch):
    pytest.importorskip("altair", reason='charts: pip install "curation[report]"')
    if not MODELS["sam2-tiny"].is_there:
        pytest.skip("sam2-tiny is not in the cache: `curation models fetch sam2-tiny`")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for line in lines():
        for command in line.split(" && "):
            if command.startswith("export "):
                name, _, value = command.removeprefix("export ").partition("=")
                monkeypatch.setenv(name, value)
                continue
            words = shlex.split(command)
            assert words[0] == "curation"
            result = CliRunner().invoke(app, words[1:])
            assert result.exit_code == 0, f"{command}\n{result.output}\n{result.exception!r}"
    for written in ("worst.png", "thresholds.png", "report.html", "checks.xml"):
        assert (tmp_path / written).stat().st_size > 200, written


def test_the_gate_of_the_walk_through_is_a_valid_file(tmp_path):
    from curation.engine import checks

    (text,) = re.findall(r"^```toml\n(.*?)^```", WALK, re.DOTALL | re.MULTILINE)
    (tmp_path / "checks.toml").write_text(text)
    assert [check.figure for check in checks.read(tmp_path / "checks.toml")] == ["bad_share", "recall"]
