"""The pairs of a proof: each mask of a batch and what has become of it, and what gold or people say of both."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb
import numpy as np

from curation import ids
from curation.gold.differences import Change, change
from curation.lake import Lake, insert
from curation.review import against_gold, batches
from curation.review.batches import Batch
from curation.sampling import designs
from curation.sampling.samples import check_is_free
from curation.schemas import TABLES

#: Both masks of a pair come within so many pairs, so that a part of the sample holds whole pairs, and not one after the other.
PAIRS_TOGETHER = 50
CHANGED, UNCHANGED, REJECTED = "changed", "unchanged", "rejected"
BEFORE, AFTER = "changed, before", "changed, after"


@dataclass(frozen=True)
class Pair:
    """A mask of a batch and what has become of it: another mask, itself, or None where it was rejected."""

    old: int
    new: int | None
    image_id: int

    @property
    def kind(self) -> str:
        if self.new is None:
            return REJECTED
        return UNCHANGED if self.new == self.old else CHANGED


@dataclass(frozen=True)
class Seen:
    """n pairs of which both sides are known: whether each is bad before and after, how many masks it stands for, image.

    `after` is False where the mask is not there any more; `is_there` tells. `ious`: with gold, before and after (n, 2).
    """

    before: np.ndarray
    after: np.ndarray
    is_there: np.ndarray
    weight: np.ndarray
    image_id: np.ndarray
    source: str
    design: str
    ious: np.ndarray | None = None

    def change(self) -> Change:
        """The change of the share of bad masks."""
        weight = self.weight / self.weight.mean() if len(self.weight) else self.weight
        _, image = np.unique(self.image_id, return_inverse=True)
        n = image.max(initial=-1) + 1
        sums = [
            np.stack([np.bincount(image, weight * y, n), np.bincount(image, weight * x, n)], axis=1)
            for y, x in ((self.before, np.ones(len(weight))), (self.after, self.is_there))
        ]
        return change(*sums)


def pairs(lake: Lake, batch: Batch) -> list[Pair]:
    """Every mask of a batch with what has become of it, in the order of the work, as `lake` shows it."""
    rows = lake.query(
        "SELECT supersedes, mask_id FROM masks ANTI JOIN withdrawn_masks USING (mask_id) WHERE supersedes IS NOT NULL "
        "ORDER BY mask_id"
    ).to_pylist()
    later = {row["supersedes"]: row["mask_id"] for row in rows}
    said = lake.query(
        """
        SELECT mask_id FROM current_verdicts
        WHERE sample = $name AND purpose = 'correct'
        GROUP BY mask_id
        HAVING count(*) FILTER (WHERE decision = 'reject') > count(*) FILTER (WHERE decision = 'accept')
        """,
        {"name": batch.batch},
    )
    rejected = set(said["mask_id"].to_pylist())
    found = []
    for place in batches.places(lake.con, batch.batch):
        new = place.mask_id
        while new in later:
            new = later[new]
        is_rejected = new == place.mask_id and new in rejected
        found.append(Pair(place.mask_id, None if is_rejected else new, place.image_id))
    return found


# -- gold ------------------------------------------------------------------------------------------


def by_gold(lake: Lake, of: Sequence[Pair]) -> Seen | None:
    """All pairs on images with gold; None where there are none."""
    wanted = {
        mask_id: pair.image_id for pair in of for mask_id in (pair.old, pair.new) if mask_id is not None
    }
    best = against_gold.best(lake, wanted)
    known = [pair for pair in of if pair.old in best]
    if not known:
        return None
    after = [best[pair.new] if pair.new is not None else None for pair in known]
    return Seen(
        before=np.array([not best[pair.old].is_good for pair in known]),
        after=np.array([one is not None and not one.is_good for one in after]),
        is_there=np.array([one is not None for one in after]),
        weight=np.ones(len(known)),
        image_id=np.array([pair.image_id for pair in known]),
        source="gold",
        design=f"all {len(known):,} of {len(of):,} masks of the batch that lie on images with gold; paired by mask, image as cluster",
        ious=np.array(
            [
                [best[p.old].iou, np.nan if one is None else one.iou]
                for p, one in zip(known, after, strict=True)
            ]
        ),
    )


# -- people ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drawn:
    """The proof samples of a batch: their rows with what was settled, and all pairs as they were at the first draw."""

    samples: tuple[str, ...]
    rows: Sequence[dict]
    pairs: Sequence[Pair]
    snapshot_id: int

    @property
    def n_waiting(self) -> int:
        return sum(not row["is_judged"] for row in self.rows)


_PROOF_ROWS = """
    SELECT
        samples.sample,
        samples.mask_id,
        samples.stratum,
        samples.snapshot_id,
        samples.options,
        settled.is_accepted,
        settled.mask_id IS NOT NULL AS is_judged
    FROM samples
    LEFT JOIN settled_verdicts AS settled
        ON settled.sample = samples.sample AND settled.mask_id = samples.mask_id
    WHERE samples.sample = $first OR starts_with(samples.sample, $later)
    ORDER BY samples.drawn_at, samples.sample, samples.position
"""


def drawn_samples(lake: Lake, name: str) -> Drawn | None:
    rows = lake.query(_PROOF_ROWS, {"first": f"{name}-proof", "later": f"{name}-proof-"}).to_pylist()
    rows = [row for row in rows if json.loads(row["options"] or "{}").get("proof_of") == name]
    if not rows:
        return None
    told = json.loads(rows[0]["options"])
    with Lake.open(lake.root, at=told["pairs_at"]) as past:
        known = pairs(past, batches.get(past, name))
    return Drawn(tuple(dict.fromkeys(row["sample"] for row in rows)), rows, known, told["pairs_at"])


def by_people(lake: Lake, drawn: Drawn) -> Seen:
    """The pairs of which all masks have a verdict that counts; each stands for its part of its kind."""
    said = {row["mask_id"]: row["is_accepted"] for row in drawn.rows}
    by_kind: dict[str, list[Pair]] = {}
    for pair in drawn.pairs:
        sides = {pair.old, pair.old if pair.new is None else pair.new}
        if sides <= said.keys() and all(said[side] is not None for side in sides):
            by_kind.setdefault(pair.kind, []).append(pair)
    n_all = Counter(pair.kind for pair in drawn.pairs)
    known = [pair for of_kind in by_kind.values() for pair in of_kind]
    lost = sum(n for kind, n in n_all.items() if kind not in by_kind)
    design = (
        f"{len(known):,} of {len(drawn.pairs):,} pairs, drawn at random by what has become of the mask, judged blind; paired "
        "by mask, image as cluster"
    )
    if lost and known:
        design += f"; nothing is judged of a kind that {lost:,} masks are of"
    own = _own_verdicts(lake, drawn)
    if own:
        design += (
            f"; {own:,} verdicts are of people on masks that they drew themselves or on what they replaced"
        )
    return Seen(
        before=np.array([not said[pair.old] for pair in known], bool),
        after=np.array([pair.new is not None and not said[pair.new] for pair in known], bool),
        is_there=np.array([pair.new is not None for pair in known], bool),
        weight=np.array([n_all[pair.kind] / len(by_kind[pair.kind]) for pair in known], float),
        image_id=np.array([pair.image_id for pair in known], np.int64),
        source="verdicts",
        design=design,
    )


def _own_verdicts(lake: Lake, drawn: Drawn) -> int:
    """Verdicts of the proof that people gave on their own work, or on what it replaced."""
    sql = """
        SELECT count(*)
        FROM current_verdicts AS given
        INNER JOIN drawn_masks AS drawn
            ON drawn.rater = given.rater
            AND (drawn.mask_id = given.mask_id OR drawn.shown_mask_id = given.mask_id OR drawn.supersedes = given.mask_id)
        WHERE list_contains($samples, given.sample) AND given.purpose <> 'correct'
    """
    return lake.con.execute(sql, {"samples": list(drawn.samples)}).fetchone()[0]


@dataclass(frozen=True)
class NewSample:
    """A sample of pairs that was drawn: `n_pairs` of `n_left` that were in no sample before, `n_masks` to judge."""

    name: str
    n_pairs: int
    n_left: int
    n_masks: int


def draw(
    lake: Lake,
    batch: Batch,
    all_pairs: Sequence[Pair],
    drawn: Drawn | None,
    size: int,
    seed: int,
    by: str | None,
    now: datetime,
) -> NewSample | None:
    """Draw a fresh sample of pairs that were not drawn before, and keep it; None where none are left.

    Raises InputError where somebody else has a sample of that name.
    """
    before = {row["mask_id"] for row in drawn.rows} if drawn else set()
    left = [pair for pair in all_pairs if pair.old not in before]
    if not left:
        return None
    number = len(drawn.samples) + 1 if drawn else 1
    name = f"{batch.batch}-proof" if number == 1 else f"{batch.batch}-proof-{number}"
    pairs_at = drawn.snapshot_id if drawn else lake.version()
    rng = np.random.default_rng([seed, number])
    kinds, stratum = np.unique([pair.kind for pair in left], return_inverse=True)
    # Two of each kind at least, where there are so many.
    size = max(min(size, len(left)), min(len(left), designs.LEAST_OF_STRATUM * len(kinds)))
    sizes = designs.allocate(np.bincount(stratum), size, "proportional")
    chosen = [left[place] for place in designs.stratified(stratum, sizes, rng).places]
    constants = {
        "sample": name,
        # By chance, but out of masks that were chosen on purpose, and with both masks of a pair: no rate of others takes it.
        "design": "purposive",
        "n_draws": 1,
        "options": json.dumps({"proof_of": batch.batch, "pairs_at": pairs_at, "pairs": len(chosen)}),
        "snapshot_id": pairs_at,
        "seed": seed,
        "drawn_by": by,
        "drawn_at": now,
    }
    rows = [row | constants for row in _sample_rows(chosen, left, rng)]

    def keep(con: duckdb.DuckDBPyConnection) -> None:
        check_is_free(con, name)
        insert(con, {"samples": TABLES["samples"].table(rows)})

    lake.commit(keep, f"proof of batch {batch.batch} drawn")
    return NewSample(name, len(chosen), len(left), len(rows))


def _sample_rows(chosen: Sequence[Pair], left: Sequence[Pair], rng: np.random.Generator) -> list[dict]:
    """Rows of `samples` of the drawn pairs: both masks of a pair near each other, in random order."""
    n_of_kind, n_drawn = Counter(p.kind for p in left), Counter(p.kind for p in chosen)
    images = {kind: {p.image_id for p in left if p.kind == kind} for kind in n_of_kind}
    of_image = Counter((p.kind, p.image_id) for p in left)
    rows: list[dict] = []
    for first in range(0, len(chosen), PAIRS_TOGETHER):
        together = [side for pair in chosen[first : first + PAIRS_TOGETHER] for side in _sides(pair)]
        for place in rng.permutation(len(together)):
            pair, mask_id, stratum = together[place]
            rows.append(
                {
                    "position": len(rows),
                    "mask_id": mask_id,
                    "run_id": ids.unpack_mask_id(mask_id)[0],
                    "image_id": pair.image_id,
                    "stratum": stratum,
                    "stratum_n_masks": n_of_kind[pair.kind],
                    "stratum_n_images": len(images[pair.kind]),
                    "image_n_masks": of_image[pair.kind, pair.image_id],
                    "inclusion_probability": n_drawn[pair.kind] / n_of_kind[pair.kind],
                }
            )
    return rows


def _sides(pair: Pair) -> Iterable[tuple[Pair, int, str]]:
    """The masks of a pair that are to be judged, with their stratum."""
    if pair.kind != CHANGED:
        return [(pair, pair.old, pair.kind)]
    return [(pair, pair.old, BEFORE), (pair, pair.new, AFTER)]
