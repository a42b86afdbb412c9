"""What is kept of a search, and what becomes of a cluster."""

import pytest

from curation.errors import InputError
from curation.failures import clusters
from tests.failures.found_clusters import keep, row


def test_a_cluster_keeps_its_number_and_a_new_one_gets_the_next(lake):
    assert keep(lake, [row(), row(words="thin")], [[1, 2, 3], [4]], [None, None]) == (1, [1, 2])
    assert keep(lake, [row(words="new"), row(n_bad=9.0)], [[8], [2, 3]], [None, 1]) == (2, [3, 1])
    found = clusters.newest(lake)
    assert found["cluster"].to_pylist() == [1, 2, 3]
    assert found["search_id"].to_pylist() == [2, 1, 2]
    assert found["is_in_last_search"].to_pylist() == [True, False, True]
    assert clusters.members(lake, 1)["mask_id"].to_pylist() == [2, 3]
    assert clusters.members(lake, 1, search_id=1)["mask_id"].to_pylist() == [1, 2, 3]


def test_the_newest_event_is_the_status_and_what_was_fixed_comes_back(lake):
    keep(lake, [row()], [[1]], [None])
    for status in ("flagged", "in_re_annotation", "fixed"):
        clusters.set_status(lake, 1, status, "ann", batch="b1", note="seen")
        assert clusters.one(lake, 1)["status"] == status
    keep(lake, [row()], [[1]], [1])
    assert clusters.one(lake, 1)["status"] == "came_back"
    keep(lake, [row()], [[1]], [1])
    statuses = clusters.events(lake, 1)["status"].to_pylist()
    assert statuses == ["found", "flagged", "in_re_annotation", "fixed", "came_back"]


def test_a_flag_does_not_take_a_cluster_out_of_re_annotation(lake):
    keep(lake, [row()], [[1]], [None])
    assert clusters.flag(lake, 1, "ann") == "flagged"
    clusters.set_status(lake, 1, "in_re_annotation", "ann", batch="b1")
    assert clusters.flag(lake, 1, "bob", "hurry") == "in_re_annotation"
    newest = clusters.events(lake, 1).to_pylist()[-1]
    assert (newest["status"], newest["batch"], newest["note"]) == ("in_re_annotation", "b1", "hurry")
    clusters.set_status(lake, 1, "fixed", "ann", batch="b1")
    assert clusters.flag(lake, 1, "ann") == "flagged"


def test_a_search_that_finds_nothing_keeps_nothing(lake):
    keep(lake, [], [], [])
    assert clusters.newest(lake).num_rows == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda lake: clusters.set_status(lake, 1, "gone"), "allowed are found, flagged"),
        (
            lambda lake: clusters.set_status(lake, 7, "flagged"),
            "cluster 7: there is no such cluster; there are: 1",
        ),
        (lambda lake: clusters.flag(lake, 7), "no such cluster"),
        (lambda lake: clusters.members(lake, 7), "no such cluster"),
        (lambda lake: clusters.members(lake, 1, search_id=9), "search 9 did not find cluster 1"),
        (lambda lake: clusters.one(lake, 7), "no such cluster"),
        (lambda lake: clusters.events(lake, 7), "no such cluster"),
    ],
)
def test_what_is_not_there_is_named(lake, call, message):
    keep(lake, [row()], [[1]], [None])
    with pytest.raises(InputError, match=message):
        call(lake)


def test_the_condition_of_membership_holds_for_the_members(lake):
    keep(lake, [row()], [[1, 2]], [None])
    sql = clusters.membership_sql(1, 1)
    found = lake.query(f"SELECT mask_id FROM (VALUES (1), (3)) AS m (mask_id) WHERE {sql}")
    assert found["mask_id"].to_pylist() == [1]
