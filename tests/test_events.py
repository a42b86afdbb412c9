"""Events: one line each, on stderr or in a file, without secrets."""

import logging
import os
import re
import subprocess
import sys

import pytest

from curation import events
from curation.lake import Lake

LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (info|warning|error) \w+( \w+=(\"(\\.|[^\"])*\"|[^\s\"=]+))*"
)


@pytest.fixture
def shown():
    lines: list[str] = []
    before = list(events.logger.handlers), events.logger.level
    events.show(lines.append)
    yield lines
    events.logger.handlers, events.logger.level = before[0], before[1]


def test_an_event_is_one_line_of_named_values(shown):
    events.record("shard_committed", run=3, shard="0000000008", took_s=3.20512)
    (line,) = shown
    assert LINE.fullmatch(line)
    assert line.endswith(" info shard_committed run=3 shard=0000000008 took_s=3.205")


@pytest.mark.parametrize("text", ["two words", 'a "quote"', "x=1", "a\nbreak", "a\x1b[31mcolour", "", "é ü"])
def test_whatever_a_text_holds_it_stays_one_line_and_one_value(shown, text):
    events.record("seen", text=text, after=1)
    (line,) = shown
    assert LINE.fullmatch(line)
    assert "\n" not in line
    assert "\x1b" not in line
    assert line.endswith(" after=1")


@pytest.mark.parametrize(
    "text",
    [
        "postgres://curation:hunter2@db.example/lake",
        "host=db password=hunter2 user=curation",
        "host=db password='hunter2' user=curation",
        "CREATE SECRET s3 (TYPE s3, KEY_ID 'id', SECRET 'hunter2')",
    ],
)
def test_secrets_are_not_told(shown, text):
    events.record("command_failed", logging.ERROR, error=text)
    assert "hunter2" not in shown[0]
    assert "***" in shown[0]


def test_verbose_and_the_file_of_the_environment_tell_the_same(tmp_path):
    Lake.create(tmp_path / "w").close()
    program = [sys.executable, "-c", "from curation.cli import main; main()", "-v"]
    done = subprocess.run(
        [*program, "tag", "first", "-w", str(tmp_path / "w")],
        env=os.environ | {"CURATION_LOG": str(tmp_path / "events.log")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert [line.split()[2] for line in lines] == ["command_started", "committed"]
    assert 'message="tag first"' in lines[1]
    assert (tmp_path / "events.log").read_text().splitlines() == lines


def test_a_log_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("CURATION_LOG", str(tmp_path / "nowhere" / "events.log"))
    with pytest.raises(events.InputError, match=r"CURATION_LOG=.*name a file"):
        events.append_to_file_of_environment()
