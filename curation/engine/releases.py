"""Releases: a version of the lake frozen into a folder, with its report, checks and hashes."""

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import duckdb

from curation import __version__
from curation import lake as lakes
from curation.engine import checks, content_hashes, manifest, release_proof
from curation.engine.checks import Verdict
from curation.engine.manifest import Manifest
from curation.engine.steps import OnStep, untold
from curation.errors import ChecksFailedError, InputError, LakeBusyError
from curation.formats import coco_export, sa1b_export
from curation.formats.sa1b_export import ExportedRun
from curation.lake import Lake
from curation.schemas import TABLES
from curation.views import REJECTED

FORMATS: Mapping[str, Callable[..., int]] = {"sa1b": sa1b_export.export, "coco": coco_export.export}
#: Folder of releases in the workspace, and of the masks in a release.
FOLDER, MASKS = "releases", "masks"
#: Masks that are released: those that people have not rejected.
STANDING = f"mask_id NOT IN ({REJECTED})"


@dataclass(frozen=True)
class Request:
    """What `curation release` was asked. `folder` None: below the workspace; `tag` None: the newest version, tagged so."""

    name: str
    released_by: str | None = None
    folder: Path | None = None
    tag: str | None = None
    note: str | None = None
    checks: Path | None = None
    even_if_failing: bool = False
    format: str = "sa1b"


@dataclass(frozen=True)
class Draft:
    """A release while it is made, as its documents need it; they write into `folder`.

    `verdicts` is None where no checks were asked for.
    """

    request: Request
    folder: Path
    tag: str
    version: int
    exported: tuple[ExportedRun, ...]
    n_masks: int
    verdicts: list[Verdict] | None

    @property
    def n_images(self) -> int:
        return sum(run.n_images for run in self.exported)

    @property
    def has_passed(self) -> bool | None:
        return None if self.verdicts is None else all(v.verdict == checks.PASSED for v in self.verdicts)


#: Writes one document of the release; the lake is open at the version that is released.
Document = Callable[[Lake, Draft], None]


@dataclass(frozen=True)
class Released:
    """What was made. `is_recovered`: the files were there whole from a call that was stopped in its last step."""

    release: str
    folder: Path
    version: int
    n_images: int
    n_masks: int
    n_files: int
    n_bytes: int
    manifest_sha256: str
    checks_passed: bool | None
    is_recovered: bool


def make(
    lake: Lake, request: Request, documents: Mapping[str, Document], on_step: OnStep = untold
) -> Released:
    """Freeze a version of the lake as a release: a folder that is there whole or not at all, a tag, and a row.

    Exported are, for each image, the masks of the newest finished run that read it but those that people have
    rejected. Raises InputError where name, tag or folder are taken or the format is unknown; ChecksFailedError, with
    nothing left behind, where a check is not passed and `even_if_failing` does not allow it; LakeBusyError while
    another process makes the same release. `documents` are written by name when the masks are.
    """
    if request.format not in FORMATS:
        raise InputError(f"--format {request.format}: allowed are {', '.join(FORMATS)}")
    asked = None if request.checks is None else checks.read(request.checks)
    version = _version(lake, request)
    folder = request.folder or lake.root / FOLDER / request.name
    if folder.exists() and any(folder.iterdir()):
        return _recover(lake, request, folder)
    with _unfinished(folder) as unfinished, Lake.open(lake.root, at=version) as frozen:
        verdicts = None
        if asked is not None:
            with on_step("checks", None):
                verdicts = _gate(frozen, request, asked, unfinished)
        draft = _exported(frozen, request, unfinished, version, verdicts, on_step)
        for name, write_document in documents.items():
            with on_step(name, None):
                write_document(frozen, draft)
        made = _manifest(frozen, draft, on_step)
        sha256 = manifest.write(unfinished, made)
        _record(lake, request, made, sha256, unfinished, folder)
    return _told(folder, made, sha256, is_recovered=False)


# ---------------------------------------------------------------------------------------------- making


def _version(lake: Lake, request: Request) -> int:
    """The version to release. Raises InputError where name or tag cannot be had."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", request.name):
        raise InputError(
            f"release {request.name!r}: start with a letter, then letters, digits, '.', '_' or '-'"
        )
    _refuse_released(lake.con, request.name)
    tags = {tag["name"]: tag["snapshot_id"] for tag in lake.tags().to_pylist()}
    if request.tag is not None:
        if request.tag not in tags:
            raise InputError(
                f"--tag {request.tag}: there is no such tag; there are: {', '.join(tags) or 'none'}"
            )
        return tags[request.tag]
    if request.name in tags:
        raise InputError(
            f"tag {request.name!r} already names version {tags[request.name]}: choose another name, or release that "
            f"version with --tag {request.name}"
        )
    return lake.version()


def _refuse_released(con: duckdb.DuckDBPyConnection, name: str) -> None:
    taken = con.execute(
        "SELECT snapshot_id, folder, released_at FROM releases WHERE release = ?", [name]
    ).fetchone()
    if taken:
        raise InputError(
            f"release {name!r} was made on {taken[2]:%Y-%m-%d %H:%M} UTC of version {taken[0]} in {taken[1]}, and a release "
            f"never changes: choose another name; `curation verify-release {name}` proves that one"
        )


@contextmanager
def _unfinished(folder: Path) -> Iterator[Path]:
    """An empty hidden folder beside `folder`, held by this process alone, and removed if it is still there at the end.

    What a killed process left there is removed by the next one; the kernel frees the lock of a dead process.
    """
    path = folder.with_name(f".{folder.name}.unfinished")
    path.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise LakeBusyError(f"{folder}: another process makes this release right now: wait for it") from error
    try:
        for entry in path.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        yield path
    finally:
        os.close(handle)
        shutil.rmtree(path, ignore_errors=True)


def _gate(frozen: Lake, request: Request, asked: list[checks.Check], folder: Path) -> list[Verdict]:
    """Judge the checks and keep what they were and what came out."""
    verdicts = checks.judge(frozen, asked)
    failing = [v for v in verdicts if v.verdict != checks.PASSED]
    if failing and not request.even_if_failing:
        told = "\n".join(
            f"  {v.check}; {v.subject}: {v.verdict}{f' ({v.reason})' if v.reason else ''}" for v in failing
        )
        raise ChecksFailedError(
            f"release {request.name}: {len(failing)} of {len(verdicts)} checks are not passed, nothing was made:\n{told}\n"
            "Mend the data, or say --even-if-failing, which the release then records"
        )
    shutil.copyfile(request.checks, folder / "checks.toml")
    (folder / "checks.json").write_text(checks.to_json(verdicts))
    (folder / "checks.xml").write_text(checks.to_junit(verdicts))
    return verdicts


def _exported(
    frozen: Lake,
    request: Request,
    folder: Path,
    version: int,
    verdicts: list[Verdict] | None,
    on_step: OnStep,
) -> Draft:
    """Write the masks, a folder a run."""
    exported = tuple(replace(run, where=STANDING) for run in sa1b_export.newest_runs(frozen))
    n_masks = 0
    with on_step("masks", sum(run.n_images for run in exported)) as on_image:
        for run in exported:
            n_masks += FORMATS[request.format](frozen, run, folder / MASKS / f"run_{run.run_id}", on_image)
    return Draft(request, folder, request.tag or request.name, version, exported, n_masks, verdicts)


def _manifest(frozen: Lake, draft: Draft, on_step: OnStep) -> Manifest:
    request = draft.request
    head = {
        "release": request.name,
        "tag": draft.tag,
        "snapshot_id": draft.version,
        "format": request.format,
        "runs": [run.run_id for run in draft.exported],
        "n_images": draft.n_images,
        "n_masks": draft.n_masks,
        "checks_passed": draft.has_passed,
        "even_if_failing": request.even_if_failing,
        "note": request.note,
        "released_by": request.released_by,
        "released_at": datetime.now(timezone.utc).isoformat(),
        "curation_version": __version__,
    }
    with on_step("hashes of files", len(manifest.files_of(draft.folder))) as on_file:
        files = tuple(manifest.hash_files(draft.folder, on_file))
    tables = []
    with on_step("hashes of tables", len(TABLES)) as on_table, content_hashes.bounded_memory(frozen):
        for table in TABLES:
            tables.append(content_hashes.of_table(frozen, table))
            on_table()
    return Manifest(head, files, tuple(tables))


def _record(
    lake: Lake, request: Request, made: Manifest, sha256: str, unfinished: Path, folder: Path
) -> None:
    """Tag, row and the folder's place, in one commit: whoever sees the row sees the whole folder."""
    head = made.head
    inside = folder.absolute().is_relative_to(lake.root)
    row = {
        **{name: head[name] for name in ("release", "tag", "snapshot_id", "format", "n_images", "n_masks")},
        **{name: head[name] for name in ("checks_passed", "note", "released_by")},
        "folder": str(folder.absolute().relative_to(lake.root) if inside else folder.absolute()),
        "manifest_sha256": sha256,
        "released_at": datetime.fromisoformat(head["released_at"]),
    }

    def work(con: duckdb.DuckDBPyConnection) -> None:
        _refuse_released(con, request.name)
        if head["tag"] == request.name and request.tag is None:
            lakes.tag_within(con, request.name, head["snapshot_id"], request.note)
        lakes.insert(con, {"releases": TABLES["releases"].table([row])})
        if unfinished.exists():  # a commit that is tried again has moved it before
            os.rename(unfinished, folder)

    lake.commit(work, f"release {request.name}")


def _recover(lake: Lake, request: Request, folder: Path) -> Released:
    """End a release that was stopped between the folder's move and the commit: all it lacks is its row.

    Raises InputError where the folder is anything else.
    """
    try:
        held = manifest.read(folder)
    except InputError:
        held = None
    if held is None or held.head.get("release") != request.name:
        raise InputError(f"{folder} is there already, and is not this release: name another with --out")
    found = release_proof.differences(lake, folder, held, held.head["snapshot_id"], untold)
    if found:
        raise InputError(
            f"{folder} holds files of a release {request.name!r} that this lake does not know, and {len(found)} of its files "
            f"or tables differ ({found[0].what} {found[0].name}: {found[0].change}): name another folder with --out"
        )
    sha256 = manifest.hash_file(folder / manifest.FILE_NAME)
    _record(lake, request, held, sha256, folder.with_name(f".{folder.name}.unfinished"), folder)
    return _told(folder, held, sha256, is_recovered=True)


def _told(folder: Path, made: Manifest, sha256: str, is_recovered: bool) -> Released:
    head = made.head
    n_bytes = sum(file.n_bytes for file in made.files)
    counts = (head["n_images"], head["n_masks"], len(made.files), n_bytes)
    return Released(
        head["release"], folder, head["snapshot_id"], *counts, sha256, head["checks_passed"], is_recovered
    )


# ------------------------------------------------------------------------------------------- verifying
