"""A SAM exported to ONNX as an encoder and a decoder, run by onnxruntime; `sam2-tiny` is one."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from curation.errors import InputError
from curation.generation.enlargement import Enlargement, Rule, centred_stretch, plan
from curation.generation.scan import Scans, scan_enlarged
from curation.generation.segmenters import Decoded, Embedding

#: Prompts a batch. On a CPU single prompts are fastest (two cores, sam2-tiny: 0.037 s each, 0.065 s in
#: batches of 16), and a prompt's bits do not depend on the others.
POINTS_PER_BATCH = {"cpu": 1, "cuda": 64}
MASK_THRESHOLD = 0.0

_IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
_PROMPT_INPUTS = {"point_coords", "point_labels", "mask_input", "has_mask_input"}
_OUTPUTS = {"masks", "iou_predictions"}


class OnnxSegmenter:
    """The protocol `Segmenter` over an encoder and a decoder.

    The encoder takes the image plainly resized to its square, 1 x 3 x S x S with ImageNet's mean and deviation.
    Every encoder output that the decoder has as an input is handed on by name; `image_embed` gives the features.
    """

    def __init__(
        self, encoder: Path, decoder: Path, device: str = "auto", threads: int | None = None
    ) -> None:
        self.device = choose_device(device)
        kind, _, number = self.device.partition(":")
        providers = ["CPUExecutionProvider"]
        if kind == "cuda":
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": int(number)}))
        self.points_per_batch = POINTS_PER_BATCH[kind]
        self.memory_errors: tuple[type[BaseException], ...] = ()
        self._encoder = _session(encoder, providers, threads)
        self._decoder = _session(decoder, providers, threads)
        self._passed_on = _check(self._encoder, self._decoder, encoder.parent)
        self._side = self._encoder.get_inputs()[0].shape[-1]
        self._low_size = _shape_of(self._decoder, "mask_input")[-2:]

    def embed(self, pixels: np.ndarray) -> Embedding:
        height, width = pixels.shape[:2]
        square = Image.fromarray(pixels).resize((self._side, self._side), Image.Resampling.BILINEAR)
        scaled = (np.asarray(square, np.float32) / 255 - _IMAGENET_MEAN) / _IMAGENET_STD
        image = np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])
        outputs = self._encoder.run(self._passed_on, {self._encoder.get_inputs()[0].name: image})
        state = dict(zip(self._passed_on, outputs, strict=True))
        features = state["image_embed"][0]
        return Embedding(height, width, features, features.shape[1], features.shape[2], state)

    def decode(self, embedding: Embedding, points_xy: np.ndarray, labels: np.ndarray) -> Decoded:
        n_prompts = len(points_xy)
        in_square = points_xy * (self._side / np.array([embedding.width, embedding.height]))
        prompts = {
            "point_coords": in_square.astype(np.float32),
            "point_labels": labels.astype(np.float32),
            "mask_input": np.zeros((n_prompts, 1, *self._low_size), np.float32),
            "has_mask_input": np.zeros(1, np.float32),
        }
        logits, predicted_iou = self._decoder.run(["masks", "iou_predictions"], embedding.state | prompts)
        return Decoded(logits, predicted_iou)

    def scans(self, embedding: Embedding, decoded: Decoded, chosen: np.ndarray, offset: float) -> Scans:
        low_size = decoded.logits.shape[-2:]
        enlargement = _enlargement(low_size, (embedding.height, embedding.width))
        cuts = (MASK_THRESHOLD - offset, MASK_THRESHOLD, MASK_THRESHOLD + offset)
        return scan_enlarged(decoded.logits.reshape(-1, *low_size), chosen, enlargement, cuts)

    def release_memory(self) -> None:
        """onnxruntime gives nothing back on request."""


def _session(path: Path, providers: list[str], threads: int | None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    if threads:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # onnxruntime's own errors share no base class below Exception
        raise InputError(
            f"{path}: onnxruntime cannot load it ({error}); it must be a whole .onnx or .ort"
        ) from error


@lru_cache(maxsize=64)
def _enlargement(low_size: tuple[int, int], size: tuple[int, int]) -> Enlargement:
    """From the decoder's logits straight to the crop: its square is the plainly resized crop."""
    rows, columns = (centred_stretch(*lengths) for lengths in zip(low_size, size, strict=True))
    return plan(Rule.BETWEEN, [rows], [columns])


def choose_device(device: str) -> str:
    """`auto` as the best that this onnxruntime has: cuda:0, else cpu. Raises InputError for what it has not."""
    has_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    there = ["cuda", "cpu"] if has_cuda else ["cpu"]
    kind, _, number = (there[0] if device == "auto" else device).partition(":")
    if kind not in there:
        raise InputError(
            f"device {device!r}: this onnxruntime runs on {', '.join(there)}; name one of them, or auto"
        )
    return f"cuda:{number or 0}" if kind == "cuda" else kind


def _check(
    encoder: onnxruntime.InferenceSession, decoder: onnxruntime.InferenceSession, folder: Path
) -> list[str]:
    """Names that the encoder hands on to the decoder. Raises InputError where the two do not fit."""
    outputs = [node.name for node in encoder.get_outputs()]
    inputs = {node.name for node in decoder.get_inputs()}
    answers = {node.name for node in decoder.get_outputs()}
    unknown = inputs - _PROMPT_INPUTS - set(outputs)
    missing = (_PROMPT_INPUTS - inputs) | (_OUTPUTS - answers) | ({"image_embed"} - set(outputs))
    if unknown or missing:
        raise InputError(
            f"{folder}: the decoder takes {', '.join(sorted(inputs))} and gives {', '.join(sorted(answers))}; "
            f"missing {', '.join(sorted(missing)) or 'nothing'}, unknown {', '.join(sorted(unknown)) or 'nothing'}. "
            f"It must take {', '.join(sorted(_PROMPT_INPUTS))} and outputs of the encoder (image_embed among them), "
            "and give masks (N, 3, h, w) and iou_predictions (N, 3)"
        )
    return [name for name in outputs if name in inputs]


def _shape_of(session: onnxruntime.InferenceSession, name: str) -> list[int]:
    return next(node.shape for node in session.get_inputs() if node.name == name)
