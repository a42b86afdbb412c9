"""`curation failures find`: the masks of a lake as arrays, the search, and what is kept of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from curation.errors import InputError, MissingExtraError
from curation.failures import attributes, clusters, identity, labels, modes, rules, search, space
from curation.failures.attributes import Attribute
from curation.failures.labels import Labels
from curation.failures.rules import Category, Values
from curation.failures.search import EMBEDDING, Found, Group, Population
from curation.failures.space import Space
from curation.lake import Lake
from curation.sampling import frame
from curation.sampling.frame import Frame, Scope
from curation.schemas import TABLES
from curation.settings import FAILURES, FailureSettings
from curation.views import THROWN_OUT


@dataclass(frozen=True)
class Request:
    """What is asked for. `bad`: SQL that says which masks are bad, None for people's verdicts and gold. `labels`: one
    of `labels.SOURCES`. `own`: further attributes of masks, name -> SQL, compared as categories.
    """

    scope: Scope = field(default_factory=Scope)
    bad: str | None = None
    labels: str = "all"
    verifier: str | None = None
    own: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.labels not in labels.SOURCES:
            raise InputError(f"--labels {self.labels}: allowed are {', '.join(labels.SOURCES)}")
        if self.labels == "verifier" and self.verifier is None:
            raise InputError("--labels verifier needs --verifier NAME")


@dataclass(frozen=True)
class Finding:
    """What a search found: `clusters` are rows of `clusters.newest`, those that it found. `told`: what was searched and
    how, the JSON of `clusters.search`. `search_id` is None where nothing was found, and then nothing is kept.
    """

    search_id: int | None
    clusters: pa.Table
    told: dict


def find(lake: Lake, request: Request, settings: FailureSettings = FAILURES) -> Finding:
    """Search the current masks for groups that fail alike, and keep what is found.

    Raises InputError where no mask is labelled, all are good or all are bad, or too few images have labels, QueryError for
    a bad condition, expression or run.
    """
    version = lake.version()
    asked = _attributes(lake, request)
    found, n_thrown_out = _standing(lake, frame.read(lake, request.scope, _expressions(request, asked)))
    known = labels.read(lake, found, request.labels, request.bad, request.verifier)
    in_first = search.is_discovery(found.image_id, request.seed)
    check_enough(lake, found, known, in_first, settings)
    values = _values(found, asked)
    rng = np.random.default_rng(request.seed)
    placed, note = _space(lake, found, values, in_first, settings, rng)
    of = Population(
        image=found.image_id,
        is_bad=known.is_bad,
        weight=known.weight,
        attributes=asked,
        values=values,
        space=None if placed is None else placed.places,
    )
    groups = search.search(of, settings, request.seed)
    told = _told(request, found, known, groups, settings, version, note)
    if n_thrown_out:
        told["design"].append(f"{n_thrown_out:,} masks that people threw out of a batch are left out")
    if not groups.groups:
        return Finding(None, clusters.newest(lake).slice(0, 0), told)
    search_id, numbers = _keep(lake, request, found, of, placed, groups.groups, told, settings)
    newest = clusters.newest(lake)
    return Finding(search_id, newest.filter(pa.array(np.isin(newest["cluster"].to_numpy(), numbers))), told)


def _standing(lake: Lake, found: Frame) -> tuple[Frame, int]:
    """The frame without masks that people threw out when they were sent back, and how many these are: nothing is left to
    be done about them, and with them no cluster would ever be fixed. A reviewer's `reject` alone throws nothing out: it
    is a label.
    """
    ids = lake.con.execute(THROWN_OUT).fetchnumpy()["mask_id"]
    kept = ~np.isin(found.mask_id, ids)
    if not kept.any():
        raise InputError(
            f"{lake.root}: people threw out all {len(found):,} searched masks: none is left to search"
        )
    values = {name: column.filter(pa.array(kept)) for name, column in found.values.items()}
    left = Frame(found.mask_id[kept], found.run_id[kept], found.image_id[kept], values)
    return left, len(found) - len(left)


def check_enough(
    lake: Lake, found: Frame, known: Labels, in_first: np.ndarray, settings: FailureSettings
) -> None:
    """Raise InputError where labels cannot show that any group fails: too few images in a half, or one class."""
    is_bad = known.is_bad[known.is_known]
    if is_bad.all() or not is_bad.any():
        word, what = ("bad", "compare with") if is_bad.all() else ("good", "look for")
        raise InputError(
            f"{lake.root}: all {len(is_bad):,} labelled masks are {word}: there is nothing to {what}"
        )
    least = settings.least_images
    images = [len(np.unique(found.image_id[known.is_known & (in_first == half)])) for half in (True, False)]
    if min(images) < least:
        more = 2 * (least - min(images))
        raise InputError(
            f"{lake.root}: {sum(images):,} images have labelled masks, {images[0]:,} in the half that groups are looked for in "
            f"and {images[1]:,} in the half that they are tested on; each needs {least}: judge masks, or match gold, on "
            f"about {more} more images"
        )


def _attributes(lake: Lake, request: Request) -> list[Attribute]:
    asked = list(attributes.ATTRIBUTES)
    taken = {attribute.name for attribute in asked}
    for name, sql in request.own.items():
        if name in taken or not name.isidentifier():
            raise InputError(
                f"--attribute {name}: give it a name of letters, digits and _ other than {', '.join(sorted(taken))}"
            )
        asked.append(attributes.category(name, sql, f"{name} {{value}}"))
    if request.verifier is not None:
        _check_verifier(lake, request.verifier)
        asked += attributes.of_verifier(request.verifier)
    return asked


def _check_verifier(lake: Lake, verifier: str) -> None:
    rows = lake.con.execute("SELECT DISTINCT verifier FROM verifier_scores ORDER BY verifier").fetchall()
    there = [name for (name,) in rows]
    if verifier not in there:
        raise InputError(
            f"--verifier {verifier}: it has scored nothing here; there are: {', '.join(there) or 'none'}"
        )


def _expressions(request: Request, asked: list[Attribute]) -> dict[str, tuple[str, str]]:
    """One struct for all that this module wrote itself, which is checked once."""
    types = {"number": "DOUBLE", "flag": "BOOLEAN", "category": "VARCHAR"}
    parts = [f'"{a.name}" := CAST(({a.sql}) AS {types[a.kind]})' for a in asked if a.name not in request.own]
    parts += [f'"reason_{mode}" := {modes.reason_sql(mode)}' for mode in modes.REASONS]
    own = {name: ("--attribute", f"CAST(({sql}\n) AS VARCHAR)") for name, sql in request.own.items()}
    return {
        "described": ("attributes", f"struct_pack({', '.join(parts)})"),
        **own,
        **labels.expressions(request.bad),
    }


def _values(found: Frame, asked: list[Attribute]) -> dict[str, Values]:
    """Attributes of which anything is known, by name, and what people said as `reason_MODE`."""
    described: pa.StructArray = found.values["described"]
    kinds = {attribute.name: attribute.kind for attribute in asked}
    kinds |= {f"reason_{mode}": "flag" for mode in modes.REASONS}
    values: dict[str, Values] = {}
    for name, kind in kinds.items():
        column = found.values[name] if name in found.values else described.field(name)
        if column.null_count == len(column) and len(column):
            continue
        if kind == "number":
            values[name] = column.fill_null(float("nan")).to_numpy(zero_copy_only=False)
        elif kind == "flag":
            values[name] = column.fill_null(False).to_numpy(zero_copy_only=False)
        else:
            values[name] = _category(column)
    return values


def _category(column: pa.Array) -> Category:
    encoded = column.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return Category(tuple(encoded.dictionary.to_pylist()), codes)


def _space(
    lake: Lake,
    found: Frame,
    values: Mapping[str, Values],
    in_first: np.ndarray,
    settings: FailureSettings,
    rng: np.random.Generator,
) -> tuple[Space | None, str]:
    """Places of the masks, and what is said of embedding clusters."""
    placed = space.read(lake, found, values, in_first, settings, rng)
    if placed is None:
        return None, "none: too few masks have an embedding (`curation generate` keeps them); slices only"
    try:
        import sklearn.cluster  # noqa: F401  a second, here because a search without it still finds slices
    except ModuleNotFoundError as error:
        missing = MissingExtraError("looking for embedding clusters", "learn", error.name)
        return None, f"none: {missing}; slices only"
    return placed, (
        f"{placed.n_placed:,} of {len(found):,} masks have one; HDBSCAN over its principal axes and robust measures, on at "
        f"most {settings.most_clustered:,} masks of the discovery half; a mask belongs to the nearest centre within the radius "
        f"that holds {100 * settings.radius_quantile:.0f} % of a cluster, and noise to none"
    )


def _told(
    request: Request,
    found: Frame,
    known: Labels,
    groups: Found,
    settings: FailureSettings,
    version: int,
    note: str,
) -> dict:
    is_bad = known.is_bad[known.is_known]
    return {
        "run": request.scope.run_id,
        "where": request.scope.where,
        "bad": request.bad or "is_bad",
        "labels": request.labels,
        "verifier": request.verifier,
        "attributes": dict(request.own),
        "seed": request.seed,
        "snapshot": version,
        "n_masks": len(found),
        "n_images": len(np.unique(found.image_id)),
        "n_labelled_masks": len(is_bad),
        "n_labelled_images": len(np.unique(found.image_id[known.is_known])),
        "n_labelled_bad": int(is_bad.sum()),
        "bad_share": float((known.weight * (known.is_bad == 1)).sum() / known.weight.sum()),
        "n_examined": groups.n_examined,
        "n_tested": groups.n_tested,
        "n_too_few_images": groups.n_too_few,
        "n_same": groups.n_same,
        "n_reported": len(groups.groups),
        "most_false": settings.most_false,
        "least_difference": settings.least_difference,
        "least_images": settings.least_images,
        "design": [
            *known.design,
            "found on half of the images, tested on the other half; one-sided test and intervals with the image as cluster",
            "q-values (Benjamini-Hochberg) over all groups that were tested",
        ],
        "embeddings": note,
    }


def _keep(
    lake: Lake,
    request: Request,
    found: Frame,
    of: Population,
    placed: Space | None,
    groups: tuple[Group, ...],
    told: dict,
    settings: FailureSettings,
) -> tuple[int, list[int]]:
    """Number of the search, and of each cluster."""
    rng = np.random.default_rng(request.seed)
    reasons = {mode: of.values[f"reason_{mode}"] for mode in modes.REASONS}
    shown = modes.Modes(of.values, reasons, of.space, settings, rng)
    every = np.arange(len(found))
    means = [None] * (len(groups) + 1)
    if placed is not None:
        means = space.centroids(lake, found, [every, *(group.member for group in groups)])
    candidates = [
        identity.Candidate(
            rule=None if group.conditions is None else rules.rule_sql(group.conditions),
            member=group.member,
            centroid=mean if group.kind == EMBEDDING else None,
        )
        for group, mean in zip(groups, means[1:], strict=True)
    ]
    known = identity.numbers(lake, found, request.scope, candidates, means[0], settings)
    rows = [_row(found, of, group, one, shown, told) for group, one in zip(groups, candidates, strict=True)]
    members = [_members(found, placed, group.member) for group in groups]
    return lake.commit(
        lambda con: clusters.record_within(con, rows, members, known),
        f"failure clusters: {len(groups)} found",
    )


def _row(
    found: Frame, of: Population, group: Group, candidate: identity.Candidate, shown: modes.Modes, told: dict
) -> dict:
    """A row of `clusters` but for its numbers."""
    member = group.member
    shares = shown.shares(member[of.is_bad[member] == 1])
    told_of_group = (
        "bad_share", "bad_share_low", "bad_share_high", "rest_bad_share", "difference", "difference_low", "difference_high",
        "n_labelled_masks", "n_labelled_images", "p_value", "q_value", "kind", "words",
    )  # fmt: skip
    mean = candidate.centroid
    return {
        **{name: getattr(group, name) for name in told_of_group},
        "rule": candidate.rule,
        "failure_mode": max(modes.MODES, key=shares.__getitem__) if any(shares.values()) else "other",
        "failure_mode_shares": json.dumps({mode: round(share, 4) for mode, share in shares.items()}),
        "n_masks": len(member),
        "n_images": len(np.unique(found.image_id[member])),
        "n_bad": len(member) * group.bad_share,
        "n_bad_low": len(member) * group.bad_share_low,
        "n_bad_high": len(member) * group.bad_share_high,
        "centroid": None if mean is None else mean.astype("<f4").tobytes(),
        "search": json.dumps(told, ensure_ascii=False),
    }


def _members(found: Frame, placed: Space | None, member: np.ndarray) -> pa.Table:
    """Rows of `cluster_members` but for its numbers."""
    xy = np.full((len(member), 2), np.nan, np.float32) if placed is None else placed.xy[member]
    columns = {
        "mask_id": found.mask_id[member],
        "run_id": found.run_id[member],
        "image_id": found.image_id[member],
        "x": pa.array(xy[:, 0], from_pandas=True),
        "y": pa.array(xy[:, 1], from_pandas=True),
    }
    schema = TABLES["cluster_members"].arrow
    return pa.table({name: pa.array(column, schema.field(name).type) for name, column in columns.items()})
