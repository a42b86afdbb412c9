/*
title: Calibration of the predicted IoU
about: >
  Whether the model knows how good its masks are: its predicted IoU against the best IoU with gold, by bins
  of the predicted IoU; predictions beyond 0..1 fall into the outer bins, and masks in crowd gold do not
  count. ECE is the mean over masks of the absolute gap of their bin (Guo et al., 2017). It is never 0, even
  for a model that knows itself exactly: sampling alone leaves gaps, the more the finer the bins (Roelofs et
  al., 2022). `ece_by_chance` is what these images and bins would show then, and the lower bound of ECE
  takes off that much more; the upper bound takes off nothing, for true gaps hide none. So the interval is
  cautious: it holds the true ECE of these bins in 95 % or more. Intervals take the image as the cluster.
grain: one bin of the predicted IoU of one run against one gold run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all}
  gold_run_id: {type: INTEGER, default: null, about: only this gold run; null takes all}
  n_bins: {type: INTEGER, default: 20, about: bins of equal width between 0 and 1}
columns:
  stage: {type: VARCHAR, about: stage of the run}
  cycle: {type: SMALLINT, about: cycle of the run}
  run_id: {type: INTEGER, about: run}
  gold_run_id: {type: INTEGER, about: gold run}
  bin_from: {type: DOUBLE, about: predicted IoU where the bin begins}
  bin_to: {type: DOUBLE, about: predicted IoU where it ends}
  mean_predicted_iou: {type: DOUBLE, about: mean predicted IoU of its masks}
  mean_gold_iou: {type: DOUBLE, about: mean best IoU with gold of its masks}
  mean_gold_iou_low: {type: DOUBLE, about: lower bound}
  mean_gold_iou_high: {type: DOUBLE, about: upper bound}
  mean_gap: {type: DOUBLE, about: "mean of predicted minus gold IoU; above 0 the model flatters itself"}
  mean_gap_low: {type: DOUBLE, about: lower bound}
  mean_gap_high: {type: DOUBLE, about: upper bound}
  n_images: {type: BIGINT, about: images with masks in the bin}
  n_masks: {type: BIGINT, about: masks in the bin}
  ece: {type: DOUBLE, about: "expected calibration error over all bins, 0..1; the same in all rows of a run"}
  ece_low: {type: DOUBLE, about: lower bound; null where one image is all there is}
  ece_high: {type: DOUBLE, about: upper bound}
  ece_by_chance: {type: DOUBLE, about: "ECE that sampling alone would show if no bin had a gap, 0..1"}
  design: {type: VARCHAR, about: what was counted and what the interval takes as the unit}
*/
WITH bins_of_image AS (
    SELECT
        matches.run_id,
        matches.gold_run_id,
        matches.image_id,
        greatest(0, least($n_bins - 1, floor(masks.predicted_iou * $n_bins)))::INTEGER AS bin,
        count(*) AS n_masks,
        sum(masks.predicted_iou) AS sum_predicted,
        sum(matches.gold_iou) AS sum_gold
    FROM gold_comparisons AS matches
    INNER JOIN masks USING (run_id, mask_id)
    WHERE
        masks.predicted_iou IS NOT NULL
        AND matches.is_compared
        AND ($run_id IS NULL OR matches.run_id = $run_id)
        AND ($gold_run_id IS NULL OR matches.gold_run_id = $gold_run_id)
    GROUP BY matches.run_id, matches.gold_run_id, matches.image_id, bin
),

bins AS (
    SELECT
        run_id,
        gold_run_id,
        bin,
        sum(sum_predicted) / sum(n_masks) AS mean_predicted_iou,
        mean_interval(ratio_sums(sum_gold, n_masks)) AS gold,
        mean_interval(ratio_sums(sum_predicted - sum_gold, n_masks)) AS gap,
        ratio_estimate(ratio_sums(sum_predicted - sum_gold, n_masks)).v AS gap_variance
    FROM bins_of_image
    GROUP BY run_id, gold_run_id, bin
),

errors_of_image AS (
    SELECT
        run_id,
        gold_run_id,
        image_id,
        sum(n_masks) AS n_masks,
        sum(sign(gap.mean) * (sum_predicted - sum_gold)) AS sum_error
    FROM bins_of_image
    INNER JOIN bins USING (run_id, gold_run_id, bin)
    GROUP BY run_id, gold_run_id, image_id
),

errors AS (
    SELECT
        run_id,
        gold_run_id,
        mean_interval(ratio_sums(sum_error, n_masks)) AS ece
    FROM errors_of_image
    GROUP BY run_id, gold_run_id
),

-- The mean of |g| for a normal g around 0 is sqrt(2 / pi) of its deviation. A gap that one image alone shows
-- may all be chance.
chance AS (
    SELECT
        run_id,
        gold_run_id,
        sum(gap.n_units * coalesce(sqrt(2 / pi() * gap_variance), abs(gap.mean))) / sum(gap.n_units) AS ece
    FROM bins
    GROUP BY run_id, gold_run_id
)

SELECT
    runs.stage,
    runs.cycle,
    bins.run_id,
    bins.gold_run_id,
    bins.bin / $n_bins AS bin_from,
    (bins.bin + 1) / $n_bins AS bin_to,
    bins.mean_predicted_iou,
    bins.gold.mean AS mean_gold_iou,
    clamp(bins.gold.low, 0, 1) AS mean_gold_iou_low,
    clamp(bins.gold.high, 0, 1) AS mean_gold_iou_high,
    bins.gap.mean AS mean_gap,
    bins.gap.low AS mean_gap_low,
    bins.gap.high AS mean_gap_high,
    bins.gold.n_images,
    bins.gold.n_units AS n_masks,
    errors.ece.mean AS ece,
    clamp(errors.ece.low - chance.ece, 0, 1) AS ece_low,
    clamp(errors.ece.high, 0, 1) AS ece_high,
    chance.ece AS ece_by_chance,
    'every mask with a predicted IoU on the images with gold; image as cluster' AS design
FROM bins
INNER JOIN errors USING (run_id, gold_run_id)
INNER JOIN chance USING (run_id, gold_run_id)
INNER JOIN runs USING (run_id)
ORDER BY runs.stage, runs.cycle, bins.run_id, bins.gold_run_id, bins.bin
