"""Masks on which raters disagree, and what counts in the end.

Raters disagree where as many decided one way as another, or where their ratings lie `rating_gap` or more apart; then
a third person decides (purpose `adjudicate`), never one of those who judged. The verdict that counts is the view
`settled_verdicts`: the adjudicator's if there is one, else that of the majority; of equally many none (decision is null,
`is_accepted` too unless all agree on whether it is good). Hidden checks, skips and image mode never count.
"""

from dataclasses import dataclass
from datetime import datetime

from curation.lake import Lake


@dataclass(frozen=True)
class Opinion:
    """What one rater says of a mask."""

    rater: str
    decision: str
    rating: int | None
    reasons: tuple[str, ...]
    note: str | None
    given_at: datetime


@dataclass(frozen=True)
class Disagreement:
    """One mask that waits for a third person, with the opinions, first ones first."""

    mask_id: int
    run_id: int
    image_id: int
    opinions: tuple[Opinion, ...]


def disagreements(lake: Lake, sample: str) -> list[Disagreement]:
    """Masks of the sample that wait for adjudication, in its order. Not for the eyes of who has yet to judge."""
    rows = lake.query(
        """
        SELECT
            settled.mask_id,
            settled.run_id,
            settled.image_id,
            list(
                {
                    'rater': given.rater,
                    'decision': given.decision,
                    'rating': given.rating,
                    'reasons': given.reasons,
                    'note': given.note,
                    'given_at': given.given_at
                }
                ORDER BY given.given_at, given.verdict_id
            ) AS opinions
        FROM settled_verdicts AS settled
        INNER JOIN samples USING (sample, mask_id)
        INNER JOIN current_verdicts AS given USING (sample, mask_id)
        WHERE
            settled.sample = $sample
            AND settled.needs_adjudication
            AND given.purpose IN ('review', 'double_review')
            AND given.decision <> 'skip'
        GROUP BY settled.mask_id, settled.run_id, settled.image_id, samples.position
        ORDER BY samples.position
        """,
        {"sample": sample},
    ).to_pylist()
    return [
        Disagreement(
            row["mask_id"],
            row["run_id"],
            row["image_id"],
            tuple(Opinion(**{**one, "reasons": tuple(one["reasons"])}) for one in row["opinions"]),
        )
        for row in rows
    ]
