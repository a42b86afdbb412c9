"""Readers under fire: damaged inputs made from good ones, and what must hold of every input.

`python tests/trust/fuzzing.py TARGET SECONDS [SEED]` fuzzes one target alone: with atheris (coverage-guided) where it is
installed and `--atheris` is said, else with the damages below. An input that breaks the reader, or that it hangs on, is
left in FUZZ_FOUND (default: the working folder), and the command ends non-zero.
"""

import contextlib
import faulthandler
import io
import json
import os
import random
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
import PIL.Image
import pyarrow as pa

from curation import masks
from curation.errors import InputError, RleError
from curation.formats import coco_import, images, json_slices, label_png, sa1b, sa1b_scan, tars

#: An input that takes longer hangs; the slowest usual one takes milliseconds.
HANG_S = 60
HEIGHT_PX, WIDTH_PX = 12, 17


@dataclass(frozen=True)
class Target:
    """`check` raises AssertionError, or whatever the reader let through, for an input that it does not stand.

    `words` are put into inputs: what the format gives a meaning to, and what often breaks parsers.
    """

    check: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    words: tuple[bytes, ...]


NUMBERS = (
    b"0",
    b"-1",
    b"-0",
    b"1e400",
    b"-1e400",
    b"1e-400",
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"9" * 19,
    b"9" * 400,
    b"4294967296",
    b"9223372036854775808",
    b"0.1",
    b"1.",
    b"01",
    b"true",
    b"null",
)
JSON_WORDS = (
    *NUMBERS,
    *(b'""', b"[]", b"{}", b"[", b"]", b"{", b"}", b",", b":", b'"', b"\\", b"\\u0000", b"\\ud800", b"\xff"),
    *(b"\xef\xbb\xbf", b"\x00", b"[" * 1500, b'"id"', b'"size"', b'"counts"', b'"image"', b'"annotations"'),
    *(b'"images"', b'"segmentation"', b'"bbox"', b'"point_coords"', b'"../x.jpg"', b'"/x.jpg"', b'"a\\\\b"'),
)


def damaged(rng: random.Random, target: Target) -> bytes:
    """One of the target's seeds after a few damages."""
    data = bytearray(rng.choice(cached_seeds(target)))
    for _ in range(1 + int(rng.expovariate(0.7))):
        at = rng.randint(0, len(data))
        stop = min(len(data), at + rng.choice((0, 1, 1, 2, 4, 16, 256)))
        kind = rng.randrange(7)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at:stop] = rng.choice(target.words)
        elif kind == 2:
            data[at:at] = rng.choice(target.words)
        elif kind == 3:
            del data[at:stop]
        elif kind == 4:
            data[at:at] = data[at:stop] * rng.choice((1, 2, 40))
        elif kind == 5:
            data[at:stop] = rng.randbytes(stop - at)
        elif rng.random() < 0.2:
            del data[at:]
    return bytes(data)


@cache
def cached_seeds(target: Target) -> list[bytes]:
    return target.seeds()


# ------------------------------------------------------------------------------------------- what must hold


def check_rle(data: bytes) -> None:
    """Read as RLE of 12 x 17 px: refused, or a mask that survives its own writing, run by run as Python counts them."""
    lines = data.split(b"\n")[:8]
    for counts in lines:
        with contextlib.suppress(RleError):
            runs = masks.parse_strings([counts], HEIGHT_PX, WIDTH_PX)
            strings = masks.to_strings(runs)
            assert int(runs.counts.sum()) == HEIGHT_PX * WIDTH_PX
            pixels = np.repeat(np.arange(len(runs.counts)) % 2, runs.counts)
            assert pixels.tolist() == pixels_of(counts)
            assert masks.parse_strings(strings, HEIGHT_PX, WIDTH_PX) == runs
            found = masks.areas_and_boxes(pa.array([counts], pa.binary()), HEIGHT_PX, WIDTH_PX)
            assert (found is not None) == (strings == [counts.decode()])
    with contextlib.suppress(RleError):
        together = masks.parse_strings(lines, HEIGHT_PX, WIDTH_PX)
        assert [masks.to_strings(together[k])[0] for k in range(len(lines))] == masks.to_strings(together)
        assert (masks.areas(together) == masks.decode(together).sum(axis=(1, 2))).all()
    with contextlib.suppress(RleError, ValueError, RecursionError):
        masks.parse(json.loads(data), (HEIGHT_PX, WIDTH_PX))


def pixels_of(counts: bytes) -> list[int]:
    """Pixels of a valid string, decoded as maskApi.c says and with Python's integers."""
    runs: list[int] = []
    value = shift = 0
    for char in counts:
        group = char - 48
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return [k % 2 for k, run in enumerate(runs) for _ in range(run)]


def check_slices(data: bytes) -> None:
    """Where the standard parser reads a list or an object, the slices are its values; else they lie inside, or are refused."""
    array = np.frombuffer(data, np.uint8)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    with contextlib.suppress(InputError):
        spans = json_slices.elements(array)
        assert ((spans >= 0) & (spans <= len(data))).all()
        assert (spans[:, 0] <= spans[:, 1]).all()
        if isinstance(value, list) and data[:2] not in (b"\xfe\xff", b"\xff\xfe") and b"\0" not in data[:4]:
            assert repr([json.loads(data[start:stop]) for start, stop in spans]) == repr(value)
    with contextlib.suppress(InputError):
        found = json_slices.members(array)
        assert all(0 <= start <= stop <= len(data) for start, stop in found.values())


def check_sa1b(data: bytes) -> None:
    """Refused or read, and by the fast reader as by the careful one, and as JSON says where Python's parser reads it."""
    fast = outcome(data)
    with mock.patch.object(sa1b_scan, "scan", return_value=None):
        assert fast == outcome(data)


def outcome(data: bytes) -> object:
    """All that reading a record gives, in a form that can be compared."""
    try:
        record = sa1b.parse_record(data)
    except InputError as error:
        return str(error)
    found = record.annotations
    runs = (found.runs.counts.tolist(), found.runs.offsets.tolist())
    problems = [(index, str(error)) for index, error in record.problems]
    return record.image, runs, repr(found.columns.to_pylist()), found.rle_counts.to_pylist(), problems


def check_coco(data: bytes) -> None:
    """A file of it is refused, or each of its images is refused or read."""
    with scratch() as folder:
        path = folder / "coco.json"
        path.write_bytes(data)
        try:
            plan = coco_import.plan_files([str(path)], None, folder / "plan")
        except InputError:
            return
        work = coco_import.ImportWork(plan, None)
        for number in range(plan.records.n_items):
            with contextlib.suppress(InputError):
                (item,) = plan.records.items(number, number + 1)
                record = work.read(item)
                assert len(record.annotations.runs) == record.annotations.columns.num_rows
                assert not record.image.file_name.startswith("/")
                assert ".." not in record.image.file_name.split("/")


def check_label_png(data: bytes) -> None:
    with contextlib.suppress(InputError):
        record = label_png.parse_record(data, "a.jpg")
        total = sum(masks.areas(record.annotations.runs).tolist())
        assert total <= record.image.width_px * record.image.height_px


def check_tar(data: bytes) -> None:
    """Members that are read lie inside the file and below its folder."""
    with scratch() as folder:
        path = folder / "a.tar"
        path.write_bytes(data)
        for n_members, member in enumerate(tars.members(str(path))):
            assert n_members <= len(data) // tarfile.BLOCKSIZE + 1
            if member.fault is None:
                assert member.offset >= 0
                assert member.size_bytes >= 0
                assert not member.name.startswith("/")
                assert ".." not in member.name.split("/")
                assert len(tars.read(str(path), member.offset, member.size_bytes)) == member.size_bytes


def check_image(data: bytes) -> None:
    """Refused or upright RGB, and the head (what is read without the pixels) tells its size."""
    with scratch() as folder:
        path = folder / "a.png"
        path.write_bytes(data)
        try:
            image = images.read_image(str(path))
        except InputError:
            return
        assert image.pixels.dtype == np.uint8
        assert image.pixels.shape == (image.height_px, image.width_px, 3)
        head = images.read_head(str(path))
        assert (head.width_px, head.height_px) == (image.width_px, image.height_px)
        assert head.sha256 == image.sha256


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory where there is one."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        yield Path(folder)


# ---------------------------------------------------------------------------------------------------- seeds


def rle_seeds() -> list[bytes]:
    rng = np.random.default_rng(0)
    some = masks.encode(rng.random((4, HEIGHT_PX, WIDTH_PX)) < np.array([0, 0.1, 0.5, 1])[:, None, None])
    lists = [{"size": [HEIGHT_PX, WIDTH_PX], "counts": some[k].counts.tolist()} for k in range(4)]
    strings = masks.to_strings(some)
    return ["\n".join(strings).encode(), *map(str.encode, strings), *(json.dumps(x).encode() for x in lists)]


def sa1b_seeds() -> list[bytes]:
    annotations = [
        {
            "id": 7 + k,
            "segmentation": {"size": [HEIGHT_PX, WIDTH_PX], "counts": counts},
            "bbox": [0.0, 1.5, 10.0, 3.25],
            "area": 33,
            "predicted_iou": 0.9876543210987654,
            "stability_score": 0.95,
            "crop_box": [0.0, 0.0, float(WIDTH_PX), float(HEIGHT_PX)],
            "point_coords": [[12.345678901234567, 3.0]],
        }
        for k, counts in enumerate(rle_seeds()[0].decode().split("\n"))
    ]
    image = {"image_id": 5, "width": WIDTH_PX, "height": HEIGHT_PX, "file_name": "sa_5.jpg"}
    record = {"image": image, "annotations": annotations}
    return [json.dumps(record).encode(), json.dumps(record, indent=1).encode()]


def coco_seeds() -> list[bytes]:
    polygons = [[0.5, 0, 9, 0.25, 9, 8.5, 1, 7], [2, 2, 4, 2, 4, 5.5]]
    segmentations = [polygons, *(json.loads(text) for text in rle_seeds()[5:])]
    document = {
        "images": [
            {"id": k, "file_name": f"val/{k}.jpg", "width": WIDTH_PX, "height": HEIGHT_PX} for k in range(2)
        ],
        "annotations": [
            {"id": k, "image_id": k % 2, "category_id": 1, "iscrowd": 0, "score": 0.5, "bbox": [1, 2, 3.5, 4]}
            | {"segmentation": segmentation}
            for k, segmentation in enumerate(segmentations)
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }
    return [json.dumps(document).encode(), json.dumps(document["annotations"]).encode()]


def png_seeds() -> list[bytes]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (HEIGHT_PX, WIDTH_PX))
    palette = PIL.Image.fromarray(labels.astype(np.uint8), "P")
    palette.putpalette(bytes(range(12)))
    grey16 = PIL.Image.fromarray((labels * 300).astype(np.uint16))
    return [
        saved(picture, "PNG")
        for picture in (PIL.Image.fromarray(labels.astype(np.uint8)), palette, grey16, palette.convert("1"))
    ]


def image_seeds() -> list[bytes]:
    rng = np.random.default_rng(0)
    picture = PIL.Image.fromarray(rng.integers(0, 256, (HEIGHT_PX, WIDTH_PX, 3), dtype=np.uint8))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    turned = io.BytesIO()
    picture.save(turned, "JPEG", exif=exif)
    formats = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM")
    return [turned.getvalue(), saved(picture.convert("CMYK"), "JPEG"), *png_seeds()] + [
        saved(picture, name) for name in formats
    ]


def saved(picture: PIL.Image.Image, name: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, name)
    return buffer.getvalue()


def tar_seeds() -> list[bytes]:
    found = []
    for kind in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=kind) as tar:
            for name in ("a.jpg", "b/c.jpg", "ü" * 60 + "/x.png"):
                header = tarfile.TarInfo(name)
                header.size = 30
                tar.addfile(header, io.BytesIO(bytes(30)))
            link = tarfile.TarInfo("l.jpg")
            link.type, link.linkname = tarfile.SYMTYPE, "a.jpg"
            tar.addfile(link)
        found.append(buffer.getvalue()[: 512 * 14])
    return found


TARGETS = {
    "rle": Target(check_rle, rle_seeds, (*NUMBERS, b"\n", b"o", b"P" * 7, b"0", b"o" * 6, b"\\", b"1", b"4")),
    "slices": Target(check_slices, coco_seeds, JSON_WORDS),
    "sa1b": Target(check_sa1b, sa1b_seeds, JSON_WORDS),
    "coco": Target(check_coco, coco_seeds, JSON_WORDS),
    "label_png": Target(
        check_label_png, png_seeds, (b"IHDR", b"IDAT", b"PLTE", b"acTL", b"\xff" * 4, b"\0" * 4)
    ),
    "tar": Target(
        check_tar, tar_seeds, (b"../", b"/", b"7" * 11, b"-1", b"ustar", b"\x80" + b"\xff" * 11, b"\0")
    ),
    "image": Target(
        check_image, image_seeds, (b"IHDR", b"\xff\xd8", b"\xff" * 4, b"\0" * 4, b"Exif", b"ICC_PROFILE")
    ),
}


# ------------------------------------------------------------------------------------------------- by itself


def fuzz(name: str, seconds: float, seed: int, found: Path) -> int:
    """Damaged inputs for so long; returns how many were tried. What breaks the reader is left in `found`, and raised."""
    target = TARGETS[name]
    for data in target.seeds():  # compiles the kernels, which may take longer than a hang
        target.check(data)
    rng = random.Random(seed)
    stop = time.monotonic() + seconds
    last = found / f"{name}-{seed}.bin"
    n_tried = 0
    while time.monotonic() < stop:
        data = damaged(rng, target)
        last.write_bytes(data)  # a hang or a crash of the process leaves it there
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        target.check(data)
        faulthandler.cancel_dump_traceback_later()
        n_tried += 1
    last.unlink()
    return n_tried


def fuzz_with_atheris(name: str, seconds: float, seed: int, found: Path) -> None:
    """The same guided by coverage of the Python code; does not return."""
    import atheris

    target = TARGETS[name]
    for data in target.seeds():
        target.check(data)
    corpus = found / f"corpus-{name}"
    corpus.mkdir(exist_ok=True)
    for k, data in enumerate(target.seeds()):
        (corpus / f"seed-{k}").write_bytes(data)
    options = [f"-max_total_time={seconds:.0f}", f"-seed={seed}", f"-timeout={HANG_S}", "-rss_limit_mb=6000"]
    options += [f"-artifact_prefix={found}/{name}-atheris-", "-verbosity=0", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], target.check)
    atheris.Fuzz()


def main(name: str, seconds: str, seed: str = "0", *flags: str) -> None:
    found = Path(os.environ.get("FUZZ_FOUND", "."))
    if "--atheris" in flags:
        fuzz_with_atheris(name, float(seconds), int(seed), found)
    else:
        print(f"{name}: {fuzz(name, float(seconds), int(seed), found):,} inputs, none broke it")


if __name__ == "__main__":
    main(*sys.argv[1:])
