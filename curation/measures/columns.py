"""NumPy arrays as Arrow columns with nulls."""

import numpy as np
import pyarrow as pa


def known(values: np.ndarray) -> pa.Array:
    """Values float (N,) with null for NaN."""
    return pa.array(values, mask=np.isnan(values))


def lists(values: np.ndarray, is_null: np.ndarray | None = None) -> pa.Array:
    """Rows of (N, k) as lists, null where `is_null`, bool (N,)."""
    n_rows, length = values.shape
    offsets = np.arange(0, n_rows * length + 1, length, dtype=np.int32)
    mask = None if is_null is None else pa.array(is_null)
    return pa.ListArray.from_arrays(offsets, pa.array(np.ascontiguousarray(values).reshape(-1)), mask=mask)


def spread(values: np.ndarray, has_value: np.ndarray) -> pa.Array:
    """Values (K,) in the K rows where `has_value`, bool (N,), and null in the others."""
    whole = np.zeros(len(has_value), values.dtype)
    whole[has_value] = values
    return pa.array(whole, mask=~has_value)
