"""COCO files into the lake: reading one image."""

from typing import ClassVar

from curation.errors import RecordError
from curation.formats import coco, listing, mask_import
from curation.formats.coco_plan import CocoItem, CocoPlan, mapped, plan_files, read_slice
from curation.formats.mask_import import SHARD_SIZE, GoldOrigin, Import, RecordPlan, StageOrigin
from curation.formats.records import Record
from curation.lake import Lake

__all__ = ["ImportWork", "plan_files", "start"]


class ImportWork(mask_import.ImportWork):
    """Reads images of COCO files."""

    format: ClassVar[str] = "coco"

    def read(self, item: CocoItem) -> Record:
        if item.fault:
            raise RecordError(item.fault)
        plan: CocoPlan = self.plan.records
        image = coco.parse_image(read_slice(plan.files[item.image_file], item.image_slice))
        data = mapped(plan.files[item.file])
        bounds = item.annotation_slices
        slices = [data[start:stop] for start, stop in zip(bounds[::2], bounds[1::2], strict=True)]
        return coco.parse_annotations(slices, item.annotation_indexes, image, plan.names[item.file])

    def picture_uri(self, item: CocoItem, record: Record) -> str:
        if self.images_folder is None:
            return listing.beside(self.plan.records.files[item.image_file].uri, record.image.file_name)
        return super().picture_uri(item, record)


def start(
    lake: Lake,
    plan: RecordPlan,
    source: str,
    origin: GoldOrigin | StageOrigin,
    images_folder: str | None = None,
    shard_size: int = SHARD_SIZE,
) -> Import:
    """Find the run of these files and this origin, or number a new one: `mask_import.start`."""
    images_folder = None if images_folder is None else listing.canonical_uri(images_folder)
    return mask_import.start(lake, ImportWork(plan, origin, images_folder), source, shard_size)
