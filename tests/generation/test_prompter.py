"""Clicks are answered as segment-anything's own predictor does, and an image is encoded once."""

import threading

import numpy as np
import pytest
from segment_anything import SamPredictor

from curation.errors import InputError
from curation.generation.prompter import Prompter
from curation.masks import decode


@pytest.fixture
def counted(segmenter, monkeypatch):
    """The segmenter, with the number of images that it encoded."""
    embed, seen = segmenter.embed, []
    monkeypatch.setattr(segmenter, "embed", lambda pixels: (seen.append(pixels), embed(pixels))[1])
    return segmenter, seen


@pytest.mark.parametrize(
    ("points", "labels"),
    [([[40, 30]], [1]), ([[40, 30], [90, 80]], [1, 0]), ([[140, 110], [20, 100], [75, 60]], [1, 1, 0])],
)
def test_the_mask_is_the_best_of_the_official_predictor(sam, segmenter, pixels, points, labels):
    predictor = SamPredictor(sam)
    predictor.set_image(pixels)
    masks, scores, _ = predictor.predict(np.array(points), np.array(labels), multimask_output=True)
    answer = Prompter(segmenter).answer(1, lambda: pixels, points, labels)
    np.testing.assert_array_equal(decode(answer.runs)[0], masks[scores.argmax()])
    assert answer.predicted_iou == pytest.approx(scores.max(), abs=1e-5)


def test_an_image_is_encoded_once_whoever_asks(counted, pixels):
    segmenter, seen = counted
    prompter = Prompter(segmenter)
    threads = [threading.Thread(target=prompter.prepare, args=(7, lambda: pixels)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers = [prompter.answer(7, lambda: pixels, [[x, 50]], [1]) for x in (10, 60, 110)]
    assert len(seen) == 1
    assert len({answer.runs.counts.tobytes() for answer in answers}) > 1


def test_the_oldest_image_is_let_go(counted, pixels):
    segmenter, seen = counted
    prompter = Prompter(segmenter, max_embeddings=2)
    for image_id in (1, 2, 1, 3, 1, 2):
        prompter.prepare(image_id, lambda: pixels)
    assert len(seen) == 4  # 1, 2, 3, and 2 again


@pytest.mark.parametrize(
    ("points", "labels", "message"),
    [
        ([[40, 30]], [0], "at least one must be 1"),
        ([[40, 30]], [2], "at least one must be 1"),
        ([], [], "shape"),
        ([[40, 30]], [1, 1], "shape"),
        ([[151, 30]], [1], "outside"),
        ([[40, -1]], [1], "outside"),
    ],
)
def test_clicks_that_mean_nothing_are_refused(segmenter, pixels, points, labels, message):
    with pytest.raises(InputError, match=message):
        Prompter(segmenter).answer(1, lambda: pixels, points, labels)
