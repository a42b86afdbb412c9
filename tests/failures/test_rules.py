"""Conditions: cut where the values are, and the same in words, in SQL and on arrays."""

import duckdb
import numpy as np
import pyarrow as pa

from curation.failures import rules
from curation.failures.attributes import category, flag, number


def test_a_condition_holds_on_arrays_for_what_its_sql_chooses():
    rng = np.random.default_rng(0)
    values = rng.normal(size=500).round(6)
    values[:20] = np.nan
    flags = rng.random(500) < 0.3
    names = ["owl's", "cat", None]
    codes = rng.integers(0, 3, 500)
    attributes = [
        number("a", "low a", "high a"),
        flag("b", "b", "b holds"),
        category("c", "c", "kind {value}"),
    ]
    known = {"a": values, "b": flags, "c": rules.Category(("owl's", "cat"), np.where(codes == 2, -1, codes))}
    table = pa.table(
        {"a": pa.array(values, from_pandas=True), "b": flags, "c": [names[code] for code in codes]}
    )
    found = rules.conditions(attributes, known, np.arange(500))
    assert {condition.words for condition in found} == {
        "very low a", "low a", "very high a", "high a", "b holds", "kind owl's", "kind cat",
    }  # fmt: skip
    with duckdb.connect() as con:
        con.register("t", table)
        for condition in found:
            chosen = con.execute(f"SELECT coalesce({condition.sql}, false) FROM t").fetchnumpy()
            assert np.array_equal(next(iter(chosen.values())), condition.holds(known)), condition.sql


def test_what_tells_nothing_is_no_condition():
    known = {"a": np.full(10, 3.0), "b": np.zeros(10, bool), "d": np.full(10, np.nan)}
    attributes = [number(name, "low", "high") for name in "ad"] + [
        flag("b", "b", "b holds"),
        flag("e", "e", "e"),
    ]
    assert rules.conditions(attributes, known, np.arange(10)) == []
