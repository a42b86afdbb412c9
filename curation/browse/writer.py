"""Bulk writes into a FiftyOne dataset's collection, past FiftyOne's own objects."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import bson
from pymongo import DeleteOne, UpdateOne
from pymongo.errors import BulkWriteError, PyMongoError

from curation.browse import documents
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

    `on_too_large(sample)` hears of a sample that outgrew MongoDB's limit because others wrote to it meanwhile.
    """

    def __init__(self, dataset: "fo.Dataset", on_too_large: Callable[[SampleDocument], None]) -> None:
        self.n_images = 0
        self.n_masks = 0
        self._collection = dataset._sample_collection
        self._dataset_id = dataset._doc.id
        self._on_too_large = on_too_large
        self._waiting: list[SampleDocument] = []
        self._waiting_bytes = 0

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
        errors: list[dict] = []
        with explain_outage():
            try:
                self._collection.bulk_write(updates, ordered=False)
            except BulkWriteError as error:
                errors = error.details["writeErrors"]
        failed = {e["index"]: e["code"] for e in errors}
        unknown = [e["errmsg"] for e in errors if e["code"] not in (DUPLICATE_KEY, *TOO_LARGE)]
        if unknown:
            raise CurationError(f"MongoDB refused {len(unknown)} sample(s): {unknown[0]}")
        written = [sample for index, sample in enumerate(samples) if index not in failed]
        self.n_images += len(written)
        self.n_masks += sum(len(sample.mask_ids) for sample in written)
        too_large = [samples[index] for index, code in failed.items() if code in TOO_LARGE]
        # The other sync's sample is there now, so the same update merges into it.
        again = [samples[index] for index, code in failed.items() if code == DUPLICATE_KEY]
        return too_large + self._write(again)


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
