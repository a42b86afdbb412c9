/*
title: Coverage
about: >
  How much of the images of each run lies under masks, and on how many of them a large region has none.
  Needs `curation measure`. Intervals are 95 % over images.
grain: one figure of one run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all}
  large_region_share: {type: DOUBLE, default: 0.2, about: share of the image from which a region is large}
columns:
  stage: {type: VARCHAR, about: stage of the run}
  cycle: {type: SMALLINT, about: cycle of the run}
  run_id: {type: INTEGER, about: run}
  figure: {type: VARCHAR, about: "see `meaning`"}
  estimate: {type: DOUBLE, about: the figure}
  low: {type: DOUBLE, about: lower bound; null where one image is all there is}
  high: {type: DOUBLE, about: upper bound}
  n_images: {type: BIGINT, about: images behind the figure}
  n_masks: {type: BIGINT, about: masks on the measured images of the run}
  effective_n: {type: DOUBLE, about: independent images that would tell as much; null for means}
  meaning: {type: VARCHAR, about: the figure in words}
  design: {type: VARCHAR, about: what was counted and what the interval takes as the unit}
*/
WITH measured AS (
    SELECT
        coverage.run_id,
        coverage.n_masks,
        coverage.covered_px,
        coverage.covered_share,
        coverage.mean_depth,
        coverage.largest_uncovered_px >= $large_region_share * images.width_px * images.height_px AS has_large
    FROM image_coverage AS coverage
    INNER JOIN images USING (run_id, image_id)
    WHERE $run_id IS NULL OR coverage.run_id = $run_id
),

estimates AS (
    SELECT
        run_id,
        sum(n_masks)::BIGINT AS n_masks,
        mean_interval(ratio_sums(covered_share, 1)) AS covered,
        share_interval(ratio_sums(has_large::INTEGER, 1)) AS with_large,
        share_interval(ratio_sums((n_masks = 0)::INTEGER, 1)) AS bare,
        mean_interval(ratio_sums(mean_depth * covered_px, covered_px)) AS stacked
    FROM measured
    GROUP BY run_id
),

figures AS (
    SELECT
        run_id,
        n_masks,
        1 AS place,
        'mean_covered_share' AS figure,
        covered.mean AS estimate,
        clamp(covered.low, 0, 1) AS low,
        clamp(covered.high, 0, 1) AS high,
        covered.n_images,
        NULL AS effective_n,
        'mean over images of the share of pixels under at least one mask' AS meaning
    FROM estimates
    UNION ALL
    SELECT
        run_id,
        n_masks,
        2 AS place,
        'large_region_image_share' AS figure,
        with_large.share AS estimate,
        with_large.low,
        with_large.high,
        with_large.n_images,
        with_large.effective_n,
        concat('images with a bare region of at least ', $large_region_share, ' of their area') AS meaning
    FROM estimates
    UNION ALL
    SELECT
        run_id,
        n_masks,
        3 AS place,
        'no_mask_image_share' AS figure,
        bare.share AS estimate,
        bare.low,
        bare.high,
        bare.n_images,
        bare.effective_n,
        'images without any mask' AS meaning
    FROM estimates
    UNION ALL
    SELECT
        run_id,
        n_masks,
        4 AS place,
        'mean_depth' AS figure,
        stacked.mean AS estimate,
        clamp(stacked.low, 0, stacked.mean) AS low,
        stacked.high,
        stacked.n_images,
        NULL AS effective_n,
        'mean number of masks over a covered pixel' AS meaning
    FROM estimates
)

SELECT
    runs.stage,
    runs.cycle,
    figures.run_id,
    figures.figure,
    figures.estimate,
    figures.low,
    figures.high,
    figures.n_images,
    figures.n_masks,
    figures.effective_n::DOUBLE AS effective_n,
    figures.meaning,
    'every measured image; images are independent' AS design
FROM figures
INNER JOIN runs USING (run_id)
ORDER BY runs.stage, runs.cycle, figures.run_id, figures.place
