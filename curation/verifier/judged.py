"""What a card looks at: the masks that a verifier scored held out and people or gold judged, and what single people say."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa

from curation import conditions
from curation.lake import Lake

VIEW = "card_masks"
#: What masks are parted by -> its name {place, name} in SQL. Bands are those of the reports.
SLICES = {
    "size": "size_band(masks.area_px)",
    "border": "border_band(masks.bbox_xywh, masks.width_px, masks.height_px)",
    "crowdedness": "crowdedness_band(coverage.crowdedness)",
    "score": "score_band(masks.predicted_iou)",
    "stage": "{'place': 1, 'name': masks.stage}",
    "label": "{'place': 1, 'name': masks.label_source}",
}
_JUDGED = f"""
    SELECT
        masks.run_id, masks.mask_id, masks.image_id, masks.stage, masks.cycle, masks.is_bad, masks.label_source,
        masks.predicted_iou, masks.stability_score, masks.gold_iou, masks.verdict_rating, scores.score, last.judged_at,
        {", ".join(f"{sql} AS slice_{name}" for name, sql in SLICES.items())}
    FROM {VIEW} AS masks
    INNER JOIN verifier_scores AS scores USING (run_id, mask_id)
    LEFT JOIN image_coverage AS coverage
        ON coverage.run_id = masks.run_id AND coverage.image_id = masks.image_id
    LEFT JOIN (SELECT mask_id, max(committed_at) AS judged_at FROM current_verdicts GROUP BY mask_id) AS last
        ON last.mask_id = masks.mask_id
    WHERE
        scores.verifier = $verifier
        AND scores.is_held_out
        AND masks.is_bad IS NOT NULL
        AND ($run_id IS NULL OR masks.run_id = $run_id)
    ORDER BY masks.mask_id
"""
_OPINIONS = """
    SELECT mask_id, image_id, rater, decision = 'accept' AS is_good, score
    FROM current_verdicts AS verdicts
    INNER JOIN (
        SELECT mask_id, score FROM verifier_scores WHERE verifier = $verifier AND is_held_out
    ) AS scores USING (mask_id)
    WHERE
        purpose IN ('review', 'double_review')
        AND decision IN ('accept', 'fix', 'reject')
        AND sample IS NOT NULL
        AND ($run_id IS NULL OR run_id = $run_id)
    -- One opinion of a person on a mask, however many samples hold it.
    QUALIFY row_number() OVER (PARTITION BY mask_id, rater ORDER BY committed_at DESC, verdict_id DESC) = 1
    ORDER BY mask_id, rater
"""
_DESIGNS = """
    SELECT DISTINCT design
    FROM samples
    INNER JOIN (SELECT sample, mask_id FROM settled_verdicts WHERE is_accepted IS NOT NULL) AS judged
        USING (sample, mask_id)
    SEMI JOIN verifier_scores AS scores ON scores.mask_id = samples.mask_id AND scores.verifier = $verifier
    ORDER BY design
"""


@dataclass(frozen=True)
class Judged:
    """N judged masks with held-out scores, sorted by id; arrays (N,), NaN for what is not known.

    `slices`: name of each mask's part, None where it has none, by what it is parted by.
    """

    mask_id: np.ndarray
    image_id: np.ndarray
    stage: np.ndarray
    cycle: np.ndarray
    is_good: np.ndarray
    source: np.ndarray
    score: np.ndarray
    predicted_iou: np.ndarray
    stability_score: np.ndarray
    gold_iou: np.ndarray
    rating: np.ndarray
    judged_at: np.ndarray
    slices: dict[str, pa.Array]

    def __len__(self) -> int:
        return len(self.mask_id)

    def parts(self, by: str) -> Iterator[tuple[str, np.ndarray]]:
        """Each part of a slicing in its order, with the masks in it, bool (N,)."""
        found = self.slices[by]
        names = {(row["place"], row["name"]) for row in found.to_pylist() if row and row["name"] is not None}
        name_of_mask = np.array([row["name"] if row else None for row in found.to_pylist()], object)
        for _, name in sorted(names):
            yield name, name_of_mask == name


@dataclass(frozen=True)
class HeldOut:
    """P pairs of a mask and one of its raters, where the other raters have a majority; arrays (P,).

    `of_person`, `of_verifier` and `of_rest`: whether the rater, the verifier's score and that majority call it good.
    """

    image_id: np.ndarray
    mask_id: np.ndarray
    of_person: np.ndarray
    score: np.ndarray
    of_rest: np.ndarray


def read(lake: Lake, verifier: str, run_id: int | None = None) -> Judged:
    """Judged masks of a verifier, of one run or of all; none where nothing is judged or scored."""
    conditions.create_view(lake.con, VIEW, [_JUDGED])
    rows = lake.query(_JUDGED, {"verifier": verifier, "run_id": run_id})
    objects = {name: rows[name].to_numpy() for name in ("mask_id", "image_id", "cycle", "judged_at")}
    texts = {name: np.array(rows[name].to_pylist(), object) for name in ("stage", "label_source")}
    numbers = {
        name: rows[name].cast(pa.float64()).fill_null(float("nan")).to_numpy()
        for name in ("score", "predicted_iou", "stability_score", "gold_iou", "verdict_rating")
    }
    return Judged(
        mask_id=objects["mask_id"],
        image_id=objects["image_id"],
        stage=texts["stage"],
        cycle=objects["cycle"],
        is_good=~rows["is_bad"].to_numpy().astype(bool),
        source=texts["label_source"],
        score=numbers["score"],
        predicted_iou=numbers["predicted_iou"],
        stability_score=numbers["stability_score"],
        gold_iou=numbers["gold_iou"],
        rating=numbers["verdict_rating"],
        judged_at=objects["judged_at"],
        slices={name: rows[f"slice_{name}"].combine_chunks() for name in SLICES},
    )


def opinions(lake: Lake, verifier: str, run_id: int | None = None) -> list[list[dict]]:
    """What people say of each mask that the verifier scored held out, a list a mask: image_id, mask_id, rater, is_good, score."""
    rows = lake.query(_OPINIONS, {"verifier": verifier, "run_id": run_id}).to_pylist()
    return [list(of_mask) for _, of_mask in groupby(rows, key=lambda row: row["mask_id"])]


def held_out(said: list[list[dict]], least_others: int) -> HeldOut:
    """Each rater of a mask against the majority of at least `least_others` others; a tie among them is no majority."""
    pairs = []
    for of_mask in said:
        n_good = sum(row["is_good"] for row in of_mask)
        for row in of_mask:
            n_others, n_good_others = len(of_mask) - 1, n_good - row["is_good"]
            if n_others >= least_others and 2 * n_good_others != n_others:
                of_rest = 2 * n_good_others > n_others
                pairs.append((row["image_id"], row["mask_id"], row["is_good"], row["score"], of_rest))
    columns = list(zip(*pairs, strict=True)) or [()] * 5
    kinds = (np.int64, np.int64, bool, np.float64, bool)
    return HeldOut(*(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)))


def designs(lake: Lake, verifier: str) -> list[str]:
    """Designs of the samples whose verdicts are behind the labels; none where only gold is."""
    return lake.query(_DESIGNS, {"verifier": verifier})["design"].to_pylist()
