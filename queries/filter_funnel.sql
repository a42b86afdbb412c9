/*
title: Filter funnel
about: >
  What became of the candidates that the model made: how many each filter dropped, in the order of the
  filters, and how many were kept. A filter that dropped nothing has its row too. Intervals are 95 % and
  take the image as the cluster.
grain: "one step of one run: a filter, or the candidates kept"
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all}
columns:
  run_id: {type: INTEGER, about: run}
  step: {type: INTEGER, about: place of the step in the funnel}
  fate: {type: VARCHAR, about: "the filter that dropped the candidates, or kept"}
  duplicate_pass: {type: VARCHAR, about: "which NMS found it: crop, image or cleaned; null elsewhere"}
  n_candidates: {type: BIGINT, about: candidates of this fate}
  n_remaining: {type: BIGINT, about: candidates that are left after this step}
  candidate_share: {type: DOUBLE, about: share of all candidates that met this fate}
  candidate_share_low: {type: DOUBLE, about: lower bound}
  candidate_share_high: {type: DOUBLE, about: upper bound}
  candidates_per_image: {type: DOUBLE, about: mean number of candidates of this fate an image}
  candidates_per_image_low: {type: DOUBLE, about: lower bound}
  candidates_per_image_high: {type: DOUBLE, about: upper bound}
  n_images: {type: BIGINT, about: images with candidates}
  n_all_candidates: {type: BIGINT, about: candidates of the run}
  effective_n: {type: DOUBLE, about: independent candidates that would tell as much about candidate_share}
  design: {type: VARCHAR, about: what was counted and what the interval takes as the unit}
*/
WITH steps (step, fate, duplicate_pass) AS (
    VALUES
    (1, 'predicted_iou', NULL),
    (2, 'stability', NULL),
    (3, 'crop_edge', NULL),
    (4, 'min_area', NULL),
    (5, 'max_area', NULL),
    (6, 'duplicate_of', 'crop'),
    (7, 'duplicate_of', 'image'),
    (8, 'duplicate_of', 'cleaned'),
    (9, 'kept', NULL)
),

fates_of_image AS (
    SELECT
        run_id,
        image_id,
        fate,
        duplicate_pass,
        count(*) AS n_candidates
    FROM candidates
    WHERE $run_id IS NULL OR run_id = $run_id
    GROUP BY run_id, image_id, fate, duplicate_pass
),

images_of_run AS (
    SELECT
        run_id,
        image_id,
        sum(n_candidates) AS n_candidates
    FROM fates_of_image
    GROUP BY run_id, image_id
),

figures AS (
    SELECT
        images_of_run.run_id,
        steps.step,
        steps.fate,
        steps.duplicate_pass,
        coalesce(sum(fates_of_image.n_candidates), 0)::BIGINT AS n_candidates,
        share_interval(
            ratio_sums(coalesce(fates_of_image.n_candidates, 0), images_of_run.n_candidates)
        ) AS of_all,
        mean_interval(ratio_sums(coalesce(fates_of_image.n_candidates, 0), 1)) AS of_image
    FROM images_of_run
    CROSS JOIN steps
    LEFT JOIN fates_of_image
        ON
            images_of_run.run_id = fates_of_image.run_id
            AND images_of_run.image_id = fates_of_image.image_id
            AND steps.fate = fates_of_image.fate
            AND steps.duplicate_pass IS NOT DISTINCT FROM fates_of_image.duplicate_pass
    GROUP BY images_of_run.run_id, steps.step, steps.fate, steps.duplicate_pass
)

SELECT
    run_id,
    step,
    fate,
    duplicate_pass,
    n_candidates,
    of_all.n_units - sum(n_candidates) FILTER (WHERE fate <> 'kept') OVER (
        PARTITION BY run_id
        ORDER BY step
    )::BIGINT AS n_remaining,
    of_all.share AS candidate_share,
    of_all.low AS candidate_share_low,
    of_all.high AS candidate_share_high,
    of_image.mean AS candidates_per_image,
    clamp(of_image.low, 0, of_image.mean) AS candidates_per_image_low,
    of_image.high AS candidates_per_image_high,
    of_all.n_images,
    of_all.n_units AS n_all_candidates,
    of_all.effective_n,
    'every candidate of the run; image as cluster' AS design
FROM figures
ORDER BY run_id, step
