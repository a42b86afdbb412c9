"""Verifiers in the lake: their rows, and their models as bytes that run no code when they are read.

A model is a zip: `verifier.json` (columns, folds, calibrations: numbers and names) and, for each fold and for all images,
what the method's own `dump` made. Gradient boosting dumps with skops and loads only types that it names.
"""

import hashlib
import io
import json
import re
import zipfile
from dataclasses import asdict
from datetime import datetime, timezone

import duckdb
import numpy as np
import pyarrow as pa

from curation import runs
from curation.errors import InputError, LakeError
from curation.lake import Lake, insert
from curation.schemas import TABLES
from curation.verifier import methods
from curation.verifier.calibration import Calibration
from curation.verifier.crossfit import Model

_HEAD = "verifier.json"
_SCORED_ROWS = TABLES["verifier_scores"]


def dump(model: Model) -> bytes:
    """The model as bytes; `load` is the inverse."""
    head = {
        "names": model.names,
        "n_dims": model.n_dims,
        "images": model.images.tolist(),
        "fold": model.fold.tolist(),
        "calibrations": [asdict(calibration) for calibration in model.calibrations],
    }
    parts = {_HEAD: json.dumps(head).encode()}
    for k, fitted in enumerate(model.fitted):
        data = model.method.method.dump(fitted)
        if not isinstance(data, bytes):
            raise InputError(
                f"method {model.method.name!r}: dump() gave {type(data).__name__}; it must give bytes"
            )
        parts[f"model-{k}"] = data
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return whole.getvalue()


def load_bytes(data: bytes, method: methods.Installed) -> Model:
    """The model from its bytes. Raises LakeError where they hold what the method does not load."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            head = json.loads(archive.read(_HEAD))
            parts = [archive.read(f"model-{k}") for k in range(len(head["calibrations"]))]
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise LakeError(
            f"the stored model is no verifier: {error}; fit it anew under another name"
        ) from error
    return Model(
        method=method,
        names=tuple(head["names"]),
        n_dims=head["n_dims"],
        images=np.array(head["images"], np.int64),
        fold=np.array(head["fold"], np.int64),
        fitted=tuple(method.method.load(part) for part in parts),
        calibrations=tuple(
            Calibration(c["kind"], tuple(c["x"]), tuple(c["y"])) for c in head["calibrations"]
        ),
    )


def images(data: bytes | None) -> np.ndarray:
    """Images, sorted (M,), that a stored model learned from, without loading what learned; none for no model."""
    if data is None:
        return np.zeros(0, np.int64)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return np.array(json.loads(archive.read(_HEAD))["images"], np.int64)


def load(lake: Lake, name: str) -> Model:
    """A verifier of the lake. Raises LakeError where there is none of this name, or its bytes are not what was written."""
    row = get(lake, name)
    data, sha256 = row["model"], row["model_sha256"]
    if data is None:
        raise LakeError(f"verifier {name!r} has no stored model: it cannot score; fit one under another name")
    if hashlib.sha256(data).hexdigest() != sha256:
        raise LakeError(
            f"verifier {name!r}: the stored model has SHA-256 {hashlib.sha256(data).hexdigest()}, written was {sha256}; it "
            "was changed since and is not loaded: restore the workspace, or fit one under another name"
        )
    return load_bytes(data, methods.get(row["method"]))


def get(lake: Lake, name: str) -> dict:
    """The row of a verifier. Raises LakeError where there is none of this name."""
    rows = lake.query("SELECT * FROM verifiers WHERE verifier = ?", [name]).to_pylist()
    if not rows:
        there = lake.query("SELECT verifier FROM verifiers ORDER BY fitted_at, verifier")[
            "verifier"
        ].to_pylist()
        raise LakeError(
            f"{lake.root} has no verifier {name!r}; there are: {', '.join(there) or 'none'}. "
            "`curation verifier fit NAME` makes one"
        )
    return rows[0]


def summaries(lake: Lake) -> pa.Table:
    """All verifiers without their models, oldest first, and how many masks each has scored."""
    return lake.query("""
        SELECT
            verifiers.* EXCLUDE (model),
            coalesce(scored.n_scored, 0) AS n_scored
        FROM verifiers
        LEFT JOIN (SELECT verifier, count(*) AS n_scored FROM verifier_scores GROUP BY verifier) AS scored
            USING (verifier)
        ORDER BY verifiers.fitted_at, verifiers.verifier
    """)


def check_name(lake: Lake, name: str) -> None:
    """Raise InputError unless a new verifier can have this name."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", name):
        raise InputError(f"verifier {name!r}: start with a letter, then letters, digits, '.', '_' or '-'")
    if lake.con.execute("SELECT 1 FROM verifiers WHERE verifier = ?", [name]).fetchone():
        raise InputError(
            f"verifier {name!r} is there already, and stays what its scores came from: choose another name"
        )


def write(lake: Lake, row: dict, model: bytes, scores: pa.Table) -> None:
    """Add a verifier and the first scores of it in one transaction. Raises InputError where its name was taken meanwhile."""
    row = {
        **row,
        "model": model,
        "model_sha256": hashlib.sha256(model).hexdigest(),
        "versions": json.dumps(runs.package_versions() | json.loads(row["versions"]), sort_keys=True),
        "fitted_at": datetime.now(timezone.utc),
    }

    def work(con: duckdb.DuckDBPyConnection) -> None:
        check_name(lake, row["verifier"])
        insert(con, {"verifiers": TABLES["verifiers"].table([row]), "verifier_scores": scores})

    lake.commit(work, f"verifier {row['verifier']} fitted")


def score_rows(
    name: str, run_id: np.ndarray, mask_id: np.ndarray, image_id: np.ndarray, scores: np.ndarray
) -> pa.Table:
    """Rows of `verifier_scores` (N,), in the order of the mask ids; none for no masks."""
    order = np.argsort(mask_id, kind="stable")
    return _SCORED_ROWS.table(
        {
            "run_id": run_id[order],
            "mask_id": mask_id[order],
            "image_id": image_id[order],
            "verifier": [name] * len(order),
            "score": scores[order].astype(np.float32),
            "is_held_out": np.ones(len(order), bool),
        }
    )
