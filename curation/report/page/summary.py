"""The head of the page: how good the masks are in large numbers, and what cannot be told."""

import shlex

from curation.report.page.blocks import Block, Commands, Number, Numbers, Words
from curation.report.page.dots import number_of
from curation.report.page.facts import Facts
from curation.report.page.words import counted, percent, percent_interval, plain, share

#: A two-sided interval of a share at this many images with gold still rests on few; below it the page says so.
FEW_IMAGES = 50
#: Half the width, in share, that an owner can decide on: SAM's own figure has about 0.5 points at 500 images.
WANTED_HALF_WIDTH = 0.02
#: What follows from how the gold was drawn: corrected from predictions, from scratch, or nobody said.
ANCHORED = {
    True: [
        "Flaws that the annotator let stand: this gold was corrected from predictions, which leans it towards them."
    ],
    False: [
        "Whether SAM's masks are better: SAM's gold was corrected from its masks, and such gold agrees more than gold "
        "that was drawn from scratch, as here."
    ],
    None: ["Whether the gold leans towards predictions: nobody said whether it was corrected from them."],
}


def summary(facts: Facts) -> list[Block]:
    if facts.subject.run_id is None:
        return [
            Words("This workspace holds no masks yet, so there is nothing to judge."),
            Words("`curation generate` makes masks from images, `curation import` brings those of others."),
        ]
    run = facts.rows("stage_summary")[0]
    agreement = {(row["figure"], row["iou_threshold"]): row for row in facts.rows("gold_agreement")}
    return [
        Numbers(_numbers(run, agreement)),
        *_verdict(agreement),
        *_unknown(facts, run, agreement),
        *_gate(facts, agreement),
    ]


def agreement_at(facts: Facts, figure: str, threshold: float | None) -> dict | None:
    """One row of `gold_agreement`; None without gold."""
    for row in facts.rows("gold_agreement"):
        if row["figure"] == figure and row["iou_threshold"] == threshold:
            return row
    return None


def _numbers(run: dict, agreement: dict) -> list[Number]:
    per_image = number_of(run, "masks_per_image")
    numbers = [
        Number("images", f"{run['n_images']:,}", f"of {run['n_planned_images']:,} planned"),
        Number("masks", f"{run['n_masks']:,}", f"{per_image} an image"),
    ]
    for threshold in (0.75, 0.90):
        row = agreement.get(("best_iou_over", threshold))
        label = f"of masks over {threshold:.2f} IoU"
        if row is None:
            numbers.append(Number(label, "?", "no gold"))
            continue
        low, high = row["low"], row["high"]
        note = f"{percent_interval(low, high)} · {counted(row['n_images'], 'image')} with gold"
        numbers.append(Number(label, percent(row["estimate"], low, high), note))
    return numbers


def _verdict(agreement: dict) -> list[Block]:
    """The agreement in a sentence, and where it stands beside SAM's."""
    rows = [agreement.get(("best_iou_over", threshold)) for threshold in (0.75, 0.90)]
    if None in rows:
        return []
    three_quarters, nine_tenths = (share(row["estimate"], row["low"], row["high"]) for row in rows)
    return [
        Words(
            f"Of the masks, {three_quarters} agree with a gold mask to more than 0.75 IoU, and {nine_tenths} to more "
            f"than 0.90. {_beside_sam(rows)}"
        )
    ]


def _beside_sam(rows: list[dict]) -> str:
    sam = " and ".join(percent(row["sam_estimate"]).replace(".0", "") for row in rows)
    known = [row for row in rows if row["low"] is not None]
    if not known:
        return f"SAM reported {sam} for SA-1B."
    if all(row["high"] < row["sam_estimate"] for row in known):
        place = "both lie above the intervals, so the choice of images alone does not explain the difference"
    elif all(row["low"] > row["sam_estimate"] for row in known):
        place = "both lie below the intervals"
    elif all(row["low"] <= row["sam_estimate"] <= row["high"] for row in known):
        place = "both lie within the intervals, so a difference cannot be told"
    else:
        place = "the chart below shows where the intervals lie"
    return f"SAM reported {sam} for SA-1B; {place}."


def is_anchored(facts: Facts) -> bool | None:
    """Whether the gold was corrected from predictions; None where nobody said."""
    rows = facts.rows("run_provenance", run_id=facts.subject.gold_run_id)
    return {"true": True, "false": False}.get(
        next((r["fact_value"] for r in rows if r["fact"] == "is_anchored"), "")
    )


def _unknown(facts: Facts, run: dict, agreement: dict) -> list[Block]:
    """What the reader must not conclude."""
    recall = agreement.get(("recall", 0.5))
    doubts = []
    if not agreement:
        doubts.append(
            "How good the masks are: no gold is matched with this run. `curation gold import` brings trusted masks, "
            "`curation gold match` compares."
        )
    else:
        doubts += _about_gold(facts, run, recall or {}, agreement)
    if run["n_images"] < run["n_planned_images"]:
        left = run["n_planned_images"] - run["n_images"]
        doubts.append(f"The run is not finished: {counted(left, 'planned image')} are not in these figures.")
    if run["n_problems"]:
        doubts.append(f"{counted(run['n_problems'], 'input')} could not be used: see Problems.")
    if not facts.rows("coverage"):
        doubts.append("Shapes, overlaps and coverage: `curation measure` has not run.")
    return [Words("What these figures cannot tell:", doubts)] if doubts else []


def _gate(facts: Facts, agreement: dict) -> list[Block]:
    """How a release is made to depend on the figures; the limits are the owner's."""
    if not agreement:
        return []
    subject = facts.subject
    limits = f"--min share_over@0.75=0.90 --min-images {FEW_IMAGES}"
    chosen = f"--run {subject.run_id} --gold {subject.gold_run_id} --workspace {shlex.quote(subject.root)}"
    return [
        Commands(
            "Whether it may ship is a matter of limits. A gate that judges the bounds of the intervals, with limits as "
            "an example:",
            [f"curation check {limits} {chosen}"],
        )
    ]


def _about_gold(facts: Facts, run: dict, recall: dict, agreement: dict) -> list[str]:
    doubts = []
    n_gold = recall.get("n_images", 0)
    without = run["n_images"] - n_gold
    if without > 0:
        doubts.append(
            f"{without:,} of {counted(run['n_images'], 'image')} have no gold. The agreement speaks for them only as "
            "far as the images with gold were drawn at random."
        )
    doubts += ANCHORED[is_anchored(facts)]
    row = agreement[("best_iou_over", 0.75)]
    doubts += _other_gold(facts, row)
    if row["low"] is not None:
        half = (row["high"] - row["low"]) / 2
        if n_gold < FEW_IMAGES and half > WANTED_HALF_WIDTH:
            needed = n_gold * (half / WANTED_HALF_WIDTH) ** 2
            doubts.append(
                f"{counted(n_gold, 'image')} with gold are few: the figure over 0.75 is known to ± {100 * half:.0f} "
                f"points. About {plain(_rounded(needed))} images like these would make it ± 2."
            )
    return doubts


def _other_gold(facts: Facts, shown: dict) -> list[str]:
    """That the figures are against one gold of several, and how far the others are from it."""
    rows = [
        row
        for row in facts.rows("gold_agreement", gold_run_id=None)
        if row["figure"] == "best_iou_over" and row["iou_threshold"] == 0.75
    ]
    if len(rows) < 2:
        return []
    least, most = (pick(rows, key=lambda row: row["estimate"]) for pick in (min, max))
    return [
        f"Whose gold is right: the figures are against gold run {shown['gold_run_id']}, one of {len(rows)}. The share "
        f"over 0.75 goes from {_against(least)} to {_against(most)}."
    ]


def _against(row: dict) -> str:
    return f"{share(row['estimate'], row['low'], row['high'])} against gold run {row['gold_run_id']}"


def _rounded(value: float) -> int:
    """Two significant digits: no more is known of a forecast."""
    digits = max(len(str(int(value))) - 2, 0)
    return round(value / 10**digits) * 10**digits
