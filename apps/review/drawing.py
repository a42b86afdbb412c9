"""What the drawing pages ask, in their own terms: JSON in, calls of the engine, JSON out.

Ids are strings: JavaScript's numbers end at 53 bits. No score and nobody else's verdict goes out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np

from apps.review.access import Person
from curation import ids, masks
from curation.errors import InputError
from curation.lake import Lake
from curation.masks import Runs
from curation.review import batches, drawing, image_mode, queue, rules, withdrawals
from curation.settings import REVIEW

#: Masks to mend that a page holds: the one at hand, and the next, whose picture is fetched meanwhile.
TASKS_AT_ONCE = 2

_MASKS = """
    SELECT mask_id, run_id, image_id, width_px, height_px, bbox_xywh, rle_counts, label
    FROM masks
    WHERE list_contains($runs, run_id) AND list_contains($masks, mask_id)
"""
#: Masks of one image as they are now, of a run and of its corrections.
_IMAGE_MASKS = """
    SELECT masks.mask_id, masks.area_px, masks.bbox_xywh, masks.rle_counts, masks.label, drawn.mask_id IS NOT NULL AS is_drawn
    FROM masks
    LEFT JOIN current_drawn_masks AS drawn USING (mask_id)
    WHERE
        list_contains($runs, masks.run_id)
        AND masks.image_id = $image_id
        AND masks.mask_id NOT IN (SELECT supersedes FROM current_drawn_masks WHERE supersedes IS NOT NULL)
        AND masks.mask_id NOT IN (SELECT mask_id FROM withdrawn_masks)
    ORDER BY masks.area_px DESC, masks.mask_id
"""
_TO_MEND = """
    SELECT sample, count(*) AS n_masks
    FROM settled_verdicts
    WHERE decision = 'fix' AND mask_id NOT IN (SELECT supersedes FROM current_drawn_masks WHERE supersedes IS NOT NULL)
    GROUP BY sample
    ORDER BY sample
"""
#: Images of a run with whether they are open: some mask of them was neither judged nor drawn in image mode, or there is none.
_IMAGES = """
    WITH judged AS (
        SELECT DISTINCT mask_id FROM current_verdicts WHERE purpose = 'image' AND decision <> 'skip'
        UNION
        SELECT mask_id FROM current_drawn_masks
    ),

    now_there AS (
        SELECT image_id, mask_id
        FROM masks
        WHERE
            list_contains($runs, run_id)
            AND mask_id NOT IN (SELECT supersedes FROM current_drawn_masks WHERE supersedes IS NOT NULL)
            AND mask_id NOT IN (SELECT mask_id FROM withdrawn_masks)
    ),

    counted AS (
        SELECT image_id, count(*) AS n_masks, count(judged.mask_id) AS n_judged
        FROM now_there
        LEFT JOIN judged USING (mask_id)
        GROUP BY image_id
    ),

    listed AS (
        SELECT images.image_id, coalesce(n_judged < n_masks, true) AS is_open
        FROM images
        LEFT JOIN counted USING (image_id)
        WHERE images.run_id = $run_id
    )

    SELECT
        count(*) AS n_images,
        count(*) FILTER (WHERE NOT is_open) AS n_done,
        arg_min(image_id, md5(image_id || ' ' || $rater)) FILTER (
            WHERE
                is_open
                AND NOT list_contains($seen, image_id)
                AND image_id NOT IN (
                    SELECT image_id FROM image_leases
                    WHERE run_id = $run_id AND rater <> $rater AND lease_until > $now
                )
        ) AS next_image
    FROM listed
"""


# -- one mask ------------------------------------------------------------------------------------


def samples_to_mend(lake: Lake, person: Person) -> dict[str, int]:
    """What `review.toml` puts first; else batches with the masks that wait for this person, then samples with masks that
    people want mended and nobody has mended yet. Those without any are left out.
    """
    found = dict(zip(*lake.query(_TO_MEND).to_pydict().values(), strict=True))
    waiting = batches.waiting(lake, person.rater) | {
        k: n for k, n in found.items() if k not in batches.names(lake)
    }
    urgency = rules.read(lake.root).urgency
    return {name: waiting[name] for name in sorted(waiting, key=urgency)}


def corrections(lake: Lake, person: Person, body: Mapping[str, object]) -> dict[str, object]:
    """Masks to mend: one by its number {mask}, or the next of {sample} that its raters want mended, or of a batch.

    With {starts} what the rater holds already comes first. Raises InputError for a mask that there is not.
    """
    if body.get("mask") is not None:
        mask_id = number(body, "mask")
        (mask,) = _masks(lake, [mask_id]).values() or [None]
        if mask is None:
            raise InputError(f"mask {mask_id}: there is no such mask in this workspace")
        return {"tasks": [_task(mask, None, {})], "n_waiting": 0}
    sample = field(body, "sample", str)
    held = queue.open_tasks(lake, person.rater, sample) if body.get("starts") else []
    found = [task for task in held if task.purpose == "correct"]
    if len(found) < TASKS_AT_ONCE:
        n = TASKS_AT_ONCE - len(found)
        found += queue.next_tasks(lake, person.rater, sample, n, purposes={"correct"})
    there = _masks(lake, [task.mask_id for task in found])
    batch = batches.find(lake.con, sample)
    why = _asked_for(lake, None if batch else sample, there)
    answer = {
        "tasks": [_task(there[task.mask_id], task, why) for task in found if task.mask_id in there],
        "n_waiting": samples_to_mend(lake, person).get(sample, 0),
    }
    if batch:
        due = batch.due_at.isoformat() if batch.due_at else None
        answer["batch"] = {"purpose": batch.purpose, "due": due}
    return answer


def save(lake: Lake, person: Person, body: Mapping[str, object]) -> dict[str, object]:
    """Keep a drawn mask; saving it again answers the same. Raises InputError where it cannot be used."""
    tools = field(body, "tools", list)
    saved = drawing.save(
        lake,
        drawing.DrawnMask(
            drawn_id=field(body, "drawn_id", str),
            rater=person.rater,
            image_id=number(body, "image"),
            run_id=field(body, "run_id", int),
            segmentation=field(body, "segmentation", Mapping),
            supersedes=None if body.get("supersedes") is None else number(body, "supersedes"),
            task_id=None if body.get("task_id") is None else field(body, "task_id", str),
            tools=[str(tool) for tool in tools],
            n_actions=field(body, "n_actions", int),
            took_s=float(field(body, "took_s", int | float)),
        ),
    )
    mask = _masks(lake, [saved.mask_id])[saved.mask_id]
    texts = {"mask_id": str(saved.mask_id), "supersedes": _text(saved.supersedes)}
    return {**asdict(saved), **texts, "bbox_xywh": mask["bbox_xywh"]}


def withdraw(lake: Lake, person: Person, body: Mapping[str, object]) -> dict[str, object]:
    """Take a saved mask back; asking again answers the same. Raises InputError where others build on it already."""
    found = withdrawals.withdraw(lake, field(body, "drawn_id", str), person.rater)
    return {"mask_id": str(found.mask_id), "restored": _text(found.restored)}


def _masks(lake: Lake, mask_ids: list[int]) -> dict[int, dict[str, Any]]:
    runs = sorted({ids.unpack_mask_id(mask_id)[0] for mask_id in mask_ids})
    rows = lake.query(_MASKS, {"runs": runs, "masks": mask_ids}).to_pylist()
    return {row["mask_id"]: row for row in rows}


def _task(
    mask: Mapping[str, Any], task: queue.Task | None, why: Mapping[int, list[str]]
) -> dict[str, object]:
    return {
        "task_id": task.task_id if task else None,
        "mask": str(mask["mask_id"]),
        "image": str(mask["image_id"]),
        "run_id": mask["run_id"],
        "width": mask["width_px"],
        "height": mask["height_px"],
        "box": mask["bbox_xywh"],
        "rle": mask["rle_counts"],
        "label": mask["label"],
        "reasons": why.get(mask["mask_id"], []),
    }


def _asked_for(lake: Lake, sample: str | None, mask_ids: Iterable[int]) -> dict[int, list[str]]:
    """What the raters of a sample, or of any, found wrong with each mask; of several the last."""
    rows = lake.query(
        """
        SELECT mask_id, reasons
        FROM settled_verdicts
        WHERE coalesce(sample = $sample, true) AND list_contains($masks, mask_id)
        ORDER BY committed_at
        """,
        {"sample": sample, "masks": list(mask_ids)},
    ).to_pylist()
    return {row["mask_id"]: row["reasons"] or [] for row in rows}


# -- all masks of an image -----------------------------------------------------------------------


def image(lake: Lake, person: Person, body: Mapping[str, object]) -> dict[str, object]:
    """All masks of {image} in {run_id} as they are now, with this rater's own verdicts; without {image} the next one.

    The next is one of which nobody has judged all masks and which nobody else has open, in an order of the rater's own,
    {seen} ones left out. `image` is None where none is left. `others` have the image open too: only who asks for it by
    its number meets any. Raises InputError for an image or run that there is not.
    """
    run_id = field(body, "run_id", int)
    seen = [int(text) for text in body.get("seen") or [] if isinstance(text, str) and text.isdecimal()]
    runs = [run_id, *_correct_runs(lake, run_id)]
    asked = {"runs": runs, "run_id": run_id, "rater": person.rater, "seen": seen}
    is_named = body.get("image") is not None
    while True:
        now = datetime.now(timezone.utc)
        (progress,) = lake.query(_IMAGES, {**asked, "now": now}).to_pylist()
        if not progress["n_images"]:
            raise InputError(f"run {run_id} has no images here")
        image_id = progress.pop("next_image")
        if is_named:
            image_id = number(body, "image")
        if image_id is None:
            image_mode.leave(lake, person.rater)
            return {"image": None, **progress}
        shown = _image(lake, person, run_id, image_id)
        others = image_mode.lease(lake, person.rater, run_id, image_id, only_free=not is_named)
        if is_named or not others:  # else somebody has just opened it: another one
            return {**shown, **progress, "others": others}


def stay(lake: Lake, person: Person, body: Mapping[str, object]) -> dict[str, object]:
    """Keep {image} of {run_id} open; answers who else has it open."""
    others = image_mode.stay(lake, person.rater, field(body, "run_id", int), number(body, "image"))
    return {"others": others}


def answer(lake: Lake, person: Person, body: Mapping[str, object]) -> dict[str, object]:
    """Keep that nothing is missing in a region of {image} in {run_id}: {box} and {share} as `regions` told them."""
    box = field(body, "box", list)
    if not all(isinstance(value, int | float) for value in box):
        raise InputError(f"box: {box!r} came; it must be four numbers")
    given = image_mode.Answer(
        answer_id=field(body, "answer_id", str),
        rater=person.rater,
        run_id=field(body, "run_id", int),
        image_id=number(body, "image"),
        bbox_xywh=box,
        share=float(field(body, "share", int | float)),
    )
    image_mode.answer(lake, given)
    return {"acknowledged": given.answer_id}


def uncovered(lake: Lake, person: Person, body: Mapping[str, object]) -> dict[str, object]:
    """The largest regions of {image} that lie under no mask of {run_id}; masks that this rater rejects cover nothing."""
    there = _current(lake, person, field(body, "run_id", int), number(body, "image"))
    return {"regions": _uncovered(lake, person, there)}


def overlaps(lake: Lake, person: Person, body: Mapping[str, object]) -> dict[str, object]:
    """Masks of {image} in {run_id} that a drawn one, {segmentation}, overlaps by more than is usual, the worst first."""
    there = _current(lake, person, field(body, "run_id", int), number(body, "image"))
    shape = masks.parse(field(body, "segmentation", Mapping), (there.runs.height, there.runs.width))
    found = masks.iou(shape, there.runs)[0]
    close = [k for k in np.argsort(-found) if found[k] > REVIEW.overlap_warning_iou]
    return {
        "overlaps": [
            {"mask": str(there.rows[k]["mask_id"]), "iou": round(float(found[k]), 3)} for k in close
        ],
        "limit": REVIEW.overlap_warning_iou,
    }


def regions(runs: Runs) -> list[dict[str, object]]:
    """Large regions that none of the masks covers, the largest first: box, run lengths, and share of the image, 0..1."""
    n_px = runs.height * runs.width
    bare = masks.complement(masks.union(runs))
    large = masks.large_regions(bare, REVIEW.large_uncovered_share * n_px)[: REVIEW.most_uncovered]
    areas, boxes = masks.areas(large).tolist(), masks.boxes(large).tolist()
    return [
        {"box": box, "rle": text, "share": area / n_px}
        for area, box, text in zip(areas, boxes, masks.to_strings(large), strict=True)
    ]


@dataclass(frozen=True)
class _Current:
    """Masks of one image as they are now: rows of `_IMAGE_MASKS` with this rater's `decision`, and all of them as runs."""

    run_id: int
    image_id: int
    rows: list[dict[str, Any]]
    runs: Runs


def _uncovered(lake: Lake, person: Person, there: _Current) -> list[dict[str, object]]:
    """Regions under no mask that this rater does not reject; `is_answered`: they said already that nothing is missing."""
    covering = np.array([mask["decision"] != "reject" for mask in there.rows], bool)
    said = image_mode.answered(lake, person.rater, there.run_id, there.image_id)
    return [
        {**region, "is_answered": list(region["box"]) in said} for region in regions(there.runs[covering])
    ]


def _current(lake: Lake, person: Person, run_id: int, image_id: int) -> _Current:
    size = lake.query(
        "SELECT height_px, width_px FROM images WHERE run_id = $run_id AND image_id = $image_id",
        {"run_id": run_id, "image_id": image_id},
    ).to_pylist()
    if not size:
        raise InputError(f"run {run_id} has no image {image_id}")
    of_runs = [run_id, *_correct_runs(lake, run_id)]
    rows = lake.query(_IMAGE_MASKS, {"runs": of_runs, "image_id": image_id}).to_pylist()
    given = _own_verdicts(lake, person, image_id)
    for row in rows:
        row |= given.get(row["mask_id"], {"decision": None, "verdict_id": None})
    strings = [row["rle_counts"] for row in rows]
    runs = masks.parse_strings(strings, size[0]["height_px"], size[0]["width_px"])
    return _Current(run_id, image_id, rows, runs)


def _image(lake: Lake, person: Person, run_id: int, image_id: int) -> dict[str, object]:
    there = _current(lake, person, run_id, image_id)
    name = lake.con.execute(
        "SELECT file_name FROM images WHERE run_id = ? AND image_id = ?", [run_id, image_id]
    ).fetchone()[0]
    return {
        "image": str(image_id),
        "run_id": run_id,
        "file_name": name,
        "width": there.runs.width,
        "height": there.runs.height,
        "masks": [
            {
                "mask": str(row["mask_id"]),
                "area_px": row["area_px"],
                "box": row["bbox_xywh"],
                "rle": row["rle_counts"],
                "label": row["label"],
                "is_drawn": row["is_drawn"],
                "decision": row["decision"],
                "verdict_id": row["verdict_id"],
            }
            for row in there.rows
        ],
        "regions": _uncovered(lake, person, there),
    }


def _own_verdicts(lake: Lake, person: Person, image_id: int) -> dict[int, dict[str, str]]:
    """What this rater said in image mode of the masks of an image, by mask."""
    rows = lake.query(
        """
        SELECT mask_id, decision, verdict_id
        FROM current_verdicts
        WHERE image_id = $image_id AND rater = $rater AND purpose = 'image'
        """,
        {"image_id": image_id, "rater": person.rater},
    ).to_pylist()
    return {row.pop("mask_id"): row for row in rows}


def _correct_runs(lake: Lake, run_id: int) -> list[int]:
    rows = lake.query(
        "SELECT run_id FROM runs WHERE kind = 'correct' AND parent_run_id = $run_id", {"run_id": run_id}
    )
    return rows["run_id"].to_pylist()


# -- what comes in -------------------------------------------------------------------------------


def field(body: Mapping[str, object], name: str, types: Any) -> Any:
    """A field of a request. Raises InputError where it is missing or of another type."""
    value = body.get(name)
    if not isinstance(value, types) or isinstance(value, bool):
        raise InputError(f"{name}: {value!r} came; see apps/review/drawing.py for what is sent")
    return value


def number(body: Mapping[str, object], name: str) -> int:
    """An id, which comes as text. Raises InputError."""
    text = body.get(name)
    if not isinstance(text, str) or not text.isdecimal() or int(text) >= 1 << 63:
        raise InputError(f"{name}: {text!r} came; it must be the digits of an id, as text")
    return int(text)


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)
