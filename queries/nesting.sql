/*
title: Nesting
about: >
  How many masks of each run are wholes, parts of a whole, or parts of a part: a mask lies at depth 1 where
  one mask above it contains it, and so on. Needs `curation measure`. Depths without masks are left out.
  Intervals are 95 % and take the image as the cluster.
grain: one depth of one run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all}
columns:
  stage: {type: VARCHAR, about: stage of the run}
  cycle: {type: SMALLINT, about: cycle of the run}
  run_id: {type: INTEGER, about: run}
  nesting_depth: {type: SMALLINT, about: masks above it in the tree of its image}
  level: {type: VARCHAR, about: "whole (depth 0), part (1) or subpart (2 and more)"}
  n_depth_masks: {type: BIGINT, about: masks at this depth}
  mask_share: {type: DOUBLE, about: "their share of the run's masks, 0..1"}
  mask_share_low: {type: DOUBLE, about: lower bound}
  mask_share_high: {type: DOUBLE, about: upper bound}
  children_per_mask: {type: DOUBLE, about: mean number of masks right below one of this depth}
  children_per_mask_low: {type: DOUBLE, about: lower bound}
  children_per_mask_high: {type: DOUBLE, about: upper bound}
  n_images: {type: BIGINT, about: images with masks}
  n_masks: {type: BIGINT, about: measured masks of the run}
  effective_n: {type: DOUBLE, about: independent masks that would tell as much about mask_share}
  design: {type: VARCHAR, about: what was counted and what the interval takes as the unit}
*/
WITH depths_of_image AS (
    SELECT
        run_id,
        image_id,
        nesting_depth,
        count(*) AS n_masks,
        sum(n_children) AS n_children
    FROM mask_nesting
    WHERE $run_id IS NULL OR run_id = $run_id
    GROUP BY run_id, image_id, nesting_depth
),

images_of_run AS (
    SELECT
        run_id,
        image_id,
        sum(n_masks)::DOUBLE AS n_masks
    FROM depths_of_image
    GROUP BY run_id, image_id
),

totals AS (
    SELECT
        run_id,
        ratio_sums(n_masks, n_masks) AS sums
    FROM images_of_run
    GROUP BY run_id
),

depths AS (
    SELECT
        run_id,
        nesting_depth,
        sum(depths_of_image.n_masks)::BIGINT AS n_depth_masks,
        ratio_sums(depths_of_image.n_masks, images_of_run.n_masks) AS sums,
        mean_interval(ratio_sums(depths_of_image.n_children, depths_of_image.n_masks)) AS of_below
    FROM depths_of_image
    INNER JOIN images_of_run USING (run_id, image_id)
    GROUP BY run_id, nesting_depth
),

figures AS (
    SELECT
        depths.*,
        share_interval(band_sums(depths.sums, totals.sums)) AS at_depth
    FROM depths
    INNER JOIN totals USING (run_id)
)

SELECT
    runs.stage,
    runs.cycle,
    figures.run_id,
    figures.nesting_depth,
    ['whole', 'part', 'subpart'][1 + least(2, figures.nesting_depth)] AS level, -- noqa: RF04
    figures.n_depth_masks,
    figures.at_depth.share AS mask_share,
    figures.at_depth.low AS mask_share_low,
    figures.at_depth.high AS mask_share_high,
    figures.of_below.mean AS children_per_mask,
    clamp(figures.of_below.low, 0, figures.of_below.mean) AS children_per_mask_low,
    figures.of_below.high AS children_per_mask_high,
    figures.at_depth.n_images,
    figures.at_depth.n_units AS n_masks,
    figures.at_depth.effective_n,
    'every measured mask of the run; image as cluster' AS design
FROM figures
INNER JOIN runs USING (run_id)
ORDER BY runs.stage, runs.cycle, figures.run_id, figures.nesting_depth
