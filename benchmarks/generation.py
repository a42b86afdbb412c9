"""Generation against segment-anything's own generator: whole images, one run, the same masks.

    python -m benchmarks.generation [--grid 32] [--size 1500x1000] [--images 1] [--threads 2]

The network is a ViT-B of random weights on a CPU: time hardly depends on the weights' values. Thresholds are set
so that a realistic third of the candidates passes predicted IoU and stability; all of these are compared.
Both generators take turns on every image; what a generator spends in the network is timed at the encoder and the
decoder, and the rest is "outside". The encoder is the same on both sides, so that a coarse grid understates the
ratio end to end. Ends with 1 where masks differ or a floor is missed.

Where the processor has instructions for bfloat16, generation in that precision is timed too, and compared with float32:
candidates kept by one of the two only, and the IoU of the masks of those kept by both.

What a profile says: of our time three quarters are the decoder's matrix products, and a fifth the encoder's: the network's
compute is the limit. The official generator loses two thirds of its decoder time to memory (batches of 64).
`benchmarks.postprocessing` looks at what lies outside the network alone, on real logits.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from time import perf_counter, process_time
from typing import NamedTuple

import numpy as np
import torch
from segment_anything import SamAutomaticMaskGenerator, build_sam_vit_b
from segment_anything.modeling import Sam

from benchmarks.claims import Claim, tell
from curation.generation.generator import Candidates, generate_image
from curation.generation.presets import GenerationSettings
from curation.generation.segmenters.decoder import PointDecoder
from curation.generation.segmenters.sam import SamSegmenter, has_bfloat16
from curation.masks import iou, to_strings

#: Least ratios (official time / our time).
FLOORS = {"end to end": 2.2}
BFLOAT16_FLOOR = 4.0
CLOCKS = {"wall": perf_counter, "cpu": process_time}


class Lap(NamedTuple):
    """Seconds that one generator took for one image."""

    total: float
    encoder: float
    decoder: float


class NetworkClock:
    """Adds up the seconds that both generators spend in encoder and decoder."""

    def __init__(self, sam: Sam, now: Callable[[], float]) -> None:
        self._now = now
        self._seconds = {"encoder": 0.0, "decoder": 0.0}
        self._depth = 0  # ours calls the prompt encoder inside of its decoder
        sam.image_encoder.forward = self._timed(sam.image_encoder.forward, "encoder")
        for part in (sam.prompt_encoder, sam.mask_decoder):
            part.forward = self._timed(part.forward, "decoder")
        for method in ("share", "decode"):
            setattr(PointDecoder, method, self._timed(getattr(PointDecoder, method), "decoder"))

    def _timed(self, call: Callable, part: str) -> Callable:
        @wraps(call)
        def timed(*args: object, **kwargs: object) -> object:
            self._depth += 1
            started = self._now()
            try:
                return call(*args, **kwargs)
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._seconds[part] += self._now() - started

        return timed

    @contextmanager
    def lap(self, laps: list[Lap]) -> Iterator[None]:
        """Append the time that the body takes."""
        self._seconds, started = dict.fromkeys(self._seconds, 0.0), self._now()
        yield
        laps.append(Lap(self._now() - started, **self._seconds))


@torch.no_grad()
def random_vit_b() -> Sam:
    """A ViT-B whose random weights are scaled so that masks are blobs of many sizes and scores vary."""
    torch.manual_seed(3)
    sam = build_sam_vit_b()
    sam.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix *= 0.1
    decoder = sam.mask_decoder
    for name, weight in decoder.transformer.named_parameters():
        if "proj.weight" in name:
            weight *= 8 if "q_proj" in name or "k_proj" in name else 2
    for k in (0, 3):  # the pixels of a 2 x 2 block agree, else masks are chequered
        decoder.output_upscaling[k].weight[:] = decoder.output_upscaling[k].weight[:, :, :1, :1] * 4
    for mlp in (*decoder.output_hypernetworks_mlps, decoder.iou_prediction_head):
        for layer in mlp.layers:
            layer.weight *= 2
    return sam.eval()


def picture(height: int, width: int, seed: int) -> np.ndarray:
    """Coloured rectangles over a gradient, uint8 RGB (height, width, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([255 * x / width, 255 * y / height, np.full(x.shape, 128.0)], axis=2)
    for _ in range(20):
        x0, y0 = rng.integers(0, width), rng.integers(0, height)
        w, h = rng.integers(width // 20, width // 3), rng.integers(height // 20, height // 3)
        pixels[y0 : y0 + h, x0 : x0 + w] = rng.uniform(0, 255, 3)
    return pixels.astype(np.uint8)


def realistic(sam: Sam, segmenter: SamSegmenter, pixels: np.ndarray, grid: int) -> GenerationSettings:
    """SAM's thresholds, after the scores of each multimask slot are shifted so that half of its candidates pass.

    Of these two thirds pass the stability.
    """
    everything = GenerationSettings(
        points_per_side=min(grid, 6), predicted_iou_threshold=0, stability_threshold=0
    )
    ledger = generate_image(segmenter, pixels, everything).ledger
    medians = np.array([np.median(ledger.predicted_iou[ledger.slot == slot]) for slot in range(3)])
    with torch.no_grad():  # the bias before the three slots' is that of the output for unambiguous prompts
        sam.mask_decoder.iou_prediction_head.layers[-1].bias[1:] += torch.tensor(0.88 - medians)
    passes = ledger.predicted_iou > medians[ledger.slot]
    stability = float(np.nanquantile(ledger.stability_score[passes], 1 / 3))
    return replace(
        everything,
        points_per_side=grid,
        predicted_iou_threshold=0.88,
        stability_threshold=stability,
        box_nms_threshold=1.0,  # random masks span the image: NMS would leave too few to compare
    )


def official_generator(sam: Sam, settings: GenerationSettings) -> SamAutomaticMaskGenerator:
    return SamAutomaticMaskGenerator(
        sam,
        points_per_side=settings.points_per_side,
        pred_iou_thresh=settings.predicted_iou_threshold,
        stability_score_thresh=settings.stability_threshold,
        box_nms_thresh=settings.box_nms_threshold,
        stability_score_offset=settings.stability_offset,
        output_mode="coco_rle",
    )


def are_identical(ours: Candidates, theirs: list[dict]) -> bool:
    ledger, kept = ours.ledger, ours.kept
    return (
        to_strings(ours.masks) == [record["segmentation"]["counts"] for record in theirs]
        and ledger.point_xy[kept].tolist() == [record["point_coords"][0] for record in theirs]
        and np.allclose(
            ledger.predicted_iou[kept], [record["predicted_iou"] for record in theirs], rtol=0, atol=1e-5
        )
        and np.allclose(
            ledger.stability_score[kept], [record["stability_score"] for record in theirs], rtol=0, atol=1e-5
        )
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--grid", type=int, default=32, help="points a side; 32 is the official default")
    parser.add_argument("--size", default="1500x1000", help="WIDTHxHEIGHT of the images")
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu: on a busy machine, with --threads 1"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    width, height = map(int, arguments.size.split("x"))

    sam = random_vit_b()
    clock = NetworkClock(sam, CLOCKS[arguments.clock])
    segmenter = SamSegmenter(sam, "cpu")
    settings = realistic(
        sam, segmenter, picture(height, width, 0), arguments.grid
    )  # also compiles the kernels
    official = official_generator(sam, settings)
    laps: dict[str, list[Lap]] = {"official": [], "curation": []}
    identical = True
    for number in range(arguments.images):
        pixels = picture(height, width, number)
        with clock.lap(laps["official"]):
            theirs = official.generate(pixels)
        with clock.lap(laps["curation"]):
            ours = generate_image(segmenter, pixels, settings)
        identical &= are_identical(ours, theirs)
        measured = (ours.ledger.area_px >= 0).mean()
        print(
            f"image {number}: {len(ours.ledger)} candidates, {measured:.0%} enlarged, {len(theirs)} masks kept"
        )
    is_kept = report(laps, identical, arguments)
    if has_bfloat16("cpu"):
        rough = SamSegmenter(sam, "cpu", dtype=torch.bfloat16)
        seconds = sum(lap.total for lap in laps["official"]) / arguments.images
        is_kept &= tell(in_bfloat16(segmenter, rough, settings, picture(height, width, 0), seconds))
    else:
        print("bfloat16 is not measured: this processor has no instructions for it, and is slower with it")
    return int(not is_kept)


def in_bfloat16(
    exact: SamSegmenter,
    rough: SamSegmenter,
    settings: GenerationSettings,
    pixels: np.ndarray,
    official_s: float,
) -> Claim:
    """Generation of one image in bfloat16, told how its masks differ from those of float32."""
    one = generate_image(exact, pixels, settings)
    started = perf_counter()
    other = generate_image(rough, pixels, settings)
    took_s = perf_counter() - started
    _, mine, yours = np.intersect1d(one.kept, other.kept, return_indices=True)
    reached = np.array(
        [iou(one.masks[[a]], other.masks[[b]])[0, 0] for a, b in zip(mine, yours, strict=True)]
    )
    n_differ = len(one.kept) + len(other.kept) - 2 * len(mine)
    print(
        f"\nbfloat16: {len(one.kept)} masks in float32, {len(other.kept)} in bfloat16; {n_differ} candidates are kept by one "
        f"only; {(reached == 1).sum()} of the {len(mine)} others are identical, "
        + (
            f"IoU {reached.mean():.4f} in the mean, {reached.min():.4f} at least"
            if len(mine)
            else "none in both"
        )
    )
    return Claim(
        "generation, ViT-B, bfloat16", "SamAutomaticMaskGenerator", took_s, official_s, BFLOAT16_FLOOR
    )


def report(laps: dict[str, list[Lap]], identical: bool, arguments: argparse.Namespace) -> bool:
    """Print the seconds of every part; whether masks are identical and floors kept."""
    rows = {
        "end to end": lambda lap: lap.total,
        "in the encoder": lambda lap: lap.encoder,
        "in the decoder": lambda lap: lap.decoder,
        "outside the network": lambda lap: lap.total - lap.encoder - lap.decoder,
    }
    print(
        f"\nViT-B, CPU, {arguments.threads} threads, {arguments.clock} time, {arguments.images} image(s) of {arguments.size} px, "
        f"grid {arguments.grid} x {arguments.grid}; masks identical: {'yes' if identical else 'NO'}"
    )
    print(f"{'':22}{'official s':>12}{'curation s':>12}")
    told = []
    for name, seconds in rows.items():
        theirs, ours = (sum(map(seconds, laps[generator])) for generator in ("official", "curation"))
        print(f"{name:22}{theirs:12.2f}{ours:12.2f}")
        told.append(
            Claim(f"generation, ViT-B, {name}", "SamAutomaticMaskGenerator", ours, theirs, FLOORS.get(name))
        )
    return tell(*told) and identical


if __name__ == "__main__":
    sys.exit(main())
