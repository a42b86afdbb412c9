"""Runs: what determined a generation or an import, and finding it again to resume."""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

import duckdb

from curation.errors import LakeError
from curation.lake import Lake, insert
from curation.schemas import TABLES

#: Packages whose version can change a result.
PROVENANCE_PACKAGES = (
    "curation",
    "duckdb",
    "numba",
    "numpy",
    "onnxruntime",
    "pillow",
    "pyarrow",
    "segment-anything",
    "torch",
    "torchvision",
)


@dataclass(frozen=True)
class RunSpec:
    """Everything that determines a run. Two specs that are equal in it have one key and are one run.

    `source`, `n_images` and `device` are told, but do not determine it: `image_set_sha256` names the images.
    """

    kind: str
    source: str
    settings: Mapping[str, object]
    image_set_sha256: str
    n_images: int
    stage: str | None = None
    cycle: int | None = None
    model: str | None = None
    weights_sha256: str | None = None
    preset: str | None = None
    annotator: str | None = None
    is_anchored: bool | None = None
    parent_run_id: int | None = None
    device: str | None = None

    @property
    def key(self) -> str:
        """SHA-256 (hex) of what determines the run, as canonical JSON."""
        told = {"source", "device", "n_images"}
        determining = {name: value for name, value in vars(self).items() if name not in told}
        if self.parent_run_id is None:  # as before there were derived runs, so that older ones are found
            del determining["parent_run_id"]
        return hashlib.sha256(json.dumps(determining, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Run:
    run_id: int
    is_resumed: bool
    is_finished: bool
    spec: RunSpec


def start(lake: Lake, spec: RunSpec) -> Run:
    """Find the run of this spec, or number a new one. Two that ask at once get the same run."""
    return lake.commit(lambda con: start_within(con, spec), f"start {spec.kind} of {spec.source}")


def start_within(con: duckdb.DuckDBPyConnection, spec: RunSpec) -> Run:
    """`start` inside an open transaction, for work that belongs to the same commit."""
    found = con.execute("SELECT run_id, finished_at FROM runs WHERE run_key = ?", [spec.key]).fetchone()
    if found:
        return Run(found[0], is_resumed=True, is_finished=found[1] is not None, spec=spec)
    run_id = con.execute("SELECT coalesce(max(run_id), 0) + 1 FROM runs").fetchone()[0]
    insert(con, {"runs": TABLES["runs"].table([_row(run_id, spec)])})
    return Run(run_id, is_resumed=False, is_finished=False, spec=spec)


def finish(lake: Lake, run_id: int) -> None:
    """Say that every shard of the run is committed. Saying it again changes nothing."""
    lake.commit(
        lambda con: con.execute(
            """
            UPDATE runs
            SET finished_at = now(), took_s = (
                SELECT coalesce(sum(took_s), 0) FROM shards WHERE run_id = $run_id AND work = runs.kind
            )
            WHERE run_id = $run_id AND finished_at IS NULL
            """,
            {"run_id": run_id},
        ),
        f"run {run_id} finished",
    )


def latest(lake: Lake, kind: str) -> int:
    """Number of the newest run of a kind. Raises LakeError where there is none."""
    found = lake.con.execute("SELECT max(run_id) FROM runs WHERE kind = ?", [kind]).fetchone()[0]
    if found is None:
        raise LakeError(f"{lake.root} holds no run of kind {kind!r}: `curation {kind}` makes one")
    return found


def corrections_of(lake: Lake, run_id: int) -> list[int]:
    """Runs that hold corrections of a run's masks, and objects drawn on its images; none where nobody drew."""
    rows = lake.con.execute(
        "SELECT run_id FROM runs WHERE kind = 'correct' AND parent_run_id = ? ORDER BY run_id", [run_id]
    )
    return [correct_run_id for (correct_run_id,) in rows.fetchall()]


def package_versions() -> dict[str, str]:
    """Versions of Python and of every package in PROVENANCE_PACKAGES that is installed."""
    versions = {"python": platform.python_version()}
    for package in PROVENANCE_PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # an optional package that this machine lacks had no part in the run
    return versions


def _row(run_id: int, spec: RunSpec) -> dict:
    return {
        **vars(spec),
        "run_id": run_id,
        "run_key": spec.key,
        "settings": json.dumps(spec.settings, sort_keys=True),
        "versions": json.dumps(package_versions()),
        "started_at": datetime.now(timezone.utc),
    }
