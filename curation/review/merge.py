"""Corrected files of a batch back into the lake: each mask is met by its `mask_id`, and none is overwritten.

What comes back of one annotator is one of these, for every mask:

- *corrected*: another outline; it becomes a new mask that supersedes the old one, with the verdict `fix`;
- *confirmed*: the same outline, the verdict `accept`;
- *conflict*: it was corrected, but somebody has corrected the mask meanwhile who was not meant to: nothing is written,
  unless `on_conflict` says which one is to stand;
- *deleted*: its image came back without it. It may be no object, or the tool may have left it out: it is told, and
  becomes the verdict `reject` only where `deleted` says so, and never while annotations could not be read;
- *missing*: its image did not come back: still to do.

Files are read image by image, and written in commits of CHUNK_IMAGES images. A merge that was killed goes on when it is
started again: what is there already is met by its content and not written twice.
"""

import hashlib
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import duckdb
import pyarrow as pa

from curation import masks
from curation.errors import InputError, RecordError
from curation.lake import Lake, insert
from curation.measures.corrections import features_of
from curation.review import batches, drawing
from curation.review.batch_export import file_names, to_do
from curation.review.batches import Batch
from curation.review.drawing import DrawnMask
from curation.review.merge_knowledge import knowledge, rows_of
from curation.review.returned import Reading, Returned, read, reader, sent_masks, stem
from curation.review.verdicts import Verdict, give_within
from curation.schemas import TABLES

ON_CONFLICT = ("newest", "keep")
DELETED = ("report", "reject")
#: Images a commit: at 100 masks an image, some 6,000 masks, and a few seconds in which other writers wait.
CHUNK_IMAGES = 64
_NAMES = uuid.UUID("0a3f6f52-6b55-4c1e-9a57-6a8cf6a2d9c4")

CONFLICTS = pa.schema(
    [
        ("mask_id", pa.int64()),
        ("file_name", pa.string()),
        ("corrected_by", pa.string()),
        ("corrected_at", pa.timestamp("us", "UTC")),
        ("in_sample", pa.string()),
        ("other_mask_id", pa.int64()),
        ("iou_with_other", pa.float64()),
        ("resolved", pa.string()),
    ]
)


@dataclass
class Merged:
    """What came back, in masks. `conflicts`: rows of CONFLICTS; `resolved` is null where a person must say.

    `n_already`: what an earlier merge, or the app, has written already. `problems`: (source, record, reason).
    """

    n_corrected: int = 0
    n_confirmed: int = 0
    n_already: int = 0
    n_rejected: int = 0
    deleted: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    conflicts: list[dict] = field(default_factory=list)
    problems: list[tuple[str, str, str]] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)

    @property
    def n_unresolved(self) -> int:
        return sum(row["resolved"] is None for row in self.conflicts)

    @property
    def conflict_rows(self) -> pa.Table:
        return pa.Table.from_pylist(self.conflicts, schema=CONFLICTS)


@dataclass
class _Merge:
    """One call: who merges what, and the rules."""

    batch: Batch
    annotator: str
    on_conflict: str | None
    now: datetime
    names: Mapping[int, str]
    reading: Reading
    found: Merged = field(default_factory=Merged)


def merge(
    lake: Lake,
    name: str,
    path: Path,
    annotator: str,
    on_conflict: str | None = None,
    deleted: str = "report",
    now: datetime | None = None,
    on_plan: Callable[[int], None] | None = None,
    on_images: Callable[[int], None] | None = None,
) -> Merged:
    """Take the corrected masks of a batch from a COCO file, a folder of them, or a folder of SA-1B records.

    `on_conflict`: None shows conflicts and leaves them; "newest" lets what comes back supersede what was drawn meanwhile,
    "keep" leaves that standing. `deleted`: "report", or "reject" for a verdict on every mask that is missing from an
    image that came back, where all of them could be read. Bad records go to `problems` (work `merge`) and to the result; nothing else is lost.
    `on_plan` is told how many images there are, `on_images` how many are done. Raises InputError for no such batch,
    annotator or file.
    """
    if on_conflict not in (None, *ON_CONFLICT):
        raise InputError(f"--on-conflict {on_conflict}: allowed are {', '.join(ON_CONFLICT)}")
    if deleted not in DELETED:
        raise InputError(f"--deleted {deleted}: allowed are {', '.join(DELETED)}")
    if not annotator.strip():
        raise InputError("--annotator: write who has corrected the masks")
    batch = batches.get(lake, name)
    batch.check_annotator(annotator)
    of = batches.places(lake.con, name)
    listed = sent_masks(path, name, annotator) or {p.mask_id for p in to_do(lake, batch, of, None)}
    places = {place.mask_id: place for place in of}
    names = file_names(lake, {place.image_id for place in of})
    reading = Reading(name, places)
    job = _Merge(batch, annotator, on_conflict, now or datetime.now(timezone.utc), names, reading)
    job.found.problems = reading.problems
    with tempfile.TemporaryDirectory(prefix="curation-") as scratch:
        work = reader(path, Path(scratch))
        n_items = work.plan.records.n_items
        if on_plan is not None:
            on_plan(n_items)
        for first in range(0, n_items, CHUNK_IMAGES):
            stop, n_before = min(first + CHUNK_IMAGES, n_items), len(job.found.problems)
            returned = list(read(job.reading, work, first, stop))
            lake.commit(_Chunk(job, returned, n_before).write, f"batch {name} of {annotator}")
            if on_images is not None:
                on_images(stop - first)
    _account(lake, job, listed & places.keys(), deleted)
    return job.found


# -- writing ---------------------------------------------------------------------------------------


class _Chunk:
    """The masks of some images, and the rows to add. `write` may run again after a busy catalog."""

    def __init__(self, job: _Merge, returned: Sequence[Returned], n_problems: int) -> None:
        self.job, self.returned = job, returned
        self.before = Merged()
        self.n_problems = n_problems

    def write(self, con: duckdb.DuckDBPyConnection) -> None:
        """Write the chunk inside the open transaction of `con`."""
        job = self.job
        found = Merged(problems=[])
        self.masks: list[dict] = []
        self.drawn: list[dict] = []
        self.tasks: list[dict] = []
        self.verdicts: list[Verdict] = []
        self.next_index: Counter[tuple[int, int]] = Counter()
        self.correct_runs: dict[int, int] = {}
        self._know(con, [one.mask_id for one in self.returned])
        for one in self.returned:
            try:
                self._take(con, one, found)
            except InputError as error:
                found.problems.append((one.source, one.record, str(error)))
        tables = {"masks": self.masks, "drawn_masks": self.drawn, "tasks": self.tasks}
        insert(con, {name: TABLES[name].table(rows) for name, rows in tables.items()})
        insert(con, {"mask_features": features_of(self.masks)})
        refused = give_within(con, self.verdicts, job.now).refused
        if refused:
            raise InputError(next(iter(refused.values())))
        self._keep_problems(con, found)
        self._tell(found)

    def _tell(self, found: Merged) -> None:
        """Add what this chunk found to the whole; in place of what an earlier try of it found."""
        whole, before = self.job.found, self.before
        for name in ("n_corrected", "n_confirmed", "n_already"):
            setattr(whole, name, getattr(whole, name) - getattr(before, name) + getattr(found, name))
        for name in ("conflicts", "problems", "ious"):
            list_ = getattr(whole, name)
            n_before = len(getattr(before, name))
            list_[len(list_) - n_before :] = getattr(found, name)
        self.before = found

    def _know(self, con: duckdb.DuckDBPyConnection, mask_ids: Sequence[int]) -> None:
        job = self.job
        self.known = knowledge(con, job.batch.batch, job.annotator, job.reading.places, mask_ids)

    def _take(self, con: duckdb.DuckDBPyConnection, one: Returned, found: Merged) -> None:
        """Take one mask as it came back. Raises InputError where it cannot be used."""
        job, shown = self.job, self.known.old[one.mask_id]
        image = self.known.image(shown)
        if one.stem != stem(image["file_name"]):
            raise RecordError(f"mask_id: {one.mask_id} came on {one.stem}; it lies on {image['file_name']}")
        drawing.check_fits(one.shape, image, None)
        if not masks.areas(one.shape)[0]:
            raise RecordError("the mask is empty: leave it out to delete it, or draw it")
        counts = masks.to_strings(one.shape)[0]
        drawn_id = self._drawn_id(one.mask_id, counts)
        chain = self.known.chain(one.mask_id)
        newest = self.known.old[chain[-1]["mask_id"]] if chain else shown
        # Two people who draw the same agree, and both have drawn: that is no conflict.
        other = self._strange(one.mask_id, chain) if newest["rle_counts"] != counts else None
        if counts == shown["rle_counts"]:
            self._confirm(one.mask_id, chain, found)
        elif drawn_id in self.known.drawn_ids or self._is_own(chain, newest, counts):
            found.n_already += 1
        else:
            if other:
                found.conflicts.append(self._conflict(one, other, newest))
            if not other or job.on_conflict == "newest":
                found.ious.append(self._correct(con, one, drawn_id, image, newest))
                found.n_corrected += 1

    def _is_own(self, chain: Sequence[dict], newest: dict, counts: str) -> bool:
        """Whether the annotator has drawn just that in the app."""
        return bool(chain) and chain[-1]["rater"] == self.job.annotator and newest["rle_counts"] == counts

    def _strange(self, mask_id: int, chain: Sequence[dict]) -> dict | None:
        """The last correction that this annotator could not know of and nobody had planned; None without one.

        Of a mask for two people the other one's is planned.
        """
        job = self.job
        others = [row for row in chain if row["rater"] != job.annotator or row["sample"] != job.batch.batch]
        partners = {row["rater"] for row in others if row["sample"] == job.batch.batch}
        is_planned = len(partners) < job.reading.places[mask_id].n_people
        strange = [row for row in others if not (is_planned and row["sample"] == job.batch.batch)]
        return strange[-1] if strange else None

    def _conflict(self, one: Returned, other: dict, newest: dict) -> dict:
        return {
            "mask_id": one.mask_id,
            "file_name": self.job.names[self.job.reading.places[one.mask_id].image_id],
            "corrected_by": other["rater"],
            "corrected_at": other["drawn_at"],
            "in_sample": other["sample"],
            "other_mask_id": newest["mask_id"],
            "iou_with_other": drawing.agreement(one.shape, newest["rle_counts"])[0],
            "resolved": {"newest": "superseded", "keep": "kept"}.get(self.job.on_conflict),
        }

    def _confirm(self, mask_id: int, chain: Sequence[dict], found: Merged) -> None:
        """The mask is good as it is, unless its annotator has said something else meanwhile, in the app or by a file."""
        if mask_id in self.known.said or any(row["rater"] == self.job.annotator for row in chain):
            found.n_already += 1
            return
        self._answer(mask_id, "accept", self._uuid("accept", mask_id))
        found.n_confirmed += 1

    def _correct(
        self, con: duckdb.DuckDBPyConnection, one: Returned, drawn_id: str, image: dict, old: dict
    ) -> float:
        """Add the rows of a correction; returns its IoU with the mask that it supersedes."""
        run_id = self._correct_run(con, image["run_id"])
        place = (run_id, image["image_number"])
        if place not in self.next_index:
            self.next_index[place] = drawing.next_index(con, *place)
        mask = drawing.mask_row(run_id, self.next_index[place], image, one.shape, old)
        self.next_index[place] += 1
        drawn = DrawnMask(
            drawn_id=drawn_id,
            rater=self.job.annotator,
            image_id=image["image_id"],
            run_id=image["run_id"],
            segmentation={},
            supersedes=one.mask_id,
            task_id=self._task(one.mask_id),
        )
        row = drawing.drawn_row(drawn, mask, one.shape, old, self.job.now)
        self.masks.append(mask)
        self.drawn.append(row | {"sample": self.job.batch.batch})
        self._answer(one.mask_id, "fix", drawn.verdict_id)
        return row["iou_with_superseded"]

    def _correct_run(self, con: duckdb.DuckDBPyConnection, parent_run_id: int) -> int:
        if parent_run_id not in self.correct_runs:
            self.correct_runs[parent_run_id] = drawing.correct_run(con, parent_run_id)
        return self.correct_runs[parent_run_id]

    def _answer(self, mask_id: int, decision: str, verdict_id: str) -> None:
        task_id = self._task(mask_id)
        self.verdicts.append(
            Verdict(verdict_id, self.job.annotator, decision, task_id, given_at=self.job.now)
        )

    def _task(self, mask_id: int) -> str:
        """The annotator's task on the mask; one that is over at once, where the app has given none."""
        task_of = self.known.task_of
        if mask_id not in task_of:
            place, now = self.job.reading.places[mask_id], self.job.now
            task_of[mask_id] = self._uuid("task", mask_id)
            self.tasks.append(
                {
                    "task_id": task_of[mask_id],
                    "sample": self.job.batch.batch,
                    "mask_id": mask_id,
                    "run_id": place.run_id,
                    "image_id": place.image_id,
                    "rater": self.job.annotator,
                    "purpose": "correct",
                    "leased_at": now,
                    "lease_until": now,
                }
            )
        return task_of[mask_id]

    def _drawn_id(self, mask_id: int, counts: str) -> str:
        """The same outline of the same person is the same drawing, however often it is merged."""
        return self._uuid("drawn", mask_id, hashlib.sha256(counts.encode()).hexdigest())

    def _uuid(self, *parts: object) -> str:
        return str(
            uuid.uuid5(_NAMES, "\x1f".join(map(str, (self.job.batch.batch, self.job.annotator, *parts))))
        )

    def _keep_problems(self, con: duckdb.DuckDBPyConnection, found: Merged) -> None:
        """Rows of `problems` for what this chunk could not use, once however often it is merged."""
        whole = self.job.found.problems
        read = whole[self.n_problems : len(whole) - len(self.before.problems)]
        if not (read or found.problems):
            return
        first = next(iter(self.job.reading.places.values()))
        run_id = self._correct_run(con, self.known.parents[first.run_id])
        kept = {
            (row["source"], row["record"])
            for row in rows_of(
                con,
                "SELECT source, record FROM problems WHERE run_id = $run_id AND work = 'merge'",
                run_id=run_id,
            )
        }
        rows = [
            {
                "run_id": run_id,
                "work": "merge",
                "shard": self.job.batch.batch,
                "source": source,
                "record": record,
                "kind": RecordError.kind,
                "reason": reason,
            }
            for source, record, reason in (*read, *found.problems)
            if (source, record) not in kept
        ]
        insert(con, {"problems": TABLES["problems"].table(rows)})


def _account(lake: Lake, job: _Merge, sent: set[int], deleted: str) -> None:
    """What was sent and did not come back: deleted where the image came, else missing."""
    for mask_id in sorted(sent - job.reading.seen.keys()):
        is_back = stem(job.names[job.reading.places[mask_id].image_id]) in job.reading.stems
        (job.found.deleted if is_back else job.found.missing).append(mask_id)
    if deleted == "report" or not job.found.deleted or job.found.problems:
        return

    def reject(con: duckdb.DuckDBPyConnection) -> int:
        chunk = _Chunk(job, [], len(job.found.problems))
        chunk.tasks, chunk.verdicts = [], []
        chunk._know(con, job.found.deleted)
        for mask_id in job.found.deleted:
            if mask_id not in chunk.known.said:
                chunk._answer(mask_id, "reject", chunk._uuid("reject", mask_id))
        insert(con, {"tasks": TABLES["tasks"].table(chunk.tasks)})
        give_within(con, chunk.verdicts, job.now)
        return len(chunk.verdicts)

    job.found.n_rejected = lake.commit(reject, f"batch {job.batch.batch}: masks that {job.annotator} deleted")
