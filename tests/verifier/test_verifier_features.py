"""What a verifier sees of masks."""

import numpy as np
import pytest
from verified_lake import fill

from curation.schemas import TABLES
from curation.verifier import features


@pytest.fixture
def masks(lake):
    fill(lake, n_images=3, n_masks=4)
    rows = lake.query("SELECT run_id, mask_id, image_id FROM masks ORDER BY mask_id")
    return [rows[name].to_numpy() for name in ("run_id", "mask_id", "image_id")]


def embed(lake, mask_ids, n_dims):
    rows = [
        {"run_id": 1, "mask_id": int(m), "n_dims": n_dims, "embedding": np.full(n_dims, k, "<f2").tobytes()}
        for k, m in enumerate(mask_ids)
    ]
    lake.append({"mask_embeddings": TABLES["mask_embeddings"].table(rows)}, "embeddings")


def test_masks_are_seen_in_the_order_that_is_asked(lake, masks):
    run_id, mask_id, _ = masks
    whole = features.read(lake, run_id, mask_id)
    order = np.random.default_rng(0).permutation(len(mask_id))[:7]
    part = features.read(lake, run_id[order], mask_id[order])
    assert np.array_equal(part.values, whole.values[order], equal_nan=True)
    solidity = lake.query("SELECT solidity FROM mask_features ORDER BY mask_id")["solidity"].to_numpy()
    assert np.allclose(whole.column("solidity"), solidity)
    assert features.read(lake, run_id[:0], mask_id[:0]).values.shape == (0, len(features.COLUMNS))


def test_a_score_is_compared_with_the_image_however_few_masks_are_asked(lake, masks):
    run_id, mask_id, _ = masks
    own, mean = lake.con.execute(
        "SELECT predicted_iou, avg(predicted_iou) OVER (PARTITION BY image_id) FROM masks ORDER BY mask_id"
    ).fetchone()
    one = features.read(lake, run_id[:1], mask_id[:1])
    assert one.column("predicted_iou_over_image")[0] == pytest.approx(own - mean, abs=1e-6)


def test_overlaps_are_seen_from_both_sides_and_are_not_known_without_measures(lake, masks):
    run_id, mask_id, image_id = masks
    pair = {
        "run_id": 1,
        "image_id": int(image_id[0]),
        "mask_id": int(mask_id[0]),
        "other_mask_id": int(mask_id[1]),
        "intersection_px": 10,
        "iou": 0.25,
        "mask_share": 0.3,
        "other_share": 0.6,
    }
    lake.append({"overlaps": TABLES["overlaps"].table([pair])}, "overlaps")
    lake.con.execute("DELETE FROM mask_features WHERE mask_id = ?", [int(mask_id[3])])
    seen = features.read(lake, run_id, mask_id)
    assert seen.column("n_overlaps")[:3].tolist() == [1, 1, 0]
    assert seen.column("highest_own_share")[:3].tolist() == pytest.approx([0.3, 0.6, 0])
    assert seen.column("highest_other_share")[:2].tolist() == pytest.approx([0.6, 0.3])
    assert np.isnan(seen.column("n_overlaps")[3])


def test_embeddings_of_one_length_count(lake, masks):
    run_id, mask_id, _ = masks
    embed(lake, mask_id[:5], 4)
    embed(lake, mask_id[5:8], 6)
    seen = features.read(lake, run_id, mask_id)
    assert seen.embedding[:5, 0].tolist() == [0, 1, 2, 3, 4]
    assert np.isnan(seen.embedding[5:]).all()
    other = features.read(lake, run_id, mask_id, n_dims=6)
    assert (~np.isnan(other.embedding[:, 0])).nonzero()[0].tolist() == [5, 6, 7]
    assert seen.with_dims(6).embedding.shape == (12, 6)


def test_what_is_missing_is_told_by_group(lake, masks):
    run_id, mask_id, _ = masks
    lake.con.execute("DELETE FROM mask_features WHERE mask_id = ?", [int(mask_id[0])])
    seen = features.read(lake, run_id, mask_id)
    missing = seen.missing()
    assert missing["scores"] == 0
    assert missing["measures"] == pytest.approx(1 / 12)
    assert missing["appearance"] == missing["embedding"] == 1
    assert "edge_alignment" not in seen.known
    assert "solidity" in seen.known


def test_what_people_and_gold_say_is_no_column():
    said = ("gold", "verdict", "is_bad", "label", "error")
    assert [name for name in features.COLUMNS if any(word in name for word in said)] == []
