"""SQL typed by anybody: what it may read, and where it is stopped."""

import time
from dataclasses import replace

import pytest

from curation import prompt
from curation.errors import QueryError
from curation.lake import Lake
from curation.settings import PROMPT


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    with Lake.create(tmp_path_factory.mktemp("workspace")) as lake:
        lake.tag("first", note="a note")
    return lake.root


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name, note FROM tags",
        "FROM tags",
        "FROM lake.tags",
        "WITH named AS (FROM tags) SELECT count(*) FROM named, range(2)",
        "SELECT (SELECT max(name) FROM tags) AS newest",
        "SELECT name FROM tags UNION ALL SELECT 'x'",
        "SHOW TABLES",
        "DESCRIBE masks",
        "SUMMARIZE tags",
        "SELECT * FROM current_masks",
        "SELECT * FROM lake.snapshots()",
        "SELECT mean_interval(ratio_sums(snapshot_id, 1)) FROM tags",
        "SELECT table_name FROM information_schema.tables",
    ],
)
def test_reads_tables_views_and_macros_of_the_lake(root, sql):
    answer = prompt.ask(root, sql)
    assert answer.rows.num_columns >= 1
    assert not answer.is_cut


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT * FROM read_text('/etc/passwd')", "read_text"),
        ("SELECT * FROM read_csv('http://127.0.0.1:1/x.csv')", "read_csv"),
        ("FROM '/etc/passwd'", "no table"),
        ("FROM 'data/masks/x.parquet'", "no table"),
        ("WITH x AS (FROM glob('/*')) FROM x", "glob"),
        ("SELECT 1 WHERE EXISTS (FROM query('FROM glob(''/*'')'))", "query"),
        ("FROM sqlite_scan('catalog.sqlite', 'ducklake_tag')", "sqlite_scan"),
        ("FROM __ducklake_metadata_lake.ducklake_tag", "only the lake"),
        ("COPY (SELECT 1) TO '/tmp/written.csv'", "no SELECT"),
        ("DELETE FROM tags", "no SELECT"),
        ("CREATE TABLE mine (x INT)", "no SELECT"),
        ("ATTACH '/tmp/mine.duckdb'", "no SELECT"),
        ("INSTALL httpfs", "no SELECT"),
        ("SET memory_limit = '100GB'", "no SELECT"),
        ("CALL ducklake_expire_snapshots('lake', older_than => now())", "no SELECT"),
        ("SELECT 1; SELECT 2", "one at a time"),
        ("SELECT", "SELECT clause"),
        ("", "0 statements"),
        ("SELECT nothing FROM tags", "nothing"),
        ("SELECT $name FROM tags", "parameter"),
    ],
)
def test_anything_else_is_refused(root, sql, message):
    with pytest.raises(QueryError, match=message):
        prompt.ask(root, sql)


def test_the_doors_are_closed_even_for_what_the_parser_would_let_pass(root, monkeypatch):
    monkeypatch.setattr(prompt, "check", lambda con, sql: None)
    (root / "secret.txt").write_text("secret")
    for sql in (
        f"SELECT * FROM read_text('{root}/secret.txt')",
        f"SELECT * FROM read_text('{root}/data/../secret.txt')",
        "COPY (SELECT 1) TO '/tmp/written.csv'",
        "SET enable_external_access = true",
        "INSTALL spatial",
        "DELETE FROM tags",
    ):
        with pytest.raises(QueryError):
            prompt.ask(root, sql)


def test_rows_beyond_the_limit_are_left_out_and_told(root):
    limits = replace(PROMPT, rows=7)
    answer = prompt.ask(root, "SELECT * FROM range(1_000_000_000)", limits=limits)
    assert answer.rows.num_rows == 7
    assert answer.is_cut
    exact = prompt.ask(root, "SELECT * FROM range(7)", limits=limits)
    assert exact.rows.num_rows == 7
    assert not exact.is_cut


def test_a_question_that_takes_too_long_is_stopped(root):
    started = time.monotonic()
    with pytest.raises(QueryError, match=r"stopped after 0\.5 s"):
        prompt.ask(
            root,
            "SELECT sum(a.range * b.range) FROM range(1_000_000) AS a, range(1_000_000) AS b",
            limits=replace(PROMPT, seconds=0.5),
        )
    assert time.monotonic() - started < 20


def test_the_past_can_be_asked(lake):
    lake.tag("first")
    lake.tag("second")
    assert prompt.ask(lake.root, "FROM tags").rows.num_rows == 2
    assert prompt.ask(lake.root, "FROM tags", at="second").rows.num_rows == 1
