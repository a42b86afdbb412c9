"""How others make tables of SA-1B's JSON: the peers of `import_sa1b`. Each gives the same two tables in the same files.

`json` makes them row by row. The rest read annotations into columns, each as its documentation shows, and share what no JSON
library does: area and tight box by pycocotools, one call an image, the lake's ids, the files. None checks anything.
Datumaro only reads: its dataset in memory is what it gives, in an environment of its own.
"""

import gc
import io
import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
import pyarrow.parquet as pq
from pycocotools import mask as coco_mask

from curation import ids
from curation.formats.sa1b_import import StageOrigin
from curation.schemas import TABLES
from curation.settings import LAKE
from curation.storage import NO_REPEATS

RUN_ID = 1
ORIGIN = StageOrigin("fully_automatic", 0)
N_THREADS = 1


def with_json_and_rows(paths: Sequence[Path], out: Path) -> int:
    """`json.load`, one dict a row, `Table.from_pylist`: what one writes first. Number of masks written, as of all here."""
    mask_rows, image_rows = [], []
    for number, path in enumerate(paths):
        with path.open() as file:
            document = json.load(file)
        image, annotations = document["image"], document["annotations"]
        uri = str(path.parent / image["file_name"])
        of_image = {
            "run_id": RUN_ID,
            "image_id": ids.image_id(uri),
            "width_px": image["width"],
            "height_px": image["height"],
        }
        image_rows.append(
            {
                **of_image,
                "image_number": number,
                "uri": uri,
                "file_name": image["file_name"],
                "size_bytes": os.path.getsize(uri) if os.path.exists(uri) else None,
                "source_image_id": str(image["image_id"]),
            }
        )
        rles = [annotation["segmentation"] for annotation in annotations]
        areas_px = coco_mask.area(rles).tolist()
        tight_xywh = coco_mask.toBbox(rles).astype(int).tolist()
        for index, annotation in enumerate(annotations):
            mask_rows.append(
                {
                    **of_image,
                    "mask_id": ids.mask_id(RUN_ID, number, index),
                    "mask_index": index,
                    "stage": ORIGIN.stage,
                    "cycle": ORIGIN.cycle,
                    "area_px": areas_px[index],
                    "bbox_xywh": tight_xywh[index],
                    "predicted_iou": annotation["predicted_iou"],
                    "stability_score": annotation["stability_score"],
                    "point_xy": annotation["point_coords"][0],
                    "crop_box_xywh": annotation["crop_box"],
                    "is_crowd": False,
                    "source_mask_id": str(annotation["id"]),
                    "source_bbox_xywh": annotation["bbox"],
                    "rle_counts": annotation["segmentation"]["counts"],
                }
            )
    for name, rows in (("images", image_rows), ("masks", mask_rows)):
        write(pa.Table.from_pylist(rows, TABLES[name].arrow), out / f"{name}.parquet")
    return len(mask_rows)


# ---------------------------------------------------------------------------------------------- msgspec


class _Segmentation(msgspec.Struct, gc=False):
    size: list[int]
    counts: str


class _Annotation(msgspec.Struct, gc=False):
    id: int
    segmentation: _Segmentation
    bbox: list[float]
    predicted_iou: float
    stability_score: float
    crop_box: list[float]
    point_coords: list[list[float]]


class _Image(msgspec.Struct, gc=False):
    image_id: int
    width: int
    height: int
    file_name: str


class _Record(msgspec.Struct, gc=False):
    image: _Image
    annotations: list[_Annotation]


def with_msgspec(paths: Sequence[Path], out: Path) -> int:
    """Typed Structs, without garbage collection, into one list a column."""
    decoder = msgspec.json.Decoder(_Record)
    with _paused_gc():
        records = [decoder.decode(path.read_bytes()) for path in paths]
        found = [annotation for record in records for annotation in record.annotations]
        columns = {
            "id": [one.id for one in found],
            "bbox": [one.bbox for one in found],
            "predicted_iou": [one.predicted_iou for one in found],
            "stability_score": [one.stability_score for one in found],
            "crop_box": [one.crop_box for one in found],
            "point": [one.point_coords[0] for one in found],
            "counts": [one.segmentation.counts for one in found],
        }
        images = [msgspec.structs.asdict(record.image) for record in records]
        return _write_tables(paths, images, [len(record.annotations) for record in records], columns, out)


@contextmanager
def _paused_gc():
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


# ------------------------------------------------------------------------- pyarrow.json, polars, DuckDB

_BOX = pa.list_(pa.float64())
_ARROW_ANNOTATION = pa.struct(
    {
        "id": pa.int64(),
        "segmentation": pa.struct({"size": pa.list_(pa.int64()), "counts": pa.string()}),
        "bbox": _BOX,
        "predicted_iou": pa.float64(),
        "stability_score": pa.float64(),
        "crop_box": _BOX,
        "point_coords": pa.list_(_BOX),
    }
)
_ARROW_IMAGE = pa.struct(
    {"image_id": pa.int64(), "width": pa.int64(), "height": pa.int64(), "file_name": pa.string()}
)
_ARROW_RECORD = pa.schema({"image": _ARROW_IMAGE, "annotations": pa.list_(_ARROW_ANNOTATION)})


def with_pyarrow(paths: Sequence[Path], out: Path) -> int:
    """All records as lines of one buffer, read with an explicit schema, structs flattened."""
    lines = b"\n".join(path.read_bytes() for path in paths)
    table = pj.read_json(
        pa.BufferReader(lines),
        pj.ReadOptions(use_threads=False, block_size=1 << 22),
        pj.ParseOptions(explicit_schema=_ARROW_RECORD, unexpected_field_behavior="ignore"),
    )
    return _write_records(paths, table, out)


def with_polars(paths: Sequence[Path], out: Path) -> int:
    """All records as lines of one buffer, read with an explicit schema."""
    lines = b"\n".join(path.read_bytes() for path in paths)
    frame = pl.read_ndjson(io.BytesIO(lines), schema=pl.Schema(_ARROW_RECORD))
    return _write_records(paths, frame.to_arrow(), out)


def with_duckdb(paths: Sequence[Path], out: Path) -> int:
    """`read_json` of the list of files, with their columns' types."""
    box = "DOUBLE[]"
    columns = {
        "image": "STRUCT(image_id BIGINT, width BIGINT, height BIGINT, file_name VARCHAR)",
        "annotations": f"""STRUCT(id BIGINT, segmentation STRUCT(size BIGINT[], counts VARCHAR), bbox {box},
            predicted_iou DOUBLE, stability_score DOUBLE, crop_box {box}, point_coords {box}[])[]""",
    }
    with duckdb.connect(config={"threads": N_THREADS}) as con:
        table = con.execute(
            "SELECT image, annotations FROM read_json($paths, format => 'unstructured', columns => $columns) ORDER BY image.file_name",
            {"paths": list(map(str, paths)), "columns": columns},
        ).to_arrow_table()
    return _write_records(paths, table, out)


def _write_records(paths: Sequence[Path], table: pa.Table, out: Path) -> int:
    """From one row a record, (image, annotations)."""
    lists = table["annotations"].combine_chunks()
    found = lists.flatten()
    columns = {
        name: found.field(name) for name in ("id", "bbox", "predicted_iou", "stability_score", "crop_box")
    }
    columns["point"] = pc.list_element(found.field("point_coords"), 0)
    columns["counts"] = found.field("segmentation").field("counts")
    return _write_tables(paths, table["image"].to_pylist(), lists.value_lengths().to_numpy(), columns, out)


# -------------------------------------------------------------------------------- what all columns share


def _write_tables(
    paths: Sequence[Path], images: Sequence[Mapping], n_masks: Sequence[int], columns: Mapping, out: Path
) -> int:
    """Both tables, from images in the order of `paths` and the annotations of all of them, column by column."""
    sizes = [[image["height"], image["width"]] for image in images]
    counts = columns["counts"] if isinstance(columns["counts"], list) else columns["counts"].to_pylist()
    stops = np.cumsum(n_masks).tolist()
    areas_px, tight_xywh = [], []
    for size, first, stop in zip(sizes, [0, *stops], stops, strict=False):
        rles = [{"size": size, "counts": text} for text in counts[first:stop]]
        areas_px.append(coco_mask.area(rles))
        tight_xywh.append(coco_mask.toBbox(rles))
    tight = np.concatenate(tight_xywh).astype(np.int32)
    uris = [str(path.parent / image["file_name"]) for path, image in zip(paths, images, strict=True)]
    numbers = np.arange(len(images))
    image_ids = np.array([ids.image_id(uri) for uri in uris])
    n_all = len(tight)
    mask_index = np.concatenate([np.arange(n) for n in n_masks])
    first_ids = np.array([ids.mask_id(RUN_ID, number, 0) for number in range(len(images))])
    heights, widths = np.array(sizes).T
    of_images = {
        "run_id": pa.repeat(RUN_ID, len(images)),
        "image_id": image_ids,
        "image_number": numbers,
        "uri": uris,
        "file_name": [image["file_name"] for image in images],
        "width_px": widths,
        "height_px": heights,
        "size_bytes": [os.path.getsize(uri) if os.path.exists(uri) else None for uri in uris],
        "source_image_id": [str(image["image_id"]) for image in images],
    }
    of_masks = {
        "run_id": pa.repeat(RUN_ID, n_all),
        "mask_id": np.repeat(first_ids, n_masks) + mask_index,
        "image_id": np.repeat(image_ids, n_masks),
        "mask_index": mask_index,
        "stage": pa.repeat(ORIGIN.stage, n_all),
        "cycle": pa.repeat(ORIGIN.cycle, n_all),
        "width_px": np.repeat(widths, n_masks),
        "height_px": np.repeat(heights, n_masks),
        "area_px": np.concatenate(areas_px).astype(np.int64),
        "bbox_xywh": pa.ListArray.from_arrays(
            np.arange(0, 4 * n_all + 1, 4, dtype=np.int32), tight.reshape(-1)
        ),
        "predicted_iou": columns["predicted_iou"],
        "stability_score": columns["stability_score"],
        "point_xy": columns["point"],
        "crop_box_xywh": columns["crop_box"],
        "is_crowd": pa.repeat(False, n_all),
        "source_mask_id": pa.array(columns["id"], pa.int64()).cast(pa.string()),
        "source_bbox_xywh": columns["bbox"],
        "rle_counts": columns["counts"],
    }
    for name, given in (("images", of_images), ("masks", of_masks)):
        write(_table(given, TABLES[name].arrow), out / f"{name}.parquet")
    return n_all


def _table(columns: Mapping, schema: pa.Schema) -> pa.Table:
    n_rows = len(columns["run_id"])
    arrays = []
    for field in schema:
        values = columns.get(field.name)
        if values is None:
            arrays.append(pa.nulls(n_rows, field.type))
        elif isinstance(values, pa.Array):
            arrays.append(values.cast(field.type))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def write(table: pa.Table, path: Path) -> None:
    """With the lake's own settings."""
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=LAKE.compression_level,
        row_group_size=LAKE.row_group_rows,
        use_dictionary=[f.name for f in table.schema if f.type == pa.string() and f.name not in NO_REPEATS],
    )


#: Readers that need no environment of their own, by name.
READERS: Mapping[str, Callable[[Sequence[Path], Path], int]] = {
    "msgspec": with_msgspec,
    "pyarrow.json": with_pyarrow,
    "polars": with_polars,
    "DuckDB": with_duckdb,
}


# --------------------------------------------------------------------------------------------- Datumaro

#: Reads a folder and writes the rows of its masks twice, so that the second time counts no imports; prints [CPU seconds of
#: reading, of all, masks]. Each annotation of SA-1B becomes a mask and a box.
_DATUMARO = """
import json, sys, time
import pyarrow as pa
import pyarrow.parquet as pq
from datumaro.components.dataset import Dataset

for _ in range(2):
    started = time.process_time()
    dataset = Dataset.import_from(sys.argv[1], "segment_anything")
    items = list(dataset)
    read_s = time.process_time() - started
    rows = [
        {
            "image_id": item.attributes["id"],
            "file_name": item.media.path,
            "mask_index": index,
            "area_px": int(mask.get_area()),
            "bbox_xywh": mask.get_bbox().tolist(),
            "predicted_iou": mask.attributes["predicted_iou"],
            "stability_score": mask.attributes["stability_score"],
            "point_xy": mask.attributes["point_coords"][0],
            "crop_box_xywh": mask.attributes["crop_box"],
            "source_mask_id": str(mask.id),
            "source_bbox_xywh": box.get_bbox(),
            "rle_counts": mask.rle["counts"],
        }
        for item in items
        for index, (mask, box) in enumerate(zip(item.annotations[::2], item.annotations[1::2]))
    ]
    pq.write_table(pa.Table.from_pylist(rows), sys.argv[2], compression="zstd", compression_level=1, row_group_size=5_000)
    seconds = time.process_time() - started
print(json.dumps([read_s, seconds, len(rows)]))
"""


def datumaro_python() -> Path | None:
    """The interpreter of Datumaro's environment, where there is one."""
    path = Path(
        os.environ.get("DATUMARO_PYTHON") or Path(__file__).parent.parent / ".venv-datumaro/bin/python"
    )
    return path if path.exists() else None


def with_datumaro(python: Path, folder: Path, out: Path) -> tuple[float, float, int]:
    """CPU seconds in which Datumaro reads a folder of records, those until the masks' table is written, and the masks."""
    command = [python, "-c", _DATUMARO, str(folder), str(out / "datumaro.parquet")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return tuple(json.loads(done.stdout.splitlines()[-1]))
