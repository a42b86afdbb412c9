"""What labels stand for: gold, drawn samples, several of them, and what was judged on purpose."""

import shutil

import numpy as np
import pytest

from curation.errors import InputError
from curation.failures import labels
from curation.lake import Lake
from curation.sampling import frame, samples
from curation.sampling.frame import Scope
from curation.schemas import TABLES
from tests.failures.planted_lake import fill
from tests.sampling.judged_lake import by_position, judge

N = 40 * 20


@pytest.fixture(scope="module")
def judged(empty_workspace, tmp_path_factory):
    """A workspace with a sample `week` of 160 masks, judged."""
    root = tmp_path_factory.mktemp("judged") / "workspace"
    shutil.copytree(empty_workspace, root)
    with Lake.open(root) as lake:
        fill(lake, n_images=40, gold_images=0, has_look=False)
        draw(lake, "week", 160)
    return root


@pytest.fixture
def week(judged, tmp_path):
    shutil.copytree(judged, tmp_path / "judged")
    with Lake.open(tmp_path / "judged") as lake:
        yield lake


def read(
    lake: Lake, source: str = "all", bad: str | None = None, verifier: str | None = None
) -> labels.Labels:
    found = frame.read(lake, Scope(), labels.expressions(bad))
    return labels.read(lake, found, source, bad, verifier)


def draw(lake: Lake, name: str, size: int, where: str | None = None, **changes) -> None:
    """A sample of which every second mask is bad."""
    design = changes.pop("design", "srs")
    samples.draw(lake, samples.Request(name, design, size, Scope(None, where), **changes))
    ids = by_position(lake, name)
    judge(lake, name, {m: ["reject" if k % 2 else "accept"] for k, m in enumerate(ids)})


def test_a_drawn_mask_stands_for_as_many_as_its_chance_says(week):
    found = read(week)
    assert found.is_known.sum() == 160
    assert set(found.weight[found.is_known]) == {N / 160}
    assert np.nanmean(found.is_bad) == 0.5
    assert found.design == ("sample week (srs): 160 of 800 masks judged",)


def test_what_was_judged_on_purpose_is_left_out(week):
    draw(week, "worst", 50, design="purposive", by="worst", risk="1 - predicted_iou")
    found = read(week)
    assert found.is_known.sum() == 160
    assert "judged on purpose only are left out" in found.design[-1]
    # A word of one's own about verdicts counts where verdicts count; one about measures tells of all masks.
    assert read(week, bad="verdict = 'reject'").is_known.sum() == 160
    everywhere = read(week, bad="predicted_iou < 0.7")
    assert everywhere.is_known.all()
    assert set(everywhere.weight) == {1.0}


def test_more_verdicts_on_a_part_make_it_no_larger(week):
    """A sample of all masks and one of the small ones: each part keeps the weight that it has in the lake."""
    draw(week, "small", 60, where="area_px < 1024", seed=1)
    found = read(week)
    ours = frame.read(week, Scope(), {"small": ("x", "area_px < 1024")})
    is_small = ours.values["small"].to_numpy(zero_copy_only=False)
    assert found.weight[~is_small].sum() == pytest.approx((~is_small).sum(), rel=0.15)
    assert found.weight[is_small].sum() == pytest.approx(is_small.sum(), rel=0.15)
    assert found.weight.sum() == pytest.approx(N, rel=0.02)
    assert "a mask that several of these could have reached counts once" in found.design


def test_gold_counts_each_of_its_masks_once_and_samples_stand_for_the_rest(lake):
    fill(lake, n_images=40, gold_images=10, has_look=False)
    gold = read(lake)
    assert gold.is_known.sum() == 200
    assert set(gold.weight[gold.is_known]) == {1.0}
    draw(lake, "week", 200)
    both = read(lake)
    in_gold = gold.is_known
    assert both.weight[in_gold].sum() == pytest.approx(200, rel=0.2)
    assert both.weight[~in_gold].sum() == pytest.approx(600, rel=0.2)
    # The verdict counts where a mask has both.
    assert np.array_equal(read(lake, "gold").is_bad, gold.is_bad, equal_nan=True)
    assert read(lake, "verdicts").is_known.sum() == 200


def test_a_verifier_may_stand_for_people_and_says_so(week):
    rows = week.query("SELECT run_id, mask_id, image_id FROM masks").to_pylist()
    scores = [
        {**row, "verifier": "v1", "score": 0.2 if k % 4 == 0 else 0.9, "is_held_out": True}
        for k, row in enumerate(rows)
    ]
    week.append({"verifier_scores": TABLES["verifier_scores"].table(scores)}, "scores")
    found = read(week, "verifier", verifier="v1")
    assert np.nanmean(found.is_bad) == 0.25
    assert "and no person's" in found.design[0]
    with pytest.raises(InputError, match="has scored none of these"):
        read(week, "verifier", verifier="v2")
