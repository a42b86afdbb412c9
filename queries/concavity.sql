/*
title: Concavity by size
about: >
  How concave the masks of each run are: 1 − mask area / area of its convex hull, as in SAM, section 5
  (arXiv 2304.02643). Shape depends on size, so runs are compared size by size, and by a mean over sizes in
  which every run has the sizes of one reference (`adjusted_concavity`), which SAM reaches by drawing masks
  stratified by size. Needs `curation measure`. Intervals are 95 % and take the image as the cluster.
grain: one band of relative size of one run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all}
  reference_run_id:
    type: INTEGER
    default: null
    about: >-
      run whose sizes the adjusted mean takes; null takes all runs together
  concave_from: {type: DOUBLE, default: 0.2, about: concavity from which a mask counts as concave}
columns:
  stage: {type: VARCHAR, about: stage of the run}
  cycle: {type: SMALLINT, about: cycle of the run}
  run_id: {type: INTEGER, about: run}
  relative_size_from: {type: DOUBLE, about: "sqrt(mask area / image area) where the band begins, 0..1"}
  relative_size_to: {type: DOUBLE, about: where it ends}
  mean_concavity: {type: DOUBLE, about: "mean concavity of the band's masks, 0 (convex) to 1"}
  mean_concavity_low: {type: DOUBLE, about: lower bound}
  mean_concavity_high: {type: DOUBLE, about: upper bound}
  concave_share: {type: DOUBLE, about: "share of the band's masks that are concave, 0..1"}
  concave_share_low: {type: DOUBLE, about: lower bound}
  concave_share_high: {type: DOUBLE, about: upper bound}
  concave_effective_n: {type: DOUBLE, about: independent masks that would tell as much about concave_share}
  n_images: {type: BIGINT, about: images with masks in the band}
  n_masks: {type: BIGINT, about: masks in the band}
  reference_share: {type: DOUBLE, about: share of the reference's masks that lie in the band}
  adjusted_concavity:
    type: DOUBLE
    about: >-
      mean concavity at the reference's sizes; the same in all rows of a run
  adjusted_concavity_low: {type: DOUBLE, about: lower bound}
  adjusted_concavity_high: {type: DOUBLE, about: upper bound}
  design: {type: VARCHAR, about: what was counted and what the interval takes as the unit}
*/
WITH edges AS (
    SELECT [0, 0.02, 0.05, 0.1, 0.2, 0.5, 1]::DOUBLE[] AS sizes
),

bands_of_image AS (
    SELECT
        run_id,
        image_id,
        -- A small integer, since each mask's is hashed: the place of the edge below in `edges`.
        CASE
            WHEN relative_size < 0.02 THEN 1
            WHEN relative_size < 0.05 THEN 2
            WHEN relative_size < 0.1 THEN 3
            WHEN relative_size < 0.2 THEN 4
            WHEN relative_size < 0.5 THEN 5
            ELSE 6
        END::UTINYINT AS size_band,
        count(*) AS n_masks,
        sum(concavity) AS sum_concavity,
        count(*) FILTER (WHERE concavity >= $concave_from) AS n_concave
    FROM mask_features
    -- Corrections are no run's own work.
    ANTI JOIN runs ON mask_features.run_id = runs.run_id AND runs.kind = 'correct'
    WHERE concavity IS NOT NULL AND ($run_id IS NULL OR run_id IN ($run_id, $reference_run_id))
    GROUP BY run_id, image_id, size_band
),

reference AS (
    SELECT
        size_band,
        sum(n_masks) / sum(sum(n_masks)) OVER () AS reference_share
    FROM bands_of_image
    WHERE $reference_run_id IS NULL OR run_id = $reference_run_id
    GROUP BY size_band
),

bands AS (
    SELECT
        run_id,
        size_band,
        coalesce(any_value(reference_share), 0) AS reference_share,
        mean_interval(ratio_sums(sum_concavity, n_masks)) AS concavity,
        share_interval(ratio_sums(n_concave, n_masks)) AS concave
    FROM bands_of_image
    LEFT JOIN reference USING (size_band)
    WHERE $run_id IS NULL OR run_id = $run_id
    GROUP BY run_id, size_band
),

-- A size that a run lacks cannot be adjusted for: the others share its weight.
weights AS (
    SELECT
        run_id,
        size_band,
        concavity.mean AS mean_concavity,
        concavity.n_units AS n_masks,
        reference_share / nullif(sum(reference_share) OVER (PARTITION BY run_id), 0) AS weight
    FROM bands
),

-- What each image adds to the error of the adjusted mean (Cochran, 1977, chapters 5A.2 and 6).
errors_of_image AS (
    SELECT
        run_id,
        sum(weight * (sum_concavity - mean_concavity * bands_of_image.n_masks) / weights.n_masks) AS error
    FROM bands_of_image
    INNER JOIN weights USING (run_id, size_band)
    GROUP BY run_id, image_id
),

halves AS (
    SELECT
        run_id,
        CASE
            WHEN count(*) > 1
                THEN student_t_975(
                    residual_freedom(count(*), count(*) * sum(error ^ 4) / nullif(sum(error ^ 2), 0) ^ 2)
                ) * sqrt(count(*) / (count(*) - 1) * sum(error ^ 2))
        END AS half
    FROM errors_of_image
    GROUP BY run_id
),

adjusted AS (
    SELECT
        run_id,
        any_value(half) AS half,
        sum(weight * mean_concavity) AS mean
    FROM weights
    INNER JOIN halves USING (run_id)
    GROUP BY run_id
)

SELECT
    runs.stage,
    runs.cycle,
    bands.run_id,
    edges.sizes[bands.size_band] AS relative_size_from,
    edges.sizes[bands.size_band + 1] AS relative_size_to,
    bands.concavity.mean AS mean_concavity,
    clamp(bands.concavity.low, 0, 1) AS mean_concavity_low,
    clamp(bands.concavity.high, 0, 1) AS mean_concavity_high,
    bands.concave.share AS concave_share,
    bands.concave.low AS concave_share_low,
    bands.concave.high AS concave_share_high,
    bands.concave.effective_n AS concave_effective_n,
    bands.concavity.n_images,
    bands.concavity.n_units AS n_masks,
    bands.reference_share,
    adjusted.mean AS adjusted_concavity,
    clamp(adjusted.mean - adjusted.half, 0, 1) AS adjusted_concavity_low,
    clamp(adjusted.mean + adjusted.half, 0, 1) AS adjusted_concavity_high,
    'every measured mask of the run, empty ones aside; image as cluster; sizes of the reference as they are'
        AS design
FROM bands
INNER JOIN adjusted USING (run_id)
INNER JOIN runs USING (run_id)
CROSS JOIN edges
ORDER BY runs.stage, runs.cycle, bands.run_id, bands.size_band
