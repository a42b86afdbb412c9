/*
title: Near duplicates
about: >
  How many masks of each run show what another mask of their image shows already, by how alike the two are.
  `extra` masks are those with an earlier mask (a smaller mask_id) of the same image above the threshold:
  about what would go if near duplicates were removed. Needs `curation measure`. Intervals are 95 % and take
  the image as the cluster.
grain: one IoU threshold of one run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all}
  iou_thresholds:
    type: "DOUBLE[]"
    default: [0.7, 0.8, 0.9, 0.95]
    about: >-
      two masks above it are near duplicates; SAM's NMS compares boxes at 0.7
columns:
  stage: {type: VARCHAR, about: stage of the run}
  cycle: {type: SMALLINT, about: cycle of the run}
  run_id: {type: INTEGER, about: run}
  iou_threshold: {type: DOUBLE, about: IoU of two masks above which they are near duplicates}
  n_pairs: {type: BIGINT, about: pairs of near duplicates}
  n_extra_masks: {type: BIGINT, about: masks with an earlier near duplicate}
  extra_share: {type: DOUBLE, about: "their share of the run's masks, 0..1"}
  extra_share_low: {type: DOUBLE, about: lower bound}
  extra_share_high: {type: DOUBLE, about: upper bound}
  effective_n: {type: DOUBLE, about: independent masks that would tell as much about extra_share}
  image_share: {type: DOUBLE, about: "share of the images with masks that have at least one pair, 0..1"}
  image_share_low: {type: DOUBLE, about: lower bound}
  image_share_high: {type: DOUBLE, about: upper bound}
  n_images: {type: BIGINT, about: measured images with masks}
  n_masks: {type: BIGINT, about: measured masks}
  design: {type: VARCHAR, about: what was counted and what the interval takes as the unit}
*/
WITH thresholds AS (
    SELECT DISTINCT unnest($iou_thresholds) AS iou_threshold
),

extra_masks AS (
    SELECT
        run_id,
        image_id,
        max(iou) AS max_iou,
        list(iou) AS ious
    FROM "overlaps"
    WHERE iou > list_min($iou_thresholds) AND ($run_id IS NULL OR run_id = $run_id)
    GROUP BY run_id, image_id, other_mask_id
),

duplicates_of_image AS (
    SELECT
        run_id,
        image_id,
        iou_threshold,
        count(*) AS n_extra,
        sum(len(list_filter(ious, LAMBDA iou: iou > iou_threshold)))::BIGINT AS n_pairs
    FROM extra_masks
    INNER JOIN thresholds ON max_iou > iou_threshold
    GROUP BY run_id, image_id, iou_threshold
),

images_of_run AS (
    SELECT
        run_id,
        image_id,
        n_masks
    FROM image_coverage
    WHERE n_masks > 0 AND ($run_id IS NULL OR run_id = $run_id)
),

figures AS (
    SELECT
        run_id,
        iou_threshold,
        coalesce(sum(n_pairs), 0)::BIGINT AS n_pairs,
        coalesce(sum(n_extra), 0)::BIGINT AS n_extra_masks,
        share_interval(ratio_sums(coalesce(n_extra, 0), n_masks)) AS extra,
        share_interval(ratio_sums((n_extra IS NOT NULL)::INTEGER, 1)) AS with_pairs
    FROM images_of_run
    CROSS JOIN thresholds
    LEFT JOIN duplicates_of_image USING (run_id, image_id, iou_threshold)
    GROUP BY run_id, iou_threshold
)

SELECT
    runs.stage,
    runs.cycle,
    figures.run_id,
    figures.iou_threshold,
    figures.n_pairs,
    figures.n_extra_masks,
    figures.extra.share AS extra_share,
    figures.extra.low AS extra_share_low,
    figures.extra.high AS extra_share_high,
    figures.extra.effective_n,
    figures.with_pairs.share AS image_share,
    figures.with_pairs.low AS image_share_low,
    figures.with_pairs.high AS image_share_high,
    figures.extra.n_images,
    figures.extra.n_units AS n_masks,
    'every measured mask of the run; image as cluster' AS design
FROM figures
INNER JOIN runs USING (run_id)
ORDER BY runs.stage, runs.cycle, figures.run_id, figures.iou_threshold
