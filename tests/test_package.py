"""The wheel holds all it needs, and its core runs where only the core's packages are installed."""

import importlib.metadata
import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from test_layers import OWNERS, is_within

ROOT = Path(__file__).parents[1]
OPTIONAL = ("torch", "onnxruntime", "fiftyone", "streamlit", "ray", "cv2", "skimage", "s3fs")


def run(*command: object, **environment: str) -> str:
    ended = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "120", **environment},
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = ("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet", "-w", folder, ROOT)
    run(sys.executable, *build)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def core_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the wheel and the core's packages only, linked from this environment."""
    folder = tmp_path_factory.mktemp("core")
    venv.create(folder, symlinks=os.name != "nt")
    python = folder / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    for name in core_closure():
        link_distribution(name, site)
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "-q", wheel)
    return python


def core_closure() -> set[str]:
    """Distributions that `pip install curation` brings, all the way down."""
    text = (ROOT / "pyproject.toml").read_text()
    block = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    wanted = [Requirement(line) for line in re.findall(r'^ *"([^"]+)"', block[1], re.MULTILINE)]
    seen: set[str] = set()
    while wanted:
        requirement = wanted.pop()
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name in seen or not (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        wanted += [Requirement(line) for line in importlib.metadata.requires(name) or []]
    return seen


def link_distribution(name: str, site: Path) -> None:
    """Link the files of one installed distribution into `site`, folder by folder at the top level."""
    distribution = importlib.metadata.distribution(name)
    tops = {file.parts[0] for file in distribution.files or [] if file.parts[0] != ".."}
    for top in tops - {"__pycache__"}:
        if not (site / top).exists():
            (site / top).symlink_to(Path(distribution.locate_file(top)).resolve())


def test_wheel_holds_reports_contracts_and_apps(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("curation/_files/")}
    there = {
        f"curation/_files/{path.relative_to(ROOT)}"
        for folder in ("queries", "data_schemas", "apps")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".sql", ".yaml", ".py", ".js", ".css", ".toml"}
    }
    assert there
    assert there <= packed


def test_wheel_holds_no_tests_and_no_data(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"curation"}


def test_core_runs_without_optional_packages(core_python: Path, tmp_path: Path) -> None:
    find = f"import importlib.util as u; print([n for n in {OPTIONAL} if u.find_spec(n)])"
    assert run(core_python, "-I", "-c", find).strip() == "[]"

    curation = core_python.with_name("curation")
    assert "init" in run(curation, "--help")
    run(curation, "init", tmp_path / "lake")
    counted = run(
        curation,
        "sql",
        "SELECT count(*) AS n FROM masks",
        "-f",
        "csv",
        CURATION_WORKSPACE=str(tmp_path / "lake"),
    )
    assert counted.split() == ['"n"', "0"]


def test_core_imports_every_module_but_the_owners_of_optional_packages(core_python: Path) -> None:
    script = (
        "import importlib, pkgutil, curation\n"
        "for found in pkgutil.walk_packages(curation.__path__, 'curation.'):\n"
        "    try: importlib.import_module(found.name)\n"
        "    except ModuleNotFoundError as error: print(found.name, error.name.split('.')[0])"
    )
    lines = run(core_python, "-I", "-c", script).splitlines()
    strangers = [line for line in lines if not is_within(line.split()[0], OWNERS.get(line.split()[1], ()))]
    assert strangers == [], "module and the package it misses"


def test_every_report_runs_in_the_core(core_python: Path, tmp_path: Path) -> None:
    curation = core_python.with_name("curation")
    run(curation, "init", tmp_path)
    names = [path.stem for path in sorted((ROOT / "queries").glob("*.sql"))]
    script = (
        "from curation import queries; from curation.lake import Lake; lake = Lake.open('.')\n"
        f"for name in {names}: print(name, queries.get(name).run(lake).num_rows)"
    )
    ended = subprocess.run([core_python, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_missing_part_is_said_in_one_sentence(core_python: Path, tmp_path: Path) -> None:
    curation = core_python.with_name("curation")
    run(curation, "init", tmp_path)
    ended = subprocess.run(
        [curation, "browse", "sync", "--workspace", tmp_path], capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert 'pip install "curation[browse]"' in ended.stderr
    assert "Traceback" not in ended.stderr
