"""Greedy matching against pycocotools.cocoeval itself."""

import contextlib
import io

import numpy as np
from blobs import blobs
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from curation.masks import encode
from curation.measures import ImageMasks, match_gold
from curation.measures.partners import COCO_THRESHOLDS, MOST_MASKS


def coco_bits(masks: np.ndarray, scores: np.ndarray, gold: np.ndarray, is_crowd: np.ndarray):
    """(matched, ignored) bits of each mask, and at how many thresholds each gold mask is found by the best 1, 10, 100
    and 1,000 masks, from COCOeval without categories.
    """

    def rle(mask: np.ndarray) -> dict:
        return coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))

    def annotation(number: int, mask: np.ndarray) -> dict:
        return {"id": number, "image_id": 1, "category_id": 1, "segmentation": rle(mask), "area": 1.0}

    images = {"images": [{"id": 1, "height": 18, "width": 15}], "categories": [{"id": 1}]}
    truth, found = COCO(), COCO()
    truth.dataset = {
        **images,
        "annotations": [
            annotation(k + 1, mask) | {"iscrowd": int(is_crowd[k])} for k, mask in enumerate(gold)
        ],
    }
    found.dataset = {
        **images,
        "annotations": [
            annotation(k + 1, mask) | {"score": scores[k], "iscrowd": 0} for k, mask in enumerate(masks)
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        return _evaluated(truth, found)


def _evaluated(truth: COCO, found: COCO):
    truth.createIndex()
    found.createIndex()
    evaluation = COCOeval(truth, found, "segm")
    evaluation.params.useCats, evaluation.params.maxDets = 0, [1000]
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    assert np.array_equal(evaluation.params.iouThrs, COCO_THRESHOLDS)
    evaluation.evaluate()
    result = evaluation.evalImgs[0]
    bits = 1 << np.arange(10)[:, None]
    order = np.argsort(result["dtIds"])
    is_matched, is_ignored = result["dtMatches"] > 0, result["dtIgnore"] > 0
    matched, ignored = ((is_matched & ~is_ignored) * bits).sum(0)[order], (is_ignored * bits).sum(0)[order]
    return matched, ignored, np.stack([_found(evaluation, most) for most in MOST_MASKS], axis=1)


def _found(evaluation: COCOeval, most: int) -> np.ndarray:
    """At how many thresholds each gold mask that is no crowd is found by the best `most` masks, in the order of ids."""
    result = evaluation.evaluateImg(1, -1, [0, 1e10], most)
    is_found = (result["gtMatches"] > 0) & (result["gtIgnore"] == 0)
    return is_found.sum(0)[np.argsort(result["gtIds"])]


def scene(seed: int, n_masks: int, n_gold: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks and gold, of which half are the masks with some rows and columns taken off: many IoUs over 0.5, and ties."""
    rng = np.random.default_rng(seed)
    masks, gold = blobs(seed, n_masks, 18, 15), blobs(seed + 1, n_gold, 18, 15)
    for k in range(0, n_gold, 2):
        gold[k] = masks[rng.integers(n_masks)]
        gold[k, rng.integers(0, 18, rng.integers(0, 4))] = False
    return masks, gold


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 2), st.integers(1, 7), st.integers(1, 7))
def test_bits_equal_cocoeval_with_ties_and_crowds(seed, n_masks, n_gold):
    masks, gold = scene(seed, n_masks, n_gold)
    rng = np.random.default_rng(seed)
    scores = rng.choice([0.2, 0.5, 0.5, 0.9], n_masks)
    is_crowd = rng.random(n_gold) < 0.25
    image = ImageMasks(1, 7, 15, 18, np.arange(n_masks), encode(masks), scores=scores)
    truth = ImageMasks(2, 7, 15, 18, np.arange(n_gold), encode(gold), is_crowd=is_crowd)
    all_rows = match_gold(image, truth).to_pylist()
    rows = all_rows[:n_masks]
    matched, ignored, found = coco_bits(masks, scores, gold, is_crowd)
    assert [row["coco_matched"] for row in rows] == matched.tolist()
    assert [row["coco_ignored"] for row in rows] == ignored.tolist()
    of_gold = {row["gold_mask_id"]: row["coco_found"] for row in all_rows if row["gold_mask_id"] is not None}
    assert of_gold == {k: found[k].tolist() for k in range(n_gold) if not is_crowd[k]}
    assert all(row["coco_found"] is None for row in all_rows if row["gold_mask_id"] is None)


def test_ranks_go_by_score_then_by_area_where_there_is_none():
    masks = np.zeros((5, 4, 8), bool)
    for k, width in enumerate((2, 8, 3, 3, 5)):
        masks[k, :, :width] = True
    scores = np.array([0.4, np.nan, 0.9, 0.4, np.nan])
    image = ImageMasks(1, 7, 8, 4, np.arange(5), encode(masks), scores=scores)
    assert image.score_ranks.tolist() == [1, 3, 0, 2, 4]
    unscored = ImageMasks(1, 7, 8, 4, np.arange(5), encode(masks))
    assert unscored.score_ranks.tolist() == [4, 0, 2, 3, 1]


def test_crowd_gold_is_nobodys_partner_and_never_missed():
    masks = np.zeros((2, 10, 10), bool)
    masks[0, :4, :4], masks[1, 6:, 6:] = True, True
    gold = np.zeros((2, 10, 10), bool)
    gold[0, :5], gold[1, :4, :4] = True, True
    truth = ImageMasks(2, 7, 10, 10, np.array([50, 60]), encode(gold), is_crowd=np.array([True, False]))
    of_gold, in_nothing = match_gold(ImageMasks(1, 7, 10, 10, np.arange(2), encode(masks)), truth).to_pylist()
    assert (of_gold["gold_mask_id"], of_gold["coco_matched"], of_gold["coco_ignored"]) == (60, 1023, 0)
    assert (in_nothing["best_gold_mask_id"], in_nothing["error_kind"]) == (None, "spurious")
    only_crowd = ImageMasks(2, 7, 10, 10, np.array([50]), encode(gold[:1]), is_crowd=np.array([True]))
    rows = match_gold(ImageMasks(1, 7, 10, 10, np.arange(2), encode(masks)), only_crowd).to_pylist()
    assert [row["coco_ignored"] for row in rows] == [1023, 0]
    assert [row["error_kind"] for row in rows] == ["none", "spurious"]
    assert [row["gold_mask_id"] for row in rows] == [None, None]
