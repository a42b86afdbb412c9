"""Samples: drawn from a frame, kept in the table `samples` with all that an estimate needs, listed and shown."""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone

import duckdb
import numpy as np
import pyarrow as pa

from curation import settings
from curation.errors import InputError, LakeError
from curation.lake import Lake, insert
from curation.sampling import designs, frame
from curation.sampling.designs import Draw
from curation.sampling.frame import Frame, Scope
from curation.schemas import TABLES

DESIGNS = ("srs", "stratified", "pps", "two_stage", "purposive")
ORDERS = ("worst", "diverse")
#: Masks of an image that two-stage draws where nothing else is asked for: at a correlation of 0.1 inside
#: images, 5 of each cost a factor of 1.4 in variance.
MASKS_PER_IMAGE = 5
STRATA_BY = "stage"


@dataclass(frozen=True)
class Request:
    """What is asked for. `size` counts masks (draws with pps, which may hit a mask twice).

    `strata`: a column or SQL expression. `risk`: SQL, larger is worse (pps; purposive by worst; neyman, where
    its spread in each stratum decides). `by` is one of ORDERS. What belongs to another design must be left
    out.
    """

    name: str
    design: str
    size: int
    scope: Scope = field(default_factory=Scope)
    seed: int = 0
    strata: str | None = None
    allocation: str | None = None
    risk: str | None = None
    masks_per_image: int | None = None
    by: str | None = None
    drawn_by: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", self.name):
            raise InputError(
                f"sample {self.name!r}: start with a letter, then letters, digits, '.', '_' or '-'"
            )
        if self.design not in DESIGNS:
            raise InputError(f"--design {self.design}: allowed are {', '.join(DESIGNS)}")
        for option, least in (("size", 1), ("seed", 0), ("masks_per_image", 1)):
            value = getattr(self, option)
            if value is not None and value < least:
                raise InputError(f"--{option.replace('_', '-')} {value}: it must be {least} or more")
        self._check_fit()

    def _check_fit(self) -> None:
        """Each option with a design that it belongs to, and what a design needs."""
        if self.by is not None and self.by not in ORDERS:
            raise InputError(f"--by {self.by}: allowed are {', '.join(ORDERS)}")
        homes = {
            "strata": self.design == "stratified",
            "allocation": self.design == "stratified",
            "masks_per_image": self.design == "two_stage",
            "by": self.design == "purposive",
            "risk": self.design == "pps" or self.by == "worst" or self.allocation == "neyman",
        }
        for option, is_home in homes.items():
            if getattr(self, option) is not None and not is_home:
                raise InputError(
                    f"--{option.replace('_', '-')} does not go with --design {self.design}: --strata and --allocation are of "
                    "stratified, --masks-per-image of two-stage, --by of purposive, --risk of pps, of --by worst and of "
                    "--allocation neyman"
                )
        if self.design == "purposive" and self.by is None:
            raise InputError("--design purposive needs --by worst (with --risk) or --by diverse")
        if self.risk is None and (self.design == "pps" or self.by == "worst"):
            raise InputError(
                "--risk is missing: an SQL expression, larger is worse, such as "
                '"greatest(0.01, 1 - coalesce(predicted_iou, 0))"'
            )

    @property
    def options(self) -> dict[str, object]:
        """What the design itself was told, defaults included."""
        told = {"size": self.size, "risk": self.risk, "by": self.by}
        if self.design == "stratified":
            told |= {
                "strata": self.strata or STRATA_BY,
                "allocation": self.allocation or designs.ALLOCATIONS[0],
            }
        if self.design == "two_stage":
            told |= {"masks_per_image": self.masks_per_image or MASKS_PER_IMAGE}
        return {name: value for name, value in told.items() if value is not None}


def draw(lake: Lake, request: Request, at: str | int | None = None) -> pa.Table:
    """Draw a sample from the lake as it is, or was `at` a tag or version, keep it, and return its rows of
    `samples`.

    Raises InputError for a name that is taken, an empty frame, a size over the frame and options that do not
    go together, QueryError for a bad condition, expression or run.
    """
    check_is_free(lake.con, request.name)
    with _as_of(lake, at) as past:
        version = past.version()
        found = frame.read(past, request.scope, _expressions(request))
        if request.size > len(found):
            raise InputError(
                f"--size {request.size}: the frame has {len(found):,} masks; draw at most that many"
            )
        stratum_names, stratum, drawn = _drawn(lake, past, found, request)
    rows = _rows(request, found, stratum_names, stratum, drawn, version)

    def keep(con: duckdb.DuckDBPyConnection) -> None:
        check_is_free(con, request.name)
        insert(con, {"samples": rows})

    lake.commit(keep, f"sample {request.name} drawn")
    return rows


@contextlib.contextmanager
def _as_of(lake: Lake, at: str | int | None) -> Iterator[Lake]:
    """The lake at a tag or version; as it is now, one version of it, whoever writes meanwhile."""
    if at is not None:
        with Lake.open(lake.root, at=at) as past:
            yield past
        return
    lake.con.execute("BEGIN")
    try:
        yield lake
    finally:
        lake.con.execute("ROLLBACK")


def check_is_free(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Raise InputError where there is a sample of that name."""
    if con.execute("SELECT 1 FROM samples WHERE sample = ? LIMIT 1", [name]).fetchone():
        raise InputError(f"sample {name!r} is there already, and what was drawn stays: choose another name")


def summaries(lake: Lake, name: str | None = None) -> pa.Table:
    """A row a sample, the newest last: design, masks, images, frame, how many are judged. Raises InputError
    for no such sample.
    """
    if name is not None:
        check_exists(lake, name)
    return lake.query(
        """
        SELECT
            sample,
            any_value(samples.design) AS design,
            count(*) AS n_masks,
            count(DISTINCT samples.image_id) AS n_images,
            count(DISTINCT stratum) AS n_strata,
            count(settled.mask_id) AS n_judged,
            any_value(frame_where) AS frame_where,
            any_value(frame_run_id) AS frame_run_id,
            any_value(options) AS options,
            any_value(snapshot_id) AS snapshot_id,
            any_value(samples.seed) AS seed,
            any_value(drawn_by) AS drawn_by,
            any_value(drawn_at) AS drawn_at
        FROM samples
        LEFT JOIN settled_verdicts AS settled USING (sample, mask_id)
        WHERE $name IS NULL OR sample = $name
        GROUP BY sample
        ORDER BY drawn_at, sample
        """,
        {"name": name},
    )


def strata(lake: Lake, name: str) -> pa.Table:
    """A row a stratum of a sample: its masks and images in the frame, those drawn and judged. Raises
    InputError as `summaries`.
    """
    check_exists(lake, name)
    return lake.query(
        """
        SELECT
            stratum,
            any_value(stratum_n_masks) AS n_masks_in_frame,
            any_value(stratum_n_images) AS n_images_in_frame,
            count(*) AS n_masks,
            count(DISTINCT samples.image_id) AS n_images,
            count(settled.mask_id) AS n_judged,
            min(inclusion_probability) AS least_inclusion_probability,
            max(inclusion_probability) AS largest_inclusion_probability
        FROM samples
        LEFT JOIN settled_verdicts AS settled USING (sample, mask_id)
        WHERE sample = ?
        GROUP BY stratum
        ORDER BY stratum
        """,
        [name],
    )


def check_exists(lake: Lake, name: str) -> None:
    """Raise InputError, with the samples that there are, where `name` is none of them."""
    names = lake.query("SELECT DISTINCT sample FROM samples ORDER BY sample")["sample"].to_pylist()
    if name not in names:
        raise InputError(f"no sample {name!r}; there are: {', '.join(names) or 'none'}")


def _expressions(request: Request) -> dict[str, tuple[str, str]]:
    wanted = {}
    if request.design == "stratified":
        strata = request.options["strata"]
        wanted["strata"] = ("--strata", frame.STRATA.get(strata, strata))
        if request.allocation == "neyman" and request.risk is None:
            wanted["gold_iou"] = ("--allocation", "gold_iou")
    if request.risk is not None:
        wanted["--risk"] = ("--risk", request.risk)
    return wanted


def _drawn(lake: Lake, past: Lake, found: Frame, request: Request) -> tuple[list[str], np.ndarray, Draw]:
    """Names of the strata, the stratum of every mask of the frame (N,), and the draw."""
    rng = np.random.default_rng(request.seed)
    names, stratum = [frame.ALL], np.zeros(len(found), np.int64)
    if request.design == "srs":
        return names, stratum, designs.simple(len(found), request.size, rng)
    if request.design == "pps":
        risk = frame.numbers(found, "--risk")
        return names, stratum, designs.proportional_to_size(risk, request.size, rng)
    if request.design == "two_stage":
        return names, stratum, _two_stage(found, request, rng)
    if request.design == "stratified":
        names, stratum = frame.strata(found, "strata")
        n_masks = np.bincount(stratum)
        allocation = request.options["allocation"]
        spread = _spread(lake, found, stratum, request) if allocation == "neyman" else None
        sizes = designs.allocate(n_masks, request.size, allocation, spread)
        return names, stratum, designs.stratified(stratum, sizes, rng)
    if request.by == "worst":
        return names, stratum, designs.worst(frame.numbers(found, "--risk"), request.size, rng)
    places, vectors = frame.embeddings(past, found)
    if request.size > len(places):
        raise InputError(
            f"--size {request.size}: only {len(places):,} masks of the frame have an embedding, which --by diverse "
            "compares; `curation generate` keeps them"
        )
    return names, stratum, _at(designs.diverse(vectors, request.size, rng), places)


def _two_stage(found: Frame, request: Request, rng: np.random.Generator) -> Draw:
    _, image = np.unique(found.image_id, return_inverse=True)
    per_image = request.options["masks_per_image"]
    n_images, n_wanted = int(image.max()) + 1, -(-request.size // per_image)
    if n_wanted > n_images:
        raise InputError(
            f"--size {request.size} at {per_image} masks an image takes {n_wanted:,} images; the frame has {n_images:,}: "
            "raise --masks-per-image or draw less"
        )
    return designs.two_stage(image, n_wanted, per_image, rng)


def _spread(lake: Lake, found: Frame, stratum: np.ndarray, request: Request) -> np.ndarray:
    """Standard deviation in each stratum (H,): of the risk, else of being accepted by verdicts so far, else
    of good by gold.

    Of shares one hit and one miss are added, so that a stratum in which all agree still gets a part.
    """
    n_strata = int(stratum.max()) + 1
    if request.risk is not None:
        risk = frame.numbers(found, "--risk")
        known = ~np.isnan(risk)
        counts = np.maximum(np.bincount(stratum[known], minlength=n_strata), 1)
        mean = np.bincount(stratum[known], risk[known], n_strata) / counts
        squares = np.bincount(stratum[known], (risk[known] - mean[stratum[known]]) ** 2, n_strata)
        return np.sqrt(squares / counts)
    known, is_good = _verdicts_so_far(lake, found)
    if not known.any():
        iou = frame.numbers(found, "gold_iou")
        known, is_good = ~np.isnan(iou), iou > settings.GOLD.good_iou
    if not known.any():
        raise LakeError(
            f"{lake.root}: --allocation neyman puts masks where verdicts differ most, and the frame has neither verdicts nor "
            "gold yet: give --risk, an SQL expression whose spread stands for it, or use proportional"
        )
    n_good = np.bincount(stratum[known], is_good[known], n_strata)
    share = (n_good + 1) / (np.bincount(stratum[known], minlength=n_strata) + 2)
    return np.sqrt(share * (1 - share))


def _verdicts_so_far(lake: Lake, found: Frame) -> tuple[np.ndarray, np.ndarray]:
    """For every mask of the frame whether it is judged, in any sample but one on purpose, and whether it was
    accepted.
    """
    rows = lake.query("""
        SELECT mask_id, arg_max(decision, committed_at) = 'accept' AS is_good
        FROM settled_verdicts
        SEMI JOIN (SELECT sample, mask_id FROM samples WHERE design <> 'purposive') AS drawn
            USING (sample, mask_id)
        WHERE decision IN ('accept', 'reject', 'fix')
        GROUP BY mask_id
    """)
    known, is_good = np.zeros(len(found), bool), np.zeros(len(found), bool)
    places = np.searchsorted(found.mask_id, rows["mask_id"].to_numpy())
    is_in = places < len(found)
    is_in[is_in] = found.mask_id[places[is_in]] == rows["mask_id"].to_numpy()[is_in]
    known[places[is_in]] = True
    is_good[places[is_in]] = rows["is_good"].to_numpy()[is_in]
    return known, is_good


def _at(drawn: Draw, places: np.ndarray) -> Draw:
    """A draw from a part of the frame, as one from the frame; `places` (n,) are those of the part."""
    return Draw(places[drawn.places], drawn.inclusion, drawn.image, drawn.single, drawn.n_draws)


def _rows(
    request: Request,
    found: Frame,
    stratum_names: list[str],
    stratum: np.ndarray,
    drawn: Draw,
    version: int,
) -> pa.Table:
    """Rows of `samples`, by position."""
    places = drawn.places
    _, image = np.unique(found.image_id, return_inverse=True)
    pair = stratum * (int(image.max()) + 1) + image
    _, pair, n_of_pair = np.unique(pair, return_inverse=True, return_counts=True)
    n_images = np.bincount(stratum[np.unique(pair, return_index=True)[1]], minlength=len(stratum_names))
    n_masks = np.bincount(stratum, minlength=len(stratum_names))
    n = len(places)
    columns = {
        "sample": [request.name] * n,
        "position": np.arange(n),
        "mask_id": found.mask_id[places],
        "run_id": found.run_id[places],
        "image_id": found.image_id[places],
        "design": [request.design] * n,
        "stratum": [stratum_names[k] for k in stratum[places]],
        "stratum_n_masks": n_masks[stratum[places]],
        "stratum_n_images": n_images[stratum[places]],
        "image_n_masks": n_of_pair[pair[places]],
        "inclusion_probability": pa.array(drawn.inclusion, from_pandas=True),
        "image_probability": pa.array(drawn.image, from_pandas=True),
        "draw_probability": pa.array(drawn.single, from_pandas=True),
        "n_draws": drawn.n_draws,
        "frame_where": [request.scope.where] * n,
        "frame_run_id": [request.scope.run_id] * n,
        "options": [json.dumps(request.options, ensure_ascii=False)] * n,
        "snapshot_id": [version] * n,
        "seed": [request.seed] * n,
        "drawn_by": [request.drawn_by] * n,
        "drawn_at": [datetime.now(timezone.utc)] * n,
    }
    return TABLES["samples"].table(columns)
