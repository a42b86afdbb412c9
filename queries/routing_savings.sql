/*
title: Reviews saved by routing
about: >
  What each routing leaves to people, against a person who looks at every mask, at what it promises. A mask
  is reviewed where its route says so; accepted and rejected ones are not. Hours are these masks times the
  seconds that a verdict takes: the mean gap between two verdicts of one rater in this workspace, gaps over
  `break_s` left out, as review_throughput counts them. Intervals are 95 % and take the image as the
  cluster; those of hours come from the seconds alone, as the number of masks is known.
grain: one routing
params:
  routing: {type: VARCHAR, default: null, about: only this routing; null takes all}
  break_s: {type: DOUBLE, default: 120, about: longer gaps between two verdicts are pauses}
columns:
  routing: {type: VARCHAR, about: routing}
  score: {type: VARCHAR, about: "what was compared: name of the verifier, or an SQL expression"}
  method: {type: VARCHAR, about: how the thresholds were chosen}
  max_bad: {type: DOUBLE, about: "promised: at most this share of the accepted masks is bad; null: preset"}
  confidence: {type: DOUBLE, about: chance with which the promise holds; null for a preset}
  accept_from: {type: DOUBLE, about: masks of this score or more are accepted; null where none can be}
  reject_below: {type: DOUBLE, about: masks of a lower score are rejected; null where none are}
  bad_share: {type: DOUBLE, about: "share of bad masks among the accepted ones that are labelled, 0..1"}
  bad_share_bound: {type: DOUBLE, about: upper bound of it at the confidence}
  n_masks: {type: BIGINT, about: masks that a person would review without the routing}
  n_review: {type: BIGINT, about: masks that a person reviews with it}
  n_saved: {type: BIGINT, about: reviews saved}
  saved_share: {type: DOUBLE, about: "share of reviews saved, 0..1"}
  saved_share_low: {type: DOUBLE, about: lower bound}
  saved_share_high: {type: DOUBLE, about: upper bound}
  most_bad_accepted:
    type: BIGINT
    about: >-
      bad masks among the accepted ones at the upper bound; null where it is not known
  more_reviews: {type: BIGINT, about: "about so many more until the promise can be given; null where it is"}
  seconds_per_mask: {type: DOUBLE, about: mean seconds a verdict; null before there are any}
  hours_without: {type: DOUBLE, about: hours of reviewing every mask}
  hours_with: {type: DOUBLE, about: hours of reviewing what the routing leaves}
  hours_saved: {type: DOUBLE, about: hours saved}
  hours_saved_low: {type: DOUBLE, about: lower bound}
  hours_saved_high: {type: DOUBLE, about: upper bound}
  n_images: {type: BIGINT, about: images with routed masks}
  design: {type: VARCHAR, about: what was counted and what the interval takes as the unit}
*/
WITH per_image AS (
    SELECT
        routing,
        image_id,
        count(*) AS n_masks,
        count(*) FILTER (WHERE route = 'review') AS n_review,
        count(*) FILTER (WHERE route = 'accept') AS n_accept
    FROM routes
    WHERE $routing IS NULL OR routing = $routing
    GROUP BY routing, image_id
),

saved AS (
    SELECT
        routing,
        sum(n_masks)::BIGINT AS n_masks,
        sum(n_review)::BIGINT AS n_review,
        sum(n_accept)::BIGINT AS n_accept,
        count(*) AS n_images,
        share_interval(ratio_sums(n_masks - n_review, n_masks)) AS of_all
    FROM per_image
    GROUP BY routing
),

gaps AS (
    SELECT
        image_id,
        epoch(given_at - lag(given_at) OVER (PARTITION BY rater ORDER BY given_at, verdict_id)) AS gap_s
    FROM verdicts
    WHERE decision <> 'withdrawn'
),

judged_images AS (
    SELECT
        image_id,
        sum(gap_s) AS active_s,
        count(*) AS n_timed
    FROM gaps
    WHERE gap_s <= $break_s
    GROUP BY image_id
),

-- Verdicts that all came at one moment, as imported ones do, tell no pace.
pace AS (
    SELECT CASE WHEN sum(active_s) > 0 THEN mean_interval(ratio_sums(active_s, n_timed)) END AS seconds
    FROM judged_images
)

SELECT
    routings.routing,
    coalesce(routings.verifier, routings.score) AS score,
    routings.method,
    routings.max_bad,
    routings.confidence,
    routings.accept_from,
    routings.reject_below,
    routings.bad_share,
    routings.bad_share_bound,
    saved.n_masks,
    saved.n_review,
    saved.n_masks - saved.n_review AS n_saved,
    saved.of_all.share AS saved_share,
    saved.of_all.low AS saved_share_low,
    saved.of_all.high AS saved_share_high,
    ceil(routings.bad_share_bound * saved.n_accept)::BIGINT AS most_bad_accepted,
    routings.more_reviews,
    pace.seconds.mean AS seconds_per_mask,
    saved.n_masks * pace.seconds.mean / 3600 AS hours_without,
    saved.n_review * pace.seconds.mean / 3600 AS hours_with,
    (saved.n_masks - saved.n_review) * pace.seconds.mean / 3600 AS hours_saved,
    (saved.n_masks - saved.n_review) * clamp(pace.seconds.low, 0, 'infinity') / 3600 AS hours_saved_low,
    (saved.n_masks - saved.n_review) * pace.seconds.high / 3600 AS hours_saved_high,
    saved.n_images,
    'every routed mask; image as cluster' AS design
FROM routings
INNER JOIN saved USING (routing)
CROSS JOIN pace
ORDER BY routings.routed_at, routings.routing
