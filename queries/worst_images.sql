/*
title: Worst images
about: >
  The images whose masks agree least with gold, worst first, with what else was measured of them. F1 joins
  precision and recall of one-to-one partners; masks in crowd gold do not count. The figures are exact for
  their image, so they have no interval.
grain: one image of one run against one gold run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all}
  gold_run_id: {type: INTEGER, default: null, about: only this gold run; null takes all}
  iou_threshold: {type: DOUBLE, default: 0.5, about: a mask and a gold mask are partners from this IoU on}
  n_rows: {type: INTEGER, default: 50, about: at most so many rows}
columns:
  image_id: {type: BIGINT, about: image}
  file_name: {type: VARCHAR, about: file of the image}
  stage: {type: VARCHAR, about: stage of the run}
  cycle: {type: SMALLINT, about: cycle of the run}
  run_id: {type: INTEGER, about: run}
  gold_run_id: {type: INTEGER, about: gold run}
  f1: {type: DOUBLE, about: "2 x pairs of partners / (masks + gold masks), 0..1"}
  precision: {type: DOUBLE, about: "share of masks that have a partner, 0..1; null without masks"}
  recall: {type: DOUBLE, about: "share of gold masks that have a partner, 0..1; null without gold masks"}
  mean_best_iou: {type: DOUBLE, about: "mean over masks of the best IoU with gold, 0..1; null without masks"}
  n_masks: {type: BIGINT, about: masks on the image}
  n_gold_masks: {type: BIGINT, about: gold masks on the image}
  n_missed: {type: BIGINT, about: gold masks without a partner}
  covered_share: {type: DOUBLE, about: "share of the image under masks, 0..1; null where not measured"}
  largest_uncovered_share:
    type: DOUBLE
    about: >-
      largest region without masks, as a share of the image, 0..1
  crowdedness: {type: DOUBLE, about: mean number of other masks whose boxes intersect the box of a mask}
*/
WITH matched AS (
    SELECT matches.*
    FROM gold_comparisons AS matches
    SEMI JOIN runs ON matches.run_id = runs.run_id AND runs.kind <> 'gold'
    WHERE
        ($run_id IS NULL OR run_id = $run_id)
        AND ($gold_run_id IS NULL OR gold_run_id = $gold_run_id)
),

matches_of_image AS (
    SELECT
        run_id,
        gold_run_id,
        image_id,
        count(*) FILTER (WHERE is_compared) AS n_masks,
        count(gold_mask_id) AS n_gold_masks,
        count(*) FILTER (WHERE is_compared AND matched_iou >= $iou_threshold) AS n_right,
        count(*) FILTER (WHERE matched_iou >= $iou_threshold) AS n_found,
        sum(gold_iou) FILTER (WHERE is_compared) AS sum_iou
    FROM matched
    GROUP BY run_id, gold_run_id, image_id
)

SELECT
    matches.image_id,
    images.file_name,
    runs.stage,
    runs.cycle,
    matches.run_id,
    matches.gold_run_id,
    (matches.n_right + matches.n_found) / nullif(matches.n_masks + matches.n_gold_masks, 0) AS f1,
    matches.n_right / nullif(matches.n_masks, 0) AS precision, -- noqa: RF04
    matches.n_found / nullif(matches.n_gold_masks, 0) AS recall,
    matches.sum_iou / nullif(matches.n_masks, 0) AS mean_best_iou,
    matches.n_masks,
    matches.n_gold_masks,
    matches.n_gold_masks - matches.n_found AS n_missed,
    coverage.covered_share,
    coverage.largest_uncovered_px / (images.width_px::DOUBLE * images.height_px) AS largest_uncovered_share,
    coverage.crowdedness
FROM matches_of_image AS matches
INNER JOIN runs USING (run_id)
LEFT JOIN images ON matches.run_id = images.run_id AND matches.image_id = images.image_id
LEFT JOIN
    image_coverage AS coverage
    ON matches.run_id = coverage.run_id AND matches.image_id = coverage.image_id
ORDER BY f1 NULLS LAST, mean_best_iou NULLS FIRST, matches.run_id, matches.gold_run_id, matches.image_id
LIMIT $n_rows
