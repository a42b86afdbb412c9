"""SAM in torch, as the package segment_anything defines it."""

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide

from curation.errors import InputError
from curation.generation.enlargement import Enlargement, Rule, Stretch, plan, torch_stretch
from curation.generation.scan import Cuts, Scans, concatenate, enlarge, scan_enlarged, scan_fields
from curation.generation.segmenters import Decoded, Embedding
from curation.generation.segmenters.checkpoints import load_sam
from curation.generation.segmenters.decoder import PointDecoder, SharedImage

#: Prompts a batch. On a CPU 4 keep the activations in the cache (64 take about 2.5 times as long); a multiple of
#: 4 also gives every prompt the same bits as batches of 64. On a GPU 64, as segment-anything has it.
POINTS_PER_BATCH = {"cpu": 4, "mps": 16, "cuda": 64}
#: Full-size fields made at once by torch. One stays in a CPU's cache; on a GPU at 1500 x 2250 px 16 take about 0.7 GB.
FIELDS_PER_BATCH = {"cpu": 1, "mps": 16, "cuda": 16}


@dataclass
class _State:
    features: torch.Tensor  # (1, C, rows, columns)
    input_size: tuple[int, int]  # (height, width) of the crop inside the padded square
    shared: SharedImage | None = None  # for batches of the size that came last


class Sizes(NamedTuple):
    """All that the enlargement of a mask depends on: (height, width) in px."""

    low: tuple[int, int]  # of the decoder's logits
    square: int  # side of the network's padded square
    inside: tuple[int, int]  # of the crop in that square
    crop: tuple[int, int]


class SamSegmenter:
    """The protocol `Segmenter` over a `Sam`. Masks are enlarged by own kernels on a CPU, by torch on other devices."""

    def __init__(
        self,
        sam: Sam,
        device: str = "auto",
        cuts_on_device: bool | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.device = usable_devices(device)[0]
        kind = torch.device(self.device).type
        self.points_per_batch = POINTS_PER_BATCH.get(kind, 16)
        self.memory_errors = (torch.OutOfMemoryError,)
        self._sam = sam.to(self.device).eval()
        self._cuts_on_device = kind != "cpu" if cuts_on_device is None else cuts_on_device
        self._transform = ResizeLongestSide(sam.image_encoder.img_size)
        self._products = functools.partial(torch.autocast, kind, dtype, dtype != torch.float32)
        with torch.no_grad():
            self._decoder = PointDecoder(self._sam)

    @classmethod
    def load(
        cls,
        checkpoint: Path,
        device: str = "auto",
        threads: int | None = None,
        precision: str = "float32",
    ) -> "SamSegmenter":
        """`threads` is how many CPU threads torch may use in this process.

        Raises InputError for bfloat16 on a processor that has no instructions for it.
        """
        if threads:
            torch.set_num_threads(threads)
        dtype, device = getattr(torch, precision), usable_devices(device)[0]
        if dtype == torch.bfloat16 and not has_bfloat16(device):
            raise InputError(
                f"precision bfloat16: {device} has no instructions for it, and would take many times as long; "
                "leave --precision out"
            )
        return cls(load_sam(checkpoint), device, dtype=dtype)

    @torch.no_grad()
    def embed(self, pixels: np.ndarray) -> Embedding:
        height, width = pixels.shape[:2]
        input_size = self._transform.get_preprocess_shape(height, width, self._transform.target_length)
        if min(input_size) < 1:
            raise InputError(
                f"crop of {width} x {height} px (width x height): too narrow for the model; leave it out"
            )
        resized = Image.fromarray(pixels).resize(input_size[::-1], Image.Resampling.BILINEAR)
        image = torch.as_tensor(np.array(resized), device=self.device).permute(2, 0, 1).contiguous()[None]
        with _memory_errors_told_alike(), self._products():
            features = self._sam.image_encoder(self._sam.preprocess(image))
        cells = features.shape[-1] / self._sam.image_encoder.img_size
        return Embedding(
            height,
            width,
            features[0].float().cpu().numpy(),
            input_size[0] * cells,
            input_size[1] * cells,
            _State(features, input_size),
        )

    @torch.no_grad()
    def decode(self, embedding: Embedding, points_xy: np.ndarray, labels: np.ndarray) -> Decoded:
        in_square = self._transform.apply_coords(points_xy, (embedding.height, embedding.width))
        if self.device == "mps":
            in_square = in_square.astype(np.float32)  # the device has no float64
        points = torch.as_tensor(in_square, device=self.device)
        labels = torch.as_tensor(labels, dtype=torch.int, device=self.device)
        sparse = self._decoder.prompts(points, labels)  # places keep their precision
        with _memory_errors_told_alike(), self._products():
            state = embedding.state
            if state.shared is None or len(state.shared.tokens) != len(points):
                state.shared = None  # its memory first
                state.shared = self._decoder.share(state.features, len(points))
            logits, predicted_iou = self._decoder.decode(state.shared, sparse)
        return Decoded(logits.float(), predicted_iou.float().cpu().numpy())

    @torch.no_grad()
    def scans(self, embedding: Embedding, decoded: Decoded, chosen: np.ndarray, offset: float) -> Scans:
        threshold = self._sam.mask_threshold
        cuts = (threshold - offset, threshold, threshold + offset)
        logits = decoded.logits.flatten(0, 1)
        sizes = Sizes(
            tuple(logits.shape[1:]),
            self._sam.image_encoder.img_size,
            embedding.state.input_size,
            (embedding.height, embedding.width),
        )
        enlargement = None if self._cuts_on_device else enlargement_of_torch(sizes, torch.get_num_threads())
        if enlargement is None:
            return concatenate(self._scans_of_levels(logits, chosen, sizes, cuts))
        return scan_enlarged(logits.numpy(), chosen, enlargement, cuts)

    def _scans_of_levels(
        self, logits: torch.Tensor, chosen: np.ndarray, sizes: Sizes, cuts: Cuts
    ) -> Iterator[Scans]:
        """Fields are made and compared on the device; only how many cuts each pixel exceeds comes back."""
        at_once = FIELDS_PER_BATCH[logits.device.type]
        for first in range(0, max(len(chosen), 1), at_once):
            index = torch.as_tensor(chosen[first : first + at_once], device=self.device)
            with _memory_errors_told_alike():
                fields = full_size(logits[index], sizes)
                levels = sum((fields > cut).to(torch.uint8) for cut in cuts).cpu().numpy()
            yield scan_fields(levels, (0, 1, 2))

    def release_memory(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()
        elif self.device == "mps":
            torch.mps.empty_cache()


def usable_devices(device: str) -> list[str]:
    """What a name means here: `auto` every GPU, else mps, else cpu; `cuda` every GPU.

    Raises InputError for a device that is not there.
    """
    gpus = [f"cuda:{k}" for k in range(torch.cuda.device_count())]
    others = ["mps"] * torch.backends.mps.is_available() + ["cpu"]
    if gpus and device in ("auto", "cuda"):
        return gpus
    if device == "auto":
        return others[:1]
    if device not in gpus + others:
        there = ", ".join(gpus + others)
        raise InputError(f"device {device!r}: this machine has {there}; name one of them, or auto")
    return [device]


def has_bfloat16(device: str) -> bool:
    """Whether products of bfloat16 are the device's own."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def full_size(logits: torch.Tensor, sizes: Sizes) -> torch.Tensor:
    """Low-resolution logits (K, h, w) as fields (K, height, width), in the two steps of SAM's postprocessing."""
    # SAM has three masks a prompt, and on a CPU torch rounds three channels otherwise than one.
    n_channels = 3 if logits.device.type == "cpu" else 1
    maps = logits[:, None].repeat(1, n_channels, 1, 1)
    square = torch.ops.aten.upsample_bilinear2d(maps, (sizes.square, sizes.square), False)
    inside = square[..., : sizes.inside[0], : sizes.inside[1]]
    return torch.ops.aten.upsample_bilinear2d(inside, sizes.crop, False)[:, 0]


@functools.lru_cache(maxsize=64)
def enlargement_of_torch(sizes: Sizes, n_threads: int) -> Enlargement | None:
    """What gives the bits of `full_size` on this machine's CPU, proven on random logits; None where no rule does.

    Which rule torch follows is up to its version, its build, the processor, and whether it may use several threads.
    """
    n_maps = min(32, 1 + 1000 // (sizes.crop[0] * sizes.crop[1]))  # few pixels may agree by chance
    logits = np.random.default_rng(0).normal(0, 10, (n_maps, *sizes.low)).astype(np.float32)
    fields = full_size(torch.from_numpy(logits), sizes).numpy()
    for rule in (Rule.FUSED, Rule.WEIGHTED, Rule.ALONG_ROWS_FUSED, Rule.ALONG_ROWS):
        enlargement = plan(rule, _stretches(0, sizes, rule), _stretches(1, sizes, rule))
        ours = [enlarge(one, enlargement) for one in logits]
        if np.array_equal(ours, fields):
            return enlargement
    return None


def _stretches(axis: int, sizes: Sizes, rule: Rule) -> list[Stretch]:
    low, inside, crop = sizes.low[axis], sizes.inside[axis], sizes.crop[axis]
    to_square = torch_stretch(low, sizes.square, rule)
    return [to_square.until(inside), torch_stretch(inside, crop, rule)]


@contextlib.contextmanager
def _memory_errors_told_alike() -> Iterator[None]:
    """MPS says with a plain RuntimeError what CUDA says with an OutOfMemoryError."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        if "out of memory" in str(error):
            raise torch.OutOfMemoryError(str(error)) from error
        raise
