"""Imports go downwards only, and optional packages are imported only where they are owned."""

import ast
import importlib.metadata
import re
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]

#: From the top down. A module may import its own layer and those below it.
LAYERS = (
    {"apps"},
    {"cli"},
    {"report"},
    {"engine", "browse"},
    {"failures", "verifier", "review", "concepts"},
    {"sampling", "gold"},
    {"generation", "training", "formats"},
    {"measures"},
    {
        "shards",
        "runs",
        "queries",
        "conditions",
        "prompt",
        "lake",
        "catalogs",
        "views",
        "storage",
        "locks",
        "connections",
    },
    {"masks"},
    {"schemas", "settings", "errors", "events", "ids", "whole_files"},
)
DEPTH = {part: depth for depth, layer in enumerate(LAYERS) for part in layer}

TORCH = (
    "curation.generation.segmenters.sam",
    "curation.generation.segmenters.checkpoints",
    "curation.generation.segmenters.decoder",
    "curation.training",
)

#: Package that may be absent or that needs care -> the modules (with all below them) that may import it.
OWNERS = {
    "fiftyone": ("curation.browse",),
    "bson": ("curation.browse",),
    "pymongo": ("curation.browse",),
    "torch": TORCH,
    "torchvision": TORCH,
    "segment_anything": TORCH,
    "onnxruntime": ("curation.generation.segmenters.onnx", "curation.training"),
    "onnx": ("curation.training",),
    "skops": ("curation.verifier",),
    "streamlit": ("apps.review",),
    "starlette": ("apps.review",),
    "ray": ("curation.shards",),
    "s3fs": ("curation.formats.buckets",),
    "pycocotools": ("curation.masks",),
}


class Import(NamedTuple):
    importer: str  # dotted module that imports
    name: str  # dotted module that is imported
    line: int
    is_lazy: bool  # inside a function

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.name}"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[Import]:
    """Every import of a file, those inside functions included."""
    module = module_name(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]

    def visit(node: ast.AST, is_lazy: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, node.lineno, is_lazy)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(module, f"{base}.{alias.name}", node.lineno, is_lazy)
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, is_lazy or is_function)

    return visit(ast.parse(path.read_text(), str(path)), False)


FILES = sorted([*ROOT.glob("curation/**/*.py"), *ROOT.glob("apps/**/*.py")])
IMPORTS = [found for path in FILES for found in imports(path)]


def part(module: str) -> str | None:
    """The part of the project that a module belongs to; None for other packages and for `curation` itself."""
    names = module.split(".")
    if names[0] == "apps":
        return "apps"
    return names[1] if names[0] == "curation" and len(names) > 1 else None


def is_within(module: str, owners: tuple[str, ...]) -> bool:
    return any(module == owner or module.startswith(owner + ".") for owner in owners)


def test_every_part_has_a_layer() -> None:
    parts = {part(module_name(path)) for path in FILES} - {None, "__main__"}
    assert parts <= set(DEPTH), "give the new part a place in LAYERS"


def test_imports_go_downwards() -> None:
    upwards = [
        str(found)
        for found in IMPORTS
        if part(found.importer) in DEPTH
        and part(found.name) in DEPTH
        and DEPTH[part(found.name)] < DEPTH[part(found.importer)]
    ]
    assert upwards == []


def test_parts_do_not_import_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for found in IMPORTS:
        importer, imported = part(found.importer), part(found.name)
        if importer in DEPTH and imported in DEPTH and importer != imported:
            graph.setdefault(importer, set()).add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize("package", OWNERS)
def test_package_is_imported_only_by_its_owners(package: str) -> None:
    strangers = [
        str(found)
        for found in IMPORTS
        if found.name.split(".")[0] == package and not is_within(found.importer, OWNERS[package])
    ]
    assert strangers == []


def core_distributions() -> set[str]:
    """Names of the packages that come with `pip install curation`, without their own dependencies."""
    text = (ROOT / "pyproject.toml").read_text()
    block = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    names = re.findall(r'^ *"([A-Za-z0-9_.-]+)', block[1], re.MULTILINE)
    return {normal(name) for name in names}


def normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_optional_packages_are_imported_only_when_used() -> None:
    """A module outside the owners may import at its top only what the core installs."""
    core = core_distributions()
    distributions = importlib.metadata.packages_distributions()
    eager = []
    for found in IMPORTS:
        package = found.name.split(".")[0]
        is_ours = package in {"curation", "apps"} or package in sys.stdlib_module_names
        if is_ours or found.is_lazy or is_within(found.importer, OWNERS.get(package, ())):
            continue
        if not core & {normal(name) for name in distributions.get(package, [package])}:
            eager.append(str(found))
    assert eager == [], "import it inside the function that needs it"


def test_every_module_says_its_subject() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert [module_name(path) for path in FILES if vague & set(module_name(path).split("."))] == []
