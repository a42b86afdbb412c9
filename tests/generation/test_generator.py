"""Kept masks against the official generator's, and the ledger of all candidates."""

import dataclasses

import numpy as np
import pytest
import torch
from networks import liven, picture
from official import assert_identical, official_masks
from segment_anything import build_sam_vit_b

from curation.errors import CurationError, InputError
from curation.generation.generator import generate_image
from curation.generation.ledger import Fate, Pass
from curation.generation.presets import GenerationSettings
from curation.generation.segmenters.sam import SamSegmenter
from curation.masks import areas, decode, encode, to_strings


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"stability_offset": 1.5},
        {"box_nms_threshold": 0.3},
        {"box_nms_threshold": 1.0},
        {"predicted_iou_threshold": 0.0},
        {"stability_threshold": 0.0},
        {"predicted_iou_threshold": 0.0, "stability_threshold": 0.0},
        {"predicted_iou_threshold": 100.0},
        {"points_per_side": 1, "predicted_iou_threshold": 0.0},
        {"points_per_side": 3, "predicted_iou_threshold": 0.0},
        {"points_per_side": 5},
        {"min_region_px": 30},
        {"min_region_px": 100_000},
        {"min_region_px": 200, "predicted_iou_threshold": 0.0, "stability_threshold": 0.0},
        {"min_region_px": 60, "box_nms_threshold": 0.95},
        {"crop_layers": 1},
        {"crop_layers": 1, "crop_points_downscale": 2},
        {"crop_layers": 1, "crop_overlap_ratio": 0.0},
        {"crop_layers": 1, "crop_overlap_ratio": 0.8, "crop_nms_threshold": 0.2, "points_per_side": 6},
        {"crop_layers": 2, "crop_points_downscale": 2, "min_region_px": 30},
    ],
    ids=str,
)
def test_masks_are_the_official_ones(sam, segmenter, pixels, realistic, changes):
    settings = dataclasses.replace(realistic, **changes)
    assert_identical(generate_image(segmenter, pixels, settings), official_masks(sam, pixels, settings))


@pytest.mark.parametrize(("height", "width"), [(256, 256), (256, 100), (90, 400), (31, 47)])
def test_masks_are_the_official_ones_for_any_shape_of_image(sam, segmenter, realistic, height, width):
    pixels = picture(height, width, seed=height)
    assert_identical(generate_image(segmenter, pixels, realistic), official_masks(sam, pixels, realistic))


def test_masks_are_the_official_ones_on_given_points(sam, segmenter, pixels, realistic):
    grids = [np.random.default_rng(0).random((37, 2)), np.random.default_rng(1).random((5, 2))]
    settings = dataclasses.replace(realistic, crop_layers=1)
    ours = generate_image(segmenter, pixels, settings, point_grids=grids)
    assert_identical(ours, official_masks(sam, pixels, settings, point_grids=grids))


def encode_once(sam) -> None:
    """Let the encoder, which takes most of the time, remember its answer for as long as it is asked the same."""
    encode, asked = sam.image_encoder.forward, []

    def remembering(image: torch.Tensor) -> torch.Tensor:
        if not (asked and torch.equal(asked[0], image)):
            asked[:] = image, encode(image)
        return asked[1]

    sam.image_encoder.forward = remembering


@pytest.mark.soak
def test_masks_of_a_vit_b_are_the_official_ones():
    torch.manual_seed(3)
    sam = liven(build_sam_vit_b(), spread=0.1)
    encode_once(sam)
    pixels = picture(300, 400)
    segmenter = SamSegmenter(sam, "cpu")
    everything = GenerationSettings(points_per_side=4, predicted_iou_threshold=0, stability_threshold=0)
    ledger = generate_image(segmenter, pixels, everything).ledger
    median = np.median(ledger.predicted_iou)
    stability = np.nanquantile(ledger.stability_score[ledger.predicted_iou > median], 1 / 3)
    with torch.no_grad():
        sam.mask_decoder.iou_prediction_head.layers[-1].bias += 0.88 - float(median)
    settings = dataclasses.replace(
        everything, predicted_iou_threshold=0.88, stability_threshold=float(stability), box_nms_threshold=1.0
    )
    ours = generate_image(segmenter, pixels, settings)
    assert 1 < len(ours.kept) <= len(ledger) / 3
    assert_identical(ours, official_masks(sam, pixels, settings))


def test_cuts_made_on_the_device_give_the_same_masks(sam, segmenter, pixels, realistic):
    on_device = SamSegmenter(sam, "cpu", cuts_on_device=True)
    ours, theirs = (generate_image(s, pixels, realistic) for s in (on_device, segmenter))
    assert ours.masks == theirs.masks
    np.testing.assert_array_equal(ours.ledger.stability_score, theirs.ledger.stability_score)
    np.testing.assert_array_equal(ours.ledger.fate, theirs.ledger.fate)


# ------------------------------------------------------------------------------------------- the ledger


@pytest.fixture
def cropped(realistic) -> GenerationSettings:
    return dataclasses.replace(
        realistic, crop_layers=1, crop_points_downscale=2, crop_nms_threshold=0.3, min_region_px=40
    )


def test_every_candidate_has_one_fate(segmenter, pixels, cropped):
    candidates = generate_image(segmenter, pixels, cropped)
    ledger = candidates.ledger
    assert len(ledger) == 3 * (8 * 8 + 4 * 4 * 4)
    assert sorted(candidates.kept) == np.flatnonzero(ledger.fate == Fate.KEPT).tolist()
    assert len(candidates.masks) == len(candidates.embeddings) == len(candidates.kept) > 0
    assert set(np.unique(ledger.fate)) >= {Fate.KEPT, Fate.PREDICTED_IOU, Fate.STABILITY, Fate.DUPLICATE_OF}
    assert ledger.slot.tolist() == [0, 1, 2] * (len(ledger) // 3)


def test_the_first_filter_that_drops_a_candidate_is_named(segmenter, pixels, cropped):
    ledger = generate_image(segmenter, pixels, cropped).ledger
    passes_iou = ledger.predicted_iou > cropped.predicted_iou_threshold
    passes_stability = ledger.stability_score >= np.float32(cropped.stability_threshold)
    np.testing.assert_array_equal(ledger.fate == Fate.PREDICTED_IOU, ~passes_iou)
    np.testing.assert_array_equal(ledger.fate == Fate.STABILITY, passes_iou & ~passes_stability)
    np.testing.assert_array_equal(ledger.area_px >= 0, passes_iou)


def test_a_duplicate_names_a_better_candidate_that_passed_the_same_filters(segmenter, pixels, cropped):
    ledger = generate_image(segmenter, pixels, cropped).ledger
    duplicates = np.flatnonzero(ledger.fate == Fate.DUPLICATE_OF)
    better = ledger.duplicate_of[duplicates]
    in_crop = ledger.duplicate_pass[duplicates] == Pass.CROP
    assert in_crop.any()
    assert np.isin(ledger.fate[better], (Fate.KEPT, Fate.DUPLICATE_OF)).all()
    # What was suppressed by a candidate that fell itself, fell in an earlier pass.
    assert (
        (ledger.duplicate_pass[better] == Pass.NONE)
        | (ledger.duplicate_pass[better] > ledger.duplicate_pass[duplicates])
    ).all()
    assert (ledger.crop_number[better] == ledger.crop_number[duplicates])[in_crop].all()
    assert (ledger.predicted_iou[better] >= ledger.predicted_iou[duplicates])[in_crop].all()
    assert (ledger.duplicate_of[ledger.fate != Fate.DUPLICATE_OF] == -1).all()


@pytest.mark.parametrize("stage", [Pass.IMAGE, Pass.CLEANED], ids=lambda stage: stage.name)
def test_later_passes_note_their_duplicates_too(segmenter, pixels, realistic, stage):
    changes = {"crop_layers": 1, "crop_overlap_ratio": 0.9, "crop_nms_threshold": 0.05}
    if stage is Pass.CLEANED:
        changes = {"min_region_px": 200, "predicted_iou_threshold": 0.0, "stability_threshold": 0.0}
    ledger = generate_image(segmenter, pixels, dataclasses.replace(realistic, **changes)).ledger
    assert (ledger.duplicate_pass == stage).any()


def test_area_limits_drop_and_say_so(segmenter, pixels, realistic):
    settings = dataclasses.replace(realistic, min_area_px=200, max_area_share=0.3)
    ledger = generate_image(segmenter, pixels, settings).ledger
    kept = ledger.area_px[ledger.fate == Fate.KEPT]
    assert kept.min() >= 200
    assert kept.max() <= 0.3 * pixels[..., 0].size
    assert (ledger.area_px[ledger.fate == Fate.MIN_AREA] < 200).all()
    assert (ledger.area_px[ledger.fate == Fate.MAX_AREA] > 0.3 * pixels[..., 0].size).all()
    assert {Fate.MIN_AREA, Fate.MAX_AREA} <= set(ledger.fate)


def test_kept_runs_of_near_misses_replay_a_looser_threshold_exactly(segmenter, pixels, realistic):
    looser = dataclasses.replace(realistic, predicted_iou_threshold=realistic.predicted_iou_threshold - 0.2)
    strict = generate_image(segmenter, pixels, realistic, keep_rle_above=looser.predicted_iou_threshold)
    loose = generate_image(segmenter, pixels, looser)
    known = dict(zip(strict.kept.tolist(), to_strings(strict.masks), strict=True))
    known |= zip(strict.near_misses.tolist(), to_strings(strict.raw_masks(strict.near_misses)), strict=True)
    assert set(loose.kept) - set(strict.kept)
    assert [known[index] for index in loose.kept.tolist()] == to_strings(loose.masks)
    np.testing.assert_array_equal(strict.ledger.area_px, loose.ledger.area_px)


def test_a_cleaned_mask_keeps_its_raw_runs_on_request(segmenter, pixels, realistic):
    settings = dataclasses.replace(realistic, min_region_px=60)
    candidates = generate_image(segmenter, pixels, settings, keep_rle_above=-100.0)
    cleaned = candidates.kept[candidates.is_cleaned]
    assert len(cleaned)
    assert np.isin(cleaned, candidates.near_misses).all()
    assert areas(candidates.raw_masks(cleaned)).tolist() == candidates.ledger.area_px[cleaned].tolist()


def test_embedding_of_a_mask_is_the_mean_of_the_features_under_it(segmenter, pixels, realistic):
    candidates = generate_image(segmenter, pixels, realistic)
    features = segmenter.embed(pixels).features
    scale = 256 / 150  # the long side fills the network's square; a cell is 16 px of it
    index = int(np.argmax(areas(candidates.masks)))
    y, x = np.nonzero(decode(candidates.masks[index])[0])
    nearest = features[:, ((y + 0.5) * scale / 16).astype(int), ((x + 0.5) * scale / 16).astype(int)].mean(
        axis=1
    )
    np.testing.assert_allclose(candidates.embeddings[index], nearest, atol=0.02)


# ------------------------------------------------------------------------------------------ memory, errors


class ShortOfMemory(SamSegmenter):
    """Runs out of memory above a number of points."""

    limit = 2

    def decode(self, embedding, points_xy, labels):
        if len(points_xy) > self.limit:
            raise torch.OutOfMemoryError("no more memory")
        return super().decode(embedding, points_xy, labels)


def test_out_of_memory_halves_the_batch_and_says_so(sam, segmenter, pixels, realistic):
    notes = []
    short = ShortOfMemory(sam, "cpu")
    short.points_per_batch = 32
    candidates = generate_image(short, pixels, realistic, on_note=notes.append)
    assert [note.split("going on with ")[1] for note in notes] == ["16", "8", "4", "2"]
    assert short.points_per_batch == 2
    assert candidates.masks == generate_image(segmenter, pixels, realistic).masks


def test_out_of_memory_with_one_point_says_what_to_do(sam, pixels, realistic):
    short = ShortOfMemory(sam, "cpu")
    short.limit = 0
    with pytest.raises(CurationError, match=r"single point.*--device cpu"):
        generate_image(short, pixels, realistic, on_note=lambda note: None)


def test_an_image_too_small_for_its_crops_is_refused(segmenter, realistic):
    settings = dataclasses.replace(realistic, crop_layers=4)
    with pytest.raises(InputError, match="too small for 8 x 8 crops"):
        generate_image(segmenter, picture(9, 9), settings)


def test_more_candidates_than_an_image_can_number_are_refused(segmenter, pixels):
    with pytest.raises(InputError, match="131,072"):
        generate_image(segmenter, pixels, GenerationSettings(points_per_side=200, crop_layers=1))


def test_no_mask_kept_gives_empty_batches(segmenter, pixels, realistic):
    settings = dataclasses.replace(realistic, predicted_iou_threshold=100.0, crop_layers=1, min_region_px=5)
    candidates = generate_image(segmenter, pixels, settings)
    assert len(candidates.masks) == len(candidates.kept) == 0
    assert candidates.embeddings.shape == (0, 32)
    assert candidates.masks == encode(np.zeros((0, 120, 150), bool))
