"""What a verifier sees of a mask: scores, measures, overlaps, appearance, and the mask's embedding."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from curation.conditions import APPEARANCE_COLUMNS
from curation.ids import INDEX_BITS
from curation.lake import Lake

#: Stands for the mask's embedding where columns are named.
EMBEDDING = "embedding"

_OF_MASKS = ("predicted_iou", "stability_score", "multimask_slot")
_OF_FEATURES = (
    "image_share", "relative_size", "n_borders_touched", "touches_left", "touches_top", "touches_right",
    "touches_bottom", "n_components", "n_holes", "solidity", "elongation", "stray_share", "boundary_smoothness",
)  # fmt: skip
_OF_OVERLAPS = ("n_overlaps", "highest_iou", "highest_own_share", "highest_other_share")
_OF_LEDGER = (
    "n_suppressed", "suppressed_predicted_iou", "suppressed_area_ratio", "suppressed_area_spread",
    "best_other_slot", "larger_slot_ratio",
)  # fmt: skip
_OF_COVERAGE = ("n_masks", "covered_share", "mean_depth", "crowdedness")

#: Columns by the work that fills them: name -> SQL. What people or gold say of a mask is none of them.
GROUPS: Mapping[str, Mapping[str, str]] = {
    "scores": {
        **{name: f"masks.{name}" for name in _OF_MASKS},
        # A score means more beside those of the other masks of its image: how hard the model finds it.
        "predicted_iou_over_image": "masks.predicted_iou - of_image.predicted_iou",
        "stability_over_image": "masks.stability_score - of_image.stability_score",
    },
    # How many prompts gave the same mask, and what else the model saw at its own point.
    "ledger": {name: f"ledger.{name}" for name in _OF_LEDGER},
    "measures": {
        **{name: f"features.{name}" for name in _OF_FEATURES},
        "holes_share": "features.holes_px / nullif(features.area_px, 0)",
        "perimeter_ratio": "features.perimeter_px / nullif(sqrt(features.area_px), 0)",
        "center_x": "features.center_xy[1]",
        "center_y": "features.center_xy[2]",
    },
    "nesting": {name: f"nesting.{name}" for name in ("nesting_depth", "n_children", "n_near_duplicates")},
    "overlaps": {name: f"touching.{name}" for name in _OF_OVERLAPS},
    "coverage": {name: f"coverage.{name}" for name in _OF_COVERAGE},
    "appearance": {name: f"appearance.{name}" for name in (*APPEARANCE_COLUMNS, "sharpness_outside")},
}
COLUMNS: Mapping[str, str] = {name: sql for group in GROUPS.values() for name, sql in group.items()}

#: Overlaps are kept where images are measured: without a measure of the mask they are not known, and are not 0.
_VALUES = f"""
    WITH of_run AS (
        SELECT * FROM masks WHERE run_id = $run_id AND mask_id BETWEEN $first_id AND $last_id
    ),

    of_image AS (
        SELECT image_id, avg(predicted_iou) AS predicted_iou, avg(stability_score) AS stability_score
        FROM of_run
        GROUP BY image_id
    ),

    pairs AS (
        SELECT mask_id, other_mask_id, iou, mask_share, other_share
        FROM "overlaps"
        WHERE run_id = $run_id AND mask_id BETWEEN $first_id AND $last_id
    ),

    both_ways AS (
        SELECT mask_id, iou, mask_share AS own_share, other_share FROM pairs
        UNION ALL
        SELECT other_mask_id AS mask_id, iou, other_share AS own_share, mask_share AS other_share FROM pairs
    ),

    touched AS (
        SELECT
            mask_id,
            count(*) AS n_overlaps,
            max(iou) AS highest_iou,
            max(own_share) AS highest_own_share,
            max(other_share) AS highest_other_share
        FROM both_ways
        SEMI JOIN wanted USING (mask_id)
        GROUP BY mask_id
    ),

    measured AS (
        SELECT * FROM mask_features WHERE run_id = $run_id AND mask_id BETWEEN $first_id AND $last_id
    ),

    touching AS (
        SELECT mask_id, {", ".join(f"coalesce({name}, 0) AS {name}" for name in _OF_OVERLAPS)}
        FROM measured
        LEFT JOIN touched USING (mask_id)
    ),

    of_ledger AS (
        SELECT candidate_id, candidate_index // 3 AS point, image_id, predicted_iou, area_px, fate, duplicate_of
        FROM candidates
        WHERE run_id = $run_id AND candidate_id BETWEEN $first_id AND $last_id
    ),

    kept AS (
        SELECT candidate_id AS mask_id, point, image_id, area_px
        FROM of_ledger
        WHERE fate = 'kept'
    ),

    suppressed AS (
        SELECT
            kept.mask_id,
            count(*) AS n_suppressed,
            avg(of_ledger.predicted_iou) AS suppressed_predicted_iou,
            avg(of_ledger.area_px / kept.area_px) AS suppressed_area_ratio,
            stddev_pop(of_ledger.area_px / kept.area_px) AS suppressed_area_spread
        FROM of_ledger
        INNER JOIN kept ON kept.mask_id = of_ledger.duplicate_of
        GROUP BY kept.mask_id
    ),

    other_slots AS (
        SELECT
            kept.mask_id,
            max(of_ledger.predicted_iou) AS best_other_slot,
            min(of_ledger.area_px / kept.area_px) FILTER (WHERE of_ledger.area_px > kept.area_px) AS larger_slot_ratio
        FROM of_ledger
        INNER JOIN kept USING (image_id, point)
        WHERE of_ledger.candidate_id <> kept.mask_id
        GROUP BY kept.mask_id
    ),

    ledger AS (
        SELECT
            kept.mask_id,
            coalesce(n_suppressed, 0) AS n_suppressed,
            suppressed_predicted_iou,
            suppressed_area_ratio,
            suppressed_area_spread,
            best_other_slot,
            larger_slot_ratio
        FROM kept
        LEFT JOIN suppressed USING (mask_id)
        LEFT JOIN other_slots USING (mask_id)
    )

    SELECT masks.mask_id, {", ".join(f'CAST({sql} AS FLOAT) AS "{name}"' for name, sql in COLUMNS.items())}
    FROM of_run AS masks
    SEMI JOIN wanted USING (mask_id)
    LEFT JOIN of_image USING (image_id)
    LEFT JOIN measured AS features ON features.mask_id = masks.mask_id
    LEFT JOIN ledger ON ledger.mask_id = masks.mask_id
    LEFT JOIN touching ON touching.mask_id = masks.mask_id
    LEFT JOIN mask_nesting AS nesting
        ON nesting.mask_id = masks.mask_id AND nesting.run_id = $run_id
        AND nesting.mask_id BETWEEN $first_id AND $last_id
    LEFT JOIN mask_appearance AS appearance
        ON appearance.mask_id = masks.mask_id AND appearance.run_id = $run_id
        AND appearance.mask_id BETWEEN $first_id AND $last_id
    LEFT JOIN image_coverage AS coverage ON coverage.image_id = masks.image_id AND coverage.run_id = $run_id
    ORDER BY masks.mask_id
"""
_EMBEDDINGS = """
    SELECT mask_id, n_dims, embedding
    FROM mask_embeddings
    SEMI JOIN wanted USING (mask_id)
    WHERE run_id = $run_id AND mask_id BETWEEN $first_id AND $last_id
    ORDER BY mask_id
"""


@dataclass(frozen=True)
class Features:
    """N masks as a verifier sees them; NaN is what is not known.

    `values` float32 (N, F), columns as `names` say; `embedding` float32 (N, D), a row of NaN for a mask without one,
    and D is 0 where no mask has one.
    """

    names: tuple[str, ...]
    values: np.ndarray
    embedding: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    @property
    def known(self) -> list[str]:
        """Names of the columns that are known of any mask, and `embedding` where any has one."""
        names = [
            name
            for name, is_known in zip(self.names, ~np.isnan(self.values).all(axis=0), strict=True)
            if is_known
        ]
        return [*names, *([EMBEDDING] if self.embedding.size and not np.isnan(self.embedding).all() else [])]

    def __getitem__(self, chosen: np.ndarray) -> "Features":
        """The masks that an index or mask array chooses."""
        return Features(self.names, self.values[chosen], self.embedding[chosen])

    def column(self, name: str) -> np.ndarray:
        """One column (N,). Raises ValueError for a name that is not there."""
        return self.values[:, self.names.index(name)]

    def with_dims(self, n_dims: int) -> "Features":
        """The same with embeddings of `n_dims`: those of another length (another model's) count as not known."""
        if self.embedding.shape[1] == n_dims:
            return self
        unknown = np.full((len(self), n_dims), np.nan, np.float32)
        return Features(self.names, self.values, unknown)

    def missing(self) -> dict[str, float]:
        """Share of masks without any column of a group, 0..1, by group and for `embedding`; 0 where N is 0."""
        shares = {}
        for group, columns in GROUPS.items():
            known = ~np.isnan(self.values[:, [self.names.index(name) for name in columns]])
            shares[group] = float((~known.any(axis=1)).mean()) if len(self) else 0.0
        has_one = (
            ~np.isnan(self.embedding).any(axis=1) if self.embedding.shape[1] else np.zeros(len(self), bool)
        )
        return {**shares, EMBEDDING: float((~has_one).mean()) if len(self) else 0.0}


def read(lake: Lake, run_id: np.ndarray, mask_id: np.ndarray, n_dims: int | None = None) -> Features:
    """Features of masks by id (N,) and their runs (N,), in this order.

    `n_dims`: length of embeddings that count; without it the most frequent one. Masks that are not in the lake are
    unknown all over. Reads whole columns between the first and the last id of a run: call it with neighbours.
    """
    values = np.full((len(mask_id), len(COLUMNS)), np.nan, np.float32)
    embeddings: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for run in np.unique(run_id).tolist():
        places = np.flatnonzero(run_id == run)
        places = places[np.argsort(mask_id[places], kind="stable")]
        wanted = mask_id[places]
        rows, held = _of_run(lake, run, wanted)
        found = places[np.searchsorted(wanted, rows["mask_id"].to_numpy())]
        values[found] = np.column_stack([_numbers(rows[name]) for name in COLUMNS])
        for dims, (ids, vectors) in _by_dims(held).items():
            before = embeddings.get(dims, (np.zeros(0, np.int64), np.zeros((0, dims), np.float32)))
            at = places[np.searchsorted(wanted, ids)]
            embeddings[dims] = (np.concatenate([before[0], at]), np.concatenate([before[1], vectors]))
    return Features(tuple(COLUMNS), values, _one_length(embeddings, len(mask_id), n_dims))


def _of_run(lake: Lake, run_id: int, wanted: np.ndarray) -> tuple[pa.Table, pa.Table]:
    # Whole images: their other masks are part of what is known of each.
    first_id, last_id = int(wanted[0]) >> INDEX_BITS << INDEX_BITS, int(wanted[-1]) | (1 << INDEX_BITS) - 1
    params = {"run_id": run_id, "first_id": first_id, "last_id": last_id}
    lake.con.register("wanted", pa.table({"mask_id": wanted}))
    try:
        return lake.query(_VALUES, params), lake.query(_EMBEDDINGS, params)
    finally:
        lake.con.unregister("wanted")


def _by_dims(rows: pa.Table) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Mask ids and embeddings, float32 (n, D), by D."""
    n_dims, ids = rows["n_dims"].to_numpy(), rows["mask_id"].to_numpy()
    found = {}
    for dims in np.unique(n_dims).tolist():
        chosen = n_dims == dims
        data = b"".join(rows["embedding"].filter(pa.array(chosen)).to_pylist())
        found[dims] = (ids[chosen], np.frombuffer(data, "<f2").reshape(-1, dims).astype(np.float32))
    return found


def _one_length(
    embeddings: Mapping[int, tuple[np.ndarray, np.ndarray]], n_masks: int, n_dims: int | None
) -> np.ndarray:
    if n_dims is None:
        n_dims = max(embeddings, key=lambda dims: (len(embeddings[dims][0]), dims), default=0)
    vectors = np.full((n_masks, n_dims), np.nan, np.float32)
    if n_dims in embeddings:
        places, found = embeddings[n_dims]
        vectors[places] = found
    return vectors


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return column.fill_null(float("nan")).to_numpy()
