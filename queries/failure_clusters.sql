/*
title: Failure clusters
about: >
  Groups of masks that fail alike, as the newest search that found each says, and what became of them. Found
  on half of the images and tested on the other half: `curation failures find`. Rates are of masks with a
  label of known design (all masks of images with gold, and drawn samples); intervals are 95 % and take the
  image as the cluster; q is the false discovery rate (Benjamini-Hochberg) over all groups that were tested.
grain: one cluster
params:
  status: {type: VARCHAR, default: null, about: "only clusters of this status; null takes all"}
  most_q: {type: DOUBLE, default: 1.0, about: only clusters with this q-value or a lower one}
columns:
  cluster: {type: INTEGER, about: "number of the cluster, the same from search to search"}
  status: {type: VARCHAR, about: "found, flagged, in_re_annotation, fixed or came_back"}
  status_at: {type: TIMESTAMP WITH TIME ZONE, about: since when}
  kind: {type: VARCHAR, about: "slice: a rule; embedding: neighbours"}
  words: {type: VARCHAR, about: "what its masks have in common"}
  rule: {type: VARCHAR, about: "SQL condition that holds for its masks; null for neighbours"}
  bad_share: {type: DOUBLE, about: "share of bad masks, 0..1, on the images of the test"}
  bad_share_low: {type: DOUBLE, about: lower bound}
  bad_share_high: {type: DOUBLE, about: upper bound}
  rest_bad_share: {type: DOUBLE, about: "share of bad masks among all others, 0..1"}
  difference: {type: DOUBLE, about: bad_share - rest_bad_share}
  difference_low: {type: DOUBLE, about: lower bound}
  difference_high: {type: DOUBLE, about: upper bound}
  q_value: {type: DOUBLE, about: "false discovery rate, 0..1"}
  n_bad: {type: DOUBLE, about: estimated number of bad masks of it among all searched masks}
  n_bad_low: {type: DOUBLE, about: lower bound}
  n_bad_high: {type: DOUBLE, about: upper bound}
  n_masks: {type: BIGINT, about: masks of it}
  n_images: {type: BIGINT, about: images that they lie on}
  n_labelled_masks: {type: BIGINT, about: labelled masks behind the rate}
  n_labelled_images: {type: BIGINT, about: images behind the rate}
  failure_mode:
    type: VARCHAR
    about: "rare, fine_grained, occlusion, crowded or other: what most of its bad masks show"
  n_searches: {type: BIGINT, about: searches that found it}
  is_in_last_search: {type: BOOLEAN, about: "whether the newest search that found anything found it"}
  design: {type: VARCHAR, about: "where the labels come from and what they speak for, and how it was tested"}
*/
WITH statuses (place, status) AS (
    VALUES (1, 'found'), (2, 'flagged'), (3, 'in_re_annotation'), (4, 'fixed'), (5, 'came_back')
),

-- Of events of one moment the later word of the life of a cluster counts.
changed AS (
    SELECT
        events.cluster,
        arg_max(events.status, (events.at_utc, statuses.place)) AS status,
        max(events.at_utc) AS status_at
    FROM cluster_events AS events
    INNER JOIN statuses USING (status)
    GROUP BY events.cluster
),

searched AS (
    SELECT
        *,
        count(*) OVER (PARTITION BY cluster) AS n_searches,
        search_id = max(search_id) OVER () AS is_in_last_search
    FROM clusters
    QUALIFY search_id = max(search_id) OVER (PARTITION BY cluster)
)

SELECT
    searched.cluster,
    changed.status,
    changed.status_at,
    searched.kind,
    searched.words,
    searched.rule,
    searched.bad_share,
    searched.bad_share_low,
    searched.bad_share_high,
    searched.rest_bad_share,
    searched.difference,
    searched.difference_low,
    searched.difference_high,
    searched.q_value,
    searched.n_bad,
    searched.n_bad_low,
    searched.n_bad_high,
    searched.n_masks,
    searched.n_images,
    searched.n_labelled_masks,
    searched.n_labelled_images,
    searched.failure_mode,
    searched.n_searches,
    searched.is_in_last_search,
    CASE
        WHEN json_valid(searched.search)
            THEN array_to_string(json_extract_string(searched.search, '$.design[*]'), '; ')
    END AS design
FROM searched
INNER JOIN changed ON searched.cluster = changed.cluster
WHERE
    ($status IS NULL OR changed.status = $status)
    AND searched.q_value <= $most_q
    -- One image shows nothing of how images differ.
    AND searched.n_labelled_images > 1
ORDER BY searched.n_bad DESC, searched.cluster ASC
