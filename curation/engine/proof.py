"""The proof of a batch: did its masks get better, by how much, and is the cluster that it mends fixed?

Each mask of the batch is compared with what has become of it: paired, so that what makes some masks hard takes no part
in the change. A mask that nobody has changed counts as it is, one that was rejected is not there afterwards.

- **Gold**: where there is gold on images of the batch, all its masks on these images are compared with it at once.
- **People**: else a fresh random sample of the batch's masks (stratified by what has become of them, in proportion) is
  judged blind in the app: both masks of a pair, in random order, with the review's hidden checks. A mask that nobody
  has changed is judged once. Later draws take masks that were not drawn before, of the same version of the lake.

The interval of the gain takes the image as the cluster (`gold.differences`). A cluster is fixed where the gain is
above 0 and the share of bad masks afterwards below that of the masks outside the cluster, both by their 95 % bounds.
The bounds are of one look, so the status waits until the whole sample is judged.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

import duckdb
import numpy as np
import pyarrow as pa

from curation.engine.proof_pairs import (
    CHANGED,
    REJECTED,
    UNCHANGED,
    Drawn,
    Pair,
    Seen,
    by_gold,
    by_people,
    draw,
    drawn_samples,
    pairs,
)
from curation.errors import InputError
from curation.gold.differences import Change, Share
from curation.lake import Lake, insert
from curation.review import batches
from curation.review.batches import Batch
from curation.review.intervals import of_totals
from curation.schemas import TABLES

#: Pairs to judge where nothing is asked for: shows a gain of 20 points and more.
PAIRS = 100

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
    drawn = drawn_samples(lake, name)
    waiting = drawn.n_waiting if drawn else 0
    if drawn is None:
        all_pairs = pairs(lake, batch)
        _tell_pairs(found, batch, all_pairs)
    else:
        all_pairs = drawn.pairs
        _tell_pairs(found, batch, all_pairs)
        _tell_later(lake, found, batch, drawn)
    if size is not None and not waiting:
        _draw(lake, found, batch, all_pairs, drawn, (size, seed, by, now))
        return found
    seen = by_people(lake, drawn) if drawn else None
    if seen is None or not len(seen.weight):
        seen = by_gold(lake, all_pairs) or seen
    if seen is None:
        _draw(lake, found, batch, all_pairs, None, (PAIRS, seed, by, now))
        return found
    if waiting:
        found.sample = drawn.samples[-1]
        found.told.append(f"{waiting:,} masks of sample {found.sample} wait to be judged in Review")
    if len(seen.weight):
        _tell_change(found, seen, limit, len(all_pairs))
        if not waiting or seen.source == "gold":
            _set_status(lake, batch, found, by, now)
    return found


# -- what it says ----------------------------------------------------------------------------------


def _tell_pairs(found: Proof, batch: Batch, of: Sequence[Pair]) -> None:
    kinds = Counter(pair.kind for pair in of)
    found.told.append(
        f"batch {batch.batch}: {len(of):,} masks, of which {kinds[CHANGED]:,} are corrected, {kinds[REJECTED]:,} rejected, "
        f"{kinds[UNCHANGED]:,} as they were"
    )


def _tell_later(lake: Lake, found: Proof, batch: Batch, drawn: Drawn) -> None:
    """What was corrected since the sample was drawn is not in the proof."""
    then = {pair.old: pair.new for pair in drawn.pairs}
    n = sum(then[pair.old] != pair.new for pair in pairs(lake, batch))
    if n:
        found.told.append(
            f"{n:,} of its masks were changed since version {drawn.snapshot_id}, of which the sample was drawn; the proof is of "
            "the masks as they were then"
        )


def _draw(
    lake: Lake,
    found: Proof,
    batch: Batch,
    all_pairs: Sequence[Pair],
    drawn: Drawn | None,
    how: tuple[int, int, str | None, datetime],
) -> None:
    """Draw a sample of pairs (`how`: size, seed, by whom, when) and say what to do with it."""
    new = draw(lake, batch, all_pairs, drawn, *how)
    if new is None:
        found.told.append("all masks of the batch are in its proof already; there are no more to draw")
        return
    found.sample = new.name
    found.told.append(
        f"sample {new.name}: {new.n_pairs:,} of {new.n_left:,} pairs drawn, {new.n_masks:,} masks to judge. Judge it in Review "
        f"(`curation app`), best by people who corrected none of it; then `curation batch prove {batch.batch}` again"
    )


def _tell_change(found: Proof, seen: Seen, limit: float | None, n_pairs: int) -> None:
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


def _of_ious(seen: Seen) -> dict[str, float | None]:
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
