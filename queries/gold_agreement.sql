/*
title: Agreement with gold
about: >
  How well the masks of a run agree with gold on the images that have gold. `best_iou_over` is the share of
  masks whose best IoU with any gold mask is above the threshold, which is what SAM reported for its automatic
  masks (`sam_estimate`; arXiv 2304.02643, section 5; there the gold was corrected from the masks themselves).
  `precision`, `recall` and `f1` count one-to-one partners whose IoU is at least the threshold.
  `average_recall` is COCO's, over IoU 0.50 to 0.95, of the `max_masks` best masks of each image. Masks that
  lie in crowd gold count nowhere. Intervals are 95 %, design-based, and take the image as the cluster;
  `curation gold agreement` shows those of the cluster bootstrap beside them, which hold better for few
  images.
grain: one figure of one run against one gold run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all but gold}
  gold_run_id: {type: INTEGER, default: null, about: only this gold run; null takes all}
columns:
  stage: {type: VARCHAR, about: stage of the run}
  cycle: {type: SMALLINT, about: cycle of the run}
  run_id: {type: INTEGER, about: run}
  gold_run_id: {type: INTEGER, about: gold run}
  figure:
    type: VARCHAR
    about: "mean_best_iou, mean_boundary_iou, best_iou_over, precision, recall, f1 or average_recall"
  iou_threshold: {type: DOUBLE, about: threshold of the figure; null where it has none}
  max_masks: {type: INTEGER, about: masks of an image that count for average_recall; null elsewhere}
  estimate: {type: DOUBLE, about: "the figure, 0..1"}
  low: {type: DOUBLE, about: lower bound; null where one image is all there is}
  high: {type: DOUBLE, about: upper bound}
  sam_estimate: {type: DOUBLE, about: "what SAM reported for SA-1B, without an interval"}
  n_images: {type: BIGINT, about: images behind the figure}
  n_masks: {type: BIGINT, about: "masks behind the figure; gold masks for recall, both for f1"}
  effective_n: {type: DOUBLE, about: independent masks that would tell as much}
  design_effect: {type: DOUBLE, about: n_masks / effective_n; null where images do not differ}
  design: {type: VARCHAR, about: "what was counted, whose gold it is, what the interval takes as the unit"}
*/
WITH matched AS (
    SELECT
        matches.*,
        CASE WHEN best_gold_mask_id IS NULL THEN 0 ELSE gold_boundary_iou END AS boundary_iou
    FROM gold_comparisons AS matches
    SEMI JOIN runs ON matches.run_id = runs.run_id AND runs.kind <> 'gold'
    WHERE
        ($run_id IS NULL OR run_id = $run_id)
        AND ($gold_run_id IS NULL OR gold_run_id = $gold_run_id)
),

per_image AS (
    SELECT
        run_id,
        gold_run_id,
        image_id,
        count(*) FILTER (WHERE is_compared) AS n_masks,
        count(gold_mask_id) AS n_gold,
        count(*) FILTER (WHERE is_compared AND gold_iou > 0.50) AS n_over_50,
        count(*) FILTER (WHERE is_compared AND gold_iou > 0.75) AS n_over_75,
        count(*) FILTER (WHERE is_compared AND gold_iou > 0.90) AS n_over_90,
        count(*) FILTER (WHERE is_compared AND matched_iou >= 0.50) AS n_right_50,
        count(*) FILTER (WHERE is_compared AND matched_iou >= 0.75) AS n_right_75,
        count(*) FILTER (WHERE is_compared AND matched_iou >= 0.90) AS n_right_90,
        count(*) FILTER (WHERE matched_iou >= 0.50) AS n_found_50,
        count(*) FILTER (WHERE matched_iou >= 0.75) AS n_found_75,
        count(*) FILTER (WHERE matched_iou >= 0.90) AS n_found_90,
        sum(gold_iou) FILTER (WHERE is_compared) AS sum_iou,
        sum(gold_iou * gold_iou) FILTER (WHERE is_compared) AS sum_iou_squares,
        sum(boundary_iou) FILTER (WHERE is_compared) AS sum_boundary,
        sum(boundary_iou * boundary_iou) FILTER (WHERE is_compared) AS sum_boundary_squares,
        count(boundary_iou) FILTER (WHERE is_compared) AS n_boundary,
        -- Average recall is not known where masks were matched before COCO's matching was kept.
        count(coco_found) AS n_ranked_gold,
        sum(coco_found[1]) / 10 AS found_by_1,
        sum(coco_found[2]) / 10 AS found_by_10,
        sum(coco_found[3]) / 10 AS found_by_100,
        sum(coco_found[4]) / 10 AS found_by_1000
    FROM matched
    GROUP BY run_id, gold_run_id, image_id
),

figures_of_image AS (
    SELECT
        run_id,
        gold_run_id,
        unnest([
            { 'place': 0, 'figure': 'mean_best_iou', 'y': sum_iou, 'x': n_masks, 'squares': sum_iou_squares },
            {
                'place': 1,
                'figure': 'mean_boundary_iou',
                'y': sum_boundary,
                'x': n_boundary,
                'squares': sum_boundary_squares
            },
            { 'place': 2, 'figure': 'best_iou_over', 't': 0.50, 'y': n_over_50, 'x': n_masks },
            { 'place': 2, 'figure': 'best_iou_over', 't': 0.75, 'y': n_over_75, 'x': n_masks },
            { 'place': 2, 'figure': 'best_iou_over', 't': 0.90, 'y': n_over_90, 'x': n_masks },
            { 'place': 3, 'figure': 'precision', 't': 0.50, 'y': n_right_50, 'x': n_masks },
            { 'place': 3, 'figure': 'precision', 't': 0.75, 'y': n_right_75, 'x': n_masks },
            { 'place': 3, 'figure': 'precision', 't': 0.90, 'y': n_right_90, 'x': n_masks },
            { 'place': 4, 'figure': 'recall', 't': 0.50, 'y': n_found_50, 'x': n_gold },
            { 'place': 4, 'figure': 'recall', 't': 0.75, 'y': n_found_75, 'x': n_gold },
            { 'place': 4, 'figure': 'recall', 't': 0.90, 'y': n_found_90, 'x': n_gold },
            { 'place': 5, 'figure': 'f1', 't': 0.50, 'y': n_right_50 + n_found_50, 'x': n_masks + n_gold },
            { 'place': 5, 'figure': 'f1', 't': 0.75, 'y': n_right_75 + n_found_75, 'x': n_masks + n_gold },
            { 'place': 5, 'figure': 'f1', 't': 0.90, 'y': n_right_90 + n_found_90, 'x': n_masks + n_gold },
            { 'place': 6, 'figure': 'average_recall', 'k': 1, 'y': found_by_1, 'x': n_ranked_gold },
            { 'place': 6, 'figure': 'average_recall', 'k': 10, 'y': found_by_10, 'x': n_ranked_gold },
            { 'place': 6, 'figure': 'average_recall', 'k': 100, 'y': found_by_100, 'x': n_ranked_gold },
            { 'place': 6, 'figure': 'average_recall', 'k': 1000, 'y': found_by_1000, 'x': n_ranked_gold }
        ]) AS f
    FROM per_image
),

totals AS (
    SELECT
        run_id,
        gold_run_id,
        f.place,
        f.figure,
        f.t::DOUBLE AS iou_threshold,
        f.k::INTEGER AS max_masks,
        sum(f.squares) AS squares,
        ratio_sums(f.y, f.x) AS m
    FROM figures_of_image
    GROUP BY run_id, gold_run_id, f.place, f.figure, f.t, f.k
),

figures AS (
    SELECT
        *,
        share_interval(m) AS as_share,
        mean_interval(m) AS as_mean,
        ratio_estimate(m).v AS variance
    FROM totals
),

estimates AS (
    SELECT
        *,
        as_share.share AS estimate,
        CASE WHEN squares IS NULL THEN as_share.low ELSE clamp(as_mean.low, 0, 1) END AS low,
        CASE WHEN squares IS NULL THEN as_share.high ELSE clamp(as_mean.high, 0, 1) END AS high,
        as_share.n_units AS n_masks,
        -- The variance of single masks over that of the mean says how many independent masks a mean is worth.
        CASE
            WHEN squares IS NULL OR variance = 0 THEN as_share.effective_n
            ELSE least((squares / m.sum_x - as_mean.mean ^ 2) / variance, m.sum_x)
        END AS effective_n
    FROM figures
)

SELECT
    runs.stage,
    runs.cycle,
    estimates.run_id,
    estimates.gold_run_id,
    estimates.figure,
    estimates.iou_threshold,
    estimates.max_masks,
    estimates.estimate,
    estimates.low,
    estimates.high,
    CASE
        WHEN estimates.figure = 'best_iou_over' AND estimates.iou_threshold = 0.75 THEN 0.97
        WHEN estimates.figure = 'best_iou_over' AND estimates.iou_threshold = 0.90 THEN 0.94
    END::DOUBLE AS sam_estimate,
    estimates.as_share.n_images,
    estimates.n_masks,
    estimates.effective_n,
    CASE
        WHEN estimates.variance > 0 THEN estimates.n_masks / estimates.effective_n
    END AS design_effect,
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
FROM estimates
INNER JOIN runs ON estimates.run_id = runs.run_id
INNER JOIN runs AS gold ON estimates.gold_run_id = gold.run_id
ORDER BY
    runs.stage, runs.cycle, estimates.run_id, estimates.gold_run_id,
    estimates.place, estimates.iou_threshold, estimates.max_masks
