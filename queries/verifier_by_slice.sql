/*
title: Verifier by slice
about: >
  Where a verifier can be believed: its scores beside what people settled, or else gold, on masks that it was
  not fitted to (held out), by size, touch of the image border, crowdedness of the image, predicted IoU,
  stage, cycle and by who judged. A mask is good where people accepted it, and where none judged it if it has
  no error against gold. ECE is the mean over masks of the absolute gap of their bin of the score (Guo et
  al., 2017); it is never 0, and `ece_by_chance` is what these images would show without any gap: the lower
  bound takes off that much more. Crowdedness needs `curation measure`. Intervals are 95 %, design-based, and
  take the image as the cluster. `curation verifier card` adds AUC, curves and single scores.
grain: one slice of one verifier
params:
  verifier: {type: VARCHAR, default: null, about: only this verifier; null takes all}
  run_id: {type: INTEGER, default: null, about: only masks of this run; null takes all}
  slice_by:
    type: VARCHAR
    default: null
    about: >-
      all, size, border, crowdedness, score, stage, cycle or label
  good_from: {type: DOUBLE, default: 0.5, about: "score from which a mask is taken for good, 0..1"}
  n_bins: {type: INTEGER, default: 10, about: bins of equal width of ECE}
columns:
  verifier: {type: VARCHAR, about: verifier}
  slice_by: {type: VARCHAR, about: "what the masks are parted by, as the parameter names it"}
  slice: {type: VARCHAR, about: the part}
  n_images: {type: BIGINT, about: images with judged masks in the slice}
  n_masks: {type: BIGINT, about: judged masks in the slice}
  mean_score: {type: DOUBLE, about: "mean of the verifier's scores, 0..1"}
  good_share: {type: DOUBLE, about: "share of good masks, 0..1"}
  good_share_low: {type: DOUBLE, about: lower bound}
  good_share_high: {type: DOUBLE, about: upper bound}
  gap: {type: DOUBLE, about: "mean score minus share of good masks; above 0 it flatters the masks"}
  gap_low: {type: DOUBLE, about: lower bound}
  gap_high: {type: DOUBLE, about: upper bound}
  accuracy: {type: DOUBLE, about: "share of masks that it calls as they were judged, 0..1"}
  accuracy_low: {type: DOUBLE, about: lower bound}
  accuracy_high: {type: DOUBLE, about: upper bound}
  ece: {type: DOUBLE, about: "expected calibration error, 0..1"}
  ece_low: {type: DOUBLE, about: lower bound; null where one image is all there is}
  ece_high: {type: DOUBLE, about: upper bound}
  ece_by_chance: {type: DOUBLE, about: "ECE that sampling alone would show if no bin had a gap, 0..1"}
  effective_n: {type: DOUBLE, about: independent masks that would tell as much about good_share}
  design: {type: VARCHAR, about: what was counted and what the interval takes as the unit}
*/
WITH gold AS (
    SELECT
        mask_id,
        arg_max_null(CASE WHEN is_compared THEN error_kind = 'none' END, gold_iou) AS is_good
    FROM gold_comparisons
    WHERE mask_id IS NOT NULL
    GROUP BY mask_id
),

-- A mask of several samples has the verdict that came last.
verdict AS (
    SELECT
        mask_id,
        arg_max_null(is_accepted, committed_at) AS is_good
    FROM settled_verdicts
    GROUP BY mask_id
),

-- First of all, because few masks are judged: whatever has a row for every mask is read past these.
answers AS MATERIALIZED (
    SELECT
        mask_id,
        coalesce(verdict.is_good, gold.is_good) AS is_good,
        CASE WHEN verdict.is_good IS NULL THEN 'gold' ELSE 'verdict' END AS judged_by
    FROM gold
    FULL JOIN verdict USING (mask_id)
    WHERE coalesce(verdict.is_good, gold.is_good) IS NOT NULL
),

judged AS (
    SELECT
        scores.verifier,
        scores.image_id,
        scores.score,
        answers.is_good,
        unnest([
            { 'place': 1, 'name': 'all', 'band': { 'place': 1, 'name': 'all' } },
            { 'place': 2, 'name': 'size', 'band': size_band(masks.area_px) },
            {
                'place': 3,
                'name': 'border',
                'band': border_band(masks.bbox_xywh, masks.width_px, masks.height_px)
            },
            { 'place': 4, 'name': 'crowdedness', 'band': crowdedness_band(image_coverage.crowdedness) },
            { 'place': 5, 'name': 'score', 'band': score_band(masks.predicted_iou) },
            { 'place': 6, 'name': 'stage', 'band': { 'place': 1, 'name': masks.stage } },
            {
                'place': 7,
                'name': 'cycle',
                'band': { 'place': 1 + masks.cycle, 'name': masks.stage || ', cycle ' || masks.cycle }
            },
            {
                'place': 8,
                'name': 'label',
                'band': { 'place': 1, 'name': answers.judged_by }
            }
        ]) AS part
    FROM answers
    INNER JOIN verifier_scores AS scores ON answers.mask_id = scores.mask_id
    INNER JOIN current_masks AS masks ON scores.run_id = masks.run_id AND scores.mask_id = masks.mask_id
    LEFT JOIN image_coverage
        ON masks.run_id = image_coverage.run_id AND masks.image_id = image_coverage.image_id
    WHERE
        scores.is_held_out
        AND ($verifier IS NULL OR scores.verifier = $verifier)
        AND ($run_id IS NULL OR scores.run_id = $run_id)
),

bins_of_image AS (
    SELECT
        verifier,
        part,
        image_id,
        clamp(floor(score * $n_bins), 0, $n_bins - 1)::INTEGER AS bin,
        count(*) AS n_masks,
        count(*) FILTER (WHERE is_good) AS n_good,
        count(*) FILTER (WHERE (score >= $good_from) = is_good) AS n_right,
        sum(score) AS sum_score
    FROM judged
    WHERE part.band.name IS NOT NULL AND ($slice_by IS NULL OR part.name = $slice_by)
    GROUP BY verifier, part, image_id, bin
),

bins AS (
    SELECT
        verifier,
        part,
        bin,
        mean_interval(ratio_sums(sum_score - n_good, n_masks)) AS gap,
        ratio_estimate(ratio_sums(sum_score - n_good, n_masks)).v AS gap_variance
    FROM bins_of_image
    GROUP BY verifier, part, bin
),

-- The mean of |g| for a normal g around 0 is sqrt(2 / pi) of its deviation. A gap that one image alone shows
-- may all be chance.
chance AS (
    SELECT
        verifier,
        part,
        sum(gap.n_units * coalesce(sqrt(2 / pi() * gap_variance), abs(gap.mean))) / sum(gap.n_units) AS ece
    FROM bins
    GROUP BY verifier, part
),

images_of_part AS (
    SELECT
        verifier,
        part,
        image_id,
        sum(n_masks) AS n_masks,
        sum(n_good) AS n_good,
        sum(n_right) AS n_right,
        sum(sum_score) AS sum_score,
        sum(sign(bins.gap.mean) * (sum_score - n_good)) AS sum_error
    FROM bins_of_image
    INNER JOIN bins USING (verifier, part, bin)
    GROUP BY verifier, part, image_id
),

figures AS (
    SELECT
        verifier,
        part,
        sum(sum_score) / sum(n_masks) AS mean_score,
        share_interval(ratio_sums(n_good, n_masks)) AS good,
        mean_interval(ratio_sums(sum_score - n_good, n_masks)) AS gap,
        share_interval(ratio_sums(n_right, n_masks)) AS right_,
        mean_interval(ratio_sums(sum_error, n_masks)) AS ece
    FROM images_of_part
    GROUP BY verifier, part
)

SELECT
    verifier,
    part.name AS slice_by,
    part.band.name AS slice,
    figures.good.n_images,
    figures.good.n_units AS n_masks,
    figures.mean_score,
    figures.good.share AS good_share,
    figures.good.low AS good_share_low,
    figures.good.high AS good_share_high,
    figures.gap.mean AS gap,
    figures.gap.low AS gap_low,
    figures.gap.high AS gap_high,
    figures.right_.share AS accuracy,
    figures.right_.low AS accuracy_low,
    figures.right_.high AS accuracy_high,
    figures.ece.mean AS ece,
    clamp(figures.ece.low - chance.ece, 0, 1) AS ece_low,
    clamp(figures.ece.high, 0, 1) AS ece_high,
    chance.ece AS ece_by_chance,
    figures.good.effective_n,
    'judged masks with a held-out score, unweighted; image as cluster' AS design
FROM figures
INNER JOIN chance USING (verifier, part)
ORDER BY verifier, part.place, part.band.place, part.band.name
