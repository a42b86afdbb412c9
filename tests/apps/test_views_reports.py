"""Answers are kept while nothing changed, and pages that ask the same at once wait for one answer."""

import threading
import time

import pytest

pytest.importorskip("streamlit", reason="streamlit is not installed")

from apps.review import reports


@pytest.fixture
def asked(lake, monkeypatch):
    """A question that counts how often the lake is asked; it takes as long as its `takes_s` says."""
    monkeypatch.setenv("CURATION_WORKSPACE", str(lake.root))
    reports.forget()

    def question(lake_, *given) -> tuple:
        question.n += 1
        time.sleep(question.takes_s)
        return lake_.tags().num_rows, given

    question.n, question.takes_s = 0, 0.0
    yield question
    reports.forget()


def newer(lake, name: str) -> None:
    """A new version of the lake, and pages that look for one."""
    lake.tag(name)
    reports._version.clear()


def test_a_version_is_asked_once_and_a_newer_one_again(lake, asked, monkeypatch):
    monkeypatch.setattr(reports, "PATIENCE", 0)
    assert reports.ask(asked, "a") == (0, ("a",))
    assert reports.ask(asked, "a") == (0, ("a",))
    assert asked.n == 1
    assert reports.ask(asked, "b") == (0, ("b",))
    newer(lake, "t")
    asked.n = 0
    assert reports.ask(asked, "a") == (1, ("a",))
    assert asked.n == 1


def test_what_took_long_is_kept_though_there_is_a_newer_version(lake, asked, monkeypatch):
    monkeypatch.setattr(reports, "PATIENCE", 1_000)
    asked.takes_s = 0.1
    assert reports.ask(asked)[0] == 0
    newer(lake, "t")
    assert reports.ask(asked)[0] == 0
    reports.forget()
    assert reports.ask(asked)[0] == 1


def test_what_changes_with_the_clock_is_asked_again(asked, monkeypatch):
    monkeypatch.setattr(reports, "PATIENCE", 0)
    reports.ask(asked)
    reports.ask(asked, most_age_s=3_600)
    assert asked.n == 1
    time.sleep(0.1)
    reports.ask(asked, most_age_s=0.1)
    assert asked.n == 2


def test_pages_that_ask_at_once_wait_for_one_answer(asked):
    asked.takes_s = 0.3
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(reports.ask(asked, "x"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [(0, ("x",))] * 8
    assert asked.n == 1


def test_an_answer_that_failed_is_asked_again(asked, monkeypatch):
    def fail(lake_) -> None:
        asked.n += 1
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            reports.ask(fail)
    assert asked.n == 2


def test_the_past_stays_as_it_was(lake, asked, monkeypatch):
    monkeypatch.setattr(reports, "PATIENCE", 0)
    lake.tag("first")
    reports.forget()
    assert reports.ask(asked, at="first")[0] == 0
    newer(lake, "second")
    assert reports.ask(asked, at="first")[0] == 0
    assert asked.n == 1
    assert reports.ask(asked)[0] == 2
