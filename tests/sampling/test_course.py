"""The course of an estimate: it ends where the estimate is, and its interval narrows."""

import pytest

from curation.errors import InputError
from curation.sampling import course, estimates, samples
from curation.sampling.samples import Request
from tests.sampling.judged_lake import by_position, fill, judge


@pytest.fixture
def judged(lake):
    """A sample of 60 of 200 masks, judged in five goes; every fourth is rejected."""
    fill(lake, [10] * 20)
    samples.draw(lake, Request("s", "srs", 60))
    order = by_position(lake, "s")
    for first in range(0, 60, 12):
        go = {
            mask: ["reject" if k % 4 == 3 else "accept"] for k, mask in enumerate(order[first : first + 12])
        }
        judge(lake, "s", go, at_s=first)
    return lake


def test_the_last_point_is_the_estimate_of_all_verdicts(judged):
    points = course.course(judged, "s", n_points=12)
    last = points[-1]
    row = next(
        r for r in estimates.rows(estimates.estimate(judged, "s")).to_pylist() if r["figure"] == "accept"
    )
    assert last.n_judged == 60
    assert (last.estimate, last.low, last.high) == pytest.approx((row["estimate"], row["low"], row["high"]))
    assert len(points) <= 12
    assert [point.n_judged for point in points] == sorted({point.n_judged for point in points})


def test_the_interval_narrows(judged):
    points = course.course(judged, "s")
    assert points[0].n_judged == course.LEAST
    assert points[-1].high - points[-1].low < (points[0].high - points[0].low) / 1.5
    assert all(point.low <= point.estimate <= point.high for point in points)


def test_few_verdicts_give_no_points(lake):
    fill(lake, [10] * 4)
    samples.draw(lake, Request("s", "srs", 20))
    assert course.course(lake, "s") == []
    judge(lake, "s", {mask: ["accept"] for mask in by_position(lake, "s")[: course.LEAST - 1]})
    assert course.course(lake, "s") == []


def test_what_cannot_be_estimated_is_refused(lake):
    fill(lake, [10] * 4)
    samples.draw(lake, Request("s", "purposive", 20, by="worst", risk="area_px"))
    with pytest.raises(InputError, match="on purpose"):
        course.course(lake, "s")
    with pytest.raises(InputError, match="figure 'goodness'"):
        course.course(lake, "s", "goodness")
    with pytest.raises(InputError, match="no sample 't'"):
        course.course(lake, "t")
