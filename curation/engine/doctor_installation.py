"""The installation examined: what is there, what each missing part costs, and how to get it."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import duckdb

from curation import __version__
from curation.connections import connect
from curation.errors import CurationError
from curation.generation import devices
from curation.generation.download import file_sha256
from curation.generation.models import MODELS, Model
from curation.settings import cache_dir

THERE, MISSING, BROKEN = "there", "missing", "broken"
#: DuckDB extension -> what cannot be done without it.
EXTENSIONS = {
    "ducklake": "no workspace opens at all",
    "sqlite_scanner": "workspaces with the default catalog (SQLite) do not open",
    "postgres_scanner": "workspaces with a PostgreSQL catalog do not open",
    "httpfs": "workspaces whose data lie in S3 do not open",
}
#: Extra -> (packages that it brings, what cannot be done without it).
EXTRAS = {
    "generate": (("onnxruntime",), "masks cannot be generated with the default model"),
    "sam": (("torch", "torchvision", "segment_anything"), "masks cannot be generated with SAM's own weights"),
    "learn": (("sklearn", "skops"), "no verifier and no search for failures"),
    "train": (("torch", "onnx"), "no fine-tuning"),
    "browse": (("fiftyone",), "masks cannot be looked at in the FiftyOne App"),
    "report": (("altair", "vl_convert"), "no HTML report, no contact sheets and no release"),
    "app": (("streamlit", "authlib"), "no review app"),
    "s3": (("s3fs",), "images and records in S3 cannot be read"),
    "scale": (("ray",), "work runs on this machine alone"),
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ANSWER_S = 3.0


@dataclass(frozen=True)
class Part:
    """One part of the installation. `costs` and `get` are empty where nothing is missing.

    `is_needed` parts make the doctor's command fail where they are missing; broken ones always do.
    """

    part: str
    state: str
    detail: str
    costs: str = ""
    get: str = ""
    is_needed: bool = False

    @property
    def is_problem(self) -> bool:
        return self.state == BROKEN or (self.state == MISSING and self.is_needed)


def examine() -> Iterator[Part]:
    """Every part, what is needed first. Nothing is fetched, installed or started, but `mongod --version` is asked."""
    yield Part("curation", THERE, f"{__version__} on Python {platform.python_version()}", is_needed=True)
    yield from map(_extension, EXTENSIONS)
    yield from map(_extra, EXTRAS)
    yield _mongodb()
    yield from map(_model, MODELS.values())
    yield _device("onnx", "onnxruntime")
    yield _device("sam", "torch")
    yield _browser()
    yield _cache()


def _extension(name: str) -> Part:
    part = f"DuckDB extension {name}"
    is_needed = name in ("ducklake", "sqlite_scanner")
    try:
        connect(name).close()
    except (CurationError, duckdb.Error) as error:
        package = f"pip install duckdb-extension-{name.replace('_', '-')}=={duckdb.__version__}"
        return Part(part, MISSING, str(error), EXTENSIONS[name], package, is_needed)
    return Part(part, THERE, f"DuckDB {duckdb.__version__}", is_needed=is_needed)


def _extra(extra: str) -> Part:
    packages, costs = EXTRAS[extra]
    lacking = [name for name in packages if importlib.util.find_spec(name) is None]
    part = f"extra {extra}"
    if lacking:
        return Part(part, MISSING, f"without {', '.join(lacking)}", costs, f'pip install "curation[{extra}]"')
    return Part(part, THERE, ", ".join(f"{name} {_version(name)}" for name in packages))


def _version(package: str) -> str:
    distributions = _distributions().get(package)
    return importlib.metadata.version(distributions[0]) if distributions else "of an unknown version"


@cache
def _distributions() -> Mapping[str, list[str]]:
    """Distributions by the packages that they bring; looking through all takes a second."""
    return importlib.metadata.packages_distributions()


def _mongodb() -> Part:
    costs = "`curation browse` does not work; everything else does"
    uri = os.environ.get("FIFTYONE_DATABASE_URI")
    if uri:
        place = urllib.parse.urlsplit(uri)
        where = f"{place.hostname}:{place.port or 27017}"
        try:
            socket.create_connection((place.hostname or "", place.port or 27017), ANSWER_S).close()
        except OSError as error:
            get = "start it, or point FIFTYONE_DATABASE_URI to another"
            return Part("MongoDB", BROKEN, f"{where} (FIFTYONE_DATABASE_URI): {error}", costs, get)
        return Part("MongoDB", THERE, f"{where} answers (FIFTYONE_DATABASE_URI)")
    get = "see .ci/mongod, or install MongoDB 6 or later and set FIFTYONE_DATABASE_URI=mongodb://localhost:27017"
    fiftyone = importlib.util.find_spec("fiftyone")
    mongod = Path(fiftyone.origin).parent / "db" / "bin" / "mongod" if fiftyone and fiftyone.origin else None
    if mongod is None or not mongod.is_file():
        return Part("MongoDB", MISSING, "no mongod beside FiftyOne", costs, get)
    try:
        done = subprocess.run([str(mongod), "--version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Part("MongoDB", BROKEN, f"{mongod}: {error}", costs, get)
    if done.returncode:
        return Part("MongoDB", BROKEN, f"{mongod}: {_first_line(done.stderr)}", costs, get)
    return Part("MongoDB", THERE, _first_line(done.stdout))


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[0]


def _model(model: Model) -> Part:
    part = f"model {model.name}"
    get = f"curation models fetch {model.name} ({model.size_mb} MB; `generate` fetches it too)"
    costs = f"`generate --model {model.name}` has to fetch it first"
    if not model.is_there:
        return Part(part, MISSING, str(model.folder), costs, get)
    wrong = [
        weights.file_name
        for weights, path in zip(model.files, model.paths, strict=True)
        if file_sha256(path) != weights.sha256
    ]
    if wrong:
        return Part(
            part, BROKEN, f"{model.folder}: another SHA-256 than published: {', '.join(wrong)}", costs, get
        )
    return Part(part, THERE, f"{model.folder}, SHA-256 as published")


def _device(backend: str, package: str) -> Part:
    """What `--device auto` takes; without the package there is nothing to ask."""
    part = f"GPU for {package}"
    costs = "generating takes seconds an image instead of parts of one"
    if importlib.util.find_spec(package) is None:
        return Part(part, MISSING, f"{package} is not installed", costs, f"install {package} first")
    found = devices.available("auto", backend)
    if found != ["cpu"]:
        return Part(part, THERE, ", ".join(found))
    get = (
        "install onnxruntime-gpu instead of onnxruntime"
        if backend == "onnx"
        else "install torch's CUDA wheels (pytorch.org)"
    )
    has_gpu = shutil.which("nvidia-smi") is not None
    detail = f"this machine has one, {package} cannot use it" if has_gpu else "none: the CPU is used"
    return Part(part, MISSING, detail, costs, get if has_gpu else "a machine with one; nothing else changes")


def _browser() -> Part:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found:
        return Part("Chromium", THERE, found)
    costs = "the tests of the app in a browser are skipped; people use the browser of their own machine"
    return Part("Chromium", MISSING, "none on PATH", costs, "apt-get install chromium")


def _cache() -> Part:
    folder = cache_dir()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(there, os.W_OK):
        return Part(
            "cache of models",
            BROKEN,
            f"{folder} cannot be written",
            "no model can be fetched",
            "give it to this user, or set CURATION_CACHE to another folder",
        )
    return Part("cache of models", THERE, f"{folder}, {shutil.disk_usage(there).free / 1e9:.1f} GB free")
