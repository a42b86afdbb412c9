"""From the lake into FiftyOne: only what is new or changed, image by image, each in one atomic step."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from curation import masks
from curation.browse import comparison, media, selection
from curation.browse import dataset as datasets
from curation.browse.comparison import ATTRIBUTES, Difference
from curation.browse.selection import Choice
from curation.errors import InputError, RleError
from curation.lake import Lake
from curation.masks import Runs

if TYPE_CHECKING:
    import fiftyone as fo

    from curation.browse.documents import SampleDocument
    from curation.browse.writer import Writer

#: In the order of the documents: MongoDB looks for a field from the first on, and what changes most often stands last above.
ATTRIBUTE_NAMES = tuple(column.name for column in reversed(ATTRIBUTES))
#: Most bytes of a sample. MongoDB allows 16 MiB, and people's tags, fields and evaluations need room too.
MAX_SAMPLE_BYTES = 12 * 2**20
#: Threads that pack masks while MongoDB writes; zlib and the mask kernels let each other run meanwhile.
N_THREADS = 2
#: Images packed ahead of the writing.
N_AHEAD = 32

Row = Mapping[str, object]
T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """Something that was chosen and cannot be shown."""

    image_id: int
    source: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Packed:
    """One image made ready: its document, or none, and what could not be part of it."""

    n_masks: int
    sample: "SampleDocument | None"
    problems: Sequence[Problem]


@dataclass
class Summary:
    """What a sync did. `n_stale` masks are in FiftyOne, were not chosen now and were left there."""

    dataset: str
    n_chosen: int
    n_new: int
    n_changed: int
    n_stale: int
    n_removed: int = 0
    n_images_written: int = 0
    n_masks_written: int = 0
    n_problems: int = 0
    took_s: float = 0.0


@dataclass(frozen=True)
class Plan:
    """A dataset, and what the choice changes in it. Holds for as long as the lake is open."""

    dataset: "fo.Dataset"
    difference: Difference


def plan(lake: Lake, choice: Choice, name: str | None = None) -> Plan:
    """Choose masks and compare them with the FiftyOne dataset `name`, which is made where it does not exist.

    Superseded masks are never chosen. Raises QueryError for a bad choice, InputError for a bad name,
    CurationError where MongoDB cannot be used.
    """
    selection.choose(lake, choice)
    dataset = datasets.prepare(name or datasets.default_name(lake.root), lake.root)
    from curation.browse.writer import explain_outage  # what FiftyOne brings is here

    with explain_outage():
        return Plan(dataset, comparison.compare(lake, datasets.samples(dataset)))


def write(
    lake: Lake,
    todo: Plan,
    prune: bool = False,
    on_image: Callable[[int], None] = lambda n_masks: None,
    on_problem: Callable[[Problem], None] = lambda problem: None,
) -> Summary:
    """Write what is new or changed; with `prune`, remove what the dataset has beyond the choice.

    Without it that stays, so that several choices can be gathered in one dataset. `on_image` gets the number
    of masks of each image that is done, `on_problem` everything that cannot be shown. Stopped at any moment
    and planned again, it goes on. Raises CurationError where MongoDB goes away.
    """
    from curation.browse.writer import BATCH_IMAGES, Writer, explain_outage

    started = time.perf_counter()
    difference = todo.difference
    summary = Summary(
        todo.dataset.name, difference.n_chosen, difference.n_new, difference.n_changed, difference.n_stale
    )

    def report(problem: Problem) -> None:
        summary.n_problems += 1
        on_problem(problem)

    writer = Writer(todo.dataset, on_too_large=lambda sample: report(_outgrown(sample)))
    for run_id, image_id in selection.lost_images(lake):
        report(_lost(run_id, image_id))
    for renewals in _batches(comparison.renewals(lake), BATCH_IMAGES):
        writer.renew(renewals)
        for renewed in renewals:
            on_image(len(renewed.mask_ids))
    for packed in _pack_all(comparison.pending(lake), lake.root / "media"):
        for problem in packed.problems:
            report(problem)
        if packed.sample:
            writer.add(packed.sample)
        on_image(packed.n_masks)
    writer.flush()
    if prune:
        _prune(lake, writer)
        summary.n_removed, summary.n_stale = difference.n_stale, 0
    with explain_outage():
        datasets.save_views(todo.dataset, selection.chosen_stages(lake))
        datasets.save_cluster_views(todo.dataset, selection.found_clusters(lake))
        datasets.note_sync(todo.dataset, lake.version())
    summary.n_images_written, summary.n_masks_written = writer.n_images, writer.n_masks
    summary.took_s = time.perf_counter() - started
    return summary


def sync(
    lake: Lake,
    choice: Choice,
    name: str | None = None,
    prune: bool = False,
    on_image: Callable[[int], None] = lambda n_masks: None,
    on_problem: Callable[[Problem], None] = lambda problem: None,
) -> Summary:
    """`plan` and `write` in one call."""
    return write(lake, plan(lake, choice, name), prune, on_image, on_problem)


def _prune(lake: Lake, writer: "Writer") -> None:
    for image_id, mask_ids in comparison.stale(lake):
        writer.remove(image_id, mask_ids)
    writer.remove_empty(comparison.stale_images(lake))


def pack(image: Row, rows: Sequence[Row], media_folder: Path) -> Packed:
    """Make one image and `rows`, its new or changed masks with the largest first, ready to write.

    A picture that cannot be shown leaves all of them out, a sample that would grow beyond MAX_SAMPLE_BYTES
    the smallest; both are told as problems.
    """
    from curation.browse import documents

    try:
        path = media.local_path(image, media_folder)
    except InputError as error:
        return Packed(len(rows), None, [_problem(image, error.kind, str(error))])
    problems: list[Problem] = []
    detections, written = [], []
    room_bytes = MAX_SAMPLE_BYTES - image["stored_bytes"]
    for batch, runs in _parsed(image, rows, problems):
        for row, detection in zip(batch, documents.detections(batch, runs, ATTRIBUTE_NAMES), strict=True):
            # A mask that is there already takes no new room.
            room_bytes -= len(detection.raw) if row["is_new"] else 0
            if row["is_new"] and room_bytes < 0:
                continue
            detections.append(detection)
            written.append(row)
    n_left_out = len(rows) - len(detections) - len(problems)
    if n_left_out:
        problems.append(_problem(image, "too_large", _overfull(n_left_out, len(rows))))
    sample = documents.SampleDocument(
        image["image_id"],
        image["uri"],
        image["fingerprint"],
        _fields(image, path),
        [row["mask_id"] for row in written],
        [row["fingerprint"] for row in written],
        detections,
    )
    return Packed(len(rows), sample, problems)


def _pack_all(pending: Iterable[tuple[Row, Sequence[Row]]], media_folder: Path) -> Iterator[Packed]:
    """Pack images in threads, N_AHEAD of the one that is taken, in their order."""
    pending = iter(pending)
    with ThreadPoolExecutor(N_THREADS) as pool:
        waiting = deque(pool.submit(pack, *image, media_folder) for image in islice(pending, N_AHEAD))
        while waiting:
            packed = waiting.popleft().result()
            waiting.extend(pool.submit(pack, *image, media_folder) for image in islice(pending, 1))
            yield packed


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch


def _parsed(image: Row, rows: Sequence[Row], problems: list[Problem]) -> Iterator[tuple[Sequence[Row], Runs]]:
    """Rows with their masks, in batches of one size; rows whose RLE is broken go to `problems`."""
    for (height, width), group in groupby(rows, lambda row: (row["height_px"], row["width_px"])):
        batch = list(group)
        try:
            yield batch, masks.parse_strings([row["rle_counts"] for row in batch], height, width)
        except RleError:
            for row in batch:
                try:
                    runs = masks.parse_strings([row["rle_counts"]], height, width)
                except RleError as error:
                    problems.append(_problem(image, error.kind, f"mask {row['mask_id']}: {error}"))
                    continue
                yield [row], runs


def _fields(image: Row, path: Path) -> dict[str, object]:
    """The sample's fields that its masks do not determine."""
    metadata = {
        "_cls": "ImageMetadata",
        "size_bytes": path.stat().st_size,
        "mime_type": media.mime_type(path),
        "width": image["width_px"],
        "height": image["height_px"],
        "num_channels": 3,
    }
    return {
        "filepath": str(path),
        "metadata": metadata,
        "image_id": str(image["image_id"]),
        "file_name": image["file_name"],
        "coverage": image["coverage"],
    }


def _problem(image: Row, kind: str, reason: str) -> Problem:
    return Problem(image["image_id"], image["uri"], kind, reason)


def _overfull(n_left_out: int, n_masks: int) -> str:
    return (
        f"{n_left_out} of {n_masks} masks were left out, the smallest: one image may hold "
        f"{MAX_SAMPLE_BYTES / 2**20:.0f} MiB of masks in FiftyOne; choose fewer with --where, into a --dataset of their own"
    )


def _outgrown(sample: "SampleDocument | comparison.Renewal") -> Problem:
    reason = "its masks outgrew MongoDB's 16 MiB while others wrote to it: sync again"
    return Problem(sample.image_id, sample.uri, "too_large", reason)


def _lost(run_id: int, image_id: int) -> Problem:
    reason = (
        f"run {run_id} has masks on image {image_id}, which is not in its `images`: import or run it again"
    )
    return Problem(image_id, "", "image", reason)
