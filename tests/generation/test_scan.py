"""The pass over a mask's logits, against NumPy and pycocotools."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curation.generation.scan import Workspace
from curation.masks import Runs, encode

SIDES = st.integers(1, 20)
LOGITS = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0])


@settings(max_examples=200, deadline=None)
@given(
    field=st.tuples(SIDES, SIDES).flatmap(lambda shape: hnp.arrays(np.float32, shape, elements=LOGITS)),
    margins=st.tuples(*[st.integers(0, 3)] * 4),
)
def test_scan_counts_boxes_and_encodes(field, margins):
    left, right, top, bottom = margins
    height, width = field.shape
    workspace = Workspace(height, width)
    scan = workspace.scan(field, -1.0, 0.0, 1.0)
    assert (scan.n_low, scan.area_px, scan.n_high) == tuple((field > cut).sum() for cut in (-1, 0, 1))
    y, x = np.nonzero(field > 0)
    box = (x.min(), y.min(), x.max(), y.max()) if len(x) else (0, 0, 0, 0)
    assert (scan.x_min, scan.y_min, scan.x_max, scan.y_max) == box
    whole = np.pad(field > 0, ((top, bottom), (left, right)))
    counts = workspace.runs(scan, left, top, *whole.shape)
    assert Runs(*whole.shape, counts, np.array([0, len(counts)])) == encode(whole[None])


@pytest.mark.parametrize("value", [-5.0, 5.0])
def test_masks_without_an_edge(value):
    workspace = Workspace(6, 9)
    scan = workspace.scan(np.full((6, 9), value, np.float32), -1.0, 0.0, 1.0)
    counts = workspace.runs(scan, 0, 0, 6, 9)
    assert counts.tolist() == ([0, 54] if value > 0 else [54])


def test_a_workspace_serves_one_mask_after_another():
    rng = np.random.default_rng(0)
    workspace = Workspace(33, 50)
    for _ in range(5):
        field = rng.normal(size=(33, 50)).astype(np.float32)
        counts = workspace.runs(workspace.scan(field, -1.0, 0.0, 1.0), 0, 0, 33, 50)
        assert Runs(33, 50, counts, np.array([0, len(counts)])) == encode(field[None] > 0)


def test_levels_compare_as_logits_do():
    field = np.random.default_rng(1).normal(size=(20, 31)).astype(np.float32)
    levels = sum((field > cut).astype(np.uint8) for cut in (-0.5, 0.0, 0.5))
    workspace = Workspace(20, 31)
    assert workspace.scan(levels, 0, 1, 2) == workspace.scan(field, -0.5, 0.0, 0.5)
