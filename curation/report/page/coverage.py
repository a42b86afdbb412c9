"""Sections on how masks share their image: what they cover, and what they mask twice."""

from curation.report.page.blocks import Block
from curation.report.page.dots import dot, dot_of, dots_figure, number_of
from curation.report.page.facts import Facts

OVERLAPS = {
    "any": "share a pixel with another",
    "over_warning": "IoU over {:.1f} with another",
    "over_limit": "IoU over {:.1f} with another",
    "inside": "lie inside another ({:.0%})",
}
COVERAGE = {
    "mean_covered_share": "area under masks",
    "large_region_image_share": "images with a large bare region",
    "no_mask_image_share": "images without masks",
}


def coverage(facts: Facts) -> list[Block]:
    makers = (_covered, _overlaps, _duplicates, _crowdedness)
    return [block for maker in makers for block in maker(facts)]


def _covered(facts: Facts) -> list[Block]:
    rows = [row for row in facts.rows("coverage") if row["figure"] in COVERAGE]
    if not rows:
        return []
    dots = [dot(COVERAGE[row["figure"]], row["estimate"], row["low"], row["high"]) for row in rows]
    meanings = "; ".join(row["meaning"] for row in rows)
    return [dots_figure("coverage", "Coverage", dots, rows[0], f"{meanings.capitalize()}.", "share")]


def _overlaps(facts: Facts) -> list[Block]:
    rows = facts.rows("overlaps")
    if not rows:
        return []
    dots = [
        dot_of(OVERLAPS.get(row["overlap"], row["overlap"]).format(row["threshold"] or 0), row, "mask_share")
        for row in rows
    ]
    about = "Share of masks. Parts on wholes overlap rightly; an IoU over 0.7 is a near duplicate."
    return [dots_figure("overlaps", "Overlaps", dots, rows[0], about)]


def _duplicates(facts: Facts) -> list[Block]:
    rows = facts.rows("near_duplicates")
    if not rows:
        return []
    dots = [dot_of(f"IoU over {row['iou_threshold']:g}", row, "extra_share") for row in rows]
    about = (
        "Share of masks that show what an earlier mask of their image shows already, by the IoU of the two."
    )
    return [dots_figure("near_duplicates", "Near duplicates", dots, rows[0], about)]


def _crowdedness(facts: Facts) -> list[Block]:
    rows = facts.rows("crowdedness")
    if not rows:
        return []
    dots = [dot_of(_crowd(row), row, "image_share") for row in rows]
    first = rows[0]
    mean = number_of(first, "mean_crowdedness")
    about = (
        f"Share of images by the mean number of other masks whose boxes intersect a mask's box; mean {mean}."
    )
    return [dots_figure("crowdedness", "Crowdedness", dots, first, about, "share of images")]


def _crowd(row: dict) -> str:
    if row["crowdedness_to"] is None:
        return f"{row['crowdedness_from']} and more neighbours"
    return f"{row['crowdedness_from']} to {row['crowdedness_to']} neighbours"
