"""What generation does outside the network, against segment-anything's own code, on real logits of a SAM.

    python -m benchmarks.postprocessing [--grid 32] [--size 1024x683 2250x1500] [--threads 2] [--rounds 3]

`sam2-tiny` looks at a photograph (that of scikit-learn's wheel, enlarged to 1024 x 683 px and padded as SAM pads), and
answers a grid of points once. Its logits and scores are then played back to both sides, in place of the network: to
`SamAutomaticMaskGenerator`, with everything of segment-anything around it (postprocess_masks, stability, boxes, NMS, RLE),
and to `generate_image`. Logits lie in SAM's frame, so that both make masks of any size with a side of 1024 : 683 of them.
Thresholds are the preset `sam2-default`. The list of masks must be equal in every field and in order.

Ends with 1 where a mask differs or a floor is missed.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
import torch
from PIL import Image
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from sklearn.datasets import load_sample_image
from torch import nn

from benchmarks.claims import Claim, tell
from benchmarks.generation import official_generator
from curation.generation import models
from curation.generation.generator import Candidates, decode_in_batches, generate_image
from curation.generation.grid import layer_points
from curation.generation.presets import GenerationSettings, preset
from curation.generation.segmenters import Decoded, Embedding
from curation.generation.segmenters.sam import SamSegmenter
from curation.masks import areas, boxes, to_strings

SQUARE_PX, CELLS, CHANNELS = 1024, 64, 256
#: Sizes (width x height, px) and the least ratio asked for them (issue 6, section 1).
FLOORS = {"1024x683": 100.0, "2250x1500": 25.0}


@dataclass
class Recording:
    """What a network answered to a grid of P points, handed on batch after batch."""

    logits: torch.Tensor  # float32 (P, 3, 256, 256)
    predicted_iou: torch.Tensor  # float32 (P, 3)
    first: int = 0

    def play(self, n_points: int) -> tuple[torch.Tensor, torch.Tensor]:
        batch = slice(self.first, self.first + n_points)
        self.first += n_points
        return self.logits[batch], self.predicted_iou[batch]


def record(pixels: np.ndarray, settings: GenerationSettings) -> Recording:
    """Answers of `sam2-tiny` to the grid on a picture (H, W, 3) whose longer side is the square's."""
    segmenter = models.locate("sam2-tiny").load("cpu")
    height, width = pixels.shape[:2]
    square = np.pad(pixels, ((0, SQUARE_PX - height), (0, SQUARE_PX - width), (0, 0)))
    points = layer_points(settings)[0] * [width, height]
    answers: list[Decoded] = []
    decode_in_batches(segmenter, segmenter.embed(square), points, lambda _, one: answers.append(one), print)
    return Recording(
        torch.from_numpy(np.concatenate([answer.logits for answer in answers])),
        torch.from_numpy(np.concatenate([answer.predicted_iou for answer in answers])),
    )


class NoEncoder(nn.Module):
    """Features of zeros, at no cost."""

    img_size = SQUARE_PX

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(image), CHANNELS, CELLS, CELLS)


def replaying_sam(recording: Recording) -> Sam:
    """A `Sam` whose networks answer what was recorded."""
    prompts = PromptEncoder(CHANNELS, (CELLS, CELLS), (SQUARE_PX, SQUARE_PX), 16)
    transformer = TwoWayTransformer(depth=2, embedding_dim=CHANNELS, mlp_dim=2048, num_heads=8)
    sam = Sam(NoEncoder(), prompts, MaskDecoder(transformer_dim=CHANNELS, transformer=transformer))
    prompts.forward = lambda points, boxes, masks: (len(points[0]), None)
    sam.mask_decoder.forward = lambda sparse_prompt_embeddings, **_: recording.play(sparse_prompt_embeddings)
    return sam


class ReplayingSegmenter(SamSegmenter):
    def __init__(self, sam: Sam, recording: Recording) -> None:
        super().__init__(sam, "cpu")
        self._recording = recording

    def decode(self, embedding: Embedding, points_xy: np.ndarray, labels: np.ndarray) -> Decoded:
        logits, predicted_iou = self._recording.play(len(points_xy))
        return Decoded(logits, predicted_iou.numpy())


def records(found: Candidates) -> list[dict]:
    """Masks of ours as SamAutomaticMaskGenerator lists its own."""
    ledger, kept = found.ledger, found.kept
    sizes = boxes(found.masks) - [0, 0, 1, 1]  # the official maxima are inclusive
    crops = [[crop.x, crop.y, crop.width, crop.height] for crop in ledger.crops]
    size = [found.masks.height, found.masks.width]
    columns = zip(kept, to_strings(found.masks), areas(found.masks).tolist(), sizes.tolist(), strict=True)
    return [
        {
            "segmentation": {"size": size, "counts": counts},
            "area": area,
            "bbox": box,
            "predicted_iou": ledger.predicted_iou[row].item(),
            "point_coords": [ledger.point_xy[row].tolist()],
            "stability_score": ledger.stability_score[row].item(),
            "crop_box": crops[ledger.crop_number[row]],
        }
        for row, counts, area, box in columns
    ]


def compare(
    recording: Recording, size: str, settings: GenerationSettings, n_rounds: int
) -> tuple[Claim, bool]:
    """Both sides on one size, the best of their rounds; whether the lists are equal."""
    width, height = map(int, size.split("x"))
    pixels = np.zeros((height, width, 3), np.uint8)
    sam = replaying_sam(recording)
    segmenter, official = ReplayingSegmenter(sam, recording), official_generator(sam, settings)

    def timed(make):
        recording.first, started = 0, perf_counter()
        made = make()
        return perf_counter() - started, made

    generate_image(segmenter, pixels, settings)  # compiles the kernels, proves the rule of enlargement
    ours = [timed(lambda: records(generate_image(segmenter, pixels, settings))) for _ in range(3 * n_rounds)]
    theirs = [timed(lambda: official.generate(pixels)) for _ in range(n_rounds)]
    is_equal = ours[0][1] == theirs[0][1]
    n_points = len(recording.logits)
    print(
        f"{size} px: {3 * n_points} candidates, {len(theirs[0][1])} masks, lists equal: {'yes' if is_equal else 'NO'}; "
        f"official {min(theirs)[0]:.2f} s, curation {min(ours)[0]:.3f} s"
    )
    claim = Claim(
        f"outside the network, {size}, real logits",
        "SamAutomaticMaskGenerator",
        min(t for t, _ in ours),
        min(t for t, _ in theirs),
        FLOORS.get(size),
    )
    return claim, is_equal


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--grid", type=int, default=32, help="points a side; 32 is the official default")
    parser.add_argument("--size", nargs="+", default=list(FLOORS), help="WIDTHxHEIGHT, px")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="for both sides")
    parser.add_argument("--rounds", type=int, default=2, help="the best counts; three times as many of ours")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    settings = replace(preset("sam2-default"), points_per_side=arguments.grid)
    photograph = Image.fromarray(load_sample_image("china.jpg")).resize((1024, 683), Image.Resampling.BICUBIC)
    recording = record(np.asarray(photograph), settings)
    told = [compare(recording, size, settings, arguments.rounds) for size in arguments.size]
    kept = tell(*(claim for claim, _ in told))
    return int(not (kept and all(is_equal for _, is_equal in told)))


if __name__ == "__main__":
    sys.exit(main())
