"""What changed between two versions of the lake: masks added, superseded and withdrawn by run, and what that did to quality.

A correction counts for the run that it corrects. *Added*: masks that stand now, drawn objects too, in the place of none
that stood before. *Superseded*: masks that stood and are replaced by a correction. *Withdrawn*: masks that stood and are
not in the lake any more, or that people have rejected since, in a sample or in a batch. So those after are those before,
with the added and without the withdrawn.

Quality is of the masks that are current at each version, withdrawn ones left out:

- **gold**: mean best IoU, and share of bad masks, of those on images with gold, against all gold of the later version
  (where gold came between, both are measured by the same rule);
- **verdicts**: share accepted of those judged in samples that were drawn by chance, unweighted; purposive samples, batches
  among them, say nothing of a share.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.gold.differences import change
from curation.lake import Lake
from curation.review import against_gold
from curation.review.intervals import of_totals
from curation.views import REJECTED

ROWS = pa.schema(
    [
        ("run_id", pa.int32()),
        ("kind", pa.string()),
        ("stage", pa.string()),
        ("cycle", pa.int16()),
        ("n_masks_before", pa.int64()),
        ("n_added", pa.int64()),
        ("n_superseded", pa.int64()),
        ("n_withdrawn", pa.int64()),
        ("n_masks_after", pa.int64()),
        *(
            (f"{figure}_{moment}{bound}", pa.float64())
            for figure in ("gold_iou", "bad_share", "accepted_share")
            for moment in ("before", "after", "change")
            for bound in ("", "_low", "_high")
        ),
        ("n_gold_images", pa.int64()),
        ("n_judged_images", pa.int64()),
        ("version_before", pa.int64()),
        ("version_after", pa.int64()),
        ("design", pa.string()),
    ]
)
DESIGN = "gold: all masks on images with gold; verdicts: masks judged in samples drawn by chance, unweighted; 95 %, image as cluster"
NOW = "now"

#: The masks of a version that stand, with the run that they count for.
_STANDING = f"""
    WITH rejected AS ({REJECTED})

    SELECT
        masks.mask_id,
        masks.image_id,
        masks.supersedes,
        CASE WHEN runs.kind = 'correct' THEN runs.parent_run_id ELSE runs.run_id END AS run_id
    FROM current_masks AS masks
    INNER JOIN runs USING (run_id)
    ANTI JOIN rejected ON rejected.mask_id = masks.mask_id
"""
_COUNTS = """
    WITH RECURSIVE corrections AS (
        SELECT mask_id, supersedes FROM masks ANTI JOIN withdrawn_masks USING (mask_id) WHERE supersedes IS NOT NULL
    ),

    -- Masks that stand now, with everything that they were corrected from.
    origins AS (
        SELECT mask_id, supersedes AS origin FROM masks_after WHERE supersedes IS NOT NULL
        UNION ALL
        SELECT origins.mask_id, corrections.supersedes AS origin
        FROM origins
        INNER JOIN corrections ON corrections.mask_id = origins.origin
    ),

    replaced AS (
        SELECT origins.mask_id, origins.origin
        FROM origins
        INNER JOIN masks_before ON masks_before.mask_id = origins.origin
    )

    SELECT
        coalesce(a.run_id, b.run_id) AS run_id,
        count(b.mask_id) AS n_masks_before,
        count(a.mask_id) FILTER (
            WHERE b.mask_id IS NULL AND a.mask_id NOT IN (SELECT mask_id FROM replaced)
        ) AS n_added,
        count(b.mask_id) FILTER (
            WHERE a.mask_id IS NULL AND b.mask_id IN (SELECT origin FROM replaced)
        ) AS n_superseded,
        count(b.mask_id) FILTER (
            WHERE a.mask_id IS NULL AND b.mask_id NOT IN (SELECT origin FROM replaced)
        ) AS n_withdrawn,
        count(a.mask_id) AS n_masks_after
    FROM masks_before AS b
    FULL JOIN masks_after AS a ON a.mask_id = b.mask_id
    GROUP BY ALL
    ORDER BY 1
"""
_JUDGED = """
    SELECT settled.mask_id, settled.image_id, arg_max(settled.is_accepted, settled.committed_at) AS is_accepted
    FROM settled_verdicts AS settled
    SEMI JOIN (SELECT sample, mask_id FROM samples WHERE design <> 'purposive') AS drawn USING (sample, mask_id)
    WHERE settled.is_accepted IS NOT NULL
    GROUP BY settled.mask_id, settled.image_id
"""


@dataclass(frozen=True)
class _Version:
    """One version: masks that stand (mask_id, image_id, supersedes, run_id), and which judged ones are accepted."""

    number: int
    masks: pa.Table
    accepted: Mapping[int, bool]

    @classmethod
    def read(cls, lake: Lake) -> "_Version":
        judged = lake.query(_JUDGED)
        accepted = zip(judged["mask_id"].to_pylist(), judged["is_accepted"].to_pylist(), strict=True)
        return cls(lake.version(), lake.query(_STANDING), dict(accepted))

    def known(self, run_id: int, gold_images: pa.Array) -> dict[int, int]:
        """Mask -> image, of a run's masks that gold or a verdict says something of."""
        judged = pa.array(self.accepted.keys(), pa.int64())
        is_known = pc.or_(
            pc.is_in(self.masks["image_id"], value_set=gold_images),
            pc.is_in(self.masks["mask_id"], value_set=judged),
        )
        chosen = self.masks.filter(pc.and_(is_known, pc.equal(self.masks["run_id"], run_id)))
        return dict(zip(chosen["mask_id"].to_pylist(), chosen["image_id"].to_pylist(), strict=True))


def between(root: Path, before: str, after: str) -> pa.Table:
    """A row a run that has masks at either version (ROWS); `after` may be `now`. No masks give no rows.

    Raises LakeError for a tag or version that there is not.
    """
    with Lake.open(root, at=before) as past:
        first = _Version.read(past)
    with Lake.open(root, at=None if after == NOW else after, read_only=True) as lake:
        second = _Version.read(lake)
        lake.con.register("masks_before", first.masks)
        lake.con.register("masks_after", second.masks)
        counts = lake.query(_COUNTS).to_pylist()
        runs = {
            row["run_id"]: row
            for row in lake.query("SELECT run_id, kind, stage, cycle FROM runs").to_pylist()
        }
        rows = []
        for row in counts:
            told = {name: runs.get(row["run_id"], {}).get(name) for name in ("kind", "stage", "cycle")}
            versions = {"version_before": first.number, "version_after": second.number, "design": DESIGN}
            rows.append({**row, **told, **_quality(lake, first, second, row["run_id"]), **versions})
    return pa.Table.from_pylist(rows, schema=ROWS)


def _quality(lake: Lake, first: _Version, second: _Version, run_id: int) -> dict[str, float | int | None]:
    gold = lake.query("SELECT DISTINCT image_id FROM gold_masks")["image_id"].combine_chunks()
    masks = [version.known(run_id, gold) for version in (first, second)]
    best = against_gold.best(lake, masks[0] | masks[1])
    ious = [[(image, best[m].iou) for m, image in some.items() if m in best] for some in masks]
    bad = [[(image, float(not best[m].is_good)) for m, image in some.items() if m in best] for some in masks]
    accepted = [
        [(image, float(version.accepted[m])) for m, image in some.items() if m in version.accepted]
        for version, some in zip((first, second), masks, strict=True)
    ]
    return {
        **_of_means(ious),
        **_of_shares("bad_share", bad),
        **_of_shares("accepted_share", accepted),
        "n_gold_images": len({image for some in ious for image, _ in some}),
        "n_judged_images": len({image for some in accepted for image, _ in some}),
    }


def _totals(both: list[list[tuple[int, float]]]) -> np.ndarray:
    """Sums of the values and their number, of each image, before and after: (n_images, 4)."""
    images = sorted({image for some in both for image, _ in some})
    place = {image: k for k, image in enumerate(images)}
    totals = np.zeros((len(images), 4))
    for moment, some in enumerate(both):
        for image, value in some:
            totals[place[image], 2 * moment : 2 * moment + 2] += value, 1
    return totals


def _of_shares(figure: str, both: list[list[tuple[int, float]]]) -> dict[str, float | None]:
    totals = _totals(both)
    of = change(totals[:, :2], totals[:, 2:])
    # `gain` is before less after; what is told here is after less before.
    numbers = {
        "before": (of.before.estimate, of.before.low, of.before.high),
        "after": (of.after.estimate, of.after.low, of.after.high),
        "change": (0.0 - of.gain.estimate, 0.0 - of.gain.high, 0.0 - of.gain.low),
    }
    if (
        totals[:, :2] == totals[:, 2:]
    ).all():  # the same masks with the same answers: nothing tells of a change
        numbers["change"] = (numbers["change"][0], None, None)
    return _named(figure, numbers)


def _of_means(both: list[list[tuple[int, float]]]) -> dict[str, float | None]:
    totals = _totals(both)
    figures = {
        "before": (lambda s: s[:, 0] / s[:, 1], (0, 1)),
        "after": (lambda s: s[:, 2] / s[:, 3], (0, 1)),
        "change": (lambda s: s[:, 2] / s[:, 3] - s[:, 0] / s[:, 1], (-1, 1)),
    }
    found = {name: of_totals(totals, figure, bounds) for name, (figure, bounds) in figures.items()}
    return _named("gold_iou", {name: (one.estimate, one.low, one.high) for name, one in found.items()})


def _named(figure: str, numbers: Mapping[str, Iterable[float | None]]) -> dict[str, float | None]:
    return {
        f"{figure}_{moment}{bound}": None if value is None or np.isnan(value) else float(value)
        for moment, values in numbers.items()
        for bound, value in zip(("", "_low", "_high"), values, strict=True)
    }
