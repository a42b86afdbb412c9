"""The trainable SAM against segment_anything's own prompt encoder and decoder."""

import numpy as np
import pytest
import torch
from networks import picture, small_sam

from curation.generation.models import locate
from curation.generation.segmenters.sam import SamSegmenter
from curation.training.networks import open_network

HEIGHT, WIDTH = 120, 150


@pytest.fixture(scope="module")
def network(checkpoint):
    return open_network(locate(checkpoint), "cpu")


def test_points_are_answered_as_generation_answers_them(network):
    segmenter = SamSegmenter(small_sam(), "cpu")
    embedding = segmenter.embed(picture(HEIGHT, WIDTH))
    xy = np.random.default_rng(0).uniform(0, (WIDTH, HEIGHT), (4, 1, 2))
    theirs = segmenter.decode(embedding, xy, np.ones((4, 1)))
    frame = network.frame(HEIGHT, WIDTH)
    in_square = (xy * (frame.x_scale, frame.y_scale)).astype(np.float32)
    features = network.embed(picture(HEIGHT, WIDTH))
    logits, predicted_iou = network.decode(features, in_square, np.ones((4, 1), np.int64))
    np.testing.assert_allclose(logits.detach().numpy(), theirs.logits.numpy(), atol=1e-4)
    np.testing.assert_allclose(predicted_iou.detach().numpy(), theirs.predicted_iou, atol=1e-5)
    assert frame.low_size == (52, 64)  # 120 of 150 px are 51.2 of 64 cells


@pytest.mark.parametrize("n_points", [0, 1])
def test_boxes_are_answered_as_segment_anything_does(network, n_points):
    sam = small_sam()
    rng = np.random.default_rng(1)
    xy = rng.uniform(0, 200, (3, 2 + n_points, 2)).astype(np.float32)
    xy[:, :2] = np.sort(xy[:, :2], axis=1)
    features = network.embed(picture(HEIGHT, WIDTH))
    labels = np.tile(np.array([2, 3, 1][: 2 + n_points], np.int64), (3, 1))
    logits, predicted_iou = network.decode(features, xy, labels)
    points = (torch.from_numpy(xy[:, 2:]), torch.ones(3, n_points)) if n_points else None
    boxes = torch.from_numpy(xy[:, :2]).flatten(1)
    with torch.no_grad():
        sparse, dense = sam.prompt_encoder(points=points, boxes=boxes, masks=None)
        theirs, their_iou = sam.mask_decoder(
            image_embeddings=torch.from_numpy(features["image_embed"]),
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
    np.testing.assert_allclose(logits.detach().numpy(), theirs.numpy(), atol=1e-4)
    np.testing.assert_allclose(predicted_iou.detach().numpy(), their_iou.numpy(), atol=1e-5)
