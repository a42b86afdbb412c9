"""Estimates of a lake: which verdict counts, who has not answered, slices and scores, and the same numbers in SQL."""

import numpy as np
import pytest

from curation import queries
from curation.errors import InputError, QueryError
from curation.lake import Lake
from curation.sampling import estimates, retuning, samples
from curation.sampling.frame import Scope
from curation.sampling.samples import Request
from tests.sampling.judged_lake import by_position, correct, fill, judge

PER_IMAGE = [3, 8, 1, 12, 6, 5, 10, 4, 15, 7]


def figures(lake: Lake, sample: str, **options) -> dict[str, dict]:
    """Rows of a sample that is one, by figure."""
    return {
        row["figure"]: row for row in estimates.rows(estimates.estimate(lake, sample, **options)).to_pylist()
    }


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A lake with half-judged samples of every design: disagreement, doubt, skips, reasons, some corrections."""
    rng = np.random.default_rng(0)
    requests = [
        Request("simple", "srs", 40),
        Request("strata", "stratified", 40, strata="size_band", allocation="equal"),
        Request("risky", "pps", 40, risk="1.1 - predicted_iou"),
        Request("stages", "two_stage", 24, masks_per_image=4),
        Request("singles", "two_stage", 6, masks_per_image=1),
        Request("worst", "purposive", 5, by="worst", risk="1 - predicted_iou"),
    ]
    with Lake.create(tmp_path_factory.mktemp("estimates") / "workspace") as lake:
        fill(lake, PER_IMAGE)
        for request in requests:
            samples.draw(lake, request)
            ids = by_position(lake, request.name)
            kinds = ["accept", "reject", "fix", "unsure", "skip"]
            chances = [0.6, 0.1, 0.2, 0.05, 0.05]
            given = {
                mask: [
                    (f"r{k}", "review", str(rng.choice(kinds, p=chances)), ["merged"][: rng.integers(2)])
                    for k in range(1 + (n % 4 == 0))
                ]
                for n, mask in enumerate(ids[: max(6, 3 * len(ids) // 4)])
            }
            judge(lake, request.name, given)
        fixed = lake.query("SELECT DISTINCT mask_id FROM settled_verdicts WHERE decision = 'fix' ORDER BY 1")[
            "mask_id"
        ]
        correct(lake, {m: float(rng.uniform(0.6, 1)) for m in fixed.to_pylist()[::2]})
        yield lake


@pytest.mark.parametrize("sample", ["simple", "strata", "risky", "stages"])
def test_a_retuning_weighs_verdicts_as_the_estimate_does(workspace, sample):
    judged = retuning.verdicts(workspace, 1, sample).values()
    accepted = sum(one.weights[one.is_accepted].sum() for one in judged)
    assert accepted / sum(one.weights.sum() for one in judged) == pytest.approx(
        figures(workspace, sample)["accept"]["estimate"]
    )


@pytest.mark.parametrize(
    ("slice_by", "by"), [(None, None), ("size", "size_band"), ("score", "score_band"), ("run", "run")]
)
def test_the_report_has_the_same_numbers(workspace, slice_by, by):
    rows = queries.get("quality_estimate").run(workspace, slice_by=slice_by).to_pylist()
    report = {(row["sample"], row["slice"], row["figure"]): row for row in rows}
    assert {sample for sample, _, _ in report} == {"simple", "strata", "risky", "stages", "singles"}
    n_compared = 0
    for sample in sorted({sample for sample, _, _ in report}):
        found = estimates.rows(estimates.estimate(workspace, sample, by)).to_pylist()
        for row in found:
            other = report.pop((sample, row["slice"], row["figure"]), None)
            if other is None:
                assert row["figure"].startswith("reason:")  # nobody named it
                continue
            shared = (set(row) & set(other)) - {"design"}
            assert len(shared) == 18
            for name in shared:
                expected = (
                    row[name]
                    if row[name] is None or isinstance(row[name], str)
                    else pytest.approx(row[name], rel=1e-6, abs=2e-5)
                )
                assert other[name] == expected, (sample, row["slice"], row["figure"], name)
            assert other["standard_error"] == (
                None if row["error"] is None else pytest.approx(row["error"], abs=1e-9)
            )
            n_compared += 1
    assert n_compared > 25
    assert report == {}


def test_the_verdict_that_counts(lake):
    """A mask between two raters waits; a third decides; doubts and skips are told, never dropped."""
    fill(lake, [20, 20])
    samples.draw(lake, Request("s", "srs", 20, Scope(None, "area_px >= 576")))  # small masks weigh apart
    ids = by_position(lake, "s")
    judge(
        lake,
        "s",
        {
            ids[0]: ["accept", "accept", "reject"],
            ids[1]: ["accept", "reject"],
            ids[2]: ["accept", "reject", ("r9", "adjudicate", "reject", ["merged"])],
            ids[3]: ["unsure"],
            ids[4]: ["skip"],
            ids[5]: ["accept", "unsure"],
            ids[6]: [("r0", "gold_check", "reject", [])],
            ids[7]: ["fix"],
        },
    )
    found = figures(lake, "s")
    accept = found["accept"]
    assert accept["estimate"] == pytest.approx(2 / 4)
    counts = {name: accept[name] for name in ("n_masks", "n_tied", "n_unsure", "n_skipped", "n_pending")}
    assert counts == {"n_masks": 4, "n_tied": 1, "n_unsure": 1, "n_skipped": 1, "n_pending": 13}
    assert (accept["if_unanswered_none"], accept["if_unanswered_all"]) == pytest.approx((2 / 7, 5 / 7))
    assert found["reason:merged"]["estimate"] == pytest.approx(1 / 4)
    assert "4 of 20 judged" in accept["design"]
    # Nothing is known of IoU before the mask to fix is redrawn.
    assert found["over_90"]["estimate"] is None
    assert found["over_90"]["n_to_correct"] == 1


def test_corrected_masks_count_for_all_that_are_to_be_mended(lake):
    fill(lake, [20])
    samples.draw(lake, Request("s", "srs", 20))
    ids = by_position(lake, "s")
    judge(lake, "s", {m: ["accept" if k < 10 else "fix" if k < 18 else "reject"] for k, m in enumerate(ids)})
    correct(lake, dict(zip(ids[10:14], [0.95, 0.8, 0.8, 0.5], strict=True)))
    found = figures(lake, "s")
    # 10 accepted; of 8 to mend a quarter is over 0.90 and three quarters over 0.75; 2 rejected.
    assert found["over_90"]["estimate"] == pytest.approx((10 + 2) / 20)
    assert found["over_75"]["estimate"] == pytest.approx((10 + 6) / 20)
    assert (found["over_90"]["n_masks"], found["over_90"]["n_to_correct"]) == (16, 4)
    # All masks are judged: the share accepted is known, not estimated.
    assert (found["accept"]["low"], found["accept"]["high"]) == pytest.approx((0.5, 0.5))
    assert found["accept"]["images_low"] is None  # one image


def test_slices_and_scores_are_expressions_over_masks(workspace):
    by_size = estimates.estimate(workspace, "simple", by="size_band")
    assert [part.slice for part in by_size.parts] == sorted(part.slice for part in by_size.parts)
    assert sum(part.counts["n_drawn"] for part in by_size.parts) == 40
    scored = figures(workspace, "simple", score="predicted_iou")["accept"]
    plain = figures(workspace, "simple")["accept"]
    assert scored["gain"] == pytest.approx((plain["error"] / scored["error"]) ** 2)
    assert "with predicted_iou" in scored["design"]
    exact = figures(workspace, "simple", score="mask_id % 2")
    assert exact["accept"]["gain"] > 0.9
    with pytest.raises(QueryError, match="--by 'no_such'"):
        estimates.estimate(workspace, "simple", by="no_such")
    with pytest.raises(
        InputError, match=r"of 71 masks of the frame have none; give those a value with coalesce"
    ):
        estimates.estimate(workspace, "simple", score="gold_iou")


def test_the_mean_score_is_that_of_the_frame_as_it_was(lake):
    """Masks that came later do not count, and a perfect score leaves nothing to estimate."""
    fill(lake, [10, 10, 10])
    samples.draw(lake, Request("s", "srs", 15))
    fill(lake, [50, 50, 50], run_id=2)
    judge(lake, "s", {m: ["accept" if m % 2 else "reject"] for m in by_position(lake, "s")})
    truth = lake.query("SELECT avg(mask_id % 2) FROM masks WHERE run_id = 1")[0][0].as_py()
    found = figures(lake, "s", score="mask_id % 2")["accept"]
    assert found["estimate"] == pytest.approx(truth)
    assert found["error"] == pytest.approx(0, abs=1e-9)


def test_what_cannot_be_estimated_is_refused(workspace):
    with pytest.raises(InputError, match="drawn on purpose"):
        estimates.estimate(workspace, "worst")
    with pytest.raises(InputError, match="no sample 'nope'; there are: risky"):
        estimates.estimate(workspace, "nope")
    with pytest.raises(InputError, match="without --by and --score"):
        estimates.estimate(workspace, "simple", by="stage", estimator="total")
    with pytest.raises(InputError, match="allowed are ratio, total"):
        estimates.estimate(workspace, "simple", estimator="mean")


def test_a_sample_without_verdicts_is_told_as_such(lake):
    fill(lake, [5])
    samples.draw(lake, Request("s", "srs", 3))
    row = figures(lake, "s")["accept"]
    assert (row["estimate"], row["low"], row["n_masks"], row["n_pending"]) == (None, None, 0, 3)
    assert "no verdict yet" in row["design"]
