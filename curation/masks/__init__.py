"""Masks as run lengths: the only place that knows RLE. Compiled kernels on runs, never a full canvas."""

from curation.masks.boundary import boundaries, boundary_distance_px, erode
from curation.masks.codec import areas_and_boxes, parse, parse_strings, to_coco, to_strings
from curation.masks.geometry import areas, boxes, holes, largest_pieces, shape
from curation.masks.iou import intersections, iou, paired_intersections, paired_iou
from curation.masks.labels import encode_labels
from curation.masks.moments import axis_lengths, moments
from curation.masks.npy import to_npy
from curation.masks.outlines import smoothness
from curation.masks.pixels import decode, encode
from curation.masks.polygons import join_polygons, rasterise
from curation.masks.regions import complement, large_regions, largest_region, remove_small_regions, union
from curation.masks.runs import MAX_IMAGE_PX, MAX_SIDE_PX, Runs
from curation.masks.segments import split

__all__ = [
    "MAX_IMAGE_PX",
    "MAX_SIDE_PX",
    "Runs",
    "areas",
    "areas_and_boxes",
    "axis_lengths",
    "boundaries",
    "boundary_distance_px",
    "boxes",
    "complement",
    "decode",
    "encode",
    "encode_labels",
    "erode",
    "holes",
    "intersections",
    "iou",
    "join_polygons",
    "large_regions",
    "largest_pieces",
    "largest_region",
    "moments",
    "paired_intersections",
    "paired_iou",
    "parse",
    "parse_strings",
    "rasterise",
    "remove_small_regions",
    "shape",
    "smoothness",
    "split",
    "to_coco",
    "to_npy",
    "to_strings",
    "union",
]
