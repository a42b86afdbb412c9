"""Conditions and expressions over masks that people type: what they can name, and the check before they stand
in SQL.
"""

import duckdb

from curation import prompt
from curation.errors import QueryError
from curation.schemas import TABLES, Column

_KEYS = ("run_id", "mask_id", "image_id", "area_px", "bbox_xywh")
MEASURE_COLUMNS = tuple(c.name for c in TABLES["mask_features"].columns if c.name not in _KEYS)
NESTING_COLUMNS = ("nesting_depth", "level", "n_children", "n_near_duplicates")
APPEARANCE_COLUMNS = ("boundary_contrast", "sharpness_inside", "edge_alignment")
GOLD_COLUMNS = (
    Column("gold_iou", "double", "highest IoU with a gold mask of any gold run; 0 where none overlaps"),
    Column("gold_mask_id", "string", "that gold mask"),
    Column("gold_run_id", "int32", "run that imported that gold mask"),
    Column("gold_boundary_iou", "double", "boundary IoU with it"),
    Column("error_kind", "string", "what is wrong with the mask against that gold"),
)
VERDICT_COLUMNS = (
    Column(
        "verdict", "string", "accept, fix, reject or unsure, as raters settled it; null where they did not"
    ),
    Column(
        "verdict_rating", "double", "1 to 10, SAM's scale: the adjudicator's, else the median of the raters'"
    ),
    Column("verdict_reasons", "list<string>", "what raters say is wrong with the mask"),
    Column("n_raters", "int64", "raters who judged the mask"),
    Column("drawn_by", "string", "who drew or corrected the mask; null where no person did"),
)
LABEL_COLUMNS = (
    Column(
        "is_bad",
        "bool",
        "what people settled (fix and reject are bad), else whether it has an error against gold; null where neither "
        "is known",
    ),
    Column("label_source", "string", "where `is_bad` comes from: verdict or gold"),
)
FAILURE_COLUMNS = (
    Column(
        "cluster", "int32", "failure cluster of the newest search; the smallest number where it is in several"
    ),
    Column("clusters", "list<int32>", "all of them"),
    Column("verifier_score", "float", "chance that it is good, as the newest verifier that scored it says"),
    Column("route", "string", "accept, review or reject, by the newest routing that it went through"),
)
#: What can be named besides the columns of `masks`, of its measures, of gold, of verdicts and of labels.
_CONTEXT = (
    "images.uri, images.file_name, images.run_id AS image_run_id, "
    "runs.kind AS run_kind, runs.model, runs.preset, "
    "size_band(masks.area_px).name AS size_band, score_band(masks.predicted_iou).name AS score_band"
)

_DESCRIBED = f"""
    WITH gold AS (
        SELECT
            mask_id,
            max(gold_iou) AS gold_iou,
            CAST(arg_max(best_gold_mask_id, gold_iou) AS VARCHAR) AS gold_mask_id,
            arg_max(gold_run_id, gold_iou) AS gold_run_id,
            arg_max_null(gold_boundary_iou, gold_iou) AS gold_boundary_iou,
            arg_max_null(error_kind, gold_iou) AS error_kind,
            -- Gold of a crowd tells neither.
            arg_max_null(
                CASE WHEN coalesce(coco_ignored, 0) & 1 = 0 THEN error_kind <> 'none' END, gold_iou
            ) AS is_bad_against_gold
        FROM gold_matches
        WHERE mask_id IS NOT NULL
        GROUP BY mask_id
    ),

    -- A mask of several samples has the verdict that came last.
    judged AS (
        SELECT DISTINCT ON (mask_id)
            mask_id,
            decision AS verdict,
            rating AS verdict_rating,
            reasons AS verdict_reasons,
            n_raters,
            is_accepted
        FROM settled_verdicts
        ORDER BY mask_id, committed_at DESC
    ),

    drawn AS (SELECT mask_id, rater AS drawn_by FROM drawn_masks),

    clustered AS (
        SELECT mask_id, min(cluster) AS cluster, list(cluster ORDER BY cluster) AS clusters
        FROM cluster_members
        WHERE search_id = (SELECT max(search_id) FROM clusters)
        GROUP BY mask_id
    ),

    scored AS (
        SELECT run_id, mask_id, arg_max(score, fitted_at) AS verifier_score
        FROM verifier_scores
        INNER JOIN verifiers USING (verifier)
        GROUP BY run_id, mask_id
    ),

    routed AS (
        SELECT run_id, mask_id, arg_max(route, routed_at) AS route
        FROM routes
        INNER JOIN routings USING (routing)
        GROUP BY run_id, mask_id
    )

    SELECT
        masks.* EXCLUDE (rle_counts),
        {", ".join(f"features.{name}" for name in MEASURE_COLUMNS)},
        {", ".join(f"nesting.{name}" for name in NESTING_COLUMNS)},
        {", ".join(f"appearance.{name}" for name in APPEARANCE_COLUMNS)},
        {", ".join(f"gold.{c.name}" for c in GOLD_COLUMNS)},
        {", ".join(c.name for c in VERDICT_COLUMNS)},
        coalesce(NOT judged.is_accepted, gold.is_bad_against_gold) AS is_bad,
        CASE
            WHEN judged.is_accepted IS NOT NULL THEN 'verdict'
            WHEN gold.is_bad_against_gold IS NOT NULL THEN 'gold'
        END AS label_source,
        {", ".join(c.name for c in FAILURE_COLUMNS)},
        {_CONTEXT}
    FROM {{masks}} AS masks
    LEFT JOIN mask_features AS features USING (run_id, mask_id)
    LEFT JOIN mask_nesting AS nesting USING (run_id, mask_id)
    LEFT JOIN mask_appearance AS appearance USING (run_id, mask_id)
    LEFT JOIN gold ON gold.mask_id = masks.mask_id
    LEFT JOIN judged ON judged.mask_id = masks.mask_id
    LEFT JOIN drawn ON drawn.mask_id = masks.mask_id
    LEFT JOIN clustered ON clustered.mask_id = masks.mask_id
    LEFT JOIN scored ON scored.run_id = masks.run_id AND scored.mask_id = masks.mask_id
    LEFT JOIN routed ON routed.run_id = masks.run_id AND routed.mask_id = masks.mask_id
    LEFT JOIN runs ON runs.run_id = masks.run_id
    -- Corrections have no images of their own: the run that they correct read them.
    LEFT JOIN images
        ON images.run_id = CASE WHEN runs.kind = 'correct' THEN runs.parent_run_id ELSE masks.run_id END
        AND images.image_id = masks.image_id
"""


def create_view(con: duckdb.DuckDBPyConnection, name: str, masks: str = "current_masks") -> None:
    """Make the temporary view `name`: a row a mask of `masks` with all that is known of it but its pixels."""
    con.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {_DESCRIBED.format(masks=masks)}")


def check_condition(con: duckdb.DuckDBPyConnection, option: str, text: str, view: str) -> None:
    """Raise QueryError unless `text`, given to `option`, is one condition over the columns of `view`.

    It may hold subqueries over tables of the lake, but read nothing else and write nothing (`prompt.check`).
    """
    sql = f"SELECT 1 FROM {view} WHERE ({text}\n)"
    _check(con, option, text, view, sql, 'one SQL condition, such as "area_px < 400"')


def check_expression(con: duckdb.DuckDBPyConnection, option: str, text: str, view: str) -> None:
    """The same for one value a mask."""
    sql = f"SELECT ({text}\n) FROM {view}"
    _check(con, option, text, view, sql, 'one SQL expression, such as "1 - predicted_iou"')


def _check(con: duckdb.DuckDBPyConnection, option: str, text: str, view: str, sql: str, allowed: str) -> None:
    try:
        duckdb.SQLExpression(text)
        prompt.check(con, sql)
        con.execute(f"EXPLAIN {sql}")
    except (duckdb.Error, QueryError) as error:
        columns = ", ".join(name for name, *_ in con.execute(f"DESCRIBE {view}").fetchall())
        raise QueryError(f"{option} {text!r}: {error}\nIt must be {allowed}. Columns: {columns}") from error
