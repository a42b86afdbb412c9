/*
title: Overlaps
about: >
  How many masks of each run overlap others on their image, and how much. Needs `curation measure`. Parts
  on wholes overlap rightly: `inside` shows them; near duplicates show in `over_limit`. Intervals are 95 %
  and take the image as the cluster.
grain: one kind of overlap of one run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all}
  warn_iou: {type: DOUBLE, default: 0.5, about: an IoU above this draws a warning when a person adds a mask}
  limit_iou: {type: DOUBLE, default: 0.7, about: an IoU above this is a near duplicate}
  inside_share: {type: DOUBLE, default: 0.95, about: share of its area from which a mask is inside another}
columns:
  stage: {type: VARCHAR, about: stage of the run}
  cycle: {type: SMALLINT, about: cycle of the run}
  run_id: {type: INTEGER, about: run}
  overlap: {type: VARCHAR, about: "any (shares a pixel), over_warning, over_limit or inside"}
  threshold: {type: DOUBLE, about: "IoU above which a pair counts, or inside_share"}
  n_pairs: {type: BIGINT, about: pairs of masks that overlap so}
  n_overlapping_masks: {type: BIGINT, about: masks that overlap at least one other so}
  mask_share: {type: DOUBLE, about: their share of all masks}
  mask_share_low: {type: DOUBLE, about: lower bound}
  mask_share_high: {type: DOUBLE, about: upper bound}
  n_images: {type: BIGINT, about: measured images with masks}
  n_masks: {type: BIGINT, about: measured masks}
  effective_n: {type: DOUBLE, about: independent masks that would tell as much about mask_share}
  design: {type: VARCHAR, about: what was counted and what the interval takes as the unit}
*/
WITH pairs_of_image AS (
    SELECT
        run_id,
        image_id,
        count(*) AS n_pairs_any,
        count(*) FILTER (WHERE iou > $warn_iou) AS n_pairs_over_warning,
        count(*) FILTER (WHERE iou > $limit_iou) AS n_pairs_over_limit,
        count(*) FILTER (WHERE greatest(mask_share, other_share) >= $inside_share) AS n_pairs_inside
    FROM "overlaps"
    WHERE $run_id IS NULL OR run_id = $run_id
    GROUP BY run_id, image_id
),

members AS (
    SELECT
        run_id,
        image_id,
        mask_id,
        iou,
        mask_share AS inside_share
    FROM "overlaps"
    WHERE $run_id IS NULL OR run_id = $run_id
    UNION ALL
    SELECT
        run_id,
        image_id,
        other_mask_id AS mask_id,
        iou,
        other_share AS inside_share
    FROM "overlaps"
    WHERE $run_id IS NULL OR run_id = $run_id
),

-- Which masks overlap so, a bit for each of 64 neighbouring ids: a row a mask would take several times
-- as long.
bits_of_image AS (
    SELECT
        run_id,
        image_id,
        bit_or(1::UBIGINT << (mask_id & 63)) AS any_bits,
        bit_or(1::UBIGINT << (mask_id & 63)) FILTER (WHERE iou > $warn_iou) AS warning_bits,
        bit_or(1::UBIGINT << (mask_id & 63)) FILTER (WHERE iou > $limit_iou) AS limit_bits,
        bit_or(1::UBIGINT << (mask_id & 63)) FILTER (WHERE inside_share >= $inside_share) AS inside_bits
    FROM members
    GROUP BY run_id, image_id, mask_id >> 6
),

masks_of_image AS (
    SELECT
        run_id,
        image_id,
        sum(bit_count(any_bits)) AS n_masks_any,
        sum(bit_count(warning_bits)) AS n_masks_over_warning,
        sum(bit_count(limit_bits)) AS n_masks_over_limit,
        sum(bit_count(inside_bits)) AS n_masks_inside
    FROM bits_of_image
    GROUP BY run_id, image_id
),

-- An image without overlaps counts with 0 of its masks.
kinds_of_image AS (
    SELECT
        coverage.run_id,
        coverage.n_masks AS n_image_masks,
        unnest([
            {
                'place': 1,
                'overlap': 'any',
                'threshold': NULL,
                'n_pairs': n_pairs_any,
                'n_masks': n_masks_any
            },
            {
                'place': 2,
                'overlap': 'over_warning',
                'threshold': $warn_iou::DOUBLE,
                'n_pairs': n_pairs_over_warning,
                'n_masks': n_masks_over_warning
            },
            {
                'place': 3,
                'overlap': 'over_limit',
                'threshold': $limit_iou::DOUBLE,
                'n_pairs': n_pairs_over_limit,
                'n_masks': n_masks_over_limit
            },
            {
                'place': 4,
                'overlap': 'inside',
                'threshold': $inside_share::DOUBLE,
                'n_pairs': n_pairs_inside,
                'n_masks': n_masks_inside
            }
        ]) AS of_kind
    FROM image_coverage AS coverage
    LEFT JOIN pairs_of_image USING (run_id, image_id)
    LEFT JOIN masks_of_image USING (run_id, image_id)
    WHERE coverage.n_masks > 0 AND ($run_id IS NULL OR coverage.run_id = $run_id)
),

figures AS (
    SELECT
        run_id,
        of_kind.place,
        of_kind.overlap,
        of_kind.threshold,
        coalesce(sum(of_kind.n_pairs), 0)::BIGINT AS n_pairs,
        coalesce(sum(of_kind.n_masks), 0)::BIGINT AS n_overlapping_masks,
        share_interval(ratio_sums(coalesce(of_kind.n_masks, 0), n_image_masks)) AS overlapping
    FROM kinds_of_image
    GROUP BY run_id, of_kind.place, of_kind.overlap, of_kind.threshold
)

SELECT
    runs.stage,
    runs.cycle,
    figures.run_id,
    figures.overlap,
    figures.threshold,
    figures.n_pairs,
    figures.n_overlapping_masks,
    figures.overlapping.share AS mask_share,
    figures.overlapping.low AS mask_share_low,
    figures.overlapping.high AS mask_share_high,
    figures.overlapping.n_images,
    figures.overlapping.n_units AS n_masks,
    figures.overlapping.effective_n,
    'every measured mask of the run; image as cluster' AS design
FROM figures
INNER JOIN runs USING (run_id)
ORDER BY runs.stage, runs.cycle, figures.run_id, figures.place
