/*
title: Heat map of mask centres
about: >
  Where on their images the masks of each run lie: their centres of mass over the image's size, counted on a
  grid, as in SAM's figure 5 (arXiv 2304.02643). Every cell has its row. Needs `curation measure`. Intervals
  are 95 %; they take 1,000 random groups of images as the clusters, which needs little memory at any size
  of the lake.
grain: one cell of the grid of one run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all}
  n_cells: {type: INTEGER, default: 8, about: cells a side of the grid}
columns:
  stage: {type: VARCHAR, about: stage of the run}
  cycle: {type: SMALLINT, about: cycle of the run}
  run_id: {type: INTEGER, about: run}
  row_number: {type: INTEGER, about: "row of the cell, 0 at the top"}
  column_number: {type: INTEGER, about: "column of the cell, 0 at the left"}
  x_from: {type: DOUBLE, about: "left edge of the cell, 0..1 of the image's width"}
  x_to: {type: DOUBLE, about: right edge}
  y_from: {type: DOUBLE, about: "upper edge of the cell, 0..1 of the image's height"}
  y_to: {type: DOUBLE, about: lower edge}
  n_cell_masks: {type: BIGINT, about: masks whose centre lies in the cell}
  mask_share: {type: DOUBLE, about: "their share of the run's masks, 0..1"}
  mask_share_low: {type: DOUBLE, about: lower bound}
  mask_share_high: {type: DOUBLE, about: upper bound}
  density: {type: DOUBLE, about: "mask_share over the share of an even spread: 1 is even, 2 twice as dense"}
  n_images: {type: BIGINT, about: measured images with masks}
  n_masks: {type: BIGINT, about: measured masks of the run that are not empty}
  effective_n: {type: DOUBLE, about: independent masks that would tell as much about mask_share}
  design: {type: VARCHAR, about: what was counted and what the interval takes as the unit}
*/
WITH cells_of_group AS (
    SELECT
        run_id,
        image_id % 1000 AS image_group,
        least($n_cells - 1, floor(center_xy[1] * $n_cells))::INTEGER AS column_number,
        least($n_cells - 1, floor(center_xy[2] * $n_cells))::INTEGER AS row_number,
        count(*) AS n_masks
    FROM mask_features
    -- Corrections are no run's own work.
    ANTI JOIN runs ON mask_features.run_id = runs.run_id AND runs.kind = 'correct'
    WHERE center_xy IS NOT NULL AND ($run_id IS NULL OR run_id = $run_id)
    GROUP BY run_id, image_group, column_number, row_number
),

groups_of_run AS (
    SELECT
        run_id,
        image_group,
        sum(n_masks)::DOUBLE AS n_masks
    FROM cells_of_group
    GROUP BY run_id, image_group
),

totals AS (
    SELECT
        run_id,
        ratio_sums(n_masks, n_masks) AS sums
    FROM groups_of_run
    GROUP BY run_id
),

images_of_run AS (
    SELECT
        run_id,
        count(*) AS n_images
    FROM image_coverage
    WHERE n_masks > 0
    GROUP BY run_id
),

sums_of_cell AS (
    SELECT
        run_id,
        column_number,
        row_number,
        sum(cells_of_group.n_masks)::BIGINT AS n_masks,
        ratio_sums(cells_of_group.n_masks, groups_of_run.n_masks) AS sums
    FROM cells_of_group
    INNER JOIN groups_of_run USING (run_id, image_group)
    GROUP BY run_id, column_number, row_number
),

places AS (
    SELECT
        columns_of_grid.range::INTEGER AS column_number,
        rows_of_grid.range::INTEGER AS row_number
    FROM range($n_cells) AS columns_of_grid
    CROSS JOIN range($n_cells) AS rows_of_grid
),

figures AS (
    SELECT
        totals.run_id,
        places.column_number,
        places.row_number,
        coalesce(sums_of_cell.n_masks, 0) AS n_cell_masks,
        share_interval(band_sums(sums_of_cell.sums, totals.sums)) AS cell
    FROM totals
    CROSS JOIN places
    LEFT JOIN sums_of_cell
        ON
            totals.run_id = sums_of_cell.run_id
            AND places.column_number = sums_of_cell.column_number
            AND places.row_number = sums_of_cell.row_number
)

SELECT
    runs.stage,
    runs.cycle,
    figures.run_id,
    figures.row_number,
    figures.column_number,
    figures.column_number / $n_cells AS x_from,
    (figures.column_number + 1) / $n_cells AS x_to,
    figures.row_number / $n_cells AS y_from,
    (figures.row_number + 1) / $n_cells AS y_to,
    figures.n_cell_masks,
    figures.cell.share AS mask_share,
    figures.cell.low AS mask_share_low,
    figures.cell.high AS mask_share_high,
    figures.cell.share * $n_cells * $n_cells AS density,
    images_of_run.n_images,
    figures.cell.n_units AS n_masks,
    figures.cell.effective_n,
    'every measured mask of the run; up to 1,000 random groups of images as clusters' AS design
FROM figures
INNER JOIN runs USING (run_id)
LEFT JOIN images_of_run USING (run_id)
ORDER BY runs.stage, runs.cycle, figures.run_id, figures.row_number, figures.column_number
