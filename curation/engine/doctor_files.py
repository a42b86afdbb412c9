"""Files that a workspace needs: data files of its tables, images, trained models, folders of releases."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.fs as pafs

from curation.engine.doctor_finding import Finding
from curation.errors import CurationError
from curation.formats import buckets, tars
from curation.generation.models import locate
from curation.lake import Lake
from curation.schemas import TABLES
from curation.storage import s3_filesystem

BATCH_ROWS = 50_000
#: An image that was read has its hash; of one that came as a record alone there never was a file.
_IMAGES_SQL = "SELECT uri, max(size_bytes) AS size_bytes FROM images WHERE sha256 IS NOT NULL GROUP BY uri"


def data_files(lake: Lake, advance: Callable[[int], None]) -> Iterator[Finding]:
    """Every file that the newest version reads, by name and size, without reading it."""
    for table in TABLES:
        rows = lake.con.execute(
            "SELECT data_file, data_file_size_bytes, delete_file, delete_file_size_bytes "
            "FROM ducklake_list_files('lake', ?)",
            [table],
        ).fetchall()
        wanted = {path: size for row in rows for path, size in (row[:2], row[2:]) if path is not None}
        there = _sizes(list(wanted))
        wrong = sorted(path for path, size in wanted.items() if there.get(path) != size)
        if wrong:
            size = there.get(wrong[0])
            came = "is missing" if size is None else f"has {size:,} bytes instead of {wanted[wrong[0]]:,}"
            yield Finding(
                "file",
                table,
                len(wrong),
                f"data files are missing or cut, such as {wrong[0]}, which {came}",
                remedy="put them back from a backup (`curation restore`), or go back to a version that does not need them",
            )
        advance(1)


def _sizes(paths: list[str]) -> dict[str, int]:
    """Sizes in bytes of those of the files that are there."""
    if paths and paths[0].startswith(buckets.SCHEME):
        infos = s3_filesystem().get_file_info([path.removeprefix(buckets.SCHEME) for path in paths])
        return {
            f"{buckets.SCHEME}{info.path}": info.size for info in infos if info.type == pafs.FileType.File
        }
    return {path: os.path.getsize(path) for path in paths if os.path.isfile(path)}


def n_images(lake: Lake) -> int:
    return lake.con.execute("SELECT count(DISTINCT uri) FROM images WHERE sha256 IS NOT NULL").fetchone()[0]


@dataclass
class _Missing:
    """Image files that are not as they were when they were read."""

    n_missing: int = 0
    n_changed: int = 0
    missing: str = ""
    changed: str = ""

    def add(self, uri: str, was_bytes: int | None, is_bytes: int | None) -> None:
        if is_bytes is None:
            self.n_missing += 1
            self.missing = self.missing or uri
        elif was_bytes is not None and was_bytes != is_bytes:
            self.n_changed += 1
            self.changed = self.changed or uri


def image_files(lake: Lake, advance: Callable[[int], None]) -> Iterator[Finding]:
    """Every image by name and size; a member of a tar is there where its tar is."""
    found = _Missing()
    tars_there: dict[str, bool] = {}
    for batch in lake.con.execute(_IMAGES_SQL).to_arrow_reader(BATCH_ROWS):
        for row in batch.to_pylist():
            in_tar = tars.split_uri(row["uri"])
            if in_tar and not os.path.exists(row["uri"]):
                is_there = tars_there.setdefault(in_tar[0], os.path.isfile(in_tar[0]))
                found.add(row["uri"], None, 0 if is_there else None)
            else:
                found.add(row["uri"], row["size_bytes"], _size(row["uri"]))
        advance(batch.num_rows)
    remedy = (
        "put them back where they were (`curation workspace` tells what can move); masks and reports stay whole, but "
        "nobody can look at them, and appearance and embeddings cannot be computed"
    )
    if found.n_missing:
        yield Finding(
            "image", "images", found.n_missing, f"its file is missing, such as {found.missing}", remedy
        )
    if found.n_changed:
        words = f"its file has another size than when it was read, such as {found.changed}"
        yield Finding("image", "images", found.n_changed, words, "put the picture back that the masks lie on")


def _size(uri: str) -> int | None:
    if buckets.is_bucket_uri(uri):
        return buckets.size_bytes(uri)
    return os.path.getsize(uri) if os.path.isfile(uri) else None


def models_and_releases(lake: Lake, advance: Callable[[int], None]) -> Iterator[Finding]:
    """Weights of trained models by their hash; of releases that their folder is there (`verify-release` proves the rest)."""
    rows = lake.con.execute("SELECT model, path, weights_sha256 FROM trained_models").fetchall()
    for model, path, sha256 in rows:
        try:
            came = locate(str(lake.root / path)).sha256
        except CurationError as error:
            came = str(error)
        if came != sha256:
            yield Finding(
                "model",
                "trained_models",
                1,
                f"{model}: its weights in {lake.root / path} are not those that were trained ({came[:80]})",
                remedy="put them back from a backup, or train it again under another name",
            )
    advance(1)
    for release, folder in lake.con.execute("SELECT release, folder FROM releases").fetchall():
        path = Path(lake.root / folder)
        if not path.is_dir():
            yield Finding(
                "release",
                "releases",
                1,
                f"{release}: its folder {path} is not there",
                remedy="put it back, or give its place to `curation verify-release --folder`",
                is_problem=False,
            )
    advance(1)
