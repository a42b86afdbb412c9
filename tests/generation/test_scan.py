"""The pass over a mask's logits, against NumPy, pycocotools and torch."""

import platform

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curation.generation.enlargement import Enlargement, Rule, centred_stretch, plan, torch_stretch
from curation.generation.scan import Scans, concatenate, enlarge, scan_enlarged, scan_fields
from curation.generation.segmenters.sam import Sizes, enlargement_of_torch
from curation.masks import Runs, encode

CUTS = (-1.0, 0.0, 1.0)
SIDES = st.integers(1, 20)
ON_CUTS = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0])
NEAR_CUTS = st.sampled_from(
    [np.nextafter(np.float32(cut), np.float32(to)).item() for cut in CUTS for to in (-9, 9)]
)
TORCH_RULES = [rule for rule in Rule if rule != Rule.BETWEEN]
ANYTHING = st.sampled_from([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45])


def assert_same(ours: Scans, theirs: Scans) -> None:
    np.testing.assert_array_equal(ours.counts, theirs.counts)
    np.testing.assert_array_equal(ours.boxes_xyxy, theirs.boxes_xyxy)
    for k in range(len(theirs)):
        np.testing.assert_array_equal(ours.runs(k, 0, 0, 2000, 2000), theirs.runs(k, 0, 0, 2000, 2000))


def scan_field(field: np.ndarray, cuts: tuple[float, float, float]) -> Scans:
    return scan_fields(field[None], cuts)


def scan_one(logits: np.ndarray, enlargement: Enlargement, cuts: tuple[float, float, float]) -> Scans:
    return scan_enlarged(logits[None], np.array([0]), enlargement, cuts)


@settings(max_examples=200, deadline=None)
@given(
    field=st.tuples(SIDES, SIDES).flatmap(lambda shape: hnp.arrays(np.float32, shape, elements=ON_CUTS)),
    margins=st.tuples(*[st.integers(0, 3)] * 4),
)
def test_scan_counts_boxes_and_encodes(field, margins):
    left, right, top, bottom = margins
    scan = scan_field(field, CUTS)
    assert scan.counts.tolist() == [[(field > cut).sum() for cut in CUTS]]
    y, x = np.nonzero(field > 0)
    box = [x.min(), y.min(), x.max(), y.max()] if len(x) else [0, 0, 0, 0]
    assert scan.boxes_xyxy.tolist() == [box]
    whole = np.pad(field > 0, ((top, bottom), (left, right)))
    counts = scan.runs(0, left, top, *whole.shape)
    assert Runs(*whole.shape, counts, np.array([0, len(counts)])) == encode(whole[None])


@pytest.mark.parametrize("value", [-5.0, 5.0])
def test_masks_without_an_edge(value):
    counts = scan_field(np.full((6, 9), value, np.float32), CUTS).runs(0, 0, 0, 6, 9)
    assert counts.tolist() == ([0, 54] if value > 0 else [54])


def test_a_mask_with_more_edges_than_room_was_made_for():
    y, x = np.mgrid[:300, :200]
    field = np.where((y + x) % 2, 1, -1).astype(np.float32)
    counts = scan_field(field, CUTS).runs(0, 0, 0, 300, 200)
    assert Runs(300, 200, counts, np.array([0, len(counts)])) == encode(field[None] > 0)


def test_levels_compare_as_logits_do():
    field = np.random.default_rng(1).normal(size=(20, 31)).astype(np.float32)
    levels = sum((field > cut).astype(np.uint8) for cut in CUTS)
    assert_same(scan_field(levels, (0, 1, 2)), scan_field(field, CUTS))


def test_scans_of_many_masks_are_those_of_each_in_its_place():
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 2, (5, 8, 8)).astype(np.float32)
    logits[2] = -9.0
    enlargement, chosen = directly((8, 8), (40, 50)), np.array([4, 2, 0])
    together = scan_enlarged(logits, chosen, enlargement, CUTS)
    assert_same(together, scan_fields(np.array([enlarge(logits[k], enlargement) for k in chosen]), CUTS))
    assert_same(together, concatenate(scan_one(logits[k], enlargement, CUTS) for k in chosen))
    assert len(scan_enlarged(logits, chosen[:0], enlargement, CUTS)) == 0


# ------------------------------------------------------------------------------------------- enlargements


def as_sam(rule: Rule, low: tuple[int, int], inside: tuple[int, int], crop: tuple[int, int]) -> Enlargement:
    rows, columns = (
        [
            torch_stretch(low[axis], 4 * low[axis], rule).until(inside[axis]),
            torch_stretch(inside[axis], crop[axis], rule),
        ]
        for axis in (0, 1)
    )
    return plan(rule, rows, columns)


def directly(low: tuple[int, int], crop: tuple[int, int]) -> Enlargement:
    return plan(Rule.BETWEEN, [centred_stretch(low[0], crop[0])], [centred_stretch(low[1], crop[1])])


@st.composite
def enlargements(draw) -> tuple[Enlargement, tuple[int, int]]:
    """An enlargement in one or two steps, narrower, taller or smaller than its logits, and the logits' size."""
    low, crop = draw(st.tuples(SIDES, SIDES)), draw(st.tuples(st.integers(1, 150), st.integers(1, 150)))
    if draw(st.booleans()):
        return directly(low, crop), low
    inside = tuple(draw(st.integers(1, 4 * side)) for side in low)
    return as_sam(draw(st.sampled_from(TORCH_RULES)), low, inside, crop), low


@settings(max_examples=300, deadline=None)
@given(
    data=st.data(),
    chosen=enlargements(),
    elements=st.sampled_from([ON_CUTS, ON_CUTS | NEAR_CUTS, ON_CUTS | ANYTHING]),
)
def test_a_scan_sees_what_the_enlarged_field_has(data, chosen, elements):
    enlargement, low = chosen
    logits = data.draw(hnp.arrays(np.float32, low, elements=elements, fill=ON_CUTS))
    with np.errstate(all="ignore"):
        assert_same(scan_one(logits, enlargement, CUTS), scan_field(enlarge(logits, enlargement), CUTS))


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    blobs=st.integers(0, 4),
    height=st.integers(1, 400),
    width=st.integers(1, 400),
    offset=st.sampled_from([0.0, 1.0, 5.0]),
)
def test_a_scan_of_blobs_sees_what_the_enlarged_field_has(seed, blobs, height, width, offset):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :64]
    logits = np.full((64, 64), -8.0)
    for centre_y, centre_x, radius in rng.uniform(0, 64, (blobs, 3)):
        logits = np.maximum(logits, radius / 2 - np.hypot(y - centre_y, x - centre_x))
    logits = (logits + rng.normal(0, 0.1, logits.shape)).astype(np.float32)
    long = 256 / max(height, width)
    inside = max(1, int(height * long + 0.5)), max(1, int(width * long + 0.5))
    cuts = (-offset, 0.0, offset)
    for enlargement in (
        as_sam(Rule.FUSED, (64, 64), inside, (height, width)),
        directly((64, 64), (height, width)),
    ):
        assert_same(scan_one(logits, enlargement, cuts), scan_field(enlarge(logits, enlargement), cuts))


@settings(max_examples=100, deadline=None)
@given(low=st.tuples(SIDES, SIDES), crop=st.tuples(st.integers(1, 90), st.integers(1, 90)))
def test_one_step_lies_between_neighbours_row_by_row(low, crop):
    logits = np.random.default_rng(0).normal(size=low).astype(np.float32)
    places = [np.maximum((np.arange(n) + 0.5) * m / n - 0.5, 0.0) for m, n in zip(low, crop, strict=True)]
    before = [place.astype(int) for place in places]
    after = [np.minimum(k + 1, m - 1) for k, m in zip(before, low, strict=True)]
    down, along = ((place - k).astype(np.float32) for place, k in zip(places, before, strict=True))
    rows = logits[before[0]] + (logits[after[0]] - logits[before[0]]) * down[:, None]
    field = rows[:, before[1]] + (rows[:, after[1]] - rows[:, before[1]]) * along
    np.testing.assert_array_equal(enlarge(logits, directly(low, crop)), field)


@pytest.fixture
def torch_threads():
    """Sets how many threads torch may use; after the test it is as before."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="elsewhere torch may follow another rule"
)
@pytest.mark.parametrize("n_threads", [1, 2])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(crop=st.tuples(st.integers(1, 500), st.integers(1, 500)))
@example(crop=(75, 300))  # 64 rows inside of the square, as many as the logits have
@example(crop=(64, 255))
@example(crop=(1, 128))
@example(crop=(2, 1))
def test_two_steps_have_the_bits_of_the_official_enlargement(torch_threads, n_threads, crop):
    torch_threads(n_threads)
    inside = tuple(int(side * 256 / max(crop) + 0.5) for side in crop)
    assume(min(inside) >= 1)
    logits = torch.from_numpy(
        np.random.default_rng(sum(crop)).normal(0, 8, (5, 3, 64, 64)).astype(np.float32)
    )
    # As Sam.postprocess_masks does it for a whole batch of prompts.
    square = torch.nn.functional.interpolate(logits, (256, 256), mode="bilinear", align_corners=False)
    cut = square[..., : inside[0], : inside[1]]
    theirs = torch.nn.functional.interpolate(cut, crop, mode="bilinear", align_corners=False)
    enlargement = enlargement_of_torch(Sizes((64, 64), 256, inside, crop), n_threads)
    if enlargement is None:
        # With several threads torch takes its two ways one after the other for fields this small; it serves there itself.
        assert n_threads > 1
        assert sum(crop) <= 128
        return
    for prompt, slot in ((0, 0), (3, 1), (4, 2)):
        ours = enlarge(logits[prompt, slot].numpy(), enlargement)
        np.testing.assert_array_equal(ours, theirs[prompt, slot].numpy())
