"""A local file for every image, since FiftyOne shows nothing else."""

import io
import os
import uuid
from collections.abc import Mapping
from pathlib import Path

import PIL.Image

from curation.errors import ImageError, InputError
from curation.formats import contents, images

#: What every browser draws, upright by its EXIF orientation only where the format is JPEG.
BROWSER_SUFFIXES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
}


def local_path(image: Mapping[str, object], media: Path) -> Path:
    """Where FiftyOne finds the image: the file itself, or a copy in `media`.

    Copies are made of images in a tar or a bucket, and, as PNG, of what browsers do not draw or would not
    draw upright. A copy that is there is used again. Raises ImageError where the file is missing, has
    changed since its run read it, or cannot be read.
    """
    if image["uri"] is None:
        raise ImageError(f"image {image['image_id']} came without a picture: import its pictures too")
    uri = Path(image["uri"])
    suffix = uri.suffix.lower()
    is_upright = image["exif_orientation"] in (None, 1) or suffix in (".jpg", ".jpeg")
    is_shown = suffix in BROWSER_SUFFIXES and is_upright
    if is_shown and uri.is_absolute() and uri.is_file():
        _check_unchanged(image, uri.stat().st_size)
        return uri
    copy = media / f"{image['image_id']:016x}-{(image['sha256'] or '')[:8]}{suffix if is_shown else '.png'}"
    if not copy.exists():
        _write(copy, _bytes(image) if is_shown else _png(image["uri"]))
    return copy


def mime_type(path: Path) -> str:
    return BROWSER_SUFFIXES[path.suffix.lower()]


def _check_unchanged(image: Mapping[str, object], size_bytes: int) -> None:
    if image["size_bytes"] is not None and image["size_bytes"] != size_bytes:
        raise ImageError(
            f"{image['uri']} has {size_bytes:,} bytes and had {image['size_bytes']:,} when its run read it: "
            "its masks belong to the earlier picture; put that one back, or run again on the new one"
        )


def _bytes(image: Mapping[str, object]) -> bytes:
    try:
        data = contents.read_bytes(contents.item(image["uri"]), images.MAX_FILE_BYTES)
    except InputError as error:
        raise ImageError(str(error)) from error
    _check_unchanged(image, len(data))
    return data


def _png(uri: str) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(images.read_image(uri).pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all: a killed sync leaves no half picture that the next would take for the copy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    unfinished.write_bytes(data)
    os.replace(unfinished, path)
