"""What a training does to a model: it learns, it can be stopped, and it never sees what is held out."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import picture, small_sam
from school import HEIGHT, WIDTH, gold_lake
from typer.testing import CliRunner

from curation.cli import app
from curation.errors import InputError
from curation.generation.models import locate
from curation.lake import Lake
from curation.training import course as course_
from curation.training import targets, trained
from curation.training.course import Course
from curation.training.embeddings import EmbeddingCache
from curation.training.networks import open_network
from curation.training.request import Moment, Request
from curation.training.training import train


def asked(checkpoint: str) -> Request:
    return Request(
        "student",
        checkpoint,
        n_steps=6,
        n_prompts=3,
        learning_rate=1e-3,
        evaluate_every=2,
        patience=10,
        device="cpu",
        held_out_share=0.34,
    )


@pytest.fixture
def request_(checkpoint) -> Request:
    return asked(checkpoint)


def all_learned(request: Request) -> Request:
    """The last weights are kept, because nothing judges."""
    return replace(request, held_out_share=0.0)


def quiet(note: str) -> None:
    """Takes what a training tells."""


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path / "sam.pth", weights_only=True)


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def undisturbed(school, checkpoint, tmp_path_factory) -> dict[str, torch.Tensor]:
    """Weights of a training that nobody stopped."""
    root = tmp_path_factory.mktemp("undisturbed") / "workspace"
    shutil.copytree(school, root)
    with Lake.open(root) as lake, pytest.MonkeyPatch.context() as patch:
        patch.setattr("curation.training.embeddings.cache_dir", lambda: root)
        return weights_of(train(lake, all_learned(asked(checkpoint)), on_note=quiet).path)


def test_training_lowers_the_loss_and_raises_iou(lake, tmp_path, request_):
    gold_lake(lake, tmp_path, 3, chosen=(1,))
    learning = replace(request_, n_steps=100, learning_rate=3e-3, held_out_share=0)
    found = targets.read(lake, learning)
    network = open_network(locate(learning.model), "cpu")
    cache = EmbeddingCache(network.encoder_sha256, 1)
    assert cache.fill(found.images, network.embed, lambda done, total: None) == {}
    lessons = [course_.Lesson.of(image, network.frame(HEIGHT, WIDTH)) for image in found.images]
    course = Course(network, lessons, [], cache, learning)

    def state() -> tuple[float, float]:
        losses = [course.loss(lesson, np.random.default_rng(0)).item() for lesson in lessons]
        return float(np.mean(losses)), float(np.mean([course.answers(lesson, 1).iou for lesson in lessons]))

    loss_before, iou_before = state()
    course.run(tmp_path / "checkpoint", lambda step, note: None)
    loss, iou = state()
    assert loss < loss_before / 4
    assert iou > iou_before + 0.3


def test_only_the_decoder_changes(undisturbed):
    before, after = small_sam().state_dict(), undisturbed
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("mask_decoder.") for name in changed)
    assert before.keys() == after.keys()


def test_provenance_stands_in_the_lake_and_beside_the_weights(taught, request_, checkpoint):
    result = train(taught, request_, on_note=quiet)
    (row,) = taught.query("FROM trained_models").to_pylist()
    about = json.loads((result.path / "trained.json").read_text())
    model = locate("student", trained=trained.folder(taught))
    assert row["model"] == model.name == "student"
    assert row["weights_sha256"] == about["weights_sha256"] == model.sha256
    assert row["base_sha256"] == locate(checkpoint).sha256
    assert taught.root / row["path"] == result.path
    assert row["masks_from"] == ["accepted", "corrected", "gold"]
    assert json.loads(row["settings"])["learning_rate"] == 1e-3
    assert (row["iou_before"], row["iou_after"]) == (result.iou_before, result.iou_after)
    assert row["n_steps"] in (0, 2, 4, 6)
    assert [look["step"] for look in about["looks"]] == [0, 2, 4, 6]
    assert not list(result.path.parent.glob(".*"))


def test_held_out_images_are_never_trained_on(taught, request_, monkeypatch):
    seen: set[int] = set()
    loss = Course.loss

    def watched(self, lesson, rng):
        seen.add(lesson.image.image_id)
        return loss(self, lesson, rng)

    monkeypatch.setattr(Course, "loss", watched)
    train(taught, request_, on_note=quiet)
    found = targets.read(taught, request_)
    assert seen == {image.image_id for image in found.learned}
    assert seen.isdisjoint({image.image_id for image in found.held_out})


class Killed(BaseException):
    """Stands for a signal that ends the process."""


@pytest.mark.parametrize("at_step", [1, 5])
def test_a_stopped_training_goes_on_to_the_same_weights(taught, undisturbed, request_, at_step):
    def kill(moment: Moment) -> None:
        if moment.phase == "train" and moment.done == at_step:
            raise Killed

    request_ = all_learned(request_)
    with pytest.raises(Killed):
        train(taught, request_, kill, quiet)
    assert taught.query("FROM trained_models").num_rows == 0
    notes: list[str] = []
    result = train(taught, request_, on_note=notes.append)
    assert any("going on" in note for note in notes) == (at_step > 2)
    assert equal(weights_of(result.path), undisturbed)


def test_a_finished_training_is_given_again(taught, request_):
    first = train(taught, request_, on_note=quiet)
    taught.commit(lambda con: con.execute("DELETE FROM trained_models"), "as if killed before the row")
    again = train(taught, request_, on_note=quiet)
    assert again == replace(first, is_resumed=True)
    assert taught.query("FROM trained_models").num_rows == 1
    with pytest.raises(InputError, match="trained from something else"):
        train(taught, replace(request_, seed=1), on_note=quiet)


def test_a_trained_model_can_be_trained_again_over_the_same_embeddings(taught, request_, embeddings):
    train(taught, request_, on_note=quiet)
    stamps = {path: path.stat().st_ctime_ns for path in embeddings.glob("*/*")}
    pixels_read: list[Moment] = []
    second = train(taught, replace(request_, name="graduate", model="student"), pixels_read.append, quiet)
    assert set(embeddings.glob("*/*")) == stamps.keys()
    assert len(stamps) == 6
    about = json.loads((second.path / "trained.json").read_text())
    assert about["base_model"] == "student"


def test_early_stopping_keeps_the_best_weights(taught, request_, monkeypatch):
    ious = iter([0.5, 0.6, 0.7, 0.6, 0.65, 0.6, 0.1])

    def answers(self, lesson, n_most):
        iou = np.array([next(self.planned)])
        return course_.Answers(lesson.image.image_id, iou, iou, iou)

    found = Course._look

    def look(self):
        iou = next(ious)
        self.planned = iter([iou] * len(self.held_out))
        found(self)

    monkeypatch.setattr(Course, "answers", answers)
    monkeypatch.setattr(Course, "_look", look)
    result = train(taught, replace(request_, n_steps=100, patience=3), on_note=quiet)
    assert (result.iou_before, result.iou_after, result.n_steps) == (0.5, pytest.approx(0.7), 4)


def test_an_image_that_is_gone_is_left_out_and_told(taught, request_):
    uri = targets.read(taught, request_).learned[0].uri  # not the one that is held out
    data = Path(uri).read_bytes()
    try:
        Path(uri).unlink()
        result = train(taught, request_, on_note=quiet)
    finally:
        Path(uri).write_bytes(data)
    assert result.n_train_images + result.n_held_out_images == 5
    assert taught.query("SELECT work, source FROM problems").to_pylist() == [{"work": "train", "source": uri}]


def test_embeddings_of_other_trainings_make_room(taught, request_, embeddings):
    train(taught, request_, on_note=quiet)
    sizes = [path.stat().st_size for path in embeddings.glob("*/*")]
    found = targets.read(taught, request_)
    other = EmbeddingCache("f" * 64, (sum(sizes) + sizes[0] / 2) / 1e9)
    features = {"image_embed": np.zeros((1, 32, 16, 16), np.float32)}
    assert other.fill(found.images[:1], lambda pixels: features, lambda done, total: None) == {}
    assert len(list(embeddings.glob("*/*"))) == 6
    with pytest.raises(InputError, match="--cache-gb"):
        replace(other, max_gb=1e-6).fill(found.images[:2], lambda pixels: features, lambda done, total: None)


def test_an_unknown_model_is_refused(taught, request_):
    with pytest.raises(InputError, match="neither a name nor a path"):
        train(taught, replace(request_, model="teacher"), on_note=quiet)


def test_the_command_trains_and_generate_takes_the_model(taught, checkpoint, tmp_path):
    import PIL.Image

    folder = tmp_path / "new"
    folder.mkdir()
    PIL.Image.fromarray(picture(90, 120)).save(folder / "new.png")
    root = str(taught.root)
    runner = CliRunner()
    words = [
        "train",
        "student",
        "--workspace",
        root,
        "--model",
        checkpoint,
        "--steps",
        "2",
        "--device",
        "cpu",
    ]
    done = runner.invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    assert "held-out IoU" in done.output
    loose = [
        "--set",
        "points_per_side=2",
        "--set",
        "predicted_iou_threshold=0",
        "--set",
        "stability_threshold=0",
    ]
    words = ["generate", str(folder), "--workspace", root, "--model", "student", "--device", "cpu", *loose]
    assert runner.invoke(app, words, catch_exceptions=False).exit_code == 0
    (run,) = taught.query("SELECT model, weights_sha256 FROM runs WHERE kind = 'generate'").to_pylist()
    assert run == taught.query("SELECT model, weights_sha256 FROM trained_models").to_pylist()[0]
    with pytest.raises(InputError, match="--steps and --epochs"):
        runner.invoke(
            app, ["train", "x", "-w", root, "--steps", "1", "--epochs", "1"], catch_exceptions=False
        )
