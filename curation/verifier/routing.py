"""Routes: which masks are accepted without a person, which a person sees, which are dropped.

Thresholds are chosen so that a promise holds (`routing_bounds`), on labels that are fit for it (`routing_labels`), or
taken from a preset. Kept in the tables `routings` and `routes`.
"""

import json
import math
import re
from dataclasses import dataclass
from datetime import datetime, timezone

import duckdb

from curation.errors import InputError, QueryError
from curation.lake import Lake, insert
from curation.schemas import TABLES
from curation.verifier import routed, routing_bounds, routing_labels
from curation.verifier.routed import Score
from curation.verifier.routing_bounds import Chosen, Promise
from curation.verifier.routing_labels import Calibration

MAX_BAD = 0.02
CONFIDENCE = 0.95
#: Of ten masks that are dropped unseen at most one is good: a mask less is found again by the next cycle, a bad one more
#: is learned from.
MAX_GOOD_LOST = 0.10
#: Accept from, reject below: "score > 0.9 accept, 0.7 to 0.9 review, < 0.7 back to people" (the seeds, stage 3 of SAM 3).
PRESETS = {"seeds": (0.9, 0.7)}


@dataclass(frozen=True)
class Request:
    """What is asked for. `max_good_lost` of None rejects nothing; `preset` takes fixed thresholds and promises nothing.

    Without `verifier` and `score` the newest verifier, else predicted_iou; without `run_id` the newest run of each image.
    """

    name: str | None = None
    verifier: str | None = None
    score: str | None = None
    max_bad: float = MAX_BAD
    confidence: float = CONFIDENCE
    max_good_lost: float | None = MAX_GOOD_LOST
    population: str = routing_labels.POPULATIONS[0]
    is_exact: bool = False
    preset: str | None = None
    run_id: int | None = None
    routed_by: str | None = None

    def __post_init__(self) -> None:
        if self.name is not None and not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", self.name):
            raise InputError(
                f"--name {self.name!r}: start with a letter, then letters, digits, '.', '_' or '-'"
            )
        if self.preset is not None and self.preset not in PRESETS:
            raise InputError(f"--preset {self.preset}: there are {', '.join(PRESETS)}")
        shares = {
            "--max-bad": self.max_bad,
            "--confidence": self.confidence,
            "--max-good-lost": self.max_good_lost,
        }
        for option, value in shares.items():
            if value is not None and not 0 < value < 1:
                raise InputError(f"{option} {value:g}: it must be above 0 and below 1; 0.02 is 2 %")

    @property
    def promise(self) -> Promise:
        return Promise(self.max_bad, self.confidence, self.is_exact)


@dataclass(frozen=True)
class Routed:
    """A routing that is written: its row of `routings`, masks by route, and labels that could not be used."""

    row: dict
    n_masks: dict[str, int]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _Thresholds:
    """Both thresholds and what is known of the labelled masks beyond each; None where there is no such threshold."""

    accept_from: float | None
    reject_below: float | None
    bad: Chosen
    good_lost: Chosen


def route(lake: Lake, request: Request) -> Routed:
    """Choose thresholds, route every mask, and keep both.

    Where the promise cannot be given no mask is accepted; all are for people, but for those that may be rejected. Raises
    InputError for a name that is taken and where there are no masks, QueryError for a bad run or expression.
    """
    score = routed.choose_score(lake, request.verifier, request.score)
    routed.check(lake, request.run_id)
    if request.name is not None:
        _free_name(lake.con, request.name)
    version = lake.version()
    try:
        calibration = routing_labels.read(lake, score, request.run_id, request.population)
    except duckdb.ConversionException as error:  # what only the values show, such as a text that is no number
        raise QueryError(f"--score {score.expression!r}: {error}") from error
    chosen = _preset(calibration, request) if request.preset else _promised(calibration, request)
    scored = routed.scored_sql(lake, score)
    row = _row(request, score, calibration, chosen, version)

    def keep(con: duckdb.DuckDBPyConnection) -> dict:
        named = row | {"routing": _free_name(con, request.name)}
        insert(con, {"routings": TABLES["routings"].table([named])})
        params = {"run_id": request.run_id, "routing": named["routing"]}
        params |= {name: row[name] for name in ("accept_from", "reject_below")}
        con.execute(_INSERT.format(scored=scored), params | score.params)
        return named

    try:
        written = lake.commit(keep, "masks routed")
    except duckdb.ConversionException as error:  # as above, of masks without labels
        raise QueryError(f"--score {score.expression!r}: {error}") from error
    counts = lake.query(
        "SELECT route, count(*) AS n FROM routes WHERE routing = ? GROUP BY route", [written["routing"]]
    )
    n_masks = dict(zip(counts["route"].to_pylist(), counts["n"].to_pylist(), strict=True))
    return Routed(
        written, {name: n_masks.get(name, 0) for name in ("accept", "review", "reject")}, calibration.left_out
    )


_INSERT = """
    INSERT INTO routes BY NAME
    SELECT
        run_id,
        mask_id,
        image_id,
        $routing AS routing,
        CASE
            WHEN score >= $accept_from::DOUBLE THEN 'accept'
            WHEN score < $reject_below::DOUBLE THEN 'reject'
            ELSE 'review'
        END AS route,
        score
    FROM ({scored}) AS scored
    ORDER BY mask_id
"""


def _promised(calibration: Calibration, request: Request) -> _Thresholds:
    bad = routing_bounds.choose(calibration.labelled, request.promise)
    nothing = Chosen(None, (), None, None, 0, None)
    if request.max_good_lost is None:
        return _Thresholds(bad.threshold, None, bad, nothing)
    mirrored = calibration.labelled.mirrored()
    promise = Promise(request.max_good_lost, request.confidence, request.is_exact)
    # Of thresholds that hold, the largest up to where acceptance begins.
    fitting = [
        low
        for low in routing_bounds.choose(mirrored, promise).passed
        if bad.threshold is None or -low < bad.threshold
    ]
    if not fitting:
        return _Thresholds(bad.threshold, None, bad, nothing)
    share, bound, n_masks = routing_bounds.at_threshold(mirrored, fitting[-1], promise)
    lost = Chosen(fitting[-1], tuple(fitting), share, min(bound, promise.limit), n_masks, None)
    return _Thresholds(bad.threshold, math.nextafter(-fitting[-1], math.inf), bad, lost)


def _preset(calibration: Calibration, request: Request) -> _Thresholds:
    """Fixed thresholds, and what the labels say of them."""
    accept_from, reject_below = PRESETS[request.preset]
    sides = (
        (calibration.labelled, accept_from),
        (calibration.labelled.mirrored(), -math.nextafter(reject_below, -math.inf)),
    )
    found = []
    for labelled, threshold in sides:
        share, bound, n_masks = routing_bounds.at_threshold(labelled, threshold, request.promise)
        found.append(Chosen(threshold, (threshold,), share, bound if n_masks else None, n_masks, None))
    return _Thresholds(accept_from, reject_below, *found)


def _row(request: Request, score: Score, calibration: Calibration, chosen: _Thresholds, version: int) -> dict:
    is_promise = request.preset is None
    settings = {
        "population": request.population,
        "bound": "exact" if request.is_exact else "clustered",
        "run_id": request.run_id,
        "preset": request.preset,
        "n_accepted_calibration_masks": chosen.bad.n_masks,
        "n_rejected_calibration_masks": chosen.good_lost.n_masks,
        "left_out": list(calibration.left_out),
    }
    bound = "exact" if request.is_exact else "clustered"
    return {
        "verifier": score.verifier,
        "score": score.text,
        "method": f"learn then test, {bound} bound" if is_promise else f"preset {request.preset}",
        "max_bad": request.max_bad if is_promise else None,
        "confidence": request.confidence if is_promise else None,
        "accept_from": chosen.accept_from,
        "reject_below": chosen.reject_below,
        "bad_share": chosen.bad.bad_share,
        "bad_share_bound": chosen.bad.bound,
        "max_good_lost": request.max_good_lost if is_promise else None,
        "good_lost_share": chosen.good_lost.bad_share,
        "good_lost_bound": chosen.good_lost.bound,
        "n_calibration_masks": len(calibration.labelled),
        "n_calibration_images": calibration.n_images,
        "more_reviews": chosen.bad.more_masks,
        "design": calibration.design,
        "settings": json.dumps(settings, ensure_ascii=False),
        "snapshot_id": version,
        "routed_by": request.routed_by,
        "routed_at": datetime.now(timezone.utc),
    }


def _free_name(con: duckdb.DuckDBPyConnection, name: str | None) -> str:
    """The name, or the next number for one. Raises InputError where it is taken."""
    taken = {row[0] for row in con.execute("SELECT routing FROM routings").fetchall()}
    if name is None:
        return next(f"routing-{k}" for k in range(1, len(taken) + 2) if f"routing-{k}" not in taken)
    if name in taken:
        raise InputError(
            f"--name {name}: there is such a routing already, and what was promised stays: choose another"
        )
    return name
