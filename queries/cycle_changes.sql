/*
title: Figures of cycles and how they changed
about: >
  Every figure of every cycle of the data engine with its interval, and its change against the cycle before
  of the same stage. Images that both cycles read are paired: what they share cancels in the change. With
  `shared_only` only images count that every cycle of the stage read, such as held-out images that each
  model is tried on; else all, of which a model may have learned from some. Each image counts once a cycle,
  with the newest run of the cycle that read it. `auto_accept_rate` is the share of the masks with a
  predicted IoU that have it above `auto_accept`, `accepted_precision` the share of those that have a
  partner in gold, so that a model which passes fewer masks because it knows better is not taken for a worse
  one. `manual_per_image` counts masks that people drew or corrected, as in `stage_evolution`;
  `missed_per_image` gold masks without a partner, which people would have to draw; `to_mend_per_image`
  these and the gold masks whose partner is under `good_iou`, which people would have to correct. Partners
  are of `iou_threshold` or more. `calibration_error` is that of the report `calibration`: its lower bound
  takes off what chance alone would show, its change does not, for chance is in both cycles.
  `person_s_per_image` is working time: the gap since the person's verdict or drawing before, and after a
  pause the time that it took itself. Intervals are 95 % and take the image as the cluster.
grain: one figure of one cycle of one stage
params:
  gold_run_id: {type: INTEGER, default: null, about: only this gold run; null takes every gold run together}
  shared_only: {type: BOOLEAN, default: false, about: only images that every cycle of the stage read}
  against: {type: SMALLINT, default: null, about: change against this cycle; null takes the one before}
  auto_accept: {type: DOUBLE, default: 0.9, about: predicted IoU above which a mask passes without a person}
  iou_threshold: {type: DOUBLE, default: 0.5, about: a mask and a gold mask are partners from this IoU on}
  good_iou: {type: DOUBLE, default: 0.9, about: a partner from this IoU on needs no correction}
  n_bins: {type: INTEGER, default: 20, about: bins of the predicted IoU between 0 and 1}
  break_s: {type: DOUBLE, default: 120, about: longer gaps are pauses; no verdict counts as longer}
  longest_drawing_s: {type: DOUBLE, default: 900, about: no drawing counts as longer}
columns:
  stage: {type: VARCHAR, about: stage of the data engine}
  cycle: {type: SMALLINT, about: cycle inside the stage}
  figure: {type: VARCHAR, about: its name}
  unit: {type: VARCHAR, about: "share (0..1), IoU (0..1), masks an image, or s an image"}
  estimate: {type: DOUBLE, about: the figure}
  low: {type: DOUBLE, about: lower bound; null where one image is all there is}
  high: {type: DOUBLE, about: upper bound}
  n_images: {type: BIGINT, about: images behind the figure}
  n_units: {type: BIGINT, about: "masks behind it; gold masks for recall, images for what is per image"}
  cycle_before: {type: SMALLINT, about: cycle that it is compared with; null for the first}
  change: {type: DOUBLE, about: the figure minus that of this cycle}
  change_low: {type: DOUBLE, about: lower bound}
  change_high: {type: DOUBLE, about: upper bound}
  n_paired_images: {type: BIGINT, about: images behind both}
  design: {type: VARCHAR, about: what was counted and what the interval takes as the unit}
*/
WITH n_cycles_of_image AS (
    SELECT
        stage,
        image_id,
        count(*) AS n_cycles
    FROM current_images
    GROUP BY stage, image_id
),

n_cycles_of_stage AS (
    SELECT
        stage,
        count(DISTINCT cycle) AS n_cycles
    FROM current_images
    GROUP BY stage
),

cycle_images AS (
    SELECT current_images.*
    FROM current_images
    INNER JOIN n_cycles_of_image USING (stage, image_id)
    INNER JOIN n_cycles_of_stage USING (stage)
    WHERE NOT $shared_only OR n_cycles_of_image.n_cycles = n_cycles_of_stage.n_cycles
),

masks_of_image AS (
    SELECT
        run_id,
        image_id,
        count(*) AS n_masks,
        count(predicted_iou) AS n_predicted,
        count(*) FILTER (WHERE predicted_iou > $auto_accept) AS n_accepted
    FROM masks
    GROUP BY run_id, image_id
),

drawn_of_image AS (
    SELECT
        run_id,
        image_id,
        count(*) FILTER (WHERE is_current) AS n_drawn,
        count(*) FILTER (WHERE supersedes IS NULL) AS n_added
    FROM drawn_on_runs
    GROUP BY run_id, image_id
),

matched AS (
    SELECT *
    FROM gold_comparisons
    WHERE $gold_run_id IS NULL OR gold_run_id = $gold_run_id
),

gold_of_image AS (
    SELECT
        run_id,
        image_id,
        count(*) FILTER (WHERE is_compared) AS n_compared,
        count(gold_mask_id) AS n_gold_masks,
        count(*) FILTER (WHERE is_compared AND matched_iou >= $iou_threshold) AS n_right,
        count(*) FILTER (WHERE matched_iou >= $iou_threshold) AS n_found,
        count(*) FILTER (WHERE matched_iou >= greatest($iou_threshold, $good_iou)) AS n_found_good,
        coalesce(sum(gold_iou) FILTER (WHERE is_compared), 0) AS sum_iou,
        coalesce(sum(gold_boundary_iou) FILTER (WHERE is_compared), 0) AS sum_boundary_iou,
        count(*) FILTER (WHERE is_compared AND gold_iou > 0 AND gold_boundary_iou IS NULL) AS n_unbounded
    FROM matched
    GROUP BY run_id, image_id
),

acts AS (
    SELECT
        rater,
        run_id,
        image_id,
        given_at AS acted_at,
        took_s,
        $break_s AS longest_s
    FROM verdicts
    WHERE decision <> 'withdrawn'
    UNION ALL
    SELECT
        rater,
        run_id,
        image_id,
        drawn_at AS acted_at,
        took_s,
        $longest_drawing_s AS longest_s
    FROM drawn_masks
),

timed AS (
    SELECT
        *,
        epoch(acted_at - lag(acted_at) OVER (PARTITION BY rater ORDER BY acted_at, image_id, took_s)) AS gap_s
    FROM acts
),

time_of_image AS (
    SELECT
        runs.stage,
        runs.cycle,
        timed.image_id,
        sum(
            CASE
                WHEN timed.gap_s <= $break_s THEN timed.gap_s
                ELSE least(timed.took_s, timed.longest_s, timed.gap_s)
            END
        ) AS worked_s
    FROM timed
    INNER JOIN runs USING (run_id)
    GROUP BY runs.stage, runs.cycle, timed.image_id
),

bins_of_image AS (
    SELECT
        cycle_images.stage,
        cycle_images.cycle,
        cycle_images.image_id,
        greatest(0, least($n_bins - 1, floor(masks.predicted_iou * $n_bins)))::INTEGER AS bin,
        count(*) AS n_masks,
        count(*) FILTER (WHERE masks.predicted_iou > $auto_accept) AS n_accepted,
        count(*) FILTER (WHERE masks.predicted_iou > $auto_accept AND matched.matched_iou >= $iou_threshold)
            AS n_accepted_right,
        sum(masks.predicted_iou - matched.gold_iou) AS sum_gap
    FROM matched
    INNER JOIN cycle_images USING (run_id, image_id)
    INNER JOIN masks ON matched.run_id = masks.run_id AND matched.mask_id = masks.mask_id
    WHERE masks.predicted_iou IS NOT NULL AND matched.is_compared
    GROUP BY cycle_images.stage, cycle_images.cycle, cycle_images.image_id, bin
),

gaps_of_image AS (
    SELECT
        stage,
        cycle,
        image_id,
        n_masks,
        n_accepted,
        n_accepted_right,
        sum_gap * sign(sum(sum_gap) OVER (PARTITION BY stage, cycle, bin)) AS sum_error
    FROM bins_of_image
),

errors_of_image AS (
    SELECT
        stage,
        cycle,
        image_id,
        sum(n_masks) AS n_masks,
        sum(n_accepted) AS n_accepted,
        sum(n_accepted_right) AS n_accepted_right,
        sum(sum_error) AS sum_error
    FROM gaps_of_image
    GROUP BY stage, cycle, image_id
),

-- What the bins would show without any gap, as in the report calibration.
gaps AS (
    SELECT
        stage,
        cycle,
        sum(n_masks) AS n_masks,
        sum(sum_gap) / sum(n_masks) AS gap,
        ratio_estimate(ratio_sums(sum_gap, n_masks)).v AS variance
    FROM bins_of_image
    GROUP BY stage, cycle, bin
),

chance AS (
    SELECT
        stage,
        cycle,
        sum(n_masks * coalesce(sqrt(2 / pi() * variance), abs(gap))) / sum(n_masks) AS error_by_chance
    FROM gaps
    GROUP BY stage, cycle
),

per_image AS (
    SELECT
        cycle_images.stage,
        cycle_images.cycle,
        cycle_images.image_id,
        coalesce(masks_of_image.n_masks, 0) AS n_masks,
        coalesce(masks_of_image.n_predicted, 0) AS n_predicted,
        coalesce(masks_of_image.n_accepted, 0) AS n_accepted,
        coalesce(drawn_of_image.n_drawn, 0) AS n_drawn,
        coalesce(drawn_of_image.n_added, 0) AS n_added,
        gold.n_compared,
        gold.n_gold_masks,
        gold.n_right,
        gold.n_found,
        gold.n_found_good,
        gold.sum_iou,
        CASE WHEN gold.n_unbounded = 0 THEN gold.sum_boundary_iou END AS sum_boundary_iou,
        CASE WHEN gold.n_unbounded = 0 THEN gold.n_compared END AS n_bounded,
        errors_of_image.sum_error,
        errors_of_image.n_masks AS n_binned,
        errors_of_image.n_accepted AS n_accepted_judged,
        errors_of_image.n_accepted_right,
        coalesce(time_of_image.worked_s, 0) AS worked_s
    FROM cycle_images
    LEFT JOIN masks_of_image USING (run_id, image_id)
    LEFT JOIN drawn_of_image USING (run_id, image_id)
    LEFT JOIN gold_of_image AS gold USING (run_id, image_id)
    LEFT JOIN errors_of_image USING (stage, cycle, image_id)
    LEFT JOIN time_of_image USING (stage, cycle, image_id)
),

-- A figure is a ratio of two totals over images, y and x; `place` orders them.
ratios AS (
    SELECT
        stage,
        cycle,
        image_id,
        unnest([
            { 'place': 1, 'figure': 'auto_accept_rate', 'y': n_accepted, 'x': n_predicted },
            {
                'place': 2,
                'figure': 'manual_per_image',
                'y': CASE stage
                    WHEN 'assisted_manual' THEN n_masks + n_added
                    WHEN 'semi_automatic' THEN n_masks - n_predicted + n_drawn
                    ELSE n_drawn
                END,
                'x': 1
            },
            { 'place': 3, 'figure': 'masks_per_image', 'y': n_masks + n_added, 'x': 1 },
            { 'place': 4, 'figure': 'precision', 'y': n_right, 'x': n_compared },
            { 'place': 5, 'figure': 'accepted_precision', 'y': n_accepted_right, 'x': n_accepted_judged },
            { 'place': 6, 'figure': 'recall', 'y': n_found, 'x': n_gold_masks },
            {
                'place': 7,
                'figure': 'missed_per_image',
                'y': n_gold_masks - n_found,
                'x': CASE WHEN n_gold_masks IS NOT NULL THEN 1 END
            },
            {
                'place': 8,
                'figure': 'to_mend_per_image',
                'y': n_gold_masks - n_found_good,
                'x': CASE WHEN n_gold_masks IS NOT NULL THEN 1 END
            },
            { 'place': 9, 'figure': 'mean_gold_iou', 'y': sum_iou, 'x': n_compared },
            { 'place': 10, 'figure': 'boundary_iou', 'y': sum_boundary_iou, 'x': n_bounded },
            { 'place': 11, 'figure': 'calibration_error', 'y': sum_error, 'x': n_binned },
            { 'place': 12, 'figure': 'person_s_per_image', 'y': worked_s, 'x': 1 }
        ]) AS f
    FROM per_image
),

sums AS (
    SELECT
        stage,
        cycle,
        f.place,
        f.figure,
        nullif(
            coalesce($against, lag(cycle) OVER (PARTITION BY stage, f.figure ORDER BY cycle)), cycle
        )::SMALLINT AS cycle_before,
        ratio_sums(f.y::DOUBLE, f.x::DOUBLE) AS s
    FROM ratios
    WHERE f.x > 0
    GROUP BY stage, cycle, f.place, f.figure
),

-- What the residuals of an image share in both cycles cancels in the difference.
changes AS (
    SELECT
        sums.stage,
        sums.cycle,
        sums.figure,
        count(now_image.image_id) AS n_paired_images,
        difference_interval(
            any_value(sums.s),
            any_value(earlier.s),
            sum(
                ratio_residual(sums.s, now_image.f.y::DOUBLE, now_image.f.x::DOUBLE)
                * ratio_residual(earlier.s, before_image.f.y::DOUBLE, before_image.f.x::DOUBLE)
            )
        ) AS d
    FROM sums
    INNER JOIN sums AS earlier
        ON sums.stage = earlier.stage AND sums.cycle_before = earlier.cycle AND sums.figure = earlier.figure
    LEFT JOIN ratios AS before_image
        ON
            earlier.stage = before_image.stage AND earlier.cycle = before_image.cycle
            AND earlier.figure = before_image.f.figure AND before_image.f.x > 0
    LEFT JOIN ratios AS now_image
        ON
            sums.stage = now_image.stage AND sums.cycle = now_image.cycle
            AND before_image.f.figure = now_image.f.figure AND before_image.image_id = now_image.image_id
            AND now_image.f.x > 0
    GROUP BY sums.stage, sums.cycle, sums.figure
),

intervals AS (
    SELECT
        sums.*,
        sums.figure IN ('auto_accept_rate', 'precision', 'accepted_precision', 'recall') AS is_share,
        sums.figure LIKE '%_per_image' AS is_per_image,
        CASE WHEN sums.figure = 'calibration_error' THEN chance.error_by_chance ELSE 0 END AS by_chance,
        share_interval(sums.s) AS as_share,
        mean_interval(sums.s) AS as_mean
    FROM sums
    LEFT JOIN chance USING (stage, cycle)
)

SELECT
    intervals.stage,
    intervals.cycle,
    intervals.figure,
    CASE
        WHEN intervals.is_share THEN 'share'
        WHEN intervals.figure = 'person_s_per_image' THEN 's an image'
        WHEN intervals.is_per_image THEN 'masks an image'
        ELSE 'IoU'
    END AS unit,
    intervals.as_mean.mean AS estimate,
    CASE
        WHEN intervals.is_share THEN intervals.as_share.low
        ELSE clamp(intervals.as_mean.low - intervals.by_chance, 0, intervals.as_mean.mean)
    END AS low,
    CASE
        WHEN intervals.is_share THEN intervals.as_share.high
        WHEN intervals.is_per_image THEN intervals.as_mean.high
        ELSE clamp(intervals.as_mean.high, 0, 1)
    END AS high,
    intervals.as_mean.n_images,
    intervals.as_mean.n_units,
    intervals.cycle_before,
    changes.d.difference AS change, -- noqa: RF04
    changes.d.low AS change_low,
    changes.d.high AS change_high,
    changes.n_paired_images,
    concat(
        CASE
            WHEN intervals.figure = 'person_s_per_image' THEN 'every verdict and drawing'
            WHEN intervals.figure IN ('recall', 'missed_per_image', 'to_mend_per_image')
                THEN 'every gold mask of the images with gold'
            WHEN intervals.figure = 'accepted_precision' THEN 'every accepted mask on the images with gold'
            WHEN intervals.figure IN ('precision', 'mean_gold_iou', 'boundary_iou', 'calibration_error')
                THEN 'every mask on the images with gold'
            ELSE 'every mask'
        END,
        CASE WHEN $shared_only THEN ', on images that every cycle read' ELSE '' END,
        '; image as cluster; change paired by image'
    ) AS design
FROM intervals
LEFT JOIN changes USING (stage, cycle, figure)
ORDER BY
    list_position(['assisted_manual', 'semi_automatic', 'fully_automatic'], intervals.stage),
    intervals.cycle,
    intervals.place
