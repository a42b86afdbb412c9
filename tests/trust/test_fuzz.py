"""Damaged inputs of every reader are refused or read, and never break it; with what fuzzing has found."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import RecordError
from curation.formats import coco, json_slices, sa1b
from curation.formats.records import RecordImage
from tests.trust.fuzzing import TARGETS, damaged

SOAK_S = 300
DEEP = "[" * 1000 + "]" * 1000


@pytest.mark.parametrize("name", TARGETS)
def test_good_inputs_stand(name):
    for data in TARGETS[name].seeds():
        TARGETS[name].check(data)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_damaged_inputs_stand(name, seed):
    rng = random.Random(seed)
    for _ in range(4):
        TARGETS[name].check(damaged(rng, TARGETS[name]))


@pytest.mark.parametrize("text", ["[1}", '[{"a": 1}}, 2]', '[{"id": 0}}'])
def test_a_list_that_a_brace_closes_is_no_list(text):
    """The search for its elements went on for ever, and took all memory."""
    with pytest.raises(RecordError, match="no JSON list"):
        json_slices.elements(np.frombuffer(text.encode(), np.uint8))


@pytest.mark.parametrize("text", [DEEP, f'{{"image": {DEEP}, "annotations": []}}'])
def test_what_nests_deeper_than_python_shows_is_told_all_the_same(text):
    with pytest.raises(RecordError, match="too deep to show"):
        sa1b.parse_record(text.encode())


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("score", DEEP, "too deep to show"),
        ("score", "9" * 400, "it must be a finite number"),
        ("bbox", f"[{'9' * 400}, 0, 1, 1]", "it must be a finite number"),
        ("segmentation", "[[[1, 2], [3, 4], [5, 6], [7, 8], [9, 1], [2, 3]]]", "values of type list came"),
        ("segmentation", "[[[], [], [], [], [], []]]", "values of type list came"),
        ("segmentation", '[["1", "2", "3", "4", "5", "6"]]', "values of type str came"),
        ("segmentation", "[[0, 0, 1, 0, 1, null]]", "values of type NoneType, int came"),
    ],
)
def test_values_that_no_number_can_be_made_of_cost_one_annotation(key, value, reason):
    good = {"segmentation": {"size": [4, 5], "counts": [3, 17]}}
    slices = [
        json.dumps(good).encode(),
        json.dumps(good | {key: 0}).replace(f'"{key}": 0', f'"{key}": {value}').encode(),
    ]
    record = coco.parse_annotations(slices, [0, 1], RecordImage("1", 5, 4, "a.jpg"), {})
    assert len(record.annotations.runs) == 1
    ((index, error),) = record.problems
    assert index == 1
    assert reason in str(error)


@pytest.mark.soak
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("guide", ["damage", "atheris"])
def test_long_fuzzing_finds_nothing(name, guide, tmp_path):
    """Kernels check the bounds of every array here; `damage` is without coverage, atheris is guided by it."""
    flags = []
    if guide == "atheris":
        pytest.importorskip(
            "atheris", reason="atheris is not installed (pip install atheris): fuzzing without coverage only"
        )
        flags = ["--atheris"]
    root = Path(__file__).parents[2]
    environment = os.environ | {
        "PYTHONPATH": str(root),
        "FUZZ_FOUND": str(tmp_path),
        "NUMBA_BOUNDSCHECK": "1",
        "NUMBA_CACHE_DIR": str(tmp_path / "kernels"),
    }
    seed = str(random.randrange(2**31))
    command = [sys.executable, str(Path(__file__).with_name("fuzzing.py")), name, str(SOAK_S), seed, *flags]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3 * SOAK_S)
    assert done.returncode == 0, f"seed {seed}, inputs in {tmp_path}:\n{done.stderr[-3000:]}"
