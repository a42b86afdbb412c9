"""Pictures as a browser can show them: upright, whole, and in their original size."""

import io

import PIL.Image

from curation.errors import ImageError
from curation.formats import contents
from curation.formats.images import MAX_FILE_BYTES, ORIENTATION_TAG, decode

#: Formats that every browser decodes, with the modes in which they hold what the masks were made on.
AS_IT_IS = {"JPEG": ("RGB", "L"), "PNG": ("RGB", "L", "P"), "WEBP": ("RGB",)}
#: At 95, without thinning of colours, the errors of JPEG lie under what the eye sees on a screen.
QUALITY = 95


def for_browser(uri: str) -> tuple[bytes, str]:
    """The bytes of a picture and their media type; the file's own where they will do. Raises ImageError."""
    data = contents.read_bytes(contents.item(uri), MAX_FILE_BYTES)
    media_type = _media_type(data)
    if media_type:
        return data, media_type
    try:
        pixels, _ = decode(data)
    except ImageError as error:
        raise ImageError(f"{uri}: {error}") from error
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue(), "image/jpeg"


def _media_type(data: bytes) -> str | None:
    """The media type of a picture that a browser shows as it is; None for every other."""
    try:
        picture = PIL.Image.open(io.BytesIO(data), formats=tuple(AS_IT_IS))
        is_upright = picture.getexif().get(ORIENTATION_TAG, 1) == 1
    except Exception:  # noqa: BLE001 - parsers of headers raise anything; decoding says what is wrong
        return None
    is_plain = picture.mode in AS_IT_IS[picture.format] and "transparency" not in picture.info
    return f"image/{picture.format.lower()}" if is_upright and is_plain else None
