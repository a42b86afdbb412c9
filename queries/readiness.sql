/*
title: Readiness for the next stage
about: >
  The seeds' criteria for leaving a stage, per stage and cycle, judged by their intervals: a criterion is
  met where the whole interval lies beyond its limit, not met where all of it falls short, and cannot be told
  yet in between or without data. `calibration_error` is the mean gap between predicted IoU and IoU with gold
  over bins (report calibration); `auto_accept_rate` the share of masks whose predicted IoU is above
  `auto_accept`; `label_diversity` the evenness of labels (entropy over its largest value, Pielou 1966), for
  a run without labels of those of the gold masks that its masks were matched with, out of all of the gold;
  `recall` and `small_object_recall` count gold masks that a mask found at an IoU of 0.5 or more; `gain` is
  the change of the mean best IoU with gold since the cycle before. Each image counts once a cycle, with the
  newest run that read it. More images are counted as if they varied like those seen. Intervals are 95 % and
  take the image as the cluster.
grain: one criterion of one stage and cycle
params:
  gold_run_id: {type: INTEGER, default: null, about: only this gold run; null takes every gold run together}
  max_calibration_error: {type: DOUBLE, default: 0.05, about: below this}
  min_auto_accept_rate: {type: DOUBLE, default: 0.65, about: above this}
  auto_accept: {type: DOUBLE, default: 0.9, about: predicted IoU that a mask needs to pass without a person}
  min_label_diversity: {type: DOUBLE, default: 0.9, about: above this}
  min_recall: {type: DOUBLE, default: 0.9, about: above this}
  min_small_object_recall: {type: DOUBLE, default: 0.85, about: above this}
  small_area_px: {type: BIGINT, default: 1024, about: "gold below this area is small; COCO's is 32 x 32 px"}
  max_gain: {type: DOUBLE, default: 0.05, about: "below this, a cycle more would teach little"}
  n_bins: {type: INTEGER, default: 20, about: bins of the predicted IoU between 0 and 1}
columns:
  stage: {type: VARCHAR, about: stage of the data engine}
  cycle: {type: SMALLINT, about: cycle inside the stage}
  criterion: {type: VARCHAR, about: what is asked}
  needed: {type: VARCHAR, about: the limit}
  estimate: {type: DOUBLE, about: "the figure, 0..1"}
  low: {type: DOUBLE, about: lower bound; null where fewer than two images tell}
  high: {type: DOUBLE, about: upper bound}
  verdict: {type: VARCHAR, about: "met, not met, or cannot tell yet"}
  n_images: {type: BIGINT, about: images behind the figure}
  n_units: {type: BIGINT, about: "masks behind it; gold masks for recall"}
  more_images: {type: BIGINT, about: "images that would settle it, if the estimate stays; else null"}
  more_reviews: {type: BIGINT, about: "about so many masks to judge on them"}
*/
WITH masks_of_image AS (
    SELECT
        run_id,
        image_id,
        count(predicted_iou) AS n_predicted,
        count(*) FILTER (WHERE predicted_iou > $auto_accept) AS n_accepted
    FROM masks
    GROUP BY run_id, image_id
),

matched AS (
    SELECT *
    FROM gold_comparisons
    WHERE $gold_run_id IS NULL OR gold_run_id = $gold_run_id
),

own_labels AS (
    SELECT
        run_id,
        image_id,
        label,
        count(*) AS n_masks
    FROM masks
    WHERE label IS NOT NULL
    GROUP BY run_id, image_id, label
),

-- A generator gives no labels; gold tells what its masks show.
labels_of_image AS (
    SELECT * FROM own_labels
    UNION ALL
    SELECT
        matched.run_id,
        matched.image_id,
        gold_masks.label,
        count(*) AS n_masks
    FROM matched
    INNER JOIN gold_masks
        ON matched.gold_run_id = gold_masks.run_id AND matched.gold_mask_id = gold_masks.gold_mask_id
    ANTI JOIN own_labels ON matched.run_id = own_labels.run_id
    WHERE matched.is_compared AND matched.matched_iou >= 0.5 AND gold_masks.label IS NOT NULL
    GROUP BY matched.run_id, matched.image_id, gold_masks.label
),

labels_of_cycle AS (
    SELECT
        current_images.stage,
        current_images.cycle,
        labels_of_image.label,
        sum(labels_of_image.n_masks) AS n_masks
    FROM labels_of_image
    INNER JOIN current_images USING (run_id, image_id)
    GROUP BY current_images.stage, current_images.cycle, labels_of_image.label
),

-- Labels of gold that no mask was matched with count as labels that are missing.
known_labels AS (
    SELECT
        stage,
        cycle,
        label
    FROM labels_of_cycle
    UNION
    SELECT
        current_images.stage,
        current_images.cycle,
        gold_masks.label
    FROM matched
    INNER JOIN current_images USING (run_id, image_id)
    INNER JOIN gold_masks
        ON matched.gold_run_id = gold_masks.run_id AND matched.gold_mask_id = gold_masks.gold_mask_id
    ANTI JOIN own_labels ON matched.run_id = own_labels.run_id
    WHERE gold_masks.label IS NOT NULL
),

n_known_labels AS (
    SELECT
        stage,
        cycle,
        count(*) AS n_labels
    FROM known_labels
    GROUP BY stage, cycle
),

labels AS (
    SELECT
        stage,
        cycle,
        label,
        n_masks / sum(n_masks) OVER (PARTITION BY stage, cycle) AS label_share,
        n_labels
    FROM labels_of_cycle
    INNER JOIN n_known_labels USING (stage, cycle)
),

-- Entropy is the mean of −ln p over masks. Its first-order variance is that of this mean with p as given.
surprise_of_image AS (
    SELECT
        current_images.stage,
        current_images.cycle,
        current_images.image_id,
        sum(labels_of_image.n_masks) AS n_masks,
        sum(-ln(labels.label_share) / ln(labels.n_labels) * labels_of_image.n_masks) AS sum_surprise
    FROM labels_of_image
    INNER JOIN current_images USING (run_id, image_id)
    INNER JOIN labels USING (stage, cycle, label)
    WHERE labels.n_labels > 1
    GROUP BY current_images.stage, current_images.cycle, current_images.image_id
),

gold_of_image AS (
    SELECT
        current_images.stage,
        current_images.cycle,
        current_images.image_id,
        count(*) FILTER (WHERE matches.is_compared) AS n_masks,
        coalesce(sum(matches.gold_iou) FILTER (WHERE matches.is_compared), 0) AS sum_iou,
        count(matches.gold_mask_id) AS n_gold,
        count(*) FILTER (WHERE matches.matched_iou >= 0.5) AS n_found,
        count(gold_masks.gold_mask_id) AS n_small_gold,
        count(gold_masks.gold_mask_id) FILTER (WHERE matches.matched_iou >= 0.5) AS n_small_found
    FROM matched AS matches
    INNER JOIN current_images USING (run_id, image_id)
    LEFT JOIN gold_masks
        ON
            matches.gold_run_id = gold_masks.run_id
            AND matches.gold_mask_id = gold_masks.gold_mask_id
            AND gold_masks.area_px < $small_area_px
    GROUP BY current_images.stage, current_images.cycle, current_images.image_id
),

bins_of_image AS (
    SELECT
        current_images.stage,
        current_images.cycle,
        current_images.image_id,
        greatest(0, least($n_bins - 1, floor(masks.predicted_iou * $n_bins)))::INTEGER AS bin,
        count(*) AS n_masks,
        sum(masks.predicted_iou - matches.gold_iou) AS sum_gap
    FROM matched AS matches
    INNER JOIN current_images USING (run_id, image_id)
    INNER JOIN masks ON matches.run_id = masks.run_id AND matches.mask_id = masks.mask_id
    WHERE masks.predicted_iou IS NOT NULL AND matches.is_compared
    GROUP BY current_images.stage, current_images.cycle, current_images.image_id, bin
),

gaps_of_image AS (
    SELECT
        stage,
        cycle,
        image_id,
        n_masks,
        sum_gap * sign(sum(sum_gap) OVER (PARTITION BY stage, cycle, bin)) AS sum_error
    FROM bins_of_image
),

errors_of_image AS (
    SELECT
        stage,
        cycle,
        image_id,
        sum(n_masks) AS n_masks,
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

ious AS (
    SELECT
        stage,
        cycle,
        lag(cycle) OVER (PARTITION BY stage ORDER BY cycle) AS cycle_before,
        ratio_sums(sum_iou, n_masks) AS s
    FROM gold_of_image
    GROUP BY stage, cycle
),

-- The cycle before often ran on the same images; what both residuals share cancels in the difference.
gains AS (
    SELECT
        ious.stage,
        ious.cycle,
        any_value(ious.s) AS s,
        difference_interval(
            any_value(ious.s),
            any_value(earlier.s),
            sum(
                ratio_residual(ious.s, now_image.sum_iou, now_image.n_masks)
                * ratio_residual(earlier.s, before_image.sum_iou, before_image.n_masks)
            )
        ) AS d
    FROM ious
    INNER JOIN ious AS earlier ON ious.stage = earlier.stage AND ious.cycle_before = earlier.cycle
    INNER JOIN gold_of_image AS now_image ON ious.stage = now_image.stage AND ious.cycle = now_image.cycle
    LEFT JOIN gold_of_image AS before_image
        ON
            earlier.stage = before_image.stage AND earlier.cycle = before_image.cycle
            AND now_image.image_id = before_image.image_id
    GROUP BY ious.stage, ious.cycle
),

figures AS (
    SELECT
        stage,
        cycle,
        'calibration_error' AS criterion,
        {
            'r': e.mean,
            'low': clamp(e.low - error_by_chance, 0, 1),
            'high': clamp(e.high, 0, 1),
            'n_images': e.n_images,
            'n_units': e.n_units
        } AS f
    FROM (
        SELECT
            stage,
            cycle,
            mean_interval(ratio_sums(sum_error, n_masks)) AS e
        FROM errors_of_image
        GROUP BY stage, cycle
    ) AS sums
    INNER JOIN chance USING (stage, cycle)
    UNION ALL
    SELECT
        stage,
        cycle,
        'auto_accept_rate' AS criterion,
        { 'r': e.share, 'low': e.low, 'high': e.high, 'n_images': e.n_images, 'n_units': e.n_units } AS f
    FROM (
        SELECT
            stage,
            cycle,
            share_interval(ratio_sums(n_accepted, n_predicted)) AS e
        FROM masks_of_image
        INNER JOIN current_images USING (run_id, image_id)
        GROUP BY stage, cycle
    ) AS sums
    UNION ALL
    SELECT
        stage,
        cycle,
        'label_diversity' AS criterion,
        {
            'r': e.mean,
            'low': clamp(e.low, 0, 1),
            'high': clamp(e.high, 0, 1),
            'n_images': e.n_images,
            'n_units': e.n_units
        } AS f
    FROM (
        SELECT
            stage,
            cycle,
            mean_interval(ratio_sums(sum_surprise, n_masks)) AS e
        FROM surprise_of_image
        GROUP BY stage, cycle
    ) AS sums
    UNION ALL
    SELECT
        stage,
        cycle,
        unnest(['recall', 'small_object_recall']) AS criterion,
        unnest([
            { 'r': e.share, 'low': e.low, 'high': e.high, 'n_images': e.n_images, 'n_units': e.n_units },
            { 'r': s.share, 'low': s.low, 'high': s.high, 'n_images': s.n_images, 'n_units': s.n_units }
        ]) AS f
    FROM (
        SELECT
            stage,
            cycle,
            share_interval(ratio_sums(n_found, n_gold)) AS e,
            share_interval(ratio_sums(n_small_found, n_small_gold)) AS s
        FROM gold_of_image
        GROUP BY stage, cycle
    ) AS sums
    UNION ALL
    SELECT
        stage,
        cycle,
        'gain' AS criterion,
        {
            'r': d.difference,
            'low': d.low,
            'high': d.high,
            'n_images': s.n_images,
            'n_units': s.sum_x::BIGINT
        } AS f
    FROM gains
),

criteria AS (
    SELECT
        listed.place,
        listed.criterion,
        listed.side,
        listed.bound
    FROM (
        VALUES
        (1, 'calibration_error', -1, $max_calibration_error),
        (2, 'auto_accept_rate', 1, $min_auto_accept_rate),
        (3, 'label_diversity', 1, $min_label_diversity),
        (4, 'recall', 1, $min_recall),
        (5, 'small_object_recall', 1, $min_small_object_recall),
        (6, 'gain', -1, $max_gain)
    ) AS listed (place, criterion, side, bound)
),

cycles AS (
    SELECT DISTINCT
        stage,
        cycle
    FROM current_images
),

-- Mirrored where the figure must stay below its limit: then "beyond" always means above.
judged AS (
    SELECT
        cycles.stage,
        cycles.cycle,
        criteria.*,
        figures.f,
        CASE WHEN criteria.side > 0 THEN figures.f.low ELSE -figures.f.high END AS near,
        CASE WHEN criteria.side > 0 THEN figures.f.high ELSE -figures.f.low END AS far,
        criteria.side * figures.f.r AS place_of_estimate,
        criteria.side * criteria.bound AS place_of_limit
    FROM cycles
    CROSS JOIN criteria
    LEFT JOIN figures USING (stage, cycle, criterion)
),

verdicts AS (
    SELECT
        *,
        CASE
            WHEN near > place_of_limit THEN 'met'
            WHEN far <= place_of_limit THEN 'not met'
            ELSE 'cannot tell yet'
        END AS verdict,
        -- The half of the interval that faces the limit shrinks with the root of the number of images.
        CASE
            WHEN place_of_estimate > place_of_limit THEN place_of_estimate - near
            ELSE far - place_of_estimate
        END / nullif(place_of_estimate - place_of_limit, 0) AS reach
    FROM judged
),

settling AS (
    SELECT
        *,
        CASE
            WHEN verdict = 'cannot tell yet' AND reach IS NOT NULL
                THEN greatest(ceil(f.n_images * (reach ^ 2 - 1)), 1)::BIGINT
        END AS more_images
    FROM verdicts
)

SELECT
    stage,
    cycle,
    criterion,
    concat(CASE WHEN side > 0 THEN 'above ' ELSE 'below ' END, bound) AS needed,
    f.r AS estimate,
    f.low,
    f.high,
    verdict,
    coalesce(f.n_images, 0) AS n_images,
    coalesce(f.n_units, 0) AS n_units,
    more_images,
    ceil(more_images * f.n_units / f.n_images)::BIGINT AS more_reviews
FROM settling
ORDER BY list_position(['assisted_manual', 'semi_automatic', 'fully_automatic'], stage), cycle, place
