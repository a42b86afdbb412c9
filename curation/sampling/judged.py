"""The masks of a sample with the verdict that counts for each, and what is said of them: figures as y over x."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from curation.lake import Lake
from curation.sampling.response import Drawn
from curation.sampling.samples import check_exists
from curation.settings import REVIEW

DECISIONS = ("accept", "reject", "fix")
IOU_THRESHOLDS = (0.75, 0.90)
#: Where a drawn mask stands. `settled`: accept, reject or fix; `tied`: as many votes for as against; `unsure`
#: and `skipped`: nobody could or would tell; `pending`: nobody has yet.
STATES = ("settled", "tied", "unsure", "skipped", "pending")


@dataclass(frozen=True)
class Figure:
    """A share of masks. `needs_correction`: a mask to fix counts once it is redrawn, and the redrawn stand
    for the others.
    """

    name: str
    about: str
    decision: str | None = None
    reason: str | None = None
    iou_threshold: float | None = None

    @property
    def needs_correction(self) -> bool:
        return self.iou_threshold is not None


def figures() -> tuple[Figure, ...]:
    """accept, reject, fix; over IoU thresholds; one for each reason of settings.REVIEW."""
    return (
        Figure("accept", "good as it is", decision="accept"),
        Figure("reject", "no object, or beyond repair", decision="reject"),
        Figure("fix", "right object, outline to mend", decision="fix"),
        *(
            Figure(
                f"over_{100 * t:.0f}",
                f"over {t:.2f} IoU with what it is corrected to; accepted masks count as equal to it, rejected ones as 0",
                iou_threshold=t,
            )
            for t in IOU_THRESHOLDS
        ),
        *(Figure(f"reason:{reason}", reason.replace("_", " "), reason=reason) for reason in REVIEW.reasons),
    )


@dataclass(frozen=True)
class Judged:
    """A sample of n masks, by position: the draw, `state` (one of STATES), `decision`, reasons and IoU with
    the correction (NaN without one), (n,) each. `told`: what is the same for all rows: frame, options,
    snapshot, seed.
    """

    drawn: Drawn
    mask_id: np.ndarray
    run_id: np.ndarray
    state: np.ndarray
    decision: np.ndarray
    reasons: tuple[frozenset[str], ...]
    corrected_iou: np.ndarray
    told: Mapping[str, object]

    @property
    def is_settled(self) -> np.ndarray:
        return self.state == "settled"

    def count(self, state: str) -> int:
        return int((self.state == state).sum())


_NUMBERS = ("stratum_n_masks", "stratum_n_images", "image_id", "image_n_masks", "n_draws")
_CHANCES = ("inclusion_probability", "draw_probability")
_TOLD = ("frame_where", "frame_run_id", "options", "snapshot_id", "seed")

_SQL = """
    WITH corrections AS (
        SELECT supersedes AS mask_id, arg_max(iou_with_superseded, drawn_at) AS corrected_iou
        FROM current_drawn_masks
        WHERE supersedes IS NOT NULL
        GROUP BY supersedes
    ),

    skipped AS (
        SELECT DISTINCT mask_id FROM current_verdicts WHERE sample = $sample AND decision = 'skip'
    )

    SELECT
        samples.*,
        coalesce(masks.area_px < $small_px, FALSE) AS is_small,
        CASE
            WHEN settled.decision = 'unsure' THEN 'unsure'
            WHEN settled.decision IS NOT NULL THEN 'settled'
            WHEN settled.mask_id IS NOT NULL THEN 'tied'
            WHEN skipped.mask_id IS NOT NULL THEN 'skipped'
            ELSE 'pending'
        END AS state,
        coalesce(settled.decision, '') AS decision,
        coalesce(settled.reasons, []) AS reasons,
        corrected_iou
    FROM samples
    LEFT JOIN masks ON samples.run_id = masks.run_id AND samples.mask_id = masks.mask_id
    LEFT JOIN settled_verdicts AS settled
        ON samples.sample = settled.sample AND samples.mask_id = settled.mask_id
    LEFT JOIN skipped ON samples.mask_id = skipped.mask_id
    LEFT JOIN corrections ON samples.mask_id = corrections.mask_id
    WHERE samples.sample = $sample
    ORDER BY position, samples.mask_id
"""


def read(lake: Lake, name: str) -> Judged:
    """A sample as it is judged now. Raises InputError where there is no such sample."""
    check_exists(lake, name)
    rows = lake.query(_SQL, {"sample": name, "small_px": REVIEW.small_px})
    columns = {column: rows[column].to_numpy() for column in _NUMBERS}
    columns |= {column: _chances(rows, column) for column in _CHANCES}
    columns["stratum"] = np.array(rows["stratum"].to_pylist())
    return Judged(
        drawn=Drawn(rows["design"][0].as_py(), columns, rows["is_small"].to_numpy()),
        mask_id=rows["mask_id"].to_numpy(),
        run_id=rows["run_id"].to_numpy(),
        state=np.array(rows["state"].to_pylist()),
        decision=np.array(rows["decision"].to_pylist()),
        reasons=tuple(frozenset(reasons) for reasons in rows["reasons"].to_pylist()),
        corrected_iou=_chances(rows, "corrected_iou"),
        told={column: rows[column][0].as_py() for column in _TOLD},
    )


def values(
    judged: Judged, place: np.ndarray, weight: np.ndarray, of: tuple[Figure, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """y and x (n, F) of the figures for the masks at `place` (n,) of the sample, which stand for `weight`
    (n,) masks.

    Masks to fix without a correction count nowhere in a figure that needs one; those that have one count for
    them. Where none has, the figure says nothing: x is 0 for all.
    """
    decision, iou = judged.decision[place], judged.corrected_iou[place]
    y, x = np.zeros((len(place), len(of))), np.ones((len(place), len(of)))
    is_fix = decision == "fix"
    is_corrected = is_fix & ~np.isnan(iou)
    to_mend = weight[is_fix].sum()
    share_corrected = weight[is_corrected].sum() / to_mend if to_mend > 0 else 1.0
    for k, figure in enumerate(of):
        if figure.decision is not None:
            y[:, k] = decision == figure.decision
        elif figure.reason is not None:
            y[:, k] = [figure.reason in judged.reasons[i] for i in place]
        elif share_corrected == 0:
            x[:, k] = 0
        else:
            x[:, k] = np.where(is_fix, is_corrected / share_corrected, 1)
            y[:, k] = (
                np.where(is_fix, np.nan_to_num(iou) > figure.iou_threshold, decision == "accept") * x[:, k]
            )
    return y, x


def _chances(rows: pa.Table, column: str) -> np.ndarray:
    return rows[column].cast(pa.float64()).combine_chunks().fill_null(float("nan")).to_numpy()
