"""`curation browse` as a person calls it, in processes of their own."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

PROGRAM = "from curation.cli import main; main()"
#: Pretends that FiftyOne, and the bson that comes with it, are not installed.
WITHOUT_FIFTYONE = f"import sys; sys.modules.update(fiftyone=None, bson=None, pymongo=None); {PROGRAM}"


def curation(*arguments: object, program: str = PROGRAM, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    environment = {**os.environ, **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.usefixtures("mongo")
def test_sync_and_list(workspace, name):
    lake, _ = workspace
    done = curation("browse", "sync", "--workspace", lake.root, "--dataset", name)
    assert done.returncode == 0, done.stderr
    assert "9 masks chosen, 9 written on 3 images" in done.stdout
    listed = curation("browse", "list", "--format", "json")
    rows = {row["dataset"]: row for row in map(json.loads, listed.stdout.splitlines())}
    assert (rows[name]["workspace"], rows[name]["n_masks"]) == (str(lake.root), 9)


@pytest.mark.usefixtures("mongo")
def test_a_problem_is_told_and_ends_with_1(workspace, name, tmp_path):
    lake, _ = workspace
    (tmp_path / "pictures" / "2.png").unlink()
    done = curation("browse", "sync", "--workspace", lake.root, "--dataset", name)
    assert done.returncode == 1
    assert "2.png" in done.stderr
    assert "1 problem" in done.stderr


@pytest.mark.usefixtures("mongo")
def test_launch_names_what_there_is(name):
    done = curation("browse", "launch", "--dataset", name)
    assert done.returncode == 2
    assert f"no dataset '{name}'" in done.stderr


def test_without_fiftyone_only_browsing_says_what_to_install(workspace):
    lake, _ = workspace
    done = curation("browse", "sync", "--workspace", lake.root, program=WITHOUT_FIFTYONE)
    assert done.returncode == 2
    assert 'pip install "curation[browse]"' in done.stderr
    assert "Traceback" not in done.stderr
    other = curation("sql", "SELECT count(*) FROM masks", "-w", lake.root, program=WITHOUT_FIFTYONE)
    assert other.returncode == 0, other.stderr


def test_a_mongodb_that_does_not_answer_is_told(workspace):
    lake, _ = workspace
    uri = "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=500"
    done = curation("browse", "sync", "--workspace", lake.root, FIFTYONE_DATABASE_URI=uri)
    assert done.returncode == 2
    assert "FIFTYONE_DATABASE_URI does not answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_mongod_the_message_names_both_ways_out(workspace):
    lake, _ = workspace
    # Neither an installed mongod nor one that FiftyOne has running for somebody else.
    hide = (
        "import fiftyone.constants as c, fiftyone.service.util as u; "
        "c.FIFTYONE_DB_BIN_DIR = '/none'; u.find_processes_by_args = lambda arguments: []"
    )
    environment = {"FIFTYONE_DATABASE_URI": "", "FIFTYONE_DATABASE_DIR": str(lake.root / "mongo")}
    program = f"import os; os.environ.pop('FIFTYONE_DATABASE_URI'); {hide}; {PROGRAM}"
    done = curation("browse", "sync", "-w", lake.root, program=program, **environment)
    assert done.returncode == 2
    assert "curation[browse]" in done.stderr
    assert "FIFTYONE_DATABASE_URI" in done.stderr
