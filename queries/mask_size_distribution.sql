/*
title: Mask sizes
about: >
  How large the masks of each run are, by the side of a square of their area; each band is twice as wide
  as the one before. Bands without masks are left out. Intervals are 95 % and take the image as the
  cluster.
grain: one band of sizes of one run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all}
columns:
  stage: {type: VARCHAR, about: stage of the run}
  cycle: {type: SMALLINT, about: cycle of the run}
  run_id: {type: INTEGER, about: run}
  side_from_px: {type: BIGINT, about: sqrt(area) of the smallest masks of the band}
  side_to_px: {type: BIGINT, about: sqrt(area) below which the band ends}
  n_band_masks: {type: BIGINT, about: masks in the band}
  mask_share: {type: DOUBLE, about: share of the run's masks that lie in the band}
  mask_share_low: {type: DOUBLE, about: lower bound}
  mask_share_high: {type: DOUBLE, about: upper bound}
  cumulative_share: {type: DOUBLE, about: share of masks in this band and all smaller ones}
  mean_image_share: {type: DOUBLE, about: "mean area of the band's masks, as a share of their image"}
  n_images: {type: BIGINT, about: images with masks}
  n_masks: {type: BIGINT, about: masks of the run}
  effective_n: {type: DOUBLE, about: independent masks that would tell as much about mask_share}
  design: {type: VARCHAR, about: what was counted and what the interval takes as the unit}
*/
WITH bands_of_image AS (
    SELECT
        run_id,
        image_id,
        -- A small integer, since each mask's is hashed: the power of two that the side begins at.
        CASE WHEN area_px < 64 THEN 0 ELSE floor(log2(area_px) / 2) END::UTINYINT AS octave,
        count(*) AS n_masks,
        sum(area_px / (width_px::DOUBLE * height_px)) AS sum_image_share
    FROM masks
    -- Corrections are no run's own work.
    ANTI JOIN runs ON masks.run_id = runs.run_id AND runs.kind = 'correct'
    WHERE $run_id IS NULL OR run_id = $run_id
    GROUP BY run_id, image_id, octave
),

images_of_run AS (
    SELECT
        run_id,
        image_id,
        sum(n_masks)::DOUBLE AS n_masks
    FROM bands_of_image
    GROUP BY run_id, image_id
),

totals AS (
    SELECT
        run_id,
        ratio_sums(n_masks, n_masks) AS sums
    FROM images_of_run
    GROUP BY run_id
),

bands AS (
    SELECT
        run_id,
        CASE WHEN octave = 0 THEN 0 ELSE 1::BIGINT << octave END AS side_from_px,
        sum(bands_of_image.n_masks)::BIGINT AS n_band_masks,
        sum(sum_image_share) AS sum_image_share,
        ratio_sums(bands_of_image.n_masks, images_of_run.n_masks) AS sums
    FROM bands_of_image
    INNER JOIN images_of_run USING (run_id, image_id)
    GROUP BY run_id, octave
),

figures AS (
    SELECT
        bands.*,
        share_interval(band_sums(bands.sums, totals.sums)) AS band
    FROM bands
    INNER JOIN totals USING (run_id)
)

SELECT
    runs.stage,
    runs.cycle,
    figures.run_id,
    figures.side_from_px,
    greatest(8, 2 * figures.side_from_px) AS side_to_px,
    figures.n_band_masks,
    figures.band.share AS mask_share,
    figures.band.low AS mask_share_low,
    figures.band.high AS mask_share_high,
    sum(figures.band.share) OVER (
        PARTITION BY figures.run_id
        ORDER BY figures.side_from_px
    ) AS cumulative_share,
    figures.sum_image_share / figures.n_band_masks AS mean_image_share,
    figures.band.n_images,
    figures.band.n_units AS n_masks,
    figures.band.effective_n,
    'every mask of the run; image as cluster' AS design
FROM figures
INNER JOIN runs USING (run_id)
ORDER BY runs.stage, runs.cycle, figures.run_id, figures.side_from_px
