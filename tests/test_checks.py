"""The linters: code and SQL are clean, formatted and without known traps."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["ruff", "check", "."], id="ruff check"),
        pytest.param(["ruff", "format", "--check", "."], id="ruff format"),
        pytest.param(["bandit", "-q", "-c", "pyproject.toml", "-r", "curation", "apps"], id="bandit"),
        pytest.param(["sqlfluff", "lint", "--disable-progress-bar", "queries"], id="sqlfluff lint"),
    ],
)
def test_linter_finds_nothing(command: list[str]) -> None:
    ended = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, f"{' '.join(command)}\n{ended.stdout}{ended.stderr}"
