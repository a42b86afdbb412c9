import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from PIL import ImageCms

from curation import ids
from curation.errors import ImageError
from curation.formats import images
from curation.schemas import TABLES

RAMP = np.arange(24 * 36, dtype=np.uint16).reshape(24, 36)


def save(path: Path, picture: PIL.Image.Image, **options: object) -> str:
    picture.save(path, **options)
    return str(path)


def rgb_pattern() -> np.ndarray:
    """Four quarters of other colours, so that every turn and flip shows; (24, 36, 3)."""
    pixels = np.zeros((24, 36, 3), np.uint8)
    pixels[:12, :18] = (250, 10, 10)
    pixels[:12, 18:] = (10, 250, 10)
    pixels[12:, :18] = (10, 10, 250)
    pixels[12:, 18:] = (240, 240, 240)
    return pixels


def test_an_rgb_png_is_read_as_it_is(tmp_path):
    uri = save(tmp_path / "a.png", PIL.Image.fromarray(rgb_pattern()))
    image = images.read_image(uri)
    assert np.array_equal(image.pixels, rgb_pattern())
    assert image.pixels.dtype == np.uint8
    assert (image.width_px, image.height_px) == (36, 24)
    assert image.exif_orientation is None
    assert image.size_bytes == os.path.getsize(uri)
    assert image.file_name == "a.png"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_every_exif_orientation_comes_out_upright(tmp_path, orientation, suffix):
    upright = PIL.Image.fromarray(rgb_pattern())
    undo = {6: images.UPRIGHT[8], 8: images.UPRIGHT[6]}.get(orientation, images.UPRIGHT.get(orientation))
    stored = upright if undo is None else upright.transpose(undo)
    exif = PIL.Image.Exif()
    exif[images.ORIENTATION_TAG] = orientation
    options = {"webp": {"lossless": True}, "jpg": {"quality": 95, "subsampling": 0}}.get(suffix, {})
    uri = save(tmp_path / f"a.{suffix}", stored, exif=exif, **options)

    image = images.read_image(uri)
    head = images.read_head(uri)
    assert image.exif_orientation == head.exif_orientation == orientation
    assert image.pixels.shape == (24, 36, 3)
    assert (head.width_px, head.height_px) == (36, 24)
    assert np.abs(image.pixels.astype(int) - rgb_pattern()).max() < 30  # JPEG


def test_a_damaged_exif_block_and_an_undefined_orientation_count_as_none(tmp_path):
    picture = PIL.Image.fromarray(rgb_pattern())
    exif = PIL.Image.Exif()
    exif[images.ORIENTATION_TAG] = 0
    assert images.read_image(save(tmp_path / "0.jpg", picture, exif=exif)).exif_orientation is None
    broken = images.read_image(save(tmp_path / "b.jpg", picture, exif=b"Exif\x00\x00II*\x00\xff\xff\xff"))
    assert broken.exif_orientation is None
    assert broken.pixels.shape == (24, 36, 3)


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_grey_bilevel_and_palette_become_rgb(tmp_path, mode):
    picture = PIL.Image.fromarray(rgb_pattern()).convert(mode)
    image = images.read_image(save(tmp_path / "a.png", picture))
    assert np.array_equal(image.pixels, np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparent_pixels_are_laid_over_white(tmp_path, mode):
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:, :2] = (90, 90, 90, 255)
    rgba[:, 2:] = (7, 7, 7, 0)
    picture = PIL.Image.fromarray(rgba)
    picture = picture.quantize(4) if mode == "PA" else picture.convert(mode)
    pixels = images.read_image(save(tmp_path / "a.png", picture)).pixels
    assert (pixels[:, :2] == 90).all()
    assert (pixels[:, 2:] == 255).all()


def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path):
    grey = (RAMP.astype(np.uint32) * 65535 // RAMP.max()).astype(np.uint16)
    for suffix in ("png", "tif"):
        pixels = images.read_image(save(tmp_path / f"a.{suffix}", PIL.Image.fromarray(grey))).pixels
        assert np.array_equal(pixels[..., 0], np.round(grey / 257).astype(np.uint8))
        assert np.array_equal(pixels[..., 0], pixels[..., 2])
        assert pixels.max() == 255


def cmyk_jpeg(with_adobe_marker: bool) -> bytes:
    """Pure red (C 0, M 255, Y 255, K 0). Pillow writes Adobe's inverted kind; without the marker it is plain."""
    ink = PIL.Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    if not with_adobe_marker:
        ink = PIL.Image.new("CMYK", (16, 16), (255, 0, 0, 255))  # Pillow inverts it on the way out
    buffer = io.BytesIO()
    ink.save(buffer, "JPEG", quality=95)
    data = buffer.getvalue()
    if with_adobe_marker:
        return data
    at = data.index(b"\xff\xee")
    return data[:at] + data[at + 2 + struct.unpack(">H", data[at + 2 : at + 4])[0] :]


@pytest.mark.parametrize("with_adobe_marker", [True, False])
def test_cmyk_jpegs_of_both_kinds_are_red(tmp_path, with_adobe_marker):
    path = tmp_path / "a.jpg"
    path.write_bytes(cmyk_jpeg(with_adobe_marker))
    red, green, blue = images.read_image(str(path)).pixels[8, 8]
    assert red > 240
    assert max(green, blue) < 15


def test_cmyk_tiff_and_a_profile_that_cannot_be_used(tmp_path):
    ink = PIL.Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    rgb_profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, profile in (("plain", None), ("foreign", rgb_profile), ("broken", b"no profile")):
        pixels = images.read_image(save(tmp_path / f"{name}.tif", ink, icc_profile=profile)).pixels
        assert tuple(pixels[8, 8]) == (255, 0, 0), name


@pytest.mark.parametrize("mode", ["I", "F", "LAB"])
def test_pixels_of_unknown_range_are_refused(tmp_path, mode):
    uri = save(tmp_path / "a.tif", PIL.Image.new(mode, (4, 4)))
    with pytest.raises(ImageError, match=f"mode {mode}, whose range is not known; allowed"):
        images.read_image(uri)


def png_header(width_px: int, height_px: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width_px", "height_px"), [(13_400, 13_400), (60_000, 60_000)])
def test_decompression_bombs_are_refused_from_the_header(tmp_path, width_px, height_px):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(width_px, height_px))
    for read in (images.read_image, images.read_head):
        with pytest.raises(ImageError, match=r"allowed are 178,956,970"):
            read(str(path))


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "bmp", "gif"])
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_truncated_files_are_refused(tmp_path, suffix, share):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    path = tmp_path / f"a.{suffix}"
    PIL.Image.fromarray(noise).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match="a\\."):
        images.read_image(str(path))


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_animations_and_many_pages_are_refused(tmp_path, suffix):
    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    uri = save(tmp_path / f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="holds 3 pictures"):
        images.read_image(uri)


def test_the_first_picture_of_an_mpo_is_the_photograph(tmp_path):
    red, preview = PIL.Image.new("RGB", (32, 32), "red"), PIL.Image.new("RGB", (8, 8), "blue")
    uri = save(tmp_path / "a.jpg", red, format="MPO", save_all=True, append_images=[preview])
    assert images.read_image(uri).pixels.shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<html>404</html>", "no picture"),
        (b"\xff\xd8\xff", "no picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture"),
    ],
)
def test_files_that_are_no_pictures_are_refused(tmp_path, data, reason):
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=reason):
        images.read_image(str(path))


def test_missing_files_folders_pipes_and_nul_names_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for uri in (tmp_path / "gone.jpg", tmp_path, tmp_path / "pipe.jpg", "a\0b.jpg"):
        with pytest.raises(ImageError, match="cannot be read"):
            images.read_image(str(uri))


def test_a_file_over_the_limit_is_refused_before_it_is_read(tmp_path, monkeypatch):
    uri = save(tmp_path / "a.png", PIL.Image.fromarray(rgb_pattern()))
    monkeypatch.setattr(images, "MAX_FILE_BYTES", 10)
    with pytest.raises(ImageError, match="at most 10 are read"):
        images.read_image(uri)


def test_image_row_keeps_the_contract(tmp_path):
    uri = save(tmp_path / "a.png", PIL.Image.fromarray(rgb_pattern()))
    for image in (images.read_image(uri), images.read_head(uri)):
        row = TABLES["images"].table([images.image_row(image, run_id=3, number=7)]).to_pylist()[0]
        assert row["image_id"] == ids.image_id(uri)
        assert row["image_number"] == 7
        assert (row["width_px"], row["height_px"]) == (36, 24)
