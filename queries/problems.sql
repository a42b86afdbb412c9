/*
title: Problems
about: >
  Inputs that could not be used, by kind, with the first of each as an example. All of them:
  `curation sql "FROM problems"`.
grain: one kind of problem in one work on one run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all}
columns:
  run_id: {type: INTEGER, about: run}
  work: {type: VARCHAR, about: "what was being done: generate, import, measure, …"}
  kind: {type: VARCHAR, about: "short word for what was wrong, such as image, rle or record"}
  n_problems: {type: BIGINT, about: inputs that could not be used}
  n_sources: {type: BIGINT, about: files or images that they lie in}
  example_source: {type: VARCHAR, about: the first of these files or images}
  example_record: {type: VARCHAR, about: which record in it; empty where the whole file is meant}
  example_reason: {type: VARCHAR, about: "what came, what is allowed, what to do"}
*/
SELECT
    run_id,
    work,
    kind,
    count(*) AS n_problems,
    count(DISTINCT source) AS n_sources,
    first(source ORDER BY source, record) AS example_source,
    first(record ORDER BY source, record) AS example_record,
    first(reason ORDER BY source, record) AS example_reason
FROM problems
WHERE $run_id IS NULL OR run_id = $run_id
GROUP BY run_id, work, kind
ORDER BY run_id, work, kind
