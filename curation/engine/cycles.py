"""Cycles of annotate, train, regenerate and compare: opened, closed with their figures, and shown beside each other."""

import json
from dataclasses import dataclass
from datetime import datetime, timezone

import duckdb

from curation import queries
from curation.errors import InputError
from curation.lake import Lake, insert
from curation.schemas import TABLES
from curation.settings import CYCLE, REVIEW

STAGES = next(column.values for column in TABLES["cycles"].columns if column.name == "stage")
REPORT = "cycle_changes"
COUNTED = "counted, not estimated: no interval"


@dataclass(frozen=True)
class Rates:
    """What an hour of a person at work, and of one process, costs, in `currency`."""

    person_hour: float = CYCLE.person_hour
    machine_hour: float = CYCLE.machine_hour
    currency: str = CYCLE.currency

    def __post_init__(self) -> None:
        if not (self.person_hour >= 0 and self.machine_hour >= 0):
            raise InputError(f"rates {self.person_hour} and {self.machine_hour}: both must be 0 or more")


@dataclass(frozen=True)
class Cycle:
    """One cycle as it stands. `state`: closed, open, or not opened, where runs name it and nobody opened it.

    `figures` are rows of the report `cycle_changes` by figure, as they were at closing or are now; `hours` of people,
    `machine_hours` of processes and `cost` are None where it is not closed.
    """

    stage: str
    cycle: int
    state: str
    model: str | None
    run_ids: tuple[int, ...]
    figures: dict[str, dict]
    hours: float | None = None
    machine_hours: float | None = None
    cost: float | None = None
    currency: str | None = None
    note: str | None = None


def open_cycle(
    lake: Lake,
    stage: str,
    cycle: int | None = None,
    model: str | None = None,
    note: str | None = None,
    by_whom: str | None = None,
) -> int:
    """Open a cycle and return its number: `cycle`, else the one after all that the stage has had, from 0 on.

    Runs of that stage and number belong to it, also those that are there already. Raises InputError for an unknown
    stage, a number that was opened before, and while another cycle of the stage is open.
    """
    _check_stage(stage)
    if cycle is not None and cycle < 0:
        raise InputError(f"--cycle {cycle}: cycles count from 0")

    def work(con: duckdb.DuckDBPyConnection) -> int:
        events = _events(con, stage)
        still_open = [number for number, told in events.items() if "close" not in told]
        if still_open:
            raise InputError(
                f"{stage}: cycle {still_open[0]} is open: close it first, `curation cycle close --stage {stage}`"
            )
        number = _next(con, stage) if cycle is None else cycle
        if number in events:
            raise InputError(
                f"{stage}: cycle {number} was opened and closed before; leave --cycle out for the next one, {_next(con, stage)}"
            )
        _add(con, stage, number, "open", {"model": model, "note": note, "by_whom": by_whom})
        return number

    return lake.commit(work, f"cycle opened in {stage}")


def close_cycle(
    lake: Lake,
    stage: str,
    cycle: int | None = None,
    rates: Rates = Rates(),
    note: str | None = None,
    by_whom: str | None = None,
) -> Cycle:
    """Close the open cycle of a stage with its figures, each with interval, design and change against the one before.

    Costs are of people (verdicts and drawings on its runs) and of processes (shards of its runs, and models trained
    since it was opened). Raises InputError where the cycle is not open, where it has no finished run, and where one is
    still under way.
    """
    _check_stage(stage)
    number = _open_number(lake, stage, cycle)
    run_ids = _run_ids(lake.con, stage, number)
    _check_runs(lake, stage, number)
    figures = _figures(lake, stage).get(number, {})
    hours, machine_hours = _hours(figures), _machine_hours(lake, stage, number, run_ids)
    cost = hours * rates.person_hour + machine_hours * rates.machine_hour
    told = {
        "figures": figures,
        "machine_hours": machine_hours,
        "cost": {"estimate": cost, "unit": rates.currency, "design": COUNTED},
        "rates": vars(rates),
    }
    row = {
        "model": _model(lake.con, stage, number),
        "figures": json.dumps(told),
        "hours": hours,
        "cost": cost,
        "note": note,
        "by_whom": by_whom,
    }

    def work(con: duckdb.DuckDBPyConnection) -> None:
        if "close" in _events(con, stage)[number]:
            raise InputError(f"{stage}: cycle {number} was closed meanwhile")
        _add(con, stage, number, "close", row)

    lake.commit(work, f"cycle {number} of {stage} closed")
    return next(one for one in read(lake) if (one.stage, one.cycle) == (stage, number))


def read(lake: Lake) -> list[Cycle]:
    """Every cycle that was opened or that runs name, in order; none in an empty lake."""
    rows = lake.query("FROM cycles ORDER BY event_at").to_pylist()
    events: dict[tuple[str, int], dict[str, dict]] = {}
    for row in rows:
        events.setdefault((row["stage"], row["cycle"]), {})[row["event"]] = row
    found = lake.con.execute(
        "SELECT DISTINCT stage, cycle FROM runs WHERE stage IS NOT NULL AND kind NOT IN ('gold', 'correct')"
    )
    named = set(events) | set(found.fetchall())
    live: dict[str, dict[int, dict[str, dict]]] = {}
    cycles = []
    for stage, number in sorted(named, key=lambda key: (STAGES.index(key[0]), key[1])):
        if stage not in live:
            live[stage] = _figures(lake, stage)
        told = events.get((stage, number), {})
        cycles.append(_cycle(lake, stage, number, told, live[stage].get(number, {})))
    return cycles


def _cycle(lake: Lake, stage: str, number: int, told: dict[str, dict], live: dict[str, dict]) -> Cycle:
    run_ids = tuple(_run_ids(lake.con, stage, number))
    if "close" not in told:
        opened = told.get("open")
        state = "open" if opened else "not opened"
        model = (opened or {}).get("model") or _model(lake.con, stage, number)
        return Cycle(stage, number, state, model, run_ids, live, note=(opened or {}).get("note"))
    closed = told["close"]
    at_closing = json.loads(closed["figures"])
    return Cycle(
        stage,
        number,
        "closed",
        closed["model"],
        tuple(closed["run_ids"]),
        at_closing["figures"],
        closed["hours"],
        at_closing["machine_hours"],
        closed["cost"],
        at_closing["rates"]["currency"],
        closed["note"],
    )


def _figures(lake: Lake, stage: str) -> dict[int, dict[str, dict]]:
    """Rows of the report by cycle and figure, without what names them."""
    limits = {"break_s": REVIEW.break_gap_s, "longest_drawing_s": CYCLE.longest_drawing_s}
    found: dict[int, dict[str, dict]] = {}
    for row in queries.get(REPORT).run(lake, **limits).to_pylist():
        if row.pop("stage") == stage:
            found.setdefault(row.pop("cycle"), {})[row.pop("figure")] = row
    return found


def _hours(figures: dict[str, dict]) -> float:
    """Hours of people: the report gives their mean over images, with the number of these."""
    time = figures.get("person_s_per_image")
    return 0.0 if time is None else time["estimate"] * time["n_images"] / 3600


def _machine_hours(lake: Lake, stage: str, number: int, run_ids: list[int]) -> float:
    """Working time of all shards of its runs, and of models trained since it was opened."""
    (seconds,) = lake.con.execute(
        """
        SELECT
            (SELECT coalesce(sum(took_s), 0) FROM shards WHERE list_contains($run_ids, run_id))
            + (
                SELECT coalesce(sum(took_s), 0) FROM trained_models
                WHERE trained_at >= (
                    SELECT event_at FROM cycles WHERE stage = $stage AND cycle = $cycle AND event = 'open'
                )
            )
        """,
        {"run_ids": run_ids, "stage": stage, "cycle": number},
    ).fetchone()
    return seconds / 3600


def _check_stage(stage: str) -> None:
    if stage not in STAGES:
        raise InputError(f"--stage {stage}: allowed are {', '.join(STAGES)}")


def _open_number(lake: Lake, stage: str, cycle: int | None) -> int:
    events = _events(lake.con, stage)
    still_open = [number for number, told in events.items() if "close" not in told]
    if cycle is None and still_open:
        return still_open[0]
    if cycle in still_open:
        return cycle
    came = "no cycle" if cycle is None else f"cycle {cycle}"
    closed = " (it is closed)" if cycle in events else ""
    raise InputError(f"{stage}: {came} is open{closed}: open one with `curation cycle open --stage {stage}`")


def _check_runs(lake: Lake, stage: str, number: int) -> None:
    rows = lake.con.execute(
        """
        SELECT run_id, finished_at IS NOT NULL FROM runs
        WHERE stage = ? AND cycle = ? AND kind <> 'correct'
        ORDER BY run_id
        """,
        [stage, number],
    ).fetchall()
    if not rows:
        raise InputError(
            f"{stage}: cycle {number} has no run: `curation generate … --stage {stage} --cycle {number}` makes one"
        )
    unfinished = [run_id for run_id, is_finished in rows if not is_finished]
    if unfinished:
        raise InputError(
            f"{stage}: run {unfinished[0]} of cycle {number} is not finished: give its command again, then close the cycle"
        )


def _events(con: duckdb.DuckDBPyConnection, stage: str) -> dict[int, set[str]]:
    """What happened to each cycle of a stage, in order of the cycles."""
    rows = con.execute("SELECT cycle, event FROM cycles WHERE stage = ? ORDER BY cycle", [stage]).fetchall()
    events: dict[int, set[str]] = {}
    for number, event in rows:
        events.setdefault(number, set()).add(event)
    return events


def _next(con: duckdb.DuckDBPyConnection, stage: str) -> int:
    (newest,) = con.execute(
        """
        SELECT max(cycle) FROM (
            SELECT cycle FROM cycles WHERE stage = $stage UNION ALL SELECT cycle FROM runs WHERE stage = $stage
        )
        """,
        {"stage": stage},
    ).fetchone()
    return 0 if newest is None else newest + 1


def _run_ids(con: duckdb.DuckDBPyConnection, stage: str, number: int) -> list[int]:
    rows = con.execute(
        "SELECT run_id FROM runs WHERE stage = ? AND cycle = ? ORDER BY run_id", [stage, number]
    )
    return [run_id for (run_id,) in rows.fetchall()]


def _model(con: duckdb.DuckDBPyConnection, stage: str, number: int) -> str | None:
    """Model of the newest run of the cycle; None where no model made it."""
    found = con.execute(
        "SELECT model FROM runs WHERE stage = ? AND cycle = ? AND model IS NOT NULL ORDER BY run_id DESC LIMIT 1",
        [stage, number],
    ).fetchone()
    return None if found is None else found[0]


def _add(con: duckdb.DuckDBPyConnection, stage: str, number: int, event: str, values: dict) -> None:
    row = {
        **values,
        "stage": stage,
        "cycle": number,
        "event": event,
        "run_ids": _run_ids(con, stage, number),
        "snapshot_id": con.execute("SELECT id FROM lake.current_snapshot()").fetchone()[0],
        "event_at": datetime.now(timezone.utc),
    }
    insert(con, {"cycles": TABLES["cycles"].table([row])})
