"""Clusters as the lake keeps them: each search adds rows, a cluster keeps its number, its newest event is its
status.
"""

from collections.abc import Sequence
from datetime import datetime, timezone

import duckdb
import pyarrow as pa

from curation.errors import InputError
from curation.lake import Lake, insert
from curation.schemas import TABLES

STATUSES = next(c.values for c in TABLES["cluster_events"].columns if c.name == "status")

_NEWEST = """
    WITH newest AS (
        SELECT DISTINCT ON (cluster) * FROM clusters ORDER BY cluster, search_id DESC
    ),

    -- Of events of one moment the later word of the life of a cluster counts.
    changed AS (
        SELECT cluster, arg_max(cluster_events, (at_utc, list_position($statuses, status))) AS event
        FROM cluster_events
        GROUP BY cluster
    )

    SELECT
        newest.*,
        coalesce(changed.event.status, 'found') AS status,
        changed.event.at_utc AS status_at,
        changed.event.by_whom AS status_by,
        changed.event.batch AS status_batch,
        changed.event.note AS status_note,
        newest.search_id = (SELECT max(search_id) FROM clusters) AS is_in_last_search
    FROM newest
    LEFT JOIN changed USING (cluster)
    WHERE $cluster IS NULL OR cluster = $cluster
    ORDER BY n_bad DESC, cluster
"""


def newest(lake: Lake, cluster: int | None = None) -> pa.Table:
    """Each cluster as the newest search that found it says, most bad masks first: the columns of `clusters`, and
    status, status_at, status_by, status_batch, status_note, is_in_last_search. One `cluster`, or all.
    """
    return lake.query(_NEWEST, {"cluster": cluster, "statuses": list(STATUSES)})


def one(lake: Lake, cluster: int) -> dict:
    """The row of `newest` of one cluster. Raises InputError where there is no such cluster."""
    found = newest(lake, cluster)
    if not found.num_rows:
        raise InputError(_no_such(lake.con, cluster))
    return found.to_pylist()[0]


def members(lake: Lake, cluster: int, search_id: int | None = None) -> pa.Table:
    """The masks of a cluster by id (the columns of `cluster_members`), as a search found them: the newest one
    without `search_id`.

    Raises InputError where there is no such cluster, or that search did not find it.
    """
    found = lake.query(
        """
        SELECT * FROM cluster_members
        WHERE
            cluster = $cluster
            AND search_id = coalesce(
                $search_id, (SELECT max(search_id) FROM clusters WHERE cluster = $cluster)
            )
        ORDER BY mask_id
        """,
        {"cluster": cluster, "search_id": search_id},
    )
    if not found.num_rows:
        _check_exists(lake.con, cluster)
        raise InputError(f"search {search_id} did not find cluster {cluster}")
    return found


def membership_sql(cluster: int, search_id: int) -> str:
    """A condition over masks that holds for the members of a cluster, as one search found them."""
    return (
        f"mask_id IN (SELECT mask_id FROM cluster_members WHERE search_id = {int(search_id)} "
        f"AND cluster = {int(cluster)})"
    )


def events(lake: Lake, cluster: int) -> pa.Table:
    """What became of a cluster, oldest first. Raises InputError where there is no such cluster."""
    _check_exists(lake.con, cluster)
    return lake.query("SELECT * FROM cluster_events WHERE cluster = ? ORDER BY at_utc", [cluster])


def set_status(
    lake: Lake,
    cluster: int,
    status: str,
    by: str | None = None,
    batch: str | None = None,
    note: str | None = None,
) -> None:
    """Say what became of a cluster. Raises InputError for a status other than STATUSES, or no such cluster."""
    lake.commit(
        lambda con: set_status_within(con, cluster, status, by, batch, note), f"cluster {cluster} {status}"
    )


def flag(lake: Lake, cluster: int, by: str | None = None, note: str | None = None) -> str:
    """Say that a cluster shall be dealt with; its status after that. One that is in re-annotation stays there: the note
    alone is new. Raises InputError where there is no such cluster.
    """

    def work(con: duckdb.DuckDBPyConnection) -> str:
        known = con.execute(
            "SELECT status, batch FROM cluster_events WHERE cluster = ? ORDER BY at_utc DESC LIMIT 1",
            [cluster],
        ).fetchone()
        status, batch = known if known and known[0] == "in_re_annotation" else ("flagged", None)
        set_status_within(con, cluster, status, by, batch, note)
        return status

    return lake.commit(work, f"cluster {cluster} flagged")


def set_status_within(
    con: duckdb.DuckDBPyConnection,
    cluster: int,
    status: str,
    by: str | None = None,
    batch: str | None = None,
    note: str | None = None,
) -> None:
    """`set_status` inside an open transaction, for work that belongs to the same commit."""
    if status not in STATUSES:
        raise InputError(f"cluster {cluster}: status {status!r}; allowed are {', '.join(STATUSES)}")
    _check_exists(con, cluster)
    event = {"cluster": cluster, "status": status, "by_whom": by, "batch": batch, "note": note}
    _insert_events(con, [event])


def record_within(
    con: duckdb.DuckDBPyConnection,
    rows: Sequence[dict],
    members_of: Sequence[pa.Table],
    known: Sequence[int | None],
) -> tuple[int, list[int]]:
    """Keep what one search found inside an open transaction; its number, and the number of each cluster.

    `rows` are of `clusters` and `members_of` of `cluster_members`, both without search_id and cluster; `known` is the
    number of the cluster that each is, None for a new one. A cluster that was shown to be fixed came back.
    """
    search_id = _next(con, "search_id")
    new = _next(con, "cluster")
    numbers = []
    for number in known:
        numbers.append(new if number is None else number)
        new += number is None
    searched_at = datetime.now(timezone.utc)
    kept = [
        {**row, "search_id": search_id, "cluster": number, "searched_at": searched_at}
        for row, number in zip(rows, numbers, strict=True)
    ]
    insert(con, {"clusters": TABLES["clusters"].table(kept)})
    for table, number in zip(members_of, numbers, strict=True):
        ours = {name: table[name] for name in table.column_names}
        ours |= {"search_id": [search_id] * table.num_rows, "cluster": [number] * table.num_rows}
        insert(con, {"cluster_members": TABLES["cluster_members"].table(ours)})
    fixed = {
        cluster
        for cluster, status in con.execute(
            "SELECT cluster, arg_max(status, (at_utc, list_position(?, status))) FROM cluster_events GROUP BY cluster",
            [list(STATUSES)],
        ).fetchall()
        if status == "fixed"
    }
    happened = [
        {"cluster": number, "status": "found" if old is None else "came_back", "search_id": search_id}
        for number, old in zip(numbers, known, strict=True)
        if old is None or number in fixed
    ]
    _insert_events(con, happened)
    return search_id, numbers


def _insert_events(con: duckdb.DuckDBPyConnection, happened: Sequence[dict]) -> None:
    at_utc = datetime.now(timezone.utc)
    if happened:
        insert(
            con,
            {"cluster_events": TABLES["cluster_events"].table([{**e, "at_utc": at_utc} for e in happened])},
        )


def _next(con: duckdb.DuckDBPyConnection, column: str) -> int:
    return con.execute(f"SELECT coalesce(max({column}), 0) + 1 FROM clusters").fetchone()[0]


def _check_exists(con: duckdb.DuckDBPyConnection, cluster: int) -> None:
    if not con.execute("SELECT count(*) FROM clusters WHERE cluster = ?", [cluster]).fetchone()[0]:
        raise InputError(_no_such(con, cluster))


def _no_such(con: duckdb.DuckDBPyConnection, cluster: int) -> str:
    rows = con.execute("SELECT DISTINCT cluster FROM clusters ORDER BY cluster").fetchall()
    there = ", ".join(str(number) for (number,) in rows) or "none yet: `curation failures find` searches"
    return f"cluster {cluster}: there is no such cluster; there are: {there}"
