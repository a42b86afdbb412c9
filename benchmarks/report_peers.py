"""Six reports over mask rows against pandas and polars: CPU seconds on the same Parquet files, and the same numbers.

The lake is the synthetic one of `benchmarks.reports`. pandas (pyarrow's reader) and polars (lazy `scan_parquet`, its
streaming engine) read the columns that they need, group by image as the intervals ask for, and sum up. The bounds of
shares come to all from the images' sums, to the peers by `curation.gold.intervals`; they are let off the bounds of means
and what stands about runs. `curation` runs the report as a user does, with every column. Counts, shares and means must
be equal to 1e-9, bounds to 1e-4 (SQL expands Student's t).

Each side runs each report in a process of its own, with two threads and the files in the system's cache; CPU seconds of the
call alone, and the peak memory of the process. What is claimed is the sum over the reports on the largest lake, and there too that
no report takes more than 1.5 GB, and the sum no more than 11 times the time for ten times the rows.

Profile (perf, parts of the query alone, 5 million masks): half of a report is reading (0.06 us a mask and four columns: zstd,
decoding, and the footers of row groups of 5,000 masks, which cost a quarter of it), half the hash table of (run_id,
image_id), 0.05 us a mask; planning is 0.05 to 0.09 s a report, whatever the lake's size. Both engines do the same work on
the same files, and what is left to either is the rate of decoding and hashing: DuckDB and polars lie within a quarter of
each other, so that the floor against polars is missed by a plain aggregation. polars' default engine takes 1.7 times
its streaming one.

    python -m benchmarks.report_peers [--masks 1 10] [--folder DIR]
"""

import argparse
import functools
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl

from benchmarks.claims import Claim, tell
from benchmarks.reports import MILLION, Set, build, claims
from curation import queries
from curation.gold.intervals import share_bounds
from curation.lake import Lake

N_THREADS = 2
TABLES = ("images", "masks", "mask_features", "overlaps", "image_coverage")
PANDAS_FLOOR, POLARS_FLOOR = 3.0, 1.5
KEY = ["run_id", "image_id"]
SMALL_PX, CONCAVE_FROM = 1024, 0.2
BANDS = [(0, 0), (1, 10), (11, 50), (51, 100), (101, 200), (201, 10**9)]
SIZES = [0.02, 0.05, 0.1, 0.2, 0.5]
IOUS = [0.7, 0.8, 0.9, 0.95]
WAYS = {
    "any border": ("n_borders_touched", 1),
    "left": ("touches_left", 1),
    "top": ("touches_top", 1),
    "right": ("touches_right", 1),
    "bottom": ("touches_bottom", 1),
    "2 borders or more": ("n_borders_touched", 2),
    "3 borders or more": ("n_borders_touched", 3),
    "all 4 borders": ("n_borders_touched", 4),
}

#: A row of a report by its key: (run, and what else tells rows apart), then columns by name.
Rows = dict[tuple, dict[str, float]]
#: Sums of every image of a run: the frame that a peer ends with.
Frame = pd.DataFrame | pl.DataFrame


def files(root: Path, table: str) -> list[str]:
    return sorted(map(str, Path(root, "data").glob(f"**/{table}/run_id=*/*.parquet")))


# ------------------------------------------------------------------------------------------------ pandas


def _pandas(root: Path, table: str, columns: Sequence[str]) -> pd.DataFrame:
    return pd.read_parquet(files(root, table), columns=list(columns), partitioning=None)


def _pandas_images(root: Path) -> pd.DataFrame:
    return _pandas(root, "images", KEY)


def pandas_stage_summary(root: Path) -> pd.DataFrame:
    masks = _pandas(root, "masks", [*KEY, "area_px", "predicted_iou"])
    masks["is_small"] = masks["area_px"] < SMALL_PX
    sums = masks.groupby(KEY).agg(
        n=("area_px", "size"),
        n_small=("is_small", "sum"),
        n_predicted=("predicted_iou", "count"),
        sum_predicted=("predicted_iou", "sum"),
    )
    return _pandas_images(root).merge(sums, "left", KEY).fillna(0)


def pandas_masks_per_image(root: Path) -> pd.DataFrame:
    counts = _pandas(root, "masks", KEY).groupby(KEY).size().rename("n")
    return _pandas_images(root).merge(counts, "left", KEY).fillna(0)


def pandas_mask_size_distribution(root: Path) -> pd.DataFrame:
    masks = _pandas(root, "masks", [*KEY, "area_px", "width_px", "height_px"])
    side = 2 ** np.floor(np.log2(masks["area_px"].clip(lower=1)) / 2).astype(np.int64)
    masks["band"] = side.where(masks["area_px"] >= 64, 0)
    masks["share"] = masks["area_px"] / (masks["width_px"].astype(np.float64) * masks["height_px"])
    return masks.groupby([*KEY, "band"]).agg(n=("share", "size"), sum_share=("share", "sum")).reset_index()


def pandas_border_masks(root: Path) -> pd.DataFrame:
    columns = sorted({name for name, _ in WAYS.values()})
    masks = _pandas(root, "mask_features", [*KEY, "image_share", *columns])
    for way, (name, least) in WAYS.items():
        masks[f"n {way}"] = masks[name] >= least
        masks[f"share {way}"] = masks["image_share"].where(masks[f"n {way}"], 0)
    named = [f"{kind} {way}" for way in WAYS for kind in ("n", "share")]
    grouped = masks.groupby(KEY)
    sums = grouped[named].sum()
    sums["n"] = grouped.size()
    return sums.reset_index()


def pandas_concavity(root: Path) -> pd.DataFrame:
    masks = _pandas(root, "mask_features", [*KEY, "relative_size", "concavity"]).dropna(subset="concavity")
    masks["band"] = np.array([0.0, *SIZES])[np.searchsorted(SIZES, masks["relative_size"], side="right")]
    masks["is_concave"] = masks["concavity"] >= CONCAVE_FROM
    return (
        masks.groupby([*KEY, "band"])
        .agg(n=("concavity", "size"), sum_concavity=("concavity", "sum"), n_concave=("is_concave", "sum"))
        .reset_index()
    )


def pandas_near_duplicates(root: Path) -> pd.DataFrame:
    pairs = _pandas(root, "overlaps", [*KEY, "other_mask_id", "iou"])
    pairs = pairs[pairs["iou"] > min(IOUS)]
    for iou in IOUS:
        pairs[f"pairs {iou}"] = pairs["iou"] > iou
    named = [f"pairs {iou}" for iou in IOUS]
    extra = pairs.groupby([*KEY, "other_mask_id"])[named].sum()
    for iou in IOUS:
        extra[f"extra {iou}"] = extra[f"pairs {iou}"] > 0
    sums = extra.groupby(KEY).sum()
    covered = _pandas(root, "image_coverage", [*KEY, "n_masks"])
    return covered[covered["n_masks"] > 0].merge(sums, "left", KEY).fillna(0)


# ------------------------------------------------------------------------------------------------ polars


def _polars(root: Path, table: str) -> pl.LazyFrame:
    return pl.scan_parquet(files(root, table), hive_partitioning=False)


def _polars_images(root: Path) -> pl.LazyFrame:
    return _polars(root, "images").select(KEY)


def polars_stage_summary(root: Path) -> pl.LazyFrame:
    sums = (
        _polars(root, "masks")
        .group_by(KEY)
        .agg(
            n=pl.len(),
            n_small=(pl.col("area_px") < SMALL_PX).sum(),
            n_predicted=pl.col("predicted_iou").count(),
            sum_predicted=pl.col("predicted_iou").sum(),
        )
    )
    return _polars_images(root).join(sums, on=KEY, how="left").fill_null(0)


def polars_masks_per_image(root: Path) -> pl.LazyFrame:
    counts = _polars(root, "masks").group_by(KEY).agg(n=pl.len())
    return _polars_images(root).join(counts, on=KEY, how="left").fill_null(0)


def polars_mask_size_distribution(root: Path) -> pl.LazyFrame:
    side = 2 ** (pl.col("area_px").log(2) / 2).floor().cast(pl.Int64)
    share = pl.col("area_px") / (pl.col("width_px").cast(pl.Float64) * pl.col("height_px"))
    return (
        _polars(root, "masks")
        .group_by(*KEY, band=pl.when(pl.col("area_px") < 64).then(0).otherwise(side))
        .agg(n=pl.len(), sum_share=share.sum())
    )


def polars_border_masks(root: Path) -> pl.LazyFrame:
    touches = {way: pl.col(name).cast(pl.Int32) >= least for way, (name, least) in WAYS.items()}
    counts = {f"n {way}": is_so.sum() for way, is_so in touches.items()}
    shares = {f"share {way}": pl.col("image_share").filter(is_so).sum() for way, is_so in touches.items()}
    return _polars(root, "mask_features").group_by(KEY).agg(n=pl.len(), **counts, **shares)


def polars_concavity(root: Path) -> pl.LazyFrame:
    band = pl.lit(0.0)
    for size in SIZES:
        band = pl.when(pl.col("relative_size") >= size).then(size).otherwise(band)
    return (
        _polars(root, "mask_features")
        .filter(pl.col("concavity").is_not_null())
        .group_by(*KEY, band=band)
        .agg(
            n=pl.len(),
            sum_concavity=pl.col("concavity").sum(),
            n_concave=(pl.col("concavity") >= CONCAVE_FROM).sum(),
        )
    )


def polars_near_duplicates(root: Path) -> pl.LazyFrame:
    sums = (
        _polars(root, "overlaps")
        .filter(pl.col("iou") > min(IOUS))
        .group_by(*KEY, "other_mask_id")
        .agg(**{f"pairs {iou}": (pl.col("iou") > iou).sum() for iou in IOUS})
        .group_by(KEY)
        .agg(
            **{f"pairs {iou}": pl.col(f"pairs {iou}").sum() for iou in IOUS},
            **{f"extra {iou}": (pl.col(f"pairs {iou}") > 0).sum() for iou in IOUS},
        )
    )
    covered = _polars(root, "image_coverage").select(*KEY, "n_masks").filter(pl.col("n_masks") > 0)
    return covered.join(sums, on=KEY, how="left").fill_null(0)


# --------------------------------------------------------------------- from images' sums to a report's rows


def stage_summary_rows(run: Mapping[str, np.ndarray]) -> Rows:
    n = run["n"]
    return {
        (): {
            "n_images": len(n),
            "n_masks": n.sum(),
            "masks_per_image": n.mean(),
            "mean_predicted_iou": run["sum_predicted"].sum() / run["n_predicted"].sum(),
            **_share("small_share", run["n_small"], n),
        }
    }


def masks_per_image_rows(run: Mapping[str, np.ndarray]) -> Rows:
    n = run["n"]
    rows = {}
    for first, last in BANDS:
        is_in = (n >= first) & (n <= last)
        told = {"n_band_images": is_in.sum(), "masks_per_image": n.mean(), "n_masks": n.sum()}
        rows[(first,)] = {**told, **_share("image_share", is_in, np.ones(len(n)))}
    return rows


def mask_size_distribution_rows(run: Mapping[str, np.ndarray]) -> Rows:
    rows = {}
    images, image = np.unique(run["image_id"], return_inverse=True)
    of_image = np.bincount(image, run["n"])
    for band in np.unique(run["band"]):
        chosen = run["band"] == band
        n = np.bincount(image[chosen], run["n"][chosen], len(images))
        told = {"n_band_masks": n.sum(), "mean_image_share": run["sum_share"][chosen].sum() / n.sum()}
        rows[(int(band),)] = {**told, **_share("mask_share", n, of_image)}
    return rows


def border_masks_rows(run: Mapping[str, np.ndarray]) -> Rows:
    rows = {}
    for way in WAYS:
        n = run[f"n {way}"].sum()
        told = {"n_border_masks": n}
        if n:
            told["mean_image_share"] = run[f"share {way}"].sum() / n
        rows[(way,)] = {**told, **_share("mask_share", run[f"n {way}"], run["n"])}
    return rows


def concavity_rows(run: Mapping[str, np.ndarray]) -> Rows:
    rows = {}
    for band in np.unique(run["band"]):
        chosen = run["band"] == band
        n = run["n"][chosen]
        told = {"n_masks": n.sum(), "mean_concavity": run["sum_concavity"][chosen].sum() / n.sum()}
        rows[(float(band),)] = {**told, **_share("concave_share", run["n_concave"][chosen], n)}
    return rows


def near_duplicates_rows(run: Mapping[str, np.ndarray]) -> Rows:
    rows = {}
    for iou in IOUS:
        n = run[f"extra {iou}"]
        told = {"n_pairs": run[f"pairs {iou}"].sum(), "n_extra_masks": n.sum()}
        with_pairs = _share("image_share", n > 0, np.ones(len(n)))
        rows[(iou,)] = {**told, **_share("extra_share", n, run["n_masks"]), **with_pairs}
    return rows


def _share(name: str, y: np.ndarray, x: np.ndarray) -> dict[str, float]:
    low, high = share_bounds(y[:, None], x[:, None])
    return {name: y.sum() / x.sum(), f"{name}_low": low[0], f"{name}_high": high[0]}


#: Of each report: what tells its rows apart within a run, and how rows come from the images' sums.
REPORTS: Mapping[str, tuple[Sequence[str], Callable[[Mapping[str, np.ndarray]], Rows]]] = {
    "stage_summary": ((), stage_summary_rows),
    "masks_per_image": (("masks_from",), masks_per_image_rows),
    "mask_size_distribution": (("side_from_px",), mask_size_distribution_rows),
    "border_masks": (("touches",), border_masks_rows),
    "concavity": (("relative_size_from",), concavity_rows),
    "near_duplicates": (("iou_threshold",), near_duplicates_rows),
}
PEERS = {"pandas": PANDAS_FLOOR, "polars": POLARS_FLOOR}


def of_peer(peer: str, name: str, root: Path) -> Rows:
    frame = globals()[f"{peer}_{name}"](root)
    if peer == "polars":
        frame = frame.collect(engine="streaming")
    columns = {column: frame[column].to_numpy() for column in frame.columns}
    rows: Rows = {}
    for run_id in np.unique(columns["run_id"]):
        chosen = columns["run_id"] == run_id
        found = REPORTS[name][1]({column: values[chosen] for column, values in columns.items()})
        rows |= {(int(run_id), *key): row for key, row in found.items()}
    return rows


# ------------------------------------------------------------------------------------------- measurement


def _timed(work: Callable[[], object]) -> tuple[object, float]:
    """What comes out, and CPU seconds of all threads; the first call brings files into the cache and imports in."""
    work()
    started = time.process_time()
    found = work()
    return found, time.process_time() - started


def measure(side: str, name: str, root: Path) -> tuple[Rows, float, int]:
    """Rows, CPU seconds and peak bytes of one report by one side; for a process of its own."""
    if side == "curation":
        with Lake.open(root, read_only=True) as lake:
            lake.con.execute(f"SET threads = {N_THREADS}")
            table, seconds = _timed(lambda: queries.get(name).run(lake))
        keys = ("run_id", *REPORTS[name][0])
        rows = {tuple(row[key] for key in keys): row for row in table.to_pylist()}
    else:
        rows, seconds = _timed(functools.partial(of_peer, side, name, root))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return rows, seconds, peak


def check_equal(name: str, peer: str, ours: Rows, theirs: Rows) -> None:
    """Every number that the peer has is the report's."""
    missing = [
        key for key in ours.keys() ^ theirs.keys() if ours.get(key, theirs.get(key)).get("n_masks") != 0
    ]
    assert not missing, f"{name}: {peer} has other rows: {missing}"
    for key, row in theirs.items():
        for column, value in row.items():
            tolerance = 1e-4 if column.endswith(("_low", "_high")) else 1e-9
            wanted = ours[key][column]
            assert np.isclose(value, wanted, rtol=tolerance, atol=1e-12), (
                f"{name} {key} {column}: {peer} has {value}, the report {wanted}"
            )


def run(root: Path) -> tuple[dict[str, float], int]:
    """CPU seconds of each side over all reports, and the most memory that a report of ours takes."""
    context = multiprocessing.get_context("spawn")
    seconds, most = dict.fromkeys(("curation", *PEERS), 0.0), 0
    for name in REPORTS:
        found = {}
        with context.Pool(1, maxtasksperchild=1) as pool:
            for side in seconds:
                found[side] = pool.apply(measure, (side, name, root))
                seconds[side] += found[side][1]
        for peer in PEERS:
            check_equal(name, peer, found["curation"][0], found[peer][0])
        most = max(most, found["curation"][2])
        cells = "".join(f"{found[side][1]:9.2f} s{found[side][2] / 1e9:6.2f} GB" for side in seconds)
        print(f"{name:26}{cells}", flush=True)
    return seconds, most


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--masks", type=float, nargs="+", default=[1, 10], help="millions of masks")
    parser.add_argument("--folder", type=Path, help="where the lakes lie; kept and used again")
    options = parser.parse_args()
    os.environ["POLARS_MAX_THREADS"] = str(N_THREADS)
    told, earlier = [], None
    with tempfile.TemporaryDirectory(prefix="curation-benchmark-") as temporary:
        for millions in sorted(set(options.masks)):
            root = (options.folder or Path(temporary)) / f"{millions:g}"
            if not (root / "workspace.json").exists():
                build(root, int(millions * MILLION), TABLES).close()
            print(f"{millions:g} million masks: CPU s and peak memory of {', '.join(('curation', *PEERS))}")
            seconds, most = run(root)
            of_set = Set(millions, seconds["curation"], most)
            told = [
                Claim(f"six reports, {millions:g} M masks", peer, seconds["curation"], seconds[peer], floor)
                for peer, floor in PEERS.items()
            ]
            told += claims(of_set, earlier)
            earlier = of_set
    raise SystemExit(not tell(*told))


if __name__ == "__main__":
    main()
