/*
title: Quality estimated from samples
about: >
  What the verdicts on a sample say of all masks that it was drawn from. Each share is a ratio of weighted
  totals, in which a mask counts for as many masks of the frame as it stands for; masks without an answer
  are stood for by the others of their stratum (of their image with two stages) and size class. A mask is
  over 0.75 (0.90) IoU when the corrected one is so near to it; accepted masks count as equal, rejected ones
  as 0. `low` and `high` are 95 % bounds for the frame, by the design: the unit is the mask (simple,
  stratified), the single draw (pps) or the image (two stages). `images_low` and `images_high` take the
  image as the cluster and hold for images like these, were they drawn from many. The same numbers as
  `curation sample estimate`, which adds scores, other slices, a bootstrap check and what the unanswered
  could change. Purposive samples are not here: no rate follows from them.
grain: one figure of one slice of one sample
params:
  sample: {type: VARCHAR, default: null, about: only this sample; null takes all but purposive}
  run_id: {type: INTEGER, default: null, about: only samples that were drawn from this run alone}
  slice_by: {type: VARCHAR, default: null, about: "stage, run, size, score or stratum; null parts nothing"}
  small_px: {type: INTEGER, default: 576, about: "masks under it are judged last (settings.REVIEW.small_px)"}
columns:
  sample: {type: VARCHAR, about: sample}
  frame_where: {type: VARCHAR, about: "condition that chose the masks it was drawn from; null for all masks"}
  slice: {type: VARCHAR, about: "part of the sample; `all` where it is one"}
  figure: {type: VARCHAR, about: "accept, reject, fix, over_75, over_90 (IoU when corrected), reason:NAME"}
  estimate: {type: DOUBLE, about: "share of the masks of the frame, 0..1"}
  low: {type: DOUBLE, about: lower bound for this frame}
  high: {type: DOUBLE, about: upper bound}
  images_low: {type: DOUBLE, about: lower bound for images like these}
  images_high: {type: DOUBLE, about: upper bound}
  n_masks: {type: BIGINT, about: judged masks that tell about it}
  n_images: {type: BIGINT, about: images of these}
  effective_n: {type: DOUBLE, about: "independent masks that would tell as much; infinite for a census"}
  design_effect: {type: DOUBLE, about: "n_masks / effective_n; null where units do not differ"}
  standard_error: {type: DOUBLE, about: "root of the variance under the design"}
  n_drawn: {type: BIGINT, about: masks drawn}
  n_tied: {type: BIGINT, about: as many votes for as against}
  n_unsure: {type: BIGINT, about: nobody could tell}
  n_skipped: {type: BIGINT, about: not judged by those who saw them}
  n_pending: {type: BIGINT, about: not seen yet}
  n_to_correct: {type: BIGINT, about: "to fix, and not redrawn yet"}
  design: {type: VARCHAR, about: "how the sample was drawn, of how many, and the unit of the interval"}
*/
WITH corrections AS (
    SELECT
        supersedes AS mask_id,
        arg_max(iou_with_superseded, drawn_at) AS corrected_iou
    FROM current_drawn_masks
    WHERE supersedes IS NOT NULL
    GROUP BY supersedes
),

skipped AS (
    SELECT DISTINCT
        sample,
        mask_id
    FROM current_verdicts
    WHERE decision = 'skip' AND sample IS NOT NULL
),

chosen AS (
    SELECT sample
    FROM samples
    WHERE design <> 'purposive' AND ($sample IS NULL OR sample = $sample)
    GROUP BY sample
    HAVING $run_id IS NULL OR (min(run_id) = $run_id AND max(run_id) = $run_id)
),

drawn AS (
    SELECT
        samples.*,
        coalesce(masks.area_px < $small_px, FALSE) AS is_small,
        stratum_n_masks / count(*) OVER (PARTITION BY samples.sample, stratum) AS frame_part,
        settled.decision,
        coalesce(settled.reasons, []) AS reasons,
        corrected_iou,
        coalesce(settled.decision IN ('accept', 'reject', 'fix'), FALSE) AS is_settled,
        settled.mask_id IS NOT NULL AND settled.decision IS NULL AS is_tied,
        settled.mask_id IS NULL AND skipped.mask_id IS NOT NULL AS is_skipped,
        settled.mask_id IS NULL AND skipped.mask_id IS NULL AS is_pending,
        coalesce(
            CASE $slice_by
                WHEN 'stage' THEN masks.stage
                WHEN 'run' THEN samples.run_id::VARCHAR
                WHEN 'size' THEN size_band(masks.area_px).name
                WHEN 'score' THEN score_band(masks.predicted_iou).name
                WHEN 'stratum' THEN stratum
                ELSE CASE
                    WHEN $slice_by IS NULL THEN 'all'
                    ELSE error('slice_by ' || $slice_by || ': allowed are stage, run, size, score, stratum')
                END
            END,
            'unknown'
        ) AS slice,
        CASE samples.design
            WHEN 'pps' THEN n_draws / (sum(n_draws) OVER (PARTITION BY samples.sample) * draw_probability)
            ELSE 1 / inclusion_probability
        END AS drawn_weight,
        CASE samples.design WHEN 'two_stage' THEN samples.image_id::VARCHAR ELSE stratum END AS response_group
    FROM samples
    LEFT JOIN masks ON samples.run_id = masks.run_id AND samples.mask_id = masks.mask_id
    LEFT JOIN settled_verdicts AS settled
        ON samples.sample = settled.sample AND samples.mask_id = settled.mask_id
    LEFT JOIN skipped ON samples.sample = skipped.sample AND samples.mask_id = skipped.mask_id
    LEFT JOIN corrections ON samples.mask_id = corrections.mask_id
    SEMI JOIN chosen ON samples.sample = chosen.sample
),

counts AS (
    SELECT
        sample,
        slice,
        count(*) AS n_drawn,
        count(*) FILTER (WHERE is_tied) AS n_tied,
        count(*) FILTER (WHERE decision = 'unsure') AS n_unsure,
        count(*) FILTER (WHERE is_skipped) AS n_skipped,
        count(*) FILTER (WHERE is_pending) AS n_pending,
        count(*) FILTER (WHERE decision = 'fix' AND corrected_iou IS NULL) AS n_to_correct
    FROM drawn
    GROUP BY sample, slice
),

-- Those with an answer stand for the others of their cell, and for cells of their size class without any.
cells AS (
    SELECT
        *,
        sum(n_draws) OVER cell AS asked,
        coalesce(sum(n_draws) FILTER (WHERE is_settled) OVER cell, 0) AS answered
    FROM drawn
    WINDOW cell AS (PARTITION BY sample, response_group, is_small)
),

weighed AS (
    SELECT
        *,
        drawn_weight * asked / nullif(answered, 0)
        * sum(drawn_weight) OVER size_class
        / nullif(sum(drawn_weight) FILTER (WHERE answered > 0) OVER size_class, 0) AS weight
    FROM cells
    WINDOW size_class AS (PARTITION BY sample, is_small)
),

-- Masks to fix count once they are redrawn, and those stand for all; where none is, nothing is known.
answers AS (
    SELECT
        *,
        CASE
            WHEN count(*) FILTER (WHERE decision = 'fix') OVER part = 0 THEN 1
            ELSE coalesce(
                sum(weight) FILTER (WHERE decision = 'fix' AND corrected_iou IS NOT NULL) OVER part
                / sum(weight) FILTER (WHERE decision = 'fix') OVER part,
                0
            )
        END AS corrected_share
    FROM weighed
    WHERE is_settled
    WINDOW part AS (PARTITION BY sample, slice)
),

-- Masks outside a slice count in the variance of its design, with y and x at 0.
members AS (
    SELECT
        answers.*,
        counts.slice AS of_slice,
        (answers.slice = counts.slice)::INTEGER AS is_in
    FROM answers
    INNER JOIN counts USING (sample)
),

told AS (
    SELECT
        *,
        is_in * CASE
            WHEN corrected_share = 0 THEN 0
            WHEN decision <> 'fix' THEN 1
            WHEN corrected_iou IS NULL THEN 0
            ELSE 1 / corrected_share
        END AS corrected_x,
        decision = 'accept' OR (decision = 'fix' AND coalesce(corrected_iou, 0) > 0.75) AS is_over_75,
        decision = 'accept' OR (decision = 'fix' AND coalesce(corrected_iou, 0) > 0.90) AS is_over_90
    FROM members
),

named_reasons AS (
    SELECT DISTINCT
        sample,
        unnest(reasons) AS reason
    FROM answers
),

figures AS (
    SELECT
        told.*,
        1 AS place,
        'accept' AS figure,
        is_in * (decision = 'accept')::DOUBLE AS y,
        is_in::DOUBLE AS x
    FROM told
    UNION ALL BY NAME
    SELECT
        told.*,
        2 AS place,
        'reject' AS figure,
        is_in * (decision = 'reject')::DOUBLE AS y,
        is_in::DOUBLE AS x
    FROM told
    UNION ALL BY NAME
    SELECT
        told.*,
        3 AS place,
        'fix' AS figure,
        is_in * (decision = 'fix')::DOUBLE AS y,
        is_in::DOUBLE AS x
    FROM told
    UNION ALL BY NAME
    SELECT
        told.*,
        4 AS place,
        'over_75' AS figure,
        corrected_x * is_over_75::DOUBLE AS y,
        corrected_x::DOUBLE AS x
    FROM told
    UNION ALL BY NAME
    SELECT
        told.*,
        5 AS place,
        'over_90' AS figure,
        corrected_x * is_over_90::DOUBLE AS y,
        corrected_x::DOUBLE AS x
    FROM told
    UNION ALL BY NAME
    SELECT
        told.*,
        6 AS place,
        'reason:' || reason AS figure,
        is_in * list_contains(told.reasons, reason)::DOUBLE AS y,
        is_in::DOUBLE AS x
    FROM told
    INNER JOIN named_reasons ON told.sample = named_reasons.sample
),

totals AS (
    SELECT
        sample,
        of_slice,
        place,
        figure,
        nullif(sum(weight * x), 0) AS size,
        sum(weight * y) / nullif(sum(weight * x), 0) AS ratio,
        sum((weight * x) ^ 2) AS squares,
        count(*) FILTER (WHERE x > 0) AS n_masks,
        count(DISTINCT image_id) FILTER (WHERE x > 0) AS n_images,
        count(*) AS n_answers
    FROM figures
    GROUP BY sample, of_slice, place, figure
),

-- What the first stage drew: images, or masks themselves, each as often as it was drawn.
units AS (
    SELECT
        sample,
        of_slice,
        place,
        figure,
        any_value(design) AS design,
        CASE any_value(design) WHEN 'stratified' THEN stratum ELSE 'all' END AS stratum,
        CASE any_value(design) WHEN 'pps' THEN any_value(n_draws) ELSE 1 END AS draws,
        sum(weight * (y - ratio * x) / size) AS residual,
        sum(weight * x) AS mass,
        sum(weight ^ 2) AS weight_squares,
        count(*) AS n_inside,
        CASE any_value(design) WHEN 'two_stage' THEN count(*) / any_value(image_n_masks) ELSE 1 END
            AS inner_fraction,
        var_samp((y - ratio * x) / size) AS spread,
        CASE any_value(design)
            WHEN 'two_stage' THEN any_value(stratum_n_images) ELSE any_value(stratum_n_masks)
        END AS n_frame
    FROM figures
    INNER JOIN totals USING (sample, of_slice, place, figure)
    GROUP BY
        sample, of_slice, place, figure, stratum, CASE design WHEN 'two_stage' THEN image_id ELSE mask_id END
),

-- Nothing corrects for a finite population where no image shows how much its masks differ.
fractions AS (
    SELECT
        *,
        sum(draws) OVER strata AS n_draws,
        CASE
            WHEN
                design = 'pps' OR (min(inner_fraction) OVER whole < 1 AND max(n_inside) OVER whole = 1)
                THEN 0
            ELSE count(*) OVER strata / n_frame
        END AS fraction,
        CASE WHEN n_inside > 1 THEN spread ELSE avg(spread) FILTER (WHERE n_inside > 1) OVER whole END
            AS own_spread,
        sum(residual) OVER strata / sum(draws) OVER strata AS mean_residual
    FROM units
    WINDOW
        whole AS (PARTITION BY sample, of_slice, place, figure),
        strata AS (PARTITION BY sample, of_slice, place, figure, stratum)
),

deviations AS (
    SELECT
        *,
        residual / draws - CASE WHEN n_draws > 1 THEN mean_residual ELSE 0 END AS deviation,
        CASE
            WHEN design = 'two_stage' AND inner_fraction < 1
                THEN coalesce(fraction * (1 - inner_fraction) * weight_squares * own_spread, 0)
            ELSE 0
        END AS inner_part
    FROM fractions
),

parts AS (
    SELECT
        *,
        (1 - fraction) * CASE WHEN n_draws > 1 THEN n_draws / (n_draws - 1) ELSE 1 END * draws * deviation ^ 2
            AS outer_part
    FROM deviations
),

variances AS (
    SELECT
        sample,
        of_slice,
        place,
        figure,
        sum(outer_part) AS variance_between,
        sum(inner_part) AS variance_within,
        sum(draws) - count(DISTINCT stratum) AS n_units,
        sum(draws) FILTER (WHERE mass > 0) AS n_telling,
        count(*) AS n_unit_rows,
        max(fraction) AS fraction,
        sum(mass) ^ 2 / nullif(sum(mass ^ 2 / draws), 0) AS alike_units,
        any_value(design) AS design
    FROM parts
    GROUP BY sample, of_slice, place, figure
),

known AS (
    SELECT
        totals.*,
        design,
        n_units,
        n_telling,
        n_unit_rows,
        variance_between,
        variance_within,
        CASE
            WHEN
                variance_between + variance_within > 1e-12 * squares / size ^ 2
                THEN variance_between + variance_within
            ELSE 0
        END AS variance,
        CASE
            WHEN design = 'pps' THEN alike_units
            WHEN 1 - n_masks / size > 1e-12 THEN alike_units / (1 - n_masks / size)
            WHEN size > 0 THEN 'Infinity'::DOUBLE
        END AS alike_n
    FROM totals
    INNER JOIN variances USING (sample, of_slice, place, figure)
),

unit_parts AS (
    SELECT
        parts.*,
        (outer_part + inner_part) / nullif(variance, 0) / draws AS part,
        sum((outer_part + inner_part) / nullif(variance, 0))
            OVER (PARTITION BY parts.sample, parts.of_slice, parts.place, parts.figure, stratum)
        / parts.n_draws AS mean_part,
        (1 - 2 * ratio) / nullif(ratio * (1 - ratio), 0) AS slope
    FROM parts
    INNER JOIN known USING (sample, of_slice, place, figure)
),

-- How much the design effect alone is moved by each unit: see curation/sampling/estimators.py.
moved AS (
    SELECT
        sample,
        of_slice,
        place,
        figure,
        2 / nullif(sum(draws * (part - mean_part - slope * deviation) ^ 2), 0) AS freedom
    FROM unit_parts
    GROUP BY sample, of_slice, place, figure
),

-- At most as many degrees of freedom as two means of squares have, one of units and one of masks inside them.
quantiles AS (
    SELECT
        known.*,
        CASE WHEN variance > 0 THEN ratio * (1 - ratio) / variance ELSE alike_n END AS effective_n,
        CASE
            WHEN variance > 0
                THEN variance ^ 2 / (
                    variance_between ^ 2 / greatest(n_units, 1)
                    + variance_within ^ 2 / greatest(n_answers - n_unit_rows, 1)
                )
            ELSE n_units
        END AS most_freedom,
        freedom
    FROM known
    LEFT JOIN moved USING (sample, of_slice, place, figure)
),

bounds AS (
    SELECT
        *,
        CASE
            WHEN n_telling > 1
                THEN student_t_975(
                    floor(
                        (1 + 1e-12) * greatest(
                            1,
                            least(
                                CASE
                                    WHEN variance > 0 THEN coalesce(freedom, most_freedom) ELSE most_freedom
                                END,
                                most_freedom
                            )
                        )
                    )
                )
        END AS t
    FROM quantiles
),

-- The image as the cluster, with weights that add up to the masks that were judged.
image_sums AS (
    SELECT
        figures.sample,
        figures.of_slice,
        figures.place,
        figures.figure,
        image_id,
        coalesce(sum(weight * y) * any_value(totals.n_masks / totals.size), 0) AS y,
        coalesce(sum(weight * x) * any_value(totals.n_masks / totals.size), 0) AS x
    FROM figures
    INNER JOIN totals USING (sample, of_slice, place, figure)
    GROUP BY ALL
),

images AS (
    SELECT
        sample,
        of_slice,
        place,
        figure,
        share_interval(ratio_sums(y, x)) AS interval_
    FROM image_sums
    GROUP BY sample, of_slice, place, figure
),

frames AS (
    SELECT
        sample,
        any_value(design) AS design,
        count(*) AS n_drawn,
        count(*) FILTER (WHERE is_settled) AS n_judged,
        any_value(frame_where) AS frame_where,
        any_value(snapshot_id) AS snapshot_id,
        round(sum(frame_part))::BIGINT AS n_frame
    FROM drawn
    GROUP BY sample
)

SELECT
    bounds.sample,
    frames.frame_where,
    bounds.of_slice AS slice,
    bounds.figure,
    bounds.ratio AS estimate,
    wilson_bound(bounds.ratio, bounds.effective_n, t, -1) AS low,
    wilson_bound(bounds.ratio, bounds.effective_n, t, 1) AS high,
    interval_.low AS images_low,
    interval_.high AS images_high,
    bounds.n_masks,
    bounds.n_images,
    bounds.effective_n,
    CASE WHEN variance > 0 THEN bounds.n_masks / bounds.effective_n END AS design_effect,
    CASE WHEN bounds.n_masks > 0 THEN sqrt(variance) END AS standard_error,
    counts.n_drawn,
    counts.n_tied,
    counts.n_unsure,
    counts.n_skipped,
    counts.n_pending,
    counts.n_to_correct,
    CASE frames.design
        WHEN 'srs' THEN 'simple random'
        WHEN 'stratified' THEN 'stratified'
        WHEN 'pps' THEN 'probability proportional to risk, with replacement'
        ELSE 'two stages, images then masks in them'
    END
    || '; '
    || frames.n_drawn
    || ' of '
    || frames.n_frame
    || ' masks, version '
    || frames.snapshot_id
    || '; '
    || frames.n_judged
    || ' judged; unit: '
    || CASE frames.design WHEN 'pps' THEN 'single draw' WHEN 'two_stage' THEN 'image' ELSE 'mask' END
        AS design
FROM bounds
INNER JOIN counts ON bounds.sample = counts.sample AND bounds.of_slice = counts.slice
INNER JOIN frames ON bounds.sample = frames.sample
INNER JOIN images
    ON
        bounds.sample = images.sample
        AND bounds.of_slice = images.of_slice
        AND bounds.place = images.place
        AND bounds.figure = images.figure
ORDER BY bounds.sample, bounds.of_slice, bounds.place, bounds.figure
