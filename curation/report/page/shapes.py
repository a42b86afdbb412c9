"""Sections on the masks themselves: where they came from, how large, what shape, where, how much they cover."""

from curation.report import figures
from curation.report.page.blocks import Block, Figure, Words
from curation.report.page.dots import dot_of, dots_figure, number_of, share_of, told
from curation.report.page.facts import Facts
from curation.report.page.words import basis, counted, number, percent

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
        f"{made}, {row['n_candidates']:,} became masks: {share_of(row, 'candidate_share')}." for row in kept
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
            "text": f"− {share_of(row, 'candidate_share')}",
        }
        for row in filters
        if row["n_candidates"]
    ]
    return [*steps, {"label": "masks", "before": n_kept, "remaining": n_kept, "text": f"{n_kept:,}"}]


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
    bars = [
        {
            "start": row["relative_size_from"],
            "stop": row["relative_size_to"],
            **dot_of("", row, "mask_share"),
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
            f"{share_of(most, 'mask_share')}.",
            note=f"Square root of mask area over image area, as in SAM, section 5; lines: 95 % intervals. "
            f"{counted(rows[0]['n_masks'], 'mask')} of {counted(rows[0]['n_images'], 'image')}; {rows[0]['design']}.",
            draw=lambda width: figures.histogram(bars, width, "relative size", "share of masks"),
        )
    ]


def _masks_per_image(facts: Facts) -> list[Block]:
    rows = facts.rows("masks_per_image")
    if not rows:
        return []
    bars = [dot_of(_band(row["masks_from"], row["masks_to"]), row, "image_share") for row in rows]
    first = rows[0]
    mean = number_of(first, "masks_per_image")
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
        dot_of(f"{row['relative_size_from']:g}–{row['relative_size_to']:g}", row, "mean_concavity", number)
        | {"text": f"{number_of(row, 'mean_concavity')} · {counted(row['n_masks'], 'mask')}"}
        for row in rows
    ]
    first = rows[0]
    mean = number_of(first, "adjusted_concavity")
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
            f"{share_of(most, 'mask_share')} of the masks. "
            f"{basis(most)}; {most['design']}.",
            draw=lambda width: figures.heat_map(cells, width, "times an even spread"),
        )
    ]


def _borders(facts: Facts) -> list[Block]:
    rows = [row for row in facts.rows("border_masks") if "borders" not in row["touches"]]
    if not rows:
        return []
    dots = [dot_of(row["touches"], row, "mask_share") for row in rows]
    return [
        dots_figure(
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
    dots = [dot_of(f"{row['level']} (depth {row['nesting_depth']})", row, "mask_share") for row in rows[:5]]
    return [
        dots_figure(
            "nesting",
            "Wholes and parts",
            dots,
            rows[0],
            "Share of masks by how many masks of their image contain them.",
        )
    ]
