"""The proof of a batch: did its masks get better, by how much, and is the cluster that it mends fixed?

Each mask of the batch is compared with what has become of it: paired, so that what makes some masks hard takes no part
in the change. A mask that nobody has changed counts as it is, one that was rejected is not there afterwards.

- **Gold**: where there is gold on images of the batch, all its masks on these images are compared with it at once.
- **People**: else a fresh random sample of the batch's masks (stratified by what has become of them, in proportion) is
  judged blind in the app: both masks of a pair, in random order, with the review's hidden checks. A mask that nobody
  has changed is judged once. Later draws take masks that were not drawn before, of the same version of the lake.

The interval of the gain takes the image as the cluster (`gold.differences`). A cluster is fixed where the gain is
above 0 and the share of bad masks afterwards below that of the masks outside the cluster, both by their 95 % bounds.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

import duckdb
import numpy as np
import pyarrow as pa

from curation import ids
from curation.errors import InputError
from curation.gold.differences import Change, Share, change
from curation.lake import Lake, insert
from curation.review import against_gold, batches
from curation.review.batches import Batch
from curation.review.intervals import of_totals
from curation.sampling import designs
from curation.schemas import TABLES

#: Pairs to judge where nothing is asked for: shows a gain of 20 points and more.
PAIRS = 100
#: Both masks of a pair come within so many pairs, so that a part of the sample holds whole pairs, and not one after the other.
PAIRS_TOGETHER = 50
CHANGED, UNCHANGED, REJECTED = "changed", "unchanged", "rejected"
BEFORE, AFTER = "changed, before", "changed, after"

FIGURES = pa.schema(
    [
        ("figure", pa.string()),
        ("before", pa.float64()),
        ("before_low", pa.float64()),
        ("before_high", pa.float64()),
        ("after", pa.float64()),
        ("after_low", pa.float64()),
        ("after_high", pa.float64()),
        ("gain", pa.float64()),
        ("gain_low", pa.float64()),
        ("gain_high", pa.float64()),
        ("n_masks", pa.int64()),
        ("n_images", pa.int64()),
        ("source", pa.string()),
        ("design", pa.string()),
    ]
)


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


@dataclass
class Proof:
    """`told`: everything in words. `figures`: rows of FIGURES, none where nothing is known yet.

    `is_fixed`: None where nothing can be said yet. `n_more`: pairs to judge besides for that, None where unknown.
    `sample`: the sample that waits to be judged.
    """

    told: list[str] = field(default_factory=list)
    figures: list[dict] = field(default_factory=list)
    is_fixed: bool | None = None
    n_more: int | None = None
    sample: str | None = None

    @property
    def rows(self) -> pa.Table:
        return pa.Table.from_pylist(self.figures, schema=FIGURES)


@dataclass(frozen=True)
class _Seen:
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


def prove(
    lake: Lake,
    name: str,
    size: int | None = None,
    max_bad: float | None = None,
    seed: int = 0,
    by: str | None = None,
    now: datetime | None = None,
) -> Proof:
    """Say whether the masks of a batch got better, draw the sample that is needed for that, and set the cluster's status.

    With `size` a sample of so many pairs is drawn; without, verdicts on samples drawn before decide, else gold, else a
    sample of PAIRS pairs is drawn. `max_bad`: share of bad masks to stay under, None for that of the masks outside the
    cluster; without either the gain alone decides. Raises InputError for no such batch.
    """
    now = now or datetime.now(timezone.utc)
    if max_bad is not None and not 0 < max_bad <= 1:
        raise InputError(f"--max-bad {max_bad}: it must lie in 0..1, above 0")
    batch = batches.get(lake, name)
    limit = max_bad if max_bad is not None else _rest_share(lake, batch)
    found = Proof()
    drawn = _drawn(lake, name)
    waiting = drawn.n_waiting if drawn else 0
    if drawn is None:
        all_pairs = pairs(lake, batch)
        _tell_pairs(found, batch, all_pairs)
    else:
        all_pairs = drawn.pairs
        _tell_pairs(found, batch, all_pairs)
        _tell_later(lake, found, batch, drawn)
    if size is not None and not waiting:
        _draw(lake, found, batch, all_pairs, drawn, size, seed, by, now)
        return found
    seen = _by_people(lake, drawn) if drawn else None
    if seen is None or not len(seen.weight):
        seen = _by_gold(lake, all_pairs) or seen
    if seen is None:
        _draw(lake, found, batch, all_pairs, None, PAIRS, seed, by, now)
        return found
    if waiting:
        found.sample = drawn.samples[-1]
        found.told.append(f"{waiting:,} masks of sample {found.sample} wait to be judged in Review")
    if len(seen.weight):
        _tell_change(found, seen, limit, len(all_pairs))
        _set_status(lake, batch, found, by, now)
    return found


# -- pairs -----------------------------------------------------------------------------------------


def pairs(lake: Lake, batch: Batch) -> list[Pair]:
    """Every mask of a batch with what has become of it, in the order of the work, as `lake` shows it."""
    rows = lake.query(
        "SELECT supersedes, mask_id FROM masks WHERE supersedes IS NOT NULL ORDER BY mask_id"
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


def _tell_pairs(found: Proof, batch: Batch, of: Sequence[Pair]) -> None:
    kinds = Counter(pair.kind for pair in of)
    found.told.append(
        f"batch {batch.batch}: {len(of):,} masks, of which {kinds[CHANGED]:,} are corrected, {kinds[REJECTED]:,} rejected, "
        f"{kinds[UNCHANGED]:,} as they were"
    )


# -- gold ------------------------------------------------------------------------------------------


def _by_gold(lake: Lake, of: Sequence[Pair]) -> _Seen | None:
    """All pairs on images with gold; None where there are none."""
    wanted = {
        mask_id: pair.image_id for pair in of for mask_id in (pair.old, pair.new) if mask_id is not None
    }
    best = against_gold.best(lake, wanted)
    known = [pair for pair in of if pair.old in best]
    if not known:
        return None
    after = [best[pair.new] if pair.new is not None else None for pair in known]
    return _Seen(
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
class _Drawn:
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


def _drawn(lake: Lake, name: str) -> _Drawn | None:
    rows = lake.query(_PROOF_ROWS, {"first": f"{name}-proof", "later": f"{name}-proof-"}).to_pylist()
    rows = [row for row in rows if json.loads(row["options"] or "{}").get("proof_of") == name]
    if not rows:
        return None
    told = json.loads(rows[0]["options"])
    with Lake.open(lake.root, at=told["pairs_at"]) as past:
        known = pairs(past, batches.get(past, name))
    return _Drawn(tuple(dict.fromkeys(row["sample"] for row in rows)), rows, known, told["pairs_at"])


def _tell_later(lake: Lake, found: Proof, batch: Batch, drawn: _Drawn) -> None:
    """What was corrected since the sample was drawn is not in the proof."""
    then = {pair.old: pair.new for pair in drawn.pairs}
    n = sum(then[pair.old] != pair.new for pair in pairs(lake, batch))
    if n:
        found.told.append(
            f"{n:,} of its masks were changed since version {drawn.snapshot_id}, of which the sample was drawn; the proof is of "
            "the masks as they were then"
        )


def _by_people(lake: Lake, drawn: _Drawn) -> _Seen:
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
    return _Seen(
        before=np.array([not said[pair.old] for pair in known], bool),
        after=np.array([pair.new is not None and not said[pair.new] for pair in known], bool),
        is_there=np.array([pair.new is not None for pair in known], bool),
        weight=np.array([n_all[pair.kind] / len(by_kind[pair.kind]) for pair in known], float),
        image_id=np.array([pair.image_id for pair in known], np.int64),
        source="verdicts",
        design=design,
    )


def _own_verdicts(lake: Lake, drawn: _Drawn) -> int:
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


def _draw(
    lake: Lake,
    found: Proof,
    batch: Batch,
    all_pairs: Sequence[Pair],
    drawn: _Drawn | None,
    size: int,
    seed: int,
    by: str | None,
    now: datetime,
) -> None:
    """Draw a fresh sample of pairs that were not drawn before, and keep it."""
    before = {row["mask_id"] for row in drawn.rows} if drawn else set()
    left = [pair for pair in all_pairs if pair.old not in before]
    if not left:
        found.told.append("all masks of the batch are in its proof already; there are no more to draw")
        return
    number = len(drawn.samples) + 1 if drawn else 1
    sample = f"{batch.batch}-proof" if number == 1 else f"{batch.batch}-proof-{number}"
    pairs_at = drawn.snapshot_id if drawn else lake.version()
    rng = np.random.default_rng([seed, number])
    kinds, stratum = np.unique([pair.kind for pair in left], return_inverse=True)
    size = max(min(size, len(left)), min(len(left), 2 * len(kinds)))
    sizes = designs.allocate(np.bincount(stratum), size, "proportional")
    draw = designs.stratified(stratum, sizes, rng)
    chosen = [left[place] for place in draw.places]
    rows = _sample_rows(chosen, left, rng)
    options = {"proof_of": batch.batch, "pairs_at": pairs_at, "pairs": len(chosen)}
    constants = {
        "sample": sample,
        "design": "stratified",
        "n_draws": 1,
        "options": json.dumps(options),
        "snapshot_id": pairs_at,
        "seed": seed,
        "drawn_by": by,
        "drawn_at": now,
    }
    table = TABLES["samples"].table([row | constants for row in rows])
    lake.append({"samples": table}, f"proof of batch {batch.batch} drawn")
    found.sample = sample
    found.told.append(
        f"sample {sample}: {len(chosen):,} of {len(left):,} pairs drawn, {len(rows):,} masks to judge. Judge it in Review "
        f"(`curation app`), best by people who corrected none of it; then `curation batch prove {batch.batch}` again"
    )


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


# -- what it says ----------------------------------------------------------------------------------


def _tell_change(found: Proof, seen: _Seen, limit: float | None, n_pairs: int) -> None:
    of = seen.change()
    counts = {
        "n_masks": len(seen.weight),
        "n_images": of.n_images,
        "source": seen.source,
        "design": seen.design,
    }
    found.figures.append({"figure": "bad_share", **_bounds(of), **counts})
    if seen.ious is not None:
        found.figures.append({"figure": "mean_gold_iou", **_of_ious(seen), **counts})
    found.told.append(
        f"bad before {_shown(of.before)}, after {_shown(of.after)}: {_shown(of.gain)} fewer, by {seen.source}, "
        f"{len(seen.weight):,} masks of {of.n_images:,} images"
    )
    _decide(found, of, limit, len(seen.weight), n_pairs)


def _decide(found: Proof, of: Change, limit: float | None, n_seen: int, n_pairs: int) -> None:
    """Fixed, not fixed, or not known yet, and how many more pairs might tell."""
    is_better = of.gain.low > 0
    is_low = limit is None or of.after.high < limit
    goal = "" if limit is None else f", and bad afterwards below {limit:.3f}"
    if is_better and is_low:
        found.is_fixed = True
        found.told.append(f"shown: fewer bad masks than before{goal} (95 %)")
        return
    factors = []
    if not is_better:
        factors.append(_factor(of.gain.estimate, of.gain.estimate - of.gain.low, False))
    if not is_low:
        factors.append(
            _factor(limit - of.after.estimate, of.after.high - of.after.estimate, of.after.estimate == 0)
        )
    if any(factor is None for factor in factors):
        found.is_fixed = False
        missing = (
            "no fewer bad masks than before" if of.gain.estimate <= 0 else f"still {limit:.3f} bad or more"
        )
        found.told.append(f"not shown: as far as is seen, {missing}; correct more, then prove again")
        return
    if math.isnan(max(factors)):
        found.told.append("cannot tell yet: masks of one image alone bound nothing; judge more images")
        return
    found.n_more = max(1, math.ceil(n_seen * (max(factors) - 1)))
    left = n_pairs - n_seen
    found.told.append(
        f"cannot tell yet: {found.n_more:,} more pairs, if they turn out alike"
        + (
            f"; the batch has {left:,} more, so this batch alone cannot show it"
            if found.n_more > left
            else ""
        )
    )


def _factor(distance: float, half: float, is_none_bad: bool) -> float | None:
    """Times as many pairs as now for a bound to come within `distance`; None where more would not help.

    A half-width falls with the root of the number, and with the number itself where nothing bad was seen.
    """
    if distance <= 0:
        return None
    return half / distance if is_none_bad else (half / distance) ** 2


def _set_status(lake: Lake, batch: Batch, found: Proof, by: str | None, now: datetime) -> None:
    """Write that the cluster is fixed; otherwise it stays in re-annotation."""
    if batch.cluster is None:
        return
    if not found.is_fixed:
        found.told.append(f"cluster {batch.cluster} stays in re-annotation")
        return

    def work(con: duckdb.DuckDBPyConnection) -> None:
        newest = con.execute(
            "SELECT status, batch FROM cluster_events WHERE cluster = ? ORDER BY at_utc DESC LIMIT 1",
            [batch.cluster],
        ).fetchone()
        if newest == ("fixed", batch.batch):
            return
        row = {
            "cluster": batch.cluster,
            "status": "fixed",
            "at_utc": now,
            "by_whom": by,
            "search_id": batch.search_id,
            "batch": batch.batch,
            "note": "; ".join(found.told[-2:]),
        }
        insert(con, {"cluster_events": TABLES["cluster_events"].table([row])})

    lake.commit(work, f"cluster {batch.cluster} fixed by batch {batch.batch}")
    found.told.append(f"cluster {batch.cluster} is fixed")


def _rest_share(lake: Lake, batch: Batch) -> float | None:
    """Share of bad masks outside the cluster, as its search found it; None without a cluster."""
    if batch.cluster is None:
        return None
    found = lake.con.execute(
        "SELECT rest_bad_share FROM clusters WHERE search_id = ? AND cluster = ?",
        [batch.search_id, batch.cluster],
    ).fetchone()
    return found[0] if found else None


def _of_ious(seen: _Seen) -> dict[str, float | None]:
    """Mean best IoU with gold before and after, of the masks that are there at both times, and the change."""
    both = seen.is_there
    _, image = np.unique(seen.image_id[both], return_inverse=True)
    n = image.max(initial=-1) + 1
    sums = [
        np.bincount(image, values, n)
        for values in (seen.ious[both, 0], seen.ious[both, 1], np.ones(both.sum()))
    ]
    totals = np.stack(sums, axis=1)
    bounds = ((0, 1), (0, 1), (-1, 1))
    figures = (
        lambda s: s[:, 0] / s[:, 2],
        lambda s: s[:, 1] / s[:, 2],
        lambda s: (s[:, 1] - s[:, 0]) / s[:, 2],
    )
    row = {}
    for name, figure, within in zip(("before", "after", "gain"), figures, bounds, strict=True):
        found = of_totals(totals, figure, within)
        row |= {name: found.estimate, f"{name}_low": found.low, f"{name}_high": found.high}
    return row


def _bounds(of: Change) -> dict[str, float | None]:
    row = {}
    for name in ("before", "after", "gain"):
        share: Share = getattr(of, name)
        row |= {
            name: _known(share.estimate),
            f"{name}_low": _known(share.low),
            f"{name}_high": _known(share.high),
        }
    return row


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def _shown(share: Share) -> str:
    if np.isnan(share.low):
        return f"{share.estimate:.3f} (no interval: one image)"
    return f"{share.estimate:.3f} [{share.low:.3f}, {share.high:.3f}]"
