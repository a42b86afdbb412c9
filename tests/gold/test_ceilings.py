"""How well people agree with each other, against brute force."""

from itertools import permutations

import numpy as np
import pytest
from typer.testing import CliRunner

from curation.cli import app
from curation.errors import LakeError
from curation.gold.ceilings import CEILING_FIGURES, ceilings, rows
from curation.lake import Lake
from curation.masks import encode, iou
from tests.gold import people

N_IMAGES = 6
OVER_75 = next(
    k for k, f in enumerate(CEILING_FIGURES) if (f.name, f.iou_threshold) == ("best_iou_over", 0.75)
)


@pytest.fixture(scope="module")
def drawn():
    """Masks of ann, eve and bob; bob saw only half of the images, and zoe draws as ann does."""
    ann = [people.rectangles(seed, 8 + seed) for seed in range(N_IMAGES)]
    eve = [people.shaken(one, 50 + k) for k, one in enumerate(ann)]
    bob = [people.shaken(one, 80 + k) for k, one in enumerate(ann[: N_IMAGES // 2])]
    return {"ann": ann, "eve": eve, "bob": bob}


@pytest.fixture(scope="module")
def matched(tmp_path_factory, drawn):
    with Lake.create(tmp_path_factory.mktemp("ceilings") / "workspace") as lake:
        golds = [people.add_run(lake, masks, name) for name, masks in drawn.items()]
        model = people.add_run(lake, [people.shaken(one, 5) for one in drawn["ann"]])
        for a, b in permutations(golds, 2):
            people.match(lake, a, b)
        for gold_run_id in golds:
            people.match(lake, model, gold_run_id)
        yield lake


def shares(drawn) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """(masks over 0.75, masks) of each image, for each ordered pair of people."""
    found = {}
    for a, b in permutations(drawn, 2):
        both = zip(drawn[a], drawn[b], strict=False)
        found[a, b] = [
            ((iou(encode(one), encode(other)).max(axis=1) > 0.75).sum(), len(one)) for one, other in both
        ]
    return found


def test_best_pair_leave_one_out_and_chance(matched, drawn):
    found = ceilings(matched)
    assert (found.n_images, found.annotators, found.run_id) == (N_IMAGES, ("ann", "bob", "eve"), 4)
    by_way = {(one.judged, one.against): one.estimates.estimate[OVER_75] for one in found.judgements}
    pairs = shares(drawn)

    def best(choices):
        return max(choices, key=lambda yx: yx[0] / yx[1])

    on_image = [{pair: yx[k] for pair, yx in pairs.items() if k < len(yx)} for k in range(N_IMAGES)]
    oracle = np.array([best(there.values()) for there in on_image]).sum(axis=0)
    assert by_way["annotator", "best pair"] == pytest.approx(oracle[0] / oracle[1])

    left_out = []
    for there in on_image:
        people_there = sorted({a for a, _ in there})
        left_out.append(
            np.mean([best([yx for (a, _), yx in there.items() if a == one]) for one in people_there], axis=0)
        )
    total = np.sum(left_out, axis=0)
    assert by_way["annotator", "best of the others"] == pytest.approx(total[0] / total[1])

    mean = np.sum([np.mean(list(there.values()), axis=0) for there in on_image], axis=0)
    assert by_way["annotator", "annotator by chance"] == pytest.approx(mean[0] / mean[1], abs=0.03)
    assert by_way["annotator", "annotator by chance"] < by_way["annotator", "best of the others"]
    assert by_way["model", "annotator by chance"] <= by_way["model", "best annotator"]


def test_every_figure_has_an_interval_around_it(matched):
    found = rows(ceilings(matched)).to_pylist()
    assert len(found) == 5 * len(CEILING_FIGURES)
    for row in found:
        assert row["low"] <= row["estimate"] <= row["high"]
        assert row["design_low"] <= row["estimate"] <= row["design_high"]
        assert row["n_images"] == N_IMAGES
        assert "6 images with 2 or more of 3 annotators (ann, bob, eve)" in row["design"]


def test_the_same_seed_gives_the_same_rows(matched):
    assert rows(ceilings(matched)) == rows(ceilings(matched))


def test_people_who_draw_alike_agree_wholly(lake, drawn):
    for name in ("ann", "zoe"):
        people.add_run(lake, drawn["ann"], name)
    for a, b in ((1, 2), (2, 1)):
        people.match(lake, a, b)
    found = ceilings(lake)
    assert found.run_id is None
    assert {tuple(one.estimates.estimate) for one in found.judgements} == {(1.0,) * len(CEILING_FIGURES)}


def test_what_is_missing_says_what_to_do(lake, matched, drawn):
    with pytest.raises(LakeError, match="gold match --between"):
        ceilings(lake)
    with pytest.raises(LakeError, match="run 9: it is matched on no image"):
        ceilings(matched, run_id=9)
    people.add_run(lake, drawn["ann"], "ann")
    alone = CliRunner().invoke(app, ["gold", "match", "--between", "--workspace", str(lake.root)])
    assert "holds one gold run" in str(alone.exception)
    without_masks = CliRunner().invoke(app, ["gold", "match", "--workspace", str(lake.root)])
    assert "no masks to match" in str(without_masks.exception)


def test_the_commands_match_each_way_and_show_the_model_beside(lake, drawn):
    for name, masks in drawn.items():
        people.add_run(lake, masks, name)
    people.add_run(lake, drawn["eve"])
    run = CliRunner().invoke
    workspace = ["--workspace", str(lake.root)]
    between = run(app, ["gold", "match", "--between", *workspace])
    assert between.exit_code == 0
    assert between.stdout.count("masks matched on") == 6
    assert run(app, ["gold", "match", *workspace]).exit_code == 0
    shown = run(app, ["gold", "ceilings", *workspace])
    assert shown.exit_code == 0
    for words in (
        "and of run 4 with them",
        "best pair",
        "leave-one-out",
        "6 images with 2 or more of 3 annotators",
    ):
        assert words in shown.stdout
    assert run(app, ["gold", "ceilings", "--format", "csv", *workspace]).stdout.startswith(
        '"judged","against"'
    )
