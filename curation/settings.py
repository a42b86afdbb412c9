"""Every default of the core once, with its unit and its reason, and the places where files lie."""

import os
from dataclasses import dataclass
from pathlib import Path

from curation.errors import InputError

PACKAGE = Path(__file__).parent


def files(name: str) -> Path:
    """The folder `queries`, `data_schemas` or `apps`: inside the wheel, or at the top of a checkout."""
    packed = PACKAGE / "_files" / name
    return packed if packed.is_dir() else PACKAGE.parent / name


def cache_dir() -> Path:
    """Where model weights are kept: CURATION_CACHE, else ~/.cache/curation."""
    return Path(os.environ.get("CURATION_CACHE") or Path.home() / ".cache" / "curation")


def database_threads() -> int | None:
    """Most threads of DuckDB: CURATION_THREADS; None without it, and DuckDB takes every core. Raises InputError."""
    asked = os.environ.get("CURATION_THREADS")
    if not asked:
        return None
    if not asked.isdecimal() or int(asked) < 1:
        raise InputError(f"CURATION_THREADS is {asked!r}: a number of threads from 1 on is needed")
    return int(asked)


@dataclass(frozen=True)
class LakeSettings:
    #: How long a commit waits for other writers. A shard's commit takes about 0.1 s, so this
    #: outlasts a queue of hundreds; beyond it something hangs and a person must look.
    commit_patience_s: float = 120.0
    #: First pause between two tries; doubles up to `commit_pause_max_s`, times a random 0.5..1. A reviewer waits for it, so
    #: it is short; a try costs microseconds.
    commit_pause_s: float = 0.02
    commit_pause_max_s: float = 0.25
    #: How long SQLite itself waits for a lock before it says so; then the pauses above take over.
    sqlite_busy_ms: int = 1_000
    #: Commits of fewer rows a table are kept in the catalog: 20 verdicts make no Parquet file.
    inlined_rows: int = 100
    #: Masks a row group. Smallest files and fastest reads of the sizes tried from 1,000 to 100,000.
    row_group_rows: int = 5_000
    #: zstd level 1: higher levels save under 3 % on RLE and cost several times the time.
    compression_level: int = 1


LAKE = LakeSettings()


@dataclass(frozen=True)
class MaintenanceSettings:
    """What `curation maintain` keeps, and how much it does at once (`engine.maintenance`)."""

    #: Versions younger than this stay, whether anything names them or not: a month's mistakes can be undone.
    keep_days: float = 30.0
    #: Files touched within this time stay: longer than any shard takes to compute and commit, and than a query reads.
    grace_hours: float = 24.0
    #: Small files are joined up to this size: some 200,000 masks at the 500 to 800 bytes that generated ones take. A
    #: writer waits for as long as one takes to write.
    merged_file_bytes: int = 128_000_000
    #: Versions forgotten in one statement.
    versions_at_once: int = 1_000


MAINTENANCE = MaintenanceSettings()


@dataclass(frozen=True)
class RaySettings:
    """How shards are handed to a Ray cluster (`shards.on_ray`)."""

    #: Shards out at a worker: the one that it computes, and the next, so that it never waits for the coordinator.
    shards_out: int = 2
    #: A shard that loses its worker more often than this probably kills it.
    most_losses: int = 5
    #: How long is waited for a worker while there is none: a cluster that grows by itself takes minutes.
    worker_patience_s: float = 600.0


RAY = RaySettings()


@dataclass(frozen=True)
class GoldSettings:
    """When a mask agrees with gold, and what is wrong with it where it does not (`measures.errors_against_gold`)."""

    #: Width of the boundary over the image's diagonal, of boundary IoU (Cheng et al. 2021, arXiv 2103.16562).
    boundary_ratio: float = 0.02
    #: A mask of this IoU has no error: the level of which SAM reports the share (section 5, 94 % of its masks),
    #: and the upper end of what two people agree to (85 to 91 %, there too).
    good_iou: float = 0.90
    #: Gold smaller than SAM's human study looks at (appendix E). One row of pixels around it is a large share of
    #: it, and "pixelation of a small mask is no error" (appendix G), so there less IoU is good: SAM's lower level.
    small_px: int = 24**2
    small_good_iou: float = 0.75
    #: A mask "takes" or "lies in" what it shares most with: more than half, so that nothing lies in two apart.
    most_share: float = 0.5
    #: What is less than a tenth of a mask or of its gold is a flaw of the outline, not an object or a piece.
    least_share: float = 0.1
    #: A gold mask that some mask shows this well is not split, however many parts of it are masked besides
    #: (COCO's strict threshold, SAM's lower level).
    whole_iou: float = 0.75


GOLD = GoldSettings()


@dataclass(frozen=True)
class NestingSettings:
    """When a mask lies inside another, and when two show the same thing (`measures.nesting`)."""

    #: Two masks that agree as well as two people who draw one object (85 to 91 % IoU; SAM, section 5) show the same.
    near_duplicate_iou: float = 0.85
    #: A part may run over its whole's outline: a tenth of it is what the outlines of two masks commonly differ by.
    inside_share: float = 0.90


NESTING = NestingSettings()


@dataclass(frozen=True)
class ReviewSettings:
    """How masks come to raters (`review.queue`), and what they may say of them."""

    #: Masks handed to a rater at once: the browser holds that many ahead, so that a key never waits for the server.
    tasks_at_once: int = 20
    #: A lease is longer than 20 masks take (about 2 minutes), and short enough that a closed laptop gives them back.
    lease_s: float = 900.0
    #: Shares of a rater's tasks, 0..1: hidden checks against gold, hidden repeats, and second opinions of others.
    #: The seeds have 5 % of the masks audited, and second annotators see as many; twice that makes kappa settle sooner.
    gold_check_share: float = 0.05
    repeat_share: float = 0.05
    double_review_share: float = 0.10
    #: A repeat comes after at least so many other masks, or memory answers instead of the eye.
    repeat_after: int = 50
    #: Raters go through a sample together, in blocks of so many masks; inside a block each has an own order.
    order_block: int = 100
    #: A mask whose highest IoU with gold is this good is expected to be accepted, one that is so bad not; what lies
    #: between is no check. SAM's level of a good mask, and COCO's of one that was found at all.
    gold_check_good_iou: float = 0.90
    gold_check_bad_iou: float = 0.50
    #: Ratings so far apart need a third person: on SAM's scale they differ in kind (none, minor, major, huge errors).
    rating_gap: int = 3
    #: Longer gaps between two verdicts of a rater are pauses, and no working time.
    break_gap_s: float = 120.0
    #: Smaller masks are judged apart: "pixelation of a small mask is no error" (SAM, appendix E and G).
    small_px: int = 24**2
    #: A mask that is drawn new and has a higher IoU with another is warned about: the seeds' rule for stage 2, "overlaps
    #: another by more than 0.5". IoU, because a part inside its whole is no double.
    overlap_warning_iou: float = 0.50
    #: "A large region is unmasked: go on?" (the seeds, stage 2) is asked of regions of this share of the image or more,
    #: 0..1: a tenth of either side. Many photographs have much ground that nobody masks, so a few are asked about.
    large_uncovered_share: float = 0.01
    most_uncovered: int = 5
    #: Minutes of judging after which the app asks for a pause; 0 asks for none.
    break_after_min: float = 0.0
    #: What can be wrong with a mask: SAM's appendix G, then the failure modes of SAM 3's engine in the seeds.
    reasons: tuple[str, ...] = (
        "piece_of_another_object",
        "missed_part",
        "merged",
        "arbitrary_part_of_a_collection",
        "wrong_hole",
        "stray_pixels",
        "poor_edge",
        "inconsistent_occluder",
        "rare_concept",
        "fine_grained",
        "occlusion",
        "crowded",
    )


REVIEW = ReviewSettings()


@dataclass(frozen=True)
class VerifierSettings:
    """How a verifier learns (`curation.verifier`), and what its card shows."""

    #: Folds of images: each model learns from four fifths, and a fifth is enough to be scored by it.
    n_folds: int = 5
    #: Good masks and bad masks that are needed at least. With fewer of either, an AUC is known to no better than 0.2.
    least_masks: int = 20
    #: Masks of the rarer kind from which calibration may bend freely (isotonic), where the curve of two numbers is
    #: coarser than chance. scikit-learn advises about 1,000 samples; each image's masks resemble each other.
    isotonic_from: int = 1_000
    #: Small trees, slowly: masks with labels are hundreds to thousands, and of few images.
    learning_rate: float = 0.05
    n_trees: int = 120
    leaves: int = 8
    least_masks_in_leaf: int = 20
    l2_regularization: float = 1.0
    #: Share of the columns that a split may choose from, 0..1: many of them tell the same, and trees that differ err less.
    columns_share: float = 0.3
    #: Principal components of the embedding: its hundreds of numbers are more than so few images can bear.
    embedding_components: int = 16
    #: A mask is taken for good from this chance on, 0..1, where the card compares with people's yes or no.
    good_from: float = 0.5
    #: Bins of equal width of the calibration error on the card.
    n_bins: int = 10
    #: Bootstrap replicates of the card.
    n_replicates: int = 1_000


VERIFIER = VerifierSettings()


@dataclass(frozen=True)
class PromptSettings:
    """Limits of SQL that is typed into the app, where many share one machine (`curation.prompt`)."""

    #: More rows than a person reads; whoever wants all downloads a report, or uses `curation sql`.
    rows: int = 10_000
    #: The slowest report takes 39 s on 50 million masks; what takes longer belongs on one's own machine.
    seconds: float = 60.0
    #: DuckDB spills beyond it. Reports on 50 million masks need up to 1.4 GB.
    memory: str = "2GB"
    #: What DuckDB may write to disk meanwhile.
    spill: str = "10GB"
    #: Values that DuckDB does not count (one list of a billion numbers) end the process that asks beyond it.
    process_bytes: int = 4 << 30
    #: 10,000 rows of 10 kB; nobody reads longer ones.
    answer_bytes: int = 100 << 20


PROMPT = PromptSettings()


@dataclass(frozen=True)
class CycleSettings:
    """What work costs, for `curation cycle close`; the rates are the owner's, these stand where none are given."""

    currency: str = "USD"
    #: An hour of an annotator at work, and of one process that generates, measures or trains. Round numbers of the
    #: order of what annotation services and rented machines cost; no source gives SAM's.
    person_hour: float = 15.0
    machine_hour: float = 1.0
    #: A mask is drawn no longer than a lease lasts: beyond it the person had left (ReviewSettings.lease_s).
    longest_drawing_s: float = 900.0


CYCLE = CycleSettings()


@dataclass(frozen=True)
class ReleaseSettings:
    #: Memory for sorting the rows of a table while its content is hashed; DuckDB spills beyond it.
    memory: str = "1GB"


RELEASE = ReleaseSettings()


@dataclass(frozen=True)
class FailureSettings:
    """How groups of masks that fail alike are looked for and tested (`failures.search`)."""

    #: Expected share of false finds among what is reported (Benjamini-Hochberg), and the least difference of bad shares
    #: that is worth a person's time, 0..1.
    most_false: float = 0.05
    least_difference: float = 0.05
    #: In each half: images and labelled masks of a group. Fewer images leave the variance over images unknown.
    least_images: int = 8
    least_masks: int = 15
    #: What a group must show on the discovery half to be tested at all: the 97.5 % quantile. Fewer tests, more power.
    least_t: float = 2.0
    #: A further condition stays in a rule only if it tells this clearly inside the rest of the rule: it was the best of
    #: about a hundred that were tried.
    least_gain_t: float = 3.0
    #: Conditions of a rule, rules that are refined further, and groups of each kind that are tested.
    most_conditions: int = 3
    beam: int = 20
    most_tested: int = 20
    #: Groups that share this much of their members (Jaccard) are one.
    same_jaccard: float = 0.5
    #: A group is one that an earlier search found where they share this much, or, where none of the masks are the same,
    #: where the mean embeddings of both lie in so much the same direction (cosine) from the mean of all masks.
    known_jaccard: float = 0.3
    known_cosine: float = 0.8
    #: Masks of the discovery half that are looked at (whole images), and those that HDBSCAN is fitted to: its time
    #: grows with the square.
    most_searched: int = 50_000
    most_clustered: int = 4_000
    #: Dimensions that are left of an embedding: what more hold is mostly noise, and HDBSCAN needs few.
    n_dims: int = 12
    #: Share of the members of a cluster that the ball around its centre must hold.
    radius_quantile: float = 0.9
    #: Failure modes (`failures.modes`): smaller masks, and thinner ones on average, are fine-grained (SAM, appendix E); a
    #: mask that shares so much of its pixels with one that neither holds it nor lies in it is occluded; an image is crowded
    #: as the report `crowdedness` has it; rarer labels, and masks with so few like them, are rare.
    small_px: int = 24**2
    thin_px: float = 5.0
    overlap_share: float = 0.1
    crowdedness: float = 10.0
    rare_share: float = 0.01
    sparse_share: float = 0.05


FAILURES = FailureSettings()
