"""What comes from elsewhere is checked before it is used: weights by their SHA-256, files without running what is in them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from curation.generation.models import MODELS

ROOT = Path(__file__).parents[2]
FILES = sorted([*ROOT.glob("curation/**/*.py"), *ROOT.glob("apps/**/*.py")])

#: Call -> the file that may make it, and why that is safe there.
FORBIDDEN = {
    "pickle.load": (),
    "pickle.loads": (),
    "marshal.loads": (),
    "joblib.load": (),
    "torch.hub.load": (),
    "eval": (),
    "exec": (),
    "os.system": (),
    "tempfile.mktemp": (),
    "tar.extractall": (),
    "yaml.unsafe_load": (),
    "yaml.full_load": (),
    # The one place that fetches; everything that it brings must have the SHA-256 that was asked for.
    "urllib.request.urlopen": ("curation/generation/download.py",),
    "urllib.request.urlretrieve": (),
    # Only types that the verifier names itself.
    "skops.io.loads": ("curation/verifier/boosting.py",),
}


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """(file, dotted name, call) of every call in the project."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.Call):
                yield path.relative_to(ROOT).as_posix(), ast.unparse(node.func), node


CALLS = list(calls())


def keywords(call: ast.Call) -> dict[str, object]:
    return {k.arg: k.value.value for k in call.keywords if k.arg and isinstance(k.value, ast.Constant)}


def test_torch_loads_weights_and_nothing_else():
    loads = [(file, call) for file, name, call in CALLS if name == "torch.load"]
    assert loads
    assert [file for file, call in loads if keywords(call).get("weights_only") is not True] == []


@pytest.mark.parametrize("name", FORBIDDEN)
def test_calls_that_run_what_they_read_are_made_where_they_are_safe_alone(name):
    assert {file for file, called, _ in CALLS if called == name} <= set(FORBIDDEN[name])


def test_no_shell_no_pickled_arrays_no_unchecked_certificates():
    bad = {"shell": True, "allow_pickle": True, "verify": False}
    found = [
        (file, name)
        for file, name, call in CALLS
        for k, v in keywords(call).items()
        if bad.get(k) is v and k in bad
    ]
    assert found == []


def test_yaml_is_read_with_the_safe_loader():
    loads = [(file, ast.unparse(call)) for file, name, call in CALLS if name == "yaml.load"]
    assert [text for _, text in loads if "SAFE" not in text and "Safe" not in text] == []


def test_every_file_that_is_fetched_has_its_sha256():
    hashes = [weights.sha256 for model in MODELS.values() for weights in model.files]
    hashes += [model.archive_sha256 for model in MODELS.values() if model.archive_sha256]
    assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in hashes)
    assert all(model.url.startswith("https://") for model in MODELS.values())


def test_every_constraint_names_one_version():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    named = [line for line in lines if line and not line.startswith((" ", "#", "--"))]
    assert named
    assert [line for line in named if not re.match(r"[A-Za-z0-9_.\[\]-]+==[^\s;]+", line)] == []
