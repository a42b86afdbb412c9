"""What a sample says of its frame: every figure with its interval, its design, and how many have not
answered.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from curation import conditions
from curation.errors import InputError
from curation.lake import Lake
from curation.sampling import estimators, frame, judged, response
from curation.sampling.estimators import Estimates, Score
from curation.sampling.frame import Scope
from curation.sampling.judged import Figure, Judged
from curation.sampling.response import Answers
from curation.storage import quote

ROWS = pa.schema(
    [
        ("sample", pa.string()),
        ("slice", pa.string()),
        ("figure", pa.string()),
        ("estimate", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("images_low", pa.float64()),
        ("images_high", pa.float64()),
        ("n_masks", pa.int64()),
        ("n_images", pa.int64()),
        ("effective_n", pa.float64()),
        ("design_effect", pa.float64()),
        ("error", pa.float64()),
        ("bootstrap_error", pa.float64()),
        ("gain", pa.float64()),
        ("if_unanswered_none", pa.float64()),
        ("if_unanswered_all", pa.float64()),
        ("n_drawn", pa.int64()),
        ("n_tied", pa.int64()),
        ("n_unsure", pa.int64()),
        ("n_skipped", pa.int64()),
        ("n_pending", pa.int64()),
        ("n_to_correct", pa.int64()),
        ("design", pa.string()),
    ]
)
#: Slice of a sample that is not parted.
ALL = "all"
ESTIMATORS = ("ratio", "total")
_VIEW = "sampled_masks"
_DESIGNS = {
    "srs": "simple random",
    "stratified": "stratified",
    "pps": "probability proportional to risk, with replacement",
    "two_stage": "two stages, images then masks in them",
}


@dataclass(frozen=True)
class Part:
    """A sample, or a slice of it, with all figures; counts are of its drawn masks.

    `if_unanswered_none` and `if_unanswered_all` (F,): the share were none, or all, of the masks that a rater
    saw without an answer (tied, unsure, skipped) of the kind that the figure counts.
    """

    slice: str
    figures: tuple[Figure, ...]
    estimates: Estimates
    bootstrap_error: np.ndarray
    if_unanswered_none: np.ndarray
    if_unanswered_all: np.ndarray
    counts: dict[str, int]


@dataclass(frozen=True)
class Sample:
    """What is known of one sample; `design` says how it was drawn, of what, and how much is judged."""

    name: str
    design: str
    parts: tuple[Part, ...]


def estimate(
    lake: Lake,
    name: str,
    by: str | None = None,
    score: str | None = None,
    estimator: str = "ratio",
    figures: Sequence[Figure] | None = None,
) -> Sample:
    """The figures of a sample, or of each of its slices.

    `by`: a column or SQL expression over masks (`conditions.create_view`), as they are now. `score`: an SQL
    expression that every mask of the frame has; it takes variance away as far as it agrees with the verdicts
    on being accepted (and does no harm elsewhere). `estimator` is one of ESTIMATORS, see `estimators`;
    `total` goes with neither.

    Raises InputError for no such sample, for one drawn on purpose, and for options that do not go together;
    QueryError for bad SQL. A sample without verdicts has NaN estimates.
    """
    if estimator not in ESTIMATORS:
        raise InputError(f"--estimator {estimator}: allowed are {', '.join(ESTIMATORS)}")
    of = judged.read(lake, name)
    answers = response.answers(of.drawn, of.is_settled)
    if estimator == "total" and (by or score or answers.covered_share < 1):
        raise InputError(
            "--estimator total is over the size of the whole frame: use it without --by and --score, and once small masks are "
            "judged too"
        )
    names, slices = [ALL], np.zeros(len(of.mask_id), np.int64)
    if by is not None:
        names, slices = _slices(lake, name, of, by)
    scores = None if score is None else _scores(lake, of, score, by)
    wanted = judged.figures() if figures is None else tuple(figures)
    parts = [
        _part(of, answers, slices == k, names[k], wanted, scores, estimator == "total")
        for k in range(len(names))
    ]
    return Sample(name, _told(of, answers, score), tuple(parts))


def rows(of: Sample) -> pa.Table:
    """A row a figure and slice (ROWS); null where nothing is known."""
    return pa.Table.from_pylist([row for part in of.parts for row in _rows(of, part)], ROWS)


@dataclass(frozen=True)
class _Scores:
    """Scores of the sample's masks (n,), and the mean over the frame of each slice."""

    values: np.ndarray
    frame_means: dict[str, float]


def _part(
    of: Judged,
    answers: Answers,
    is_in: np.ndarray,
    name: str,
    figures: tuple[Figure, ...],
    scores: _Scores | None,
    is_total: bool,
) -> Part:
    inside = is_in[answers.place]
    y, x = judged.values(of, answers.place, answers.weight * inside, figures)
    y, x = y * inside[:, None], x * inside[:, None]
    score = None
    if scores is not None:
        score = Score(scores.values[answers.place], np.full(len(figures), scores.frame_means[name]))
    least, most = _if_unanswered(of, is_in, figures)
    is_fix = is_in & (of.decision == "fix")
    return Part(
        slice=name,
        figures=figures,
        estimates=estimators.estimate(answers, y, x, score, is_total),
        bootstrap_error=estimators.bootstrap_errors(answers, y, x),
        if_unanswered_none=least,
        if_unanswered_all=most,
        counts={
            "n_drawn": int(is_in.sum()),
            **{f"n_{state}": int((of.state[is_in] == state).sum()) for state in judged.STATES[1:]},
            "n_to_correct": int((is_fix & np.isnan(of.corrected_iou)).sum()),
        },
    )


def _if_unanswered(
    of: Judged, is_in: np.ndarray, figures: tuple[Figure, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Shares (F,) each, were none and all of those without an answer of the figure's kind."""
    seen = response.answers(of.drawn, of.state != "pending")
    weight = seen.weight * is_in[seen.place]
    is_answered = of.is_settled[seen.place]
    y, x = judged.values(of, seen.place, weight * is_answered, figures)
    with np.errstate(invalid="ignore", divide="ignore"):
        size = (weight * is_answered) @ x + weight[~is_answered].sum()
        least = np.where(x.any(axis=0), (weight * is_answered) @ y / size, np.nan)
        return least, least + weight[~is_answered].sum() / size


def _slices(lake: Lake, name: str, of: Judged, by: str) -> tuple[list[str], np.ndarray]:
    """Names of the slices and the slice of every mask of the sample (n,)."""
    drawn = f"(SELECT run_id, mask_id FROM samples WHERE sample = {quote(name)})"
    drawn = f"(SELECT masks.* FROM masks SEMI JOIN {drawn} AS drawn USING (run_id, mask_id))"
    sql = frame.STRATA.get(by, by)
    conditions.create_view(lake.con, _VIEW, [sql], drawn)
    conditions.check_expression(lake.con, "--by", sql, _VIEW)
    found = lake.query(f"SELECT mask_id, ({sql}\n) AS slice FROM {_VIEW} ORDER BY mask_id")
    texts = pa.array(
        dict(
            zip(found["mask_id"].to_pylist(), found["slice"].cast(pa.string()).to_pylist(), strict=True)
        ).get(i)
        for i in of.mask_id.tolist()
    )
    return _named(texts)


def _named(texts: pa.Array) -> tuple[list[str], np.ndarray]:
    filled = texts.cast(pa.string()).fill_null("unknown")
    names, numbers = np.unique(np.array(filled.to_pylist(), dtype=object).astype(str), return_inverse=True)
    return names.tolist(), numbers


def _scores(lake: Lake, of: Judged, score: str, by: str | None) -> _Scores:
    """The score of the sample's masks and its means over the frame: the masks of then, with the scores of
    now.
    """
    told = of.told
    with Lake.open(lake.root, at=told["snapshot_id"]) as past:
        found = frame.read(past, Scope(told["frame_run_id"], told["frame_where"]))
    lake.con.register("frame_ids", pa.table({"mask_id": found.mask_id}))
    sql = quote(ALL) if by is None else frame.STRATA.get(by, by)
    then = "(SELECT masks.* FROM masks SEMI JOIN frame_ids USING (mask_id))"
    conditions.create_view(lake.con, _VIEW, [score, sql], then)
    conditions.check_expression(lake.con, "--score", score, _VIEW)
    columns = f"({score}\n)::DOUBLE AS score, coalesce(({sql}\n)::VARCHAR, 'unknown') AS slice"
    known = lake.query(f"SELECT mask_id, {columns} FROM {_VIEW} ORDER BY mask_id")
    lake.con.unregister("frame_ids")
    if known["score"].null_count:
        raise InputError(
            f"--score {score}: {known['score'].null_count:,} of {known.num_rows:,} masks of the frame have none; give those a "
            "value with coalesce(…, 0.5)"
        )
    values = known["score"].to_numpy()
    means = pa.TableGroupBy(known, "slice").aggregate([("score", "mean")]).to_pylist()
    places = np.searchsorted(known["mask_id"].to_numpy(), of.mask_id)
    return _Scores(values[places], {row["slice"]: row["score_mean"] for row in means})


def _told(of: Judged, answers: Answers, score: str | None) -> str:
    """How the sample was drawn, of what, how much is judged, and what the interval takes as the unit."""
    n, n_judged = len(of.mask_id), int(of.is_settled.sum())
    where = "masks" if of.told["frame_where"] is None else f"masks of which {of.told['frame_where']}"
    run = of.told["frame_run_id"]
    parts = [
        f"{_DESIGNS[of.drawn.design]}; {n:,} of {answers.n_frame:,} {where}"
        + (f" of run {run}" if run is not None else "")
        + f", version {of.told['snapshot_id']}"
    ]
    if n_judged < n:
        parts.append(f"{n_judged:,} of {n:,} judged, taken as a random part of the order")
    if answers.covered_share < 1:
        parts.append(
            f"only {100 * answers.covered_share:.0f} % of the frame is spoken for: small masks are judged last"
            if n_judged
            else "no verdict yet"
        )
    unit = {"pps": "single draw", "two_stage": "image"}.get(of.drawn.design, "mask")
    parts.append(
        f"95 % interval of this frame with the {unit} as the unit, for images like these with the image as cluster"
    )
    if score is not None:
        parts.append(f"with {score} of all masks")
    return "; ".join(parts)


def _rows(of: Sample, part: Part) -> list[dict]:
    found = part.estimates
    names = (
        "estimate",
        "low",
        "high",
        "images_low",
        "images_high",
        "effective_n",
        "design_effect",
        "error",
        "gain",
    )
    return [
        {
            "sample": of.name,
            "slice": part.slice,
            "figure": figure.name,
            **{name: _known(getattr(found, name)[k]) for name in names},
            "n_masks": int(found.n_masks[k]),
            "n_images": int(found.n_images[k]),
            "bootstrap_error": _known(part.bootstrap_error[k]),
            "if_unanswered_none": _known(part.if_unanswered_none[k]),
            "if_unanswered_all": _known(part.if_unanswered_all[k]),
            **part.counts,
            "design": of.design,
        }
        for k, figure in enumerate(part.figures)
    ]


def _known(value: float) -> float | None:
    """None for NaN: a table says null for what is not known."""
    return None if np.isnan(value) else float(value)
