"""The built-in method: gradient-boosted trees over all columns and the first principal components of the embedding."""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from curation.errors import LakeError
from curation.generation.devices import extra_named
from curation.settings import VERIFIER
from curation.verifier.features import Features

#: Types beyond those that skops knows to be harmless: the trees themselves, arrays of numbers.
TRUSTED = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",)
#: What is surer may not count against a mask: where labels are few, that keeps chance out.
RISING = ("predicted_iou", "stability_score")
_NEEDED_BY = "a verifier by gradient boosting"


@dataclass(frozen=True)
class Boosted:
    """A fitted HistGradientBoostingClassifier, the PCA before it (None where masks had no embedding), and the columns
    of `_table` that it looks at: those that it knew of any mask.
    """

    trees: Any
    components: Any
    columns: np.ndarray

    def score(self, features: Features) -> np.ndarray:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            return self.trees.predict_proba(_table(features, self.components)[:, self.columns])[:, 1]


@dataclass(frozen=True)
class GradientBoosting:
    """Histogram gradient boosting (scikit-learn), which takes what is not known as it is. On one thread: small tables are
    done faster so, and sums come out the same on any machine.
    """

    settings: Mapping[str, Any] = field(
        default_factory=lambda: {
            "learning_rate": VERIFIER.learning_rate,
            "max_iter": VERIFIER.n_trees,
            "max_leaf_nodes": VERIFIER.leaves,
            "min_samples_leaf": VERIFIER.least_masks_in_leaf,
            "l2_regularization": VERIFIER.l2_regularization,
            "max_features": VERIFIER.columns_share,
            "n_components": VERIFIER.embedding_components,
        }
    )

    def fit(self, features: Features, is_good: np.ndarray, image_id: np.ndarray, seed: int) -> Boosted:
        with extra_named(_NEEDED_BY, "learn"):
            from sklearn.ensemble import HistGradientBoostingClassifier
            from threadpoolctl import threadpool_limits
        settings = dict(self.settings)
        n_components = settings.pop("n_components")
        with threadpool_limits(1):
            components = _components(features, n_components, seed)
            table = _table(features, components)
            columns = np.flatnonzero(~np.isnan(table).all(axis=0))
            rising = [int(k < len(features.names) and features.names[k] in RISING) for k in columns]
            trees = HistGradientBoostingClassifier(
                **settings, monotonic_cst=rising, early_stopping=False, random_state=seed
            )
            return Boosted(trees.fit(table[:, columns], is_good), components, columns)

    def dump(self, fitted: Boosted) -> bytes:
        with extra_named(_NEEDED_BY, "learn"):
            import skops.io
        return skops.io.dumps(vars(fitted))

    def load(self, data: bytes) -> Boosted:
        """Raises LakeError for bytes that hold anything but numbers, scikit-learn's models and TRUSTED."""
        with extra_named(_NEEDED_BY, "learn"):
            import skops.io
        strange = sorted(set(skops.io.get_untrusted_types(data=data)) - set(TRUSTED))
        if strange:
            raise LakeError(
                f"the stored model holds {', '.join(strange)}, which could run code; a verifier by gradient boosting holds "
                "no such thing: it is not loaded. Fit it anew"
            )
        return Boosted(**skops.io.loads(data, trusted=list(TRUSTED)))


def versions() -> dict[str, str]:
    """Versions of the packages that determine what is learned."""
    with extra_named(_NEEDED_BY, "learn"):
        return {name: _version(name) for name in ("scikit-learn", "skops")}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package) from error


def _components(features: Features, n_components: int, seed: int) -> Any:
    from sklearn.decomposition import PCA

    known = features.embedding[_has_embedding(features)]
    most = min(n_components, *known.shape)
    if most < 1:
        return None
    return PCA(most, svd_solver="randomized", random_state=seed).fit(known.astype(np.float64))


def _table(features: Features, components: Any) -> np.ndarray:
    """Columns and components, float64 (N, F + C), NaN for what is not known."""
    if components is None:
        return features.values.astype(np.float64)
    reduced = np.full((len(features), components.n_components_), np.nan)
    has_one = _has_embedding(features)
    if has_one.any():
        reduced[has_one] = components.transform(features.embedding[has_one].astype(np.float64))
    return np.column_stack([features.values, reduced])


def _has_embedding(features: Features) -> np.ndarray:
    """Masks with an embedding, bool (N,)."""
    return ~np.isnan(features.embedding).any(axis=1) & (features.embedding.shape[1] > 0)
