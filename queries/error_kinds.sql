/*
title: Kinds of error against gold
about: >
  What is wrong with the masks of a run, in one word each: none, merge (several objects), split (a piece of
  one), partial (misses some), spill (adds some), hole, fragment (stray pieces), spurious (nothing there), and
  miss, a gold mask that no mask was matched to. Needs `curation gold match`. Masks that lie in crowd gold
  count nowhere. Intervals are 95 %, design-based, and take the image as the cluster.
grain: one kind of error of one run against one gold run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all but gold}
  gold_run_id: {type: INTEGER, default: null, about: only this gold run; null takes all}
columns:
  stage: {type: VARCHAR, about: stage of the run}
  cycle: {type: SMALLINT, about: cycle of the run}
  run_id: {type: INTEGER, about: run}
  gold_run_id: {type: INTEGER, about: gold run}
  error_kind: {type: VARCHAR, about: "none, merge, split, partial, spill, hole, fragment, spurious or miss"}
  n_kind_masks: {type: BIGINT, about: "masks of this kind; missed gold masks for miss"}
  share: {type: DOUBLE, about: "their share of all masks, 0..1; of all gold masks for miss"}
  share_low: {type: DOUBLE, about: lower bound; null where one image is all there is}
  share_high: {type: DOUBLE, about: upper bound}
  mean_best_iou:
    type: DOUBLE
    about: "mean IoU of these masks with their best gold mask, 0..1; for miss, of gold with its best mask"
  n_images: {type: BIGINT, about: images behind the share}
  n_masks: {type: BIGINT, about: "masks behind the share; gold masks for miss"}
  effective_n: {type: DOUBLE, about: independent masks that would tell as much}
  design_effect: {type: DOUBLE, about: n_masks / effective_n; null where images do not differ}
  design: {type: VARCHAR, about: "what was counted, whose gold it is, what the interval takes as the unit"}
*/
WITH kinds (place, error_kind) AS (
    VALUES
    (0, 'none'), (1, 'merge'), (2, 'split'), (3, 'partial'), (4, 'spill'), (5, 'hole'), (6, 'fragment'),
    (7, 'spurious'), (8, 'miss')
),

matched AS (
    SELECT matches.*
    FROM gold_comparisons AS matches
    SEMI JOIN runs ON matches.run_id = runs.run_id AND runs.kind <> 'gold'
    WHERE
        ($run_id IS NULL OR run_id = $run_id)
        AND ($gold_run_id IS NULL OR gold_run_id = $gold_run_id)
        AND error_kind IS NOT NULL
),

kinds_of_image AS (
    SELECT
        matched.run_id,
        matched.gold_run_id,
        matched.image_id,
        kinds.place,
        kinds.error_kind,
        count(*) FILTER (
            WHERE matched.error_kind = kinds.error_kind AND (is_compared OR mask_id IS NULL)
        ) AS n_kind_masks,
        count(*) FILTER (
            WHERE
            CASE
                WHEN kinds.error_kind = 'miss' THEN gold_mask_id IS NOT NULL
                ELSE is_compared
            END
        ) AS n_masks,
        sum(coalesce(gold_iou, gold_best_iou)) FILTER (
            WHERE matched.error_kind = kinds.error_kind AND (is_compared OR mask_id IS NULL)
        ) AS sum_iou
    FROM matched
    CROSS JOIN kinds
    GROUP BY matched.run_id, matched.gold_run_id, matched.image_id, kinds.place, kinds.error_kind
),

totals AS (
    SELECT
        run_id,
        gold_run_id,
        place,
        error_kind,
        sum(n_kind_masks)::BIGINT AS n_kind_masks,
        sum(sum_iou) / sum(n_kind_masks) AS mean_best_iou,
        ratio_sums(n_kind_masks, n_masks) AS m
    FROM kinds_of_image
    GROUP BY run_id, gold_run_id, place, error_kind
),

figures AS (
    SELECT
        *,
        share_interval(m) AS kind,
        ratio_estimate(m).v > 0 AS is_varied
    FROM totals
)

SELECT
    runs.stage,
    runs.cycle,
    figures.run_id,
    figures.gold_run_id,
    figures.error_kind,
    figures.n_kind_masks,
    figures.kind.share,
    figures.kind.low AS share_low,
    figures.kind.high AS share_high,
    figures.mean_best_iou,
    figures.kind.n_images,
    figures.kind.n_units AS n_masks,
    figures.kind.effective_n,
    CASE WHEN figures.is_varied THEN figures.kind.n_units / figures.kind.effective_n END AS design_effect,
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
ORDER BY runs.stage, runs.cycle, figures.run_id, figures.gold_run_id, figures.place
