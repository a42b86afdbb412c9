"""Sections on the masks themselves: where they came from, how large, what shape, where, how much they cover."""

from curation.report import figures
from curation.report.page.blocks import Block, Figure, Words
from curation.report.page.facts import Facts
from curation.report.page.words import Said, basis, counted, dot, number, percent, share, told

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
    "mean_covered_share": "area under masks",
    "large_region_image_share": "images with a large bare region",
    "no_mask_image_share": "images without masks",
}


def funnel(facts: Facts) -> list[Block]:
    """From candidates to masks."""
    rows = facts.rows("filter_funnel")
    if not rows:
        return []
    filters = [row for row in rows if row["fate"] != "kept"]
    steps = _steps(filters)
    idle = [_fate(row) for row in filters if not row["n_candidates"]]
    first = rows[0]
    made = f"Of {counted(first['n_all_candidates'], 'candidate')} that the model made"
    kept = [row for row in rows if row["fate"] == "kept"]
    words = [
        f"{made}, {row['n_candidates']:,} became masks: {_share(row, 'candidate_share')}." for row in kept
    ]
    if idle:
        words.append(f"Filters that dropped none: {', '.join(idle)}.")
    return [
        Words(" ".join(words)),
        Figure(
            "funnel",
            "What each filter left",
            alt="Funnel of candidates: " + "; ".join(f"{row['label']} {row['text']}" for row in steps) + ".",
            note=f"Candidates left after each filter, in the order of the filters; pale: what it dropped, as a share "
            f"of all candidates with 95 % interval. {counted(first['n_all_candidates'], 'candidate')} of "
            f"{counted(first['n_images'], 'image')}; {first['design']}.",
            draw=lambda width: figures.funnel(steps, width),
            is_wide=True,
        ),
    ]


def _steps(filters: list[dict]) -> list[dict]:
    """Bars of the funnel: all candidates, each filter that dropped some, the masks that are left."""
    n_all, n_kept = filters[0]["n_all_candidates"], filters[-1]["n_remaining"]
    steps = [{"label": "candidates", "before": n_all, "remaining": n_all, "text": f"{n_all:,}"}]
    steps += [
        {
            "label": _fate(row),
            "before": row["n_remaining"] + row["n_candidates"],
            "remaining": row["n_remaining"],
            "text": f"− {_share(row, 'candidate_share')}",
        }
        for row in filters
        if row["n_candidates"]
    ]
    return [*steps, {"label": "masks", "before": n_kept, "remaining": n_kept, "text": f"{n_kept:,}"}]


def _fate(row: dict) -> str:
    name = FATES.get(row["fate"], row["fate"].replace("_", " "))
    return f"{name} ({row['duplicate_pass']})" if row["duplicate_pass"] else name


def _share(row: dict, name: str) -> str:
    return share(row[name], row[f"{name}_low"], row[f"{name}_high"])


def _dot(label: str, row: dict, name: str, said: Said = share) -> dict:
    return dot(label, row[name], row[f"{name}_low"], row[f"{name}_high"], said)


def distributions(facts: Facts) -> list[Block]:
    makers = (_relative_size, _masks_per_image, _concavity, _heat_map, _borders, _nesting)
    return [block for maker in makers for block in maker(facts)]


def _relative_size(facts: Facts) -> list[Block]:
    rows = facts.rows("mask_relative_size")
    if not rows:
        return []
    bars = [
        {
            "start": row["relative_size_from"],
            "stop": row["relative_size_to"],
            **_dot("", row, "mask_share"),
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
            draw=lambda width: figures.histogram(bars, width, "relative size", "share of masks"),
        )
    ]


def _masks_per_image(facts: Facts) -> list[Block]:
    rows = facts.rows("masks_per_image")
    if not rows:
        return []
    bars = [_dot(_band(row["masks_from"], row["masks_to"]), row, "image_share") for row in rows]
    first = rows[0]
    mean = number(first["masks_per_image"], first["masks_per_image_low"], first["masks_per_image_high"])
    return [
        Figure(
            "masks_per_image",
            "Masks per image",
            alt="Share of images by their number of masks: "
            + "; ".join(f"{row['label']} masks {percent(row['value'])}" for row in bars),
            note=f"Share of images by how many masks they have; lines: 95 % intervals. Mean {mean}; SA-1B has about "
            f"100. {counted(first['n_images'], 'image')}; {first['design']}.",
            draw=lambda width: figures.columns(bars, width, "masks on the image", "share of images"),
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
    dots = [
        _dot(f"{row['relative_size_from']:g}–{row['relative_size_to']:g}", row, "mean_concavity", number)
        | {
            "text": f"{number(row['mean_concavity'], row['mean_concavity_low'], row['mean_concavity_high'])} · "
            f"{counted(row['n_masks'], 'mask')}"
        }
        for row in rows
    ]
    first = rows[0]
    mean = number(
        first["adjusted_concavity"], first["adjusted_concavity_low"], first["adjusted_concavity_high"]
    )
    end = max([0.2, *(row["high"] or row["value"] for row in dots)])
    return [
        Figure(
            "concavity",
            "Concavity by relative size",
            alt=told("Mean concavity by relative size", dots),
            note="1 − mask area / area of its convex hull: 0 is convex. Mean with 95 % interval in bands of relative "
            f"size, as in SAM, section 5; mean over the sizes {mean}. {first['design'].capitalize()}.",
            draw=lambda width: figures.intervals(dots, width, "mean concavity", (0, min(1, end)), "~g"),
        )
    ]


def _heat_map(facts: Facts) -> list[Block]:
    rows = facts.rows("mask_center_heatmap")
    if not rows:
        return []
    cells = [
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
            f"{_share(most, 'mask_share')} of the masks. "
            f"{basis(most)}; {most['design']}.",
            draw=lambda width: figures.heat_map(cells, width, "times an even spread"),
        )
    ]


def _borders(facts: Facts) -> list[Block]:
    rows = [row for row in facts.rows("border_masks") if "borders" not in row["touches"]]
    if not rows:
        return []
    dots = [_dot(row["touches"], row, "mask_share") for row in rows]
    return [
        _interval_figure(
            "borders",
            "Masks at the border",
            dots,
            rows[0],
            "Share of masks that touch the border of their image, where objects are cut off.",
        )
    ]


def _nesting(facts: Facts) -> list[Block]:
    rows = facts.rows("nesting")
    if not rows:
        return []
    dots = [_dot(f"{row['level']} (depth {row['nesting_depth']})", row, "mask_share") for row in rows[:5]]
    return [
        _interval_figure(
            "nesting",
            "Wholes and parts",
            dots,
            rows[0],
            "Share of masks by how many masks of their image contain them.",
        )
    ]


def coverage(facts: Facts) -> list[Block]:
    makers = (_covered, _overlaps, _duplicates, _crowdedness)
    return [block for maker in makers for block in maker(facts)]


def _covered(facts: Facts) -> list[Block]:
    rows = [row for row in facts.rows("coverage") if row["figure"] in COVERAGE]
    if not rows:
        return []
    dots = [dot(COVERAGE[row["figure"]], row["estimate"], row["low"], row["high"]) for row in rows]
    meanings = "; ".join(row["meaning"] for row in rows)
    return [_interval_figure("coverage", "Coverage", dots, rows[0], f"{meanings.capitalize()}.", "share")]


def _overlaps(facts: Facts) -> list[Block]:
    rows = facts.rows("overlaps")
    if not rows:
        return []
    dots = [
        _dot(OVERLAPS.get(row["overlap"], row["overlap"]).format(row["threshold"] or 0), row, "mask_share")
        for row in rows
    ]
    about = "Share of masks. Parts on wholes overlap rightly; an IoU over 0.7 is a near duplicate."
    return [_interval_figure("overlaps", "Overlaps", dots, rows[0], about)]


def _duplicates(facts: Facts) -> list[Block]:
    rows = facts.rows("near_duplicates")
    if not rows:
        return []
    dots = [_dot(f"IoU over {row['iou_threshold']:g}", row, "extra_share") for row in rows]
    about = (
        "Share of masks that show what an earlier mask of their image shows already, by the IoU of the two."
    )
    return [_interval_figure("near_duplicates", "Near duplicates", dots, rows[0], about)]


def _crowdedness(facts: Facts) -> list[Block]:
    rows = facts.rows("crowdedness")
    if not rows:
        return []
    dots = [_dot(_crowd(row), row, "image_share") for row in rows]
    first = rows[0]
    mean = number(first["mean_crowdedness"], first["mean_crowdedness_low"], first["mean_crowdedness_high"])
    about = (
        f"Share of images by the mean number of other masks whose boxes intersect a mask's box; mean {mean}."
    )
    return [_interval_figure("crowdedness", "Crowdedness", dots, first, about, "share of images")]


def _crowd(row: dict) -> str:
    if row["crowdedness_to"] is None:
        return f"{row['crowdedness_from']} and more neighbours"
    return f"{row['crowdedness_from']} to {row['crowdedness_to']} neighbours"


def _interval_figure(
    name: str, title: str, dots: list[dict], row: dict, about: str, axis: str = "share of masks"
) -> Figure:
    """Shares as dots with intervals; `row` of the report says what is behind them."""
    return Figure(
        name,
        title,
        alt=told(title, dots),
        note=f"{about} 95 % intervals. {basis(row)}; {row['design']}.",
        draw=lambda width: figures.intervals(dots, width, axis),
    )
