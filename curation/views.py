"""Views that every lake has, as SQL over its tables."""

from curation.settings import REVIEW

#: Masks that people threw out when these were sent back to them: more of them reject the mask than keep it.
THROWN_OUT = """
    SELECT mask_id
    FROM current_verdicts
    WHERE purpose = 'correct'
    GROUP BY mask_id
    HAVING count(*) FILTER (WHERE decision = 'reject') > count(*) FILTER (WHERE decision = 'accept')
"""

#: These, and the masks of a sample of which people settled that they are no object or beyond repair.
REJECTED = f"SELECT mask_id FROM settled_verdicts WHERE decision = 'reject' UNION {THROWN_OUT}"

#: Of what follows. A lake whose views are of a lower version gets them anew when it is opened.
VERSION = 3

#: `current_masks` leaves out what a correction has superseded, and drawn masks that were taken back; so does
#: `current_drawn_masks`, which tells how masks were drawn. `drawn_on_runs` has what people drew or corrected under the
#: run that they drew it on; `is_current` is false where that was corrected once more.
#: `current_images` names for every image of a stage and cycle the newest run that read it, so that a retuned run stands
#: for its source.
#: `gold_comparisons` tells which masks count against gold: one that lies in crowd gold is neither right nor wrong.
#: `current_verdicts` leaves out what its rater took back or said anew.
#: `settled_verdicts` has, for every judged mask of a sample, the verdict that counts: see `review.adjudication`.
VIEWS = {
    "current_masks": """
        SELECT masks.* FROM masks
        ANTI JOIN withdrawn_masks USING (mask_id)
        ANTI JOIN (
            SELECT supersedes FROM masks ANTI JOIN withdrawn_masks USING (mask_id) WHERE supersedes IS NOT NULL
        ) AS corrections ON corrections.supersedes = masks.mask_id
    """,
    "current_drawn_masks": "SELECT drawn_masks.* FROM drawn_masks ANTI JOIN withdrawn_masks USING (mask_id)",
    "drawn_on_runs": """
        SELECT
            runs.parent_run_id AS run_id,
            masks.image_id,
            masks.mask_id,
            masks.area_px,
            masks.supersedes,
            later.supersedes IS NULL AS is_current
        FROM masks
        INNER JOIN runs ON masks.run_id = runs.run_id AND runs.kind = 'correct'
        ANTI JOIN withdrawn_masks USING (mask_id)
        LEFT JOIN (
            SELECT DISTINCT supersedes FROM masks ANTI JOIN withdrawn_masks USING (mask_id) WHERE supersedes IS NOT NULL
        ) AS later ON later.supersedes = masks.mask_id
    """,
    "current_images": """
        SELECT
            runs.stage,
            runs.cycle,
            images.image_id,
            max(images.run_id) AS run_id
        FROM images
        INNER JOIN runs USING (run_id)
        WHERE runs.kind <> 'gold'
        GROUP BY runs.stage, runs.cycle, images.image_id
    """,
    "gold_comparisons": """
        SELECT gold_matches.*, mask_id IS NOT NULL AND coalesce(coco_ignored, 0) & 1 = 0 AS is_compared
        FROM gold_matches
    """,
    "current_verdicts": """
        SELECT verdicts.* FROM verdicts
        ANTI JOIN (SELECT replaces FROM verdicts WHERE replaces IS NOT NULL) AS later
            ON later.replaces = verdicts.verdict_id
        WHERE verdicts.decision <> 'withdrawn'
    """,
    # Of equally many votes none wins. Who is unsure has no vote where another is sure; skips are no verdicts.
    "settled_verdicts": f"""
        WITH opinions AS (
            SELECT * FROM current_verdicts
            WHERE
                sample IS NOT NULL
                AND decision <> 'skip'
                AND purpose IN ('review', 'double_review', 'adjudicate')
        ),

        votes AS (
            SELECT
                sample,
                mask_id,
                run_id,
                image_id,
                list(DISTINCT rater ORDER BY rater) AS raters,
                count(DISTINCT rater) FILTER (WHERE purpose <> 'adjudicate') AS n_raters,
                count(*) FILTER (WHERE purpose <> 'adjudicate' AND decision = 'accept') AS n_accept,
                count(*) FILTER (WHERE purpose <> 'adjudicate' AND decision = 'fix') AS n_fix,
                count(*) FILTER (WHERE purpose <> 'adjudicate' AND decision = 'reject') AS n_reject,
                count(*) FILTER (WHERE purpose <> 'adjudicate' AND decision = 'unsure') AS n_unsure,
                arg_max(
                    {{'decision': decision, 'rating': rating, 'reasons': reasons}}, (committed_at, given_at, verdict_id)
                ) FILTER (WHERE purpose = 'adjudicate') AS last_word,
                median(rating) FILTER (WHERE purpose <> 'adjudicate') AS median_rating,
                max(rating) FILTER (WHERE purpose <> 'adjudicate')
                - min(rating) FILTER (WHERE purpose <> 'adjudicate') AS rating_gap,
                list(DISTINCT reasons) AS all_reasons,
                max(committed_at) AS committed_at
            FROM opinions
            GROUP BY sample, mask_id, run_id, image_id
        ),

        decided AS (
            SELECT
                *,
                last_word IS NOT NULL AS is_adjudicated,
                CASE
                    WHEN last_word IS NOT NULL THEN last_word.decision
                    WHEN n_accept > greatest(n_fix, n_reject) THEN 'accept'
                    WHEN n_fix > greatest(n_accept, n_reject) THEN 'fix'
                    WHEN n_reject > greatest(n_accept, n_fix) THEN 'reject'
                    WHEN n_accept + n_fix + n_reject = 0 THEN 'unsure'
                END AS decision
            FROM votes
        )

        SELECT
            sample,
            mask_id,
            run_id,
            image_id,
            decision,
            CASE
                WHEN is_adjudicated AND decision <> 'unsure' THEN decision = 'accept'
                WHEN NOT is_adjudicated AND n_accept <> n_fix + n_reject THEN n_accept > n_fix + n_reject
            END AS is_accepted,
            CASE WHEN is_adjudicated THEN last_word.rating ELSE median_rating END::DOUBLE AS rating,
            CASE
                WHEN is_adjudicated THEN last_word.reasons ELSE list_sort(list_distinct(flatten(all_reasons)))
            END AS reasons,
            n_raters,
            n_accept,
            n_fix,
            n_reject,
            n_unsure,
            raters,
            is_adjudicated,
            NOT is_adjudicated AND (
                decision IS NULL OR coalesce(rating_gap, 0) >= {REVIEW.rating_gap}
            ) AS needs_adjudication,
            committed_at
        FROM decided
    """,
}
