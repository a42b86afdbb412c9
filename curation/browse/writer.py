"""Bulk writes into a FiftyOne dataset's collection, past FiftyOne's own objects."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import bson
from pymongo import DeleteOne, UpdateOne
from pymongo.errors import BulkWriteError, PyMongoError

from curation.browse import documents
from curation.browse.comparison import Renewal
from curation.browse.documents import SAMPLE_PREFIX, SampleDocument, object_id
from curation.errors import CurationError

if TYPE_CHECKING:
    import fiftyone as fo

#: Bytes and images of one bulk write; larger ones were no faster and keep more in memory.
BATCH_BYTES = 8 * 2**20
BATCH_IMAGES = 500
#: MongoDB's code for two upserts of one new sample at the same moment.
DUPLICATE_KEY = 11000
#: MongoDB's codes for a document that would grow over 16 MiB.
TOO_LARGE = (10334, 17419, 17420)


class Writer:
    """Collects samples and writes them in batches. Call `flush` at the end.

    `n_images` and `n_masks` are those written. `on_too_large(sample)` hears of a sample that outgrew MongoDB's limit because others wrote to it meanwhile.
    """

    def __init__(
        self, dataset: "fo.Dataset", on_too_large: Callable[[SampleDocument | Renewal], None]
    ) -> None:
        self.n_masks = 0
        self._image_ids: set[int] = set()
        self._collection = dataset._sample_collection
        self._dataset_id = dataset._doc.id
        self._on_too_large = on_too_large
        self._waiting: list[SampleDocument] = []
        self._waiting_bytes = 0

    @property
    def n_images(self) -> int:
        return len(self._image_ids)

    def add(self, sample: SampleDocument) -> None:
        self._waiting.append(sample)
        self._waiting_bytes += sample.n_bytes
        if self._waiting_bytes >= BATCH_BYTES or len(self._waiting) >= BATCH_IMAGES:
            self.flush()

    def flush(self) -> None:
        """Write what waits. Raises CurationError where MongoDB does not take it."""
        for sample in self._write(self._waiting):
            self._on_too_large(sample)
        self._waiting, self._waiting_bytes = [], 0

    def renew(self, renewals: Sequence[Renewal]) -> None:
        """Give masks that are there new values. Raises CurationError where MongoDB does not take it."""
        now = _now()
        plain = [renewed for renewed in renewals if renewed.is_plain]
        if plain and self._set_in_place(plain, now):
            renewals = [renewed for renewed in renewals if not renewed.is_plain]
        updates = [
            UpdateOne({"_id": object_id(SAMPLE_PREFIX, r.image_id)}, documents.renewal(r, now))
            for r in renewals
        ]
        failed = self._bulk_write(updates)[0]
        for index in failed:
            self._on_too_large(renewals[index])
        self._count(renewed for index, renewed in enumerate(renewals) if index not in failed)

    def _set_in_place(self, renewals: Sequence[Renewal], now: datetime) -> bool:
        """Whether all of them took it. Where others changed a sample meanwhile, the merge is for all: it may be repeated."""
        updates = [UpdateOne(*documents.plain_renewal(renewed, now)) for renewed in renewals]
        failed, n_matched = self._bulk_write(updates)
        is_done = not failed and n_matched == len(updates)
        if is_done:
            self._count(renewals)
        return is_done

    def remove(self, image_id: int, mask_ids: Sequence[int]) -> None:
        """Take masks out of one sample."""
        update = documents.removal(mask_ids, _now())
        with explain_outage():
            self._collection.update_one({"_id": object_id(SAMPLE_PREFIX, image_id)}, update)

    def remove_empty(self, image_ids: Sequence[int]) -> None:
        """Take away those samples that show no mask, nor anything that a person drew as one."""
        deletions = [DeleteOne({"_id": object_id(SAMPLE_PREFIX, i), "n_masks": 0}) for i in image_ids]
        if deletions:
            with explain_outage():
                self._collection.bulk_write(deletions, ordered=False)

    def _write(self, samples: Sequence[SampleDocument]) -> list[SampleDocument]:
        """Write samples and return those that are too large."""
        if not samples:
            return []
        now = _now()
        updates = [
            UpdateOne(
                {"_id": sample.object_id},
                documents.upsert(sample, self._dataset_id, random.random(), now),  # nosec B311  # where FiftyOne shuffles
                upsert=True,
            )
            for sample in samples
        ]
        failed, _ = self._bulk_write(updates)
        self._count(sample for index, sample in enumerate(samples) if index not in failed)
        too_large = [samples[index] for index, code in failed.items() if code in TOO_LARGE]
        # The other sync's sample is there now, so the same update merges into it.
        again = [samples[index] for index, code in failed.items() if code == DUPLICATE_KEY]
        return too_large + self._write(again)

    def _bulk_write(self, updates: Sequence[UpdateOne]) -> tuple[dict[int, int], int]:
        """({index: code} of updates that others or the limit were in the way of, how many samples matched)."""
        if not updates:
            return {}, 0
        with explain_outage():
            try:
                return {}, self._collection.bulk_write(updates, ordered=False).matched_count
            except BulkWriteError as error:
                errors, n_matched = error.details["writeErrors"], error.details["nMatched"]
        unknown = [e["errmsg"] for e in errors if e["code"] not in (DUPLICATE_KEY, *TOO_LARGE)]
        if unknown:
            raise CurationError(f"MongoDB refused {len(unknown)} sample(s): {unknown[0]}")
        return {e["index"]: e["code"] for e in errors}, n_matched

    def _count(self, written: Iterable[SampleDocument | Renewal]) -> None:
        for sample in written:
            self._image_ids.add(sample.image_id)
            self.n_masks += len(sample.mask_ids)


@contextmanager
def explain_outage() -> Iterator[None]:
    """Turn a database that has gone away into what to do about it."""
    try:
        yield
    except BulkWriteError:
        raise
    except (PyMongoError, bson.errors.BSONError) as error:
        raise CurationError(
            f"FiftyOne's MongoDB failed ({type(error).__name__}: {error}); what was written stays: "
            "see that it runs and has disk space, then sync again, it goes on from there"
        ) from error


def _now() -> datetime:
    return datetime.now(timezone.utc)
