"""Which masks to browse: SQL over the lake, in temporary tables.

`choose` fills `chosen` and `chosen_images`; `comparison` tells which of them FiftyOne lacks.
"""

from dataclasses import dataclass

from curation import conditions, queries, runs
from curation.errors import QueryError
from curation.failures import clusters
from curation.lake import Lake


@dataclass(frozen=True)
class Choice:
    """Which masks: of one run or all, that meet an SQL condition, or that a report names.

    A corrected mask stands for those that it corrects: it belongs to their run, and is chosen where one of them would be.
    Without `where` and `report`, images that have no mask are chosen too.
    """

    run_id: int | None = None
    where: str | None = None
    report: str | None = None

    def __post_init__(self) -> None:
        if self.where and self.report:
            raise QueryError("--where and --report both choose masks: give one of them")

    @property
    def is_filtered(self) -> bool:
        return bool(self.where or self.report)


def choose(lake: Lake, choice: Choice) -> None:
    """Fill `chosen` (masks) and `chosen_images`. Superseded masks are never chosen.

    Raises QueryError where the run, the condition or the report cannot be used.
    """
    _check_run(lake, choice.run_id)
    conditions.create_view(lake.con, "browsable", "*")
    wanted = ["true"]
    if choice.report:
        wanted.append(_named_by_report(lake, choice))
    if choice.where:
        conditions.check_condition(lake.con, "--where", choice.where, "browsable")
        wanted.append(f"({choice.where}\n)")
    condition = " AND ".join(wanted)
    if choice.is_filtered:
        condition = _or_of_what_it_corrects(lake, condition)
    if choice.run_id is not None:
        numbers = [int(choice.run_id), *runs.corrections_of(lake, choice.run_id)]
        condition = f"run_id IN ({', '.join(map(str, numbers))}) AND ({condition})"
    lake.con.execute(f"CREATE OR REPLACE TEMP TABLE chosen AS SELECT * FROM browsable WHERE {condition}")
    _choose_images(lake, choice)


def lost_images(lake: Lake) -> list[tuple[int, int]]:
    """(run_id, image_id) of chosen masks whose image the lake does not know."""
    return lake.con.execute("""
        SELECT DISTINCT run_id, image_id FROM chosen ANTI JOIN chosen_images USING (image_id) ORDER BY ALL
    """).fetchall()


def chosen_stages(lake: Lake) -> list[str]:
    return [stage for (stage,) in lake.con.execute("SELECT DISTINCT stage FROM chosen ORDER BY 1").fetchall()]


def found_clusters(lake: Lake) -> dict[int, tuple[str, str]]:
    """Clusters of the newest search, most bad masks first: number -> its words, and its figures in words."""
    rows = clusters.newest(lake).to_pylist()
    return {row["cluster"]: (row["words"], _cluster_words(row)) for row in rows if row["is_in_last_search"]}


def _cluster_words(row: dict) -> str:
    return (
        f"{100 * row['bad_share']:.0f} % of its masks are bad ({100 * row['bad_share_low']:.0f} to "
        f"{100 * row['bad_share_high']:.0f} %, image as cluster), {100 * row['rest_bad_share']:.0f} % of all others; "
        f"q {row['q_value']:.2g}; search {row['search_id']}; {row['status'].replace('_', ' ')}."
    )


def _check_run(lake: Lake, run_id: int | None) -> None:
    known = lake.con.execute("SELECT run_id, kind FROM runs ORDER BY run_id").fetchall()
    if run_id is None:
        return
    kinds = dict(known)
    if run_id not in kinds:
        there = ", ".join(str(number) for number in kinds) or "none"
        raise QueryError(f"--run {run_id}: there is no such run; there are: {there}")
    if kinds[run_id] == "gold":
        raise QueryError(f"--run {run_id} is gold; name the run whose masks are compared with it")


def _or_of_what_it_corrects(lake: Lake, condition: str) -> str:
    """The condition, or that it holds for a mask that this one corrects: the model's scores stand there alone."""
    lake.con.execute("""
        CREATE OR REPLACE TEMP TABLE lineage AS
        WITH RECURSIVE steps AS (
            SELECT mask_id, supersedes AS ancestor_id FROM current_drawn_masks WHERE supersedes IS NOT NULL
            UNION ALL
            SELECT steps.mask_id, drawn.supersedes
            FROM steps INNER JOIN drawn_masks AS drawn ON drawn.mask_id = steps.ancestor_id
            WHERE drawn.supersedes IS NOT NULL
        )
        SELECT * FROM steps
    """)
    if not lake.con.execute("SELECT count(*) FROM lineage").fetchone()[0]:
        return condition
    superseded = "(SELECT * FROM masks WHERE mask_id IN (SELECT ancestor_id FROM lineage))"
    conditions.create_view(lake.con, "superseded", [condition], superseded)
    lake.con.execute(f"""
        CREATE OR REPLACE TEMP TABLE corrected AS
        SELECT DISTINCT mask_id FROM lineage
        WHERE ancestor_id IN (SELECT mask_id FROM superseded WHERE {condition})
    """)
    return f"({condition}) OR mask_id IN (SELECT mask_id FROM corrected)"


def _named_by_report(lake: Lake, choice: Choice) -> str:
    """Run the report, keep its ids in `named`, and return the condition that picks them."""
    report = queries.get(choice.report)
    given = {}
    if choice.run_id is not None and any(p.name == "run_id" for p in report.params):
        given["run_id"] = choice.run_id
    rows = report.run(lake, **given)
    keys = [name for name in ("mask_id", "image_id") if name in rows.column_names]
    if not keys:
        raise QueryError(
            f"--report {choice.report} names no masks: its columns are {', '.join(rows.column_names)}; "
            "a report with mask_id or image_id does"
        )
    lake.con.register("named_rows", rows.select(keys[:1]))
    lake.con.execute("CREATE OR REPLACE TEMP TABLE named AS SELECT * FROM named_rows")
    lake.con.unregister("named_rows")
    return f"{keys[0]} IN (SELECT {keys[0]} FROM named)"


def _choose_images(lake: Lake, choice: Choice) -> None:
    """The images of the chosen masks, as the newest of their runs saw them."""
    pairs = "SELECT image_run_id AS run_id, image_id FROM chosen"
    if not choice.is_filtered:
        of_run = "" if choice.run_id is None else f"AND run_id = {int(choice.run_id)}"
        pairs += f"""
            UNION SELECT run_id, image_id FROM images
            WHERE run_id IN (SELECT run_id FROM runs WHERE kind <> 'gold') {of_run}
        """
    lake.con.execute(f"""
        CREATE OR REPLACE TEMP TABLE chosen_images AS
        WITH newest AS (
            SELECT DISTINCT ON (images.image_id) images.*, covered_share AS coverage
            FROM images
            SEMI JOIN ({pairs}) AS pairs USING (run_id, image_id)
            LEFT JOIN image_coverage USING (run_id, image_id)
            ORDER BY images.image_id, images.run_id DESC
        )
        SELECT
            * EXCLUDE (run_id, image_number),
            (CAST(run_id AS BIGINT) << 32) + image_number AS place,
            left(md5(CAST(row(uri, file_name, width_px, height_px, sha256, coverage) AS VARCHAR)), 16) AS fingerprint
        FROM newest
    """)
