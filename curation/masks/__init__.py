"""Masks as run lengths: the only place that knows RLE. Compiled kernels on runs, never a full canvas."""

from curation.masks.codec import parse, parse_strings, to_coco, to_strings
from curation.masks.geometry import areas, boxes, shape
from curation.masks.iou import intersections, iou
from curation.masks.pixels import decode, encode
from curation.masks.regions import complement, largest_region, remove_small_regions, union
from curation.masks.runs import MAX_IMAGE_PX, MAX_SIDE_PX, Runs

__all__ = [
    "MAX_IMAGE_PX",
    "MAX_SIDE_PX",
    "Runs",
    "areas",
    "boxes",
    "complement",
    "decode",
    "encode",
    "intersections",
    "iou",
    "largest_region",
    "parse",
    "parse_strings",
    "remove_small_regions",
    "shape",
    "to_coco",
    "to_strings",
    "union",
]
