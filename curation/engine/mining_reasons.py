"""Why a mask was mined, in words that a reviewer understands: "low stability 0.71; in cluster 7 (small)"."""

from collections import Counter

import numpy as np
import pyarrow as pa

from curation.lake import Lake
from curation.schemas import TABLES
from curation.verifier.routed import Score

#: Where it stands, measure, which end of it stands out, and what that is called with the value.
_TRAITS = (
    ("masks", "stability_score", "low", "low stability {:.2f}"),
    ("masks", "predicted_iou", "low", "low predicted IoU {:.2f}"),
    ("appearance", "edge_alignment", "low", "outline off the edges {:.2f}"),
    ("features", "solidity", "low", "ragged or curved, solidity {:.2f}"),
    ("features", "stray_share", "high", "stray pixels {:.0%}"),
    ("features", "n_holes", "high", "{:.0f} holes"),
    ("features", "n_components", "high", "{:.0f} pieces"),
    ("nesting", "n_near_duplicates", "high", "{:.0f} near duplicates"),
    ("masks", "area_px", "low", "small, {:.0f} px"),
    ("features", "image_share", "high", "covers {:.0%} of the image"),
)
#: What is in the outer tenth of the masks stands out; at most so many traits are told.
_OUTER, _MOST_TOLD = 0.1, 3
#: Masks whose measures show what is usual.
_N_USUAL = 20_000


def explained(
    lake: Lake, chosen: pa.Table, score: Score, threshold: float, names: dict[str, str], name: str
) -> pa.Table:
    """Rows of `mined`: the chosen masks with sample, rank and reason; `names` has samples of motives, others are `name`.

    Those chosen on purpose come motive by motive at even pace, the best of each first.
    """
    traits, words = _traits(lake, chosen), _cluster_words(lake)
    rows = [
        {
            **row,
            "sample": names.get(row["motive"], name),
            "pace": pace,
            "reason": _reason(row, score, threshold, traits.get(row["mask_id"], []), words),
        }
        for pace, row in zip(_paces(chosen["motive"].to_pylist()), chosen.to_pylist(), strict=True)
    ]
    rows.sort(key=lambda row: (row["sample"], row["pace"]))
    counts: dict[str, int] = {}
    for row in rows:
        del row["pace"]
        row["rank"] = counts.get(row["sample"], 0)
        counts[row["sample"]] = row["rank"] + 1
    return TABLES["mined"].table(rows)


def _paces(motives: list[str]) -> list[float]:
    """How far each mask is down the list of its motive, 0..1."""
    sizes, seen = Counter(motives), Counter()
    paces = []
    for motive in motives:
        paces.append((seen[motive] + 0.5) / sizes[motive])
        seen[motive] += 1
    return paces


def _traits(lake: Lake, chosen: pa.Table) -> dict[int, list[str]]:
    """What stands out of each mask, the rarest first."""
    described = _described(lake, chosen["mask_id"])
    among, rows = described.filter(described["is_usual"]), described.filter(described["is_chosen"])
    found: dict[int, list[tuple[float, str]]] = {mask: [] for mask in rows["mask_id"].to_pylist()}
    for _, name, end, words in _TRAITS:
        known = np.sort(among[name].cast(pa.float64()).drop_null().to_numpy())
        if not len(known):
            continue
        values = rows[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
        # Share of the masks that are as extreme or more; what half of the masks are is not extreme.
        if end == "low":
            share = np.searchsorted(known, values, side="right") / len(known)
            stands_out = values < np.median(known)
        else:
            share = 1 - np.searchsorted(known, values, side="left") / len(known)
            stands_out = values > np.median(known)
        for k in np.flatnonzero(stands_out & (share <= _OUTER)):
            found[rows["mask_id"][int(k)].as_py()].append((float(share[k]), words.format(values[k])))
    return {mask: [words for _, words in sorted(told)[:_MOST_TOLD]] for mask, told in found.items()}


def _described(lake: Lake, chosen: pa.ChunkedArray) -> pa.Table:
    """Measures of the chosen masks and of those that show what is usual, by mask."""
    lake.con.register("chosen_ids", pa.table({"mask_id": chosen}))
    rows = lake.query(f"""
        WITH usual AS (SELECT mask_id FROM minable ORDER BY hash(mask_id), mask_id LIMIT {_N_USUAL}),

        wanted AS (SELECT mask_id FROM usual UNION SELECT mask_id FROM chosen_ids)

        SELECT
            mask_id,
            mask_id IN (FROM usual) AS is_usual,
            mask_id IN (FROM chosen_ids) AS is_chosen,
            {", ".join(f"{of}.{name}" for of, name, *_ in _TRAITS)}
        FROM (SELECT run_id, mask_id, area_px, predicted_iou, stability_score FROM masks) AS masks
        SEMI JOIN wanted USING (mask_id)
        LEFT JOIN mask_features AS features USING (run_id, mask_id)
        LEFT JOIN mask_nesting AS nesting USING (run_id, mask_id)
        LEFT JOIN mask_appearance AS appearance USING (run_id, mask_id)
        ORDER BY mask_id
    """)
    lake.con.unregister("chosen_ids")
    return rows


def _cluster_words(lake: Lake) -> dict[int, str]:
    """What each cluster of the newest search has in common."""
    rows = lake.query(
        "SELECT cluster, words FROM clusters WHERE search_id = (SELECT max(search_id) FROM clusters)"
    )
    return dict(zip(rows["cluster"].to_pylist(), rows["words"].to_pylist(), strict=True))


def _reason(row: dict, score: Score, threshold: float, traits: list[str], words: dict[int, str]) -> str:
    told = list(traits)
    if row["cluster"] is not None:
        told.append(f"in cluster {row['cluster']} ({words[row['cluster']]})")
    if row["motive"] == "audit":
        return "; ".join(["drawn by chance", *told])
    name = score.verifier or score.expression
    if row["score"] is None:
        told.append(f"{name} says nothing of it")
    elif row["motive"] == "risk":
        told.insert(0, f"{name} {row['score']:.2f}, next to the threshold {threshold:.2f}")
    else:
        told.append(f"{name} {row['score']:.2f}")
    if row["motive"] == "correction":
        told.append(f"mending it should bring {row['worth']:.2f} IoU")
    return "; ".join(told)
