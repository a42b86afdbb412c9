"""What a report file must keep to, and what its caller may give."""

import pytest

from curation import queries
from curation.errors import QueryError

FILE = """/*
title: Tags
about: Names given.
grain: one name
params:
  least: {type: BIGINT, default: 0, about: least version}
columns:
  name: {type: VARCHAR, about: the name}
*/
SELECT name FROM tags WHERE snapshot_id >= $least ORDER BY name
"""


def test_a_report_binds_its_parameters_and_returns_its_columns(lake):
    lake.tag("a")
    query = queries.parse("tags", FILE)
    assert query.run(lake)["name"].to_pylist() == ["a"]
    assert query.run(lake, least="99")["name"].to_pylist() == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("/*", "", "must open with"),
        ("$least", "0", "declares unused parameter"),
        ("FROM tags", "FROM tags /* $no */ JOIN (SELECT $other) ON true", "undeclared parameter.* other"),
        ("ORDER BY name", "", "ORDER BY"),
        ("title: Tags", "titel: Tags", "bad header"),
    ],
)
def test_a_file_that_breaks_the_form_is_refused(old, new, message):
    with pytest.raises(QueryError, match=message):
        queries.parse("tags", FILE.replace(old, new, 1))


def test_columns_other_than_declared_are_refused(lake):
    query = queries.parse("tags", FILE.replace("SELECT name", "SELECT name, note"))
    with pytest.raises(QueryError, match="not the declared ones"):
        query.run(lake)


@pytest.mark.parametrize(
    ("given", "message"),
    [({"most": 1}, "unknown parameter.* allowed: least"), ({"least": "x"}, "must be BIGINT")],
)
def test_a_parameter_that_does_not_fit_is_refused(lake, given, message):
    with pytest.raises(QueryError, match=message):
        queries.parse("tags", FILE).run(lake, **given)


def test_a_required_parameter_must_be_given(lake):
    query = queries.parse("tags", FILE.replace("default: 0, ", ""))
    with pytest.raises(QueryError, match="missing and has no default"):
        query.run(lake)


def test_a_run_that_is_not_there_is_refused(lake):
    """It would look like a run without masks."""
    with pytest.raises(QueryError, match="run_id is 7, which is no run; there are: none"):
        queries.get("stage_summary").run(lake, run_id=7)
