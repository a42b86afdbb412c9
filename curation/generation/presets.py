"""Settings of a generation, and the presets that published work and the project's seeds use."""

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from curation.errors import InputError


@dataclass(frozen=True)
class GenerationSettings:
    """What decides which candidates become masks. The defaults are segment-anything's own.

    Thresholds of 0 switch their filter off, as they do there.
    """

    #: Points a side of the grid over the whole image.
    points_per_side: int = 32
    #: Kept above this (SAM's own estimate of a mask's IoU).
    predicted_iou_threshold: float = 0.88
    #: Kept from this on (IoU of the mask at logits above +offset and above -offset).
    stability_threshold: float = 0.95
    #: In logits.
    stability_offset: float = 1.0
    #: Of two boxes of one crop whose IoU is above this, the one with the lower predicted IoU goes.
    box_nms_threshold: float = 0.7
    #: Layers of crops beside the whole image; layer k has 2^k x 2^k crops.
    crop_layers: int = 0
    #: The same across crops; the mask of the smaller crop stays.
    crop_nms_threshold: float = 0.7
    #: Overlap of the crops of layer 1, as a share of the image's short side.
    crop_overlap_ratio: float = 512 / 1500
    #: The grid of layer k has points_per_side / this^k points a side.
    crop_points_downscale: int = 1
    #: Holes and islands smaller than this are filled and removed; 0 leaves masks as they are.
    min_region_px: int = 0
    #: Smallest area kept.
    min_area_px: int = 0
    #: Largest area kept, as a share of the image.
    max_area_share: float = 1.0

    def __post_init__(self) -> None:
        for name, low, high in _BOUNDS:
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name}: {value} came; it must lie in {low:g}..{high:g}")


_BOUNDS = (
    ("points_per_side", 1, 209),  # 209 * 209 * 3 candidates are the most that an id's index can hold
    ("predicted_iou_threshold", 0, math.inf),
    ("stability_threshold", 0, 1),
    ("stability_offset", 0, math.inf),
    ("box_nms_threshold", 0, 1),
    ("crop_layers", 0, 4),
    ("crop_nms_threshold", 0, 1),
    ("crop_overlap_ratio", 0, 0.99),
    ("crop_points_downscale", 1, 209),
    ("min_region_px", 0, math.inf),
    ("min_area_px", 0, math.inf),
    ("max_area_share", 0, 1),
)


@dataclass(frozen=True)
class Preset:
    source: str
    settings: GenerationSettings


PRESETS: Mapping[str, Preset] = types.MappingProxyType(
    {
        "sam-default": Preset("segment-anything's generator defaults", GenerationSettings()),
        "sam-paper": Preset(
            "SAM, appendix B (how SA-1B was made)",
            GenerationSettings(
                crop_layers=2,
                crop_points_downscale=2,
                min_region_px=100,
                # The paper drops 95 % and more, and this is the largest share kept.
                max_area_share=math.nextafter(0.95, 0),
            ),
        ),
        "sam2-default": Preset("SAM 2's generator defaults", GenerationSettings(predicted_iou_threshold=0.8)),
        "seed-stage2": Preset(
            "seed documents, semi-automatic stage",
            GenerationSettings(stability_threshold=0.92, min_area_px=100, max_area_share=0.9),
        ),
        "seed-stage3": Preset(
            "seed documents, fully automatic stage",
            # "Multi-scale" without a number: one layer of 2 x 2 crops is the least that is.
            GenerationSettings(
                predicted_iou_threshold=0.86, stability_threshold=0.92, crop_layers=1, crop_points_downscale=2
            ),
        ),
    }
)


def preset(name: str) -> GenerationSettings:
    """The settings of a preset. Raises InputError naming the presets there are."""
    if name not in PRESETS:
        raise InputError(f"preset {name!r}: there is no such preset; allowed are {', '.join(PRESETS)}")
    return PRESETS[name].settings


def change(settings: GenerationSettings, assignments: Iterable[str]) -> GenerationSettings:
    """The settings after `key=value` texts, each value read as its field's type. Raises InputError."""
    kinds = typing.get_type_hints(GenerationSettings)
    changes = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or name not in kinds:
            raise InputError(f"--set {assignment}: write key=value, with a key of {', '.join(kinds)}")
        try:
            changes[name] = kinds[name](text)
        except ValueError as error:
            kind = "a whole number" if kinds[name] is int else "a number"
            raise InputError(f"--set {assignment}: {text!r} came; {name} must be {kind}") from error
    return dataclasses.replace(settings, **changes)
