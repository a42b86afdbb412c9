"""The card of a verifier: how well its held-out scores tell good masks from bad ones, against people, gold and single scores.

Only scores count that come from a model which learned nothing from the mask's image. Every figure has an interval over
images (`figures`), the images and masks behind it, and the design.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from curation.errors import InputError
from curation.lake import Lake
from curation.settings import VERIFIER
from curation.verifier import figures, judged, stored
from curation.verifier.figures import Estimate
from curation.verifier.judged import HeldOut, Judged

ROWS = pa.schema(
    [
        ("figure", pa.string()),
        ("of", pa.string()),
        ("slice_by", pa.string()),
        ("slice", pa.string()),
        ("estimate", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("n_masks", pa.int64()),
        ("n_images", pa.int64()),
        ("n_bad", pa.int64()),
        ("design", pa.string()),
    ]
)
#: Single scores that the verifier must beat.
ALONE = ("predicted_iou", "stability_score")
#: Correlation of a verifier with people that the seeds report, and what of; without intervals.
SEEDS_CORRELATION = {"precision": 0.89, "recall": 0.86, "overall": 0.92}
#: Accuracy in per cent of one person held out against the majority of the rest, and of the AI verifier (SAM 3): masks.
SAM3_ACCURACY = {"person": 0.750, "verifier": 0.777}
#: What `of` names besides the verifier and the single scores.
OF_VERIFIER = "verifier"


@dataclass(frozen=True)
class Card:
    """All that a card shows. `facts`: the verifier's row without its model; `rows`: ROWS.

    `curves`: points of ROC and precision-recall for each score (of, threshold, good_accepted, bad_accepted, precision,
    bad_precision); `bins`: calibration (mean_score, good_share, n_masks). `notes`: what cannot be told, and why.
    """

    facts: dict
    rows: pa.Table
    curves: pa.Table
    bins: pa.Table
    notes: list[str]


def card(lake: Lake, name: str, run_id: int | None = None) -> Card:
    """The card of a verifier, on judged masks of one run or of all.

    Raises LakeError where there is no such verifier, InputError where it scored no judged mask.
    """
    row = stored.get(lake, name)
    found = judged.read(lake, name, run_id)
    if not len(found):
        of = "" if run_id is None else f" of run {run_id}"
        raise InputError(
            f"verifier {name!r} has scored no mask{of} that people or gold judged: `curation verifier score {name}` scores, "
            "`curation app` and `curation gold match` judge"
        )
    design = _design(lake, name, found)
    said = judged.opinions(lake, name, run_id)
    learned_images = stored.images(row["model"])
    rows = [
        *_overall(found, design),
        *_against_single_scores(found, design),
        *_correlations(found, design),
        *_people(said, found, design),
        *_slices(found, design),
        *_ageing(found, row, learned_images, design),
    ]
    return Card(
        facts={key: value for key, value in row.items() if key != "model"},
        rows=pa.Table.from_pylist(rows, schema=ROWS),
        curves=_curves(found),
        bins=_bins(found),
        notes=_notes(said, found, row),
    )


def _overall(found: Judged, design: str) -> Iterator[dict]:
    yield from _of_part(found, design, None, None)
    precision = {
        "average_precision_good": figures.average_precision(found.score, found.is_good),
        "average_precision_bad": figures.average_precision(-found.score, ~found.is_good),
    }
    for figure, estimate in figures.estimates(precision, found.image_id).items():
        yield _row(figure, OF_VERIFIER, estimate, found, np.ones(len(found), bool), design)


def _of_part(
    found: Judged, design: str, slice_by: str | None, slice_: str | None, chosen: np.ndarray | None = None
) -> Iterator[dict]:
    """The figures that every part has: AUC, Brier score, accuracy, share of good masks, mean score, calibration error."""
    chosen = np.ones(len(found), bool) if chosen is None else chosen
    score, is_good, image_id = found.score[chosen], found.is_good[chosen], found.image_id[chosen]
    asked = {
        "roc_auc": figures.auc(score, is_good),
        "brier": figures.mean((score - is_good) ** 2),
        "accuracy": figures.mean((score >= VERIFIER.good_from) == is_good),
        "good_share": figures.mean(is_good),
        "mean_score": figures.mean(score),
    }
    told = figures.estimates(asked, image_id)
    error = figures.calibration_error(score, is_good, image_id)
    told |= {"ece": error.ece, "ece_by_chance": Estimate(error.by_chance)}
    for figure, estimate in told.items():
        yield _row(figure, OF_VERIFIER, estimate, found, chosen, design, slice_by, slice_)


def _against_single_scores(found: Judged, design: str) -> Iterator[dict]:
    """Each single score on the masks that have it, and what the verifier is better by there, paired."""
    for name in ALONE:
        alone = getattr(found, name)
        chosen = ~np.isnan(alone)
        if not chosen.any():
            continue
        alone, score, is_good = alone[chosen], found.score[chosen], found.is_good[chosen]
        ours, theirs = figures.auc(score, is_good), figures.auc(alone, is_good)
        ours_bad = figures.average_precision(-score, ~is_good)
        theirs_bad = figures.average_precision(-alone, ~is_good)
        asked = {
            ("roc_auc", name): theirs,
            ("average_precision_good", name): figures.average_precision(alone, is_good),
            ("average_precision_bad", name): theirs_bad,
            ("roc_auc_gain", name): figures.difference(ours, theirs),
            ("average_precision_bad_gain", name): figures.difference(ours_bad, theirs_bad),
        }
        for (figure, of), estimate in figures.estimates(asked, found.image_id[chosen]).items():
            yield _row(figure, of, estimate, found, chosen, design)


def _correlations(found: Judged, design: str) -> Iterator[dict]:
    """With quality as gold measures it (best IoU) and as people rate it (1 to 10), of the verifier and of predicted IoU."""
    for quality in ("gold_iou", "rating"):
        for of, score in ((OF_VERIFIER, found.score), ("predicted_iou", found.predicted_iou)):
            known = getattr(found, quality)
            chosen = ~np.isnan(known) & ~np.isnan(score)
            if not chosen.any():
                continue
            asked = {
                f"spearman_{quality}": figures.spearman(score[chosen], known[chosen]),
                f"pearson_{quality}": figures.pearson(score[chosen], known[chosen]),
            }
            for figure, estimate in figures.estimates(asked, found.image_id[chosen]).items():
                yield _row(figure, of, estimate, found, chosen, design)


def _people(said: list[list[dict]], found: Judged, design: str) -> Iterator[dict]:
    """Accuracy against what people settled, and beside a person's own against the majority of the others."""
    settled = found.source == "verdict"
    if settled.any():
        right = (found.score[settled] >= VERIFIER.good_from) == found.is_good[settled]
        told = figures.estimates({"a": figures.mean(right)}, found.image_id[settled])["a"]
        yield _row("accuracy_settled", OF_VERIFIER, told, found, settled, design)
    pairs, least_others = _held_out(said)
    if pairs is None:
        return
    of_person = pairs.of_person == pairs.of_rest
    of_verifier = (pairs.score >= VERIFIER.good_from) == pairs.of_rest
    person, verifier = figures.mean(of_person), figures.mean(of_verifier)
    asked = {"person": person, OF_VERIFIER: verifier, "gain": figures.difference(verifier, person)}
    rest = "the majority of the others" if least_others > 1 else "one other person"
    told = figures.estimates(asked, pairs.image_id)
    for of, estimate in told.items():
        yield {
            "figure": "accuracy_held_out",
            "of": of,
            "estimate": estimate.estimate,
            "low": estimate.low,
            "high": estimate.high,
            "n_masks": len(np.unique(pairs.mask_id)),
            "n_images": len(np.unique(pairs.image_id)),
            "n_bad": len(np.unique(pairs.mask_id[~pairs.of_rest])),
            "design": f"each rater held out against {rest}, {len(pairs.mask_id):,} opinions; image as cluster",
        }


def _held_out(said: list[list[dict]]) -> tuple[HeldOut | None, int]:
    """Raters against a majority of two or more others, else against one other; None where no two judged one mask."""
    for least_others in (2, 1):
        pairs = judged.held_out(said, least_others)
        if len(pairs.mask_id):
            return pairs, least_others
    return None, 0


def _slices(found: Judged, design: str) -> Iterator[dict]:
    for by in judged.SLICES:
        for name, chosen in found.parts(by):
            yield from _of_part(found, design, by, name, chosen)


def _ageing(found: Judged, row: dict, learned_images: np.ndarray, design: str) -> Iterator[dict]:
    """From round to round: by cycle, on images that it never saw, and on verdicts since it was fitted."""
    for stage, cycle in sorted({*zip(found.stage.tolist(), found.cycle.tolist(), strict=True)}):
        chosen = (found.stage == stage) & (found.cycle == cycle)
        yield from _of_part(found, design, "cycle", f"{stage}, cycle {cycle}", chosen)
    is_known = np.isin(found.image_id, learned_images)
    for name, chosen in (("learned from, by the fold without it", is_known), ("new", ~is_known)):
        if chosen.any():
            yield from _of_part(found, design, "image", name, chosen)
    since = found.judged_at >= np.datetime64(row["fitted_at"].replace(tzinfo=None), "us")
    before = ~since & ~np.isnat(found.judged_at)
    for name, chosen in (("before the fit", before), ("since the fit", since)):
        if chosen.any():
            yield from _of_part(found, design, "verdict", name, chosen)


def _curves(found: Judged) -> pa.Table:
    parts = []
    for of, score in ((OF_VERIFIER, found.score), *((name, getattr(found, name)) for name in ALONE)):
        known = ~np.isnan(score)
        if known.any():
            points = figures.curve(score[known], found.is_good[known])
            parts.append(pa.table({"of": [of] * len(points["threshold"]), **points}))
    return pa.concat_tables(parts)


def _bins(found: Judged) -> pa.Table:
    error = figures.calibration_error(found.score, found.is_good, found.image_id)
    filled = error.n_masks > 0
    return pa.table(
        {
            "mean_score": error.mean_score[filled],
            "good_share": error.good_share[filled],
            "n_masks": error.n_masks[filled].astype(np.int64),
        }
    )


def _notes(said: list[list[dict]], found: Judged, row: dict) -> list[str]:
    notes = []
    missing = json.loads(row["settings"]).get("missing", {})
    lacking = [f"{group} for {share:.0%}" for group, share in missing.items() if share > 0]
    if lacking:
        notes.append(f"Not known of the masks that it learned from: {', '.join(lacking)} of them.")
    for score in ALONE:
        n_without = int(np.isnan(getattr(found, score)).sum())
        if n_without:
            notes.append(
                f"{n_without:,} of {len(found):,} masks have no {score}: that is compared on the others alone."
            )
    if np.isnan(found.rating).all():
        notes.append("Correlation with people's ratings: cannot tell, no judged mask has a rating.")
    if np.isnan(found.gold_iou).all():
        notes.append("Correlation with gold: cannot tell, no judged mask is matched with gold.")
    if _held_out(said)[0] is None:
        notes.append("A person's own accuracy: cannot tell, no mask was judged by two people or more.")
    n_cycles = len({*zip(found.stage.tolist(), found.cycle.tolist(), strict=True)})
    if n_cycles == 1:
        notes.append("How it ages: cannot tell yet, all judged masks are of one cycle.")
    return notes


def _design(lake: Lake, name: str, found: Judged) -> str:
    sources, counts = np.unique(found.source.astype(str), return_counts=True)
    told = ", ".join(f"{count:,} by {source}" for source, count in zip(sources, counts, strict=True))
    designs = judged.designs(lake, name) if "verdict" in sources else []
    drawn = f"; verdicts from samples drawn {', '.join(designs)}, unweighted" if designs else ""
    return f"judged masks with held-out scores ({told}){drawn}; image as cluster"


def _row(
    figure: str,
    of: str,
    told: Estimate,
    found: Judged,
    chosen: np.ndarray,
    design: str,
    slice_by: str | None = None,
    slice_: str | None = None,
) -> dict:
    return {
        "figure": figure,
        "of": of,
        "slice_by": slice_by,
        "slice": slice_,
        "estimate": told.estimate,
        "low": told.low,
        "high": told.high,
        "n_masks": int(chosen.sum()),
        "n_images": len(np.unique(found.image_id[chosen])),
        "n_bad": int((~found.is_good[chosen]).sum()),
        "design": design,
    }
