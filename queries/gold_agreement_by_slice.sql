/*
title: Agreement with gold, by slice
about: >
  Where a run agrees with gold and where it does not: by size, touch of the image border, crowdedness of the
  image, score and nesting level. A mask counts in its own slice, a gold mask in its own, so `recall` of
  small masks is that of small gold, and `f1` counts partners from both sides. `average_recall` is COCO's,
  over IoU 0.50 to 0.95, of the `max_masks` best masks of each image, whatever slice these are of. Gold has
  no score, and a level only where its source says so: then `recall`, `average_recall` and `f1` are null.
  Crowdedness and level need `curation measure`. Masks that lie in crowd gold count nowhere. Intervals are
  95 %, design-based, and take the image as the cluster; `curation gold agreement --by` shows those of the
  cluster bootstrap, which hold better for few images.
grain: one slice of one run against one gold run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all but gold}
  gold_run_id: {type: INTEGER, default: null, about: only this gold run; null takes all}
  slice_by: {type: VARCHAR, default: null, about: "size, border, crowdedness, score or level"}
  iou_threshold: {type: DOUBLE, default: 0.5, about: "least IoU of partners, of precision, recall and f1"}
  max_masks: {type: INTEGER, default: 100, about: "of average_recall, best masks an image: 1, 10, 100, 1000"}
columns:
  stage: {type: VARCHAR, about: stage of the run}
  cycle: {type: SMALLINT, about: cycle of the run}
  run_id: {type: INTEGER, about: run}
  gold_run_id: {type: INTEGER, about: gold run}
  slice_by: {type: VARCHAR, about: "what the masks are parted by: size, border, crowdedness, score, level"}
  slice: {type: VARCHAR, about: the part}
  over_50: {type: DOUBLE, about: "share of masks whose best IoU is above 0.50, 0..1"}
  over_50_low: {type: DOUBLE, about: lower bound}
  over_50_high: {type: DOUBLE, about: upper bound}
  over_75: {type: DOUBLE, about: "above 0.75"}
  over_75_low: {type: DOUBLE, about: lower bound}
  over_75_high: {type: DOUBLE, about: upper bound}
  over_90: {type: DOUBLE, about: "above 0.90"}
  over_90_low: {type: DOUBLE, about: lower bound}
  over_90_high: {type: DOUBLE, about: upper bound}
  mean_best_iou: {type: DOUBLE, about: "mean IoU with the best gold mask, 0..1"}
  mean_best_iou_low: {type: DOUBLE, about: lower bound}
  mean_best_iou_high: {type: DOUBLE, about: upper bound}
  mean_boundary_iou: {type: DOUBLE, about: "mean boundary IoU with it, 0..1"}
  mean_boundary_iou_low: {type: DOUBLE, about: lower bound}
  mean_boundary_iou_high: {type: DOUBLE, about: upper bound}
  mask_precision: {type: DOUBLE, about: "share of masks with a partner at iou_threshold, 0..1"}
  mask_precision_low: {type: DOUBLE, about: lower bound}
  mask_precision_high: {type: DOUBLE, about: upper bound}
  recall: {type: DOUBLE, about: "share of gold masks with one, 0..1"}
  recall_low: {type: DOUBLE, about: lower bound}
  recall_high: {type: DOUBLE, about: upper bound}
  average_recall: {type: DOUBLE, about: "mean over IoU 0.50 to 0.95 of the share of gold masks found, 0..1"}
  average_recall_low: {type: DOUBLE, about: lower bound}
  average_recall_high: {type: DOUBLE, about: upper bound}
  f1: {type: DOUBLE, about: "share of both with one, 0..1"}
  f1_low: {type: DOUBLE, about: lower bound}
  f1_high: {type: DOUBLE, about: upper bound}
  n_images: {type: BIGINT, about: images with masks in the slice}
  n_masks: {type: BIGINT, about: masks in the slice}
  n_gold_masks: {type: BIGINT, about: gold masks in the slice}
  effective_n: {type: DOUBLE, about: independent masks that would tell as much about over_90}
  design: {type: VARCHAR, about: "what was counted, whose gold it is, what the interval takes as the unit"}
*/
WITH matched AS (
    SELECT matches.*
    FROM gold_comparisons AS matches
    SEMI JOIN runs ON matches.run_id = runs.run_id AND runs.kind <> 'gold'
    WHERE
        ($run_id IS NULL OR run_id = $run_id)
        AND ($gold_run_id IS NULL OR gold_run_id = $gold_run_id)
),

mask_slices AS (
    SELECT
        matched.run_id,
        matched.gold_run_id,
        matched.image_id,
        gold_iou,
        matched_iou,
        CASE WHEN best_gold_mask_id IS NULL THEN 0 ELSE gold_boundary_iou END AS boundary_iou,
        unnest([
            { 'place': 1, 'name': 'size', 'band': size_band(masks.area_px) },
            {
                'place': 2,
                'name': 'border',
                'band': border_band(masks.bbox_xywh, masks.width_px, masks.height_px)
            },
            { 'place': 3, 'name': 'crowdedness', 'band': crowdedness_band(image_coverage.crowdedness) },
            { 'place': 4, 'name': 'score', 'band': score_band(masks.predicted_iou) },
            { 'place': 5, 'name': 'level', 'band': level_band(mask_nesting.level) }
        ]) AS part
    FROM matched
    INNER JOIN masks ON matched.run_id = masks.run_id AND matched.mask_id = masks.mask_id
    LEFT JOIN image_coverage
        ON matched.run_id = image_coverage.run_id AND matched.image_id = image_coverage.image_id
    LEFT JOIN mask_nesting ON matched.run_id = mask_nesting.run_id AND matched.mask_id = mask_nesting.mask_id
    WHERE matched.is_compared
),

gold_slices AS (
    SELECT
        matched.run_id,
        matched.gold_run_id,
        matched.image_id,
        matched_iou,
        coco_found[list_position([1, 10, 100, 1000], $max_masks)] / 10 AS found_share,
        unnest([
            { 'place': 1, 'name': 'size', 'band': size_band(gold_masks.area_px) },
            {
                'place': 2,
                'name': 'border',
                'band': border_band(gold_masks.bbox_xywh, gold_masks.width_px, gold_masks.height_px)
            },
            { 'place': 3, 'name': 'crowdedness', 'band': crowdedness_band(image_coverage.crowdedness) },
            { 'place': 5, 'name': 'level', 'band': level_band(gold_masks.nesting) }
        ]) AS part
    FROM matched
    INNER JOIN gold_masks
        ON matched.gold_run_id = gold_masks.run_id AND matched.gold_mask_id = gold_masks.gold_mask_id
    LEFT JOIN image_coverage
        ON matched.run_id = image_coverage.run_id AND matched.image_id = image_coverage.image_id
),

masks_of_image AS (
    SELECT
        run_id,
        gold_run_id,
        image_id,
        part,
        count(*) AS n_masks,
        count(*) FILTER (WHERE gold_iou > 0.50) AS n_over_50,
        count(*) FILTER (WHERE gold_iou > 0.75) AS n_over_75,
        count(*) FILTER (WHERE gold_iou > 0.90) AS n_over_90,
        count(*) FILTER (WHERE matched_iou >= $iou_threshold) AS n_right,
        sum(gold_iou) AS sum_iou,
        sum(boundary_iou) AS sum_boundary,
        count(boundary_iou) AS n_boundary
    FROM mask_slices
    WHERE part.band IS NOT NULL AND ($slice_by IS NULL OR part.name = $slice_by)
    GROUP BY run_id, gold_run_id, image_id, part
),

gold_of_image AS (
    SELECT
        run_id,
        gold_run_id,
        image_id,
        part,
        count(*) AS n_gold,
        count(*) FILTER (WHERE matched_iou >= $iou_threshold) AS n_found,
        sum(found_share) AS sum_found_share,
        count(found_share) AS n_ranked_gold
    FROM gold_slices
    WHERE part.band IS NOT NULL AND ($slice_by IS NULL OR part.name = $slice_by)
    GROUP BY run_id, gold_run_id, image_id, part
),

totals AS (
    SELECT
        run_id,
        gold_run_id,
        part,
        sum(n_gold) AS n_gold_masks,
        ratio_sums(n_over_50, n_masks) AS over_50,
        ratio_sums(n_over_75, n_masks) AS over_75,
        ratio_sums(n_over_90, n_masks) AS over_90,
        ratio_sums(sum_iou, n_masks) AS iou,
        ratio_sums(sum_boundary, n_boundary) AS boundary,
        ratio_sums(n_right, n_masks) AS right_,
        ratio_sums(n_found, n_gold) AS found,
        ratio_sums(sum_found_share, n_ranked_gold) AS found_by_best,
        ratio_sums(
            coalesce(n_right, 0) + coalesce(n_found, 0), coalesce(n_masks, 0) + coalesce(n_gold, 0)
        ) AS both_
    FROM masks_of_image
    FULL JOIN gold_of_image USING (run_id, gold_run_id, image_id, part)
    GROUP BY run_id, gold_run_id, part
),

figures AS (
    SELECT
        run_id,
        gold_run_id,
        part,
        coalesce(n_gold_masks, 0)::BIGINT AS n_gold_masks,
        share_interval(over_50) AS over_50,
        share_interval(over_75) AS over_75,
        share_interval(over_90) AS over_90,
        mean_interval(iou) AS iou,
        mean_interval(boundary) AS boundary,
        share_interval(right_) AS right_,
        share_interval(found) AS found,
        share_interval(found_by_best) AS found_by_best,
        -- Without gold in the slice the masks alone would pass for both.
        CASE WHEN n_gold_masks > 0 THEN share_interval(both_) END AS both_
    FROM totals
)

SELECT
    runs.stage,
    runs.cycle,
    figures.run_id,
    figures.gold_run_id,
    figures.part.name AS slice_by,
    figures.part.band.name AS slice,
    figures.over_50.share AS over_50,
    figures.over_50.low AS over_50_low,
    figures.over_50.high AS over_50_high,
    figures.over_75.share AS over_75,
    figures.over_75.low AS over_75_low,
    figures.over_75.high AS over_75_high,
    figures.over_90.share AS over_90,
    figures.over_90.low AS over_90_low,
    figures.over_90.high AS over_90_high,
    figures.iou.mean AS mean_best_iou,
    clamp(figures.iou.low, 0, 1) AS mean_best_iou_low,
    clamp(figures.iou.high, 0, 1) AS mean_best_iou_high,
    figures.boundary.mean AS mean_boundary_iou,
    clamp(figures.boundary.low, 0, 1) AS mean_boundary_iou_low,
    clamp(figures.boundary.high, 0, 1) AS mean_boundary_iou_high,
    figures.right_.share AS mask_precision,
    figures.right_.low AS mask_precision_low,
    figures.right_.high AS mask_precision_high,
    figures.found.share AS recall,
    figures.found.low AS recall_low,
    figures.found.high AS recall_high,
    figures.found_by_best.share AS average_recall,
    figures.found_by_best.low AS average_recall_low,
    figures.found_by_best.high AS average_recall_high,
    figures.both_.share AS f1,
    figures.both_.low AS f1_low,
    figures.both_.high AS f1_high,
    figures.over_50.n_images,
    figures.over_50.n_units AS n_masks,
    figures.n_gold_masks,
    figures.over_90.effective_n,
    concat(
        'every mask of the slice on the images with gold; gold of ',
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
    runs.stage, runs.cycle, figures.run_id, figures.gold_run_id,
    figures.part.place, figures.part.band.place
