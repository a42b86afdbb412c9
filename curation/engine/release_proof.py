"""The proof that a release is as it was made: its files and its tables, held against the hashes of its manifest."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from curation.engine import content_hashes, manifest
from curation.engine.content_hashes import TableHash
from curation.engine.manifest import FileHash, Manifest
from curation.engine.steps import OnStep, untold
from curation.errors import InputError, LakeError
from curation.lake import Lake


@dataclass(frozen=True)
class Difference:
    """Something that is not as it was released. `what` is file, table, version or manifest."""

    what: str
    name: str
    change: str


def verify(
    lake: Lake, name: str, folder: Path | None = None, on_step: OnStep = untold
) -> tuple[str, list[Difference]]:
    """SHA-256 of the release's manifest as the lake has it, and all that is not as it was released; none is the proof.

    Compared are the manifest with the lake's row, every file with the manifest, and every table of the version with its
    hash. Raises InputError where there is no such release, or no manifest in its folder.
    """
    row = _row(lake, name)
    if row is None:
        there = [r for (r,) in lake.con.execute("SELECT release FROM releases ORDER BY 1").fetchall()]
        raise InputError(
            f"{lake.root} has no release {name!r}; there are: {', '.join(there) or 'none, `curation release` makes one'}"
        )
    folder = folder or lake.root / row["folder"]
    held = manifest.read(folder)
    found = []
    sha256 = manifest.hash_file(folder / manifest.FILE_NAME)
    if sha256 != row["manifest_sha256"]:
        change = f"its SHA-256 is {sha256}, the lake has {row['manifest_sha256']}"
        found.append(Difference("manifest", manifest.FILE_NAME, change))
    found += differences(lake, folder, held, row["snapshot_id"], on_step)
    return row["manifest_sha256"], found


def _row(lake: Lake, name: str) -> dict[str, Any] | None:
    rows = lake.query("FROM releases WHERE release = ?", [name]).to_pylist()
    return rows[0] if rows else None


def differences(lake: Lake, folder: Path, held: Manifest, version: int, on_step: OnStep) -> list[Difference]:
    """What differs in the files of a folder from its manifest, and in the tables of a version of the lake."""
    with on_step("files", len(held.files)) as on_file:
        found = list(_differing_files(folder, held.files, on_file))
    with on_step("tables", len(held.tables)) as on_table:
        found += _differing_tables(lake, version, held.tables, on_table)
    return found


def _differing_files(
    folder: Path, files: tuple[FileHash, ...], on_item: Callable[[], None]
) -> Iterator[Difference]:
    there = {path.relative_to(folder).as_posix() for path in manifest.files_of(folder)}
    for file in files:
        if file.path not in there:
            yield Difference("file", file.path, "missing")
            continue
        n_bytes = (folder / file.path).stat().st_size
        if n_bytes != file.n_bytes:
            yield Difference("file", file.path, f"changed: {n_bytes:,} bytes instead of {file.n_bytes:,}")
        elif manifest.hash_file(folder / file.path) != file.sha256:
            yield Difference("file", file.path, "changed: other content of the same length")
        on_item()
    for path in sorted(there - {file.path for file in files}):
        yield Difference("file", path, "additional: the manifest does not name it")


def _differing_tables(
    lake: Lake, version: int, tables: tuple[TableHash, ...], on_item: Callable[[], None]
) -> Iterator[Difference]:
    try:
        frozen = Lake.open(lake.root, at=version)
    except LakeError as error:
        yield Difference("version", str(version), f"it cannot be opened: {error}")
        return
    with frozen, content_hashes.bounded_memory(frozen):
        for table in tables:
            yield from _differing_table(frozen, table)
            on_item()


def _differing_table(frozen: Lake, released: TableHash) -> Iterator[Difference]:
    try:
        now = content_hashes.of_table(frozen, released.table, released.columns)
    except (duckdb.Error, KeyError) as error:
        yield Difference("table", released.table, f"it cannot be read: {error}")
        return
    if now.n_rows != released.n_rows:
        yield Difference(
            "table", released.table, f"changed: {now.n_rows:,} rows instead of {released.n_rows:,}"
        )
    elif now.sha256 != released.sha256:
        yield Difference("table", released.table, "changed: other content in as many rows")
