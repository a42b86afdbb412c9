"""Label PNGs into the lake."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from pycocotools import mask as coco_mask
from typer.testing import CliRunner

from curation.cli import app
from curation.errors import InputError, RecordError
from curation.formats import label_png, label_png_import
from curation.formats.mask_import import GoldOrigin
from tests.formats.records import HEIGHT_PX, WIDTH_PX, jpeg, write_folder, write_tar

GOLD = GoldOrigin("maria", is_anchored=False)


def labels(seed: int, largest: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, largest + 1, (HEIGHT_PX, WIDTH_PX)).astype(np.uint16)


def png(values: np.ndarray, mode: str = "L") -> bytes:
    if mode == "P":
        picture = PIL.Image.fromarray(values.astype(np.uint8)).convert("L")
        picture.putpalette([v for k in range(256) for v in (255 - k, k, 7)])
    elif mode == "I;16":
        picture = PIL.Image.fromarray(values.astype(np.uint16))
    else:
        picture = PIL.Image.fromarray(values.astype(np.uint8)).convert(mode)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def grey_png_of_few_bits(values: np.ndarray, bits: int) -> bytes:
    """A grey PNG of 1, 2 or 4 bits a pixel, which Pillow cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape
    lines = b""
    for row in values:
        padded = np.zeros(-(-width * bits // 8) * 8 // bits, np.uint8)
        padded[:width] = row
        stream = np.unpackbits(padded[:, None], axis=1)[:, 8 - bits :].reshape(-1)
        lines += b"\0" + np.packbits(stream).tobytes()
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def import_labels(lake, *sources, images, ignored=(), shard_size=2, workers=1):
    sources = [str(source) for source in sources]
    plan = label_png_import.plan_labels(sources, str(images), lake.root.parent / "plan")
    job = label_png_import.start(lake, plan, ", ".join(sources), GOLD, str(images), ignored, shard_size)
    if not job.run.is_finished:
        job.finish(lake, workers)
    return job


def rows(lake, sql: str) -> list[dict]:
    return lake.query(sql).to_pylist()


@pytest.mark.parametrize(("mode", "largest"), [("L", 255), ("P", 255), ("I;16", 65_535)])
def test_labels_are_the_numbers_in_the_file(mode, largest):
    values = labels(0, largest)
    assert np.array_equal(label_png.parse_labels(png(values, mode)), values)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_of_few_bits_is_not_stretched(bits):
    values = labels(1, (1 << bits) - 1).astype(np.uint8)
    assert np.array_equal(label_png.parse_labels(grey_png_of_few_bits(values, bits)), values)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no PNG"),
        (jpeg(1), "no PNG"),
        (png(labels(0), "RGB"), "mode RGB; labels are one number a pixel"),
        (png(labels(0))[:60], "damaged"),
    ],
)
def test_pictures_that_are_no_labels_are_refused(data, reason):
    with pytest.raises(RecordError, match=reason):
        label_png.parse_labels(data)


def test_every_number_but_background_and_ignored_is_a_mask(lake, tmp_path):
    folder = write_folder(tmp_path / "labels", {f"{k}.png": png(labels(k)) for k in range(3)})
    pictures = write_folder(tmp_path / "images", {f"{k}.jpg": jpeg(k) for k in range(4)})
    job = import_labels(lake, folder, images=pictures, ignored=(5,))
    assert job.n_problems(lake) == 0
    found = rows(
        lake,
        "SELECT g.*, i.uri, i.sha256 FROM gold_masks g JOIN images i USING (image_id) ORDER BY gold_mask_id",
    )
    assert [(Path(r["uri"]).stem, r["source_mask_id"]) for r in found] == [
        (k, n) for k in "012" for n in "1234"
    ]
    for row in found:
        rle = {"size": [HEIGHT_PX, WIDTH_PX], "counts": row["rle_counts"].encode()}
        values = labels(int(Path(row["uri"]).stem))
        assert np.array_equal(coco_mask.decode(rle), values == int(row["source_mask_id"]))
        assert row["uri"].startswith(str(pictures))
        assert row["sha256"] is not None


def test_label_files_without_their_picture_are_problems(lake, tmp_path):
    names = ("a", "b", "c", "wide", "twice", "torn")
    folder = write_folder(tmp_path / "labels", {f"{name}.png": png(labels(0)) for name in names})
    (folder / "torn.png").write_bytes(b"\x89PNG")
    pictures = {f"{name}.jpg": jpeg(0) for name in ("a", "c", "x/twice", "y/twice", "torn")}
    pictures["wide.jpg"] = jpeg(0, width_px=WIDTH_PX + 1)
    pictures["c.jpg"] = b""
    job = import_labels(lake, folder, images=write_folder(tmp_path / "images", pictures))
    reasons = {Path(row["source"]).name: row["reason"] for row in rows(lake, "FROM problems")}
    assert set(reasons) == {"b.png", "c.jpg", "wide.png", "twice.png", "torn.png"}
    assert "no picture is called b.*" in reasons["b.png"]
    assert "2 pictures are called twice.*" in reasons["twice.png"]
    assert "41 × 30 px" in reasons["wide.png"]
    assert job.n_problems(lake) == 5
    kept = rows(lake, "SELECT file_name FROM images ORDER BY 1")
    assert [row["file_name"] for row in kept] == ["a.jpg", "c.jpg"]


def test_tars_and_worker_processes_give_the_same_masks(lake, tmp_path):
    contents = {f"{k}.png": png(labels(k), "P") for k in range(5)}
    pictures = {f"{k}.jpg": jpeg(k) for k in range(5)}
    folder, images = write_folder(tmp_path / "labels", contents), write_folder(tmp_path / "images", pictures)
    import_labels(lake, folder, images=images)
    import_labels(lake, write_tar(tmp_path / "labels.tar", contents), images=images, workers=2)
    import_labels(lake, folder, images=write_tar(tmp_path / "images.tar", pictures))
    columns = "mask_index, area_px, rle_counts"
    masks = [
        rows(lake, f"SELECT {columns} FROM gold_masks WHERE run_id = {n} ORDER BY gold_mask_id")
        for n in (1, 2, 3)
    ]
    assert len(masks[0]) == 25
    assert masks[0] == masks[1] == masks[2]
    assert rows(lake, "SELECT count(*) AS n FROM images WHERE sha256 IS NOT NULL") == [{"n": 15}]


def test_another_ignored_label_or_another_picture_makes_a_new_run(lake, tmp_path):
    folder = write_folder(tmp_path / "labels", {"a.png": png(labels(0)), "b.png": png(labels(1))})
    images = write_folder(tmp_path / "images", {"a.jpg": jpeg(0)})
    numbers = [import_labels(lake, folder, images=images).run.run_id for _ in range(2)]
    numbers.append(import_labels(lake, folder, images=images, ignored=(5,)).run.run_id)
    write_folder(images, {"b.jpg": jpeg(0)})
    numbers.append(import_labels(lake, folder, images=images).run.run_id)
    assert numbers == [1, 1, 2, 3]


def test_sources_without_labels_or_pictures_are_refused(lake, tmp_path):
    folder = write_folder(tmp_path / "labels", {"a.png": png(labels(0))})
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no \*\.png is there"):
        import_labels(lake, tmp_path / "empty", images=folder)
    with pytest.raises(InputError, match="holds no pictures"):
        import_labels(lake, folder, images=tmp_path / "empty")
    with pytest.raises(InputError, match="--ignore 70000"):
        import_labels(lake, folder, images=folder, ignored=(70_000,))


def test_every_folder_is_an_annotator(tmp_path):
    contents = {f"{who}/{k}.png": png(labels(k)) for who in ("maria", "zoe") for k in range(2)}
    folder = write_folder(tmp_path / "labels", contents)
    images = write_folder(tmp_path / "images", {f"{k}.jpg": jpeg(k) for k in range(2)})
    workspace = ["--workspace", str(tmp_path / "lake")]
    run = CliRunner().invoke
    assert run(app, ["init", str(tmp_path / "lake")]).exit_code == 0
    words = ["gold", "import", "label-png", str(folder), "--annotator-folders", "--from-scratch"]
    done = run(app, [*words, "--images", str(images), *workspace])
    assert done.exit_code == 0
    assert "run 1, gold of maria: 10 masks of 2 images" in done.stdout
    assert "run 2, gold of zoe: 10 masks of 2 images" in done.stdout
