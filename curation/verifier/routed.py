"""The masks that are routed, and the score that is compared with the thresholds."""

import re
from dataclasses import dataclass

from curation import conditions
from curation.errors import InputError, QueryError
from curation.lake import Lake

_VIEW = "routed_masks"
_LABEL_COLUMNS = [
    c.name for c in (*conditions.GOLD_COLUMNS, *conditions.VERDICT_COLUMNS, *conditions.LABEL_COLUMNS)
]

#: Masks that are routed: those in use, of one run or of the newest run of each image of a stage and cycle.
_ROUTED = """
    SELECT run_id, mask_id, image_id FROM {masks} AS masks
    WHERE
        ($run_id IS NOT NULL AND run_id = $run_id)
        OR ($run_id IS NULL AND (run_id, image_id) IN (SELECT (run_id, image_id) FROM current_images))
"""


@dataclass(frozen=True)
class Score:
    """What is compared with the thresholds: the scores of a verifier, or an SQL expression over masks, larger is better."""

    verifier: str | None
    expression: str

    @property
    def text(self) -> str:
        return self.expression if self.verifier is None else "verifier"

    @property
    def params(self) -> dict[str, str]:
        """Parameters of `scored_sql`."""
        return {} if self.verifier is None else {"verifier": self.verifier}


def sql(masks: str = "current_masks") -> str:
    """Rows run_id, mask_id, image_id of the routed masks among those of a table; takes $run_id."""
    return _ROUTED.format(masks=masks)


def scored_sql(lake: Lake, score: Score) -> str:
    """Rows of every routed mask with its score, null where it has none; takes $run_id and `score.params`.

    Raises QueryError where the score is no expression over masks.
    """
    if score.verifier is not None:
        of = "SELECT mask_id, score::DOUBLE AS score FROM verifier_scores WHERE verifier = $verifier"
    else:
        of = expression_sql(lake, score.expression, "current_masks", _VIEW)
    return f"SELECT routed.*, {known('score')} AS score FROM ({sql()}) AS routed LEFT JOIN ({of}) AS scores USING (mask_id)"


def expression_sql(lake: Lake, expression: str, masks: str, view: str) -> str:
    """Rows mask_id, score of an expression over `masks`, a table or a subquery, through `view`, which is made.

    Raises QueryError where it is no expression over described masks.
    """
    conditions.create_view(lake.con, view, [expression], masks)
    conditions.check_expression(lake.con, "--score", expression, view)
    return f"SELECT mask_id, ({expression}\n)::DOUBLE AS score FROM {view}"


def check(lake: Lake, run_id: int | None) -> None:
    """Raise QueryError where there is no such run of masks, InputError where there are no masks at all."""
    if run_id is not None:
        kinds = dict(lake.con.execute("SELECT run_id, kind FROM runs ORDER BY run_id").fetchall())
        if kinds.get(run_id, "gold") == "gold":
            there = ", ".join(str(number) for number, kind in kinds.items() if kind != "gold") or "none"
            raise QueryError(f"--run {run_id}: there is no such run of masks; there are: {there}")
    if not lake.query(f"{sql()} LIMIT 1", {"run_id": run_id}).num_rows:
        raise InputError(f"{lake.root} has no masks: `curation generate` or `curation import` makes some")


def choose_score(lake: Lake, verifier: str | None, expression: str | None) -> Score:
    """What was asked for; else the newest verifier that has scored masks, else the model's own predicted IoU.

    Raises InputError for both, for a verifier without scores, and for an expression that knows the labels.
    """
    if verifier is not None and expression is not None:
        raise InputError("--verifier and --score: give one of them")
    if expression is not None:
        _check_unfitted(expression)
        return Score(None, expression)
    scored = lake.query("""
        SELECT verifier FROM (SELECT DISTINCT verifier FROM verifier_scores) AS scored
        LEFT JOIN verifiers USING (verifier) ORDER BY fitted_at DESC NULLS LAST, verifier
    """)["verifier"].to_pylist()
    if verifier is None:
        return Score(scored[0], "score") if scored else Score(None, "predicted_iou")
    if verifier not in scored:
        raise InputError(
            f"--verifier {verifier}: no mask has its score; with scores are: {', '.join(scored) or 'none'}. Run "
            "`curation verifier score`"
        )
    return Score(verifier, "score")


def known(score: str) -> str:
    """SQL: the score, null where it is no number. NaN would be larger than any threshold."""
    return f"CASE WHEN isfinite({score}) THEN {score} END"


def _check_unfitted(expression: str) -> None:
    named = sorted(set(re.findall(r"[a-z_]+", expression.lower())) & set(_LABEL_COLUMNS))
    if named:
        raise InputError(
            f"--score {expression!r} looks at {', '.join(named)}, which only labelled masks have: take what every mask has, "
            "such as predicted_iou"
        )
