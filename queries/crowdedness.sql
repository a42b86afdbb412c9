/*
title: Crowdedness
about: >
  How crowded the images of each run are: on an image, the mean number of other masks whose boxes intersect
  the box of a mask; 0 for an image with fewer than two masks. Needs `curation measure`. Bands without
  images are left out. Intervals are 95 % over images.
grain: one band of crowdedness of one run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all}
columns:
  stage: {type: VARCHAR, about: stage of the run}
  cycle: {type: SMALLINT, about: cycle of the run}
  run_id: {type: INTEGER, about: run}
  crowdedness_from: {type: INTEGER, about: intersecting boxes of other masks where the band begins}
  crowdedness_to: {type: INTEGER, about: where it ends; null where there is no end}
  n_band_images: {type: BIGINT, about: images in the band}
  image_share: {type: DOUBLE, about: "their share of the measured images, 0..1"}
  image_share_low: {type: DOUBLE, about: lower bound}
  image_share_high: {type: DOUBLE, about: upper bound}
  masks_per_image: {type: DOUBLE, about: mean number of masks an image of the band}
  masks_per_image_low: {type: DOUBLE, about: lower bound}
  masks_per_image_high: {type: DOUBLE, about: upper bound}
  mean_crowdedness: {type: DOUBLE, about: mean over all images of the run; the same in all its rows}
  mean_crowdedness_low: {type: DOUBLE, about: lower bound}
  mean_crowdedness_high: {type: DOUBLE, about: upper bound}
  n_images: {type: BIGINT, about: measured images}
  n_masks: {type: BIGINT, about: masks on them}
  design: {type: VARCHAR, about: what was counted and what the interval takes as the unit}
*/
WITH bands (crowdedness_from, crowdedness_to) AS (
    VALUES (0, 1), (1, 2), (2, 5), (5, 10), (10, 20), (20, 50), (50, 100), (100, NULL)
),

measured AS (
    SELECT
        run_id,
        n_masks,
        crowdedness
    FROM image_coverage
    WHERE crowdedness IS NOT NULL AND ($run_id IS NULL OR run_id = $run_id)
),

totals AS (
    SELECT
        run_id,
        sum(n_masks)::BIGINT AS n_masks,
        ratio_sums(1, 1) AS sums,
        mean_interval(ratio_sums(crowdedness, 1)) AS crowded
    FROM measured
    GROUP BY run_id
),

bands_of_run AS (
    SELECT
        run_id,
        crowdedness_from,
        crowdedness_to,
        count(*) AS n_band_images,
        ratio_sums(1, 1) AS sums,
        mean_interval(ratio_sums(n_masks, 1)) AS masks_per_image
    FROM measured
    INNER JOIN
        bands
        ON crowdedness >= crowdedness_from AND (crowdedness_to IS NULL OR crowdedness < crowdedness_to)
    GROUP BY run_id, crowdedness_from, crowdedness_to
),

figures AS (
    SELECT
        bands_of_run.*,
        totals.n_masks,
        totals.crowded,
        share_interval(band_sums(bands_of_run.sums, totals.sums)) AS band
    FROM bands_of_run
    INNER JOIN totals USING (run_id)
)

SELECT
    runs.stage,
    runs.cycle,
    figures.run_id,
    figures.crowdedness_from,
    figures.crowdedness_to,
    figures.n_band_images,
    figures.band.share AS image_share,
    figures.band.low AS image_share_low,
    figures.band.high AS image_share_high,
    figures.masks_per_image.mean AS masks_per_image,
    clamp(figures.masks_per_image.low, 0, figures.masks_per_image.mean) AS masks_per_image_low,
    figures.masks_per_image.high AS masks_per_image_high,
    figures.crowded.mean AS mean_crowdedness,
    clamp(figures.crowded.low, 0, figures.crowded.mean) AS mean_crowdedness_low,
    figures.crowded.high AS mean_crowdedness_high,
    figures.band.n_images,
    figures.n_masks,
    'every measured image; images are independent' AS design
FROM figures
INNER JOIN runs USING (run_id)
ORDER BY runs.stage, runs.cycle, figures.run_id, figures.crowdedness_from
