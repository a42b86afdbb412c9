/*
title: Worst masks
about: >
  The masks that agree least with gold, worst first, with the model's own opinion of them beside it; masks
  that lie in crowd gold are left out.
  `curation browse sync --report worst_masks` shows them in the FiftyOne App.
grain: one mask against one gold run
params:
  run_id: {type: INTEGER, default: null, about: only this run; null takes all}
  gold_run_id: {type: INTEGER, default: null, about: only this gold run; null takes all}
  below_iou: {type: DOUBLE, default: 0.9, about: only masks whose best IoU with gold is below it}
  n_rows: {type: INTEGER, default: 100, about: at most so many rows}
columns:
  mask_id: {type: BIGINT, about: mask}
  image_id: {type: BIGINT, about: image}
  file_name: {type: VARCHAR, about: file of the image}
  stage: {type: VARCHAR, about: stage of the run}
  cycle: {type: SMALLINT, about: cycle of the run}
  run_id: {type: INTEGER, about: run}
  gold_run_id: {type: INTEGER, about: gold run}
  gold_iou: {type: DOUBLE, about: "best IoU with any mask of that gold, 0..1"}
  error_kind: {type: VARCHAR, about: "what is wrong with it, in a word; see report error_kinds"}
  predicted_iou: {type: DOUBLE, about: the model's own estimate of IoU}
  stability_score: {type: DOUBLE, about: stability of the mask}
  area_px: {type: BIGINT, about: area of the mask in px}
*/
SELECT
    masks.mask_id,
    masks.image_id,
    images.file_name,
    masks.stage,
    masks.cycle,
    masks.run_id,
    matches.gold_run_id,
    matches.gold_iou,
    matches.error_kind,
    masks.predicted_iou,
    masks.stability_score,
    masks.area_px
FROM gold_comparisons AS matches
INNER JOIN current_masks AS masks USING (run_id, mask_id)
LEFT JOIN images ON masks.run_id = images.run_id AND masks.image_id = images.image_id
WHERE
    matches.is_compared
    AND matches.gold_iou < $below_iou
    AND ($run_id IS NULL OR matches.run_id = $run_id)
    AND ($gold_run_id IS NULL OR matches.gold_run_id = $gold_run_id)
ORDER BY matches.gold_iou, masks.mask_id, matches.gold_run_id
LIMIT $n_rows
