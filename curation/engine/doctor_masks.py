"""Every mask once through the kernels: whether its RLE is one, of its size, and as large and where its row says."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.engine.doctor_finding import Finding
from curation.errors import RleError
from curation.lake import Lake
from curation.masks import Runs, areas, boxes, parse_strings

#: Masks in memory at once: 10,000 of SA-1B's are about 5 MB of RLE.
BATCH_MASKS = 10_000
_TABLES = (("masks", "mask_id"), ("gold_masks", "gold_mask_id"))
_REMEDY = (
    "import or generate its image again; its measures and verdicts are about another mask than is stored"
)
#: Kind -> (what is wrong, whether it is a problem).
_KINDS = {
    "rle": ("its RLE cannot be read", True),
    "area": ("area_px is not the area of its RLE", True),
    "box": ("bbox_xywh is not the tight box of its RLE", True),
    "empty": ("it has no pixel", True),
    "whole": ("it covers its whole image", False),
    "pixel": ("it is one pixel", False),
}


@dataclass
class _Tally:
    """How many masks of a kind, and the first one that was met."""

    n: int = 0
    example: str = ""

    def add(self, ids: np.ndarray, why: str = "") -> None:
        if len(ids) and not self.n:
            self.example = f"mask {ids[0]}{f' ({why})' if why else ''}"
        self.n += len(ids)


@dataclass
class _Tallies:
    by_kind: dict[str, _Tally] = field(default_factory=lambda: defaultdict(_Tally))

    def add(self, kind: str, ids: np.ndarray, why: str = "") -> None:
        self.by_kind[kind].add(ids, why)


def n_masks(lake: Lake) -> int:
    return sum(lake.con.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table, _ in _TABLES)


def examine(lake: Lake, advance: Callable[[int], None]) -> Iterator[Finding]:
    """One pass over the RLE of all masks, and one join with the sizes of their images."""
    for table, id_column in _TABLES:
        tallies = _Tallies()
        reader = lake.con.execute(
            f"SELECT {id_column} AS mask_id, width_px, height_px, area_px, bbox_xywh, rle_counts FROM {table}"
        ).to_arrow_reader(BATCH_MASKS)
        for batch in reader:
            _check(pa.table(batch), tallies)
            advance(batch.num_rows)
        for kind, (words, is_problem) in _KINDS.items():
            tally = tallies.by_kind[kind]
            if tally.n:
                yield Finding(
                    "mask", table, tally.n, f"{words}, such as {tally.example}", _REMEDY, is_problem
                )
        yield from _sizes(lake, table, id_column)


def _sizes(lake: Lake, table: str, id_column: str) -> Iterator[Finding]:
    n, example = lake.con.execute(f"""
        SELECT count(*), min({table}.{id_column})
        FROM {table}
        INNER JOIN runs USING (run_id)
        INNER JOIN images
            ON images.image_id = {table}.image_id
            AND images.run_id = CASE WHEN runs.kind = 'correct' THEN runs.parent_run_id ELSE runs.run_id END
        WHERE images.width_px <> {table}.width_px OR images.height_px <> {table}.height_px
    """).fetchone()
    if n:
        yield Finding("mask", table, n, f"its size is not that of its image, such as mask {example}", _REMEDY)


def _check(rows: pa.Table, tallies: _Tallies) -> None:
    """Masks of one size at a time, since one call of the kernels takes those of one image size."""
    sizes = np.stack([rows["height_px"].to_numpy(), rows["width_px"].to_numpy()], axis=1)
    found, group_of = np.unique(sizes, axis=0, return_inverse=True)
    for group, (height, width) in enumerate(found.tolist()):
        _check_size(rows.filter(pa.array(group_of.reshape(-1) == group)), height, width, tallies)


def _check_size(rows: pa.Table, height: int, width: int, tallies: _Tallies) -> None:
    ids = rows["mask_id"].to_numpy()
    is_read, runs = _read(rows["rle_counts"], ids, height, width, tallies)
    ids = ids[is_read]
    stored = rows.filter(pa.array(is_read))
    area_px, bbox = areas(runs), boxes(runs)
    is_box = pc.equal(pc.list_value_length(stored["bbox_xywh"]), 4)
    stored_box = np.full((len(ids), 4), -1)
    stored_box[is_box.to_numpy()] = (
        pc.list_flatten(stored["bbox_xywh"].filter(is_box)).to_numpy().reshape(-1, 4)
    )
    tallies.add("area", ids[area_px != stored["area_px"].to_numpy()])
    tallies.add("box", ids[(bbox != stored_box).any(axis=1)])
    tallies.add("empty", ids[area_px == 0])
    tallies.add("whole", ids[area_px == height * width])
    tallies.add("pixel", ids[(area_px == 1) & (height * width > 1)])


def _read(
    counts: pa.ChunkedArray, ids: np.ndarray, height: int, width: int, tallies: _Tallies
) -> tuple[np.ndarray, Runs]:
    """Which strings are RLE, bool (N,), and the masks of those."""
    try:
        return np.ones(len(ids), bool), parse_strings(counts, height, width)
    except RleError:
        pass  # it names the first bad one only
    is_read, parsed = np.zeros(len(ids), bool), []
    for k, text in enumerate(counts.to_pylist()):
        try:
            parsed.append(parse_strings([text], height, width))
            is_read[k] = True
        except RleError as error:
            tallies.add("rle", ids[k : k + 1], str(error))
    empty = Runs.empty(height, width) if height > 0 and width > 0 else Runs.empty(1, 1)
    return is_read, Runs.concat(parsed) if parsed else empty
