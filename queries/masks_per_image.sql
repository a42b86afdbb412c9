/*
title: Masks per image
about: >
  On how many images of each run how many masks lie, in the bands of SAM's figure 6 (arXiv 2304.02643),
  images without masks apart. SA-1B has about 100 masks an image. Intervals are 95 % over images.
grain: one band of one run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all}
columns:
  stage: {type: VARCHAR, about: stage of the run}
  cycle: {type: SMALLINT, about: cycle of the run}
  run_id: {type: INTEGER, about: run}
  masks_from: {type: INTEGER, about: fewest masks of an image of the band}
  masks_to: {type: INTEGER, about: most masks of an image of the band; null where there is no end}
  n_band_images: {type: BIGINT, about: images in the band}
  image_share: {type: DOUBLE, about: "their share of all images of the run, 0..1"}
  image_share_low: {type: DOUBLE, about: lower bound}
  image_share_high: {type: DOUBLE, about: upper bound}
  masks_per_image: {type: DOUBLE, about: mean number of masks an image of the run; the same in all its rows}
  masks_per_image_low: {type: DOUBLE, about: lower bound}
  masks_per_image_high: {type: DOUBLE, about: upper bound}
  n_images: {type: BIGINT, about: "images that the run read, with or without masks"}
  n_masks: {type: BIGINT, about: masks of the run}
  design: {type: VARCHAR, about: what was counted and what the interval takes as the unit}
*/
WITH bands (masks_from, masks_to) AS (
    VALUES (0, 0), (1, 10), (11, 50), (51, 100), (101, 200), (201, NULL)
),

masks_of_image AS (
    SELECT
        run_id,
        image_id,
        count(*) AS n_masks
    FROM masks
    WHERE $run_id IS NULL OR run_id = $run_id
    GROUP BY run_id, image_id
),

images_of_run AS (
    SELECT
        run_id,
        coalesce(n_masks, 0) AS n_masks
    FROM images
    INNER JOIN runs USING (run_id)
    LEFT JOIN masks_of_image USING (run_id, image_id)
    WHERE runs.kind <> 'gold' AND ($run_id IS NULL OR run_id = $run_id)
),

totals AS (
    SELECT
        run_id,
        sum(n_masks)::BIGINT AS n_masks,
        mean_interval(ratio_sums(n_masks, 1)) AS masks_per_image
    FROM images_of_run
    GROUP BY run_id
),

figures AS (
    SELECT
        run_id,
        masks_from,
        masks_to,
        share_interval(ratio_sums((n_masks BETWEEN masks_from AND coalesce(masks_to, n_masks))::INTEGER, 1))
            AS band,
        count(*) FILTER (WHERE n_masks BETWEEN masks_from AND coalesce(masks_to, n_masks)) AS n_band_images
    FROM images_of_run
    CROSS JOIN bands
    GROUP BY run_id, masks_from, masks_to
)

SELECT
    runs.stage,
    runs.cycle,
    figures.run_id,
    figures.masks_from,
    figures.masks_to,
    figures.n_band_images,
    figures.band.share AS image_share,
    figures.band.low AS image_share_low,
    figures.band.high AS image_share_high,
    totals.masks_per_image.mean AS masks_per_image,
    clamp(totals.masks_per_image.low, 0, totals.masks_per_image.mean) AS masks_per_image_low,
    totals.masks_per_image.high AS masks_per_image_high,
    figures.band.n_images,
    totals.n_masks,
    'every image of the run; images are independent' AS design
FROM figures
INNER JOIN totals USING (run_id)
INNER JOIN runs USING (run_id)
ORDER BY runs.stage, runs.cycle, figures.run_id, figures.masks_from
