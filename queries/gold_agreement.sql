/*
title: Agreement with gold
about: >
  How well the masks of a run agree with gold on the images that have gold. `best_iou_over` is the share
  of masks whose best IoU with any gold mask is above the threshold, which is what SAM reported for its
  automatic masks (`sam_estimate`; arXiv 2304.02643, section 5; there the gold was corrected from the
  masks themselves). `precision` and `recall` count one-to-one partners whose IoU is at least the
  threshold. Intervals are 95 % and take the image as the cluster.
grain: one figure of one run against one gold run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all}
  gold_run_id: {type: INTEGER, default: null, about: only this gold run; null takes all}
columns:
  stage: {type: VARCHAR, about: stage of the run}
  cycle: {type: SMALLINT, about: cycle of the run}
  run_id: {type: INTEGER, about: run}
  gold_run_id: {type: INTEGER, about: gold run}
  figure: {type: VARCHAR, about: "best_iou_over, precision, recall (shares), or mean_best_iou (a mean)"}
  iou_threshold: {type: DOUBLE, about: threshold of the figure; null for the mean}
  estimate: {type: DOUBLE, about: "the figure, 0..1"}
  low: {type: DOUBLE, about: lower bound; null where one image is all there is}
  high: {type: DOUBLE, about: upper bound}
  sam_estimate: {type: DOUBLE, about: "what SAM reported for SA-1B, without an interval"}
  n_images: {type: BIGINT, about: images behind the figure}
  n_masks: {type: BIGINT, about: "masks behind the figure; gold masks for recall"}
  effective_n: {type: DOUBLE, about: independent masks that would tell as much; null for the mean}
  design: {type: VARCHAR, about: "what was counted, whose gold it is, what the interval takes as the unit"}
*/
WITH thresholds AS (
    SELECT unnest([0.50, 0.75, 0.90])::DOUBLE AS iou_threshold
),

per_image AS (
    SELECT
        run_id,
        gold_run_id,
        image_id,
        iou_threshold,
        count(mask_id) AS n_masks,
        count(gold_mask_id) AS n_gold_masks,
        count(*) FILTER (WHERE gold_iou > iou_threshold) AS n_over,
        count(*) FILTER (WHERE matched_iou >= iou_threshold) AS n_found,
        coalesce(sum(gold_iou), 0) AS sum_iou
    FROM gold_matches
    CROSS JOIN thresholds
    WHERE
        ($run_id IS NULL OR run_id = $run_id)
        AND ($gold_run_id IS NULL OR gold_run_id = $gold_run_id)
    GROUP BY run_id, gold_run_id, image_id, iou_threshold
),

shares AS (
    SELECT
        run_id,
        gold_run_id,
        iou_threshold,
        unnest([
            { 'place': 1, 'figure': 'best_iou_over', 'e': share_interval(ratio_sums(n_over, n_masks)) },
            { 'place': 2, 'figure': 'precision', 'e': share_interval(ratio_sums(n_found, n_masks)) },
            { 'place': 3, 'figure': 'recall', 'e': share_interval(ratio_sums(n_found, n_gold_masks)) }
        ]) AS f
    FROM per_image
    GROUP BY run_id, gold_run_id, iou_threshold
),

means AS (
    SELECT
        run_id,
        gold_run_id,
        mean_interval(ratio_sums(sum_iou, n_masks)) AS e
    FROM per_image
    WHERE iou_threshold = 0.5
    GROUP BY run_id, gold_run_id
),

figures AS (
    SELECT
        run_id,
        gold_run_id,
        f.place,
        f.figure,
        iou_threshold,
        f.e.share AS estimate,
        f.e.low,
        f.e.high,
        f.e.n_images,
        f.e.n_units AS n_masks,
        f.e.effective_n
    FROM shares
    UNION ALL
    SELECT
        run_id,
        gold_run_id,
        0 AS place,
        'mean_best_iou' AS figure,
        NULL AS iou_threshold,
        e.mean AS estimate,
        clamp(e.low, 0, 1) AS low,
        clamp(e.high, 0, 1) AS high,
        e.n_images,
        e.n_units AS n_masks,
        NULL AS effective_n
    FROM means
)

SELECT
    runs.stage,
    runs.cycle,
    figures.run_id,
    figures.gold_run_id,
    figures.figure,
    figures.iou_threshold,
    figures.estimate,
    figures.low,
    figures.high,
    CASE
        WHEN figures.figure = 'best_iou_over' AND figures.iou_threshold = 0.75 THEN 0.97
        WHEN figures.figure = 'best_iou_over' AND figures.iou_threshold = 0.90 THEN 0.94
    END::DOUBLE AS sam_estimate,
    figures.n_images,
    figures.n_masks,
    figures.effective_n,
    concat(
        'every mask on the images with gold; gold of ',
        coalesce(gold.annotator, 'unknown'),
        CASE gold.is_anchored
            WHEN TRUE THEN ', corrected from predictions'
            WHEN FALSE THEN ', drawn from scratch'
            ELSE ''
        END,
        '; image as cluster'
    ) AS design
FROM figures
INNER JOIN runs ON figures.run_id = runs.run_id
INNER JOIN runs AS gold ON figures.gold_run_id = gold.run_id
ORDER BY
    runs.stage, runs.cycle, figures.run_id, figures.gold_run_id, figures.place, figures.iou_threshold
