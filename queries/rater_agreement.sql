/*
title: Rater agreement
about: >
  How far every two raters agree on masks that both judged blind: the share of equal decisions (accept, fix,
  reject, unsure), and Cohen's kappa, which takes off what chance alone would agree on. Hidden checks,
  adjudication, skips and what was taken back do not count. Intervals are 95 % and take the image as the
  cluster: design-based for the share, the delete-one-image jackknife for kappa; `curation review agreement`
  shows those of the cluster bootstrap, Krippendorff's alpha, and the IoU of corrections.
grain: one pair of raters
params:
  sample: {type: VARCHAR, default: null, about: only this sample; null takes all}
columns:
  rater: {type: VARCHAR, about: one rater}
  other: {type: VARCHAR, about: "the other, later in the alphabet"}
  n_masks: {type: BIGINT, about: masks that both judged}
  n_images: {type: BIGINT, about: images of these masks}
  equal_share: {type: DOUBLE, about: "share of masks with equal decisions, 0..1"}
  equal_share_low: {type: DOUBLE, about: lower bound; null where one image is all there is}
  equal_share_high: {type: DOUBLE, about: upper bound}
  kappa: {type: DOUBLE, about: "Cohen's kappa, -1..1; null where both always give one and the same decision"}
  kappa_low: {type: DOUBLE, about: "lower bound; null where images do not differ"}
  kappa_high: {type: DOUBLE, about: upper bound}
  design: {type: VARCHAR, about: "what was counted, what the interval takes as the unit"}
*/
WITH opinions AS (
    SELECT
        mask_id,
        image_id,
        rater,
        decision
    FROM current_verdicts
    WHERE
        purpose IN ('review', 'double_review')
        AND decision <> 'skip'
        AND sample IS NOT NULL
        AND ($sample IS NULL OR sample = $sample)
    -- One opinion of a person on a mask, however many samples hold it.
    QUALIFY row_number() OVER (PARTITION BY mask_id, rater ORDER BY committed_at DESC, verdict_id DESC) = 1
),

-- Of one image: masks, equal decisions, and how often each rater gave each decision.
pairs_of_image AS (
    SELECT
        one.rater,
        two.rater AS other,
        one.image_id,
        count(*) AS n,
        count(*) FILTER (WHERE one.decision = two.decision) AS n_equal,
        count(*) FILTER (WHERE one.decision = 'accept') AS a_accept,
        count(*) FILTER (WHERE one.decision = 'fix') AS a_fix,
        count(*) FILTER (WHERE one.decision = 'reject') AS a_reject,
        count(*) FILTER (WHERE one.decision = 'unsure') AS a_unsure,
        count(*) FILTER (WHERE two.decision = 'accept') AS b_accept,
        count(*) FILTER (WHERE two.decision = 'fix') AS b_fix,
        count(*) FILTER (WHERE two.decision = 'reject') AS b_reject,
        count(*) FILTER (WHERE two.decision = 'unsure') AS b_unsure
    FROM opinions AS one
    INNER JOIN opinions AS two ON one.mask_id = two.mask_id AND one.rater < two.rater
    GROUP BY one.rater, two.rater, one.image_id
),

-- A row a pair and image left out, and one (image null) that leaves out nothing.
left_out AS (
    SELECT
        rater,
        other,
        unnest([image_id, NULL]) AS image_id,
        unnest([1, 0]) AS is_out,
        pairs_of_image.* EXCLUDE (rater, other, image_id)
    FROM pairs_of_image
),

pairs AS (
    SELECT
        rater,
        other,
        count(*) AS n_images,
        sum(n) AS n,
        share_interval(ratio_sums(n_equal, n)) AS equal,
        sum(n_equal) AS n_equal,
        sum(a_accept) AS a_accept,
        sum(a_fix) AS a_fix,
        sum(a_reject) AS a_reject,
        sum(a_unsure) AS a_unsure,
        sum(b_accept) AS b_accept,
        sum(b_fix) AS b_fix,
        sum(b_reject) AS b_reject,
        sum(b_unsure) AS b_unsure
    FROM pairs_of_image
    GROUP BY rater, other
),

chances AS (
    SELECT DISTINCT
        rater,
        other,
        image_id,
        (pairs.n_equal - is_out * left_out.n_equal) / nullif(pairs.n - is_out * left_out.n, 0) AS observed,
        (
            (pairs.a_accept - is_out * left_out.a_accept) * (pairs.b_accept - is_out * left_out.b_accept)
            + (pairs.a_fix - is_out * left_out.a_fix) * (pairs.b_fix - is_out * left_out.b_fix)
            + (pairs.a_reject - is_out * left_out.a_reject) * (pairs.b_reject - is_out * left_out.b_reject)
            + (pairs.a_unsure - is_out * left_out.a_unsure) * (pairs.b_unsure - is_out * left_out.b_unsure)
        ) / nullif((pairs.n - is_out * left_out.n) ^ 2, 0) AS expected
    FROM left_out
    INNER JOIN pairs USING (rater, other)
),

kappas AS (
    SELECT
        rater,
        other,
        image_id,
        (observed - expected) / nullif(1 - expected, 0) AS kappa
    FROM chances
),

jackknife AS (
    SELECT
        rater,
        other,
        count(kappa) AS n,
        sqrt((count(kappa) - 1) * var_pop(kappa)) AS error
    FROM kappas
    WHERE image_id IS NOT NULL
    GROUP BY rater, other
),

half_widths AS (
    SELECT
        rater,
        other,
        CASE WHEN n > 1 AND error > 0 THEN student_t_975(n - 1) * error END AS half
    FROM jackknife
)

SELECT
    pairs.rater,
    pairs.other,
    pairs.n::BIGINT AS n_masks,
    pairs.n_images,
    pairs.equal.share AS equal_share,
    pairs.equal.low AS equal_share_low,
    pairs.equal.high AS equal_share_high,
    kappas.kappa,
    clamp(kappas.kappa - half_widths.half, -1, 1) AS kappa_low,
    clamp(kappas.kappa + half_widths.half, -1, 1) AS kappa_high,
    'masks that both raters judged blind; image as cluster' AS design
FROM pairs
INNER JOIN kappas ON pairs.rater = kappas.rater AND pairs.other = kappas.other AND kappas.image_id IS NULL
INNER JOIN half_widths ON pairs.rater = half_widths.rater AND pairs.other = half_widths.other
ORDER BY pairs.rater, pairs.other
