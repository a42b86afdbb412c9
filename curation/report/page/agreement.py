"""Sections on gold: what it is, how well masks agree with it, what is wrong with them, whether the model knows."""

from curation.gold.figures import WORDS as FIGURES
from curation.report import figures
from curation.report.page.blocks import Beside, Block, Figure, Number, Numbers, Table, Words
from curation.report.page.dots import dot, number_of, told
from curation.report.page.facts import Facts
from curation.report.page.summary import FEW_IMAGES, agreement_at
from curation.report.page.words import basis, counted, interval, number, plain, stage


def design(facts: Facts) -> list[Block]:
    """Who drew the gold, how the images were chosen, and what an interval means here."""
    if facts.subject.run_id is None:
        return []
    run = facts.rows("stage_summary")[0]
    made = " · ".join(str(v) for v in (run["model"], run["preset"] and f"preset {run['preset']}") if v)
    rows = [
        ["Masks", f"run {run['run_id']}: {run['kind']}{f' with {made}' if made else ''}"],
        ["Stage", stage(run["stage"], run["cycle"])],
        ["Images", f"{run['n_images']:,} of {run['n_planned_images']:,} planned, all masks of each"],
        *_gold_rows(facts),
        [
            "Unit of the intervals",
            "the image: masks of one image resemble each other, so they are no independent draws",
        ],
        ["Intervals", "two-sided, 95 %; they speak of the choice of images, not of errors in the gold"],
    ]
    return [Table("", ("", ""), rows)]


def _gold_rows(facts: Facts) -> list[list[str]]:
    recall = agreement_at(facts, "recall", 0.5)
    if recall is None:
        return [["Gold", "none matched with this run"]]
    fact = {
        row["fact"]: row["fact_value"]
        for row in facts.rows("run_provenance", run_id=facts.subject.gold_run_id)
    }
    drawn = {
        "true": "corrected from predictions (anchored), which leans the agreement upwards",
        "false": "drawn from scratch, without sight of the predictions",
    }.get(fact.get("is_anchored", ""), "not told how")
    return [
        ["Gold", f"gold run {facts.subject.gold_run_id} by {fact.get('annotator', 'an unnamed annotator')}"],
        ["How it was drawn", drawn],
        ["Images with gold", f"{recall['n_images']:,}, with {counted(recall['n_masks'], 'gold mask')}"],
    ]


def agreement(facts: Facts) -> list[Block]:
    rows = facts.rows("gold_agreement")
    if not rows:
        return []
    over = [row for row in rows if row["figure"] == "best_iou_over"]
    return [
        _over_figure(over),
        _means(facts),
        _pairs_figure(rows, "precision", "masks that are in gold"),
        _pairs_figure(rows, "recall", "gold that has a mask"),
        *_other_gold(facts),
        *_people(facts),
        *_both_intervals(facts),
    ]


def _both_intervals(facts: Facts) -> list[Block]:
    """Every figure with the cluster bootstrap beside the formula, and which of them to go by."""
    rows = [row for row in facts.bootstrapped() if row["figure"] != "error_kind"]
    few = rows[0]["n_images"] < FEW_IMAGES
    words = (
        f"The charts show intervals by formula. Resampling whole images gives a second kind; with fewer than {FEW_IMAGES} "
        "images, as here, it holds better, and is wider where a few images hold all that goes wrong."
        if few
        else "The charts show intervals by formula. Resampling whole images gives a second kind, to check them by."
    )
    table = [
        [
            FIGURES[row["figure"]].format(t=row["iou_threshold"], k=row["max_masks"]),
            plain(row["estimate"]),
            interval(row["design_low"], row["design_high"]),
            interval(row["low"], row["high"]),
            plain(row["n_masks"]),
            plain(row["n_images"]),
        ]
        for row in rows
    ]
    titles = ("figure", "estimate", "by formula", "by bootstrap", "masks", "images")
    return [
        Words(words),
        Table("Both intervals of every figure", titles, table, right=frozenset(range(1, 6)), is_folded=True),
    ]


def _means(facts: Facts) -> Words:
    best, boundary = (agreement_at(facts, figure, None) for figure in ("mean_best_iou", "mean_boundary_iou"))
    words = f"The mean best IoU is {number(best['estimate'], best['low'], best['high'])}"
    if boundary is not None and boundary["estimate"] is not None:
        words += (
            f", the mean boundary IoU, which sees only the outlines, "
            f"{number(boundary['estimate'], boundary['low'], boundary['high'])}"
        )
    return Words(
        f"{words}, over {basis(best)}. SAM's figures stand beside these as they were reported: without interval, and "
        "against gold that was corrected from the masks themselves."
    )


def _over_figure(rows: list[dict]) -> Figure:
    dots = []
    for row in rows:
        sam = row["sam_estimate"]
        reference = {"reference": sam, "reference_text": f"SAM {100 * sam:.0f} %" if sam else ""}
        label = f"over {row['iou_threshold']:.2f} IoU"
        dots.append({**dot(label, row["estimate"], row["low"], row["high"]), **reference})
    return Figure(
        "gold_agreement",
        "Masks whose best IoU with gold is above a threshold",
        alt=told("Share of masks", dots),
        note=f"Share of masks with 95 % interval; diamonds: SAM, section 5. {basis(rows[0])}; {rows[0]['design']}.",
        draw=lambda width: figures.intervals(dots, width, "share of masks"),
        is_wide=True,
    )


def _pairs_figure(rows: list[dict], figure: str, what: str) -> Figure:
    ours = [row for row in rows if row["figure"] == figure]
    dots = [
        dot(f"at {row['iou_threshold']:.2f} IoU", row["estimate"], row["low"], row["high"]) for row in ours
    ]
    return Figure(
        figure,
        f"{figure.capitalize()}: {what}",
        alt=told(figure.capitalize(), dots),
        note=f"One-to-one pairs, 95 % intervals. {basis(ours[0], 'gold mask' if figure == 'recall' else 'mask')}; "
        f"{ours[0]['design']}.",
        draw=lambda width: figures.intervals(dots, width, "share"),
    )


def _other_gold(facts: Facts) -> list[Block]:
    """The same masks against every other gold that they were matched with."""
    rows = [
        row
        for row in facts.rows("gold_agreement", gold_run_id=None)
        if row["figure"] == "best_iou_over" and row["iou_threshold"] == 0.75
    ]
    if len(rows) < 2:
        return []
    dots = []
    for row in rows:
        one = dot(f"gold run {row['gold_run_id']}", row["estimate"], row["low"], row["high"])
        dots.append({**one, "text": f"{one['text']} · {counted(row['n_images'], 'image')}"})
    return [
        Figure(
            "other_gold",
            "The same masks against each gold",
            alt=told("Share of masks over 0.75 IoU", dots),
            note="Share of masks over 0.75 IoU with 95 % interval. Masks, in this order: "
            f"{', '.join(plain(row['n_masks']) for row in rows)}; every mask on the images with gold; image as cluster.",
            draw=lambda width: figures.intervals(dots, width, "share of masks"),
            is_wide=True,
        )
    ]


def _people(facts: Facts) -> list[Block]:
    """What people reach against each other, where several drew gold of the same images."""
    found = facts.ceilings()
    rows = [row for row in found if row["figure"] == "best_iou_over" and row["iou_threshold"] == 0.75]
    if not rows:
        return []
    dots = [
        dot(f"{row['judged']}, {row['against']}", row["estimate"], row["low"], row["high"]) for row in rows
    ]
    return [
        Figure(
            "human_ceilings",
            "What people reach against each other",
            alt=told("Share of masks over 0.75 IoU", dots),
            note="Share of masks over 0.75 IoU, judged as the model is, one annotator against another: by chance, against "
            "the one who agrees best, and the best pair of each image; below it the model on the same images. 95 % "
            f"intervals. {rows[0]['design'].capitalize()}.",
            draw=lambda width: figures.intervals(dots, width, "share of masks"),
            is_wide=True,
        )
    ]


def calibration(facts: Facts) -> list[Block]:
    rows = facts.rows("calibration")
    if not rows:
        return []
    points = [
        {
            "x": row["mean_predicted_iou"],
            "y": row["mean_gold_iou"],
            "low": row["mean_gold_iou_low"],
            "high": row["mean_gold_iou_high"],
            "n": row["n_masks"],
        }
        for row in rows
    ]
    first = rows[0]
    ece = number_of(first, "ece")
    n_masks = sum(row["n_masks"] for row in rows)
    return [
        Figure(
            "calibration",
            "Predicted IoU against IoU with gold",
            alt=f"Calibration: expected calibration error {ece}. "
            + "; ".join(
                f"predicted {plain(row['x'])}, true {number(row['y'], row['low'], row['high'])}"
                for row in points
            ),
            note=f"A dot a bin of 0.05 with 95 % interval, larger with more masks; on the dashed line the model is "
            f"right. {counted(n_masks, 'mask')}; {first['design']}.",
            draw=lambda width: figures.calibration(points, width),
        ),
        Beside(
            [
                Numbers([_ece(rows[0])]),
                Words(
                    f"{_leaning(rows)} Thresholds on the predicted IoU mean what they say only as far as the dots lie "
                    "on the line."
                ),
                _bins(rows),
            ]
        ),
    ]


def _bins(rows: list[dict]) -> Table:
    cells = [
        [
            f"{row['bin_from']:.2f}–{row['bin_to']:.2f}",
            plain(row["mean_predicted_iou"]),
            number_of(row, "mean_gold_iou"),
            number_of(row, "mean_gap"),
            plain(row["n_masks"]),
            plain(row["n_images"]),
        ]
        for row in rows
    ]
    titles = ("predicted IoU", "mean predicted", "mean IoU with gold", "gap", "masks", "images")
    return Table("The bins", titles, cells, right=frozenset(range(1, 6)), is_folded=True)


def _ece(row: dict) -> Number:
    note = "no interval: one image"
    if row["ece_low"] is not None:
        note = f"95 % interval {plain(row['ece_low'])}–{plain(row['ece_high'])}; 0 is best"
    if row["ece_by_chance"] is not None:
        note += f", and {plain(row['ece_by_chance'])} would come by chance alone from so few masks"
    return Number("expected calibration error", plain(row["ece"]), note)


def _leaning(rows: list[dict]) -> str:
    above = sum(row["mean_gap_low"] is not None and row["mean_gap_low"] > 0 for row in rows)
    below = sum(row["mean_gap_high"] is not None and row["mean_gap_high"] < 0 for row in rows)
    return (
        f"Beyond their intervals, the model rates its masks higher than gold does in {above} of {len(rows)} bins, "
        f"lower in {below}."
    )
