"""The thresholds of queries/macros are those of the generator: single precision, strict or not, 0 switches off."""

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation import settings

CON = duckdb.connect()
CON.execute((settings.files("queries") / "macros" / "thresholds.sql").read_text())

thresholds = st.lists(st.sampled_from([0.0, 0.5, 0.7, 0.88, 0.9, 0.95, 1.0]), min_size=1, max_size=8)
scores = st.none() | st.sampled_from([0.0, 0.5, 0.7, 0.88, 0.9, 0.95, 1.02]) | st.floats(0, 1, width=32)


def highest_cleared(score: float | None, levels: list[float], is_strict: bool) -> float | None:
    sql = "SELECT highest_cleared($score::FLOAT, $levels::DOUBLE[], $is_strict)"
    return CON.execute(sql, {"score": score, "levels": levels, "is_strict": is_strict}).fetchone()[0]


def passes(score: float | None, threshold: float, is_strict: bool) -> bool:
    """As `curation.generation` compares a float32 score."""
    if threshold == 0:
        return True
    if score is None:
        return False
    single = np.float32(score)
    return bool(single > threshold if is_strict else single >= np.float32(threshold))


@given(score=scores, levels=thresholds, is_strict=st.booleans())
def test_the_highest_threshold_that_a_score_clears(score, levels, is_strict):
    cleared = [level for level in levels if passes(score, level, is_strict)]
    assert highest_cleared(score, levels, is_strict) == max(cleared, default=None)


def test_more_than_eight_thresholds_are_refused():
    with pytest.raises(duckdb.Error, match="9 thresholds; at most 8"):
        highest_cleared(0.5, [0.1 * n for n in range(9)], True)
