"""Every default of the core once, with its unit and its reason, and the places where files lie."""

import os
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parent


def files(name: str) -> Path:
    """The folder `queries` or `data_schemas`: inside the wheel, or at the top of a checkout."""
    packed = PACKAGE / "_files" / name
    return packed if packed.is_dir() else PACKAGE.parent / name


def cache_dir() -> Path:
    """Where model weights are kept: CURATION_CACHE, else ~/.cache/curation."""
    return Path(os.environ.get("CURATION_CACHE") or Path.home() / ".cache" / "curation")


@dataclass(frozen=True)
class LakeSettings:
    #: How long a commit waits for other writers. A shard's commit takes about 0.1 s, so this
    #: outlasts a queue of hundreds; beyond it something hangs and a person must look.
    commit_patience_s: float = 120.0
    #: First pause between two tries; doubles up to `commit_pause_max_s`, times a random 0.5..1.
    commit_pause_s: float = 0.02
    commit_pause_max_s: float = 1.0
    #: How long SQLite itself waits for a lock before it says so; then the pauses above take over.
    sqlite_busy_ms: int = 1_000
    #: Masks a row group. Smallest files and fastest reads of the sizes tried from 1,000 to 100,000.
    row_group_rows: int = 5_000
    #: zstd level 1: higher levels save under 3 % on RLE and cost several times the time.
    compression_level: int = 1


LAKE = LakeSettings()
