/*
title: Drift of scores
about: >
  How far the scores of each run lie from those of a baseline run, over fixed bins: 50 of equal width for
  predicted IoU and stability, half octaves for the relative size (sqrt of mask area / image area). PSI, the
  population stability index, sums (p - q) ln(p / q) over bins, with half a mask added to each; by
  convention, not by any test, below 0.1 is read as little drift and above 0.25 as much. KS is the largest
  gap between the two cumulated distributions at an edge of a bin, so no threshold is chosen; between edges
  it may be a little larger. Intervals are 95 % and leave out one of up to 50 random groups of images at a
  time (jackknife), an image that both runs read in both: no masks are taken for independent. KS has the
  interval that holds for all edges at once (Bonferroni), so it allows for having looked for the largest; a
  lower bound of 0 means that no drift is shown. It needs 11 groups of images; fewer have no bounds.
grain: one score of one run against the baseline
params:
  baseline_run_id:
    type: INTEGER
    default: null
    about: >-
      run to compare with; null takes the first run that is no gold
  run_id: {type: INTEGER, default: null, about: only this run; null takes all others}
columns:
  stage: {type: VARCHAR, about: stage of the run}
  cycle: {type: SMALLINT, about: cycle of the run}
  run_id: {type: INTEGER, about: run}
  baseline_run_id: {type: INTEGER, about: baseline}
  score: {type: VARCHAR, about: "predicted_iou, stability_score or relative_size"}
  psi: {type: DOUBLE, about: "population stability index, from 0 (no drift) on"}
  psi_low: {type: DOUBLE, about: lower bound}
  psi_high: {type: DOUBLE, about: upper bound}
  psi_by_chance: {type: DOUBLE, about: PSI that images drawn anew would show without any drift}
  ks: {type: DOUBLE, about: "largest gap between the cumulated distributions, 0..1"}
  ks_low: {type: DOUBLE, about: lower bound}
  ks_high: {type: DOUBLE, about: upper bound}
  ks_at: {type: DOUBLE, about: score where the gap is largest}
  baseline_share_below: {type: DOUBLE, about: "share of the baseline's masks below it, 0..1"}
  share_below: {type: DOUBLE, about: "share of the run's masks below it, 0..1"}
  n_groups: {type: BIGINT, about: random groups of images behind the intervals}
  n_baseline_images: {type: BIGINT, about: images that the baseline read}
  n_images: {type: BIGINT, about: images that the run read}
  n_baseline_masks: {type: BIGINT, about: masks of the baseline that have the score}
  n_masks: {type: BIGINT, about: masks of the run that have the score}
  design: {type: VARCHAR, about: what was counted and what the interval takes as the unit}
*/
WITH baseline AS (
    SELECT
        coalesce($baseline_run_id, (
            SELECT min(run_id) FROM runs
            WHERE kind <> 'gold'
        )) AS baseline_run_id
),

counts AS (
    SELECT
        run_id,
        image_id % 50 AS image_group,
        clamp(floor(predicted_iou * 50), 0, 49)::INTEGER AS predicted_iou_bin,
        clamp(floor(stability_score * 50), 0, 49)::INTEGER AS stability_bin,
        clamp(floor(log2(nullif(area_px, 0) / (width_px::DOUBLE * height_px))), -30, -1)::INTEGER AS size_bin,
        count(*) AS n
    FROM masks
    -- Corrections are no run's own work.
    ANTI JOIN runs ON masks.run_id = runs.run_id AND runs.kind = 'correct'
    WHERE $run_id IS NULL OR run_id = $run_id OR run_id = (SELECT baseline_run_id FROM baseline)
    GROUP BY GROUPING SETS (
        (run_id, image_group, predicted_iou_bin),
        (run_id, image_group, stability_bin),
        (run_id, image_group, size_bin)
    )
),

-- Each bin by the score at its upper edge.
bins_of_group AS (
    SELECT
        run_id,
        image_group,
        unnest([
            { 'score': 'predicted_iou', 'place': 1, 'edge': (predicted_iou_bin + 1) / 50 },
            { 'score': 'stability_score', 'place': 2, 'edge': (stability_bin + 1) / 50 },
            { 'score': 'relative_size', 'place': 3, 'edge': 2 ^ ((size_bin + 1) / 2) }
        ]) AS bin,
        n
    FROM counts
),

others AS (
    SELECT DISTINCT
        counts.run_id,
        baseline.baseline_run_id
    FROM counts
    CROSS JOIN baseline
    WHERE counts.run_id <> baseline.baseline_run_id
),

-- `n` masks of the run and `m` of the baseline.
pairs_of_group AS (
    SELECT
        others.run_id,
        others.baseline_run_id,
        bin.score,
        bin.place,
        bin.edge,
        image_group,
        sum(n) FILTER (WHERE bins_of_group.run_id = others.run_id) AS n,
        sum(n) FILTER (WHERE bins_of_group.run_id = others.baseline_run_id) AS m
    FROM bins_of_group
    INNER JOIN others ON bins_of_group.run_id IN (others.run_id, others.baseline_run_id)
    WHERE bin.edge IS NOT NULL
    GROUP BY others.run_id, others.baseline_run_id, bin.score, bin.place, bin.edge, image_group
),

pairs AS (
    SELECT
        run_id,
        baseline_run_id,
        score,
        place,
        edge,
        coalesce(sum(n), 0) AS n,
        coalesce(sum(m), 0) AS m
    FROM pairs_of_group
    GROUP BY run_id, baseline_run_id, score, place, edge
    QUALIFY
        sum(sum(n)) OVER (PARTITION BY run_id, score) > 0
        AND sum(sum(m)) OVER (PARTITION BY run_id, score) > 0
),

-- Group -1 is left out to leave out nothing.
groups_left_out AS (
    SELECT DISTINCT
        run_id,
        score,
        unnest([image_group, -1]) AS image_group
    FROM pairs_of_group
),

replicates AS (
    SELECT
        run_id,
        score,
        image_group,
        edge,
        pairs.n - coalesce(left_out.n, 0) AS n,
        pairs.m - coalesce(left_out.m, 0) AS m
    FROM pairs
    INNER JOIN groups_left_out USING (run_id, score)
    LEFT JOIN pairs_of_group AS left_out USING (run_id, score, image_group, edge)
),

shares AS (
    SELECT
        *,
        (n + 0.5) / sum(n + 0.5) OVER replicate AS p,
        (m + 0.5) / sum(m + 0.5) OVER replicate AS q,
        sum(n) OVER below / nullif(sum(n) OVER replicate, 0) AS p_below,
        sum(m) OVER below / nullif(sum(m) OVER replicate, 0) AS q_below
    FROM replicates
    WINDOW
        replicate AS (PARTITION BY run_id, score, image_group),
        below AS (PARTITION BY run_id, score, image_group ORDER BY edge)
),

psi_of_replicate AS (
    SELECT
        run_id,
        score,
        image_group,
        sum((p - q) * ln(p / q)) AS psi
    FROM shares
    GROUP BY run_id, score, image_group
),

-- `bias` and `error` of the jackknife: Shao and Tu, The Jackknife and Bootstrap (1995), chapter 1.
psi_figures AS (
    SELECT
        run_id,
        score,
        count(*) AS n_groups,
        whole.psi,
        (count(*) - 1) * (avg(part.psi) - whole.psi) AS bias,
        sqrt((count(*) - 1) / count(*) * sum((part.psi - whole.psi) ^ 2)) AS error
    FROM psi_of_replicate AS whole
    INNER JOIN psi_of_replicate AS part USING (run_id, score)
    WHERE whole.image_group = -1 AND part.image_group >= 0
    GROUP BY run_id, score, whole.psi
),

gaps AS (
    SELECT
        run_id,
        score,
        edge,
        whole.p_below,
        whole.q_below,
        abs(whole.p_below - whole.q_below) AS gap,
        sqrt(
            (count(*) - 1) / count(*)
            * sum((part.p_below - part.q_below - whole.p_below + whole.q_below) ^ 2)
        ) AS error,
        -- The quantile of Student's t that 50 edges share: 1 - 0.025 / 50, by the expansion in intervals.sql.
        CASE
            WHEN count(*) > 10
                THEN
                    3.290527 + 9.729731 / (count(*) - 1) + 26.133021 / (count(*) - 1) ^ 2
                    + 53.168605 / (count(*) - 1) ^ 3 + 79.365841 / (count(*) - 1) ^ 4
        END AS t
    FROM shares AS whole
    INNER JOIN shares AS part USING (run_id, score, edge)
    WHERE whole.image_group = -1 AND part.image_group >= 0
    GROUP BY run_id, score, edge, whole.p_below, whole.q_below
),

ks_figures AS (
    SELECT
        run_id,
        score,
        max(gap) AS ks,
        max(gap - t * error) AS low,
        max(gap + t * error) AS high,
        max_by({ 'edge': edge, 'p_below': p_below, 'q_below': q_below }, gap) AS largest
    FROM gaps
    GROUP BY run_id, score
),

n_masks AS (
    SELECT
        run_id,
        baseline_run_id,
        score,
        place,
        sum(n)::BIGINT AS n_masks,
        sum(m)::BIGINT AS n_baseline_masks
    FROM pairs
    GROUP BY run_id, baseline_run_id, score, place
),

images_of_run AS (
    SELECT
        run_id,
        count(*) AS n_images
    FROM images
    GROUP BY run_id
)

SELECT
    runs.stage,
    runs.cycle,
    run_id,
    n_masks.baseline_run_id,
    score,
    psi_figures.psi,
    CASE
        WHEN psi_figures.n_groups > 10
            THEN greatest(
                0,
                psi_figures.psi
                - psi_figures.bias
                - student_t_975(psi_figures.n_groups - 1) * psi_figures.error
            )
    END AS psi_low,
    CASE
        WHEN psi_figures.n_groups > 10
            THEN psi_figures.psi + student_t_975(psi_figures.n_groups - 1) * psi_figures.error
    END AS psi_high,
    clamp(psi_figures.bias, 0, 'infinity') AS psi_by_chance,
    ks_figures.ks,
    clamp(ks_figures.low, 0, 1) AS ks_low,
    clamp(ks_figures.high, 0, 1) AS ks_high,
    ks_figures.largest.edge AS ks_at,
    ks_figures.largest.q_below AS baseline_share_below,
    ks_figures.largest.p_below AS share_below,
    psi_figures.n_groups,
    coalesce(baseline_images.n_images, 0) AS n_baseline_images,
    coalesce(images_of_run.n_images, 0) AS n_images,
    n_masks.n_baseline_masks,
    n_masks.n_masks,
    'every mask of both runs; up to 50 random groups of images as clusters' AS design
FROM n_masks
INNER JOIN psi_figures USING (run_id, score)
INNER JOIN ks_figures USING (run_id, score)
INNER JOIN runs USING (run_id)
LEFT JOIN images_of_run USING (run_id)
LEFT JOIN images_of_run AS baseline_images ON n_masks.baseline_run_id = baseline_images.run_id
ORDER BY runs.stage, runs.cycle, run_id, n_masks.place
