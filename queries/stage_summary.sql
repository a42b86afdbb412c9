/*
title: Stage summary
about: >
  What each run of each stage and cycle of the data engine made. Intervals are 95 % and take the image as the
  cluster; gold runs are left out.
grain: one run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all}
  small_area_px: {type: BIGINT, default: 1024, about: "a mask below this area is small; COCO's is 32 x 32 px"}
columns:
  stage: {type: VARCHAR, about: stage of the data engine}
  cycle: {type: SMALLINT, about: cycle inside the stage}
  run_id: {type: INTEGER, about: run}
  kind: {type: VARCHAR, about: "generate, import or retune"}
  model: {type: VARCHAR, about: model that made the masks; null for imports}
  preset: {type: VARCHAR, about: preset of its settings; null for imports}
  is_finished: {type: BOOLEAN, about: whether every image of the plan is done}
  n_planned_images: {type: BIGINT, about: images in the plan}
  n_images: {type: BIGINT, about: "images read, with or without masks"}
  n_masks: {type: BIGINT, about: masks}
  n_problems: {type: BIGINT, about: inputs that the run could not use}
  masks_per_image: {type: DOUBLE, about: mean number of masks an image}
  masks_per_image_low: {type: DOUBLE, about: lower bound}
  masks_per_image_high: {type: DOUBLE, about: upper bound}
  mean_predicted_iou: {type: DOUBLE, about: mean of the model's own estimate over masks that have one}
  mean_predicted_iou_low: {type: DOUBLE, about: lower bound}
  mean_predicted_iou_high: {type: DOUBLE, about: upper bound}
  small_share: {type: DOUBLE, about: share of masks that are small}
  small_share_low: {type: DOUBLE, about: lower bound}
  small_share_high: {type: DOUBLE, about: upper bound}
  small_effective_n: {type: DOUBLE, about: independent masks that would tell as much about small_share}
  design: {type: VARCHAR, about: what was counted and what the interval takes as the unit}
*/
WITH masks_of_image AS (
    SELECT
        run_id,
        image_id,
        count(*) AS n_masks,
        count(*) FILTER (WHERE area_px < $small_area_px) AS n_small,
        count(predicted_iou) AS n_predicted,
        sum(predicted_iou) AS sum_predicted_iou
    FROM masks
    WHERE $run_id IS NULL OR run_id = $run_id
    GROUP BY run_id, image_id
),

figures AS (
    SELECT
        images.run_id,
        count(*) AS n_images,
        coalesce(sum(masks_of_image.n_masks), 0)::BIGINT AS n_masks,
        mean_interval(ratio_sums(coalesce(masks_of_image.n_masks, 0), 1)) AS masks_per_image,
        mean_interval(ratio_sums(sum_predicted_iou, n_predicted)) AS predicted_iou,
        share_interval(ratio_sums(n_small, masks_of_image.n_masks)) AS small
    FROM images
    LEFT JOIN masks_of_image USING (run_id, image_id)
    GROUP BY images.run_id
),

problems_of_run AS (
    SELECT
        run_id,
        work AS kind,
        count(*) AS n_problems
    FROM problems
    GROUP BY run_id, work
)

SELECT
    runs.stage,
    runs.cycle,
    runs.run_id,
    runs.kind,
    runs.model,
    runs.preset,
    runs.finished_at IS NOT NULL AS is_finished,
    runs.n_images AS n_planned_images,
    coalesce(figures.n_images, 0) AS n_images,
    coalesce(figures.n_masks, 0) AS n_masks,
    coalesce(problems_of_run.n_problems, 0) AS n_problems,
    figures.masks_per_image.mean AS masks_per_image,
    clamp(figures.masks_per_image.low, 0, figures.masks_per_image.mean) AS masks_per_image_low,
    figures.masks_per_image.high AS masks_per_image_high,
    figures.predicted_iou.mean AS mean_predicted_iou,
    figures.predicted_iou.low AS mean_predicted_iou_low,
    figures.predicted_iou.high AS mean_predicted_iou_high,
    figures.small.share AS small_share,
    figures.small.low AS small_share_low,
    figures.small.high AS small_share_high,
    figures.small.effective_n AS small_effective_n,
    'every mask of the run; image as cluster' AS design
FROM runs
LEFT JOIN figures USING (run_id)
LEFT JOIN problems_of_run USING (run_id, kind)
WHERE runs.kind NOT IN ('gold', 'correct') AND ($run_id IS NULL OR runs.run_id = $run_id)
ORDER BY runs.stage, runs.cycle, runs.run_id
