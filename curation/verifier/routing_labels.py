"""Labelled masks that thresholds may be chosen on: verdicts on probability samples, and gold.

Verdicts given on purpose (where a person looked because a mask seemed bad) say nothing of other masks, so they are left
out. Masks that were corrected since are in: without them only the good ones would be left.

Scores are held-out ones: of a verifier's own images they come from the fold that left them out, and those of all other
masks from the whole, which learned from more. The promise takes the two to be alike; where a sample is judged after the
fit, on images that it did not learn from, nothing has to be taken so.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from curation import conditions
from curation.errors import InputError
from curation.lake import Lake
from curation.sampling import judged, response
from curation.verifier import routed
from curation.verifier.routed import Score
from curation.verifier.routing_bounds import Labelled

#: For which masks a promise holds: for images like those of the labels, or for the very masks that were sampled from.
POPULATIONS = ("images", "frame")
_VIEW = "calibration_masks"
_LABELLED = "(SELECT masks.* FROM masks SEMI JOIN calibration_ids USING (mask_id))"


@dataclass(frozen=True)
class Calibration:
    """n labelled masks with scores, on `n_images` images. `design` says where the labels are from and what the unit is,
    `left_out` in words what could not be used.
    """

    labelled: Labelled
    n_images: int
    design: str
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    """Labels of one sample, or of gold: (n,) each, weights 1 on average; `unit` is mask or image."""

    name: str
    mask_id: np.ndarray
    is_bad: np.ndarray
    weight: np.ndarray
    unit: str


def read(lake: Lake, score: Score, run_id: int | None, population: str) -> Calibration:
    """Labelled masks of those that are routed (`run_id`, or the newest runs), each with a score that its own label did
    not help to fit. Raises InputError for another population.
    """
    if population not in POPULATIONS:
        raise InputError(f"--population {population}: allowed are {', '.join(POPULATIONS)}")
    sources, left_out = _of_samples(lake, run_id)
    if population == "images":
        sources += _of_gold(lake, run_id)
    elif not sources:
        left_out.append("--population frame needs a judged sample of these masks (`curation sample draw`)")
    known, n_unscored = _scored(lake, score, run_id, sources)
    if n_unscored:
        left_out.append(f"{n_unscored:,} labelled masks without a held-out score")
    unit = "image" if population == "images" or any(s.unit == "image" for s in sources) else "mask"
    labelled, n_images = _labelled(sources, known, unit)
    whose = "these masks" if population == "frame" else "images like these"
    named = "; ".join(source.name for source in sources) or "no labels"
    return Calibration(labelled, n_images, f"for {whose}; {named}; {unit} as the unit", tuple(left_out))


def _of_samples(lake: Lake, run_id: int | None) -> tuple[list[_Source], list[str]]:
    """Verdicts on samples that speak for all masks that are routed, and why others do not."""
    samples = lake.query(
        """
        SELECT
            sample,
            any_value(design) AS design,
            any_value(frame_where) AS frame_where,
            any_value(frame_run_id) AS frame_run_id
        FROM samples
        SEMI JOIN (SELECT sample FROM settled_verdicts) AS judged USING (sample)
        GROUP BY sample
        ORDER BY sample
        """
    ).to_pylist()
    runs = set(
        lake.query(f"SELECT DISTINCT run_id FROM ({routed.sql('masks')})", {"run_id": run_id})[
            "run_id"
        ].to_pylist()
    )
    found, left_out = [], []
    for row in samples:
        name, of_run = row["sample"], row["frame_run_id"]
        if row["design"] == "purposive":
            left_out.append(f"sample {name}: drawn on purpose")
        elif row["frame_where"] is not None:
            left_out.append(f"sample {name}: only of masks of which {row['frame_where']}")
        elif of_run is not None and runs != {of_run}:
            left_out.append(f"sample {name}: of run {of_run} alone")
        else:
            found += _of_sample(lake, name)
    return found, left_out


def _of_sample(lake: Lake, name: str) -> list[_Source]:
    of = judged.read(lake, name)
    answers = response.answers(of.drawn, of.is_settled)
    if not len(answers.place):
        return []
    told = f"sample {name} ({of.drawn.design}, {len(answers.place):,} of {len(of.mask_id):,} judged)"
    if answers.covered_share < 1:
        told += (
            f", which speaks for {100 * answers.covered_share:.0f} % of the masks: small ones are judged last"
        )
    return [
        _Source(
            told,
            of.mask_id[answers.place],
            of.decision[answers.place] != "accept",
            answers.weight / answers.weight.mean(),
            "image" if of.drawn.design == "two_stage" else "mask",
        )
    ]


def _of_gold(lake: Lake, run_id: int | None) -> list[_Source]:
    """Gold tells of every mask of an image; images with gold are taken as a random part of all."""
    with_gold = f"SELECT mask_id FROM gold_matches WHERE mask_id IS NOT NULL AND mask_id IN (SELECT mask_id FROM ({routed.sql('masks')}))"
    ids = lake.query(with_gold, {"run_id": run_id}).column("mask_id").unique()
    if not len(ids):
        return []
    lake.con.register("calibration_ids", pa.table({"mask_id": ids}))
    conditions.create_view(lake.con, _VIEW, ["is_bad"], _LABELLED)
    rows = lake.query(
        f"SELECT mask_id, image_id, is_bad FROM {_VIEW} WHERE is_bad IS NOT NULL ORDER BY mask_id"
    )
    lake.con.unregister("calibration_ids")
    n_images = len(rows["image_id"].unique())
    mask_id, is_bad = rows["mask_id"].to_numpy(), rows["is_bad"].to_numpy(zero_copy_only=False)
    return (
        [_Source(f"gold on {n_images:,} images", mask_id, is_bad, np.ones(len(mask_id)), "image")]
        if n_images
        else []
    )


def _scored(lake: Lake, score: Score, run_id: int | None, sources: list[_Source]) -> tuple[pa.Table, int]:
    """mask_id, image_id, score of the routed labelled masks that have a held-out score, by mask; and how many have none."""
    ids = pa.chunked_array([pa.array(s.mask_id, pa.int64()) for s in sources], pa.int64()).unique()
    lake.con.register("calibration_ids", pa.table({"mask_id": ids}))
    if score.verifier is None:
        scores = routed.expression_sql(lake, score.expression, _LABELLED, _VIEW)
    else:
        scores = "SELECT mask_id, score::DOUBLE AS score FROM verifier_scores WHERE verifier = $verifier AND is_held_out"
    rows = lake.query(
        f"""
        SELECT mask_id, image_id, {routed.known("score")} AS score
        FROM ({routed.sql("masks")}) AS routed
        SEMI JOIN calibration_ids USING (mask_id)
        LEFT JOIN ({scores}) AS scores USING (mask_id)
        ORDER BY mask_id
        """,
        {"run_id": run_id} | score.params,
    )
    lake.con.unregister("calibration_ids")
    with_score = rows.filter(rows["score"].is_valid())
    return with_score, rows.num_rows - with_score.num_rows


def _labelled(sources: list[_Source], known: pa.Table, unit: str) -> tuple[Labelled, int]:
    """The labels of all sources in one: a source counts as much as it has masks."""
    ids, images, scores = (known[name].to_numpy() for name in ("mask_id", "image_id", "score"))
    mask_id = np.concatenate([s.mask_id for s in sources] or [np.zeros(0, np.int64)])
    is_bad = np.concatenate([s.is_bad for s in sources] or [np.zeros(0, bool)]).astype(bool)
    weight = np.concatenate([s.weight for s in sources] or [np.zeros(0)])
    is_known = np.isin(mask_id, ids)
    places = np.searchsorted(ids, mask_id[is_known])
    units = images[places] if unit == "image" else mask_id[is_known]
    _, number = np.unique(units, return_inverse=True)
    labelled = Labelled(scores[places], is_bad[is_known], weight[is_known], number)
    return labelled, len(np.unique(images[places]))
