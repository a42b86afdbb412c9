/*
title: Throughput
about: >
  How fast each kind of work on each run went. `working_s` adds up what every worker took; `wall_s` is the
  time in which at least one of them worked, so pauses and nights between two starts do not count, and the
  rates an hour are the machine's as it was used. A shard's time counts back from its commit, so waiting for
  the catalog shifts it a little. `device_s` is the working time of a generation on its device: on a GPU an
  upper bound of GPU seconds, because reading, filtering and writing are in it.
grain: one kind of work on one run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all}
columns:
  run_id: {type: INTEGER, about: run}
  work:
    type: VARCHAR
    about: >-
      what was done: generate, import, retune, gold, measure:<version> or match:<gold run>:<version>
  model: {type: VARCHAR, about: model of the run; null for imports}
  n_shards: {type: BIGINT, about: finished shards}
  n_images: {type: BIGINT, about: images used}
  n_masks: {type: BIGINT, about: masks written or measured}
  wall_s: {type: DOUBLE, about: seconds in which at least one worker worked}
  working_s: {type: DOUBLE, about: seconds summed over workers}
  mean_workers: {type: DOUBLE, about: "workers at once on average, working_s / wall_s"}
  images_per_hour: {type: DOUBLE, about: images an hour of wall_s; exact for this run}
  masks_per_hour: {type: DOUBLE, about: masks an hour of wall_s; exact for this run}
  working_s_per_image: {type: DOUBLE, about: mean working seconds an image}
  working_s_per_image_low: {type: DOUBLE, about: lower bound for images like these on this machine}
  working_s_per_image_high: {type: DOUBLE, about: upper bound}
  device: {type: VARCHAR, about: "device the network ran on, such as cpu or cuda:0; null where none did"}
  device_s: {type: DOUBLE, about: working seconds with that device; null where no network ran}
  first_started_at: {type: TIMESTAMP WITH TIME ZONE, about: when the first shard was begun}
  last_finished_at: {type: TIMESTAMP WITH TIME ZONE, about: when the last shard was committed}
  design: {type: VARCHAR, about: what the interval takes as the unit}
*/
WITH spans AS (
    SELECT
        run_id,
        work,
        n_images,
        n_masks,
        took_s,
        epoch(finished_at) AS stop_s,
        epoch(finished_at) - took_s AS start_s
    FROM shards
    WHERE $run_id IS NULL OR run_id = $run_id
),

-- In the order of their starts, a shard adds to the wall time what lies beyond all earlier ones.
added AS (
    SELECT
        *,
        greatest(
            0,
            stop_s - greatest(
                start_s,
                coalesce(
                    max(stop_s) OVER (
                        PARTITION BY run_id, work
                        ORDER BY start_s, stop_s
                        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                    ),
                    start_s
                )
            )
        ) AS added_s
    FROM spans
),

figures AS (
    SELECT
        run_id,
        work,
        count(*) AS n_shards,
        sum(n_images)::BIGINT AS n_images,
        sum(n_masks)::BIGINT AS n_masks,
        sum(added_s) AS wall_s,
        sum(took_s) AS working_s,
        mean_interval(ratio_sums(took_s, n_images)) AS of_image,
        min(start_s) AS start_s,
        max(stop_s) AS stop_s
    FROM added
    GROUP BY run_id, work
)

SELECT
    figures.run_id,
    figures.work,
    runs.model,
    figures.n_shards,
    figures.n_images,
    figures.n_masks,
    figures.wall_s,
    figures.working_s,
    figures.working_s / nullif(figures.wall_s, 0) AS mean_workers,
    3600 * figures.n_images / nullif(figures.wall_s, 0) AS images_per_hour,
    3600 * figures.n_masks / nullif(figures.wall_s, 0) AS masks_per_hour,
    figures.of_image.mean AS working_s_per_image,
    clamp(figures.of_image.low, 0, figures.of_image.mean) AS working_s_per_image_low,
    figures.of_image.high AS working_s_per_image_high,
    CASE WHEN figures.work = 'generate' THEN runs.device END AS device,
    CASE WHEN figures.work = 'generate' AND runs.device IS NOT NULL THEN figures.working_s END AS device_s,
    to_timestamp(figures.start_s) AS first_started_at,
    to_timestamp(figures.stop_s) AS last_finished_at,
    'every finished shard; shards are independent' AS design
FROM figures
INNER JOIN runs USING (run_id)
ORDER BY figures.run_id, first_started_at, figures.work
