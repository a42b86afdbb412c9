"""A generation as a person asks for it, and the run that it becomes."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from os import cpu_count
from pathlib import Path

from curation import runs, shards
from curation.errors import InputError
from curation.formats.images import ImagePlan, plan_images
from curation.generation import devices, presets
from curation.generation.download import OnProgress
from curation.generation.models import PRECISIONS, LocalModel, locate, published_base
from curation.generation.presets import GenerationSettings
from curation.generation.work import WORK, GenerateWork
from curation.lake import Lake
from curation.schemas import TABLES
from curation.shards import LOCAL, Done, Engine, Shard, Summary

STAGES = next(column.values for column in TABLES["runs"].columns if column.name == "stage")
DEFAULT_MODEL, DEFAULT_PRESET = "sam2-tiny", "sam-default"
#: Presets that go with a model: sam2-tiny's predicted IoU is shy, and hardly a mask of it passes SAM's thresholds.
PRESET_OF_MODEL = {"sam2-tiny": "sam2-default"}
#: A shard has at most this many images; a small set gets shards of one, so that progress shows and little is lost.
MAX_SHARD_IMAGES = 500
#: Small sets are cut into this many shards at least.
MIN_SHARDS = 64


@dataclass(frozen=True)
class Request:
    """What `curation generate` was asked. Raises InputError for what is not allowed.

    `changes` are `key=value` texts over the preset (None: the one that goes with the model). `n_workers` None is
    one process a GPU, and on Ray one a GPU or CPU of the cluster. `shard_size` None follows from the number of images; it is part of what makes a run,
    because shards are found again by their first image. `trained` is the workspace's folder of trained models.
    """

    images: str
    model: str = DEFAULT_MODEL
    preset: str | None = None
    changes: tuple[str, ...] = ()
    stage: str = "fully_automatic"
    cycle: int = 0
    keep_rle_above: float | None = None
    device: str = "auto"
    n_workers: int | None = None
    shard_size: int | None = None
    trained: Path | None = None
    engine: Engine = LOCAL
    precision: str = PRECISIONS[0]
    settings: GenerationSettings = field(init=False)

    def __post_init__(self) -> None:
        if self.stage not in STAGES:
            raise InputError(f"stage {self.stage!r}: allowed are {', '.join(STAGES)}")
        base = published_base(self.model, self.trained)
        object.__setattr__(self, "preset", self.preset or PRESET_OF_MODEL.get(base, DEFAULT_PRESET))
        object.__setattr__(self, "settings", presets.change(presets.preset(self.preset), self.changes))


@dataclass(frozen=True)
class Generation:
    """A request with its images numbered, its weights at hand and its devices chosen. `scratch` outlives it."""

    request: Request
    plan: ImagePlan
    model: LocalModel
    usable_devices: tuple[str, ...]
    scratch: Path

    @classmethod
    def prepare(
        cls, request: Request, scratch: Path, on_progress: OnProgress | None, on_note: Callable[[str], None]
    ) -> "Generation":
        """Number the images and fetch the weights. Raises InputError and DownloadError."""
        plan = plan_images(request.images, scratch / "plan.parquet")
        model = locate(request.model, on_progress, on_note, request.trained).at(request.precision)
        return cls(request, plan, model, tuple(devices.available(request.device, model.backend)), scratch)

    @cached_property
    def shard_size(self) -> int:
        return self.request.shard_size or min(MAX_SHARD_IMAGES, max(1, self.plan.n_items // MIN_SHARDS))

    @cached_property
    def n_workers(self) -> int:
        return self.request.n_workers or len(self.usable_devices)

    @property
    def spec(self) -> runs.RunSpec:
        request = self.request
        ours = {"keep_rle_above": request.keep_rle_above, "shard_size": self.shard_size}
        if request.precision != PRECISIONS[0]:  # not told before there was a choice: such runs are resumed
            ours["precision"] = request.precision
        return runs.RunSpec(
            kind="generate",
            source=request.images,
            settings=asdict(request.settings) | ours,
            image_set_sha256=self.plan.sha256,
            n_images=self.plan.n_items,
            stage=request.stage,
            cycle=request.cycle,
            model=self.model.name,
            weights_sha256=self.model.sha256,
            preset=request.preset,
            device=", ".join(self.usable_devices),
        )

    @property
    def work(self) -> GenerateWork:
        if self.request.engine.is_ray:
            return self._work_on_ray
        several = self.n_workers > 1
        return GenerateWork(
            self.plan,
            self.model,
            self.request.settings,
            self.request.stage,
            self.request.cycle,
            slots=tuple(self.usable_devices[k % len(self.usable_devices)] for k in range(self.n_workers)),
            locks=self.scratch,
            keep_rle_above=self.request.keep_rle_above,
            # Processes that each take every core only wait for one another.
            threads=max(1, (cpu_count() or 1) // self.n_workers) if several else None,
        )

    @property
    def _work_on_ray(self) -> GenerateWork:
        """An actor finds its device by itself: Ray shows it the one GPU, or gives it one CPU."""
        request = self.request
        return GenerateWork(
            self.plan,
            self.model,
            request.settings,
            request.stage,
            request.cycle,
            slots=(request.device,),
            locks=None,
            keep_rle_above=request.keep_rle_above,
            threads=1,
        )

    def todo(self, lake: Lake, run_id: int) -> list[Shard]:
        """Shards of the run that are not committed yet."""
        rows = lake.query("SELECT shard FROM shards WHERE run_id = $1 AND work = $2", [run_id, WORK])
        done = set(rows["shard"].to_pylist())
        planned = shards.plan(run_id, WORK, self.plan.n_items, self.shard_size)
        return [shard for shard in planned if shard.name not in done]

    def run(self, lake: Lake, run_id: int, todo: list[Shard], on_done: Callable[[Done], None]) -> Summary:
        """Do the shards, commit each, and finish the run."""
        asked = self.request.engine
        engine = replace(asked, wants_gpu=asked.is_ray and self.request.device not in ("cpu", "mps"))
        workers = self.request.n_workers if engine.is_ray else self.n_workers
        summary = shards.run(lake, self.work, todo, workers, on_done, engine)
        runs.finish(lake, run_id)
        return summary
