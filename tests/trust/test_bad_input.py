"""A corpus of bad input through whole imports: each file is a row of `problems` or a clear error; the good ones beside it
are imported whole, and nothing is written outside of the workspace. What each reader refuses in detail is tested beside
it, in tests/formats and tests/masks."""

import io
import json
import os
import re
import tarfile
from pathlib import Path

import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from curation.cli import app
from curation.errors import CurationError, InputError
from curation.formats import images
from curation.formats.mask_import import StageOrigin
from curation.lake import Lake
from tests.formats.records import HEIGHT_PX, WIDTH_PX, files, jpeg, random_masks, record, write_folder

STAGE = StageOrigin("fully_automatic", 0)
DEEP = b"[" * 3000 + b"]" * 3000


def changed(**image: object) -> bytes:
    """A record with other values in its image."""
    found = record(1, random_masks(1, 1))
    found["image"] |= image
    return json.dumps(found).encode()


def of_segmentation(**values: object) -> bytes:
    """A record whose one annotation has other values in its segmentation."""
    found = record(1, random_masks(1, 1))
    found["annotations"][0]["segmentation"] |= values
    return json.dumps(found).encode()


def of_annotation(**values: object) -> bytes:
    found = record(1, random_masks(1, 1))
    found["annotations"][0] |= values
    return json.dumps(found).encode()


GOOD = json.dumps(record(1, random_masks(1, 1))).encode()

#: SA-1B records that are no use, or whose one annotation is none.
BAD_RECORDS = {
    "empty": b"",
    "blank": b" \n",
    "nuls": bytes(2000),
    "truncated": GOOD[:-40],
    "trailing": GOOD + b"]",
    "deep": DEEP,
    "deep_inside": GOOD.replace(b'"image_id": 1', b'"image_id": ' + DEEP[2001:-2001]),
    "latin1": GOOD.replace(b"sa_1", b"s\xe4_1"),
    "list": b"[" + GOOD + b"]",
    "number": b"9" * 5000,
    "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "no_image": b'{"annotations": []}',
    "null_width": changed(width=None),
    "text_width": changed(width="40"),
    "nan_width": changed(width=float("nan")),
    "huge_size": changed(width=10**30, height=10**30),
    "zero_size": changed(width=0),
    "negative_size": changed(height=-HEIGHT_PX),
    "another_size": changed(width=WIDTH_PX + 1),
    "escape": changed(file_name="../outside.jpg"),
    "absolute": changed(file_name="/outside.jpg"),
    "nul_name": changed(file_name="a\0b.jpg"),
    "windows_name": changed(file_name="C:\\outside.jpg"),
    "half_pair": changed(file_name="\ud800.jpg"),
    "null_rle": of_segmentation(counts=None),
    "empty_rle": of_segmentation(counts=""),
    "cut_rle": of_segmentation(
        counts=record(1, random_masks(1, 1))["annotations"][0]["segmentation"]["counts"][:-1]
    ),
    "long_rle": of_segmentation(counts="P" * 5000 + "0"),
    "foreign_rle": of_segmentation(counts="ä☃\x7f"),
    "list_too_long": of_segmentation(counts=[HEIGHT_PX * WIDTH_PX, 1]),
    "list_negative": of_segmentation(counts=[-1, HEIGHT_PX * WIDTH_PX + 1]),
    "list_huge": of_segmentation(counts=[2**64, 2**64]),
    "list_of_floats": of_segmentation(counts=[0.5, HEIGHT_PX * WIDTH_PX - 0.5]),
    "swapped_size": of_segmentation(size=[WIDTH_PX, HEIGHT_PX]),
    "huge_rle_size": of_segmentation(size=[2**40, 2**40]),
    "nan_score": of_annotation(predicted_iou=float("nan")),
    "infinite_score": of_annotation(stability_score=float("-inf")),
    "huge_score": of_annotation(predicted_iou=10**400),
    "infinite_box": of_annotation(bbox=[0, 0, float("inf"), 1]),
    "text_box": of_annotation(bbox="0 0 1 1"),
    "bool_id": of_annotation(id=True),
}


def invoke(*words: str):
    return CliRunner().invoke(app, list(words))


def tree(folder: Path, but: Path) -> set[str]:
    """Every path below a folder, those below `but` left out."""
    return {str(path) for path in folder.rglob("*") if not path.is_relative_to(but)}


@pytest.fixture
def workspace(lake) -> Path:
    return lake.root


def test_every_bad_record_is_a_problem_and_the_good_ones_stay(workspace, tmp_path):
    contents = files(2) | {f"{name}.json": data for name, data in BAD_RECORDS.items()}
    # each names a picture of its own, or it would be refused for that alone
    contents = {
        name: data.replace(b"sa_1.jpg", f"{name}.jpg".encode()) if name[:3] != "sa_" else data
        for name, data in contents.items()
    }
    folder = write_folder(tmp_path / "source", contents)
    (folder / os.fsdecode(b"bad\xff.json")).write_bytes(GOOD)
    (folder / "loop.json").symlink_to(folder / "loop.json")
    (folder / "folder.json").mkdir()
    before = tree(tmp_path, workspace)
    done = invoke("import", "sa1b", str(folder), "--workspace", str(workspace))
    assert done.exit_code == 1, done.output
    assert tree(tmp_path, workspace) == before
    with Lake.open(workspace, read_only=True) as lake:
        told = {
            Path(source).stem
            for (source,) in lake.con.execute("SELECT DISTINCT source FROM problems").fetchall()
        }
        assert set(BAD_RECORDS) - told == set()
        assert {"bad\\xff", "loop"} <= told
        counts = dict(
            lake.con.execute(
                "SELECT file_name, count(*) FROM images JOIN masks USING (run_id, image_id) GROUP BY 1"
            ).fetchall()
        )
        assert counts == {"sa_0.jpg": 4, "sa_1.jpg": 4}
        reasons = lake.con.execute("SELECT reason FROM problems").fetchall()
        assert all(0 < len(reason) < 2000 for (reason,) in reasons)


def picture(mode: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new(mode, (WIDTH_PX, HEIGHT_PX)).save(buffer, **{"format": "PNG"} | options)
    return buffer.getvalue()


def bomb(width_px: int, height_px: int) -> bytes:
    """A PNG of few bytes that says that it is large."""
    import struct
    import zlib

    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    packed = zlib.compress(bytes(1 << 20))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        for body in (chunk, b"IDAT" + packed, b"IEND")
    )


BAD_PICTURES = {
    "empty": b"",
    "text": b"no picture",
    "cut": jpeg(1)[:300],
    "bomb": bomb(60_000, 60_000),
    "zero": bomb(0, 0),
    "negative": bomb(2**31, 2**31),
    "another": jpeg(1, width_px=WIDTH_PX + 3),
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30"></svg>',
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 30\n",
}
#: Pictures that are unusual and right.
GOOD_PICTURES = {
    "sixteen": picture("I;16"),
    "cmyk": picture("CMYK", format="JPEG"),
    "palette": picture("P"),
    "grey": picture("L"),
    "alpha": picture("RGBA"),
}


def test_bad_pictures_beside_good_records_are_problems_and_unusual_ones_are_read(workspace, tmp_path):
    pictures = BAD_PICTURES | GOOD_PICTURES
    contents = {f"{name}.jpg": data for name, data in pictures.items()}
    for name in pictures:
        contents[f"{name}.json"] = json.dumps(record(1, random_masks(1, 2), f"{name}.jpg")).encode()
    folder = write_folder(tmp_path / "source", contents)
    assert invoke("import", "sa1b", str(folder), "--workspace", str(workspace)).exit_code == 1
    with Lake.open(workspace, read_only=True) as lake:
        told = {
            Path(source).stem
            for (source,) in lake.con.execute("SELECT DISTINCT source FROM problems").fetchall()
        }
        assert told == set(BAD_PICTURES)
        read = {
            name
            for (name,) in lake.con.execute(
                "SELECT file_name FROM images WHERE sha256 IS NOT NULL"
            ).fetchall()
        }
        assert read == {f"{name}.jpg" for name in GOOD_PICTURES}


COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": WIDTH_PX, "height": HEIGHT_PX}],
    "annotations": [{"id": 1, "image_id": 1, "segmentation": [[0, 0, 9, 0, 9, 9]]}],
}


@pytest.mark.parametrize(
    ("name", "data"),
    {
        "empty": b"",
        "truncated": json.dumps(COCO).encode()[:-5],
        "brace_for_bracket": json.dumps(COCO).replace("]]}]", "]]}}").encode(),
        "deep": b'{"images": ' + DEEP + b', "annotations": []}',
        "deep_annotation": json.dumps(COCO).encode().replace(b"[[0, 0, 9, 0, 9, 9]]", DEEP),
        "pairs_for_polygon": json.dumps(COCO).encode().replace(b"[[0, 0, 9, 0, 9, 9]]", b"[[[0, 0], [9, 0], [9, 9]]]"),
        "utf8": json.dumps(COCO).encode().replace(b"a.jpg", b"\xff.jpg"),
        "duplicate_image": json.dumps(COCO | {"images": COCO["images"] * 2}).encode(),
        "unknown_image": json.dumps(COCO).replace('"image_id": 1', '"image_id": 2').encode(),
        "nan_score": json.dumps(COCO).replace('"image_id"', '"score": NaN, "image_id"').encode(),
        "huge_score": json.dumps(COCO).replace('"image_id"', f'"score": {"9" * 400}, "image_id"').encode(),
        "escape": json.dumps(COCO).replace("a.jpg", "../a.jpg").encode(),
    }.items(),
)  # fmt: skip
def test_bad_coco_files_are_refused_or_problems(workspace, tmp_path, name, data):
    path = tmp_path / "source" / f"{name}.json"
    path.parent.mkdir()
    path.write_bytes(data)
    before = tree(tmp_path, workspace)
    done = invoke("import", "coco", str(path), "--workspace", str(workspace))
    assert tree(tmp_path, workspace) == before
    if isinstance(done.exception, CurationError):
        assert str(path) in str(done.exception)
        with Lake.open(workspace, read_only=True) as lake:
            assert lake.con.execute("SELECT count(*) FROM runs").fetchone() == (0,)
    else:
        assert done.exit_code == 1, done.output
        with Lake.open(workspace, read_only=True) as lake:
            assert lake.con.execute("SELECT count(*) FROM problems").fetchone()[0] >= 1


def test_a_tar_of_escapes_links_and_lies_writes_nothing_outside(workspace, tmp_path):
    (tmp_path / "source").mkdir()
    path = tmp_path / "source" / "records.tar"
    with tarfile.open(path, "w") as tar:
        for name in ("sa_0.json", "../sa_1.json", "/sa_2.json", "a/../../sa_3.json"):
            header = tarfile.TarInfo(name)
            header.size = len(GOOD)
            tar.addfile(header, io.BytesIO(GOOD))
        for name, kind in (
            ("soft.json", tarfile.SYMTYPE),
            ("hard.json", tarfile.LNKTYPE),
            ("pipe.json", tarfile.FIFOTYPE),
        ):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "/etc/passwd"
            tar.addfile(link)
        bomb_header = tarfile.TarInfo("bomb.json")
        bomb_header.size = 8 << 33  # says 64 GB, holds nothing
        tar.fileobj.write(bomb_header.tobuf())
    before = tree(tmp_path, workspace)
    done = invoke("import", "sa1b", str(path), "--workspace", str(workspace))
    assert done.exit_code == 1, done.output
    assert tree(tmp_path, workspace) == before
    with Lake.open(workspace, read_only=True) as lake:
        assert lake.con.execute("SELECT count(*) FROM masks").fetchone() == (1,)
        told = {
            re.split("[/!]", source)[-1]
            for (source,) in lake.con.execute("SELECT source FROM problems").fetchall()
        }
    assert {"sa_1.json", "sa_2.json", "sa_3.json", "soft.json", "hard.json", "pipe.json", "bomb.json"} <= told


URIS = [f"/pictures/{k}.jpg" for k in range(2000)]


@pytest.mark.parametrize(
    ("rows", "damage", "reason"),
    [
        (None, b"", "no Parquet file"),
        (None, b"PAR1" + bytes(100) + b"PAR1", "damaged"),
        ({"uri": URIS}, slice(40, 400), "damaged"),
        ({"uri": URIS}, slice(-30, None), "no Parquet file"),
        ({"path": [1, 2]}, None, "no column of strings"),
        ({"uri": [["/a.jpg"]]}, None, "no column of strings"),
        ({"uri": [b"/a.jpg"]}, None, "no column of strings"),
        ({"uri": ["/a.jpg", None]}, None, "holds a null"),
        ({"uri": pa.array([], pa.string())}, None, "holds no pictures"),
    ],
)
def test_lists_in_parquet_of_another_schema_or_damaged_are_refused(tmp_path, rows, damage, reason):
    path = tmp_path / "list.parquet"
    if rows is not None:
        pq.write_table(pa.table(rows), path)
    if isinstance(damage, slice):
        data = bytearray(path.read_bytes())
        data[damage] = bytes(len(data[damage]))
        path.write_bytes(data)
    elif damage is not None:
        path.write_bytes(damage)
    with pytest.raises(InputError, match=reason):
        images.plan_images(str(path), tmp_path / "plan.parquet")
