/*
title: Rater quality
about: >
  How reliable each rater is. `gold_agreement` is the share of hidden gold checks that were answered
  rightly: a mask whose highest IoU with gold is `good_iou` or more is to be accepted, one under `bad_iou`
  is not, and others are no checks; `gold_good_accepted` and `gold_bad_refused` are its parts.
  `repeat_equal` is the share of hidden repeats with the same decision as the first time,
  `repeat_equal_accept` of those accepted again or again not. `accept_share` is of first and second
  opinions. Skips and what was taken back do not count. Intervals are 95 %, design-based, and take the image
  as the cluster; `curation review raters` shows those of the cluster bootstrap, and drift over time.
grain: one figure of one rater
params:
  sample: {type: VARCHAR, default: null, about: only this sample; null takes all}
  good_iou: {type: DOUBLE, default: 0.90, about: from this IoU with gold on a mask is to be accepted}
  bad_iou: {type: DOUBLE, default: 0.50, about: under this IoU with gold a mask is not to be accepted}
columns:
  rater: {type: VARCHAR, about: who}
  figure:
    type: VARCHAR
    about: >-
      gold_agreement, gold_good_accepted, gold_bad_refused, repeat_equal, repeat_equal_accept or accept_share
  estimate: {type: DOUBLE, about: "the share, 0..1"}
  low: {type: DOUBLE, about: lower bound; null where one image is all there is}
  high: {type: DOUBLE, about: upper bound}
  n_verdicts: {type: BIGINT, about: verdicts behind the share}
  n_images: {type: BIGINT, about: images behind the share}
  effective_n: {type: DOUBLE, about: independent verdicts that would tell as much}
  design: {type: VARCHAR, about: "what was counted, what the interval takes as the unit"}
*/
WITH gold AS (
    SELECT
        mask_id,
        max(gold_iou) AS gold_iou
    FROM gold_comparisons
    WHERE is_compared
    GROUP BY mask_id
),

given AS (
    SELECT *
    FROM current_verdicts
    WHERE decision <> 'skip' AND ($sample IS NULL OR sample = $sample)
),

opinions AS (
    SELECT *
    FROM given
    WHERE purpose IN ('review', 'double_review')
),

answers AS (
    SELECT
        given.rater,
        given.image_id,
        'gold_agreement' AS figure,
        0 AS place,
        (given.decision = 'accept') = (gold.gold_iou >= $good_iou) AS is_so
    FROM given
    INNER JOIN gold USING (mask_id)
    WHERE given.purpose = 'gold_check' AND (gold.gold_iou >= $good_iou OR gold.gold_iou < $bad_iou)
    UNION ALL
    SELECT
        given.rater,
        given.image_id,
        CASE WHEN gold.gold_iou >= $good_iou THEN 'gold_good_accepted' ELSE 'gold_bad_refused' END AS figure,
        CASE WHEN gold.gold_iou >= $good_iou THEN 1 ELSE 2 END AS place,
        (given.decision = 'accept') = (gold.gold_iou >= $good_iou) AS is_so
    FROM given
    INNER JOIN gold USING (mask_id)
    WHERE given.purpose = 'gold_check' AND (gold.gold_iou >= $good_iou OR gold.gold_iou < $bad_iou)
    UNION ALL
    SELECT
        again.rater,
        again.image_id,
        'repeat_equal' AS figure,
        3 AS place,
        again.decision = opinions.decision AS is_so
    FROM given AS again
    INNER JOIN opinions USING (sample, mask_id, rater)
    WHERE again.purpose = 'repeat'
    UNION ALL
    SELECT
        again.rater,
        again.image_id,
        'repeat_equal_accept' AS figure,
        4 AS place,
        (again.decision = 'accept') = (opinions.decision = 'accept') AS is_so
    FROM given AS again
    INNER JOIN opinions USING (sample, mask_id, rater)
    WHERE again.purpose = 'repeat'
    UNION ALL
    SELECT
        rater,
        image_id,
        'accept_share' AS figure,
        5 AS place,
        decision = 'accept' AS is_so
    FROM opinions
),

answers_of_image AS (
    SELECT
        rater,
        figure,
        place,
        image_id,
        count(*) FILTER (WHERE is_so) AS n_so,
        count(*) AS n
    FROM answers
    GROUP BY rater, figure, place, image_id
),

shares AS (
    SELECT
        rater,
        figure,
        place,
        share_interval(ratio_sums(n_so, n)) AS of_rater
    FROM answers_of_image
    GROUP BY rater, figure, place
)

SELECT
    rater,
    figure,
    of_rater.share AS estimate,
    of_rater.low,
    of_rater.high,
    of_rater.n_units AS n_verdicts,
    of_rater.n_images,
    of_rater.effective_n,
    CASE
        WHEN place < 3 THEN 'hidden gold checks, good and bad in turn; image as cluster'
        WHEN place < 5 THEN 'hidden repeats of the rater''s own verdicts; image as cluster'
        ELSE 'masks that the rater was given, in random order; image as cluster'
    END AS design
FROM shares
ORDER BY rater, place
