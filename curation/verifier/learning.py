"""Fitting a verifier to what people and gold say, and keeping it with its held-out scores."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from curation.errors import InputError
from curation.lake import Lake
from curation.sampling import frame
from curation.sampling.frame import Scope
from curation.verifier import crossfit, features, methods, stored
from curation.verifier.features import Features

#: What is read of each labelled mask besides its features, as one value: a check of each expression takes as long.
_LABELS = {"label": ("label", "{'is_bad': is_bad, 'source': label_source, 'cycle': cycle}")}


@dataclass(frozen=True)
class Request:
    """What a verifier is asked to learn from, and how."""

    name: str
    scope: Scope
    method: str = methods.GRADIENT_BOOSTING
    seed: int = 0
    fitted_by: str | None = None


@dataclass(frozen=True)
class Labelled:
    """N labelled masks, sorted by id; arrays (N,). `source` is verdict or gold."""

    run_id: np.ndarray
    mask_id: np.ndarray
    image_id: np.ndarray
    cycle: np.ndarray
    is_good: np.ndarray
    source: np.ndarray


@dataclass(frozen=True)
class Learned:
    """What a fit had to learn from. `missing`: share of masks without each group of columns, 0..1."""

    n_masks: int
    n_images: int
    n_bad: int
    n_of_source: dict[str, int]
    missing: dict[str, float]


def fit(lake: Lake, request: Request, on_fit: Callable[[], None] = lambda: None) -> Learned:
    """Fit a verifier, and write it with the held-out scores of all masks that it learned from.

    Labels are `is_bad` of `conditions.create_view`. Raises InputError for a name that is taken, for a method that is not
    there, and where labels are too few.
    """
    stored.check_name(lake, request.name)
    method = methods.get(request.method)
    version = lake.version()
    found = labelled(lake, request.scope)
    crossfit.check(found.is_good, found.image_id)
    seen = features.read(lake, found.run_id, found.mask_id)
    model = crossfit.fit(method, seen, found.is_good, found.image_id, request.seed, on_fit)
    scores = model.score(seen, found.image_id)
    rows = stored.score_rows(request.name, found.run_id, found.mask_id, found.image_id, scores)
    learned = _learned(found, seen)
    row = {
        **_row(request, method, model, learned),
        "columns": seen.known,
        "snapshot_id": version,
        "cycle": int(found.cycle.max()),
    }
    stored.write(lake, row, stored.dump(model), rows)
    return learned


def labelled(lake: Lake, scope: Scope) -> Labelled:
    """The masks of a scope that have a label, with those that were corrected since: most of the bad ones.

    Raises InputError where none has a label, and says which runs have some.
    """
    where = "is_bad IS NOT NULL" if scope.where is None else f"({scope.where}\n) AND is_bad IS NOT NULL"
    try:
        found = frame.read(lake, Scope(scope.run_id, where), _LABELS, masks="masks")
    except InputError as error:
        of = f"run {scope.run_id}" if scope.run_id is not None else "the newest run of each image"
        that = f" of which {scope.where}" if scope.where else ""
        raise InputError(
            f"{lake.root}: no mask of {of}{that} has a label, a verdict or a match with gold. {_labels_elsewhere(lake)}"
        ) from error
    is_bad, source, cycle = (
        found.values["label"].field(name).to_numpy(zero_copy_only=False)
        for name in ("is_bad", "source", "cycle")
    )
    return Labelled(
        found.run_id, found.mask_id, found.image_id, cycle, ~is_bad.astype(bool), source.astype(str)
    )


def _labels_elsewhere(lake: Lake) -> str:
    rows = lake.query("""
        SELECT run_id, count(DISTINCT mask_id) AS n_masks
        FROM (
            SELECT run_id, mask_id FROM settled_verdicts WHERE is_accepted IS NOT NULL
            UNION ALL
            SELECT run_id, mask_id FROM gold_matches WHERE mask_id IS NOT NULL
        )
        SEMI JOIN (SELECT run_id FROM runs WHERE kind <> 'gold') AS ours USING (run_id)
        GROUP BY run_id
        ORDER BY run_id
    """).to_pylist()
    if not rows:
        return (
            "There are no labels at all: judge a sample (`curation sample draw`, `curation app`), or import gold and match "
            "it (`curation gold import`, `curation gold match`)"
        )
    return (
        "Labels are in "
        + ", ".join(f"run {row['run_id']} ({row['n_masks']:,} masks)" for row in rows)
        + ": name it with --run"
    )


def _learned(found: Labelled, seen: Features) -> Learned:
    sources, counts = np.unique(found.source, return_counts=True)
    return Learned(
        n_masks=len(found.mask_id),
        n_images=len(np.unique(found.image_id)),
        n_bad=int((~found.is_good).sum()),
        n_of_source=dict(zip(sources.tolist(), counts.tolist(), strict=True)),
        missing=seen.missing(),
    )


def _row(request: Request, method: methods.Installed, model: crossfit.Model, learned: Learned) -> dict:
    settings = {
        "method": dict(method.settings),
        "run_id": request.scope.run_id,
        "where": request.scope.where,
        "n_folds": len(model.fitted) - 1,
        "calibration": model.calibrations[-1].kind,
        "n_of_source": learned.n_of_source,
        "missing": learned.missing,
    }
    return {
        "verifier": request.name,
        "method": method.name,
        "settings": json.dumps(settings, sort_keys=True),
        "versions": json.dumps(dict(method.versions)),
        "n_masks": learned.n_masks,
        "n_images": learned.n_images,
        "n_bad": learned.n_bad,
        "seed": request.seed,
        "fitted_by": request.fitted_by,
    }
