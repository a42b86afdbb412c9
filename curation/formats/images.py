"""Pictures from anywhere as upright 8-bit RGB, read rightly or refused with a reason."""

import hashlib
import io
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import PIL.Image
from PIL import ImageChops, ImageCms

from curation import ids
from curation.errors import ImageError, InputError
from curation.formats import contents, listing
from curation.formats.plan import Item as ImageItem
from curation.formats.plan import Plan as ImagePlan
from curation.formats.plan import write_plan

#: Formats tried, and the suffixes that folders, globs, tars and prefixes are searched for. Vector and
#: document formats are left out: Pillow runs an interpreter for them.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "JPEG2000")
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".jp2"}
)
#: Pillow's own limit against decompression bombs (512 MiB of RGB); the largest cameras make 151 megapixels.
MAX_IMAGE_PX = 178_956_970
#: A file is held whole while it is decoded: the largest picture allowed, uncompressed, with some room.
MAX_FILE_BYTES = 1 << 30

# MAX_IMAGE_PX decides; Pillow's earlier warning would only clutter the progress of a long run
warnings.filterwarnings("ignore", category=PIL.Image.DecompressionBombWarning)

ORIENTATION_TAG = 0x0112
#: EXIF orientation -> what makes the picture upright (EXIF 2.32, section 4.6.4); 1 is upright.
UPRIGHT = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
DIRECT_MODES = ("RGB", "L", "1", "P", "YCbCr")
ALPHA_MODES = ("RGBA", "RGBa", "LA", "PA")


@dataclass(frozen=True)
class Image:
    """A picture: `pixels` is uint8 (H, W, 3), RGB, upright. `exif_orientation` is what was applied."""

    pixels: np.ndarray
    uri: str
    file_name: str
    size_bytes: int
    sha256: str
    exif_orientation: int | None

    @property
    def height_px(self) -> int:
        return self.pixels.shape[0]

    @property
    def width_px(self) -> int:
        return self.pixels.shape[1]

    @cached_property
    def image_id(self) -> int:
        return ids.image_id(self.uri)


@dataclass(frozen=True)
class ImageHead:
    """What a picture's file tells without decoding its pixels; the size is that of the upright picture.

    `size_bytes` and `sha256` are None where a record came without its picture.
    """

    uri: str
    file_name: str
    width_px: int
    height_px: int
    size_bytes: int | None
    sha256: str | None
    exif_orientation: int | None


def plan_images(source: str, out: Path) -> ImagePlan:
    """Number the pictures of `source` in the order of their URIs and write them to the Parquet file `out`.

    `source` is a folder (searched through), a glob, a text list (one path or URI a line), a Parquet list
    (column `uri`, else its first column of strings), a plain tar, one picture, or an s3:// prefix or glob.
    A listed file that is missing stays in the plan: reading it will say so. Raises InputError if no picture
    is found.
    """
    plan = write_plan(listing.entries(source, IMAGE_SUFFIXES), Path(out))
    if plan.n_items == 0:
        allowed = ", ".join(sorted(IMAGE_SUFFIXES))
        raise InputError(f"{source} holds no pictures; names must end in one of {allowed}")
    return plan


def read_image(item: ImageItem | str) -> Image:
    """Read and decode one picture, given as an item of a plan or as its URI.

    Raises ImageError for everything that would come out wrong: missing, empty, truncated or foreign files,
    animations and files of several pages, more than MAX_IMAGE_PX pixels, and pixels whose range is not known
    (32-bit and float).
    """
    item, data = _fetch(item)
    try:
        pixels, orientation = decode(data)
    except ImageError as error:
        raise ImageError(f"{item.uri}: {error}") from error
    return Image(pixels, item.uri, item.file_name, len(data), hashlib.sha256(data).hexdigest(), orientation)


def read_head(item: ImageItem | str) -> ImageHead:
    """Upright size, orientation and hash of a picture, without decoding its pixels. Raises ImageError."""
    item, data = _fetch(item)
    try:
        picture = _open(data)
    except ImageError as error:
        raise ImageError(f"{item.uri}: {error}") from error
    orientation = _orientation(picture)
    width_px, height_px = picture.size
    if orientation is not None and orientation >= 5 and picture.format != "TIFF":
        width_px, height_px = height_px, width_px
    digest = hashlib.sha256(data).hexdigest()
    return ImageHead(item.uri, item.file_name, width_px, height_px, len(data), digest, orientation)


def image_row(
    image: Image | ImageHead, run_id: int, number: int, source_image_id: str | None = None
) -> dict[str, object]:
    """The row of table `images` for a picture that was read; `number` is its place in the run's plan."""
    return {
        "run_id": run_id,
        "image_id": ids.image_id(image.uri),
        "image_number": number,
        "uri": image.uri,
        "file_name": image.file_name,
        "width_px": image.width_px,
        "height_px": image.height_px,
        "exif_orientation": image.exif_orientation,
        "size_bytes": image.size_bytes,
        "sha256": image.sha256,
        "source_image_id": source_image_id,
    }


def decode(data: bytes) -> tuple[np.ndarray, int | None]:
    """Pixels as upright RGB, uint8 (H, W, 3), and the EXIF orientation that was applied.

    Grey, palette and YCbCr pictures become RGB; 16-bit grey is scaled by 1/257, so that white stays white;
    CMYK goes through its own ICC profile where it has one; transparent pixels are laid over white.
    """
    picture = _open(data)
    orientation = _orientation(picture)
    try:
        picture.load()
        if picture.format != "TIFF":
            orientation = _orientation(picture)  # in a PNG it may stand behind the pixels
        rgb = _to_rgb(picture)
    except ImageError:
        raise
    except Exception as error:  # decoders raise whatever their format's parser ran into
        raise ImageError(
            f"the {picture.format} is damaged or cut short ({error}); fetch the file again"
        ) from error
    if orientation in UPRIGHT and picture.format != "TIFF":  # Pillow itself turns TIFFs
        rgb = rgb.transpose(UPRIGHT[orientation])
    return np.array(rgb, dtype=np.uint8), orientation


def _fetch(item: ImageItem | str) -> tuple[ImageItem, bytes]:
    if isinstance(item, str):
        item = contents.item(item)
    try:
        return item, contents.read_bytes(item, MAX_FILE_BYTES)
    except InputError as error:
        raise ImageError(str(error)) from error


def _open(data: bytes) -> PIL.Image.Image:
    """The picture with its header read and checked, and no pixel decoded yet."""
    if not data:
        raise ImageError("the file is empty (0 bytes); fetch it again")
    try:
        picture = PIL.Image.open(io.BytesIO(data), formats=FORMATS)
        n_frames = getattr(picture, "n_frames", 1)
    except PIL.UnidentifiedImageError as error:
        allowed = ", ".join(FORMATS)
        raise ImageError(
            f"this is no picture, or a damaged one (it starts with {data[:8]!r}); allowed: {allowed}"
        ) from error
    except PIL.Image.DecompressionBombError as error:
        raise ImageError(
            f"{error}; allowed are {MAX_IMAGE_PX:,} pixels. Scale the picture down or tile it"
        ) from error
    except Exception as error:  # header parsers raise whatever they ran into
        raise ImageError(f"the header is damaged ({error}); fetch the file again") from error
    width_px, height_px = picture.size
    if width_px * height_px > MAX_IMAGE_PX:
        raise ImageError(
            f"the picture is {width_px} × {height_px} pixels; allowed are {MAX_IMAGE_PX:,}. Scale it down or tile it"
        )
    if n_frames > 1 and picture.format != "MPO":  # the first picture of an MPO is the photograph itself
        raise ImageError(
            f"the {picture.format} holds {n_frames} pictures; masks belong to one: save each as a file of its own"
        )
    return picture


def _orientation(picture: PIL.Image.Image) -> int | None:
    """EXIF orientation 1..8; None without EXIF, and for EXIF that is damaged or says something else."""
    try:
        value = picture.getexif().get(ORIENTATION_TAG)
    except Exception:  # noqa: BLE001 - its parser raises anything; the pixels stay readable, as viewers hold
        return None
    return value if isinstance(value, int) and 1 <= value <= 8 else None


def _to_rgb(picture: PIL.Image.Image) -> PIL.Image.Image:
    mode = picture.mode
    if mode.startswith("I;16"):
        grey = (np.asarray(picture, dtype=np.uint32) + 128) // 257
        return PIL.Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if mode in ALPHA_MODES or "transparency" in picture.info:
        return _over_white(picture.convert("RGBA"))
    if mode in DIRECT_MODES:
        return picture.convert("RGB")
    if mode == "CMYK":
        return _cmyk_to_rgb(picture)
    raise ImageError(
        f"pixels are of Pillow's mode {mode}, whose range is not known; allowed: 8-bit grey, palette, RGB, "
        f"CMYK, with or without alpha, and 16-bit grey. Save the picture as one of them"
    )


def _over_white(picture: PIL.Image.Image) -> PIL.Image.Image:
    # what lies under transparent pixels is often noise that no viewer shows
    white = PIL.Image.new("RGBA", picture.size, "white")
    return PIL.Image.alpha_composite(white, picture).convert("RGB")


def _cmyk_to_rgb(picture: PIL.Image.Image) -> PIL.Image.Image:
    if picture.format in ("JPEG", "MPO") and "adobe" not in picture.info:
        # Pillow takes every CMYK JPEG for Adobe's inverted kind; only those with Adobe's marker are
        picture_cmyk = ImageChops.invert(picture)
    else:
        picture_cmyk = picture
    profile = picture.info.get("icc_profile")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(
                picture_cmyk, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except (ImageCms.PyCMSError, OSError):
            pass  # a profile that cannot be used counts as none
    return picture_cmyk.convert("RGB")
