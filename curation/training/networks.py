"""Networks whose mask decoder can be trained, and their way back into files that `generate` takes."""

import hashlib
import io
import os
import shutil
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from segment_anything.utils.transforms import ResizeLongestSide

from curation.errors import InputError
from curation.generation.download import file_sha256
from curation.generation.models import LocalModel
from curation.generation.segmenters.checkpoints import load_sam
from curation.generation.segmenters.decoder import PointDecoder
from curation.generation.segmenters.onnx import OnnxSegmenter
from curation.generation.segmenters.sam import SamSegmenter, usable_devices
from curation.training.embeddings import Features
from curation.training.onnx_graph import OnnxDecoder
from curation.training.prompts import BOX_START, Frame
from curation.training.sam2 import Sam2Decoder
from curation.whole_files import write_whole

State = dict[str, torch.Tensor]


class Network(Protocol):
    """A SAM with a frozen image encoder and prompt encoder, and a mask decoder that learns."""

    device: str
    #: SHA-256 of the encoder alone: models that share it share their embeddings.
    encoder_sha256: str
    #: The mask decoder, IoU head included.
    decoder: torch.nn.Module

    def embed(self, pixels: np.ndarray) -> Features:
        """Encode uint8 RGB (height, width, 3)."""

    def frame(self, height: int, width: int) -> Frame:
        """How an image of this size lies in the square and in the logits."""

    def decode(
        self, features: Features, points_xy: np.ndarray, labels: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (B, 3, h, w), padding included, and predicted IoU (B, 3), both with gradients, of prompts (B, P, 2)
        in the square with labels (B, P): 1 object, 0 not, 2 and 3 a box's corners. All prompts are of one kind.
        """

    def save(self, folder: Path) -> None:
        """Write the model into an empty folder, as `generation.models.locate` reads it."""


def open_network(model: LocalModel, device: str = "auto") -> Network:
    """The trainable network of a model. Raises InputError for a model of another architecture."""
    return (OnnxNetwork if model.backend == "onnx" else SamNetwork)(model, usable_devices(device)[0])


class OnnxNetwork:
    """SAM 2 in ONNX: encoded by onnxruntime, decoded in torch, written back into the same graph."""

    def __init__(self, model: LocalModel, device: str) -> None:
        self.device = device
        self._model = model
        self._encoder, decoder = model.paths
        self.encoder_sha256 = file_sha256(self._encoder)
        self._graph = OnnxDecoder(decoder)
        self._network = _sam2(self._graph).to(device)
        self.decoder = self._network.mask_decoder
        self._network.prompt_encoder.requires_grad_(False)

    @cached_property
    def segmenter(self) -> OnnxSegmenter:
        return self._model.load("auto")

    def embed(self, pixels: np.ndarray) -> Features:
        return self.segmenter.embed(pixels).state

    def frame(self, height: int, width: int) -> Frame:
        side, low = self._network.side, self._network.side // 4
        return Frame(side / width, side / height, low, low)  # plainly resized to the square

    def decode(
        self, features: Features, points_xy: np.ndarray, labels: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        image, *skips = (
            torch.from_numpy(features[name]).to(self.device).float()
            for name in ("image_embed", "high_res_feats_0", "high_res_feats_1")
        )
        points = torch.from_numpy(points_xy).to(self.device)
        return self._network(image, tuple(skips), points, torch.from_numpy(labels).to(self.device))

    def save(self, folder: Path) -> None:
        _link(self._encoder, folder / self._encoder.name)
        weights = {
            f"mask_decoder.{name}": value.cpu().numpy() for name, value in self.decoder.state_dict().items()
        }
        self._graph.save(weights, folder / "decoder.onnx")


class SamNetwork:
    """SAM of segment_anything, all in torch."""

    def __init__(self, model: LocalModel, device: str) -> None:
        self.device = device
        self._sam = load_sam(*model.paths).to(device)
        self.encoder_sha256 = _sha256(self._sam.image_encoder.state_dict())
        self._segmenter = SamSegmenter(self._sam, device)
        self._points = PointDecoder(self._sam)
        self._sam.requires_grad_(False)
        self.decoder = self._sam.mask_decoder.requires_grad_(True)
        self._transform = ResizeLongestSide(self._sam.image_encoder.img_size)

    def embed(self, pixels: np.ndarray) -> Features:
        return {"image_embed": self._segmenter.embed(pixels).features[None]}

    def frame(self, height: int, width: int) -> Frame:
        side = self._sam.image_encoder.img_size
        rows, columns = self._transform.get_preprocess_shape(height, width, side)
        low = 4 * self._sam.prompt_encoder.image_embedding_size[0] / side
        return Frame(columns / width, rows / height, rows * low, columns * low)

    def decode(
        self, features: Features, points_xy: np.ndarray, labels: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        image = torch.from_numpy(features["image_embed"]).to(self.device).float()
        xy, labels_here = (
            torch.from_numpy(points_xy).to(self.device),
            torch.from_numpy(labels).to(self.device),
        )
        is_box = bool((labels[:, :1] == BOX_START).all())
        points = (xy[:, 2:], labels_here[:, 2:]) if is_box else (xy, labels_here)
        sparse, _ = self._sam.prompt_encoder(
            points=points if points[1].shape[1] else None,
            boxes=xy[:, :2].flatten(1) if is_box else None,
            masks=None,
        )
        return self._points.decode(self._points.share(image, len(xy)), sparse)

    def save(self, folder: Path) -> None:
        buffer = io.BytesIO()
        torch.save({name: value.cpu() for name, value in self._sam.state_dict().items()}, buffer)
        write_whole(folder / "sam.pth", buffer.getvalue())


def _sam2(graph: OnnxDecoder) -> Sam2Decoder:
    weights = {name: torch.from_numpy(array) for name, array in graph.weights().items()}
    first = "mask_decoder.transformer.layers.0."
    try:
        inner_dim, dim = weights[f"{first}cross_attn_token_to_image.q_proj.weight"].shape
        network = Sam2Decoder(dim, inner_dim, len(weights[f"{first}mlp.layers.0.bias"]), graph.side)
        network.load_state_dict(weights)
    except (KeyError, RuntimeError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise InputError(
            f"{graph.path}: the weights are not those of a SAM 2 decoder ({type(error).__name__}: {first_line}); "
            "training takes decoders as sam2-tiny's"
        ) from error
    return network


def _sha256(weights: State) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(name.encode() + value.cpu().numpy().tobytes())
    return digest.hexdigest()


def _link(source: Path, target: Path) -> None:
    """The same file under another name without its bytes twice, as far as the file systems allow."""
    with suppress(OSError):
        os.link(source.resolve(), target)
        return
    with suppress(OSError):
        target.symlink_to(source.resolve())
        return
    shutil.copyfile(source, target)
