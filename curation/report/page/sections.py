"""The sections of the page, from the top down."""

from collections.abc import Callable
from dataclasses import dataclass

from curation.report.page import agreement, coverage, engine, examples, failings, people, record, shapes
from curation.report.page.blocks import Block
from curation.report.page.facts import Facts


@dataclass(frozen=True)
class Section:
    """`blocks` turns the rows of `reports` into what is shown; where it gives none, `missing` says why, in a line."""

    key: str
    title: str
    question: str
    reports: tuple[str, ...]
    blocks: Callable[[Facts], list[Block]]
    missing: str


NO_GOLD = "No gold is matched with this run: `curation gold import`, then `curation gold match`."
NOT_MEASURED = "The masks are not measured yet: `curation measure` does it."

SECTIONS = (
    Section(
        "design",
        "What was measured",
        "Which masks, against whose gold, and what the intervals mean.",
        ("stage_summary", "gold_agreement", "run_provenance"),
        agreement.design,
        "There are no masks.",
    ),
    Section(
        "agreement",
        "Agreement with gold",
        "How good are the masks?",
        ("gold_agreement",),
        agreement.agreement,
        NO_GOLD,
    ),
    Section(
        "people",
        "What people say",
        "What share of the masks do people accept?",
        ("quality_estimate",),
        people.verdicts,
        "Nobody has judged masks of this run that were drawn by chance: `curation sample draw`, then `curation app`.",
    ),
    Section(
        "slices",
        "Where masks agree less",
        "Which masks are the weak ones?",
        ("gold_agreement_by_slice",),
        failings.slices,
        NO_GOLD,
    ),
    Section(
        "errors",
        "Kinds of error",
        "What is wrong with the masks?",
        ("error_kinds",),
        failings.error_kinds,
        NO_GOLD,
    ),
    Section(
        "calibration",
        "Calibration",
        "Does the model know how good its masks are?",
        ("calibration",),
        agreement.calibration,
        "Needs gold that is matched, and masks with a predicted IoU.",
    ),
    Section(
        "funnel",
        "From candidates to masks",
        "What did the filters drop?",
        ("filter_funnel",),
        shapes.funnel,
        "The run has no ledger of candidates: only `curation generate` writes one.",
    ),
    Section(
        "shapes",
        "Sizes, shapes and places",
        "Are the masks as varied as objects are?",
        (
            "mask_relative_size",
            "masks_per_image",
            "concavity",
            "mask_center_heatmap",
            "border_masks",
            "nesting",
        ),
        shapes.distributions,
        NOT_MEASURED,
    ),
    Section(
        "coverage",
        "Coverage and overlaps",
        "Is anything left bare, or masked twice?",
        ("coverage", "overlaps", "near_duplicates", "crowdedness"),
        coverage.coverage,
        NOT_MEASURED,
    ),
    Section(
        "evolution",
        "Stages and cycles",
        "Do the masks get better from cycle to cycle?",
        ("stage_evolution", "score_drift"),
        engine.evolution,
        "There is one cycle only, so there is no course to show.",
    ),
    Section(
        "readiness",
        "Readiness for the next stage",
        "May the data engine move on?",
        ("readiness", "stage_summary"),
        engine.readiness,
        "The run belongs to no stage of the data engine.",
    ),
    Section(
        "throughput",
        "Throughput",
        "How fast did it go?",
        ("throughput",),
        engine.throughput,
        "No work of this run is recorded.",
    ),
    Section(
        "worst",
        "Worst examples",
        "What do the worst masks look like?",
        ("worst_masks",),
        examples.worst,
        "No mask lies below 0.9 IoU with gold, or none is matched with gold.",
    ),
    Section(
        "problems",
        "Problems",
        "What could not be used?",
        ("problems",),
        record.problems,
        "None: every input of this run could be used.",
    ),
    Section(
        "provenance",
        "Provenance",
        "What exactly made these masks?",
        ("run_provenance",),
        record.provenance,
        "There are no runs.",
    ),
    Section("methods", "Methods", "How did the figures come about?", (), record.methods, ""),
)
