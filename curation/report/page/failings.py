"""Sections on where masks agree less with gold, and on what is wrong with them."""

from curation.report import figures
from curation.report.page.blocks import Block, Figure, Table, Words
from curation.report.page.dots import dot_of, number_of, share_of, told
from curation.report.page.facts import Facts
from curation.report.page.words import basis, counted, plain

SLICES = {
    "size": "By size of the mask",
    "border": "By touch of the image border",
    "crowdedness": "By crowdedness of the image",
    "score": "By predicted IoU",
    "level": "By level of nesting",
}
#: Kind of error -> what it means, in a few words (measures.errors_against_gold).
KINDS = {
    "none": "none: as good as gold",
    "merge": "merge: several objects",
    "split": "split: a piece of one",
    "partial": "partial: misses some",
    "spill": "spill: adds some",
    "hole": "hole: wrong holes",
    "fragment": "fragment: stray pieces",
    "spurious": "spurious: nothing there",
}


def slices(facts: Facts) -> list[Block]:
    """A chart for each way to part the masks that parts them in two or more, and the numbers behind all."""
    rows = facts.rows("gold_agreement_by_slice")
    parted = {by: [row for row in rows if row["slice_by"] == by and row["n_masks"]] for by in SLICES}
    parted = {by: parts for by, parts in parted.items() if len(parts) > 1}
    if not parted:
        return []
    return [*(_slice_figure(by, parts) for by, parts in parted.items()), _slice_table(parted)]


def _slice_figure(by: str, rows: list[dict]) -> Figure:
    dots = []
    for row in rows:
        words = share_of(row, "over_75")
        one = dot_of(row["slice"], row, "over_75")
        dots.append({**one, "text": f"{words} · {counted(row['n_masks'], 'mask')}"})
    return Figure(
        f"agreement_by_{by}",
        SLICES[by],
        alt=told("Share of masks over 0.75 IoU", dots),
        note=f"Share of masks whose best IoU is over 0.75, 95 % intervals. Images a row: "
        f"{', '.join(plain(row['n_images']) for row in rows)}; {rows[0]['design']}.",
        draw=lambda width: figures.intervals(dots, width, "share of masks"),
    )


def _slice_table(parted: dict[str, list[dict]]) -> Table:
    cells = [
        [
            f"{by}: {row['slice']}",
            plain(row["n_images"]),
            plain(row["n_masks"]),
            share_of(row, "over_75"),
            share_of(row, "over_90"),
            number_of(row, "mean_boundary_iou"),
            _known_share(row, "recall"),
            plain(row["n_gold_masks"]),
        ]
        for by, rows in parted.items()
        for row in rows
    ]
    titles = (
        "slice",
        "images",
        "masks",
        "over 0.75",
        "over 0.90",
        "boundary IoU",
        "recall at 0.50",
        "gold masks",
    )
    return Table("The slices", titles, cells, right=frozenset(range(1, 8)), is_folded=True)


def _known_share(row: dict, name: str) -> str:
    """Gold has no score, so a slice by score has no recall."""
    return "–" if row[name] is None else share_of(row, name)


def error_kinds(facts: Facts) -> list[Block]:
    rows = facts.rows("error_kinds")
    of_masks = [row for row in rows if row["error_kind"] in KINDS and row["share"] is not None]
    if not of_masks:
        return []
    dots = [dot_of(KINDS[row["error_kind"]], row, "share") for row in of_masks]
    first = of_masks[0]
    return [
        _worst_kind(of_masks),
        Figure(
            "error_kinds",
            "Masks by kind of error",
            alt=told("Share of masks", dots),
            note=f"Share of masks with 95 % interval; each mask has one kind, the first that fits. {basis(first)}; "
            f"{first['design']}.",
            draw=lambda width: figures.intervals(dots, width, "share of masks"),
            is_wide=True,
        ),
        *(_missed(row) for row in rows if row["error_kind"] == "miss" and row["share"] is not None),
    ]


def _worst_kind(rows: list[dict]) -> Words:
    wrong = [row for row in rows if row["error_kind"] != "none" and row["n_kind_masks"]]
    if not wrong:
        return Words("No mask has an error against gold.")
    most = max(wrong, key=lambda row: row["share"])
    mean = (
        ""
        if most["mean_best_iou"] is None
        else f"; their mean IoU with gold is {plain(most['mean_best_iou'])}"
    )
    return Words(
        f"The commonest error is {most['error_kind']}, in {share_of(most, 'share')} of the masks{mean}."
    )


def _missed(row: dict) -> Words:
    words = share_of(row, "share")
    return Words(
        f"Of {basis(row, 'gold mask')}, {words} have no mask of their own. Where gold also has the parts of objects and "
        "the masks are of wholes, a missed part is no flaw of a mask."
    )
