"""Samples of a lake: what is drawn, kept, listed, and refused."""

import numpy as np
import pytest

from curation.errors import InputError, LakeError, QueryError
from curation.lake import Lake
from curation.sampling import samples
from curation.sampling.frame import Scope
from curation.sampling.samples import Request
from curation.schemas import TABLES
from tests.sampling.judged_lake import START, by_position, fill, judge

PER_IMAGE = [3, 8, 1, 12, 6, 5, 10, 4]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    with Lake.create(tmp_path_factory.mktemp("samples") / "workspace") as lake:
        fill(lake, PER_IMAGE)
        fill(lake, PER_IMAGE[:3], run_id=2)
        yield lake


def rows_of(lake: Lake, name: str) -> list[dict]:
    return lake.query("SELECT * FROM samples WHERE sample = ? ORDER BY position", [name]).to_pylist()


def test_the_frame_is_the_newest_run_of_each_image(workspace):
    samples.draw(workspace, Request("census", "srs", sum(PER_IMAGE)))
    rows = rows_of(workspace, "census")
    newest = {
        row["image_id"] for row in workspace.query("SELECT image_id FROM images WHERE run_id = 2").to_pylist()
    }
    assert len(newest) == 3
    assert {row["run_id"] for row in rows if row["image_id"] in newest} == {2}
    assert {row["run_id"] for row in rows if row["image_id"] not in newest} == {1}
    assert {row["inclusion_probability"] for row in rows} == {1.0}


def test_a_run_and_a_condition_narrow_the_frame(workspace):
    where = "size_band LIKE 'large%' AND mask_id IN (SELECT mask_id FROM masks)"
    samples.draw(workspace, Request("large", "srs", 2, Scope(1, where)))
    (first, _) = rows_of(workspace, "large")
    n = workspace.query("SELECT count(*) FROM masks WHERE run_id = 1 AND area_px >= 9216")[0][0].as_py()
    assert (first["stratum_n_masks"], first["run_id"], first["frame_run_id"]) == (n, 1, 1)
    assert first["frame_where"] == where


@pytest.mark.parametrize(
    "options",
    [
        {"design": "srs"},
        {"design": "stratified", "strata": "size_band", "allocation": "equal"},
        {"design": "stratified", "strata": "run"},
        {"design": "stratified", "strata": "size_band", "allocation": "neyman", "risk": "area_px % 7"},
        {"design": "pps", "risk": "1.01 - predicted_iou"},
        {"design": "two_stage", "masks_per_image": 3},
    ],
    ids=lambda options: "-".join(str(v) for v in options.values()),
)
def test_what_is_kept_is_what_was_in_the_frame(workspace, options):
    name = f"kept{abs(hash(str(options)))}"
    samples.draw(workspace, Request(name, size=20, scope=Scope(1), seed=3, **options))
    rows = rows_of(workspace, name)
    assert sum(row["n_draws"] for row in rows) == 20 if options["design"] != "two_stage" else len(rows) <= 20
    assert [row["position"] for row in rows] == list(range(len(rows)))
    frame = workspace.query("SELECT mask_id, image_id, area_px FROM masks WHERE run_id = 1").to_pylist()
    image_of = {row["mask_id"]: row["image_id"] for row in frame}
    assert all(image_of[row["mask_id"]] == row["image_id"] for row in rows)
    if options["design"] == "stratified" and options["strata"] == "size_band":
        band = workspace.query(
            "SELECT mask_id, size_band(area_px).name AS band, image_id FROM masks WHERE run_id = 1"
        )
        of = band.to_pylist()
        for row in rows:
            mine = [m for m in of if m["band"] == row["stratum"]]
            assert row["stratum_n_masks"] == len(mine)
            assert row["stratum_n_images"] == len({m["image_id"] for m in mine})
            assert row["image_n_masks"] == sum(m["image_id"] == row["image_id"] for m in mine)
    elif options["design"] in ("srs", "pps", "two_stage"):
        assert {row["stratum_n_masks"] for row in rows} == {len(frame)}
        assert {row["stratum_n_images"] for row in rows} == {len(PER_IMAGE)}
        sizes = {image: list(image_of.values()).count(image) for image in set(image_of.values())}
        assert all(row["image_n_masks"] == sizes[row["image_id"]] for row in rows)
    # The same seed draws the same masks in the same order, another seed others.
    again = Request(f"{name}b", size=20, scope=Scope(1), seed=3, **options)
    other = Request(f"{name}c", size=20, scope=Scope(1), seed=4, **options)
    samples.draw(workspace, again)
    samples.draw(workspace, other)
    assert by_position(workspace, f"{name}b") == by_position(workspace, name)
    assert by_position(workspace, f"{name}c") != by_position(workspace, name)


def test_the_worst_and_the_most_different(workspace):
    samples.draw(workspace, Request("worst", "purposive", 4, Scope(1), by="worst", risk="-predicted_iou"))
    rows = rows_of(workspace, "worst")
    low = workspace.query("SELECT mask_id FROM masks WHERE run_id = 1 ORDER BY predicted_iou LIMIT 4")
    assert {row["mask_id"] for row in rows} == set(low["mask_id"].to_pylist())
    assert {row["inclusion_probability"] for row in rows} == {None}
    with pytest.raises(InputError, match="only 0 masks of the frame have an embedding"):
        samples.draw(workspace, Request("diverse", "purposive", 4, Scope(1), by="diverse"))
    ids = workspace.query("SELECT mask_id FROM masks WHERE run_id = 2 ORDER BY mask_id")[
        "mask_id"
    ].to_pylist()
    vectors = np.eye(4, dtype="<f2")[np.arange(len(ids)) % 4]
    held = [
        {"run_id": 2, "mask_id": mask, "n_dims": 4, "embedding": vector.tobytes()}
        for mask, vector in zip(ids, vectors, strict=True)
    ]
    workspace.append({"mask_embeddings": TABLES["mask_embeddings"].table(held)}, "embeddings")
    samples.draw(workspace, Request("diverse", "purposive", 4, Scope(2), by="diverse"))
    assert {ids.index(mask) % 4 for mask in by_position(workspace, "diverse")} == {0, 1, 2, 3}


def test_the_past_can_be_drawn_from(lake):
    fill(lake, [4, 4])
    before = lake.version()
    fill(lake, [4, 4, 4, 4], run_id=2)
    samples.draw(lake, Request("then", "srs", 3), at=before)
    samples.draw(lake, Request("now", "srs", 3))
    assert {(row["stratum_n_masks"], row["run_id"]) for row in rows_of(lake, "then")} == {(8, 1)}
    assert {(row["stratum_n_masks"], row["run_id"]) for row in rows_of(lake, "now")} == {(16, 2)}
    assert rows_of(lake, "then")[0]["snapshot_id"] == before


def test_neyman_learns_from_verdicts(lake):
    """Where all agree fewer are drawn; samples on purpose teach nothing."""
    fill(lake, [40, 40])
    with pytest.raises(LakeError, match="neither verdicts nor gold"):
        samples.draw(lake, Request("n0", "stratified", 20, strata="image_id", allocation="neyman"))
    samples.draw(lake, Request("pilot", "srs", 60))
    sizes = {}
    images = {row["mask_id"]: row["image_id"] for row in rows_of(lake, "pilot")}
    split = min(images.values())
    judge(
        lake,
        "pilot",
        {m: ["accept" if i == split or k % 2 else "reject"] for k, (m, i) in enumerate(images.items())},
    )
    samples.draw(lake, Request("n1", "stratified", 20, strata="image_id", allocation="neyman"))
    for row in rows_of(lake, "n1"):
        sizes[row["image_id"]] = sizes.get(row["image_id"], 0) + 1
    assert sizes[split] < 8 < 12 < sizes[max(images.values())]


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"name": "census"}, InputError, "is there already"),
        ({"name": "no space"}, InputError, "start with a letter"),
        ({"design": "snowball"}, InputError, "allowed are srs"),
        ({"size": 1_000}, InputError, "the frame has 49 masks"),
        ({"size": 0}, InputError, "must be 1 or more"),
        ({"scope": Scope(None, "area_px < 0")}, InputError, "nothing to draw from"),
        ({"scope": Scope(None, "no_such = 1")}, QueryError, "Columns: .*predicted_iou"),
        ({"scope": Scope(None, "true) OR (false")}, QueryError, "one SQL condition"),
        ({"scope": Scope(None, "true; DROP TABLE masks")}, QueryError, "one SQL condition"),
        ({"scope": Scope(None, "(SELECT true FROM read_csv('/etc/passwd'))")}, QueryError, "may not stand"),
        ({"scope": Scope(7)}, QueryError, "no such run; there are: 1, 2"),
        ({"design": "pps"}, InputError, "--risk is missing"),
        ({"design": "pps", "risk": "predicted_iou - 1"}, InputError, "could never be drawn"),
        ({"design": "pps", "risk": "stage"}, InputError, "numbers are needed"),
        ({"design": "stratified", "strata": "mask_id"}, InputError, "strata need"),
        ({"strata": "stage"}, InputError, "does not go with --design srs"),
        ({"design": "two_stage", "masks_per_image": 1, "size": 9}, InputError, "the frame has 8"),
        ({"design": "purposive"}, InputError, "needs --by"),
        ({"design": "purposive", "by": "best"}, InputError, "allowed are worst, diverse"),
    ],
)
def test_what_cannot_be_drawn_is_refused(workspace, options, error, said):
    before = workspace.query("SELECT count(*) FROM samples")[0][0]
    with pytest.raises(error, match=said):
        samples.draw(workspace, Request(**{"name": "bad", "design": "srs", "size": 5, **options}))
    assert workspace.query("SELECT count(*) FROM samples")[0][0] == before


def test_samples_are_listed_and_shown(lake):
    fill(lake, [6, 6])
    assert samples.summaries(lake).num_rows == 0
    samples.draw(lake, Request("a", "stratified", 6, strata="image_id", drawn_by="ann"))
    judge(lake, "a", {mask: ["accept"] for mask in by_position(lake, "a")[:2]})
    (row,) = samples.summaries(lake, "a").to_pylist()
    assert (row["n_masks"], row["n_images"], row["n_strata"], row["n_judged"], row["drawn_by"]) == (
        6,
        2,
        2,
        2,
        "ann",
    )
    strata = samples.strata(lake, "a").to_pylist()
    assert [(s["n_masks_in_frame"], s["n_masks"]) for s in strata] == [(6, 3), (6, 3)]
    assert row["drawn_at"] > START
    with pytest.raises(InputError, match="no sample 'b'; there are: a"):
        samples.summaries(lake, "b")
