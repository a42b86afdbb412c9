/*
title: Stage evolution
about: >
  The data engine cycle by cycle: how many masks, how many of them people drew, how good they are. Each
  image counts once a cycle, with the newest run of the cycle that read it, so a retuned run stands for the
  one it came from. Masks of `assisted_manual` are manual, and those of `semi_automatic` that have no
  predicted IoU: people drew what the model missed. So are, in every stage, masks that people drew or
  corrected in the app: a correction stands for its mask. Figures against gold are of what the run made.
  Intervals are 95 % and take the image as the cluster.
grain: one cycle of one stage
params:
  gold_run_id: {type: INTEGER, default: null, about: only this gold run; null takes every gold run together}
  auto_accept:
    type: DOUBLE
    default: 0.9
    about: >-
      a mask whose predicted IoU is above it is accepted without a person
  iou_threshold: {type: DOUBLE, default: 0.5, about: a mask and a gold mask are partners from this IoU on}
columns:
  stage: {type: VARCHAR, about: stage of the data engine}
  cycle: {type: SMALLINT, about: cycle inside the stage}
  n_runs: {type: BIGINT, about: runs whose masks count}
  n_images: {type: BIGINT, about: "images, with or without masks"}
  n_masks: {type: BIGINT, about: masks}
  masks_per_image: {type: DOUBLE, about: mean number of masks an image}
  masks_per_image_low: {type: DOUBLE, about: lower bound}
  masks_per_image_high: {type: DOUBLE, about: upper bound}
  manual_per_image: {type: DOUBLE, about: mean number of manual masks an image}
  manual_per_image_low: {type: DOUBLE, about: lower bound}
  manual_per_image_high: {type: DOUBLE, about: upper bound}
  auto_accept_share:
    type: DOUBLE
    about: >-
      share of the masks with a predicted IoU that are accepted without a person, 0..1
  auto_accept_share_low: {type: DOUBLE, about: lower bound}
  auto_accept_share_high: {type: DOUBLE, about: upper bound}
  precision: {type: DOUBLE, about: "share of masks that have a partner in gold, 0..1; null without gold"}
  precision_low: {type: DOUBLE, about: lower bound}
  precision_high: {type: DOUBLE, about: upper bound}
  recall: {type: DOUBLE, about: "share of gold masks that have a partner, 0..1; null without gold"}
  recall_low: {type: DOUBLE, about: lower bound}
  recall_high: {type: DOUBLE, about: upper bound}
  boundary_iou:
    type: DOUBLE
    about: >-
      mean over masks of the boundary IoU with the best gold mask, 0..1; null without gold
  boundary_iou_low: {type: DOUBLE, about: lower bound}
  boundary_iou_high: {type: DOUBLE, about: upper bound}
  n_gold_images: {type: BIGINT, about: images of the cycle that have gold}
  n_gold_masks: {type: BIGINT, about: "gold masks on them, of each gold run"}
  design: {type: VARCHAR, about: what was counted and what the interval takes as the unit}
*/
WITH masks_of_image AS (
    SELECT
        run_id,
        image_id,
        count(*) AS n_masks,
        count(predicted_iou) AS n_predicted,
        count(*) FILTER (WHERE predicted_iou > $auto_accept) AS n_accepted
    FROM masks
    GROUP BY run_id, image_id
),

drawn_of_image AS (
    SELECT
        run_id,
        image_id,
        count(*) FILTER (WHERE is_current) AS n_drawn,
        count(*) FILTER (WHERE supersedes IS NULL) AS n_added
    FROM drawn_on_runs
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
        coalesce(sum(gold_boundary_iou) FILTER (WHERE is_compared), 0) AS sum_boundary_iou,
        count(*) FILTER (WHERE is_compared AND gold_iou > 0 AND gold_boundary_iou IS NULL) AS n_unbounded
    FROM matched
    GROUP BY run_id, image_id
),

per_image AS (
    SELECT
        current_images.stage,
        current_images.cycle,
        current_images.run_id,
        coalesce(masks_of_image.n_masks, 0) + coalesce(drawn_of_image.n_added, 0) AS n_masks,
        masks_of_image.n_predicted,
        masks_of_image.n_accepted,
        CASE current_images.stage
            WHEN 'assisted_manual' THEN coalesce(masks_of_image.n_masks, 0)
            WHEN 'semi_automatic' THEN coalesce(masks_of_image.n_masks - masks_of_image.n_predicted, 0)
            ELSE 0
        END AS n_made_by_hand,
        CASE current_images.stage
            WHEN 'assisted_manual' THEN coalesce(drawn_of_image.n_added, 0)
            ELSE coalesce(drawn_of_image.n_drawn, 0)
        END AS n_drawn,
        gold_of_image.n_compared,
        gold_of_image.n_gold_masks,
        gold_of_image.n_right,
        gold_of_image.n_found,
        CASE WHEN gold_of_image.n_unbounded = 0 THEN gold_of_image.sum_boundary_iou END AS sum_boundary_iou,
        CASE WHEN gold_of_image.n_unbounded = 0 THEN gold_of_image.n_compared END AS n_bounded
    FROM current_images
    LEFT JOIN masks_of_image USING (run_id, image_id)
    LEFT JOIN drawn_of_image USING (run_id, image_id)
    LEFT JOIN gold_of_image USING (run_id, image_id)
),

figures AS (
    SELECT
        stage,
        cycle,
        count(DISTINCT run_id) AS n_runs,
        count(*) AS n_images,
        sum(n_masks)::BIGINT AS n_masks,
        mean_interval(ratio_sums(n_masks, 1)) AS masks_per_image,
        mean_interval(ratio_sums(n_made_by_hand + n_drawn, 1)) AS manual_per_image,
        share_interval(ratio_sums(n_accepted, n_predicted)) AS auto_accept,
        share_interval(ratio_sums(n_right, n_compared)) AS found_masks,
        share_interval(ratio_sums(n_found, n_gold_masks)) AS found_gold,
        mean_interval(ratio_sums(sum_boundary_iou, n_bounded)) AS boundary,
        count(n_gold_masks) AS n_gold_images,
        coalesce(sum(n_gold_masks), 0)::BIGINT AS n_gold_masks
    FROM per_image
    GROUP BY stage, cycle
)

SELECT
    stage,
    cycle,
    n_runs,
    n_images,
    n_masks,
    masks_per_image.mean AS masks_per_image,
    clamp(masks_per_image.low, 0, masks_per_image.mean) AS masks_per_image_low,
    masks_per_image.high AS masks_per_image_high,
    manual_per_image.mean AS manual_per_image,
    clamp(manual_per_image.low, 0, manual_per_image.mean) AS manual_per_image_low,
    manual_per_image.high AS manual_per_image_high,
    auto_accept.share AS auto_accept_share,
    auto_accept.low AS auto_accept_share_low,
    auto_accept.high AS auto_accept_share_high,
    found_masks.share AS precision, -- noqa: RF04
    found_masks.low AS precision_low,
    found_masks.high AS precision_high,
    found_gold.share AS recall,
    found_gold.low AS recall_low,
    found_gold.high AS recall_high,
    boundary.mean AS boundary_iou,
    clamp(boundary.low, 0, 1) AS boundary_iou_low,
    clamp(boundary.high, 0, 1) AS boundary_iou_high,
    n_gold_images,
    n_gold_masks,
    'every mask of the newest run of the cycle on each image; image as cluster' AS design
FROM figures
ORDER BY list_position(['assisted_manual', 'semi_automatic', 'fully_automatic'], stage), cycle
