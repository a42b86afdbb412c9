"""Rows of the lake as the BSON documents that FiftyOne keeps: pure functions, no FiftyOne, no database.

A document with `_cls` "Detection" is what FiftyOne itself stores for an `fo.Detection`, without the cost of
making and checking one Python object a mask. Needs `bson`, which comes with FiftyOne.
"""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import bson
from bson.raw_bson import RawBSONDocument

from curation import masks
from curation.browse.comparison import FINGERPRINT, MASK_FINGERPRINTS, Renewal
from curation.masks import Runs

#: Label of a mask that has none; SA-1B is class-agnostic.
DEFAULT_LABEL = "mask"
#: First four bytes of the ObjectIds of samples and detections; the lake's id fills the other eight.
SAMPLE_PREFIX, DETECTION_PREFIX = b"imag", b"mask"

#: Tag of a judged mask; no other tag starts so, because a sync takes the tag of an earlier verdict away.
VERDICT_TAGS = {decision: f"verdict: {decision}" for decision in ("accept", "fix", "reject", "unsure")}
#: Tag of a mask that a person drew or corrected.
DRAWN_TAG = "drawn"


@dataclass(frozen=True)
class SampleDocument:
    """What a sync writes to one sample: fields that its masks do not determine, and encoded detections."""

    image_id: int
    uri: str
    fingerprint: str
    fields: Mapping[str, object]
    mask_ids: Sequence[int]
    fingerprints: Sequence[str]
    detections: Sequence[RawBSONDocument]

    @property
    def object_id(self) -> bson.ObjectId:
        return object_id(SAMPLE_PREFIX, self.image_id)

    @property
    def n_bytes(self) -> int:
        return sum(len(detection.raw) for detection in self.detections)


def object_id(prefix: bytes, number: int) -> bson.ObjectId:
    """The ObjectId that always names the same image or mask: `prefix` (4 bytes) and the lake's id."""
    return bson.ObjectId(prefix + struct.pack(">Q", number))


def relative_box(bbox_xywh: Sequence[int], width_px: int, height_px: int) -> list[float]:
    """A pixel box as FiftyOne's [x, y, w, h] in shares of the image, losing no row or column.

    FiftyOne gets pixels back with int(share * size), which cuts off: 29 / 100 * 100 is 28.999…. So shares are
    the nearest floats whose products do not fall below the pixel, and x + w likewise.
    """
    x, y, w, h = bbox_xywh
    left, width = _span(x, x + w, width_px)
    top, height = _span(y, y + h, height_px)
    return [left, top, width, height]


def _span(first_px: int, stop_px: int, size_px: int) -> tuple[float, float]:
    """(start, length) of the pixels [first, stop) as shares of `size_px`."""
    start, stop = _share(first_px, size_px), _share(stop_px, size_px)
    length = stop - start
    while start + length < stop:
        length += math.ulp(stop)
    return start, length


def _share(position_px: int, size_px: int) -> float:
    share = position_px / size_px
    return share if size_px * share >= position_px else math.nextafter(share, 2.0)


def detections(
    rows: Sequence[Mapping[str, object]], runs: Runs, attributes: Sequence[str]
) -> Iterator[RawBSONDocument]:
    """One encoded Detection for each of `rows`, whose masks are `runs` in the same order.

    `attributes` names the columns that are copied as they are. The crop and `bounding_box` are the tight box
    of the mask itself, so no row or column is lost. An empty mask has nothing to draw: a zero box, no crop.
    """
    for row, box, crop in zip(rows, masks.boxes(runs).tolist(), masks.to_npy(runs), strict=True):
        document = {
            "_id": object_id(DETECTION_PREFIX, row["mask_id"]),
            "_cls": "Detection",
            "attributes": {},
            "tags": _tags(row),
            "label": row["label"] or DEFAULT_LABEL,
            "bounding_box": relative_box(box, runs.width, runs.height),
            "confidence": row["predicted_iou"],
            "mask_id": str(row["mask_id"]),
        }
        if box[2]:
            document["mask"] = crop
        for name in attributes:
            document[name] = row[name]
        yield RawBSONDocument(bson.encode(document))


def _tags(row: Mapping[str, object]) -> list[str]:
    tags = [row["stage"]]
    if row["verdict"]:
        tags.append(VERDICT_TAGS[row["verdict"]])
    if row["drawn_by"]:
        tags.append(DRAWN_TAG)
    return tags


def upsert(sample: SampleDocument, dataset_id: bson.ObjectId, rand: float, now: datetime) -> list[dict]:
    """The update (an aggregation pipeline) that puts masks into their sample, in one atomic step.

    A mask that is there already keeps what people and other tools added to it (tags, fields); new masks go
    to the end. The database itself merges, so two syncs of one image at once lose nothing.
    """
    is_present = {"$in": ["$$new.mask_id", {"$ifNull": ["$masks.detections.mask_id", []]}]}
    added = {"$filter": {"input": "$$incoming", "as": "new", "cond": {"$not": is_present}}}
    # Bound once: an update may not be larger than a document, 16 MiB.
    incoming = {"$literal": list(sample.detections)}
    merged = _let("incoming", incoming, {"$concatArrays": [_kept_or_renewed(sample.mask_ids), added]})
    fields = {
        "_media_type": "image",
        "_dataset_id": dataset_id,
        "_rand": {"$ifNull": ["$_rand", rand]},
        "tags": {"$ifNull": ["$tags", []]},
        "created_at": {"$ifNull": ["$created_at", now]},
        "last_modified_at": now,
        **{name: {"$literal": value} for name, value in sample.fields.items()},
        "masks": {
            "_cls": "Detections",
            FINGERPRINT: sample.fingerprint,
            MASK_FINGERPRINTS: _with_fingerprints(sample),
            "detections": merged,
        },
    }
    return [{"$set": fields}, SUMMARY]


def renewal(renewed: Renewal, now: datetime) -> list[dict]:
    """The update (an aggregation pipeline) that gives masks in a sample their new values and tags.

    Their pixels stay as they are, and a mask that is gone meanwhile stays so.
    """
    incoming = []
    for index in range(len(renewed.mask_ids)):
        row = {name: values[index] for name, values in renewed.values.items()}
        incoming.append({**row, "tags": _tags(row)})
    merged = _let("incoming", {"$literal": incoming}, _kept_or_renewed(renewed.mask_ids))
    of_masks = {MASK_FINGERPRINTS: _with_fingerprints(renewed), "detections": merged}
    return [{"$set": {"masks": of_masks, "last_modified_at": now}}, SUMMARY]


def plain_renewal(renewed: Renewal, now: datetime) -> tuple[dict, dict]:
    """(filter, update) that set values where they lie, four times as fast as `renewal`; for plain columns alone.

    The filter lets the sample pass only as it was when it was read: FiftyOne, too, writes the time of every change.
    """
    sample = {"_id": object_id(SAMPLE_PREFIX, renewed.image_id), "last_modified_at": renewed.modified_at}
    fields = {
        f"masks.detections.{place}.{name}": value
        for name in renewed.columns
        for place, value in zip(renewed.places, renewed.values[name], strict=True)
    }
    if len(renewed.mask_ids) == renewed.n_held:  # one field is a third faster to set than one for each mask
        fields[f"masks.{MASK_FINGERPRINTS}"] = _fingerprints(renewed)
    else:
        for mask_id, fingerprint in _fingerprints(renewed).items():
            fields[f"masks.{MASK_FINGERPRINTS}.{mask_id}"] = fingerprint
    return sample, {"$set": fields | {"last_modified_at": now}}


def removal(mask_ids: Sequence[int], now: datetime) -> list[dict]:
    """The update that takes masks out of a sample; masks that people drew in FiftyOne have no id and stay."""
    gone = [str(mask_id) for mask_id in mask_ids]
    is_gone = {"$in": [{"$ifNull": ["$$old.mask_id", None]}, gone]}
    left = {"$filter": {"input": "$masks.detections", "as": "old", "cond": {"$not": is_gone}}}
    return [
        {"$set": {"masks.detections": left, "last_modified_at": now}},
        {"$unset": [f"masks.{MASK_FINGERPRINTS}.{mask_id}" for mask_id in gone]},
        SUMMARY,
    ]


def _kept_or_renewed(mask_ids: Sequence[int]) -> dict:
    """Detections of a sample, those of `mask_ids` merged with what `$$incoming` has of them, in the same order."""
    # A constant array is what $indexOfArray turns into a hash table: the merge stays linear.
    incoming_ids = {"$literal": [str(mask_id) for mask_id in mask_ids]}
    place = {"$indexOfArray": [incoming_ids, {"$ifNull": ["$$old.mask_id", None]}]}
    of_people = {"$setDifference": [{"$ifNull": ["$$old.tags", []]}, list(VERDICT_TAGS.values())]}
    tags = {"tags": {"$setUnion": [of_people, "$$new.tags"]}}
    renewed = _let(
        "new", {"$arrayElemAt": ["$$incoming", "$$place"]}, {"$mergeObjects": ["$$old", "$$new", tags]}
    )
    return {
        "$map": {
            "input": {"$ifNull": ["$masks.detections", []]},
            "as": "old",
            "in": _let("place", place, {"$cond": [{"$lt": ["$$place", 0]}, "$$old", renewed]}),
        }
    }


def _with_fingerprints(of: SampleDocument | Renewal) -> dict:
    """What the sample keeps of its masks' fingerprints, and those that are written now."""
    return {"$mergeObjects": [f"$masks.{MASK_FINGERPRINTS}", {"$literal": _fingerprints(of)}]}


def _fingerprints(of: SampleDocument | Renewal) -> dict[str, str]:
    return dict(zip(map(str, of.mask_ids), of.fingerprints, strict=True))


def _let(name: str, value: object, then: object) -> dict:
    return {"$let": {"vars": {name: value}, "in": then}}


#: Sample fields that follow from the masks on it, computed where the masks are merged.
SUMMARY = {
    "$set": {
        "n_masks": {"$size": "$masks.detections"},
        "run_ids": {"$setUnion": ["$masks.detections.run_id", []]},
        "worst_gold_iou": {"$min": "$masks.detections.gold_iou"},
    }
}
