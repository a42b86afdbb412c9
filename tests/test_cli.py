"""The command line as a person meets it: real processes, exit codes, streams."""

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from curation import cli
from curation.lake import Lake


def curation(*arguments: object, **env: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "from curation.cli import main; main()", *map(str, arguments)]
    environment = {k: v for k, v in os.environ.items() if k != "CURATION_WORKSPACE"} | env
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


@pytest.fixture
def workspace(tmp_path):
    Lake.create(tmp_path / "w").close()
    return tmp_path / "w"


def test_init_makes_a_workspace_and_says_what_comes_next(tmp_path):
    done = curation("init", tmp_path / "w")
    assert done.returncode == 0, done.stderr
    assert f"export CURATION_WORKSPACE={tmp_path / 'w'}" in done.stdout
    assert curation("init", tmp_path / "w").returncode == 0


def test_the_workspace_comes_from_the_option_or_the_environment(workspace):
    assert curation("snapshots", "-w", workspace).returncode == 0
    assert curation("snapshots", CURATION_WORKSPACE=str(workspace)).returncode == 0
    missing = curation("snapshots")
    assert missing.returncode == 2
    assert "--workspace" in missing.stderr


def test_an_error_is_one_message_without_a_traceback(tmp_path):
    done = curation("snapshots", "-w", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("curation: ")
    assert "Traceback" not in done.stderr


def test_sql_reads_and_cannot_write(workspace):
    done = curation("sql", "SELECT 1 AS one, [1, 2] AS list", "-w", workspace, "-f", "json")
    assert json.loads(done.stdout) == {"one": 1, "list": [1, 2]}
    for statement in ("DELETE FROM tags", "DROP TABLE masks", "CREATE TABLE lake.t (a INT)"):
        refused = curation("sql", statement, "-w", workspace)
        assert refused.returncode == 2
        assert "read-only" in refused.stderr


def test_sql_open_without_a_terminal_prints_lines_that_attach_the_lake(workspace):
    import duckdb

    done = curation("sql", "--open", "-w", workspace, COLUMNS="60")
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip().endswith(";")]
    with duckdb.connect() as con:
        for line in lines:
            con.execute(line)
        assert con.execute("SELECT count(*) FROM masks").fetchone() == (0,)


def test_a_tag_reads_the_past(workspace):
    assert curation("tag", "empty", "-w", workspace, "--note", "before anything").returncode == 0
    with Lake.open(workspace) as lake:
        lake.tag("later")
    done = curation("sql", "SELECT count(*) AS n FROM tags", "-w", workspace, "--at", "empty", "-f", "csv")
    assert done.stdout.splitlines() == ['"n"', "0"]


@pytest.mark.parametrize("output_format", ["csv", "json", "markdown", "parquet"])
def test_rows_go_to_a_file_in_every_format(workspace, tmp_path, output_format):
    out = tmp_path / "rows"
    done = curation("sql", "SELECT 42 AS answer", "-w", workspace, "-f", output_format, "-o", out)
    assert done.returncode == 0, done.stderr
    if output_format == "parquet":
        import pyarrow.parquet as pq

        assert pq.read_table(out).to_pylist() == [{"answer": 42}]
    else:
        assert "42" in out.read_text()


def test_parquet_on_the_terminal_is_refused(workspace):
    done = curation("sql", "SELECT 1", "-w", workspace, "-f", "parquet")
    assert done.returncode == 2
    assert "--out FILE" in done.stderr


def test_a_report_that_does_not_exist_lists_those_that_do(workspace):
    done = curation("query", "nonsense", "-w", workspace)
    assert done.returncode == 2
    assert "stage_summary" in done.stderr


@pytest.mark.parametrize("module", cli.MODULES)
def test_a_command_is_found_in_the_module_that_registers_it(module):
    assert tuple(cli.registered(module)) == cli.MODULES[module]


def test_a_command_imports_its_own_module_alone():
    code = "import sys; from curation import cli; cli.registered('lake'); print(*({'numba', 'scipy'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == ""


def test_a_typing_error_is_told_what_may_have_been_meant():
    result = CliRunner().invoke(cli.app, ["snapshot"])
    assert result.exit_code == 2
    assert "snapshots" in result.output
