"""SAM in torch, as the package segment_anything defines it."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide

from curation.errors import InputError
from curation.generation.segmenters import Decoded, Embedding
from curation.generation.segmenters.checkpoints import load_sam
from curation.generation.segmenters.decoder import PointDecoder, SharedImage

#: Prompts a batch. On a CPU 4 keep the activations in the cache (64 take about 2.5 times as long); a multiple of
#: 4 also gives every prompt the same bits as batches of 64. On a GPU 64, as segment-anything has it.
POINTS_PER_BATCH = {"cpu": 4, "mps": 16, "cuda": 64}
#: Full-size fields made at once on a GPU; at 1500 x 2250 px 16 take about 0.7 GB.
FIELDS_PER_BATCH = 16


@dataclass
class _State:
    features: torch.Tensor  # (1, C, rows, columns)
    input_size: tuple[int, int]  # (height, width) of the crop inside the padded square
    shared: SharedImage | None = None  # for batches of the size that came last
    room: dict[tuple[int, ...], torch.Tensor] = field(default_factory=dict)  # for fields, by shape


class SamSegmenter:
    """The protocol `Segmenter` over a `Sam`. Fields are logits on a CPU, and levels 0..3 made on other devices."""

    def __init__(self, sam: Sam, device: str = "auto", cuts_on_device: bool | None = None) -> None:
        self.device = usable_devices(device)[0]
        kind = torch.device(self.device).type
        self.points_per_batch = POINTS_PER_BATCH.get(kind, 16)
        self.memory_errors = (torch.OutOfMemoryError,)
        self._sam = sam.to(self.device).eval()
        self._cuts_on_device = kind != "cpu" if cuts_on_device is None else cuts_on_device
        self._transform = ResizeLongestSide(sam.image_encoder.img_size)
        with torch.no_grad():
            self._decoder = PointDecoder(self._sam)

    @classmethod
    def load(cls, checkpoint: Path, device: str = "auto", threads: int | None = None) -> "SamSegmenter":
        """`threads` is how many CPU threads torch may use in this process."""
        if threads:
            torch.set_num_threads(threads)
        return cls(load_sam(checkpoint), device)

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
        with _memory_errors_told_alike():
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
        with _memory_errors_told_alike():
            state = embedding.state
            if state.shared is None or len(state.shared.tokens) != len(points):
                state.shared = None  # its memory first
                state.shared = self._decoder.share(state.features, len(points))
            logits, predicted_iou = self._decoder.decode(state.shared, points, labels)
        return Decoded(logits, predicted_iou.float().cpu().numpy())

    def cuts(self, offset: float) -> tuple[float, float, float]:
        return (0, 1, 2) if self._cuts_on_device else self._logit_cuts(offset)

    def _logit_cuts(self, offset: float) -> tuple[float, float, float]:
        threshold = self._sam.mask_threshold
        return threshold - offset, threshold, threshold + offset

    @torch.no_grad()
    def upsample(
        self, embedding: Embedding, decoded: Decoded, chosen: np.ndarray, offset: float
    ) -> Iterator[np.ndarray]:
        # One field at a time stays in a CPU's cache; a GPU wants several.
        at_once = FIELDS_PER_BATCH if self._cuts_on_device else 1
        flat = decoded.logits.flatten(0, 1)
        for first in range(0, len(chosen), at_once):
            index = torch.as_tensor(chosen[first : first + at_once], device=self.device)
            with _memory_errors_told_alike():
                fields = self._full_size(flat[index], embedding)
                if self._cuts_on_device:
                    fields = sum((fields > cut).to(torch.uint8) for cut in self._logit_cuts(offset))
            yield from fields.cpu().numpy()

    def _full_size(self, logits: torch.Tensor, embedding: Embedding) -> torch.Tensor:
        """(K, h, w) in low resolution to (K, height, width), in the two steps that SAM's postprocessing takes."""
        state = embedding.state
        # SAM enlarges to the padded square and cuts it; only the part that is left is computed here.
        scale = self._sam.image_encoder.img_size / logits.shape[-1]
        inside = _enlarge(logits, state.input_size, scale, state.room)
        size = (embedding.height, embedding.width)
        return inside if size == state.input_size else _enlarge(inside, size, None, state.room)

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


def _enlarge(
    maps: torch.Tensor, size: tuple[int, int], scale: float | None, room: dict[tuple[int, ...], torch.Tensor]
) -> torch.Tensor:
    """Bilinear, (K, h, w) to (K, *size), into memory that is used again: fresh pages cost more than the sums."""
    shape = (1, len(maps), *size)
    if shape not in room:
        room[shape] = torch.empty(shape, device=maps.device)
    torch.ops.aten.upsample_bilinear2d.out(maps[None], size, False, scale, scale, out=room[shape])
    return room[shape][0]


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
