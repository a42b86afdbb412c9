"""Which groups of a search are clusters that earlier searches found.

Each group is paired with at most one earlier cluster so that all pairs together are most alike (Kuhn's Hungarian method).
How alike they are: 1 where the rules are equal, else the Jaccard index of the masks of today that either holds: an
earlier rule is asked of them anew, and of earlier neighbours those masks count that are still searched. Where none of these
is left, as after a new generation, the directions of the mean embeddings are compared.
"""

from dataclasses import dataclass

import numpy as np

from curation.errors import QueryError
from curation.failures import clusters
from curation.failures.search import shared
from curation.lake import Lake
from curation.sampling import frame
from curation.sampling.frame import Frame, Scope
from curation.settings import FailureSettings

#: Equal rules come before any overlap.
SAME_RULE = 2.0


@dataclass(frozen=True)
class Candidate:
    """A group of this search: its rule (None for neighbours), places of its masks in the frame, mean embedding."""

    rule: str | None
    member: np.ndarray
    centroid: np.ndarray | None


def numbers(
    lake: Lake,
    found: Frame,
    scope: Scope,
    groups: list[Candidate],
    mean: np.ndarray | None,
    settings: FailureSettings,
) -> list[int | None]:
    """The number of the earlier cluster that each group is, None for a new one; `mean` embedding of all masks."""
    earlier = clusters.newest(lake).sort_by("cluster").to_pylist()
    if not earlier or not groups:
        return [None] * len(groups)
    from scipy.optimize import linear_sum_assignment  # half a second, which no other command should wait for

    alike = np.zeros((len(groups), len(earlier)))
    for k, (known, held) in enumerate(zip(earlier, _held(lake, found, scope, earlier), strict=True)):
        for g, group in enumerate(groups):
            alike[g, k] = _alike(group, known, held, mean, settings)
    pairs = dict(zip(*linear_sum_assignment(alike, maximize=True), strict=True))
    return [
        earlier[pairs[g]]["cluster"] if g in pairs and alike[g, pairs[g]] >= settings.known_jaccard else None
        for g in range(len(groups))
    ]


def _held(lake: Lake, found: Frame, scope: Scope, earlier: list[dict]) -> list[np.ndarray]:
    """Places of the masks of the frame that each earlier cluster holds."""
    by_rule = _by_rule(lake, found, scope, [known["rule"] for known in earlier if known["rule"] is not None])
    held = []
    for known in earlier:
        if known["rule"] in by_rule:
            held.append(by_rule[known["rule"]])
            continue
        ids = clusters.members(lake, known["cluster"])["mask_id"].to_numpy()
        held.append(np.flatnonzero(np.isin(found.mask_id, ids)))
    return held


def _by_rule(lake: Lake, found: Frame, scope: Scope, rules: list[str]) -> dict[str, np.ndarray]:
    """Places of the masks of the frame that each rule holds for; rules that cannot be asked here are left out."""
    if not rules:
        return {}
    parts = ", ".join(f"r{k} := coalesce(({rule}), false)" for k, rule in enumerate(rules))
    try:
        read = frame.read(lake, scope, {"held": ("rules", f"struct_pack({parts})")})
    except QueryError:
        # One of them names what this lake no longer has; its masks are known all the same.
        if len(rules) == 1:
            return {}
        return {rule: places for one in rules for rule, places in _by_rule(lake, found, scope, [one]).items()}
    held = (read.values["held"].field(f"r{k}").to_numpy(zero_copy_only=False) for k in range(len(rules)))
    return {
        rule: np.flatnonzero(np.isin(found.mask_id, read.mask_id[holds]))
        for rule, holds in zip(rules, held, strict=True)
    }


def _alike(
    group: Candidate, known: dict, held: np.ndarray, mean: np.ndarray | None, settings: FailureSettings
) -> float:
    """0..1, SAME_RULE for equal rules; at least `known_jaccard` where they may be one."""
    if group.rule is not None and group.rule == known["rule"]:
        return SAME_RULE
    if len(held) or known["centroid"] is None or group.centroid is None or mean is None:
        return shared(group.member, held)
    before = np.frombuffer(known["centroid"], "<f4")
    if len(before) != len(mean):
        return 0.0
    one, other = group.centroid - mean, before - mean
    cosine = float(one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), np.finfo(np.float32).tiny))
    return cosine if cosine >= settings.known_cosine else 0.0
