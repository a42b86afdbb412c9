"""How an estimate settled while verdicts came in: the same figure from the first verdicts of a sample, then from more."""

from dataclasses import dataclass

import numpy as np

from curation.errors import InputError
from curation.lake import Lake
from curation.sampling import estimators, judged, response

#: Fewer verdicts give bounds that span nearly everything.
LEAST = 10

_ORDER = """
    SELECT mask_id FROM settled_verdicts WHERE sample = $sample ORDER BY committed_at, mask_id
"""


@dataclass(frozen=True)
class Point:
    """An estimate and its 95 % bounds, all 0..1, from the first `n_judged` settled masks."""

    n_judged: int
    estimate: float
    low: float
    high: float


def course(lake: Lake, name: str, figure: str = "accept", n_points: int = 40) -> list[Point]:
    """Up to `n_points` estimates of one figure of a sample, the last from all verdicts.

    Masks count in the order in which their verdicts were settled. Fewer than LEAST settled masks give no points.
    Each interval holds for its own number of verdicts; who looks often and stops where it pleases needs a wider one.
    Raises InputError for no such sample or figure, and for a sample drawn on purpose.
    """
    wanted = tuple(f for f in judged.figures() if f.name == figure)
    if not wanted:
        raise InputError(f"figure {figure!r}; allowed: {', '.join(f.name for f in judged.figures())}")
    of = judged.read(lake, name)
    turn = {
        mask_id: k for k, mask_id in enumerate(lake.query(_ORDER, {"sample": name})["mask_id"].to_pylist())
    }
    settled = np.flatnonzero(of.is_settled)
    settled = settled[np.argsort([turn[i] for i in of.mask_id[settled].tolist()], kind="stable")]
    if len(settled) < LEAST:
        response.answers(of.drawn, of.is_settled)  # refuses a sample that was drawn on purpose
        return []
    counts = np.unique(np.linspace(LEAST, len(settled), n_points).round().astype(int))
    points = [_point(of, settled[:n], wanted) for n in counts]
    return [point for point in points if not np.isnan([point.estimate, point.low, point.high]).any()]


def _point(of: judged.Judged, settled: np.ndarray, wanted: tuple[judged.Figure, ...]) -> Point:
    has_answer = np.zeros(len(of.mask_id), bool)
    has_answer[settled] = True
    answers = response.answers(of.drawn, has_answer)
    y, x = judged.values(of, answers.place, answers.weight, wanted)
    found = estimators.estimate(answers, y, x, None, False)
    return Point(len(settled), *(float(getattr(found, bound)[0]) for bound in ("estimate", "low", "high")))
