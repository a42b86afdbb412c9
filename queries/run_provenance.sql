/*
title: Provenance of runs
about: >
  Everything that determined each run: source, model, every setting, package versions. Facts without a value
  are left out. `is_same` shows at once in what runs differ.
grain: one fact of one run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all}
  other_run_id: {type: INTEGER, default: null, about: "a second run, to compare; needs run_id"}
columns:
  run_id: {type: INTEGER, about: run}
  kind: {type: VARCHAR, about: "what the run did: generate, import, retune or gold"}
  about: {type: VARCHAR, about: "run, setting or version"}
  fact: {type: VARCHAR, about: "its name; settings inside others as a path, such as crops.n_layers"}
  fact_value: {type: VARCHAR, about: its value as text}
  is_same:
    type: BOOLEAN
    about: >-
      whether both runs asked for hold this value, or all runs of this kind do; null where there is one run
*/
WITH shown AS (
    SELECT
        *,
        CASE WHEN $run_id IS NULL THEN kind ELSE '' END AS compared_with
    FROM runs
    WHERE $run_id IS NULL OR run_id IN ($run_id, $other_run_id)
),

told AS (
    SELECT
        run_id,
        1 AS place,
        'run' AS about,
        unnest([
            { 'fact': 'source', 'fact_value': source },
            { 'fact': 'stage', 'fact_value': stage },
            { 'fact': 'cycle', 'fact_value': cycle::VARCHAR },
            { 'fact': 'model', 'fact_value': model },
            { 'fact': 'preset', 'fact_value': preset },
            { 'fact': 'parent_run_id', 'fact_value': parent_run_id::VARCHAR },
            { 'fact': 'n_images', 'fact_value': n_images::VARCHAR },
            { 'fact': 'annotator', 'fact_value': annotator },
            { 'fact': 'is_anchored', 'fact_value': is_anchored::VARCHAR },
            { 'fact': 'device', 'fact_value': device },
            { 'fact': 'weights_sha256', 'fact_value': weights_sha256 },
            { 'fact': 'image_set_sha256', 'fact_value': image_set_sha256 }
        ]) AS f
    FROM shown
    UNION ALL
    SELECT
        shown.run_id,
        2 AS place,
        'setting' AS about,
        { 'fact': leaves.fullkey[3:], 'fact_value': leaves.atom ->> '$' } AS f
    FROM shown, json_tree(shown.settings) AS leaves
    WHERE leaves.atom IS NOT NULL
    UNION ALL
    SELECT
        shown.run_id,
        3 AS place,
        'version' AS about,
        { 'fact': leaves.fullkey[3:], 'fact_value': leaves.atom ->> '$' } AS f
    FROM shown, json_tree(shown.versions) AS leaves
    WHERE leaves.atom IS NOT NULL
),

facts AS (
    SELECT
        told.run_id,
        shown.kind,
        shown.compared_with,
        told.place,
        told.about,
        told.f.fact,
        told.f.fact_value,
        count(*) OVER same_fact AS n_told,
        min(told.f.fact_value) OVER same_fact = max(told.f.fact_value) OVER same_fact AS is_one_value
    FROM told
    INNER JOIN shown USING (run_id)
    WHERE told.f.fact_value IS NOT NULL
    WINDOW same_fact AS (PARTITION BY shown.compared_with, told.about, told.f.fact)
),

compared AS (
    SELECT
        compared_with,
        count(*) AS n_runs
    FROM shown
    GROUP BY compared_with
)

SELECT
    facts.run_id,
    facts.kind,
    facts.about,
    facts.fact,
    facts.fact_value,
    CASE WHEN compared.n_runs > 1 THEN facts.n_told = compared.n_runs AND facts.is_one_value END AS is_same
FROM facts
INNER JOIN compared USING (compared_with)
ORDER BY facts.run_id, facts.place, facts.fact
