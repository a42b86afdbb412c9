"""What rules can say of a mask: each attribute as SQL over the described masks, and in words.

Subqueries name no outer column but by tuples, so that a rule means the same under any name of the view.
"""

from dataclasses import dataclass

from curation.settings import FAILURES

#: (value,) of a pair, as SQL: masks that share pixels with another that neither holds them nor lies in them.
OVERLAPPED_SQL = """mask_id IN (
    SELECT unnest([mask_id, other_mask_id]) FROM "overlaps"
    WHERE greatest(mask_share, other_share) BETWEEN {share} AND {rest}
)"""


@dataclass(frozen=True)
class Attribute:
    """`kind` number: `low` and `high` are words for its ends, None where an end is not looked at. `kind` flag:
    `words` where it holds. `kind` category: each frequent value is a condition, `words` holds {value}.

    Conditions of one `subject` exclude each other, so a rule takes one of them.
    """

    name: str
    sql: str
    kind: str
    words: str | None = None
    low: str | None = None
    high: str | None = None
    of_subject: str | None = None

    @property
    def subject(self) -> str:
        return self.of_subject or self.name


def number(name: str, low: str | None, high: str | None, sql: str | None = None) -> Attribute:
    return Attribute(name, sql or name, "number", low=low, high=high)


def flag(name: str, sql: str, words: str, subject: str | None = None) -> Attribute:
    return Attribute(name, sql, "flag", words=words, of_subject=subject)


def category(name: str, sql: str, words: str = "{value}") -> Attribute:
    return Attribute(name, sql, "category", words=words)


_IN_IMAGES = "(image_run_id, image_id) IN (SELECT (run_id, image_id) FROM image_coverage WHERE {condition})"

ATTRIBUTES: tuple[Attribute, ...] = (
    flag("is_tiny", f"area_px < {FAILURES.small_px}", "tiny (under 24² px)", "size"),
    flag("is_small", "area_px < 1024", "small (under 32² px)", "size"),
    flag("is_medium", "area_px >= 1024 AND area_px < 9216", "medium-sized (32² to 96² px)", "size"),
    flag("is_large", "area_px >= 9216", "large (96² px and more)", "size"),
    number("relative_size", "small against the image", "large against the image"),
    number("mean_width_px", "thin", None, "2.0 * area_px / nullif(perimeter_px, 0)"),
    number("elongation", "round", "elongated"),
    number("solidity", "concave", None),
    number("boundary_smoothness", "jagged outline", None),
    flag("touches_border", "n_borders_touched > 0", "touches the border"),
    flag("has_pieces", "n_components > 1", "in several pieces"),
    flag("has_holes", "n_holes > 0", "has holes"),
    flag("has_duplicates", "n_near_duplicates > 0", "has near duplicates"),
    flag("has_children", "n_children > 0", "contains other masks"),
    category("level", "level", "a {value}"),
    flag(
        "is_overlapped",
        OVERLAPPED_SQL.format(share=FAILURES.overlap_share, rest=1 - FAILURES.overlap_share),
        "partly under or over another mask",
    ),
    number("center_y", "near the top", "near the bottom", "center_xy[2]"),
    number("predicted_iou", "low predicted IoU", "high predicted IoU"),
    number("stability_score", "low stability", "high stability"),
    category("multimask_slot", "multimask_slot", "multimask slot {value}"),
    number("boundary_contrast", "low contrast", "strong contrast"),
    number("sharpness_inside", "blurred", "textured"),
    number("edge_alignment", "outline off the edges", None),
    flag(
        "is_crowded_image",
        _IN_IMAGES.format(condition=f"crowdedness >= {FAILURES.crowdedness}"),
        "in a crowded image",
        "crowdedness",
    ),
    flag(
        "is_sparse_image", _IN_IMAGES.format(condition="crowdedness < 2"), "in a sparse image", "crowdedness"
    ),
    number("image_px", "in a small image", "in a large image", "width_px::BIGINT * height_px"),
    category("folder", "regexp_extract(uri, '([^/]+)/[^/]+$', 1)", "images of {value}"),
    category("label", "label", "label {value}"),
    category("stage", "stage", "stage {value}"),
    category("cycle", "cycle", "cycle {value}"),
    category("run", "run_id", "run {value}"),
    category("model", "model", "model {value}"),
)

#: Numbers that say with an embedding what a mask is like; as logarithms where they span decades.
SPACE = (
    "relative_size", "mean_width_px", "elongation", "solidity", "predicted_iou", "stability_score",
    "boundary_contrast", "sharpness_inside", "edge_alignment",
)  # fmt: skip
LOGARITHMIC = ("relative_size", "mean_width_px", "sharpness_inside")


def of_verifier(verifier: str) -> tuple[Attribute, ...]:
    """What a verifier says of a mask: the seeds' bands of routing, 0.7 and 0.9."""
    name = verifier.replace("'", "''")
    bands = (("< 0.7", "the verifier doubts it"), (">= 0.9", "the verifier trusts it"))
    return tuple(
        flag(
            f"verifier_{place}",
            f"mask_id IN (SELECT mask_id FROM verifier_scores WHERE verifier = '{name}' AND score {band})",
            words,
            "verifier",
        )
        for place, (band, words) in enumerate(bands)
    )
