"""Fitting so that every score is held out: of images that were learned from too.

Images are dealt into K folds. For each fold a model learns from the others and scores it, so the scores of all K are
held out. Calibration needs held-out scores as well, and those of a fold must not come from what that fold taught. So a
model is fitted without each *pair* of folds j, k: what it says of fold j calibrates the model that leaves out k. That is
K (K − 1) / 2 + K + 1 fits where nested cross-validation takes K² + K + 1. New images are scored by the model of all
images, calibrated by the held-out scores of all folds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from curation.errors import InputError
from curation.settings import VERIFIER
from curation.verifier import calibration, folds
from curation.verifier.calibration import Calibration
from curation.verifier.features import Features
from curation.verifier.methods import Fitted, Installed, checked


@dataclass(frozen=True)
class Model:
    """What one verifier consists of: a fitted model and its calibration for each fold, then those of all images.

    `images` sorted (M,) and `fold` (M,) tell which fold leaves an image out; `n_dims` is the length of the embeddings.
    """

    method: Installed
    names: tuple[str, ...]
    n_dims: int
    images: np.ndarray
    fold: np.ndarray
    fitted: tuple[Fitted, ...]
    calibrations: tuple[Calibration, ...]

    def score(self, features: Features, image_id: np.ndarray) -> np.ndarray:
        """Chance that each mask is good, float64 (N,), 0..1, from a model that did not learn from its image (N,)."""
        scores = np.empty(len(features))
        features = features.with_dims(self.n_dims)
        model_of_mask = self._model(image_id)
        for k in np.unique(model_of_mask).tolist():
            chosen = model_of_mask == k
            raw = _raw(self.method, self.fitted[k], features[chosen])
            scores[chosen] = self.calibrations[k](raw)
        return scores

    def _model(self, image_id: np.ndarray) -> np.ndarray:
        """Number of the model for each image: that of its fold, or the last for a new image."""
        places = np.minimum(np.searchsorted(self.images, image_id), len(self.images) - 1)
        return np.where(self.images[places] == image_id, self.fold[places], len(self.fitted) - 1)


def fit(
    method: Installed,
    features: Features,
    is_good: np.ndarray,
    image_id: np.ndarray,
    seed: int,
    on_fit: Callable[[], None] = lambda: None,
) -> Model:
    """Fit to N masks; `on_fit` is called after each of `n_fits` fits. The same arguments give the same model.

    Raises InputError, before anything is fitted, where there is too little to learn from (`check`).
    """
    check(is_good, image_id)
    n_folds = VERIFIER.n_folds
    images, fold_of_image = folds.of_images(image_id, is_good, n_folds, seed)
    fold = fold_of_image[np.searchsorted(images, image_id)]
    _check_folds(fold, is_good, n_folds)

    def without(*left_out: int) -> Fitted:
        kept = ~np.isin(fold, left_out)
        fitted = method.method.fit(features[kept], is_good[kept], image_id[kept], seed)
        on_fit()
        return fitted

    fitted = [without(k) for k in range(n_folds)]
    raw = np.empty(
        (n_folds + 1, len(features))
    )  # row k: of the other folds, by models that left out k as well
    for k in range(n_folds):
        raw[n_folds, fold == k] = _raw(method, fitted[k], features[fold == k])
    for j, k in combinations(range(n_folds), 2):
        pair = without(j, k)
        raw[k, fold == j] = _raw(method, pair, features[fold == j])
        raw[j, fold == k] = _raw(method, pair, features[fold == k])
    kind = calibration_kind(is_good)
    calibrations = []
    for k in range(n_folds + 1):
        others = fold != k
        calibrations.append(calibration.fit(raw[k, others], is_good[others], kind))
    return Model(
        method=method,
        names=features.names,
        n_dims=features.embedding.shape[1],
        images=images,
        fold=fold_of_image,
        fitted=(*fitted, without()),
        calibrations=tuple(calibrations),
    )


def n_fits() -> int:
    """How many models `fit` fits."""
    return VERIFIER.n_folds * (VERIFIER.n_folds - 1) // 2 + VERIFIER.n_folds + 1


def calibration_kind(is_good: np.ndarray) -> str:
    """Isotonic where the rarer kind of masks is frequent enough to bend a curve freely."""
    rarer = min(int(is_good.sum()), int((~is_good).sum()))
    return calibration.ISOTONIC if rarer >= VERIFIER.isotonic_from else calibration.SIGMOID


def check(is_good: np.ndarray, image_id: np.ndarray) -> None:
    """Raise InputError that says what is lacking, where masks or images of one kind are too few to learn from."""
    lacking = []
    for word, chosen in (("good", is_good), ("bad", ~is_good)):
        n_masks, n_images = int(chosen.sum()), len(np.unique(image_id[chosen]))
        if n_masks < VERIFIER.least_masks or n_images < VERIFIER.n_folds:
            lacking.append(f"{n_masks} {word} masks on {n_images} images")
    if lacking:
        raise InputError(
            f"too little to learn from: {' and '.join(lacking)}; needed are {VERIFIER.least_masks} good and as many bad "
            f"masks, each on {VERIFIER.n_folds} images or more: judge a sample (`curation sample draw`, `curation app`), or "
            "import gold and match it (`curation gold import`, `curation gold match`)"
        )


def _check_folds(fold: np.ndarray, is_good: np.ndarray, n_folds: int) -> None:
    for j, k in combinations(range(n_folds), 2):
        kept = is_good[(fold != j) & (fold != k)]
        if kept.all() or not kept.any():
            raise InputError(
                f"the images cannot be dealt into {n_folds} folds so that any {n_folds - 2} of them hold good and bad masks: "
                "they lie on too few images; judge masks of more images"
            )


def _raw(method: Installed, fitted: Fitted, features: Features) -> np.ndarray:
    return checked(method.name, fitted.score(features), len(features))
