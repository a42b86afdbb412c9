/*
title: Stage comparison
about: >
  The stages of the data engine side by side: how many masks, how small, how good. Each image counts once a
  stage, with the newest run of the stage's newest cycle that read it, so a retuned run stands for the one
  it came from. Masks that people added to it in the app count among its masks; figures against gold are of
  what the run made. A `_change` is the difference to the stage before; images that both stages read are
  compared with themselves. Intervals are 95 % and take the image as the cluster; a change whose interval
  holds 0 is not shown to be one.
grain: one stage
params:
  gold_run_id: {type: INTEGER, default: null, about: only this gold run; null takes every gold run together}
  auto_accept:
    type: DOUBLE
    default: 0.9
    about: >-
      a mask whose predicted IoU is above it is accepted without a person
  iou_threshold: {type: DOUBLE, default: 0.5, about: a mask and a gold mask are partners from this IoU on}
  high_iou:
    type: DOUBLE
    default: 0.9
    about: >-
      a mask is good when its best IoU with gold is above it; SAM used 0.9 and 0.75
  small_area_px: {type: BIGINT, default: 1024, about: "a mask below this area is small; COCO's is 32 x 32 px"}
columns:
  stage: {type: VARCHAR, about: stage of the data engine}
  n_runs: {type: BIGINT, about: runs whose masks count}
  n_cycles: {type: BIGINT, about: cycles that these runs belong to}
  n_images: {type: BIGINT, about: "images, with or without masks"}
  n_masks: {type: BIGINT, about: masks}
  masks_per_image: {type: DOUBLE, about: "mean number of masks an image"}
  masks_per_image_low: {type: DOUBLE, about: lower bound}
  masks_per_image_high: {type: DOUBLE, about: upper bound}
  masks_per_image_change: {type: DOUBLE, about: difference to the stage before; null in the first}
  masks_per_image_change_low: {type: DOUBLE, about: lower bound}
  masks_per_image_change_high: {type: DOUBLE, about: upper bound}
  small_share: {type: DOUBLE, about: "share of masks that are small, 0..1"}
  small_share_low: {type: DOUBLE, about: lower bound}
  small_share_high: {type: DOUBLE, about: upper bound}
  small_share_change: {type: DOUBLE, about: difference to the stage before; null in the first}
  small_share_change_low: {type: DOUBLE, about: lower bound}
  small_share_change_high: {type: DOUBLE, about: upper bound}
  mean_predicted_iou:
    type: DOUBLE
    about: >-
      mean of the model's own estimate of IoU over masks that have one
  mean_predicted_iou_low: {type: DOUBLE, about: lower bound}
  mean_predicted_iou_high: {type: DOUBLE, about: upper bound}
  auto_accept_share:
    type: DOUBLE
    about: >-
      share of the masks with a predicted IoU that are accepted without a person, 0..1
  auto_accept_share_low: {type: DOUBLE, about: lower bound}
  auto_accept_share_high: {type: DOUBLE, about: upper bound}
  precision: {type: DOUBLE, about: "share of masks that have a partner in gold, 0..1; null without gold"}
  precision_low: {type: DOUBLE, about: lower bound}
  precision_high: {type: DOUBLE, about: upper bound}
  precision_change: {type: DOUBLE, about: difference to the stage before; null in the first}
  precision_change_low: {type: DOUBLE, about: lower bound}
  precision_change_high: {type: DOUBLE, about: upper bound}
  recall: {type: DOUBLE, about: "share of gold masks that have a partner, 0..1; null without gold"}
  recall_low: {type: DOUBLE, about: lower bound}
  recall_high: {type: DOUBLE, about: upper bound}
  recall_change: {type: DOUBLE, about: difference to the stage before; null in the first}
  recall_change_low: {type: DOUBLE, about: lower bound}
  recall_change_high: {type: DOUBLE, about: upper bound}
  high_iou_share:
    type: DOUBLE
    about: >-
      share of masks whose best IoU with gold is above high_iou, 0..1; SAM reported 0.94 at 0.9
  high_iou_share_low: {type: DOUBLE, about: lower bound}
  high_iou_share_high: {type: DOUBLE, about: upper bound}
  boundary_iou:
    type: DOUBLE
    about: >-
      mean over masks of the boundary IoU with the best gold mask, 0..1; null without gold
  boundary_iou_low: {type: DOUBLE, about: lower bound}
  boundary_iou_high: {type: DOUBLE, about: upper bound}
  n_gold_images: {type: BIGINT, about: images of the stage that have gold}
  n_gold_masks: {type: BIGINT, about: "gold masks on them, of each gold run"}
  design: {type: VARCHAR, about: what was counted and what the interval takes as the unit}
*/
WITH readings AS (
    SELECT
        stage,
        image_id,
        max_by(run_id, (cycle, run_id)) AS run_id
    FROM current_images
    GROUP BY stage, image_id
),

masks_of_image AS (
    SELECT
        run_id,
        image_id,
        count(*) AS n_masks,
        count(*) FILTER (WHERE area_px < $small_area_px) AS n_small,
        count(predicted_iou) AS n_predicted,
        sum(predicted_iou) AS sum_predicted_iou,
        count(*) FILTER (WHERE predicted_iou > $auto_accept) AS n_accepted
    FROM masks
    GROUP BY run_id, image_id
),

-- What people drew because the run had missed it; a correction stands for a mask that is counted already.
added_to_image AS (
    SELECT
        run_id,
        image_id,
        count(*) AS n_masks,
        count(*) FILTER (WHERE area_px < $small_area_px) AS n_small
    FROM drawn_on_runs
    WHERE supersedes IS NULL
    GROUP BY run_id, image_id
),

matched AS (
    SELECT *
    FROM gold_comparisons
    WHERE $gold_run_id IS NULL OR gold_run_id = $gold_run_id
),

-- A mask without any overlap has a boundary IoU of 0; one whose boundary was never compared makes its
-- image unknown.
gold_of_image AS (
    SELECT
        run_id,
        image_id,
        count(*) FILTER (WHERE is_compared) AS n_compared,
        count(gold_mask_id) AS n_gold_masks,
        count(*) FILTER (WHERE is_compared AND matched_iou >= $iou_threshold) AS n_right,
        count(*) FILTER (WHERE matched_iou >= $iou_threshold) AS n_found,
        count(*) FILTER (WHERE is_compared AND gold_iou > $high_iou) AS n_over,
        coalesce(sum(gold_boundary_iou) FILTER (WHERE is_compared), 0) AS sum_boundary_iou,
        count(*) FILTER (WHERE is_compared AND gold_iou > 0 AND gold_boundary_iou IS NULL) AS n_unbounded
    FROM matched
    GROUP BY run_id, image_id
),

per_image AS (
    SELECT
        readings.stage,
        readings.run_id,
        readings.image_id,
        coalesce(masks_of_image.n_masks, 0) + coalesce(added_to_image.n_masks, 0) AS n_masks,
        coalesce(masks_of_image.n_small, 0) + coalesce(added_to_image.n_small, 0) AS n_small,
        masks_of_image.n_predicted,
        masks_of_image.sum_predicted_iou,
        masks_of_image.n_accepted,
        gold_of_image.n_compared,
        gold_of_image.n_gold_masks,
        gold_of_image.n_right,
        gold_of_image.n_found,
        gold_of_image.n_over,
        CASE WHEN gold_of_image.n_unbounded = 0 THEN gold_of_image.sum_boundary_iou END AS sum_boundary_iou,
        CASE WHEN gold_of_image.n_unbounded = 0 THEN gold_of_image.n_compared END AS n_bounded
    FROM readings
    LEFT JOIN masks_of_image USING (run_id, image_id)
    LEFT JOIN added_to_image USING (run_id, image_id)
    LEFT JOIN gold_of_image USING (run_id, image_id)
),

totals AS (
    SELECT
        stage,
        count(DISTINCT run_id) AS n_runs,
        count(*) AS n_images,
        sum(n_masks)::BIGINT AS n_masks,
        count(n_gold_masks) AS n_gold_images,
        coalesce(sum(n_gold_masks), 0)::BIGINT AS n_gold_masks,
        ratio_sums(n_masks, 1) AS masks_per_image,
        ratio_sums(n_small, n_masks) AS small_masks,
        ratio_sums(sum_predicted_iou, n_predicted) AS predicted,
        ratio_sums(n_accepted, n_predicted) AS accepted,
        ratio_sums(n_right, n_compared) AS found_masks,
        ratio_sums(n_found, n_gold_masks) AS found_gold,
        ratio_sums(n_over, n_compared) AS over_high,
        ratio_sums(sum_boundary_iou, n_bounded) AS boundary
    FROM per_image
    GROUP BY stage
),

cycles AS (
    SELECT
        readings.stage,
        count(DISTINCT runs.cycle) AS n_cycles
    FROM readings
    INNER JOIN runs USING (run_id)
    GROUP BY readings.stage
),

places AS (
    SELECT
        stage,
        list_position(['assisted_manual', 'semi_automatic', 'fully_automatic'], stage) AS place
    FROM totals
),

steps AS (
    SELECT
        stage,
        place,
        lag(stage) OVER (ORDER BY place) AS stage_before
    FROM places
),

residuals AS (
    SELECT
        per_image.stage,
        per_image.image_id,
        ratio_residual(totals.masks_per_image, per_image.n_masks, 1) AS masks_per_image,
        ratio_residual(totals.small_masks, per_image.n_small, per_image.n_masks) AS small_masks,
        ratio_residual(totals.found_masks, per_image.n_right, per_image.n_compared) AS found_masks,
        ratio_residual(totals.found_gold, per_image.n_found, per_image.n_gold_masks) AS found_gold
    FROM per_image
    INNER JOIN totals USING (stage)
),

-- Only images that both stages read make their figures depend on each other.
covariances AS (
    SELECT
        steps.stage,
        sum(own.masks_per_image * earlier.masks_per_image) AS masks_per_image,
        sum(own.small_masks * earlier.small_masks) AS small_masks,
        sum(own.found_masks * earlier.found_masks) AS found_masks,
        sum(own.found_gold * earlier.found_gold) AS found_gold
    FROM steps
    INNER JOIN residuals AS own ON steps.stage = own.stage
    INNER JOIN residuals AS earlier ON steps.stage_before = earlier.stage AND own.image_id = earlier.image_id
    GROUP BY steps.stage
),

figures AS (
    SELECT
        totals.*,
        steps.place,
        mean_interval(totals.masks_per_image) AS masks_per_image_e,
        share_interval(totals.small_masks) AS small_e,
        mean_interval(totals.predicted) AS predicted_e,
        share_interval(totals.accepted) AS accepted_e,
        share_interval(totals.found_masks) AS found_masks_e,
        share_interval(totals.found_gold) AS found_gold_e,
        share_interval(totals.over_high) AS over_e,
        mean_interval(totals.boundary) AS boundary_e,
        difference_interval(totals.masks_per_image, earlier.masks_per_image, covariances.masks_per_image)
            AS masks_per_image_d,
        difference_interval(totals.small_masks, earlier.small_masks, covariances.small_masks) AS small_d,
        difference_interval(totals.found_masks, earlier.found_masks, covariances.found_masks)
            AS found_masks_d,
        difference_interval(totals.found_gold, earlier.found_gold, covariances.found_gold) AS found_gold_d
    FROM totals
    INNER JOIN steps USING (stage)
    LEFT JOIN totals AS earlier ON steps.stage_before = earlier.stage
    LEFT JOIN covariances ON totals.stage = covariances.stage
)

SELECT
    figures.stage,
    figures.n_runs,
    cycles.n_cycles,
    figures.n_images,
    figures.n_masks,
    figures.masks_per_image_e.mean AS masks_per_image,
    clamp(figures.masks_per_image_e.low, 0, figures.masks_per_image_e.mean) AS masks_per_image_low,
    figures.masks_per_image_e.high AS masks_per_image_high,
    figures.masks_per_image_d.difference AS masks_per_image_change,
    figures.masks_per_image_d.low AS masks_per_image_change_low,
    figures.masks_per_image_d.high AS masks_per_image_change_high,
    figures.small_e.share AS small_share,
    figures.small_e.low AS small_share_low,
    figures.small_e.high AS small_share_high,
    figures.small_d.difference AS small_share_change,
    clamp(figures.small_d.low, -1, 1) AS small_share_change_low,
    clamp(figures.small_d.high, -1, 1) AS small_share_change_high,
    figures.predicted_e.mean AS mean_predicted_iou,
    figures.predicted_e.low AS mean_predicted_iou_low,
    figures.predicted_e.high AS mean_predicted_iou_high,
    figures.accepted_e.share AS auto_accept_share,
    figures.accepted_e.low AS auto_accept_share_low,
    figures.accepted_e.high AS auto_accept_share_high,
    figures.found_masks_e.share AS precision, -- noqa: RF04
    figures.found_masks_e.low AS precision_low,
    figures.found_masks_e.high AS precision_high,
    figures.found_masks_d.difference AS precision_change,
    clamp(figures.found_masks_d.low, -1, 1) AS precision_change_low,
    clamp(figures.found_masks_d.high, -1, 1) AS precision_change_high,
    figures.found_gold_e.share AS recall,
    figures.found_gold_e.low AS recall_low,
    figures.found_gold_e.high AS recall_high,
    figures.found_gold_d.difference AS recall_change,
    clamp(figures.found_gold_d.low, -1, 1) AS recall_change_low,
    clamp(figures.found_gold_d.high, -1, 1) AS recall_change_high,
    figures.over_e.share AS high_iou_share,
    figures.over_e.low AS high_iou_share_low,
    figures.over_e.high AS high_iou_share_high,
    figures.boundary_e.mean AS boundary_iou,
    clamp(figures.boundary_e.low, 0, 1) AS boundary_iou_low,
    clamp(figures.boundary_e.high, 0, 1) AS boundary_iou_high,
    figures.n_gold_images,
    figures.n_gold_masks,
    'every mask of the newest run of the stage on each image; image as cluster' AS design
FROM figures
INNER JOIN cycles USING (stage)
ORDER BY figures.place
