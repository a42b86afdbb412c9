"""SQL typed by anybody: what it may read, and where it is stopped."""

import time
from dataclasses import replace
from pathlib import Path

import duckdb
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


ATTACKS = {
    "files": [
        ("SELECT * FROM read_text('/etc/passwd')", "read_text"),
        ("SELECT * FROM read_blob('/etc/passwd')", "read_blob"),
        ("SELECT * FROM read_csv('/etc/passwd')", "read_csv"),
        ("SELECT * FROM read_parquet('data/**/*.parquet')", "read_parquet"),
        ("SELECT * FROM read_json('/etc/os-release')", "read_json"),
        ("SELECT * FROM parquet_metadata('x.parquet')", "parquet_metadata"),
        ("FROM '/etc/passwd'", "no table"),
        ("FROM 'data/masks/x.parquet'", "no table"),
        ("WITH x AS (FROM glob('/*')) FROM x", "glob"),
        ("DESCRIBE '/etc/passwd'", "no table"),
        ("SUMMARIZE '/etc/passwd'", "no table"),
        ("DESCRIBE SELECT * FROM read_csv('/etc/passwd')", "read_csv"),
        # A name that a WITH gives elsewhere is no leave to read a file of that name.
        ("SELECT (WITH \"/etc/passwd\" AS (SELECT 1) SELECT 1), * FROM '/etc/passwd'", "does not exist"),
        # Nor a variable of this process.
        ("SELECT (WITH limits AS (SELECT 1) SELECT 1), * FROM limits", "does not exist"),
    ],
    "network": [
        ("SELECT * FROM read_csv('http://127.0.0.1:1/x.csv')", "read_csv"),
        ("FROM 'https://127.0.0.1:1/x.parquet'", "no table"),
        ("FROM 's3://bucket/x.parquet'", "no table"),
        ("INSTALL httpfs", "no SELECT"),
        ("LOAD httpfs", "no SELECT"),
    ],
    "other databases and workspaces": [
        ("ATTACH '/tmp/mine.duckdb'", "no SELECT"),
        ("ATTACH 'ducklake:sqlite:/other/catalog.sqlite' AS other", "no SELECT"),
        ("USE memory", "no SELECT"),
        ("FROM sqlite_scan('catalog.sqlite', 'ducklake_tag')", "sqlite_scan"),
        ("FROM postgres_query('x', 'SELECT 1')", "postgres_query"),
        ("FROM __ducklake_metadata_lake.ducklake_tag", "only the lake"),
        ("FROM other.main.masks", "only the lake"),
        ("FROM ducklake_snapshot", "no table"),
        ("FROM ducklake_table_changes('lake', 'main', 'tags', 0, 9)", "ducklake_table_changes"),
    ],
    "secrets and settings": [
        # The path of a catalog in PostgreSQL holds its password.
        ("FROM duckdb_databases", "no table"),
        ("FROM duckdb_databases()", "duckdb_databases"),
        ("FROM pragma_database_list", "no table"),
        ("FROM main.duckdb_databases", "no table"),
        ("SELECT (WITH duckdb_databases AS (SELECT 1) SELECT 1), * FROM duckdb_databases", "own"),
        ("SELECT (WITH DuckDB_Databases AS (SELECT 1) SELECT 1), * FROM duckdb_databases", "own"),
        ("FROM duckdb_secrets()", "duckdb_secrets"),
        ("FROM which_secret('s3://x', 's3')", "which_secret"),
        ("FROM duckdb_settings()", "duckdb_settings"),
        ("FROM duckdb_logs", "no table"),
        ("FROM pg_catalog.pg_settings", "only the lake"),
        ("FROM system.main.duckdb_databases", "only the lake"),
        ("SELECT current_setting('s3_secret_access_key')", "current_setting"),
        ("SELECT name FROM tags ORDER BY current_setting('secret_directory')", "current_setting"),
        ("SELECT getenv('HOME')", "getenv"),
        ("SET memory_limit = '100GB'", "no SELECT"),
        ("RESET memory_limit", "no SELECT"),
        ("PRAGMA database_list", "no SELECT"),
        ("PRAGMA enable_logging", "no SELECT"),
    ],
    "writing": [
        ("COPY (SELECT 1) TO '/tmp/written.csv'", "no SELECT"),
        ("COPY tags FROM '/etc/passwd'", "no SELECT"),
        ("EXPORT DATABASE '/tmp/written'", "no SELECT"),
        ("DELETE FROM tags", "no SELECT"),
        ("UPDATE tags SET name = 'x'", "no SELECT"),
        ("INSERT INTO tags VALUES ('x')", "no SELECT"),
        ("DROP TABLE tags", "no SELECT"),
        ("CREATE TABLE mine (x INT)", "no SELECT"),
        ("CREATE TEMP MACRO mine() AS 1", "no SELECT"),
        ("CALL ducklake_expire_snapshots('lake', older_than => now())", "no SELECT"),
        ("FROM ducklake_expire_snapshots('lake', older_than => now())", "ducklake_expire_snapshots"),
        ("CHECKPOINT", "no SELECT"),
        ("SELECT write_log('x')", "write_log"),
        ("SELECT nextval('x')", "nextval"),
    ],
    "SQL within SQL": [
        ("SELECT 1 WHERE EXISTS (FROM query('FROM glob(''/*'')'))", "query"),
        ("FROM query_table(['tags'])", "query_table"),
        ("FROM json_execute_serialized_sql(json_serialize_sql('FROM tags'))", "json_execute_serialized_sql"),
        ("PREPARE x AS SELECT 1", "no SELECT"),
        ("SELECT 1; SELECT 2", "one at a time"),
        ("SELECT 1; DROP TABLE tags", "no SELECT"),
    ],
    "nonsense": [
        ("SELECT", "SELECT clause"),
        ("", "0 statements"),
        ("SELECT nothing FROM tags", "nothing"),
        ("SELECT $name FROM tags", "parameter"),
    ],
}


def checked(lake: Lake, sql: str) -> list[tuple]:
    """What `ask` does between opening and closing a lake."""
    prompt.check(lake.con, sql)
    return lake.con.execute(sql).fetchall()


@pytest.mark.parametrize("kind", ATTACKS)
def test_anything_else_is_refused_and_leaves_nothing_behind(root, kind):
    with Lake.open(root) as lake:
        version, before = lake.version(), sorted(Path("/tmp").glob("written*"))
    with Lake.open(root, read_only=True) as lake:
        prompt._close_doors(lake, PROMPT)  # once for all of them
        for sql, message in ATTACKS[kind]:
            with pytest.raises((QueryError, duckdb.Error), match=message):
                checked(lake, sql)
    with Lake.open(root) as lake:
        assert (lake.version(), sorted(Path("/tmp").glob("written*"))) == (version, before)


def test_a_refusal_is_one_sentence_of_its_own_kind(root):
    for sql in ("FROM duckdb_databases", "COPY tags TO 'x'", "SELECT nothing FROM tags"):
        with pytest.raises(QueryError) as refused:
            prompt.ask(root, sql)
        assert 10 < len(str(refused.value)) < 300


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


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT sum(a.range * b.range) FROM range(1_000_000) AS a, range(1_000_000) AS b",
        "WITH RECURSIVE n AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n",
        "SELECT sleep_ms(60_000)",
    ],
)
def test_a_question_that_takes_too_long_is_stopped(root, sql):
    started = time.monotonic()
    with pytest.raises(QueryError, match=r"stopped after 0\.5 s"):
        prompt.ask(root, sql, limits=replace(PROMPT, seconds=0.5))
    assert time.monotonic() - started < 20


def test_an_answer_of_very_long_rows_is_refused(root):
    with pytest.raises(QueryError, match="longer than 1 MiB"):
        prompt.ask(
            root, "SELECT repeat('x', 1_000) FROM range(9_000)", limits=replace(PROMPT, answer_bytes=1 << 20)
        )


def test_a_question_in_a_process_of_its_own_answers_alike(root):
    sql = "SELECT name, note, tagged_at FROM tags"
    apart, here = prompt.ask_apart(root, sql), prompt.ask(root, sql)
    assert apart.rows.equals(here.rows)
    assert not apart.is_cut
    with pytest.raises(QueryError, match="no table of the lake"):
        prompt.ask_apart(root, "FROM duckdb_databases")


def test_what_heeds_no_limit_of_duckdbs_ends_its_process_and_not_this_one(root):
    """One value of many gigabytes is made in a single step, which DuckDB neither counts nor interrupts."""
    with pytest.raises(QueryError, match=r"stopped|Out of Memory"):
        prompt.ask_apart(
            root,
            "SELECT length(range(2_000_000_000))",
            limits=replace(PROMPT, seconds=3, process_bytes=1 << 30),
        )


def test_the_past_can_be_asked(lake):
    lake.tag("first")
    lake.tag("second")
    assert prompt.ask(lake.root, "FROM tags").rows.num_rows == 2
    assert prompt.ask(lake.root, "FROM tags", at="second").rows.num_rows == 1
