"""What a training brings on images that it never saw: scenes, which sam2-tiny finds hard, through onnxruntime.

    python -m benchmarks.training [--scenes 30] [--steps 200] [--prompts 12] [--seed 5] [--workspace FOLDER --model NAME]

Renders scenes, imports their gold, trains `sam2-tiny` and asks both models, as `generate` runs them, for masks at one
random point on the same gold masks of the held-out scenes. IoU is at full size. Differences are paired by prompt, and
their 95 % intervals (t) take the image as the cluster. With --workspace and --model it compares a model that was
trained there. Ends with 1 where the best of three masks did not get better.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import numpy as np
from scipy.stats import t as student
from typer.testing import CliRunner

from curation.cli import app
from curation.generation.models import MODELS_FOLDER, LocalModel, locate
from curation.generation.scenes import write_scenes
from curation.generation.segmenters import Embedding, Segmenter
from curation.lake import Lake
from curation.masks import Runs, iou
from curation.training import targets
from curation.training.embeddings import EmbeddingCache
from curation.training.networks import open_network
from curation.training.prompts import Frame, points
from curation.training.request import Moment, Request
from curation.training.targets import TargetImage
from curation.training.training import train

#: Figures of a prompt, in the order of the columns that `asked` gives.
FIGURES = (
    "IoU, best of three masks",
    "IoU of the mask ranked first, with what it shows",
    "its predicted IoU",
    "distance of the two",
)


def main() -> int:
    options = _options()
    if options.workspace:
        with Lake.open(options.workspace, read_only=True) as lake:
            return _compare(lake, Request("compared"), options.model, options.prompts)
    with tempfile.TemporaryDirectory() as scratch:
        workspace = _workspace(Path(scratch), options.scenes, options.seed)
        with Lake.open(workspace) as lake:
            request = Request("trained", n_steps=options.steps)
            clock = Clock()
            result = train(lake, request, clock.tick, lambda note: print(note))
            print(
                f"{clock.seconds('embed'):.2f} s an embedding, {clock.seconds('train'):.2f} s a step (looks included)"
            )
            print(
                f"kept: step {result.n_steps} of {options.steps}, {result.n_train_masks} masks of {result.n_train_images} scenes"
            )
            return _compare(lake, request, result.model, options.prompts)


class Clock:
    """Seconds a unit of each phase."""

    def __init__(self) -> None:
        self._started, self._last, self._done = {}, {}, {}

    def tick(self, moment: Moment) -> None:
        now = perf_counter()
        if moment.phase not in self._started:  # the first unit tells when the phase began
            self._started[moment.phase] = (now, moment.done)
        self._last[moment.phase], self._done[moment.phase] = now, moment.done

    def seconds(self, phase: str) -> float:
        started, first = self._started[phase]
        return (self._last[phase] - started) / max(1, self._done[phase] - first)


def _workspace(folder: Path, n_scenes: int, seed: int) -> Path:
    write_scenes(folder / "scenes", n_scenes, seed)
    workspace = folder / "workspace"
    for words in (
        ["init", str(workspace)],
        [
            "gold",
            "import",
            "sa1b",
            str(folder / "scenes"),
            "--annotator",
            "scenes",
            "--from-scratch",
            "-w",
            str(workspace),
        ],
    ):
        CliRunner().invoke(app, words, catch_exceptions=False)
    return workspace


def _compare(lake: Lake, request: Request, name: str, n_prompts: int) -> int:
    held_out = targets.read(lake, request).held_out
    base, trained = locate(request.model), locate(name, trained=lake.root / MODELS_FOLDER)
    network = open_network(base)
    cache = EmbeddingCache(network.encoder_sha256, request.cache_gb)
    cache.fill(held_out, network.embed, lambda done, total: None)
    found = [np.concatenate([*asked(m, cache, network.frame, held_out, n_prompts)]) for m in (base, trained)]
    images = np.repeat(np.arange(len(held_out)), [min(n_prompts, len(image.runs)) for image in held_out])
    print(f"{len(held_out)} held-out images, {len(images)} prompts; {base.name} -> {trained.name}")
    for number, figure in enumerate(FIGURES):
        before, after = found[0][:, number], found[1][:, number]
        change, half = clustered(after - before, images)
        print(f"{figure:50} {before.mean():.3f} -> {after.mean():.3f}  ({change:+.3f} ± {half:.3f})")
    return int(found[1][:, 0].mean() <= found[0][:, 0].mean())


def asked(
    model: LocalModel, cache: EmbeddingCache, frame_of, images: list[TargetImage], n_prompts: int
) -> Iterator[np.ndarray]:
    """The figures (n, 4) of prompts on each image; the same prompts for every model."""
    segmenter = model.load("cpu")
    for image in images:
        rng = np.random.default_rng(image.image_id % 2**32)
        chosen = np.sort(rng.permutation(len(image.runs))[:n_prompts])
        frame: Frame = frame_of(image.height_px, image.width_px)
        xy = points(image.runs[chosen], frame, rng) / (frame.x_scale, frame.y_scale)
        state = {name: array.astype(np.float32) for name, array in cache.read(image).items()}
        features = state["image_embed"][0]
        embedding = Embedding(image.height_px, image.width_px, features, *features.shape[1:], state)
        rows = [
            _figures(segmenter, embedding, xy[k : k + 1], image.runs, own) for k, own in enumerate(chosen)
        ]
        yield np.array(rows)


def _figures(
    segmenter: Segmenter, embedding: Embedding, xy: np.ndarray, gold: Runs, own: int
) -> tuple[float, ...]:
    decoded = segmenter.decode(embedding, xy, np.ones((1, 1)))
    scans = segmenter.scans(embedding, decoded, np.arange(3), 1.0)
    runs = [scans.runs(slot, 0, 0, embedding.height, embedding.width) for slot in range(3)]
    masks = Runs.concat(
        [Runs(embedding.height, embedding.width, counts, np.array([0, len(counts)])) for counts in runs]
    )
    reached = iou(masks, gold)
    first = int(decoded.predicted_iou[0].argmax())
    shown, predicted = reached[first].max(), float(decoded.predicted_iou[0, first])
    return reached[:, own].max(), shown, predicted, abs(predicted - shown)


def clustered(values: np.ndarray, clusters: np.ndarray) -> tuple[float, float]:
    """Mean and half of its 95 % interval, with residuals summed over each cluster (linearised, t on clusters - 1)."""
    n = len(np.unique(clusters))
    sums = np.bincount(clusters, values - values.mean())
    error = np.sqrt(n / (n - 1) * (sums**2).sum()) / len(values)
    return float(values.mean()), float(student.ppf(0.975, n - 1) * error)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=30)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--prompts", type=int, default=12, help="on each held-out image")
    parser.add_argument("--seed", type=int, default=5, help="of the scenes")
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--model", default="trained")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
