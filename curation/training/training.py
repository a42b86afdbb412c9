"""From a request to a model that `generate` takes."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from curation.errors import InputError
from curation.generation.devices import extra_named
from curation.generation.models import LocalModel, locate, published_base
from curation.lake import Lake
from curation.training import targets as targets_
from curation.training import trained
from curation.training.embeddings import EmbeddingCache
from curation.training.request import Moment, OnMoment, Request, Trained
from curation.training.targets import Targets

if TYPE_CHECKING:  # they bring torch
    from curation.training.course import Course, Lesson
    from curation.training.networks import Network

Note = Callable[[str], None]


def train(lake: Lake, request: Request, on_moment: OnMoment | None = None, on_note: Note = print) -> Trained:
    """Fine-tune the mask decoder and IoU head of `request.model`, and add the model to the workspace.

    A training that was stopped goes on from its last checkpoint; one that is finished is given again as it is.
    Raises InputError where there is nothing to learn from or the model is not known, MissingExtraError without torch
    or onnx.
    """
    on_moment = on_moment or (lambda moment: None)
    with extra_named("training", "train"):
        from curation.training.course import Course
        from curation.training.networks import open_network

    base = locate(request.model, on_note=on_note, trained=trained.folder(lake))
    snapshot_id = lake.version()
    targets = targets_.read(lake, request)
    key = _key(request, base, targets)
    done = trained.finished(lake, request.name, key)
    if done is not None:
        return done
    network = open_network(base, request.device)
    cache = EmbeddingCache(network.encoder_sha256, request.cache_gb)
    targets = _embed(lake, cache, network, targets, on_moment, on_note)
    lessons, held_out = _lessons(network, targets, request)
    course = Course(network, lessons, held_out, cache, request)
    checkpoint = trained.folder(lake) / f".{request.name}-{key[:16]}.checkpoint"
    if checkpoint.is_file():
        course.resume(checkpoint)
        on_note(f"{request.name}: going on after step {course.progress.step}")
    course.run(checkpoint, lambda step, note: on_moment(Moment("train", step, course.n_steps, note)))
    about = _about(request, base, course, lake, key, snapshot_id)
    result = trained.publish(lake, request.name, network.save, about)
    checkpoint.unlink(missing_ok=True)
    return result


def _embed(
    lake: Lake,
    cache: EmbeddingCache,
    network: "Network",
    targets: Targets,
    on_moment: OnMoment,
    on_note: Note,
) -> Targets:
    """The targets whose images are embedded; the others go to `problems`."""
    errors = cache.fill(
        targets.images, network.embed, lambda done, total: on_moment(Moment("embed", done, total))
    )
    on_note(
        f"embeddings of {len(targets.images)} images: {cache.size_mb(targets.images):.0f} MB in {cache.folder}"
    )
    problems = [targets_.problem(i, errors[i.image_id]) for i in targets.images if i.image_id in errors]
    usable = targets.without(errors, problems)
    targets_.write_problems(lake, usable.problems)
    if usable.problems:
        on_note(f"{len(usable.problems)} images or masks could not be used; see `curation query problems`")
    return usable


def _lessons(network: "Network", targets: Targets, request: Request) -> tuple[list["Lesson"], list["Lesson"]]:
    """What is trained on, and what is held out, without masks too small for the network."""
    from curation.training.course import Lesson

    found = [Lesson.of(image, network.frame(image.height_px, image.width_px)) for image in targets.images]
    lessons = [one for one in found if len(one) and not one.image.is_held_out]
    held_out = [one for one in found if len(one) and one.image.is_held_out]
    if not lessons or (request.held_out_share and not held_out):
        raise InputError(
            f"training of {request.name!r}: {len(lessons)} images to learn from and {len(held_out)} held-out ones have masks "
            "that are readable and large enough for the network; there must be one of each"
        )
    return lessons, held_out


def _key(request: Request, base: LocalModel, targets: Targets) -> str:
    """SHA-256 over all that the weights depend on."""
    determining = {**request.determining, "base_sha256": base.sha256, "targets": targets.sha256}
    return hashlib.sha256(json.dumps(determining, sort_keys=True).encode()).hexdigest()


def _about(
    request: Request, base: LocalModel, course: "Course", lake: Lake, key: str, snapshot_id: int
) -> dict:
    progress = course.progress
    looks = [asdict(look) for look in progress.looks]
    return {
        "key": key,
        "looks": looks,
        "published_base": published_base(request.model, trained.folder(lake)),
        "base_model": request.model,
        "base_sha256": base.sha256,
        "masks_from": list(request.masks_from),
        "n_train_images": len(course.lessons),
        "n_train_masks": sum(len(lesson) for lesson in course.lessons),
        "n_held_out_images": len(course.held_out),
        "iou_before": looks[0]["iou"] if looks else None,
        "iou_after": progress.best.iou if progress.best else None,
        "n_steps": progress.best_step,
        "settings": request.determining,
        "snapshot_id": snapshot_id,
        "seed": request.seed,
        "took_s": progress.took_s,
    }
