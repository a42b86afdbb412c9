"""Masks that people correct or draw, kept as new masks that supersede the old ones.

Two people may correct one mask at once. Nobody's work is lost: the mask that is saved later supersedes the one saved
before it, so that one of them is current, and both can be compared. Who drew a mask can take it back (`withdrawals`).
"""

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import duckdb

from curation import ids, masks, runs
from curation.errors import InputError
from curation.lake import Lake, insert
from curation.masks import Runs
from curation.measures.corrections import features_of
from curation.review.verdicts import Verdict, give_within
from curation.schemas import TABLES
from curation.settings import GOLD

TOOLS = ("brush", "eraser", "polygon", "fill_hole", "drop_component", "sam")
_VERDICT_OF_DRAWN = uuid.UUID("5d1c3f0e-52a3-4c39-8a5e-1f0d7b1f6a11")


@dataclass(frozen=True)
class DrawnMask:
    """One drawn mask as a browser sends it.

    `drawn_id` is a UUID that the browser made. `segmentation` is COCO RLE of the whole image, {"size": [h, w],
    "counts": …}. `supersedes`: the mask that was shown and corrected; None for an object that the model missed, then
    `run_id` says of which run the image was shown. `task_id`: None in image mode. `reasons`, `rating` and `note` go into
    the verdict on the old mask, whose decision is `fix`.
    """

    drawn_id: str
    rater: str
    image_id: int
    run_id: int
    segmentation: Mapping
    supersedes: int | None = None
    task_id: str | None = None
    tools: Sequence[str] = ()
    n_actions: int = 0
    took_s: float = 0.0
    reasons: Sequence[str] = ()
    rating: int | None = None
    note: str | None = None

    @property
    def verdict_id(self) -> str | None:
        """The verdict that goes with a correction; None for a new object."""
        if self.supersedes is None:
            return None
        return verdict_id_of(self.drawn_id)


@dataclass(frozen=True)
class Saved:
    """What was kept. `supersedes` is not the mask that was shown where `corrected_meanwhile_by` names somebody.

    `iou` and `boundary_iou` are with the mask that it supersedes, None for a new object.
    """

    mask_id: int
    run_id: int
    supersedes: int | None
    verdict_id: str | None
    iou: float | None
    boundary_iou: float | None
    corrected_meanwhile_by: str | None = None


def verdict_id_of(drawn_id: str) -> str:
    """The id of the verdict `fix` that goes with a correction."""
    return str(uuid.uuid5(_VERDICT_OF_DRAWN, drawn_id))


def save(lake: Lake, drawn: DrawnMask, now: datetime | None = None) -> Saved:
    """Write the mask, how it was made, and the verdict `fix` on the mask that it corrects, in one commit.

    Saving the same `drawn_id` again changes nothing and answers the same. Raises InputError where the mask is
    empty, unchanged, of another size than the image, or names a mask, image, run, tool or task that does not fit;
    RleError where the segmentation is no RLE.
    """
    now = now or datetime.now(timezone.utc)
    _check(drawn)
    shape = masks.parse(drawn.segmentation)
    if not masks.areas(shape)[0]:
        raise InputError("the drawn mask is empty: reject the mask instead, or draw it")
    return lake.commit(lambda con: _save(con, drawn, shape, now), f"mask drawn by {drawn.rater}")


def _save(con: duckdb.DuckDBPyConnection, drawn: DrawnMask, shape: Runs, now: datetime) -> Saved:
    there = _row(con, "SELECT * FROM drawn_masks WHERE drawn_id = ?", [drawn.drawn_id])
    if there is not None:
        return _as_saved(con, there, drawn)
    image = _image(con, drawn)
    shown = old = None
    if drawn.supersedes is not None:
        shown = _mask(con, drawn.supersedes, drawn.image_id)
        _check_stands(con, drawn.supersedes)
        old = _newest(con, shown)
    check_fits(shape, image, shown)  # what another drew meanwhile may be the same: both have drawn it
    run_id = correct_run(con, image["run_id"])
    index = next_index(con, run_id, image["image_number"])
    mask = mask_row(run_id, index, image, shape, old)
    row = drawn_row(drawn, mask, shape, old, now)
    if drawn.task_id is not None:
        row["sample"] = _sample_of(con, drawn)
    insert(con, {name: TABLES[name].table([r]) for name, r in (("masks", mask), ("drawn_masks", row))})
    insert(con, {"mask_features": features_of([mask])})
    _give_verdict(con, drawn, now)
    return _as_saved(con, row, drawn)


def _check(drawn: DrawnMask) -> None:
    try:
        uuid.UUID(drawn.drawn_id)
    except (ValueError, AttributeError, TypeError):
        raise InputError(f"drawn_id {drawn.drawn_id!r} is no UUID") from None
    if not drawn.rater.strip():
        raise InputError("drawn mask: the rater has no name")
    unknown = [tool for tool in drawn.tools if tool not in TOOLS]
    if unknown:
        raise InputError(f"tool {unknown[0]!r}; allowed: {', '.join(TOOLS)}")
    if drawn.n_actions < 0 or not (math.isfinite(drawn.took_s) and drawn.took_s >= 0):
        raise InputError(f"n_actions {drawn.n_actions}, took_s {drawn.took_s}: both must be 0 or more")


def _image(con: duckdb.DuckDBPyConnection, drawn: DrawnMask) -> dict:
    """The image as the run that read it has it; a correct run stands for its parent."""
    found = _row(
        con,
        """
        SELECT images.*, runs.stage, runs.cycle
        FROM runs AS named
        INNER JOIN runs
            ON runs.run_id = CASE WHEN named.kind = 'correct' THEN named.parent_run_id ELSE named.run_id END
        INNER JOIN images ON images.run_id = runs.run_id
        WHERE named.run_id = ? AND images.image_id = ? AND runs.kind <> 'gold'
        """,
        [drawn.run_id, drawn.image_id],
    )
    if found is None:
        raise InputError(
            f"drawn mask: run {drawn.run_id} has no image {drawn.image_id}, or is of gold; name the run of the masks"
        )
    return found


def _mask(con: duckdb.DuckDBPyConnection, mask_id: int, image_id: int) -> dict:
    found = _row(
        con,
        "SELECT * FROM masks WHERE run_id = ? AND mask_id = ? AND image_id = ?",
        [ids.unpack_mask_id(mask_id)[0], mask_id, image_id],
    )
    if found is None:
        raise InputError(f"drawn mask: there is no mask {mask_id} on image {image_id} to correct")
    return found


def _check_stands(con: duckdb.DuckDBPyConnection, mask_id: int) -> None:
    taken_back = con.execute("SELECT rater FROM withdrawn_masks WHERE mask_id = ?", [mask_id]).fetchone()
    if taken_back is not None:
        raise InputError(f"mask {mask_id} was taken back by {taken_back[0]}: ask for the masks anew")


def _newest(con: duckdb.DuckDBPyConnection, mask: dict) -> dict:
    """The mask itself, or what it was corrected to meanwhile."""
    sql = "SELECT mask_id FROM current_drawn_masks WHERE supersedes = ?"
    while (later := con.execute(sql, [mask["mask_id"]]).fetchone()) is not None:
        mask = _mask(con, later[0], mask["image_id"])
    return mask


def check_fits(shape: Runs, image: dict, shown: dict | None) -> None:
    """Raise InputError where the shape is not of the image's size, or is the mask that was shown to be corrected."""
    if (shape.height, shape.width) != (image["height_px"], image["width_px"]):
        raise InputError(
            f"the drawn mask is {shape.width}x{shape.height} px, the image "
            f"{image['width_px']}x{image['height_px']} px: draw it at the image's full size"
        )
    if shown is not None and shown["rle_counts"] == masks.to_strings(shape)[0]:
        raise InputError(f"the drawn mask is the same as mask {shown['mask_id']}: accept that one instead")


def correct_run(con: duckdb.DuckDBPyConnection, parent_run_id: int) -> int:
    """The run that holds the corrections of a run; made with the first of them."""
    parent = _row(con, "SELECT * FROM runs WHERE run_id = ?", [parent_run_id])
    spec = runs.RunSpec(
        kind="correct",
        source=f"corrections of run {parent_run_id}",
        settings={},
        image_set_sha256=parent["image_set_sha256"],
        n_images=0,
        stage=parent["stage"],
        cycle=parent["cycle"],
        parent_run_id=parent_run_id,
    )
    run = runs.start_within(con, spec)
    if not run.is_finished:
        # There is always more to correct: it is never waited for.
        con.execute("UPDATE runs SET finished_at = started_at WHERE run_id = ?", [run.run_id])
    return run.run_id


def next_index(con: duckdb.DuckDBPyConnection, run_id: int, image_number: int) -> int:
    """The first index on an image that no mask of the correct run has."""
    first, stop = ids.mask_id_range(run_id, image_number, image_number + 1)
    newest = con.execute(
        "SELECT max(mask_id) FROM drawn_masks WHERE run_id = ? AND mask_id >= ? AND mask_id < ?",
        [run_id, first, stop],
    ).fetchone()[0]
    return 0 if newest is None else ids.unpack_mask_id(newest)[2] + 1


def mask_row(run_id: int, index: int, image: dict, shape: Runs, old: dict | None) -> dict:
    """The row of `masks` of a drawn shape: on `image`, a row of `images` with stage and cycle, in place of `old`."""
    row = {
        "run_id": run_id,
        "mask_id": ids.mask_id(run_id, image["image_number"], index),
        "image_id": image["image_id"],
        "mask_index": index,
        "stage": image["stage"],
        "cycle": image["cycle"],
        "width_px": shape.width,
        "height_px": shape.height,
        "area_px": int(masks.areas(shape)[0]),
        "bbox_xywh": masks.boxes(shape)[0].tolist(),
        "is_crowd": False,
        "supersedes": None,
        "rle_counts": masks.to_strings(shape)[0],
    }
    if old is not None:
        # What the model said of the old mask is not said of this one; what it shows is the same.
        row |= {"supersedes": old["mask_id"], "is_crowd": old["is_crowd"], "label": old["label"]}
    return row


def drawn_row(drawn: DrawnMask, mask: dict, shape: Runs, old: dict | None, now: datetime) -> dict:
    """How `mask` (a row of `mask_row`) was made; its sample is still to be named where there is one."""
    iou, boundary_iou = (None, None) if old is None else agreement(shape, old["rle_counts"])
    return {
        "mask_id": mask["mask_id"],
        "drawn_id": drawn.drawn_id,
        "run_id": mask["run_id"],
        "image_id": drawn.image_id,
        "supersedes": mask["supersedes"],
        "shown_mask_id": drawn.supersedes,
        "task_id": drawn.task_id,
        "sample": None,
        "rater": drawn.rater,
        "tools": list(dict.fromkeys(drawn.tools)),
        "n_actions": drawn.n_actions,
        "iou_with_superseded": iou,
        "boundary_iou_with_superseded": boundary_iou,
        "took_s": drawn.took_s,
        "drawn_at": now,
    }


def agreement(shape: Runs, old_counts: str) -> tuple[float, float]:
    """IoU and boundary IoU with the old mask."""
    old = masks.parse_strings([old_counts], shape.height, shape.width)
    distance_px = masks.boundary_distance_px(shape.height, shape.width, GOLD.boundary_ratio)
    edges = [masks.boundaries(one, distance_px) for one in (shape, old)]
    return float(masks.paired_iou(shape, old)[0]), float(masks.paired_iou(*edges)[0])


def _sample_of(con: duckdb.DuckDBPyConnection, drawn: DrawnMask) -> str:
    task = con.execute("SELECT sample, mask_id FROM tasks WHERE task_id = ?", [drawn.task_id]).fetchone()
    if task is None:
        raise InputError(f"task {drawn.task_id!r} is not known: ask for tasks and answer these")
    if drawn.supersedes is None:
        raise InputError(f"task {drawn.task_id} is of mask {task[1]}: a new object belongs to no task")
    return task[0]


def _give_verdict(con: duckdb.DuckDBPyConnection, drawn: DrawnMask, now: datetime) -> None:
    if drawn.supersedes is None:
        return
    verdict = Verdict(
        verdict_id=drawn.verdict_id,
        rater=drawn.rater,
        decision="fix",
        task_id=drawn.task_id,
        mask_id=drawn.supersedes,
        rating=drawn.rating,
        reasons=drawn.reasons,
        note=drawn.note,
        took_s=drawn.took_s,
    )
    refused = give_within(con, [verdict], now).refused
    if refused:
        raise InputError(next(iter(refused.values())))


def _as_saved(con: duckdb.DuckDBPyConnection, row: dict, drawn: DrawnMask) -> Saved:
    """The answer for a row of `drawn_masks`. Raises InputError where it is not this person's."""
    if row["rater"] != drawn.rater:
        raise InputError(f"drawn mask {drawn.drawn_id} is of another rater: make a new id")
    meanwhile = None
    if row["supersedes"] != row["shown_mask_id"]:
        sql = "SELECT rater FROM drawn_masks WHERE mask_id = ?"
        meanwhile = con.execute(sql, [row["supersedes"]]).fetchone()[0]
    return Saved(
        mask_id=row["mask_id"],
        run_id=row["run_id"],
        supersedes=row["supersedes"],
        verdict_id=drawn.verdict_id,
        iou=row["iou_with_superseded"],
        boundary_iou=row["boundary_iou_with_superseded"],
        corrected_meanwhile_by=meanwhile,
    )


def _row(con: duckdb.DuckDBPyConnection, sql: str, params: list) -> dict | None:
    rows = con.execute(sql, params).to_arrow_table().to_pylist()
    return rows[0] if rows else None
