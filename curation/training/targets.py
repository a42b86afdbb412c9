"""What a model learns from: which masks of which images, and which images it never sees."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from curation import conditions
from curation.errors import InputError, QueryError, RleError
from curation.lake import Lake, insert
from curation.masks import Runs, parse_strings
from curation.schemas import TABLES
from curation.training.request import Request

VIEW = "training_masks"
WORK = "train"

# People's word goes before a routing's; a corrected mask counts as one unless people turned it down since.
_MASKS_SQL = """
    SELECT
        described.image_id,
        described.mask_id,
        described.run_id,
        CASE WHEN described.run_kind = 'correct' THEN 'corrected' ELSE 'accepted' END AS source,
        masks.width_px,
        masks.height_px,
        masks.rle_counts
    FROM training_masks AS described
    INNER JOIN masks USING (run_id, mask_id)
    LEFT JOIN runs ON runs.run_id = described.run_id
    LEFT JOIN routes ON routes.mask_id = described.mask_id AND routes.routing = $routing
    WHERE
        NOT masks.is_crowd
        AND ($run_id IS NULL OR $run_id IN (described.run_id, CASE WHEN runs.kind = 'correct' THEN runs.parent_run_id END))
        AND coalesce(described.verdict, 'none') NOT IN ('fix', 'reject')
        AND (
            described.run_kind = 'correct'
            OR coalesce(described.verdict, 'none') = 'accept'
            OR coalesce(routes.route, 'none') = 'accept'
        )
"""
_GOLD_SQL = """
    SELECT image_id, gold_mask_id AS mask_id, run_id, 'gold' AS source, width_px, height_px, rle_counts
    FROM gold_masks
    ANTI JOIN (SELECT supersedes FROM gold_masks WHERE supersedes IS NOT NULL) AS later
        ON later.supersedes = gold_masks.gold_mask_id
    WHERE
        NOT is_crowd
        AND ($gold_run_ids IS NULL OR list_contains($gold_run_ids, run_id))
        AND ($run_id IS NULL OR image_id IN (SELECT image_id FROM images WHERE run_id = $run_id))
"""
_IMAGES_SQL = """
    SELECT
        image_id,
        max(run_id) AS run_id,
        arg_max(uri, run_id) AS uri,
        arg_max(sha256, run_id) FILTER (WHERE sha256 IS NOT NULL) AS sha256,
        arg_max(width_px, run_id) AS width_px,
        arg_max(height_px, run_id) AS height_px
    FROM images
    SEMI JOIN wanted USING (image_id)
    GROUP BY image_id
"""


@dataclass(frozen=True)
class TargetImage:
    """One image with the masks to learn from, or, where it is held out, to be judged by.

    `is_complete` says that its masks are gold, so that what they leave out is no object.
    """

    image_id: int
    run_id: int  # the newest that read it
    uri: str
    sha256: str | None
    width_px: int
    height_px: int
    mask_ids: np.ndarray
    runs: Runs
    is_complete: bool
    is_held_out: bool


@dataclass(frozen=True)
class Targets:
    """Images with masks, sorted by id, and what could not be used as rows of `problems`."""

    images: list[TargetImage]
    problems: list[dict]

    @property
    def learned(self) -> list[TargetImage]:
        return [image for image in self.images if not image.is_held_out]

    @property
    def held_out(self) -> list[TargetImage]:
        return [image for image in self.images if image.is_held_out]

    def without(self, image_ids: Iterable[int], problems: list[dict]) -> "Targets":
        """The same without images that turned out to be of no use."""
        dropped = set(image_ids)
        return Targets([i for i in self.images if i.image_id not in dropped], [*self.problems, *problems])

    @property
    def sha256(self) -> str:
        """Over every mask with its image and its part in the training: equal targets train equal models."""
        digest = hashlib.sha256()
        for image in self.images:
            digest.update(f"{image.image_id} {image.is_held_out} {image.is_complete}".encode())
            digest.update(
                image.mask_ids.tobytes() + image.runs.counts.tobytes() + image.runs.offsets.tobytes()
            )
        return digest.hexdigest()


def read(lake: Lake, request: Request) -> Targets:
    """The targets of a request. Held-out images are judged by gold where they have any, also by gold not learned from.

    Raises QueryError for `where` that is no condition, InputError where fewer than two images have a mask.
    """
    rows = _mask_rows(lake, request)
    gold = _gold_rows(lake, request)
    learned = pa.concat_tables([rows, gold]) if "gold" in request.masks_from else rows
    image_ids = _chosen(learned, request)
    held_out = held_out_ids(image_ids, request.held_out_share)
    stored = _images(lake, image_ids)
    masks_of, gold_of = _by_image(learned), _by_image(gold)
    images, problems = [], []
    for image_id in image_ids:
        is_held_out = image_id in held_out
        chosen = gold_of.get(image_id, masks_of[image_id]) if is_held_out else masks_of[image_id]
        image, bad = _target(stored[image_id], chosen, is_held_out)
        problems += bad
        if len(image.runs):
            images.append(image)
    _check_enough(images, request)
    return Targets(images, problems)


def held_out_ids(image_ids: list[int], share: float) -> set[int]:
    """Images that are held out: by a hash of their id, so that an image keeps its part from one training to the next.

    At least one is held out and one is not, where there are two and the share is above 0.
    """
    if share <= 0 or len(image_ids) < 2:
        return set()
    places = {image_id: _place(image_id) for image_id in image_ids}
    chosen = {image_id for image_id in image_ids if places[image_id] < share}
    by_place = sorted(image_ids, key=places.__getitem__)
    return (chosen | {by_place[0]}) - {by_place[-1]}


def write_problems(lake: Lake, problems: list[dict]) -> None:
    """Add what could not be used to `problems`, once however often it is met."""
    if not problems:
        return
    table = TABLES["problems"].table(problems)

    def work(con) -> None:
        known = set(
            con.execute("SELECT run_id, source, record FROM problems WHERE work = ?", [WORK]).fetchall()
        )
        keys = zip(*(table[name].to_pylist() for name in ("run_id", "source", "record")), strict=True)
        insert(con, {"problems": table.filter(pa.array([key not in known for key in keys]))})

    lake.commit(work, f"{len(problems)} inputs of a training could not be used")


def problem(image: TargetImage, error: InputError) -> dict:
    """An image that cannot be used, as a row of `problems`."""
    return _problem(image.run_id, image.uri, image.image_id, "", error)


def _mask_rows(lake: Lake, request: Request) -> pa.Table:
    sql = _MASKS_SQL
    conditions.create_view(lake.con, VIEW, [sql, request.where or ""])
    if request.where is not None:
        conditions.check_condition(lake.con, "--where", request.where, VIEW)
        sql += f" AND described.mask_id IN (SELECT mask_id FROM {VIEW} WHERE ({request.where}\n))"
    if request.routing is not None:
        _check_routing(lake, request.routing)
    rows = lake.query(sql + " ORDER BY mask_id", {"run_id": request.run_id, "routing": request.routing})
    wanted = pa.array([source in request.masks_from for source in rows["source"].to_pylist()], pa.bool_())
    return rows.filter(wanted)


def _gold_rows(lake: Lake, request: Request) -> pa.Table:
    golds = None if request.gold_run_ids is None else list(request.gold_run_ids)
    for run_id in golds or []:
        if not lake.con.execute("SELECT 1 FROM runs WHERE run_id = ? AND kind = 'gold'", [run_id]).fetchone():
            raise QueryError(f"--gold {run_id}: there is no such run of gold; see `curation sql 'FROM runs'`")
    return lake.query(_GOLD_SQL + " ORDER BY gold_mask_id", {"gold_run_ids": golds, "run_id": request.run_id})


def _chosen(rows: pa.Table, request: Request) -> list[int]:
    image_ids = sorted(set(rows["image_id"].to_pylist()))
    if request.image_ids is not None:
        image_ids = sorted(set(image_ids) & set(request.image_ids))
    return image_ids


def _images(lake: Lake, image_ids: list[int]) -> dict[int, dict]:
    lake.con.register("wanted", pa.table({"image_id": pa.array(image_ids, pa.int64())}))
    rows = lake.query(_IMAGES_SQL).to_pylist()
    lake.con.unregister("wanted")
    return {row["image_id"]: row for row in rows}


def _by_image(rows: pa.Table) -> dict[int, list[dict]]:
    found = defaultdict(list)
    for row in rows.to_pylist():
        found[row["image_id"]].append(row)
    return dict(found)


def _target(stored: dict, rows: list[dict], is_held_out: bool) -> tuple[TargetImage, list[dict]]:
    height, width = stored["height_px"], stored["width_px"]
    parsed, ids, problems = [Runs.empty(height, width)], [], []
    for row in rows:
        try:
            if (row["width_px"], row["height_px"]) != (width, height):
                raise RleError(
                    f"the mask is stored as {row['width_px']} x {row['height_px']} px, its image as {width} x {height} "
                    "px (width x height); they must be equal, import the image's masks again"
                )
            parsed.append(parse_strings([row["rle_counts"]], height, width))
            ids.append(row["mask_id"])
        except RleError as error:
            record = f"mask {row['mask_id']}"
            problems.append(_problem(row["run_id"], stored["uri"], stored["image_id"], record, error))
    image = TargetImage(
        **stored,
        mask_ids=np.array(ids, np.int64),
        runs=Runs.concat(parsed),
        is_complete=any(row["source"] == "gold" for row in rows),
        is_held_out=is_held_out,
    )
    return image, problems


def _problem(run_id: int, uri: str, image_id: int, record: str, error: InputError) -> dict:
    return {
        "run_id": run_id,
        "work": WORK,
        "shard": "",
        "source": uri,
        "image_id": image_id,
        "record": record,
        "kind": error.kind,
        "reason": str(error),
    }


def _place(image_id: int) -> float:
    """Where an image lies in 0..1, the same in every training."""
    return int.from_bytes(hashlib.sha256(f"held out {image_id}".encode()).digest()[:8], "big") / 2**64


def _check_routing(lake: Lake, routing: str) -> None:
    if not lake.con.execute("SELECT 1 FROM routings WHERE routing = ?", [routing]).fetchone():
        raise QueryError(f"--routing {routing!r}: there is no such routing; `curation route` makes one")


def _check_enough(images: list[TargetImage], request: Request) -> None:
    n = sum(not image.is_held_out for image in images)
    if n and (request.held_out_share <= 0 or n < len(images)):
        return
    which = " or ".join(request.masks_from)
    came = f"{len(images)} image{'s' * (len(images) != 1)} with {which} masks came"
    raise InputError(
        f"training of {request.name!r}: {came}; at least two are needed, one to learn from and one to be judged by. "
        "Settle verdicts (`curation review`), correct masks, import gold (`curation gold import`), or ask less narrowly"
    )
