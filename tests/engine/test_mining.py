"""What is mined: worth first, spread out, audited by chance, and explained."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from curation.cli import app
from curation.engine import mining
from curation.engine.mining import Request
from curation.engine.spread import spread
from curation.errors import InputError, QueryError
from curation.lake import Lake
from curation.sampling import estimates
from curation.schemas import TABLES
from tests.sampling.judged_lake import START, fill, judge

NONE = np.zeros((0, 2), np.float32), np.zeros(0, np.int64)


def test_the_worthiest_is_first_and_its_likes_are_last():
    vectors = np.array([[1, 0], [1, 0.01], [0, 1], [-1, 0]], np.float32)
    places = spread(np.array([1.0, 0.99, 0.5, 0.5]), vectors, np.arange(4), 4, *NONE)
    assert places.tolist() == [0, 3, 2, 1]


def test_masks_without_embeddings_are_spread_over_images():
    places = spread(np.array([1.0, 0.9, 0.8, 0.7]), np.zeros((4, 1)), np.array([7, 7, 7, 8]), 2, *NONE)
    assert places.tolist() == [0, 3]


def test_what_was_taken_before_counts():
    vectors = np.array([[1, 0], [0, 1]], np.float32)
    taken = np.array([[1, 0]], np.float32), np.array([9])
    assert spread(np.array([1.0, 0.5]), vectors, np.arange(2), 1, *taken).tolist() == [1]


def test_more_than_there_are_takes_all_and_none_takes_none():
    same = np.ones((3, 2), np.float32)
    assert sorted(spread(np.array([0.0, 0.0, 1.0]), same, np.zeros(3), 9, *NONE)) == [0, 1, 2]
    assert len(spread(np.zeros(0), np.zeros((0, 2)), np.zeros(0), 5, *NONE)) == 0


def embed(lake: Lake) -> None:
    rng = np.random.default_rng(0)
    rows = [
        {**row, "n_dims": 8, "embedding": rng.normal(size=8).astype("<f2").tobytes()}
        for row in lake.query("SELECT run_id, mask_id FROM masks").to_pylist()
    ]
    lake.append({"mask_embeddings": TABLES["mask_embeddings"].table(rows)}, "embeddings")


def cluster(lake: Lake, number: int, masks: list[int], bad_share: float) -> None:
    row = {
        "search_id": 1,
        "cluster": number,
        "kind": "slice",
        "words": f"words of {number}",
        "failure_mode": "rare",
        "failure_mode_shares": "{}",
        "n_masks": len(masks),
        "search": "{}",
        "bad_share": bad_share,
        "searched_at": START,
    }
    for column in TABLES["clusters"].columns:
        if not column.nullable and column.name not in row:
            row[column.name] = 1 if column.type.startswith("int") else 0.5
    of = {r["mask_id"]: r for r in lake.query("SELECT mask_id, run_id, image_id FROM masks").to_pylist()}
    members = [{"search_id": 1, "cluster": number, **of[mask]} for mask in masks]
    tables = {"clusters": [row], "cluster_members": members}
    lake.append({name: TABLES[name].table(rows) for name, rows in tables.items()}, "cluster")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """400 masks; ten, on ten images, are in cluster 7, a hundred more in cluster 8."""
    with Lake.create(tmp_path_factory.mktemp("mining") / "workspace") as lake:
        fill(lake, [10] * 40)
        embed(lake)
        ids = lake.query("SELECT mask_id FROM masks ORDER BY mask_id")["mask_id"].to_pylist()
        cluster(lake, 7, ids[5::40], 0.6)
        cluster(lake, 8, [mask for mask in ids[100:220] if mask not in ids[5::40]], 0.6)
        yield lake


@pytest.fixture(scope="module")
def mined(world):
    return mining.mine(world, Request(40, name="next", random_share=0.1, seed=3, drawn_by="ann"))


def test_the_budget_is_shared_out(mined):
    motives = [row["motive"] for row in mined.rows.to_pylist()]
    assert {m: motives.count(m) for m in set(motives)} == {"audit": 4, "correction": 18, "risk": 9, "rare": 9}
    assert len(set(mined.rows["mask_id"].to_pylist())) == 40


def test_each_motive_takes_what_it_is_about(world, mined):
    rows = mined.rows.to_pylist()
    scores = world.query("SELECT predicted_iou FROM masks")["predicted_iou"].to_numpy()
    mean = {m: np.mean([r["score"] for r in rows if r["motive"] == m]) for m in ("correction", "risk")}
    assert mean["correction"] < np.quantile(scores, 0.25)
    assert abs(mean["risk"] - mined.threshold) < 0.03
    rare = [row for row in rows if row["motive"] == "rare"]
    assert [row["cluster"] for row in rare].count(7) >= 6
    assert all(f"in cluster {row['cluster']} (words of {row['cluster']})" in row["reason"] for row in rare)
    assert all("next to the threshold 0.90" in row["reason"] for row in rows if row["motive"] == "risk")
    assert all("mending it should bring" in row["reason"] for row in rows if row["motive"] == "correction")
    assert any("low predicted IoU" in row["reason"] for row in rows)


def test_the_audit_is_a_probability_sample_and_the_rest_is_not(world, mined):
    rows = world.query("SELECT * FROM samples ORDER BY sample, position").to_pylist()
    audit = [row for row in rows if row["sample"] == "next-audit"]
    chosen = [row for row in rows if row["sample"] == "next"]
    assert {(r["design"], r["inclusion_probability"], r["stratum_n_masks"]) for r in audit} == {
        ("srs", 0.01, 400)
    }
    assert {(r["design"], r["inclusion_probability"]) for r in chosen} == {("purposive", None)}
    assert [r["position"] for r in chosen] == list(range(36))
    assert {r["image_n_masks"] for r in rows} == {10}
    judge(world, "next-audit", {r["mask_id"]: ["accept"] for r in audit})
    assert estimates.estimate(world, "next-audit").parts[0].estimates.estimate[0] == 1
    with pytest.raises(InputError, match="on purpose"):
        estimates.estimate(world, "next")


def test_the_same_seed_chooses_the_same_and_held_masks_are_left_out(tmp_path):
    found = []
    for folder in ("a", "b"):
        with Lake.create(tmp_path / folder) as lake:
            fill(lake, [5] * 10)
            first = mining.mine(lake, Request(10, seed=4))
            second = mining.mine(lake, Request(100, random_share=0))
            found.append([(r["mask_id"], r["reason"]) for r in first.rows.to_pylist()])
    assert found[0] == found[1]
    assert second.sample == "mine-2"
    assert second.audit is None
    assert second.rows.num_rows == second.n_left == 40
    assert not set(first.rows["mask_id"].to_pylist()) & set(second.rows["mask_id"].to_pylist())


def test_what_people_mended_shows_what_mending_is_worth(lake):
    """Small masks turned out to be beyond repair; large ones are worth mending then, though no worse."""
    fill(lake, [10] * 20)
    first = mining.mine(lake, Request(120, random_share=0))
    area = {r["mask_id"]: r["area_px"] for r in lake.query("SELECT mask_id, area_px FROM masks").to_pylist()}
    judge(
        lake,
        first.sample,
        {m: ["reject" if area[m] < 1024 else "fix"] for m in first.rows["mask_id"].to_pylist()},
    )
    rows = mining.mine(lake, Request(20, random_share=0)).rows.to_pylist()
    large = [area[row["mask_id"]] >= 1024 for row in rows if row["motive"] == "correction"]
    assert np.mean(large) > 0.8


def test_masks_without_any_score_are_mined_too(lake):
    fill(lake, [4])
    lake.commit(lambda con: con.execute("UPDATE masks SET predicted_iou = NULL"), "no scores")
    rows = mining.mine(lake, Request(3)).rows.to_pylist()
    assert {row["bad_chance"] for row in rows} == {0.5}
    assert all("predicted_iou says nothing of it" in r["reason"] for r in rows if r["motive"] != "audit")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"budget": 0}, InputError, "1 mask or more"),
        ({"random_share": 1.5}, InputError, "0 to 1"),
        ({"name": "next"}, InputError, "there already"),
        ({"name": "2nd"}, InputError, "start with a letter"),
        ({"verifier": "v"}, InputError, "with scores are: none"),
        ({"run_id": 9}, QueryError, "there are: 1"),
    ],
)
def test_what_does_not_fit_is_refused(world, mined, changes, error, message):
    with pytest.raises(error, match=message):
        mining.mine(world, Request(**{"budget": 5, **changes}))


def test_nothing_to_mine_is_said(lake):
    with pytest.raises(InputError, match="has no masks"):
        mining.mine(lake, Request(5))
    fill(lake, [2])
    mining.mine(lake, Request(5, random_share=0))
    with pytest.raises(InputError, match="all 2 masks are in samples"):
        mining.mine(lake, Request(5, random_share=0))


def test_the_command_explains_each_mask(lake):
    fill(lake, [3, 3])
    root, runner = ["--workspace", str(lake.root)], CliRunner()
    found = runner.invoke(app, ["mine", *root, "--budget", "20"])
    assert found.exit_code == 0, found.output
    assert "mine-1-audit" in found.output
    assert "20 masks were asked for" in found.output
    lake.commit(lambda con: con.execute("DELETE FROM samples"), "again")
    rows = runner.invoke(app, ["mine", *root, "--budget", "2", "--format", "json", "--name", "m"])
    assert {json.loads(line)["motive"] for line in rows.stdout.splitlines()} == {"audit", "correction"}
