"""What a person should see next: masks chosen on purpose, and beside them a random audit that keeps estimates honest.

Half of what is chosen on purpose goes to where mending is worth most, a quarter to where the route is least sure, a
quarter to small clusters that fail; what one of them cannot fill, mending takes. Within each, masks of the largest worth
are spread over what they look like and over images.

- **correction**: expected gain of IoU, the chance that the mask is bad, times the share of bad masks that can be mended,
  times the IoU that mending brings; the last two from verdicts, corrections and gold, for masks of its size.
- **risk**: how near its score is to the threshold of acceptance: verdicts there move the threshold.
- **rare**: in a cluster of the newest search, its share of bad masks over the root of its size: small ones first.

Masks that a sample holds already, judged or waiting, are not chosen again. Memory is bounded: the lake puts all masks in
order, and only so many of the best are compared.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

import duckdb
import numpy as np
import pyarrow as pa

from curation.engine import mining_reasons
from curation.engine.spread import spread
from curation.errors import InputError
from curation.lake import Lake, insert
from curation.sampling import designs, frame
from curation.sampling.frame import Frame
from curation.sampling.samples import check_is_free
from curation.schemas import TABLES
from curation.verifier import routed
from curation.verifier.routed import Score
from curation.verifier.routing import PRESETS

#: Share of the budget that is drawn by chance: the seeds have 5 % of the masks audited.
RANDOM_SHARE = 0.05
#: Parts of the rest.
MOTIVES = {"correction": 0.5, "risk": 0.25, "rare": 0.25}
#: So many times the masks wanted are compared, and at most so many at once: 20,000 embeddings of 256 numbers are 20 MB.
_POOL_TIMES, _MOST_COMPARED = 4, 20_000
#: Before anything is known: half of the bad masks can be mended, which brings 0.25 IoU (of 0.75, where two people would
#: still say that it is the object). They count as so many observed ones.
_FIXABLE, _GAIN, _PRIOR_MASKS = 0.5, 0.25, 5


@dataclass(frozen=True)
class Request:
    """What is asked for. Without `verifier` the newest that has scores is asked, else predicted_iou; without `run_id` it
    is about the newest run of each image.
    """

    budget: int
    name: str | None = None
    random_share: float = RANDOM_SHARE
    verifier: str | None = None
    run_id: int | None = None
    seed: int = 0
    drawn_by: str | None = None

    def __post_init__(self) -> None:
        if self.budget < 1:
            raise InputError(f"--budget {self.budget}: it must be 1 mask or more")
        if not 0 <= self.random_share <= 1:
            raise InputError(f"--random-share {self.random_share:g}: it must be 0 to 1; 0.05 is 5 %")
        if self.name is not None and not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", self.name):
            raise InputError(
                f"--name {self.name!r}: start with a letter, then letters, digits, '.', '_' or '-'"
            )


@dataclass(frozen=True)
class Mined:
    """What was drawn: `rows` of the table `mined`, both samples; `audit` is None where nothing was left to chance.

    `threshold` is the score that risk is measured from; `n_left` masks could have been chosen.
    """

    sample: str
    audit: str | None
    rows: pa.Table
    score: Score
    threshold: float
    n_left: int


def mine(lake: Lake, request: Request) -> Mined:
    """Choose masks, and keep them as a purposive sample and a simple random one, with a reason each.

    Raises InputError for a name that is taken, where there are no masks, and where all of them wait in samples or are
    judged; QueryError for a bad run.
    """
    score = routed.choose_score(lake, request.verifier, None)
    routed.check(lake, request.run_id)
    name, version = _free_name(lake, request.name), lake.version()
    threshold = _threshold(lake, score)
    n_frame, n_left = _gather(lake, score, threshold, request)
    audit = _audited(lake, request, n_frame)
    if not n_left and not audit.num_rows:
        raise InputError(
            f"all {n_frame:,} masks are in samples already, judged or waiting: judge those, or generate more"
        )
    chosen = pa.concat_tables([*_chosen(lake, request, audit), audit])
    rows = mining_reasons.explained(lake, chosen, score, threshold, {"audit": f"{name}-audit"}, name)
    samples = _sample_rows(lake, request, rows, version, score)

    def keep(con: duckdb.DuckDBPyConnection) -> None:
        for sample in rows["sample"].unique().to_pylist():
            check_is_free(con, sample)
        insert(con, {"samples": samples, "mined": rows})

    lake.commit(keep, f"sample {name} mined")
    return Mined(name, f"{name}-audit" if audit.num_rows else None, rows, score, threshold, n_left)


def _threshold(lake: Lake, score: Score) -> float:
    """Where acceptance begins in the newest routing by this score; the seeds' where there is none."""
    found = lake.query(
        """
        SELECT accept_from FROM routings
        WHERE verifier IS NOT DISTINCT FROM $verifier AND score = $score AND accept_from IS NOT NULL
        ORDER BY routed_at DESC, routing DESC
        LIMIT 1
        """,
        {"verifier": score.verifier, "score": score.text},
    )
    return found["accept_from"][0].as_py() if found.num_rows else PRESETS["seeds"][0]


_LESSONS = f"""
    WITH against_gold AS (
        SELECT
            mask_id,
            run_id,
            arg_max(error_kind, gold_iou) AS error_kind,
            max(gold_iou) AS gold_iou
        FROM gold_comparisons
        WHERE is_compared
        GROUP BY mask_id, run_id
    ),

    lessons AS (
        SELECT mask_id, run_id, decision = 'fix' AS is_fixable, NULL::DOUBLE AS gain
        FROM settled_verdicts
        WHERE decision IN ('fix', 'reject')
        UNION ALL
        SELECT mask_id, run_id, error_kind <> 'spurious', CASE WHEN error_kind <> 'spurious' THEN 1 - gold_iou END
        FROM against_gold
        WHERE error_kind <> 'none'
        UNION ALL
        SELECT masks.mask_id, masks.run_id, NULL, 1 - iou_with_superseded
        FROM current_drawn_masks AS drawn INNER JOIN masks ON drawn.supersedes = masks.mask_id
    )

    SELECT
        size_band(masks.area_px).place AS band,
        (count(*) FILTER (WHERE is_fixable) + {_FIXABLE * _PRIOR_MASKS}) / (count(is_fixable) + {_PRIOR_MASKS})
            AS fixable_share,
        (coalesce(sum(gain), 0) + {_GAIN * _PRIOR_MASKS}) / (count(gain) + {_PRIOR_MASKS}) AS gain
    FROM lessons INNER JOIN masks USING (run_id, mask_id)
    GROUP BY band
"""

#: Every mask once, and those that no sample holds with what each motive says of them.
_GATHERED = f"""
    CREATE OR REPLACE TEMP TABLE minable AS
    WITH lessons AS ({_LESSONS}),

    newest_clusters AS (
        SELECT cluster, n_masks, bad_share FROM clusters
        WHERE search_id = (SELECT max(search_id) FROM clusters)
    ),

    membership AS (
        SELECT
            cluster_members.mask_id,
            arg_min(newest_clusters.cluster, (newest_clusters.n_masks, newest_clusters.cluster)) AS cluster,
            max(newest_clusters.bad_share / sqrt(newest_clusters.n_masks)) AS rare
        FROM cluster_members INNER JOIN newest_clusters USING (cluster)
        WHERE cluster_members.search_id = (SELECT max(search_id) FROM clusters)
        GROUP BY cluster_members.mask_id
    ),

    described AS (
        SELECT
            scored.run_id,
            scored.mask_id,
            scored.image_id,
            scored.score,
            coalesce(1 - clamp(scored.score, 0, 1), 0.5) AS bad_chance,
            size_band(masks.area_px).place AS band
        FROM ({{scored}}) AS scored INNER JOIN masks USING (run_id, mask_id)
    )

    SELECT
        described.run_id,
        described.mask_id,
        described.image_id,
        described.score,
        described.bad_chance,
        membership.cluster,
        described.bad_chance
        * coalesce(lessons.fixable_share, {_FIXABLE})
        * coalesce(lessons.gain, {_GAIN}) AS correction,
        clamp(1 - abs(described.score - $threshold), 0, 1) AS risk,
        nullif(membership.rare, 0) AS rare,
        waiting.mask_id IS NOT NULL AS is_held
    FROM described
    LEFT JOIN lessons USING (band)
    LEFT JOIN membership USING (mask_id)
    LEFT JOIN (SELECT DISTINCT mask_id FROM samples) AS waiting USING (mask_id)
"""


def _gather(lake: Lake, score: Score, threshold: float, request: Request) -> tuple[int, int]:
    """Make the temporary table `minable`; masks in it, and how many may be chosen."""
    params = {"run_id": request.run_id, "threshold": threshold} | score.params
    lake.con.execute(_GATHERED.format(scored=routed.scored_sql(lake, score)), params)
    return lake.con.execute("SELECT count(*), count(*) FILTER (WHERE NOT is_held) FROM minable").fetchone()


_COLUMNS = "run_id, mask_id, image_id, score, bad_chance, cluster"


def _audited(lake: Lake, request: Request, n_frame: int) -> pa.Table:
    """Masks drawn by chance from all, also from those that other samples hold, so that they stand for all; in their
    random order.
    """
    size = min(n_frame, -int(-request.budget * request.random_share // 1))
    places = designs.simple(n_frame, size, np.random.default_rng(request.seed)).places
    lake.con.register("drawn", pa.table({"place": places, "rank": np.arange(size)}))
    rows = lake.query(f"""
        WITH numbered AS (SELECT *, row_number() OVER (ORDER BY mask_id) - 1 AS place FROM minable)
        SELECT {_COLUMNS}, 'audit' AS motive, NULL::DOUBLE AS worth FROM numbered INNER JOIN drawn USING (place)
        ORDER BY rank
    """)
    lake.con.unregister("drawn")
    return rows


def _chosen(lake: Lake, request: Request, audit: pa.Table) -> Iterator[pa.Table]:
    """Masks chosen on purpose, a table a motive; none twice, and none that is audited."""
    left = request.budget - audit.num_rows
    sizes = {motive: round(part * left) for motive, part in MOTIVES.items() if motive != "correction"}
    taken, vectors = audit.slice(0, 0), np.zeros((0, 1), np.float32)
    for motive in ("rare", "risk", "correction"):  # mending last: it takes what the others leave
        size = left if motive == "correction" else sizes[motive]
        pool, found = _pool(lake, motive, size, pa.concat_tables([taken, audit]), request.seed)
        width = max(found.shape[1], vectors.shape[1])
        found, vectors = (np.pad(v, ((0, 0), (0, width - v.shape[1]))) for v in (found, vectors))
        places = spread(
            pool["worth"].to_numpy(),
            found,
            pool["image_id"].to_numpy(),
            size,
            vectors,
            taken["image_id"].to_numpy(),
        )
        picked, vectors = pool.take(places), np.concatenate([vectors, found[places]])
        taken, left = pa.concat_tables([taken, picked]), left - len(places)
        yield picked


def _pool(lake: Lake, motive: str, size: int, without: pa.Table, seed: int) -> tuple[pa.Table, np.ndarray]:
    """The masks with the largest worth that are compared, and their embeddings, (n, D); zeros where there is none."""
    n_compared = max(size, min(_POOL_TIMES * size, _MOST_COMPARED))
    lake.con.register("without", without.select(["mask_id"]))
    rows = lake.query(
        f"""
        SELECT {_COLUMNS}, $motive AS motive, {motive} AS worth
        FROM minable ANTI JOIN without USING (mask_id)
        WHERE NOT is_held AND {motive} IS NOT NULL
        ORDER BY {motive} DESC, hash(mask_id + $seed), mask_id
        LIMIT {n_compared}
        """,
        {"motive": motive, "seed": seed},
    )
    lake.con.unregister("without")
    if not 0 < size < rows.num_rows:  # all or none: nothing to compare
        return rows, np.zeros((rows.num_rows, 1), np.float32)
    order = np.argsort(rows["mask_id"].to_numpy())
    ids = (rows[name].to_numpy()[order] for name in ("mask_id", "run_id", "image_id"))
    places, found = frame.embeddings(lake, Frame(*ids, {}))
    vectors = np.zeros((rows.num_rows, found.shape[1]), np.float32)
    vectors[order[places]] = found[: len(places)]
    return rows, vectors


def _sample_rows(lake: Lake, request: Request, rows: pa.Table, version: int, score: Score) -> pa.Table:
    """Rows of `samples`: what was drawn by chance with its chance, what was chosen without one."""
    lake.con.register("mined_rows", rows)
    counted = lake.query("""
        WITH of_image AS (SELECT image_id, count(*) AS n FROM minable GROUP BY image_id),
        totals AS (SELECT sum(n)::BIGINT AS n_masks, count(*) AS n_images FROM of_image)
        SELECT
            sample,
            rank AS position,
            mask_id,
            run_id,
            mined_rows.image_id,
            of_image.n AS image_n_masks,
            totals.n_masks AS stratum_n_masks,
            totals.n_images AS stratum_n_images,
            CASE WHEN motive = 'audit' THEN 'srs' ELSE 'purposive' END AS design,
            CASE WHEN motive = 'audit' THEN count(*) OVER (PARTITION BY sample) / totals.n_masks END
                AS inclusion_probability
        FROM mined_rows INNER JOIN of_image USING (image_id) CROSS JOIN totals
        ORDER BY sample, rank
    """)
    lake.con.unregister("mined_rows")
    options = {"by": "mined", "budget": request.budget, "random_share": request.random_share}
    options |= {"score": score.verifier or score.expression}
    same = {
        "stratum": frame.ALL,
        "n_draws": 1,
        "frame_where": None,
        "frame_run_id": request.run_id,
        "options": json.dumps(options, ensure_ascii=False),
        "snapshot_id": version,
        "seed": request.seed,
        "drawn_by": request.drawn_by,
        "drawn_at": datetime.now(timezone.utc),
        "image_probability": None,
        "draw_probability": None,
    }
    columns = {name: counted[name].to_pylist() for name in counted.column_names}
    return TABLES["samples"].table(
        columns | {name: [value] * counted.num_rows for name, value in same.items()}
    )


def _free_name(lake: Lake, name: str | None) -> str:
    """The name, or the next number for one. Raises InputError where it or its audit is taken."""
    if name is not None:
        for sample in (name, f"{name}-audit"):
            check_is_free(lake.con, sample)
        return name
    taken = set(lake.query("SELECT DISTINCT sample FROM samples")["sample"].to_pylist())
    numbers = (f"mine-{k}" for k in range(1, len(taken) + 2))
    return next(name for name in numbers if not {name, f"{name}-audit"} & taken)
