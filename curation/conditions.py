"""Conditions and expressions over masks that people type: what they can name, and the check before they stand
in SQL.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True)
class _Part:
    """Something that is known of masks: `columns`, name -> SQL, and the table or subquery that they are joined from.

    `needs` are parts that these columns read too.
    """

    columns: Mapping[str, str]
    join: str = ""
    subquery: str = ""
    needs: tuple[str, ...] = ()


def _of(table: str, names: Iterable[str]) -> dict[str, str]:
    return {name: f"{table}.{name}" for name in names}


_PARTS = {
    "features": _Part(
        _of("features", MEASURE_COLUMNS), "LEFT JOIN mask_features AS features USING (run_id, mask_id)"
    ),
    "nesting": _Part(
        _of("nesting", NESTING_COLUMNS), "LEFT JOIN mask_nesting AS nesting USING (run_id, mask_id)"
    ),
    "appearance": _Part(
        _of("appearance", APPEARANCE_COLUMNS),
        "LEFT JOIN mask_appearance AS appearance USING (run_id, mask_id)",
    ),
    "gold": _Part(
        _of("gold", (c.name for c in GOLD_COLUMNS)),
        "LEFT JOIN gold ON gold.mask_id = masks.mask_id",
        """
        SELECT
            mask_id,
            max(gold_iou) AS gold_iou,
            CAST(arg_max(best_gold_mask_id, gold_iou) AS VARCHAR) AS gold_mask_id,
            arg_max(gold_run_id, gold_iou) AS gold_run_id,
            arg_max_null(gold_boundary_iou, gold_iou) AS gold_boundary_iou,
            arg_max_null(error_kind, gold_iou) AS error_kind,
            arg_max_null(CASE WHEN is_compared THEN error_kind <> 'none' END, gold_iou) AS is_bad_against_gold
        FROM gold_comparisons
        WHERE mask_id IS NOT NULL
        GROUP BY mask_id
        """,
    ),
    # A mask of several samples has the verdict that came last. Who was to redraw a mask and said what it is instead
    # is heard where no review settled it.
    "judged": _Part(
        _of("judged", (c.name for c in VERDICT_COLUMNS if c.name != "drawn_by")),
        "LEFT JOIN judged ON judged.mask_id = masks.mask_id",
        """
        SELECT DISTINCT ON (mask_id)
            mask_id,
            decision AS verdict,
            rating AS verdict_rating,
            reasons AS verdict_reasons,
            n_raters,
            is_accepted
        FROM (
            SELECT mask_id, decision, rating, reasons, n_raters, is_accepted, committed_at, TRUE AS is_review
            FROM settled_verdicts
            UNION ALL
            SELECT
                mask_id,
                decision,
                rating::DOUBLE,
                reasons,
                1,
                CASE WHEN decision <> 'unsure' THEN decision = 'accept' END,
                committed_at,
                FALSE
            FROM current_verdicts
            WHERE purpose = 'correct' AND decision <> 'skip'
        )
        ORDER BY mask_id, is_accepted IS NOT NULL AND is_review DESC, is_accepted IS NOT NULL DESC, committed_at DESC
        """,
    ),
    "drawn": _Part(
        {"drawn_by": "drawn.rater"}, "LEFT JOIN drawn_masks AS drawn ON drawn.mask_id = masks.mask_id"
    ),
    "labels": _Part(
        {
            "is_bad": "coalesce(NOT judged.is_accepted, gold.is_bad_against_gold)",
            "label_source": "CASE WHEN judged.is_accepted IS NOT NULL THEN 'verdict' "
            "WHEN gold.is_bad_against_gold IS NOT NULL THEN 'gold' END",
        },
        needs=("gold", "judged"),
    ),
    "clustered": _Part(
        _of("clustered", ("cluster", "clusters")),
        "LEFT JOIN clustered ON clustered.mask_id = masks.mask_id",
        """
        SELECT mask_id, min(cluster) AS cluster, list(cluster ORDER BY cluster) AS clusters
        FROM cluster_members
        WHERE search_id = (SELECT max(search_id) FROM clusters)
        GROUP BY mask_id
        """,
    ),
    "scored": _Part(
        _of("scored", ("verifier_score",)),
        "LEFT JOIN scored ON scored.run_id = masks.run_id AND scored.mask_id = masks.mask_id",
        """
        SELECT run_id, mask_id, arg_max(score, fitted_at) AS verifier_score
        FROM verifier_scores
        INNER JOIN verifiers USING (verifier)
        GROUP BY run_id, mask_id
        """,
    ),
    "routed": _Part(
        _of("routed", ("route",)),
        "LEFT JOIN routed ON routed.run_id = masks.run_id AND routed.mask_id = masks.mask_id",
        """
        SELECT run_id, mask_id, arg_max(route, routed_at) AS route
        FROM routes
        INNER JOIN routings USING (routing)
        GROUP BY run_id, mask_id
        """,
    ),
    "runs": _Part(
        {"run_kind": "runs.kind", "model": "runs.model", "preset": "runs.preset"},
        "LEFT JOIN runs ON runs.run_id = masks.run_id",
    ),
    # Corrections have no images of their own: the run that they correct read them.
    "images": _Part(
        {"uri": "images.uri", "file_name": "images.file_name", "image_run_id": "images.run_id"},
        """LEFT JOIN images
            ON images.run_id = CASE WHEN runs.kind = 'correct' THEN runs.parent_run_id ELSE masks.run_id END
            AND images.image_id = masks.image_id""",
        needs=("runs",),
    ),
    "bands": _Part(
        {
            "size_band": "size_band(masks.area_px).name",
            "score_band": "score_band(masks.predicted_iou).name",
        }
    ),
}
#: Everything that conditions and expressions can name.
COLUMNS = (
    *(c.name for c in TABLES["masks"].columns if c.name != "rle_counts"),
    *(name for part in _PARTS.values() for name in part.columns),
)


def create_view(
    con: duckdb.DuckDBPyConnection, name: str, asked: Iterable[str], masks: str = "current_masks"
) -> None:
    """Make the temporary view `name`: a row a mask of `masks` with what is known of it but its pixels (COLUMNS).

    `asked` is the SQL that the view is for, or names of columns; what it does not name is left out, for each table that
    is joined costs time to plan. `*` stands for everything.
    """
    con.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {_described(asked, masks)}")


def _described(asked: Iterable[str], masks: str) -> str:
    wanted = _wanted(asked)
    parts = {name: part for name, part in _PARTS.items() if name in wanted}
    subqueries = ",\n".join(f"{name} AS ({part.subquery})" for name, part in parts.items() if part.subquery)
    columns = [f"{sql} AS {name}" for part in parts.values() for name, sql in part.columns.items()]
    return "\n".join(
        [
            f"WITH {subqueries}" if subqueries else "",
            "SELECT",
            ",\n".join(["masks.* EXCLUDE (rle_counts)", *columns]),
            f"FROM {masks} AS masks",
            *(part.join for part in parts.values()),
        ]
    )


def _wanted(asked: Iterable[str]) -> set[str]:
    """Names of the parts that these texts name a column of, with those that they need."""
    text = " ".join(asked).lower()
    words = set(re.findall(r"\w+", text))
    is_all = "*" in text or "columns" in words
    wanted = {name for name, part in _PARTS.items() if is_all or words & part.columns.keys()}
    return wanted | {need for name in wanted for need in _PARTS[name].needs}


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
        raise QueryError(
            f"{option} {text!r}: {error}\nIt must be {allowed}. Columns: {', '.join(COLUMNS)}"
        ) from error
