"""A run's masks as SA-1B records, one JSON file an image, a page of images at a time."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from curation import conditions, ids, runs
from curation.errors import InputError, LakeError
from curation.formats import sa1b, tars
from curation.lake import Lake

#: Images asked for at once: SA-1B has about 100 masks an image, so a page weighs some 15 MB.
PAGE_IMAGES = 256

_NEWEST_IMAGES = """
    SELECT images.image_id, max(images.run_id) AS run_id
    FROM images
    INNER JOIN runs USING (run_id)
    WHERE runs.kind IN ('generate', 'import', 'retune') AND runs.finished_at IS NOT NULL
    GROUP BY images.image_id
"""


@dataclass(frozen=True)
class ExportedRun:
    """A run to export, the table that holds its masks, and how many images it has.

    `is_newest_only` leaves out images that a later finished run of masks has read too. `where`: an SQL condition on
    masks, over the columns of `conditions.create_view`; images without such a mask stay, without annotations.
    """

    run_id: int
    table: str
    n_images: int
    is_newest_only: bool = False
    where: str | None = None

    @property
    def id_column(self) -> str:
        return "gold_mask_id" if self.table == "gold_masks" else "mask_id"


def choose_run(
    lake: Lake, run_id: int | None = None, is_gold: bool = False, where: str | None = None
) -> ExportedRun:
    """The run `run_id`, or the newest finished one: of gold, or of generated or imported masks.

    Raises LakeError where there is none, or where it is of the other kind, InputError for a condition on gold.
    """
    if is_gold and where is not None:
        raise InputError("--where: gold has none of the columns that it may name; leave it out, or --gold")
    kinds = ("gold",) if is_gold else ("generate", "import")
    asked = "finished_at IS NOT NULL" if run_id is None else f"run_id = {int(run_id)}"
    found = lake.con.execute(f"SELECT run_id, kind FROM runs WHERE {asked} ORDER BY run_id DESC").fetchall()
    fitting = [number for number, kind in found if kind in kinds]
    if not fitting:
        came = "no such run is finished" if run_id is None else f"there is no run {run_id}"
        if run_id is not None and found:
            came = f"run {run_id} is of kind {found[0][1]}"
        other = "leave --gold out for masks" if is_gold else "add --gold for gold"
        raise LakeError(
            f"{lake.root}: {came}; exported is a run of kind {' or '.join(kinds)} ({other}). "
            'List them: curation sql "SELECT run_id, kind, source FROM runs"'
        )
    n_images = lake.con.execute("SELECT count(*) FROM images WHERE run_id = ?", [fitting[0]]).fetchone()[0]
    return ExportedRun(fitting[0], "gold_masks" if is_gold else "masks", n_images, where=where)


def newest_runs(lake: Lake) -> list[ExportedRun]:
    """Finished runs of masks that hold the newest masks of some image, in order, each with these images alone."""
    rows = lake.con.execute(
        f"SELECT run_id, count(*) FROM ({_NEWEST_IMAGES}) GROUP BY run_id ORDER BY run_id"
    ).fetchall()
    return [ExportedRun(run_id, "masks", n_images, is_newest_only=True) for run_id, n_images in rows]


def export(lake: Lake, run: ExportedRun, out: Path, on_image: Callable[[], None] | None = None) -> int:
    """Write one JSON an image into the folder `out`; returns how many masks were written.

    Folders below the deepest one that all pictures share are kept, so that two pictures of one name do not
    meet. A corrected mask stands in the place of the one that it corrects, objects that people drew come with the
    run's, and both have no scores. An image without masks gets a record without annotations. Files that are there already are replaced.
    """
    n_masks = 0
    for image, name, rows in images_with_masks(lake, run):
        sa1b.write_record(out / name, sa1b.to_record(image, rows))
        n_masks += len(rows)
        if on_image is not None:
            on_image()
    return n_masks


def images_with_masks(
    lake: Lake, run: ExportedRun
) -> Iterator[tuple[dict[str, Any], PurePosixPath, list[dict[str, Any]]]]:
    """Every image of a run in order: its row, the path of its record, and its current masks with their number in `id`."""
    root = _shared_folder(lake, run.run_id)
    twins = _twins(lake, run.run_id)
    sources = _sources(lake, run)
    _keep_left_out(lake, run, sources)
    for images in _pages(lake, run):
        masks = _masks(lake, run, sources, images[0]["image_number"], images[-1]["image_number"] + 1)
        for image in images:
            name = record_name(image["uri"], root, image["image_id"] if image["image_id"] in twins else None)
            yield image, name, masks.get(image["image_id"], [])


def record_name(uri: str, root: str, image_id: int | None = None) -> PurePosixPath:
    """Path of the record below the export's folder: the picture's below `root`, ending in .json.

    `image_id` goes into the name where several pictures differ in their suffix alone.
    """
    parts = [part for part in _path(uri).removeprefix(root).split("/") if part]
    inside = PurePosixPath(
        *("_" if part in (".", "..") else part for part in parts)
    )  # an S3 key may hold ".."
    return inside.with_name(f"{inside.stem}.json" if image_id is None else f"{inside.stem}.{image_id}.json")


def _pages(lake: Lake, run: ExportedRun) -> Iterator[list[dict[str, Any]]]:
    newest = f"SEMI JOIN ({_NEWEST_IMAGES}) AS newest USING (image_id, run_id)" if run.is_newest_only else ""
    last_number = -1
    while True:
        rows = lake.query(
            f"""
            FROM images {newest} WHERE run_id = $run_id AND image_number > $last_number
            ORDER BY image_number LIMIT $n_images
            """,
            {"run_id": run.run_id, "last_number": last_number, "n_images": PAGE_IMAGES},
        ).to_pylist()
        if not rows:
            return
        last_number = rows[-1]["image_number"]
        yield rows


def _sources(lake: Lake, run: ExportedRun) -> list[int]:
    """The run and those of its corrections."""
    return [run.run_id, *runs.corrections_of(lake, run.run_id)]


def _keep_left_out(lake: Lake, run: ExportedRun, sources: list[int]) -> None:
    """Masks that are not exported, in the table `left_out`: superseded or taken back, or not of the condition.

    Raises QueryError for a condition that is none.
    """
    lake.con.execute("""
        CREATE OR REPLACE TEMP TABLE left_out AS
        SELECT supersedes AS mask_id FROM current_drawn_masks WHERE supersedes IS NOT NULL
        UNION ALL
        SELECT mask_id FROM withdrawn_masks
    """)
    if run.where is None:
        return
    conditions.create_view(lake.con, "exported_masks", [run.where])
    conditions.check_condition(lake.con, "--where", run.where, "exported_masks")
    lake.con.execute(
        f"""
        INSERT INTO left_out
        SELECT mask_id FROM exported_masks
        WHERE list_contains($sources, run_id) AND ({run.where}\n) IS NOT TRUE
        """,
        {"sources": sources},
    )


def _masks(
    lake: Lake, run: ExportedRun, sources: list[int], first_image: int, stop_image: int
) -> Mapping[int, list[dict[str, Any]]]:
    """Current masks of images [first_image, stop_image), the run's before corrections, by image id."""
    found: dict[int, list[dict[str, Any]]] = {}
    for run_id in sources:
        first_id, stop_id = ids.mask_id_range(run_id, first_image, stop_image)
        rows = lake.query(
            f"""
            SELECT *, {run.id_column} AS id FROM {run.table}
            WHERE run_id = $run_id AND {run.id_column} >= $first_id AND {run.id_column} < $stop_id
                AND {run.id_column} NOT IN (SELECT mask_id FROM left_out)
            ORDER BY {run.id_column}
            """,
            {"run_id": run_id, "first_id": first_id, "stop_id": stop_id},
        ).to_pylist()
        for row in rows:
            found.setdefault(row["image_id"], []).append(row)
    return found


def _path(uri: str) -> str:
    """The URI with a tar as a folder."""
    in_tar = tars.split_uri(uri)
    return "/".join(in_tar) if in_tar else uri


def _shared_folder(lake: Lake, run_id: int) -> str:
    """The deepest folder that all pictures of the run lie in; what the first and the last URI share, all share."""
    ends = lake.con.execute("SELECT min(uri), max(uri) FROM images WHERE run_id = ?", [run_id]).fetchone()
    shared = os.path.commonprefix([_path(uri) for uri in ends if uri])  # noqa: RUF071 - cut to a folder here
    return shared.rpartition("/")[0]


def _twins(lake: Lake, run_id: int) -> set[int]:
    """Images whose records would bear one name: those that differ in their suffix alone."""
    rows = lake.con.execute(
        r"""
        SELECT unnest(list(image_id)) FROM images WHERE run_id = ?
        GROUP BY regexp_replace(uri, '\.[^./]*$', '') HAVING count(*) > 1
        """,
        [run_id],
    ).fetchall()
    return {image_id for (image_id,) in rows}
