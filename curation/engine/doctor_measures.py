"""What was derived from masks: whether it is there where it is said to be done, fits them, and is of the model named."""

import hashlib
from collections.abc import Callable, Iterator

import duckdb

from curation.engine.doctor_finding import Finding, Repair
from curation.generation.models import MODELS, Model
from curation.lake import Lake
from curation.measures.schedule import MEASURE

_SHARDS = f"SELECT * FROM shards WHERE work = '{MEASURE.work}'"
#: Shards that are said to be measured but hold a mask without its measures, or with those of another mask.
_LACKING = f"""
    SELECT measured.run_id, measured.shard, measured.work, measured.first_image, measured.stop_image,
        count(*) FILTER (features.mask_id IS NULL) AS n_missing,
        count(*) FILTER (
            features.area_px <> masks.area_px OR features.bbox_xywh <> masks.bbox_xywh
        ) AS n_other
    FROM ({_SHARDS}) AS measured
    INNER JOIN images
        ON images.run_id = measured.run_id
        AND images.image_number >= measured.first_image AND images.image_number < measured.stop_image
    INNER JOIN masks ON masks.run_id = images.run_id AND masks.image_id = images.image_id
    LEFT JOIN mask_features AS features ON features.run_id = masks.run_id AND features.mask_id = masks.mask_id
    GROUP BY ALL
    HAVING n_missing + n_other > 0
    ORDER BY measured.run_id, measured.shard
"""
_EMBEDDINGS = """
    SELECT
        count(*) FILTER (octet_length(embedding) <> 2 * n_dims) AS n_short,
        min(mask_id) FILTER (octet_length(embedding) <> 2 * n_dims) AS short,
        count(DISTINCT (run_id, n_dims)) - count(DISTINCT run_id) AS n_mixed
    FROM mask_embeddings
"""
#: Runs with embeddings, and the weights that their model has had in other runs, or has now.
_WEIGHTS = """
    SELECT runs.run_id, runs.model, runs.weights_sha256, trained.weights_sha256 AS trained_sha256
    FROM runs
    LEFT JOIN trained_models AS trained USING (model)
    WHERE
        runs.model IS NOT NULL AND runs.kind IN ('generate', 'retune')
        AND runs.run_id IN (SELECT DISTINCT run_id FROM mask_embeddings)
    ORDER BY runs.run_id
"""


def n_checks(_: Lake) -> int:
    return 4


def examine(lake: Lake, advance: Callable[[int], None]) -> Iterator[Finding]:
    """Measures, embeddings, the weights that these are of, and runs that lack shards."""
    for check in (_measures, _embeddings, _weights, _runs):
        yield from check(lake)
        advance(1)


def _measures(lake: Lake) -> Iterator[Finding]:
    shards = lake.query(_LACKING).to_pylist()
    if not shards:
        return
    first = shards[0]
    n_missing, n_other = (sum(shard[name] for shard in shards) for name in ("n_missing", "n_other"))
    yield Finding(
        "measure",
        "mask_features",
        n_missing + n_other,
        f"{n_missing:,} masks of measured shards have no measures, {n_other:,} have those of another mask, such as in "
        f"run {first['run_id']}, shard {first['shard']}",
        remedy="--fix has these shards measured again by the next `curation measure`",
        repair=_requeue(shards),
    )


def _requeue(shards: list[dict]) -> Repair:
    """Forget that shards were measured, with all that measuring them gave."""

    def work(con: duckdb.DuckDBPyConnection) -> int:
        for shard in shards:
            of_shard = {name: shard[name] for name in ("run_id", "shard", "work")}
            images = {name: shard[name] for name in ("run_id", "first_image", "stop_image")}
            for table in MEASURE.tables:
                con.execute(
                    f"""
                    DELETE FROM "{table}" WHERE run_id = $run_id AND image_id IN (
                        SELECT image_id FROM images
                        WHERE run_id = $run_id AND image_number >= $first_image AND image_number < $stop_image
                    )
                    """,
                    images,
                )
            for table in ("problems", "shards"):
                con.execute(
                    f"DELETE FROM {table} WHERE run_id = $run_id AND work = $work AND shard = $shard",
                    of_shard,
                )
        return len(shards)

    return work


def _embeddings(lake: Lake) -> Iterator[Finding]:
    n_short, short, n_mixed = lake.con.execute(_EMBEDDINGS).fetchone()
    remedy = "generate the run again; searches and verifiers must not use them"
    if n_short:
        yield Finding(
            "embedding",
            "mask_embeddings",
            n_short,
            f"its bytes are not n_dims values of float16, such as mask {short}",
            remedy,
        )
    if n_mixed:
        yield Finding(
            "embedding", "mask_embeddings", n_mixed, "a run has embeddings of several lengths", remedy
        )


def _weights(lake: Lake) -> Iterator[Finding]:
    """Embeddings of one model name compare with each other only where they are of the same weights."""
    first_of: dict[str, tuple[int, str]] = {}
    for run_id, model, sha256, trained_sha256 in lake.con.execute(_WEIGHTS).fetchall():
        now = _published_sha256(MODELS[model]) if model in MODELS else trained_sha256
        earlier_id, earlier = first_of.setdefault(model, (run_id, sha256))
        if now is not None and sha256 != now:
            other = f"{model} now has {now[:12]}…"
        elif sha256 != earlier:
            other = f"run {earlier_id} those of {earlier[:12]}…"
        else:
            continue
        yield Finding(
            "embedding",
            "mask_embeddings",
            1,
            f"run {run_id} has embeddings of {model} with the weights {str(sha256)[:12]}…, {other}",
            remedy="generate the run again with the weights that are meant, or search each run by itself",
            is_problem=False,
        )


def _published_sha256(model: Model) -> str:
    """As `runs.weights_sha256` has it: of one file its own, of several over theirs in order."""
    hashes = [weights.sha256 for weights in model.files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _runs(lake: Lake) -> Iterator[Finding]:
    """A finished run has shards for all its images; one that is not finished goes on by its own command."""
    rows = lake.con.execute("""
        SELECT runs.run_id, runs.kind, runs.n_images, runs.finished_at IS NOT NULL AS is_finished,
            coalesce(sum(shards.stop_image - shards.first_image), 0)::BIGINT AS n_done
        FROM runs LEFT JOIN shards ON shards.run_id = runs.run_id AND shards.work = runs.kind
        WHERE runs.kind IN ('generate', 'import', 'gold')
        GROUP BY ALL
        HAVING n_done < runs.n_images OR NOT is_finished
        ORDER BY runs.run_id
    """).fetchall()
    for run_id, kind, n_images, is_finished, n_done in rows:
        yield Finding(
            "run",
            "shards",
            n_images - n_done,
            f"run {run_id} ({kind}) {'is said to be finished, but' if is_finished else 'is not finished:'} shards of "
            f"{n_done:,} of its {n_images:,} images are there",
            remedy="start the same command again: it goes on from there",
            is_problem=is_finished,
        )
