/*
title: Masks at the image border
about: >
  How many masks of each run touch the border of their image, where an object is cut off. Needs `curation
  measure`. Intervals are 95 % and take the image as the cluster.
grain: one way to touch the border, of one run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all}
columns:
  stage: {type: VARCHAR, about: stage of the run}
  cycle: {type: SMALLINT, about: cycle of the run}
  run_id: {type: INTEGER, about: run}
  touches: {type: VARCHAR, about: "any border, left, top, right, bottom, or 2, 3 or all 4 borders at least"}
  n_border_masks: {type: BIGINT, about: masks that touch the border so}
  mask_share: {type: DOUBLE, about: "their share of the run's masks, 0..1"}
  mask_share_low: {type: DOUBLE, about: lower bound}
  mask_share_high: {type: DOUBLE, about: upper bound}
  mean_image_share: {type: DOUBLE, about: "mean area of such a mask, as a share of its image, 0..1"}
  mean_image_share_low: {type: DOUBLE, about: lower bound}
  mean_image_share_high: {type: DOUBLE, about: upper bound}
  n_images: {type: BIGINT, about: images with masks}
  n_masks: {type: BIGINT, about: measured masks of the run}
  effective_n: {type: DOUBLE, about: independent masks that would tell as much about mask_share}
  design: {type: VARCHAR, about: what was counted and what the interval takes as the unit}
*/
WITH masks_of_image AS (
    SELECT
        run_id,
        image_id,
        count(*) AS n_masks,
        count(*) FILTER (WHERE n_borders_touched >= 1) AS n_any,
        count(*) FILTER (WHERE touches_left) AS n_left,
        count(*) FILTER (WHERE touches_top) AS n_top,
        count(*) FILTER (WHERE touches_right) AS n_right,
        count(*) FILTER (WHERE touches_bottom) AS n_bottom,
        count(*) FILTER (WHERE n_borders_touched >= 2) AS n_two,
        count(*) FILTER (WHERE n_borders_touched >= 3) AS n_three,
        count(*) FILTER (WHERE n_borders_touched >= 4) AS n_four,
        sum(image_share) FILTER (WHERE n_borders_touched >= 1) AS share_any,
        sum(image_share) FILTER (WHERE touches_left) AS share_left,
        sum(image_share) FILTER (WHERE touches_top) AS share_top,
        sum(image_share) FILTER (WHERE touches_right) AS share_right,
        sum(image_share) FILTER (WHERE touches_bottom) AS share_bottom,
        sum(image_share) FILTER (WHERE n_borders_touched >= 2) AS share_two,
        sum(image_share) FILTER (WHERE n_borders_touched >= 3) AS share_three,
        sum(image_share) FILTER (WHERE n_borders_touched >= 4) AS share_four
    FROM mask_features
    -- Corrections are no run's own work.
    ANTI JOIN runs ON mask_features.run_id = runs.run_id AND runs.kind = 'correct'
    WHERE $run_id IS NULL OR run_id = $run_id
    GROUP BY run_id, image_id
),

ways_of_image AS (
    SELECT
        run_id,
        n_masks,
        unnest([
            { 'place': 1, 'touches': 'any border', 'n': n_any, 'share': share_any },
            { 'place': 2, 'touches': 'left', 'n': n_left, 'share': share_left },
            { 'place': 3, 'touches': 'top', 'n': n_top, 'share': share_top },
            { 'place': 4, 'touches': 'right', 'n': n_right, 'share': share_right },
            { 'place': 5, 'touches': 'bottom', 'n': n_bottom, 'share': share_bottom },
            { 'place': 6, 'touches': '2 borders or more', 'n': n_two, 'share': share_two },
            { 'place': 7, 'touches': '3 borders or more', 'n': n_three, 'share': share_three },
            { 'place': 8, 'touches': 'all 4 borders', 'n': n_four, 'share': share_four }
        ]) AS way
    FROM masks_of_image
),

figures AS (
    SELECT
        run_id,
        way.place,
        way.touches,
        sum(way.n)::BIGINT AS n_border_masks,
        share_interval(ratio_sums(way.n, n_masks)) AS touching,
        mean_interval(ratio_sums(way.share, way.n)) AS image_share
    FROM ways_of_image
    GROUP BY run_id, way.place, way.touches
)

SELECT
    runs.stage,
    runs.cycle,
    figures.run_id,
    figures.touches,
    figures.n_border_masks,
    figures.touching.share AS mask_share,
    figures.touching.low AS mask_share_low,
    figures.touching.high AS mask_share_high,
    figures.image_share.mean AS mean_image_share,
    clamp(figures.image_share.low, 0, 1) AS mean_image_share_low,
    clamp(figures.image_share.high, 0, 1) AS mean_image_share_high,
    figures.touching.n_images,
    figures.touching.n_units AS n_masks,
    figures.touching.effective_n,
    'every measured mask of the run; image as cluster' AS design
FROM figures
INNER JOIN runs USING (run_id)
ORDER BY runs.stage, runs.cycle, figures.run_id, figures.place
