"""Sections on the data engine: how cycles changed the masks, whether the next stage is near, how fast work went."""

from curation.report import figures
from curation.report.page.blocks import Block, Figure, Table, Words
from curation.report.page.dots import dot, number_of, told
from curation.report.page.facts import Facts
from curation.report.page.words import counted, number, plain, seconds, share, stage

#: Figure of `stage_evolution` -> title, and whether it is a share.
COURSES = {
    "masks_per_image": ("Masks per image", False),
    "manual_per_image": ("Manual masks per image", False),
    "auto_accept_share": ("Auto-accept rate", True),
    "precision": ("Precision at 0.50 IoU", True),
    "recall": ("Recall at 0.50 IoU", True),
    "boundary_iou": ("Mean boundary IoU", False),
}
OF_GOLD = ("precision", "recall", "boundary_iou")
DRIFT = {"predicted_iou": "predicted IoU", "stability_score": "stability", "relative_size": "relative size"}


def evolution(facts: Facts) -> list[Block]:
    """A chart a figure over stages and cycles; none where there is one cycle only, and none of what is 0 in all."""
    rows = facts.rows("stage_evolution")
    if len(rows) < 2:
        return []
    courses = [course(rows, name) for name in COURSES if any(row[name] for row in rows)]
    return [*courses, *_drift(facts)]


def course(rows: list[dict], name: str) -> Figure:
    """One figure of COURSES over the rows of `stage_evolution`, in their order."""
    title, is_share = COURSES[name]
    said = share if is_share else number
    dots = [
        dot(
            f"{_short(row['stage'])} {row['cycle']}", row[name], row[f"{name}_low"], row[f"{name}_high"], said
        )
        for row in rows
        if row[name] is not None
    ]
    counts, images = ("n_gold_images", "Images with gold") if name in OF_GOLD else ("n_images", "Images")
    n_images = ", ".join(f"{row[counts]:,}" for row in rows if row[name] is not None)
    return Figure(
        f"evolution_{name}",
        title,
        alt=told(title, dots),
        note=f"By stage and cycle, with 95 % interval. {images}: {n_images}; {rows[0]['design']}.",
        draw=lambda width: figures.course(dots, width, ".0%" if is_share else "~g"),
    )


def _short(name: str | None) -> str:
    return {"assisted_manual": "manual", "semi_automatic": "semi", "fully_automatic": "auto"}.get(
        name or "", "–"
    )


def _drift(facts: Facts) -> list[Block]:
    rows = facts.rows("score_drift")
    if not rows:
        return []
    table = [
        [
            DRIFT.get(row["score"], row["score"]),
            number_of(row, "psi"),
            number_of(row, "ks"),
            plain(row["n_masks"]),
            plain(row["n_baseline_masks"]),
        ]
        for row in rows
    ]
    return [
        Table(
            f"Drift of scores against run {rows[0]['baseline_run_id']}",
            ("score", "PSI (95 % interval)", "KS (95 % interval)", "masks", "masks of the baseline"),
            table,
            right=frozenset({1, 2, 3, 4}),
        )
    ]


def readiness(facts: Facts) -> list[Block]:
    """The criteria of the newest cycle of the run's stage."""
    rows = facts.rows("readiness")
    if facts.subject.run_id is None or not rows:
        return []
    run = facts.rows("stage_summary")[0]
    ours = [row for row in rows if (row["stage"], row["cycle"]) == (run["stage"], run["cycle"])]
    if not ours:
        return []
    table = [
        [
            row["criterion"].replace("_", " "),
            row["verdict"],
            number(row["estimate"], row["low"], row["high"]),
            row["needed"],
            plain(row["n_images"]),
            "–" if row["more_images"] is None else f"{row['more_images']:,} more",
        ]
        for row in ours
    ]
    n_met = sum(row["verdict"] == "met" for row in ours)
    n_open = sum(row["verdict"] == "cannot tell yet" for row in ours)
    return [
        Words(
            f"{stage(run['stage'], run['cycle']).capitalize()}: {n_met} of {len(ours)} criteria are met, {n_open} cannot be "
            "told yet. A criterion counts as met only where its whole 95 % interval (image as cluster) lies beyond "
            "the limit."
        ),
        Table(
            "The criteria",
            # A phone shows the first columns only, until it is swiped.
            ("criterion", "verdict", "figure (95 % interval)", "needed", "images", "images to settle it"),
            table,
            right=frozenset({2, 4, 5}),
        ),
    ]


def throughput(facts: Facts) -> list[Block]:
    rows = facts.rows("throughput")
    if not rows:
        return []
    table = [
        [
            _work(row["work"]),
            plain(row["n_images"]),
            plain(row["n_masks"]),
            seconds(row["wall_s"]),
            _rate(row["images_per_hour"]),
            _rate(row["masks_per_hour"]),
            number_of(row, "working_s_per_image"),
            row["device"] or "–",
        ]
        for row in rows
    ]
    n_shards = sum(row["n_shards"] for row in rows)
    return [
        Table(
            "Work on the run",
            ("work", "images", "masks", "time", "images / h", "masks / h", "s / image (95 %)", "device"),
            table,
            right=frozenset(range(1, 7)),
        ),
        Words(
            "Time is that in which at least one worker worked; rates are of that time and exact for this run on its "
            f"machine. The interval of the seconds an image takes the shard as its unit ({counted(n_shards, 'shard')})."
        ),
    ]


def _work(name: str) -> str:
    """The name of a shard's work without the version of its measures."""
    what, *rest = name.split(":")
    return f"match with gold run {rest[0]}" if what == "match" else what


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"
