"""Fitting a verifier to what people and gold say, and keeping it with its held-out scores."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from curation.errors import InputError
from curation.lake import Lake
from curation.sampling import frame
from curation.sampling.frame import Frame, Scope
from curation.verifier import crossfit, features, methods, stored
from curation.verifier.features import Features

#: What is read of each labelled mask besides its features: name -> (option it would be blamed on, SQL).
_LABELS = {
    "is_bad": ("is_bad", "is_bad"),
    "label_source": ("label_source", "label_source"),
    "cycle": ("cycle", "cycle"),
}


@dataclass(frozen=True)
class Request:
    """What a verifier is asked to learn from, and how."""

    name: str
    scope: Scope
    method: str = methods.GRADIENT_BOOSTING
    seed: int = 0
    fitted_by: str | None = None


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
    labelled = _labelled(lake, request.scope)
    is_good = ~labelled.values["is_bad"].to_numpy(zero_copy_only=False).astype(bool)
    crossfit.check(is_good, labelled.image_id)
    seen = features.read(lake, labelled.run_id, labelled.mask_id)
    model = crossfit.fit(method, seen, is_good, labelled.image_id, request.seed, on_fit)
    scores = model.score(seen, labelled.image_id)
    rows = stored.score_rows(request.name, labelled.run_id, labelled.mask_id, labelled.image_id, scores)
    learned = _learned(labelled, is_good, seen)
    stored.write(
        lake, _row(request, method, model, labelled, learned, seen, version), stored.dump(model), rows
    )
    return learned


def _labelled(lake: Lake, scope: Scope) -> Frame:
    where = "is_bad IS NOT NULL" if scope.where is None else f"({scope.where}\n) AND is_bad IS NOT NULL"
    try:
        return frame.read(lake, Scope(scope.run_id, where), _LABELS)
    except InputError as error:
        of = f"run {scope.run_id}" if scope.run_id is not None else "the newest run of each image"
        that = f" of which {scope.where}" if scope.where else ""
        raise InputError(
            f"{lake.root}: no mask of {of}{that} has a label, a verdict or a match with gold. {_labels_elsewhere(lake)}"
        ) from error


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


def _learned(labelled: Frame, is_good: np.ndarray, seen: Features) -> Learned:
    sources, counts = np.unique(
        labelled.values["label_source"].to_numpy(zero_copy_only=False), return_counts=True
    )
    return Learned(
        n_masks=len(labelled),
        n_images=len(np.unique(labelled.image_id)),
        n_bad=int((~is_good).sum()),
        n_of_source=dict(zip(sources.tolist(), counts.tolist(), strict=True)),
        missing=seen.missing(),
    )


def _row(
    request: Request,
    method: methods.Installed,
    model: crossfit.Model,
    labelled: Frame,
    learned: Learned,
    seen: Features,
    version: int,
) -> dict:
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
        "columns": seen.columns,
        "settings": json.dumps(settings, sort_keys=True),
        "versions": json.dumps(dict(method.versions)),
        "n_masks": learned.n_masks,
        "n_images": learned.n_images,
        "n_bad": learned.n_bad,
        "snapshot_id": version,
        "seed": request.seed,
        "cycle": int(labelled.values["cycle"].to_numpy().max()),
        "fitted_by": request.fitted_by,
    }
