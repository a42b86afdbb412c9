/*
title: Relative mask sizes
about: >
  How large the masks of each run are beside their image: sqrt(mask area / image area), as in SAM, section 5
  (arXiv 2304.02643), so 0.1 is a square of a tenth of the image's side. Bands without masks are left out.
  Intervals are 95 % and take the image as the cluster.
grain: one band of relative size of one run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all}
  n_bands: {type: INTEGER, default: 20, about: bands of equal width between 0 and 1}
columns:
  stage: {type: VARCHAR, about: stage of the run}
  cycle: {type: SMALLINT, about: cycle of the run}
  run_id: {type: INTEGER, about: run}
  relative_size_from: {type: DOUBLE, about: "relative size where the band begins, 0..1"}
  relative_size_to:
    type: DOUBLE
    about: >-
      relative size where it ends; masks of exactly 1 lie in the last band
  n_band_masks: {type: BIGINT, about: masks in the band}
  mask_share: {type: DOUBLE, about: "share of the run's masks that lie in the band, 0..1"}
  mask_share_low: {type: DOUBLE, about: lower bound}
  mask_share_high: {type: DOUBLE, about: upper bound}
  cumulative_share: {type: DOUBLE, about: share of masks in this band and all smaller ones}
  n_images: {type: BIGINT, about: images with masks}
  n_masks: {type: BIGINT, about: masks of the run}
  effective_n: {type: DOUBLE, about: independent masks that would tell as much about mask_share}
  design: {type: VARCHAR, about: what was counted and what the interval takes as the unit}
*/
WITH bands_of_image AS (
    SELECT
        run_id,
        image_id,
        least($n_bands - 1, floor(sqrt(area_px / (width_px::DOUBLE * height_px)) * $n_bands))::INTEGER
            AS band,
        count(*) AS n_masks
    FROM masks
    -- Corrections are no run's own work.
    ANTI JOIN runs ON masks.run_id = runs.run_id AND runs.kind = 'correct'
    WHERE $run_id IS NULL OR run_id = $run_id
    GROUP BY run_id, image_id, band
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
        band,
        sum(bands_of_image.n_masks)::BIGINT AS n_band_masks,
        ratio_sums(bands_of_image.n_masks, images_of_run.n_masks) AS sums
    FROM bands_of_image
    INNER JOIN images_of_run USING (run_id, image_id)
    GROUP BY run_id, band
),

figures AS (
    SELECT
        run_id,
        bands.band AS place,
        bands.n_band_masks,
        share_interval(band_sums(bands.sums, totals.sums)) AS band
    FROM bands
    INNER JOIN totals USING (run_id)
)

SELECT
    runs.stage,
    runs.cycle,
    figures.run_id,
    figures.place / $n_bands AS relative_size_from,
    (figures.place + 1) / $n_bands AS relative_size_to,
    figures.n_band_masks,
    figures.band.share AS mask_share,
    figures.band.low AS mask_share_low,
    figures.band.high AS mask_share_high,
    sum(figures.band.share) OVER (
        PARTITION BY figures.run_id
        ORDER BY figures.place
    ) AS cumulative_share,
    figures.band.n_images,
    figures.band.n_units AS n_masks,
    figures.band.effective_n,
    'every mask of the run; image as cluster' AS design
FROM figures
INNER JOIN runs USING (run_id)
ORDER BY runs.stage, runs.cycle, figures.run_id, figures.place
