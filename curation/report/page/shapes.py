"""Sections on the masks themselves: where they came from, how large, what shape, where, how much they cover."""

from curation.report import figures
from curation.report.page.blocks import Block, Figure, Words
from curation.report.page.facts import Facts
from curation.report.page.words import basis, counted, number, percent, share

#: Filter of the ledger -> what people call it.
FATES = {
    "predicted_iou": "predicted IoU",
    "stability": "stability",
    "crop_edge": "cut by a crop",
    "min_area": "too small",
    "max_area": "too large",
    "duplicate_of": "duplicate",
    "empty": "empty",
    "kept": "kept",
}
OVERLAPS = {
    "any": "share a pixel with another",
    "over_warning": "IoU over {:.1f} with another",
    "over_limit": "IoU over {:.1f} with another",
    "inside": "lie inside another ({:.0%})",
}
COVERAGE = {
    "mean_covered_share": "of the image is under masks, on average",
    "large_region_image_share": "of images have a large bare region",
    "no_mask_image_share": "of images have no mask",
}


def funnel(facts: Facts) -> list[Block]:
    """From candidates to masks."""
    rows = facts.rows("filter_funnel")
    if not rows:
        return []
    n_all = rows[0]["n_all_candidates"]
    told = [{"label": "candidates", "before": n_all, "remaining": n_all, "text": f"{n_all:,}"}]
    for row in rows:
        if row["fate"] == "kept" or not row["n_candidates"]:
            continue
        lost = share(row["candidate_share"], row["candidate_share_low"], row["candidate_share_high"])
        told.append(
            {
                "label": _fate(row),
                "before": row["n_remaining"] + row["n_candidates"],
                "remaining": row["n_remaining"],
                "text": f"− {lost}",
            }
        )
    idle = [_fate(row) for row in rows if row["fate"] != "kept" and not row["n_candidates"]]
    kept = next((row for row in rows if row["fate"] == "kept"), None)
    words = []
    if kept:
        told.append(
            {
                "label": "kept",
                "before": kept["n_candidates"],
                "remaining": kept["n_candidates"],
                "text": f"{kept['n_candidates']:,}",
            }
        )
        kept_share = share(kept["candidate_share"], kept["candidate_share_low"], kept["candidate_share_high"])
        words = [
            Words(
                f"Of {counted(n_all, 'candidate')} that the model made, {kept['n_candidates']:,} became masks: {kept_share}."
                + (f" Filters that dropped none: {', '.join(idle)}." if idle else "")
            )
        ]
    return [
        *words,
        Figure(
            "funnel",
            "What each filter left",
            alt="Funnel of candidates: " + "; ".join(f"{row['label']} {row['text']}" for row in told),
            note=f"Candidates left after each filter, in the order of the filters; pale: what it dropped, as a share "
            f"of all candidates with 95 % interval. {counted(n_all, 'candidate')} of "
            f"{counted(rows[0]['n_images'], 'image')}; {rows[0]['design']}.",
            draw=lambda width: figures.funnel(told, width),
            is_wide=True,
        ),
    ]


def _fate(row: dict) -> str:
    name = FATES.get(row["fate"], row["fate"].replace("_", " "))
    return f"{name} ({row['duplicate_pass']})" if row["duplicate_pass"] else name


def distributions(facts: Facts) -> list[Block]:
    makers = (_relative_size, _masks_per_image, _concavity, _heat_map, _borders, _nesting)
    return [block for maker in makers for block in maker(facts)]


def _relative_size(facts: Facts) -> list[Block]:
    rows = facts.rows("mask_relative_size")
    if not rows:
        return []
    told = [
        {
            "start": row["relative_size_from"],
            "stop": row["relative_size_to"],
            "value": row["mask_share"],
            "low": row["mask_share_low"],
            "high": row["mask_share_high"],
        }
        for row in rows
    ]
    half = next(row for row in rows if row["cumulative_share"] >= 0.5)
    most = max(rows, key=lambda row: row["mask_share"])
    return [
        Figure(
            "relative_size",
            "Relative size",
            alt=f"Histogram of relative size. Half of the masks are below {half['relative_size_to']:.2f}; the fullest "
            f"band is {most['relative_size_from']:.2f}–{most['relative_size_to']:.2f} with "
            f"{share(most['mask_share'], most['mask_share_low'], most['mask_share_high'])}.",
            note=f"Square root of mask area over image area, as in SAM, section 5; lines: 95 % intervals. "
            f"{counted(rows[0]['n_masks'], 'mask')} of {counted(rows[0]['n_images'], 'image')}; {rows[0]['design']}.",
            draw=lambda width: figures.histogram(told, width, "relative size", "share of masks"),
        )
    ]


def _masks_per_image(facts: Facts) -> list[Block]:
    rows = facts.rows("masks_per_image")
    if not rows:
        return []
    told = [
        {
            "label": _band(row["masks_from"], row["masks_to"]),
            "value": row["image_share"],
            "low": row["image_share_low"],
            "high": row["image_share_high"],
        }
        for row in rows
    ]
    first = rows[0]
    mean = number(first["masks_per_image"], first["masks_per_image_low"], first["masks_per_image_high"])
    return [
        Figure(
            "masks_per_image",
            "Masks per image",
            alt="Share of images by their number of masks: "
            + "; ".join(f"{row['label']} masks {percent(row['value'])}" for row in told),
            note=f"Share of images by how many masks they have; lines: 95 % intervals. Mean {mean}; SA-1B has about "
            f"100. {counted(first['n_images'], 'image')}; {first['design']}.",
            draw=lambda width: figures.columns(told, width, "masks on the image", "share of images"),
        )
    ]


def _band(start: int, stop: int | None) -> str:
    if stop is None:
        return f"{start - 1}+"
    return str(start) if start == stop else f"{start}–{stop}"


def _concavity(facts: Facts) -> list[Block]:
    rows = facts.rows("concavity")
    if not rows:
        return []
    told = [
        {
            "label": f"{row['relative_size_from']:g}–{row['relative_size_to']:g}",
            "value": row["mean_concavity"],
            "low": row["mean_concavity_low"],
            "high": row["mean_concavity_high"],
            "text": f"{row['n_masks']:,} masks",
        }
        for row in rows
    ]
    first = rows[0]
    mean = number(
        first["adjusted_concavity"], first["adjusted_concavity_low"], first["adjusted_concavity_high"]
    )
    end = max([0.3, *(row["high"] or row["value"] for row in told)])
    return [
        Figure(
            "concavity",
            "Concavity by relative size",
            alt="Mean concavity by relative size: "
            + "; ".join(f"{row['label']} {number(row['value'], row['low'], row['high'])}" for row in told),
            note=f"1 − mask area / area of its convex hull: 0 is convex. Mean with 95 % interval in bands of relative "
            f"size, as in SAM, section 5; mean over the sizes {mean}. {counted(sum(row['n_masks'] for row in rows), 'mask')}; "
            f"{first['design']}.",
            draw=lambda width: figures.intervals(told, width, "mean concavity", (0, min(1, end)), ".1f"),
        )
    ]


def _heat_map(facts: Facts) -> list[Block]:
    rows = facts.rows("mask_center_heatmap")
    if not rows:
        return []
    told = [
        {"column": row["column_number"], "row": row["row_number"], "value": row["density"]} for row in rows
    ]
    most = max(rows, key=lambda row: row["density"])
    return [
        Figure(
            "centre_heat_map",
            "Where masks lie",
            alt=f"Heat map of mask centres. The densest cell, row {most['row_number'] + 1} and column "
            f"{most['column_number'] + 1} from the upper left, is {most['density']:.1f} times as dense as an even spread.",
            note=f"Centres of masks on the image: times as dense as an even spread. Densest cell "
            f"{share(most['mask_share'], most['mask_share_low'], most['mask_share_high'])} of the masks. "
            f"{basis(most)}; {most['design']}.",
            draw=lambda width: figures.heat_map(told, width, "times an even spread"),
        )
    ]


def _borders(facts: Facts) -> list[Block]:
    row = next((row for row in facts.rows("border_masks") if row["touches"] == "any border"), None)
    if row is None:
        return []
    return [
        Words(
            f"{share(row['mask_share'], row['mask_share_low'], row['mask_share_high'])} of the masks touch the border of "
            f"their image, where objects are cut off ({basis(row)})."
        )
    ]


def _nesting(facts: Facts) -> list[Block]:
    rows = facts.rows("nesting")
    if not rows:
        return []
    levels = ", ".join(
        f"{share(row['mask_share'], row['mask_share_low'], row['mask_share_high'])} at depth {row['nesting_depth']} "
        f"({row['level']})"
        for row in rows[:3]
    )
    return [Words(f"By nesting, of {counted(rows[0]['n_masks'], 'mask')}: {levels}.")]


def coverage(facts: Facts) -> list[Block]:
    makers = (_covered, _overlaps, _duplicates, _crowdedness)
    return [block for maker in makers for block in maker(facts)]


def _covered(facts: Facts) -> list[Block]:
    rows = [row for row in facts.rows("coverage") if row["figure"] in COVERAGE]
    if not rows:
        return []
    told = [
        {
            "label": COVERAGE[row["figure"]]
            .replace("of the image is ", "image ")
            .replace(", on average", ""),
            "value": row["estimate"],
            "low": row["low"],
            "high": row["high"],
            "text": share(row["estimate"], row["low"], row["high"]),
        }
        for row in rows
    ]
    return [
        Figure(
            "coverage",
            "Coverage",
            alt="Coverage: " + "; ".join(f"{row['text']} {row['label']}" for row in told),
            note=". ".join(row["meaning"].capitalize() for row in rows)
            + f". 95 % intervals. {counted(rows[0]['n_images'], 'image')}; {rows[0]['design']}.",
            draw=lambda width: figures.intervals(told, width, "share"),
            is_wide=True,
        )
    ]


def _overlaps(facts: Facts) -> list[Block]:
    rows = facts.rows("overlaps")
    if not rows:
        return []
    told = [
        {
            "label": OVERLAPS.get(row["overlap"], row["overlap"]).format(row["threshold"] or 0),
            "value": row["mask_share"],
            "low": row["mask_share_low"],
            "high": row["mask_share_high"],
            "text": share(row["mask_share"], row["mask_share_low"], row["mask_share_high"]),
        }
        for row in rows
    ]
    return [
        Figure(
            "overlaps",
            "Overlaps",
            alt="Share of masks that " + "; ".join(f"{row['label']} {row['text']}" for row in told),
            note="Share of masks with 95 % interval. Parts on wholes overlap rightly; an IoU over 0.7 is a near "
            f"duplicate. {basis(rows[0])}; {rows[0]['design']}.",
            draw=lambda width: figures.intervals(told, width, "share of masks"),
            is_wide=True,
        )
    ]


def _duplicates(facts: Facts) -> list[Block]:
    rows = facts.rows("near_duplicates")
    if not rows:
        return []
    levels = "; ".join(
        f"over {row['iou_threshold']:g}: {share(row['extra_share'], row['extra_share_low'], row['extra_share_high'])}"
        for row in rows
    )
    return [
        Words(
            f"Masks that show what an earlier mask of their image shows already, by the IoU of the two: {levels} "
            f"({basis(rows[0])})."
        )
    ]


def _crowdedness(facts: Facts) -> list[Block]:
    rows = facts.rows("crowdedness")
    if not rows:
        return []
    first = rows[0]
    mean = number(first["mean_crowdedness"], first["mean_crowdedness_low"], first["mean_crowdedness_high"])
    return [
        Words(
            f"Crowdedness, the mean number of other masks whose boxes intersect a mask's box: {mean} "
            f"({counted(first['n_images'], 'image')})."
        )
    ]
