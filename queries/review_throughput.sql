/*
title: Review throughput
about: >
  How fast people judge and correct, day by day (UTC). The time of a verdict is the gap since the rater's
  verdict before it; gaps over `break_s` are pauses, so `verdicts_per_hour` is of active time; a day's first
  verdict, those after a pause and those that came with others at one moment have none. Hidden checks, skips
  and what was later taken back count as work that was done. Intervals are 95 %, design-based, and take the
  image as the cluster.
grain: one rater on one day
params:
  sample: {type: VARCHAR, default: null, about: only this sample; null takes all}
  break_s: {type: DOUBLE, default: 120, about: longer gaps between two verdicts are pauses}
columns:
  given_on: {type: DATE, about: day (UTC) by the reviewer's clock}
  rater: {type: VARCHAR, about: who}
  n_verdicts: {type: BIGINT, about: "verdicts given, without withdrawals"}
  n_masks: {type: BIGINT, about: different masks}
  n_images: {type: BIGINT, about: different images}
  active_h: {type: DOUBLE, about: "hours of gaps that are no pauses"}
  verdicts_per_hour: {type: DOUBLE, about: verdicts an hour of active time}
  verdicts_per_hour_low: {type: DOUBLE, about: lower bound; null where one image is all there is}
  verdicts_per_hour_high:
    type: DOUBLE
    about: upper bound; null where the time of a verdict may be next to nothing
  median_took_s: {type: DOUBLE, about: "median of the seconds from showing a mask to its verdict"}
  n_drawn: {type: BIGINT, about: masks drawn or corrected}
  drawn_took_s: {type: DOUBLE, about: mean seconds of drawing or correcting one; null where none was}
  drawn_took_s_low: {type: DOUBLE, about: lower bound}
  drawn_took_s_high: {type: DOUBLE, about: upper bound}
  design: {type: VARCHAR, about: what was counted and what the interval takes as the unit}
*/
WITH given AS (
    SELECT
        rater,
        mask_id,
        image_id,
        took_s,
        given_at,
        date_trunc('day', given_at)::DATE AS given_on,
        epoch(given_at - lag(given_at) OVER (PARTITION BY rater ORDER BY given_at, verdict_id)) AS gap_s
    FROM verdicts
    WHERE decision <> 'withdrawn' AND ($sample IS NULL OR sample = $sample)
),

judged_images AS (
    SELECT
        given_on,
        rater,
        image_id,
        coalesce(sum(gap_s) FILTER (WHERE gap_s <= $break_s), 0) AS active_s,
        count(*) FILTER (WHERE gap_s > 0 AND gap_s <= $break_s) AS n_timed
    FROM given
    GROUP BY given_on, rater, image_id
),

speeds AS (
    SELECT
        given_on,
        rater,
        sum(active_s) AS active_s,
        mean_interval(ratio_sums(active_s, n_timed)) AS verdict_s
    FROM judged_images
    GROUP BY given_on, rater
),

judged AS (
    SELECT
        given_on,
        rater,
        count(*) AS n_verdicts,
        count(DISTINCT mask_id) AS n_masks,
        count(DISTINCT image_id) AS n_images,
        median(took_s) AS median_took_s
    FROM given
    GROUP BY given_on, rater
),

drawn_images AS (
    SELECT
        date_trunc('day', drawn_at)::DATE AS given_on,
        rater,
        image_id,
        count(*) AS n_drawn,
        sum(took_s) AS took_s
    FROM drawn_masks
    WHERE $sample IS NULL OR sample = $sample
    GROUP BY date_trunc('day', drawn_at)::DATE, rater, image_id
),

drawn AS (
    SELECT
        given_on,
        rater,
        sum(n_drawn)::BIGINT AS n_drawn,
        mean_interval(ratio_sums(took_s, n_drawn)) AS took_s
    FROM drawn_images
    GROUP BY given_on, rater
)

SELECT
    given_on,
    rater,
    coalesce(judged.n_verdicts, 0) AS n_verdicts,
    coalesce(judged.n_masks, 0) AS n_masks,
    coalesce(judged.n_images, 0) AS n_images,
    coalesce(speeds.active_s, 0) / 3600 AS active_h,
    3600 / nullif(speeds.verdict_s.mean, 0) AS verdicts_per_hour,
    3600 / nullif(speeds.verdict_s.high, 0) AS verdicts_per_hour_low,
    CASE WHEN speeds.verdict_s.low > 0 THEN 3600 / speeds.verdict_s.low END AS verdicts_per_hour_high,
    judged.median_took_s,
    coalesce(drawn.n_drawn, 0) AS n_drawn,
    drawn.took_s.mean AS drawn_took_s,
    clamp(drawn.took_s.low, 0, 'infinity') AS drawn_took_s_low,
    drawn.took_s.high AS drawn_took_s_high,
    'every verdict of the rater on the day; image as cluster' AS design
FROM judged
INNER JOIN speeds USING (given_on, rater)
FULL JOIN drawn USING (given_on, rater)
ORDER BY given_on, rater
