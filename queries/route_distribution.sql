/*
title: Route distribution
about: >
  Where the masks go under a routing: accepted without a person, reviewed by one, or rejected; over all and
  by stage. The seeds' engine accepts 70, reviews 25 and rejects 5 % (high, medium and low scores).
  Intervals are 95 % and take the image as the cluster: for images like these, as the routing itself is
  known of every mask.
grain: one route of one stage under one routing
params:
  routing: {type: VARCHAR, default: null, about: name of the routing; null takes the newest}
columns:
  routing: {type: VARCHAR, about: routing}
  stage: {type: VARCHAR, about: "stage of the data engine; `all` for all of them"}
  route: {type: VARCHAR, about: "accept, review or reject"}
  n_masks: {type: BIGINT, about: masks that go this way}
  share: {type: DOUBLE, about: "their share of the stage's masks, 0..1"}
  share_low: {type: DOUBLE, about: lower bound}
  share_high: {type: DOUBLE, about: upper bound}
  seeds_share: {type: DOUBLE, about: "the seeds' share of the route, 0..1"}
  n_without_score: {type: BIGINT, about: masks of the route that have no score; these are reviewed}
  n_images: {type: BIGINT, about: images of the stage with routed masks}
  design: {type: VARCHAR, about: what was counted and what the interval takes as the unit}
*/
WITH chosen AS (
    SELECT routing FROM routings
    WHERE $routing IS NULL OR routing = $routing
    ORDER BY routed_at DESC, routing DESC
    LIMIT CASE WHEN $routing IS NULL THEN 1 END
),

ways (place, route, seeds_share) AS (
    VALUES (1, 'accept', 0.70), (2, 'review', 0.25), (3, 'reject', 0.05)
),

per_image AS (
    SELECT
        routes.routing,
        coalesce(runs.stage, 'unknown') AS stage, -- noqa: RF04
        routes.image_id,
        count(*) AS n_masks,
        count(*) FILTER (WHERE routes.route = 'accept') AS n_accept,
        count(*) FILTER (WHERE routes.route = 'review') AS n_review,
        count(*) FILTER (WHERE routes.route = 'reject') AS n_reject,
        count(*) FILTER (WHERE routes.score IS NULL) AS n_without_score
    FROM routes
    INNER JOIN chosen USING (routing)
    LEFT JOIN runs USING (run_id)
    GROUP BY routes.routing, coalesce(runs.stage, 'unknown'), routes.image_id
),

-- An image that two stages read is one cluster of all of them.
clusters AS (
    SELECT * FROM per_image
    UNION ALL
    SELECT
        routing,
        'all' AS stage, -- noqa: RF04
        image_id,
        sum(n_masks) AS n_masks,
        sum(n_accept) AS n_accept,
        sum(n_review) AS n_review,
        sum(n_reject) AS n_reject,
        sum(n_without_score) AS n_without_score
    FROM per_image
    GROUP BY routing, image_id
),

of_image AS (
    SELECT
        clusters.routing,
        clusters.stage,
        ways.place,
        ways.route,
        ways.seeds_share,
        clusters.n_masks AS n_all,
        CASE ways.place
            WHEN 1 THEN clusters.n_accept
            WHEN 2 THEN clusters.n_review
            ELSE clusters.n_reject
        END AS n_masks,
        CASE WHEN ways.place = 2 THEN clusters.n_without_score ELSE 0 END AS n_without_score
    FROM clusters
    CROSS JOIN ways
),

figures AS (
    SELECT
        routing,
        stage,
        place,
        route,
        seeds_share,
        sum(n_masks)::BIGINT AS n_masks,
        sum(n_without_score)::BIGINT AS n_without_score,
        count(*) AS n_images,
        share_interval(ratio_sums(n_masks, n_all)) AS of_all
    FROM of_image
    GROUP BY routing, stage, place, route, seeds_share
)

SELECT
    routing,
    stage,
    route,
    n_masks,
    of_all.share,
    of_all.low AS share_low,
    of_all.high AS share_high,
    seeds_share::DOUBLE AS seeds_share,
    n_without_score,
    n_images,
    'every routed mask; image as cluster' AS design
FROM figures
ORDER BY routing, stage <> 'all', stage, place
