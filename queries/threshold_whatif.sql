/*
title: Thresholds, what if
about: >
  What other thresholds would leave of each run, from the ledger of candidates. `n_passing` candidates clear
  both and reach non-maximum suppression (NMS). `n_kept` are the run's own masks that clear both: at least
  so many would be kept, because a duplicate may take the place of a mask that does not. Thresholds below
  the run's own also let in candidates (`n_added`) and know nothing of some (`n_unmeasured`). `curation
  retune` replays all filters exactly. Intervals are 95 % and take the image as the cluster.
grain: one pair of thresholds for one run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all}
  predicted_ious:
    type: "DOUBLE[]"
    default: [0.7, 0.8, 0.86, 0.88, 0.9, 0.95]
    about: >-
      thresholds of the predicted IoU: a candidate passes above it; 0 lets all pass; at most 8
  stabilities:
    type: "DOUBLE[]"
    default: [0.85, 0.9, 0.92, 0.95, 0.97]
    about: >-
      thresholds of stability: a candidate passes from it on; 0 lets all pass; at most 8
  small_area_px: {type: BIGINT, default: 1024, about: "a mask below this area is small; COCO's is 32 x 32 px"}
columns:
  run_id: {type: INTEGER, about: run}
  predicted_iou_threshold: {type: DOUBLE, about: threshold of the predicted IoU}
  stability_threshold: {type: DOUBLE, about: threshold of stability}
  n_passing: {type: BIGINT, about: candidates that reach NMS}
  n_added:
    type: BIGINT
    about: >-
      those among them that the run's own thresholds dropped; above 0, masks that they would add are missing
      from n_kept
  n_unmeasured:
    type: BIGINT
    about: >-
      candidates above the predicted IoU whose stability the run did not measure
  n_kept: {type: BIGINT, about: masks of the run that clear both thresholds}
  kept_share: {type: DOUBLE, about: "their share of the run's masks, 0..1"}
  kept_share_low: {type: DOUBLE, about: lower bound}
  kept_share_high: {type: DOUBLE, about: upper bound}
  kept_per_image: {type: DOUBLE, about: mean number of them an image}
  kept_per_image_low: {type: DOUBLE, about: lower bound}
  kept_per_image_high: {type: DOUBLE, about: upper bound}
  small_share: {type: DOUBLE, about: "share of them that are small, 0..1"}
  small_share_low: {type: DOUBLE, about: lower bound}
  small_share_high: {type: DOUBLE, about: upper bound}
  n_images: {type: BIGINT, about: images with candidates}
  design: {type: VARCHAR, about: what was counted and what the interval takes as the unit}
*/
WITH predicted AS (
    SELECT DISTINCT unnest($predicted_ious) AS predicted_iou_threshold
),

stable AS (
    SELECT DISTINCT unnest($stabilities) AS stability_threshold
),

grid AS (
    SELECT
        predicted_iou_threshold,
        stability_threshold
    FROM predicted
    CROSS JOIN stable
),

-- A cell is named by the highest thresholds that its candidates clear.
cells_of_image AS (
    SELECT
        run_id,
        image_id,
        highest_cleared(predicted_iou, $predicted_ious, TRUE) AS passed_predicted_iou,
        highest_cleared(stability_score, $stabilities, FALSE) AS passed_stability,
        count(*) FILTER (WHERE fate NOT IN ('crop_edge', 'min_area', 'max_area')) AS n_passing,
        count(*) FILTER (WHERE fate IN ('predicted_iou', 'stability')) AS n_added,
        count(*) FILTER (WHERE fate = 'predicted_iou' AND stability_score IS NULL) AS n_unmeasured,
        count(*) FILTER (WHERE fate = 'kept') AS n_kept,
        count(*) FILTER (WHERE fate = 'kept' AND area_px < $small_area_px) AS n_small
    FROM candidates
    WHERE $run_id IS NULL OR run_id = $run_id
    GROUP BY run_id, image_id, passed_predicted_iou, passed_stability
),

totals_of_image AS (
    SELECT
        run_id,
        image_id,
        sum(n_kept) AS n_kept
    FROM cells_of_image
    GROUP BY run_id, image_id
),

left_of_image AS (
    SELECT
        run_id,
        image_id,
        predicted_iou_threshold,
        stability_threshold,
        sum(n_passing) FILTER (WHERE passed_stability >= stability_threshold) AS n_passing,
        sum(n_added) FILTER (WHERE passed_stability >= stability_threshold) AS n_added,
        sum(n_unmeasured) AS n_unmeasured,
        sum(cells_of_image.n_kept) FILTER (WHERE passed_stability >= stability_threshold) AS n_kept,
        sum(n_small) FILTER (WHERE passed_stability >= stability_threshold) AS n_small
    FROM cells_of_image
    INNER JOIN grid ON passed_predicted_iou >= predicted_iou_threshold
    GROUP BY run_id, image_id, predicted_iou_threshold, stability_threshold
),

figures AS (
    SELECT
        run_id,
        predicted_iou_threshold,
        stability_threshold,
        count(*) AS n_images,
        coalesce(sum(n_passing), 0)::BIGINT AS n_passing,
        coalesce(sum(n_added), 0)::BIGINT AS n_added,
        coalesce(sum(n_unmeasured), 0)::BIGINT AS n_unmeasured,
        coalesce(sum(left_of_image.n_kept), 0)::BIGINT AS n_kept,
        share_interval(ratio_sums(coalesce(left_of_image.n_kept, 0), totals_of_image.n_kept)) AS kept,
        mean_interval(ratio_sums(coalesce(left_of_image.n_kept, 0), 1)) AS kept_per_image,
        share_interval(ratio_sums(n_small, left_of_image.n_kept)) AS small_masks
    FROM totals_of_image
    CROSS JOIN grid
    LEFT JOIN left_of_image USING (run_id, image_id, predicted_iou_threshold, stability_threshold)
    GROUP BY run_id, predicted_iou_threshold, stability_threshold
)

SELECT
    run_id,
    predicted_iou_threshold,
    stability_threshold,
    n_passing,
    n_added,
    n_unmeasured,
    n_kept,
    kept.share AS kept_share,
    kept.low AS kept_share_low,
    kept.high AS kept_share_high,
    kept_per_image.mean AS kept_per_image,
    clamp(kept_per_image.low, 0, kept_per_image.mean) AS kept_per_image_low,
    kept_per_image.high AS kept_per_image_high,
    small_masks.share AS small_share,
    small_masks.low AS small_share_low,
    small_masks.high AS small_share_high,
    n_images,
    'every candidate of the run; image as cluster' AS design
FROM figures
ORDER BY run_id, predicted_iou_threshold, stability_threshold
