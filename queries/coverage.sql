/*
title: Coverage
about: >
  How much of the images of each run lies under masks, and on how many of them a large region has none.
  Needs `curation measure`. Intervals are 95 % over images.
grain: one run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all}
  large_region_share: {type: DOUBLE, default: 0.2, about: share of the image from which a region is large}
columns:
  stage: {type: VARCHAR, about: stage of the run}
  cycle: {type: SMALLINT, about: cycle of the run}
  run_id: {type: INTEGER, about: run}
  mean_covered_share: {type: DOUBLE, about: mean over images of the share of pixels under at least one mask}
  mean_covered_share_low: {type: DOUBLE, about: lower bound}
  mean_covered_share_high: {type: DOUBLE, about: upper bound}
  large_region_image_share: {type: DOUBLE, about: share of images with a large uncovered region}
  large_region_image_share_low: {type: DOUBLE, about: lower bound}
  large_region_image_share_high: {type: DOUBLE, about: upper bound}
  no_mask_image_share: {type: DOUBLE, about: share of images without any mask}
  no_mask_image_share_low: {type: DOUBLE, about: lower bound}
  no_mask_image_share_high: {type: DOUBLE, about: upper bound}
  mean_depth: {type: DOUBLE, about: mean number of masks over a covered pixel}
  mean_depth_low: {type: DOUBLE, about: lower bound}
  mean_depth_high: {type: DOUBLE, about: upper bound}
  n_images: {type: BIGINT, about: images measured}
  n_masks: {type: BIGINT, about: masks on them}
  effective_n: {type: DOUBLE, about: independent images behind large_region_image_share}
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

figures AS (
    SELECT
        run_id,
        count(*) AS n_images,
        sum(n_masks)::BIGINT AS n_masks,
        mean_interval(ratio_sums(covered_share, 1)) AS covered,
        share_interval(ratio_sums(has_large::INTEGER, 1)) AS with_large,
        share_interval(ratio_sums((n_masks = 0)::INTEGER, 1)) AS bare,
        mean_interval(ratio_sums(mean_depth * covered_px, covered_px)) AS stacked
    FROM measured
    GROUP BY run_id
)

SELECT
    runs.stage,
    runs.cycle,
    figures.run_id,
    figures.covered.mean AS mean_covered_share,
    clamp(figures.covered.low, 0, 1) AS mean_covered_share_low,
    clamp(figures.covered.high, 0, 1) AS mean_covered_share_high,
    figures.with_large.share AS large_region_image_share,
    figures.with_large.low AS large_region_image_share_low,
    figures.with_large.high AS large_region_image_share_high,
    figures.bare.share AS no_mask_image_share,
    figures.bare.low AS no_mask_image_share_low,
    figures.bare.high AS no_mask_image_share_high,
    figures.stacked.mean AS mean_depth,
    clamp(figures.stacked.low, 0, figures.stacked.mean) AS mean_depth_low,
    figures.stacked.high AS mean_depth_high,
    figures.n_images,
    figures.n_masks,
    figures.with_large.effective_n,
    'every measured image of the run; images are independent' AS design
FROM figures
INNER JOIN runs USING (run_id)
ORDER BY runs.stage, runs.cycle, figures.run_id
