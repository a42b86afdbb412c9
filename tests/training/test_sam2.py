"""SAM 2's decoder in torch against onnxruntime, and its weights back in the same graph."""

import numpy as np
import pytest
import torch
from networks import picture

from curation.errors import DownloadError, InputError
from curation.generation.models import locate
from curation.training.networks import open_network
from curation.training.onnx_graph import OnnxDecoder

pytest.importorskip("onnxruntime", reason='ONNX models: pip install "curation[train]"')


@pytest.fixture(scope="module")
def model():
    try:
        return locate("sam2-tiny", on_note=lambda note: None)
    except DownloadError as error:
        pytest.skip(f"weights of sam2-tiny cannot be had: {error}")


@pytest.fixture(scope="module")
def network(model):
    return open_network(model, "cpu")


@pytest.fixture(scope="module")
def features(network):
    return network.embed(picture(240, 320))


@pytest.mark.parametrize("labels", [(1,), (1, 0), (2, 3), (2, 3, 1), (1, 1, 0)])
def test_torch_gives_what_onnxruntime_gives(model, network, features, labels):
    rng = np.random.default_rng(len(labels))
    xy = rng.uniform(0, 1024, (2, len(labels), 2)).astype(np.float32)
    if labels[0] == 2:
        xy[:, :2] = np.sort(xy[:, :2], axis=1)
    repeated = np.tile(np.array(labels, np.int64), (2, 1))
    # Not through Segmenter.decode: its points are in the image's frame, and may not be rounded twice.
    inputs = features | {
        "point_coords": xy,
        "point_labels": repeated.astype(np.float32),
        "mask_input": np.zeros((2, 1, 256, 256), np.float32),
        "has_mask_input": np.zeros(1, np.float32),
    }
    theirs, their_iou = network.segmenter._decoder.run(["masks", "iou_predictions"], inputs)
    with torch.no_grad():
        logits, predicted_iou = network.decode(features, xy, repeated)
    np.testing.assert_allclose(logits.numpy(), theirs, atol=1e-4)
    np.testing.assert_allclose(predicted_iou.numpy(), their_iou, atol=1e-5)


def test_unchanged_weights_give_the_same_bytes(model, tmp_path):
    graph = OnnxDecoder(model.paths[1])
    graph.save(graph.weights(), tmp_path / "decoder.onnx")
    assert (tmp_path / "decoder.onnx").read_bytes() == model.paths[1].read_bytes()


def test_changed_weights_come_back_as_a_model_that_runs(model, features, tmp_path):
    changed = open_network(model, "cpu")
    with torch.no_grad():
        for number, weight in enumerate(changed.decoder.parameters()):
            weight.mul_(1 + 0.01 * (number % 3))
    changed.save(tmp_path)
    before = {path.name: path.stat().st_size for path in model.paths}
    again = locate(str(tmp_path))
    assert again.sha256 != model.sha256
    assert {path.name: path.stat().st_size for path in model.paths} == before
    segmenter = again.load("cpu")
    embedding = segmenter.embed(picture(240, 320))
    point = np.array([[[100.0, 120.0]]])
    decoded = segmenter.decode(embedding, point, np.ones((1, 1)))
    frame = changed.frame(240, 320)
    xy = (point * (frame.x_scale, frame.y_scale)).astype(np.float32)
    with torch.no_grad():
        logits, predicted_iou = changed.decode(features, xy, np.ones((1, 1), np.int64))
    np.testing.assert_allclose(logits.numpy(), decoded.logits, atol=1e-4)
    np.testing.assert_allclose(predicted_iou.numpy(), decoded.predicted_iou, atol=1e-5)


def test_another_graph_is_refused(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    node = helper.make_node("Identity", ["x"], ["y"])
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    onnx.save(
        helper.make_model(helper.make_graph([node], "g", value[:1], value[1:])), tmp_path / "decoder.onnx"
    )
    with pytest.raises(InputError, match="decoders of SAM 2"):
        OnnxDecoder(tmp_path / "decoder.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    with pytest.raises(InputError, match=r"ONNX file|decoders of SAM 2"):
        OnnxDecoder(tmp_path / "bad.onnx")
