"""The FiftyOne dataset that shows a workspace: its fields, indexes and saved views."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from curation.browse import database
from curation.browse.comparison import ATTRIBUTES, FINGERPRINT, MASK_FINGERPRINTS
from curation.errors import CurationError, InputError
from curation.schemas import ARROW_TYPES, Column

if TYPE_CHECKING:
    import fiftyone as fo

MASKS = "masks"
#: Where a dataset says which workspace it shows.
INFO = "curation"
#: A view of the worst masks leaves out those at or above it: SAM, section 5, reports the share above 0.90.
GOOD_IOU = 0.9
#: A view of single masks copies them; this bounds how many it copies.
N_WORST_IMAGES = 1_000
#: Where INFO keeps the names of the views of clusters, so that a later sync removes those and no other.
CLUSTER_VIEWS = "cluster_views"
#: FiftyOne takes 100 characters.
MOST_VIEW_NAME = 90


def prepare(name: str, workspace: Path) -> "fo.Dataset":
    """Make or open the persistent dataset `name` of a workspace, with every field and index declared.

    Raises InputError where the name is not allowed or belongs to something else.
    """
    fo = database.connect()
    with database.alone():
        if fo.dataset_exists(name):
            dataset = fo.load_dataset(name)
            dataset.reload()
            _check_owner(fo, dataset, workspace)
        else:
            dataset = _create(fo, name, workspace)
        _declare_fields(fo, dataset)
        dataset.create_index("image_id", unique=True)
        dataset.create_index(f"{MASKS}.detections.mask_id")
    return dataset


def open_existing(name: str) -> "fo.Dataset":
    """The dataset `name`. Raises InputError that lists those that there are."""
    fo = database.connect()
    names = [row["dataset"] for row in listing().to_pylist()]
    if not fo.dataset_exists(name):
        there = ", ".join(names) or "none yet: make one with `curation browse sync`"
        raise InputError(f"FiftyOne has no dataset {name!r}; there are: {there}")
    return fo.load_dataset(name)


def listing() -> pa.Table:
    """The datasets that were synced from a workspace: name, workspace, images, masks, version, last sync."""
    fo = database.connect()
    rows = {name: [] for name in ("dataset", "workspace", "n_images", "n_masks", "lake_version", "synced_at")}
    for name in fo.list_datasets():
        dataset = fo.load_dataset(name)
        facts = (dataset.info or {}).get(INFO)
        if facts is None:
            continue
        values = (
            name,
            facts["workspace"],
            dataset.count(),
            dataset.count(f"{MASKS}.detections"),
            facts.get("lake_version"),
            facts.get("synced_at"),
        )
        for column, value in zip(rows.values(), values, strict=True):
            column.append(value)
    return pa.table(rows)


def default_name(workspace: Path) -> str:
    """Name of a workspace's dataset where no one gives one."""
    return f"curation-{workspace.name}"


def samples(dataset: "fo.Dataset") -> Iterator[dict]:
    """What the dataset holds of the lake, sample by sample, without pixels; see `comparison.compare`."""
    mask_ids = {
        "$map": {
            "input": {"$ifNull": ["$masks.detections", []]},
            "as": "mask",
            "in": {"$ifNull": ["$$mask.mask_id", None]},
        }
    }
    stages = [
        {"$match": {"image_id": {"$ne": None}}},
        {
            "$project": {
                "image_id": 1,
                "fingerprint": f"${MASKS}.{FINGERPRINT}",
                "size_bytes": {"$bsonSize": "$$ROOT"},
                "modified_at": "$last_modified_at",
                "mask_ids": mask_ids,
                "fingerprints": f"${MASKS}.{MASK_FINGERPRINTS}",
            }
        },
    ]
    for sample in dataset._sample_collection.aggregate(stages, allowDiskUse=True):
        fingerprints = sample.get("fingerprints") or {}
        yield {
            "image_id": int(sample["image_id"]),
            "fingerprint": sample.get("fingerprint"),
            "size_bytes": sample["size_bytes"],
            "modified_at": sample.get("modified_at"),
            "mask_ids": [None if mask_id is None else int(mask_id) for mask_id in sample["mask_ids"]],
            "fingerprints": [fingerprints.get(mask_id) for mask_id in sample["mask_ids"]],
        }


def save_views(dataset: "fo.Dataset", stages: Sequence[str]) -> None:
    """Save a view for each stage and, where there is gold, the masks that agree with it worst, worst first.

    A view that is there already stays as it is, so people may change it.
    """
    from fiftyone import ViewField as F

    with database.alone():
        dataset.reload()
        for stage in stages:
            view = dataset.filter_labels(MASKS, F("stage") == stage)
            about = "Masks of this stage of the data engine."
            _save_view(dataset, f"stage {stage.replace('_', ' ')}", about, lambda view=view: view)
        if dataset.count("worst_gold_iou"):
            _save_gold_views(dataset)
        if dataset.count(f"{MASKS}.detections.verdict"):
            view = dataset.filter_labels(MASKS, F("verdict").is_in(["fix", "reject"]))
            _save_view(dataset, "to fix or reject", "Masks that raters would not accept.", lambda: view)


def save_cluster_views(dataset: "fo.Dataset", found: Mapping[int, tuple[str, str]]) -> None:
    """A saved view for each cluster of `found` (number -> words, and more about it) that has masks in the dataset.

    Views of clusters that are gone, or are called otherwise now, are removed; views that people made stay.
    """
    from fiftyone import ViewField as F

    with database.alone():
        dataset.reload()
        present = set(dataset.distinct(f"{MASKS}.detections.clusters"))
        wanted = {_cluster_view(k, words): (k, about) for k, (words, about) in found.items() if k in present}
        ours = set((dataset.info or {}).get(INFO, {}).get(CLUSTER_VIEWS, []))
        for name in [one for one in wanted if one not in ours and dataset.has_saved_view(one)]:
            del wanted[name]  # a person made it
        if not (wanted or ours):
            return
        # Said before they are made: a sync that is killed between leaves no view that none knows.
        _note(dataset, **{CLUSTER_VIEWS: sorted(ours | wanted.keys())})
        for name in sorted(ours - wanted.keys()):
            if dataset.has_saved_view(name):
                dataset.delete_saved_view(name)
        for name, (cluster, about) in wanted.items():
            view = dataset.filter_labels(MASKS, F("clusters").contains(cluster))
            _save_view(dataset, name, about, lambda view=view: view)
            if name in ours:
                dataset.update_saved_view_info(name, {"description": about})
        _note(dataset, **{CLUSTER_VIEWS: sorted(wanted)})


def _cluster_view(cluster: int, words: str) -> str:
    name = f"cluster {cluster}: {words}"
    return name if len(name) <= MOST_VIEW_NAME else f"{name[: MOST_VIEW_NAME - 1]}…"


def _save_gold_views(dataset: "fo.Dataset") -> None:
    from fiftyone import ViewField as F

    # To MongoDB, null is less than every number.
    is_bad = (F("gold_iou") >= 0) & (F("gold_iou") < GOOD_IOU)
    images = dataset.filter_labels(MASKS, is_bad).sort_by("worst_gold_iou")
    about = f"Masks whose gold IoU is below {GOOD_IOU}, the images with the worst of them first."
    _save_view(dataset, "worst gold IoU", about, lambda: images)
    about = f"The same masks, one tile each, worst first, of the {N_WORST_IMAGES:,} worst images."
    worst = images.limit(N_WORST_IMAGES)
    _save_view(
        dataset,
        "worst gold IoU, mask by mask",
        about,
        lambda: worst.to_patches(MASKS).sort_by(f"{MASKS}.gold_iou"),
    )


def note_sync(dataset: "fo.Dataset", lake_version: int) -> None:
    """Write into the dataset which version of the lake it shows, and when it was synced."""
    with database.alone():
        dataset.reload()
        synced_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        _note(dataset, lake_version=lake_version, synced_at=synced_at)


def _note(dataset: "fo.Dataset", **facts: object) -> None:
    dataset.info = {**dataset.info, INFO: {**dataset.info[INFO], **facts}}
    dataset.save()


def _save_view(dataset: "fo.Dataset", name: str, about: str, view: Callable[[], "fo.DatasetView"]) -> None:
    if not dataset.has_saved_view(name):
        dataset.save_view(name, view(), description=about)


def _create(fo: object, name: str, workspace: Path) -> "fo.Dataset":
    try:
        dataset = fo.Dataset(name, persistent=True)
    except ValueError as error:
        raise InputError(f"--dataset {name!r}: {error}") from error
    _adopt(fo, dataset, workspace)
    return dataset


def _adopt(fo: object, dataset: "fo.Dataset", workspace: Path) -> None:
    dataset.media_type = "image"
    dataset.info = {INFO: {"workspace": str(workspace)}}
    # Masks of one class would all have one colour; by instance, neighbours can be told apart.
    dataset.app_config.color_scheme = fo.ColorScheme(color_by="instance")
    dataset.save()


def _check_owner(fo: object, dataset: "fo.Dataset", workspace: Path) -> None:
    owner = (dataset.info or {}).get(INFO, {}).get("workspace")
    if owner is None:
        if not dataset.count():  # a sync that was killed while it made the dataset
            _adopt(fo, dataset, workspace)
            return
        raise InputError(
            f"FiftyOne's dataset {dataset.name!r} was not made from a workspace: give --dataset another name"
        )
    if owner != str(workspace):
        raise InputError(
            f"FiftyOne's dataset {dataset.name!r} shows the workspace {owner}, and mask ids of {workspace} would "
            "mix with its: give --dataset another name"
        )


def _declare_fields(fo: object, dataset: "fo.Dataset") -> None:
    """Declare what the documents hold, so that the App's sidebar offers it; fields there already stay."""
    wanted = {
        "image_id": fo.StringField(description="id of the image in the lake"),
        "file_name": fo.StringField(description="name of the image file"),
        "run_ids": fo.ListField(fo.IntField(), description="runs whose masks are shown"),
        "n_masks": fo.IntField(description="masks shown on this image"),
        "coverage": fo.FloatField(description="share of the image under a mask of its newest run chosen"),
        "worst_gold_iou": fo.FloatField(description="lowest gold IoU of the masks shown"),
        MASKS: fo.EmbeddedDocumentField(fo.Detections, description="masks of the lake"),
    }
    of_mask = {"mask_id": fo.StringField(description="id of the mask in the lake")}
    of_mask |= {c.name: _field(fo, c) for c in ATTRIBUTES}
    # The masks' own fields can only be declared once there are masks to hold them.
    for fields in (wanted, {f"{MASKS}.detections.{name}": field for name, field in of_mask.items()}):
        declared = dataset.get_field_schema(flat=True)
        dataset.add_dynamic_sample_fields({path: f for path, f in fields.items() if path not in declared})


def _field(fo: object, column: Column) -> "fo.Field":
    kind = ARROW_TYPES[column.type]
    if pa.types.is_boolean(kind):
        return fo.BooleanField(description=column.about)
    if pa.types.is_integer(kind):
        return fo.IntField(description=column.about)
    if pa.types.is_floating(kind):
        return fo.FloatField(description=column.about)
    if pa.types.is_string(kind):
        return fo.StringField(description=column.about)
    if pa.types.is_list(kind) and pa.types.is_floating(kind.value_type):
        return fo.ListField(fo.FloatField(), description=column.about)
    if pa.types.is_list(kind) and pa.types.is_integer(kind.value_type):
        return fo.ListField(fo.IntField(), description=column.about)
    if pa.types.is_list(kind) and pa.types.is_string(kind.value_type):
        return fo.ListField(fo.StringField(), description=column.about)
    raise CurationError(f"column {column.name} is of type {column.type}, which no field of FiftyOne holds")
