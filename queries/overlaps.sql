/*
title: Overlaps
about: >
  How many masks of each run overlap others on their image, and how much. Needs `curation measure`. Parts
  on wholes overlap rightly: `inside` shows them; near duplicates show in `over_limit`. Intervals are 95 %
  and take the image as the cluster.
grain: one kind of overlap of one run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all}
  warn_iou: {type: DOUBLE, default: 0.5, about: an IoU above this draws a warning when a person adds a mask}
  limit_iou: {type: DOUBLE, default: 0.7, about: an IoU above this is a near duplicate}
  inside_share: {type: DOUBLE, default: 0.95, about: share of its area from which a mask is inside another}
columns:
  stage: {type: VARCHAR, about: stage of the run}
  cycle: {type: SMALLINT, about: cycle of the run}
  run_id: {type: INTEGER, about: run}
  overlap: {type: VARCHAR, about: "any (shares a pixel), over_warning, over_limit or inside"}
  threshold: {type: DOUBLE, about: "IoU above which a pair counts, or inside_share"}
  n_pairs: {type: BIGINT, about: pairs of masks that overlap so}
  n_overlapping_masks: {type: BIGINT, about: masks that overlap at least one other so}
  mask_share: {type: DOUBLE, about: their share of all masks}
  mask_share_low: {type: DOUBLE, about: lower bound}
  mask_share_high: {type: DOUBLE, about: upper bound}
  n_images: {type: BIGINT, about: measured images with masks}
  n_masks: {type: BIGINT, about: measured masks}
  effective_n: {type: DOUBLE, about: independent masks that would tell as much about mask_share}
  design: {type: VARCHAR, about: what was counted and what the interval takes as the unit}
*/
WITH images_of_run AS (
    SELECT
        run_id,
        image_id,
        n_masks
    FROM image_coverage
    WHERE n_masks > 0 AND ($run_id IS NULL OR run_id = $run_id)
),

kinds (place, overlap, threshold) AS (
    VALUES
    (1, 'any', NULL::DOUBLE),
    (2, 'over_warning', $warn_iou::DOUBLE),
    (3, 'over_limit', $limit_iou::DOUBLE),
    (4, 'inside', $inside_share::DOUBLE)
),

pairs AS (
    SELECT
        run_id,
        image_id,
        mask_id,
        other_mask_id,
        kinds.place,
        kinds.overlap <> 'inside' OR mask_share >= kinds.threshold AS has_mask,
        kinds.overlap <> 'inside' OR other_share >= kinds.threshold AS has_other
    FROM "overlaps"
    CROSS JOIN kinds
    WHERE
        ($run_id IS NULL OR run_id = $run_id)
        AND CASE kinds.overlap
            WHEN 'any' THEN TRUE
            WHEN 'inside' THEN greatest(mask_share, other_share) >= kinds.threshold
            ELSE iou > kinds.threshold
        END
),

masks_of_image AS (
    SELECT
        run_id,
        image_id,
        place,
        count(DISTINCT mask_id) AS n_overlapping
    FROM (
        SELECT
            run_id,
            image_id,
            place,
            mask_id
        FROM pairs
        WHERE has_mask
        UNION ALL
        SELECT
            run_id,
            image_id,
            place,
            other_mask_id AS mask_id
        FROM pairs
        WHERE has_other
    ) AS members
    GROUP BY run_id, image_id, place
),

pairs_of_run AS (
    SELECT
        run_id,
        place,
        count(*) AS n_pairs
    FROM pairs
    GROUP BY run_id, place
),

figures AS (
    SELECT
        images_of_run.run_id,
        kinds.place,
        kinds.overlap,
        kinds.threshold,
        coalesce(sum(masks_of_image.n_overlapping), 0)::BIGINT AS n_overlapping_masks,
        share_interval(
            ratio_sums(coalesce(masks_of_image.n_overlapping, 0), images_of_run.n_masks)
        ) AS overlapping
    FROM images_of_run
    CROSS JOIN kinds
    LEFT JOIN masks_of_image
        ON
            images_of_run.run_id = masks_of_image.run_id
            AND images_of_run.image_id = masks_of_image.image_id
            AND kinds.place = masks_of_image.place
    GROUP BY images_of_run.run_id, kinds.place, kinds.overlap, kinds.threshold
)

SELECT
    runs.stage,
    runs.cycle,
    figures.run_id,
    figures.overlap,
    figures.threshold,
    coalesce(pairs_of_run.n_pairs, 0) AS n_pairs,
    figures.n_overlapping_masks,
    figures.overlapping.share AS mask_share,
    figures.overlapping.low AS mask_share_low,
    figures.overlapping.high AS mask_share_high,
    figures.overlapping.n_images,
    figures.overlapping.n_units AS n_masks,
    figures.overlapping.effective_n,
    'every measured mask of the run; image as cluster' AS design
FROM figures
INNER JOIN runs USING (run_id)
LEFT JOIN pairs_of_run USING (run_id, place)
ORDER BY runs.stage, runs.cycle, figures.run_id, figures.place
