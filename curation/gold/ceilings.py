"""How well people agree with each other: what a model that is judged by one person's masks can reach.

On images that several annotators drew, each ordered pair of them is judged as a model is judged by gold: the one's masks
against the other's. Over all images,

- **random pair**: on every image a pair by chance; the median of many draws (SAM 3, arXiv 2511.16719). Beside it the
  model against an annotator by chance.
- **leave-one-out**: each annotator in turn against whichever of the others agrees best with them on that image, the mean
  over annotators. Beside it the model against the annotator who agrees best, the same advantage with one more to choose from.
- **best-of** (oracle): on every image the pair that agrees best, figure by figure: no judge could ask for more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from curation.errors import LakeError
from curation.gold.agreement import known
from curation.gold.figures import FIGURES, Totals, totals
from curation.gold.intervals import N_REPLICATES, SEED, Estimates, estimates
from curation.lake import Lake

#: People's masks have no score, so only the recall of all of them can be compared; what is wrong has no best.
CEILING_FIGURES = tuple(
    figure for figure in FIGURES if figure.name != "error_kind" and figure.max_masks in (None, 1000)
)
N_DRAWS = 1_000
#: Fewer annotators of an image make no pair.
LEAST_ANNOTATORS = 2

ROWS = pa.schema(
    [
        ("judged", pa.string()),
        ("against", pa.string()),
        ("figure", pa.string()),
        ("iou_threshold", pa.float64()),
        ("max_masks", pa.int32()),
        ("estimate", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("design_low", pa.float64()),
        ("design_high", pa.float64()),
        ("n_images", pa.int64()),
        ("n_masks", pa.float64()),
        ("design", pa.string()),
    ]
)


@dataclass(frozen=True)
class Judgement:
    """One way to judge, over all images: who, against whom, and the figures (CEILING_FIGURES) with their intervals."""

    judged: str
    against: str
    estimates: Estimates


@dataclass(frozen=True)
class Ceilings:
    """All judgements, people's and, where there is a run, the model's, on the same `n_images`."""

    judgements: tuple[Judgement, ...]
    n_images: int
    annotators: tuple[str, ...]
    run_id: int | None

    @property
    def design(self) -> str:
        return (
            f"{self.n_images} images with {LEAST_ANNOTATORS} or more of {len(self.annotators)} annotators "
            f"({', '.join(self.annotators)}); image as cluster, {N_REPLICATES:,} draws of images, seed {SEED}"
        )


@dataclass(frozen=True)
class _Options:
    """Each image's choices: y and x float64 (n_images, n_choices, F), and which there are, bool (n_images, n_choices)."""

    y: np.ndarray
    x: np.ndarray
    is_there: np.ndarray

    def only(self, choices: Sequence[int]) -> "_Options":
        return _Options(self.y[:, choices], self.x[:, choices], self.is_there[:, choices])

    def best(self) -> tuple[np.ndarray, np.ndarray]:
        """y and x (n_images, F) of the choice with the highest ratio, figure by figure; 0 where there is none."""
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(self.is_there[:, :, None] & (self.x > 0), self.y / self.x, -1.0)
        chosen = ratio.argmax(axis=1)[:, None]
        exists = np.take_along_axis(ratio, chosen, axis=1)[:, 0] >= 0
        y, x = (np.take_along_axis(part, chosen, axis=1)[:, 0] for part in (self.y, self.x))
        return np.where(exists, y, 0), np.where(exists, x, 0)

    def mean(self) -> tuple[np.ndarray, np.ndarray]:
        """y and x (n_images, F), the mean over the choices, so that an image with more of them counts no more."""
        n = np.maximum(self.is_there.sum(axis=1), 1)[:, None]
        return tuple((part * self.is_there[:, :, None]).sum(axis=1) / n for part in (self.y, self.x))

    def median_of_draws(self) -> np.ndarray:
        """Ratios (F,): the median over N_DRAWS of the ratio when each image's choice falls by chance."""
        rng = np.random.default_rng(SEED)
        order = np.argsort(~self.is_there, axis=1, kind="stable")  # those that are there first
        n_there = self.is_there.sum(axis=1)
        images = np.flatnonzero(n_there)
        found = []
        for _ in range(N_DRAWS):
            chosen = order[images, rng.integers(n_there[images])]
            with np.errstate(invalid="ignore", divide="ignore"):
                found.append(self.y[images, chosen].sum(axis=0) / self.x[images, chosen].sum(axis=0))
        return np.median(found, axis=0)


def ceilings(lake: Lake, run_id: int | None = None) -> Ceilings:
    """People against people, and a run against people, on all images with two annotators or more.

    `run_id` None takes the newest run that is matched with gold on these images, if any. Raises LakeError where no two
    annotators' gold is matched, or the run is not.
    """
    annotators = dict(
        lake.con.execute("SELECT run_id, coalesce(annotator, '') FROM runs WHERE kind = 'gold'").fetchall()
    )
    pairs = [
        one
        for one in totals(lake, between=True)
        if annotators[one.keys["run_id"]] != annotators[one.keys["gold_run_id"]]
    ]
    if not pairs:
        raise LakeError(
            f"{lake.root}: no two annotators' gold of the same images is matched; import several annotators "
            "(`curation gold import …`), then `curation gold match --between`"
        )
    image_ids = np.unique(np.concatenate([one.image_ids for one in pairs]))
    names = [annotators[one.keys["run_id"]] for one in pairs]
    people = _options(pairs, image_ids)
    judgements = _of_people(people, names)
    model = _model(lake, run_id, image_ids)
    if model:
        judgements += _of_model(_options(model, image_ids))
    return Ceilings(
        judgements,
        len(image_ids),
        tuple(dict.fromkeys(sorted(names))),
        model[0].keys["run_id"] if model else None,
    )


def rows(found: Ceilings) -> pa.Table:
    """A row (ROWS) a judgement and figure."""
    return pa.Table.from_pylist(
        [
            {
                "judged": one.judged,
                "against": one.against,
                "figure": figure.name,
                "iou_threshold": figure.iou_threshold,
                "max_masks": figure.max_masks,
                "estimate": known(one.estimates.estimate[k]),
                "low": known(one.estimates.bootstrap_low[k]),
                "high": known(one.estimates.bootstrap_high[k]),
                "design_low": known(one.estimates.design_low[k]),
                "design_high": known(one.estimates.design_high[k]),
                "n_images": int(one.estimates.n_images[k]),
                "n_masks": float(one.estimates.n_units[k]),
                "design": found.design,
            }
            for one in found.judgements
            for k, figure in enumerate(CEILING_FIGURES)
        ],
        ROWS,
    )


def _of_people(people: _Options, names: Sequence[str]) -> tuple[Judgement, ...]:
    return (
        _by_chance("annotator", "annotator by chance", people),
        Judgement("annotator", "best of the others", estimates(*_leave_one_out(people, names))),
        Judgement("annotator", "best pair", estimates(*people.best())),
    )


def _of_model(model: _Options) -> tuple[Judgement, ...]:
    return (
        _by_chance("model", "annotator by chance", model),
        Judgement("model", "best annotator", estimates(*model.best())),
    )


def _by_chance(judged: str, against: str, options: _Options) -> Judgement:
    """The median of draws, with the interval of the mean over all choices: draws add nothing to it but noise."""
    found, median = estimates(*options.mean()), options.median_of_draws()
    return Judgement(
        judged,
        against,
        replace(
            found,
            estimate=median,
            bootstrap_low=np.minimum(found.bootstrap_low, median),
            bootstrap_high=np.maximum(found.bootstrap_high, median),
            design_low=np.minimum(found.design_low, median),
            design_high=np.maximum(found.design_high, median),
        ),
    )


def _leave_one_out(people: _Options, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """y and x (n_images, F): the mean over annotators of their best pair."""
    held_out = [[k for k, judged in enumerate(names) if judged == name] for name in dict.fromkeys(names)]
    parts = [people.only(choices) for choices in held_out]
    best = [part.best() for part in parts]
    options = _Options(
        np.stack([y for y, _ in best], axis=1),
        np.stack([x for _, x in best], axis=1),
        np.stack([part.is_there.any(axis=1) for part in parts], axis=1),
    )
    return options.mean()


def _model(lake: Lake, run_id: int | None, image_ids: np.ndarray) -> list[Totals]:
    """Totals of one run against each annotator; none where no run is matched on these images."""
    found = [one for one in totals(lake, run_id=run_id) if np.isin(one.image_ids, image_ids).any()]
    if run_id is not None and not found:
        raise LakeError(
            f"run {run_id}: it is matched on no image that several annotators drew; `curation gold match --run {run_id}`"
        )
    newest = max((one.keys["run_id"] for one in found), default=None)
    return [one for one in found if one.keys["run_id"] == newest]


def _options(parts: Sequence[Totals], image_ids: np.ndarray) -> _Options:
    shape = len(image_ids), len(parts), len(CEILING_FIGURES)
    y, x = np.zeros(shape), np.zeros(shape)
    is_there = np.zeros(shape[:2], bool)
    for k, part in enumerate(parts):
        is_asked = np.isin(part.image_ids, image_ids)
        places = np.searchsorted(image_ids, part.image_ids[is_asked])
        is_there[places, k] = True
        for f, figure in enumerate(CEILING_FIGURES):
            figure_y, figure_x = part.ratio(figure)
            y[places, k, f], x[places, k, f] = figure_y[is_asked], figure_x[is_asked]
    return _Options(y, x, is_there)
